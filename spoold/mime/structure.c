/*
 * The parts of a message (RFC 2045, 2046 5.1): one pass over its lines with a stack of open
 * multiparts. Called by IMAP before BODYSTRUCTURE, BODY[1.2] and SEARCH TEXT. A line is looked at once: for
 * its end, and where it begins with "--" for the boundaries open above it (at most MIME_DEPTH_MAX), so
 * that time is linear whatever the message says. The longest boundary that fits wins, the innermost of equals;
 * past a limit a part is a leaf and what follows belongs to it.
 */
#include "mime/header.h"
#include "mime/leaf.h"
#include "mime/mime.h"
#include "mime/param.h"

struct level {
	struct mime_part	*part;
	struct mime_part	*last;		/* of its children */
	struct slice		 boundary;	/* empty: not a multipart, or its closing delimiter was seen */
	bool			 is_digest;
	bool			 in_digest;	/* a part of one: its default type differs */
	uint64_t		 lines_before;	/* of the whole message, up to its body */
};

struct scanner {
	struct slice	 msg;
	struct arena	*arena;
	size_t		 at;		/* of the line being looked at */
	uint64_t	 lines;		/* that ended before it */
	size_t		 parts;
	bool		 in_header;	/* the top level's header is not over */
	bool		 is_full;	/* the last part takes all the rest */
	struct level	 levels[MIME_DEPTH_MAX];
	size_t		 depth;
};

/* A new part on top of the stack, from at on, before which lines had ended. */
static int
part_push(struct scanner *s, size_t at, uint64_t lines, bool in_digest)
{
	struct level *up = s->depth > 0 ? &s->levels[s->depth - 1] : NULL;
	struct mime_part *p = ARENA_NEW(s->arena, struct mime_part, 1);

	if (p == NULL)
		return -1;
	p->header_at = p->body_at = at;
	if (up != NULL) {
		p->parent = up->part;
		if (up->last == NULL)
			up->part->child = p;
		else
			up->last->next = p;
		up->last = p;
	}
	s->levels[s->depth++] = (struct level){.part = p, .in_digest = in_digest, .lines_before = lines};
	s->in_header = true;
	s->is_full = ++s->parts == MIME_PARTS_MAX;
	return 0;
}

/*
 * All above level k ends before end, up to which lines had ended. Where the line end before a delimiter also ended a header it
 * stays with that, and so with the parts around it.
 */
static void
parts_pop(struct scanner *s, size_t k, uint64_t end, uint64_t lines)
{
	while (s->depth > k) {
		struct level *l = &s->levels[--s->depth];
		struct mime_part *p = l->part;

		if (end < p->body_at) {
			end = p->body_at;
			lines = l->lines_before;
		}
		p->body_bytes = end - p->body_at;
		p->body_lines = lines - l->lines_before;
		if (p->kind == MIME_MULTIPART && p->child == NULL)
			p->kind = MIME_LEAF;
	}
}

/* A message/global may be (RFC 6532 3.7): what is in it cannot be seen as it stands then. */
static bool
is_encoded(struct slice header)
{
	struct slice encoding = leaf_encoding(header);

	return encoding.n > 0 && !slice_is_nocase(encoding, SLICE("7bit")) && !slice_is_nocase(encoding, SLICE("8bit")) &&
	    !slice_is_nocase(encoding, SLICE("binary"));
}

/* The top part's header ended at at: what kind of part is it? A message in it begins there. */
static int
header_end(struct scanner *s, size_t at, uint64_t lines)
{
	struct level *l = &s->levels[s->depth - 1];
	struct mime_part *p = l->part;
	struct content c;

	p->header_bytes = at - p->header_at;
	p->body_at = at;
	l->lines_before = lines;
	s->in_header = false;
	if (s->depth == MIME_DEPTH_MAX || s->is_full)
		return 0;
	c = content_type(header_range(s->msg, p->header_at, p->header_bytes), l->in_digest);
	if (content_is(&c, "multipart", NULL)) {
		p->kind = MIME_MULTIPART;
		l->is_digest = content_is(&c, "multipart", "digest");
		return param_boundary(c.rest, s->arena, &l->boundary);
	}
	p->is_global = content_is(&c, "message", "global") && !is_encoded(header_range(s->msg, p->header_at, p->header_bytes));
	if (p->is_global || content_is(&c, "message", "rfc822")) {
		p->kind = MIME_MESSAGE;
		return part_push(s, at, lines, false);
	}
	return 0;
}

/* dash-boundary ["--"] transport-padding (RFC 2046 5.1.1): "--" and the boundary, then white space, "--" or nothing. */
static bool
boundary_fits(struct slice line, struct slice boundary, bool *is_close_out)
{
	struct slice rest;

	if (boundary.n == 0 || line.n < boundary.n + 2 || memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return false;
	rest = (struct slice){line.p + 2 + boundary.n, line.n - 2 - boundary.n};
	*is_close_out = rest.n >= 2 && rest.p[0] == '-' && rest.p[1] == '-';
	return *is_close_out || rest.n == 0 || rest.p[0] == ' ' || rest.p[0] == '\t' || rest.p[0] == '\r' || rest.p[0] == '\n';
}

/* Index + 1 of the level whose delimiter the line is, 0 for none. */
static size_t
boundary_find(const struct scanner *s, struct slice line, bool *is_close_out)
{
	size_t i, found = 0, longest = 0;
	bool is_close;

	if (line.n < 2 || line.p[0] != '-' || line.p[1] != '-')
		return 0;
	for (i = s->depth; i > 0; i--) {
		const struct level *l = &s->levels[i - 1];

		if (l->boundary.n > longest && boundary_fits(line, l->boundary, &is_close)) {
			found = i;
			longest = l->boundary.n;
			*is_close_out = is_close;
		}
	}
	return found;
}

/*
 * The line at line_at, before which lines had ended, is the delimiter of level k: everything above that is over. The
 * line end before the delimiter belongs to it (RFC 2046 5.1.1).
 */
static int
delimiter(struct scanner *s, size_t k, size_t line_at, uint64_t lines, bool is_close)
{
	size_t end = line_at - 1;

	while (s->in_header)
		if (header_end(s, line_at, lines) == -1)
			return -1;
	if (end > 0 && s->msg.p[end - 1] == '\r')
		end--;
	parts_pop(s, k, end, lines - 1);
	if (!is_close)
		return part_push(s, s->at, s->lines, s->levels[k - 1].is_digest);
	s->levels[k - 1].boundary.n = 0;
	return 0;
}

static int
line_next(struct scanner *s)
{
	struct slice line = {s->msg.p + s->at, header_line((struct slice){s->msg.p + s->at, s->msg.n - s->at})};
	size_t line_at = s->at, k;
	uint64_t lines = s->lines;
	bool is_close = false;

	s->at += line.n;
	s->lines += line.p[line.n - 1] == '\n';
	if (!s->is_full && (k = boundary_find(s, line, &is_close)) > 0)
		return delimiter(s, k, line_at, lines, is_close);
	if (s->in_header && header_line_is_empty(line))
		return header_end(s, s->at, s->lines);
	return 0;
}

struct mime_part *
mime_parse(struct slice message, struct arena *arena)
{
	struct scanner s = {.msg = message, .arena = arena};
	struct mime_part *root;

	if (part_push(&s, 0, 0, false) == -1)
		return NULL;
	root = s.levels[0].part;
	while (s.at < message.n)
		if (line_next(&s) == -1)
			return NULL;
	while (s.in_header)		/* a header without an end; that of a message in it is empty */
		if (header_end(&s, message.n, s.lines) == -1)
			return NULL;
	parts_pop(&s, 0, message.n, s.lines);
	return root;
}
