/*
 * The base subject (RFC 5256 2.1): what SORT and THREAD compare, without "Re:", "[list]" and "(fwd)". Called by IMAP's
 * SORT and THREAD. Pure, linear: no byte is looked at more than a few times, whatever the subject. "Exactly
 * this algorithm" is a must there: steps are named by their numbers.
 */
#include "mime/mime.h"

/* What is left of the subject: [at, end) of p. */
struct rest {
	const char	*p;
	size_t		 at, end;
};

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
skip_wsp(const struct rest *r, size_t at)
{
	while (at < r->end && is_wsp(r->p[at]))
		at++;
	return at;
}

static bool
has_word(const struct rest *r, size_t at, const char *word)
{
	size_t n = strlen(word);

	return r->end - at >= n && strncasecmp(r->p + at, word, n) == 0;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP; where it ends, `at` when there is none */
static size_t
skip_blob(const struct rest *r, size_t at)
{
	size_t to = at;

	if (at == r->end || r->p[to++] != '[')
		return at;
	while (to < r->end && r->p[to] != '[' && r->p[to] != ']' && r->p[to] != '\0')
		to++;
	return to < r->end && r->p[to] == ']' ? skip_wsp(r, to + 1) : at;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"; where it ends, `at` when there is none */
static size_t
skip_refwd(const struct rest *r, size_t at)
{
	size_t to = at;

	if (has_word(r, at, "fwd"))
		to += 3;
	else if (has_word(r, at, "re") || has_word(r, at, "fw"))
		to += 2;
	else
		return at;
	to = skip_blob(r, skip_wsp(r, to));
	return to < r->end && r->p[to] == ':' ? to + 1 : at;
}

/* (2): *subj-trailer; subj-trailer = "(fwd)" / WSP */
static void
trailers_drop(struct rest *r, bool *is_reply)
{
	for (;;) {
		if (r->end > r->at && is_wsp(r->p[r->end - 1])) {
			r->end--;
		} else if (r->end - r->at >= 5 && has_word(r, r->end - 5, "(fwd)")) {
			r->end -= 5;
			*is_reply = true;
		} else {
			return;
		}
	}
}

/*
 * (3), (4), (5): subj-leader = (*subj-blob subj-refwd) / WSP, and blobs that leave something behind them. Where no subj-refwd follows
 * a row of blobs, none follows it when the first of them is gone: so the row is looked at once and goes together.
 */
static void
leaders_drop(struct rest *r, bool *is_reply)
{
	for (;;) {
		size_t last, to, next;

		r->at = last = to = skip_wsp(r, r->at);
		while ((next = skip_blob(r, to)) != to) {
			last = to;
			to = next;
		}
		if ((next = skip_refwd(r, to)) == to) {
			r->at = to < r->end ? to : last;
			return;
		}
		r->at = next;
		*is_reply = true;
	}
}

/* (6): subj-fwd = subj-fwd-hdr subject subj-fwd-trl; true when they were there and are gone */
static bool
forward_drop(struct rest *r, bool *is_reply)
{
	if (!has_word(r, r->at, "[fwd:") || r->end - r->at < 6 || r->p[r->end - 1] != ']')
		return false;
	r->at += 5;
	r->end--;
	*is_reply = true;
	return true;
}

/* (1), what is left of it: tabs and line ends to spaces, and of several one. */
static size_t
spaces_join(struct slice text, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = is_wsp(text.p[i]) || text.p[i] == '\r' || text.p[i] == '\n' ? ' ' : text.p[i];

		if (c != ' ' || n == 0 || out[n - 1] != ' ')
			out[n++] = c;
	}
	return n;
}

struct slice
mime_base_subject(struct slice text, struct arena *arena, bool *is_reply_out)
{
	char *copy = arena_alloc(arena, text.n + 1, 1);
	struct rest r = {.p = copy};

	*is_reply_out = false;
	if (copy == NULL)
		return (struct slice){NULL, 0};
	r.end = spaces_join(text, copy);
	do {
		trailers_drop(&r, is_reply_out);
		leaders_drop(&r, is_reply_out);
	} while (forward_drop(&r, is_reply_out));
	return (struct slice){r.p + r.at, r.end - r.at};
}
