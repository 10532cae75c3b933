/*
 * A header value with parameters (RFC 2045 5.1, 2183) and the parameters that RFC 2231 cut in pieces.
 * Called by structure.c for types and boundaries and by bodystructure.c to print. Pieces are joined in
 * order of their numbers up to the first gap; what cannot be joined is told as it stands.
 * Sorting keeps any number of pieces cheap. Charset and percent signs stay as the sender wrote them: "name*"
 * tells a client to decode them.
 */
#include "mime/param.h"

#include <stdlib.h>

#include "mime/header.h"
#include "mime/mime.h"

#define SECTION_NONE	UINT32_MAX

struct param {
	struct slice	name;		/* without section and star */
	struct slice	whole;		/* as it stands */
	struct text	value;
	uint32_t	section;	/* "*n", SECTION_NONE without */
	bool		is_ext;		/* ends in "*": charset and percent signs */
	bool		is_joined;	/* a later piece, told with the first */
	size_t		order;
};

/* token := 1*<any CHAR except SPACE, CTLs or tspecials> (RFC 2045 5.1) */
static bool
is_token_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static struct slice
drop(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

/* [CFWS] */
static struct slice
skip_space(struct slice s)
{
	while (s.n > 0) {
		if (s.p[0] == '(')
			s = drop(s, text_skip(s));
		else if (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r' || s.p[0] == '\n')
			s = drop(s, 1);
		else
			break;
	}
	return s;
}

static struct slice
token(struct slice *s)
{
	struct slice t = {s->p, 0};

	while (t.n < s->n && is_token_char(s->p[t.n]))
		t.n++;
	*s = drop(*s, t.n);
	return t;
}

/* To the ";" that ends this parameter; quotes hide it. */
static struct slice
skip_param(struct slice s)
{
	while (s.n > 0 && s.p[0] != ';')
		s = drop(s, s.p[0] == '"' ? text_skip(s) : 1);
	return s;
}

struct slice
param_token(struct slice value, struct slice *rest_out)
{
	struct slice s = skip_space(value), t = token(&s);

	if (t.n > PARAM_TOKEN_MAX_BYTES)
		t.n = 0;
	*rest_out = skip_param(s);
	return t;
}

struct content
content_type_parse(struct slice value, bool in_digest)
{
	struct slice s = skip_space(value.p == NULL ? SLICE("") : value);
	struct content c = {.is_default = false};

	c.type = token(&s);
	s = skip_space(s);
	if (c.type.n > 0 && s.n > 0 && s.p[0] == '/') {
		s = skip_space(drop(s, 1));
		c.subtype = token(&s);
		c.rest = skip_param(s);
		if (c.subtype.n > 0 && c.type.n <= PARAM_TOKEN_MAX_BYTES && c.subtype.n <= PARAM_TOKEN_MAX_BYTES)
			return c;
	}
	if (value.p == NULL && in_digest)
		return (struct content){SLICE("message"), SLICE("rfc822"), SLICE(""), true};
	return (struct content){SLICE("text"), SLICE("plain"), SLICE(""), true};
}

struct content
content_type(struct slice header, bool in_digest)
{
	struct slice value;

	if (!mime_header_get(header, "content-type", &value))
		value = (struct slice){NULL, 0};
	return content_type_parse(value, in_digest);
}

bool
content_is(const struct content *c, const char *type, const char *subtype)
{
	return slice_is_nocase(c->type, slice_of(type)) && (subtype == NULL || slice_is_nocase(c->subtype, slice_of(subtype)));
}

/* section := "*0" / "*" 1-9 *DIGIT (RFC 2231 7): cuts it and the last star off the name. */
static void
param_name(struct param *p)
{
	struct slice n = p->whole;
	uint32_t section = 0;
	size_t i;

	p->name = n;
	p->section = SECTION_NONE;
	if (n.n > 1 && n.p[n.n - 1] == '*') {
		p->is_ext = true;
		n.n--;
	}
	for (i = n.n; i > 0 && n.p[i - 1] >= '0' && n.p[i - 1] <= '9'; i--)
		;
	if (i < 2 || n.p[i - 1] != '*' || i == n.n || n.n - i > 6 || (n.p[i] == '0' && n.n - i > 1)) {
		p->name.n = n.n;
		return;
	}
	for (p->name.n = i - 1; i < n.n; i++)
		section = section * 10 + (uint32_t)(n.p[i] - '0');
	p->section = section;
}

/* parameter := attribute "=" value at *s, after its ";". False for what is none. */
static bool
param_parse(struct slice *s, struct param *out)
{
	struct slice v, end;

	*s = skip_space(*s);
	*out = (struct param){.section = SECTION_NONE};
	out->whole = token(s);
	*s = skip_space(*s);
	if (out->whole.n == 0 || out->whole.n > PARAM_TOKEN_MAX_BYTES || s->n == 0 || s->p[0] != '=') {
		*s = skip_param(*s);
		return false;
	}
	v = skip_space(drop(*s, 1));
	if (v.n > 0 && v.p[0] == '"') {
		size_t n = text_skip(v);

		out->value = text_make(TEXT_PHRASE, (struct slice){v.p, n});
		end = skip_param(drop(v, n));
	} else {
		for (end = v; end.n > 0 && end.p[0] != ';'; end = drop(end, 1))
			;
		out->value = text_make(TEXT_TOKEN, header_trim((struct slice){v.p, v.n - end.n}));
	}
	param_name(out);
	*s = end;
	return true;
}

/* The next parameter of "; a=b; c=d". */
static bool
param_next(struct slice *rest, struct param *out)
{
	while (rest->n > 0) {
		*rest = drop(*rest, 1);
		if (param_parse(rest, out))
			return true;
	}
	return false;
}

struct text
param_get(struct slice params, const char *name)
{
	struct param p;

	while (param_next(&params, &p))
		if (p.section == SECTION_NONE && !p.is_ext && slice_is_nocase(p.name, slice_of(name)))
			return p.value;
	return text_make(TEXT_UNFOLD, SLICE(""));
}

/* By name, section, then as they came. */
static int
param_compare(const void *va, const void *vb)
{
	const struct param *a = *(const struct param *const *)va, *b = *(const struct param *const *)vb;
	int r;

	if (a->name.n != b->name.n)
		return a->name.n < b->name.n ? -1 : 1;
	if ((r = strncasecmp(a->name.p, b->name.p, a->name.n)) != 0)
		return r;
	if (a->section != b->section)
		return a->section < b->section ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* Parameters of a field, as they came and sorted. On the stack: bounded by PARAMS_MAX. */
struct params {
	struct param	 all[PARAMS_MAX];
	struct param	*sorted[PARAMS_MAX];
	size_t		 n;
};

/*
 * How many entries of sorted, from first on, are one parameter: 1, or with section 0 all that follow without a gap.
 * A section given twice counts once.
 */
static size_t
pieces_count(const struct params *ps, size_t first)
{
	uint32_t next = 1;
	size_t i;

	if (ps->sorted[first]->section != 0)
		return 1;
	for (i = first + 1; i < ps->n && slice_is_nocase(ps->sorted[i]->name, ps->sorted[first]->name); i++) {
		if (ps->sorted[i]->section == next)
			next++;
		else if (ps->sorted[i]->section != next - 1)
			break;
	}
	return i - first;
}

static void
params_parse(struct slice rest, struct params *ps)
{
	size_t i, k;

	for (ps->n = 0; ps->n < PARAMS_MAX && param_next(&rest, &ps->all[ps->n]); ps->n++) {
		ps->all[ps->n].order = ps->n;
		ps->sorted[ps->n] = &ps->all[ps->n];
	}
	qsort(ps->sorted, ps->n, sizeof(ps->sorted[0]), param_compare);
	for (i = 0; i < ps->n; i++)
		ps->sorted[i]->order = i;	/* from here on: where it stands in sorted */
	for (i = 0; i < ps->n; i += pieces_count(ps, i))
		for (k = 1; k < pieces_count(ps, i); k++)
			ps->sorted[i + k]->is_joined = true;
}

/* attribute-char and what else may stand in an extended value (RFC 2231 7) */
static bool
is_ext_char(int c)
{
	return c < 0x7f && is_token_char((char)c) && c != '*' && c != '\'' && c != '%';
}

/* The value of n pieces put together. Bytes of plain pieces in an extended value are percent-encoded. */
static int
pieces_join(struct param *const *piece, size_t n, struct arena *arena, struct slice *out)
{
	static const char hex[] = "0123456789ABCDEF";
	bool is_ext = piece[0]->is_ext;
	uint32_t section = piece[0]->section;
	size_t i, bytes = 0;
	char *to;

	for (i = 0; i < n; i++)
		bytes += piece[i]->value.rest.n * (is_ext && !piece[i]->is_ext ? 3 : 1);
	if ((to = ARENA_NEW(arena, char, bytes + 1)) == NULL)
		return -1;
	out->p = to;
	for (i = 0; i < n; i++) {
		struct text t = piece[i]->value;
		int c;

		if (piece[i]->section != section)
			continue;
		section++;
		while ((c = text_next(&t)) != -1) {
			if (!is_ext || piece[i]->is_ext || is_ext_char(c)) {
				*to++ = (char)c;
			} else {
				*to++ = '%';
				*to++ = hex[c >> 4];
				*to++ = hex[c & 15];
			}
		}
	}
	out->n = (size_t)(to - out->p);
	return 0;
}

int
param_boundary(struct slice params, struct arena *arena, struct slice *out)
{
	struct params ps;
	size_t i;

	*out = SLICE("");
	params_parse(params, &ps);
	for (i = 0; i < ps.n; i++) {
		struct param *p = &ps.all[i];

		if (!slice_is_nocase(p->name, SLICE("boundary")) || p->is_ext || p->is_joined)
			continue;
		if (pieces_join(ps.sorted + p->order, pieces_count(&ps, p->order), arena, out) == -1)
			return -1;
		while (out->n > 0 && (out->p[out->n - 1] == ' ' || out->p[out->n - 1] == '\t'))
			out->n--;
		break;
	}
	return 0;
}

/* string SP string */
static int
param_put_one(const struct params *ps, const struct param *p, struct arena *arena, struct buf *out)
{
	struct text value = p->value;

	if (p->section != 0) {
		if (text_put_upper(out, p->whole) == -1)
			return -1;
	} else {
		struct slice joined;

		if (pieces_join(ps->sorted + p->order, pieces_count(ps, p->order), arena, &joined) == -1)
			return -1;
		if (text_put_upper(out, p->name) == -1)
			return -1;
		if (p->is_ext) {	/* the star goes inside the quotes */
			out->n--;
			if (buf_add_str(out, "*\"") == -1)
				return -1;
		}
		value = text_make(TEXT_UNFOLD, joined);
	}
	return buf_add_str(out, " ") == -1 ? -1 : text_put(out, value);
}

int
param_put(struct slice params, struct arena *arena, struct buf *out)
{
	struct params ps;
	size_t i, begin = out->n;

	params_parse(params, &ps);
	for (i = 0; i < ps.n; i++) {
		if (ps.all[i].is_joined)
			continue;
		if (buf_add_str(out, out->n == begin ? "(" : " ") == -1)
			return -1;
		if (param_put_one(&ps, &ps.all[i], arena, out) == -1)
			return -1;
	}
	return buf_add_str(out, out->n == begin ? "NIL" : ")");
}
