/*
 * A strict reader of what IMAP's grammar allows for envelope and body (RFC 3501 9): used by the tests and fuzzers of
 * spoold/mime, so that no message whatever makes output that a client could not read. Also the
 * invariants of a tree of parts.
 */
#ifndef TS_TESTS_MIME_GRAMMAR_H
#define TS_TESTS_MIME_GRAMMAR_H

#include <stdlib.h>

#include "mime/mime.h"

struct grammar {
	const char	*p, *end;
	bool		 extended;
	int		 depth;
	bool		 is_rev2;	/* a message/global has what is in it (RFC 9051 9) */
};

static inline bool
g_is(struct grammar *g, const char *s)
{
	size_t n = strlen(s);

	if ((size_t)(g->end - g->p) < n || memcmp(g->p, s, n) != 0)
		return false;
	g->p += n;
	return true;
}

static inline bool
g_number(struct grammar *g, uint64_t *out)
{
	const char *begin = g->p;

	for (*out = 0; g->p < g->end && *g->p >= '0' && *g->p <= '9'; g->p++)
		*out = *out * 10 + (uint64_t)(*g->p - '0');
	return g->p > begin && g->p - begin < 19 && (g->p - begin == 1 || *begin != '0');
}

/* string = quoted / literal */
static inline bool
g_string(struct grammar *g, struct slice *out)
{
	uint64_t n;

	if (g_is(g, "{")) {
		if (!g_number(g, &n) || !g_is(g, "}\r\n") || (uint64_t)(g->end - g->p) < n || memchr(g->p, '\0', n) != NULL)
			return false;
		*out = (struct slice){g->p, n};
		g->p += n;
		return true;
	}
	if (!g_is(g, "\""))
		return false;
	out->p = g->p;
	for (; g->p < g->end && *g->p != '"'; g->p++) {
		if ((unsigned char)*g->p >= 0x80 || *g->p == '\r' || *g->p == '\n' || *g->p == '\0')
			return false;
		if (*g->p == '\\' && ++g->p < g->end && *g->p != '"' && *g->p != '\\')
			return false;
	}
	out->n = (size_t)(g->p - out->p);
	return g_is(g, "\"");
}

/* nstring; NIL leaves out->p NULL */
static inline bool
g_nstring(struct grammar *g, struct slice *out)
{
	*out = (struct slice){NULL, 0};
	return g_is(g, "NIL") || g_string(g, out);
}

/* "(" 1*address ")" / nil, groups begun and ended in turn */
static inline bool
g_addresses(struct grammar *g)
{
	struct slice name, route, mailbox, host;
	bool in_group = false;

	if (g_is(g, "NIL"))
		return true;
	if (!g_is(g, "("))
		return false;
	do {
		if (!g_is(g, "(") || !g_nstring(g, &name) || !g_is(g, " ") || !g_nstring(g, &route) || !g_is(g, " ") ||
		    !g_nstring(g, &mailbox) || !g_is(g, " ") || !g_nstring(g, &host) || !g_is(g, ")"))
			return false;
		if (host.p != NULL) {
			if (mailbox.p == NULL)
				return false;
			continue;
		}
		if ((mailbox.p != NULL) == in_group)
			return false;
		in_group = mailbox.p != NULL;
	} while (!g_is(g, ")"));
	return !in_group;
}

static inline bool
g_envelope(struct grammar *g)
{
	struct slice s;
	int i;

	if (!g_is(g, "(") || !g_nstring(g, &s) || !g_is(g, " ") || !g_nstring(g, &s))
		return false;
	for (i = 0; i < 6; i++)
		if (!g_is(g, " ") || !g_addresses(g))
			return false;
	return g_is(g, " ") && g_nstring(g, &s) && g_is(g, " ") && g_nstring(g, &s) && g_is(g, ")");
}

static inline bool
g_params(struct grammar *g)
{
	struct slice s;

	if (g_is(g, "NIL"))
		return true;
	if (!g_is(g, "("))
		return false;
	do {
		if (!g_string(g, &s) || s.n == 0 || !g_is(g, " ") || !g_string(g, &s))
			return false;
	} while (g_is(g, " "));
	return g_is(g, ")");
}

/* SP body-fld-dsp SP body-fld-lang SP body-fld-loc */
static inline bool
g_extension(struct grammar *g)
{
	struct slice s;

	if (!g_is(g, " "))
		return false;
	if (!g_is(g, "NIL") && (!g_is(g, "(") || !g_string(g, &s) || s.n == 0 || !g_is(g, " ") || !g_params(g) || !g_is(g, ")")))
		return false;
	if (!g_is(g, " "))
		return false;
	if (g_is(g, "(")) {
		do {
			if (!g_string(g, &s))
				return false;
		} while (g_is(g, " "));
		if (!g_is(g, ")"))
			return false;
	} else if (!g_nstring(g, &s)) {
		return false;
	}
	return g_is(g, " ") && g_nstring(g, &s);
}

static inline bool	g_body(struct grammar *);

static inline bool
g_body_1part(struct grammar *g)
{
	struct slice type, subtype, s;
	uint64_t n;

	if (!g_string(g, &type) || !g_is(g, " ") || !g_string(g, &subtype) || !g_is(g, " ") || !g_params(g) || !g_is(g, " ") ||
	    !g_nstring(g, &s) || !g_is(g, " ") || !g_nstring(g, &s) || !g_is(g, " ") || !g_string(g, &s) || s.n == 0 || !g_is(g, " ") ||
	    !g_number(g, &n))
		return false;
	if (type.n == 0 || subtype.n == 0 || slice_is(type, SLICE("MULTIPART")))
		return false;
	if (slice_is(type, SLICE("MESSAGE")) && (slice_is(subtype, SLICE("RFC822")) || (g->is_rev2 && slice_is(subtype, SLICE("GLOBAL"))))) {
		if (!g_is(g, " ") || !g_envelope(g) || !g_is(g, " ") || !g_body(g) || !g_is(g, " ") || !g_number(g, &n))
			return false;
	} else if (slice_is(type, SLICE("TEXT"))) {
		if (!g_is(g, " ") || !g_number(g, &n))
			return false;
	}
	if (g->extended && (!g_is(g, " ") || !g_nstring(g, &s) || !g_extension(g)))
		return false;
	return true;
}

static inline bool
g_body(struct grammar *g)
{
	struct slice s;
	bool ok;

	if (++g->depth > MIME_DEPTH_MAX || !g_is(g, "("))
		return false;
	if (g->p < g->end && *g->p == '(') {
		do {
			if (!g_body(g))
				return false;
		} while (g->p < g->end && *g->p == '(');
		ok = g_is(g, " ") && g_string(g, &s) && s.n > 0;
		if (ok && g->extended)
			ok = g_is(g, " ") && g_params(g) && g_extension(g);
	} else {
		ok = g_body_1part(g);
	}
	g->depth--;
	return ok && g_is(g, ")");
}

static inline bool
grammar_is_envelope(struct slice s)
{
	struct grammar g = {s.p, s.p + s.n, false, 0, false};

	return g_envelope(&g) && g.p == g.end;
}

static inline bool
grammar_is_body(struct slice s, bool extended, bool is_rev2)
{
	struct grammar g = {s.p, s.p + s.n, extended, 0, is_rev2};

	return g_body(&g) && g.p == g.end;
}

/* Every part lies in its parent's body, in order; sizes and lines are what the bytes say. NULL, or what is wrong. */
static inline const char *
tree_fault(struct slice msg, const struct mime_part *root)
{
	const struct mime_part *p = root;
	size_t parts = 0, depth = 1;

	while (p != NULL) {
		const struct mime_part *up = p->parent;
		uint64_t lines = 0, i;

		if (++parts > MIME_PARTS_MAX || depth > MIME_DEPTH_MAX)
			return "too many";
		if (p->header_at + p->header_bytes != p->body_at || p->body_at + p->body_bytes > msg.n)
			return "range";
		if (up != NULL && (p->header_at < up->body_at || p->body_at + p->body_bytes > up->body_at + up->body_bytes))
			return "outside its parent";
		if (p->next != NULL && p->next->header_at < p->body_at + p->body_bytes)
			return "overlaps";
		if ((p->kind == MIME_LEAF) != (p->child == NULL) || (p->kind == MIME_MESSAGE && p->child->next != NULL))
			return "kind";
		for (i = 0; i < p->body_bytes; i++)
			lines += msg.p[p->body_at + i] == '\n';
		if (lines != p->body_lines)
			return "lines";
		if (p->child != NULL) {
			p = p->child;
			depth++;
			continue;
		}
		while (p != NULL && p->next == NULL) {
			p = p->parent;
			depth--;
		}
		if (p != NULL)
			p = p->next;
	}
	return NULL;
}

#endif
