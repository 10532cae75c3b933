/*
 * Header blocks (RFC 5322 2.2, with the obsolete white space before the colon): where a field
 * begins and ends, which fields a client asked for. Called by everything in mime/ and by IMAP's FETCH
 * and SEARCH. Pure; never unfolds or changes a byte of what it gives back. A header goes on to the first
 * empty line: a line without a colon is kept as a field without a name.
 */
#include "mime/header.h"

#include "mime/mime.h"

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

size_t
header_line(struct slice in)
{
	const char *nl;

	if (in.n == 0)
		return 0;
	nl = memchr(in.p, '\n', in.n);
	return nl == NULL ? in.n : (size_t)(nl - in.p) + 1;
}

bool
header_line_is_empty(struct slice line)
{
	return (line.n == 1 && line.p[0] == '\n') || (line.n == 2 && line.p[0] == '\r' && line.p[1] == '\n');
}

struct slice
header_range(struct slice message, uint64_t at, uint64_t n)
{
	return n == 0 ? SLICE("") : (struct slice){message.p + at, n};
}

struct slice
header_trim(struct slice s)
{
	while (s.n > 0 && (is_wsp(s.p[0]) || s.p[0] == '\r' || s.p[0] == '\n'))
		s.p++, s.n--;
	while (s.n > 0 && (is_wsp(s.p[s.n - 1]) || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
		s.n--;
	return s;
}

/* A name is printable ASCII but the colon (RFC 5322 2.2); anything else makes the line nobody's field. */
static struct slice
field_name(struct slice s)
{
	size_t i;

	while (s.n > 0 && is_wsp(s.p[s.n - 1]))
		s.n--;
	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return (struct slice){s.p, 0};
	return s;
}

bool
header_next(struct slice *rest, struct header_field *out)
{
	struct slice line = {rest->p, header_line(*rest)};
	size_t n = line.n;
	const char *colon;

	if (n == 0 || header_line_is_empty(line))
		return false;
	while (n < rest->n && is_wsp(rest->p[n]) && rest->p[n - 1] == '\n')
		n += header_line((struct slice){rest->p + n, rest->n - n});
	out->raw = (struct slice){rest->p, n};
	out->name = (struct slice){rest->p, 0};
	out->value = header_trim(out->raw);
	colon = memchr(line.p, ':', line.n);
	if (colon != NULL) {
		out->name = field_name((struct slice){line.p, (size_t)(colon - line.p)});
		out->value = header_trim((struct slice){colon + 1, (size_t)(rest->p + n - colon) - 1});
	}
	rest->p += n;
	rest->n -= n;
	return true;
}

uint64_t
mime_header_bytes(struct slice message)
{
	size_t at = 0, n;

	while (at < message.n) {
		struct slice line = {message.p + at, 0};

		line.n = n = header_line((struct slice){message.p + at, message.n - at});
		at += n;
		if (header_line_is_empty(line))
			break;
	}
	return at;
}

bool
mime_header_get(struct slice header, const char *name, struct slice *value_out)
{
	struct slice want = slice_of(name);
	struct header_field f;

	while (header_next(&header, &f))
		if (slice_is_nocase(f.name, want)) {
			*value_out = f.value;
			return true;
		}
	return false;
}

/* Eight bits of a name, whatever its case: sorts out most fields without comparing them with every name asked for. */
static unsigned
name_bucket(struct slice name)
{
	unsigned h = (unsigned)name.n;
	size_t i;

	for (i = 0; i < name.n; i++)
		h = h * 31 + ((unsigned char)name.p[i] | 0x20U);
	return (h ^ h >> 8 ^ h >> 16) & 0xff;
}

static bool
name_is_asked(struct slice name, const struct slice *names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (slice_is_nocase(name, names[i]))
			return true;
	return false;
}

int
mime_header_fields(struct slice header, const struct slice *names, size_t n, bool is_not, struct buf *out)
{
	bool asked[256] = {false};
	struct header_field f;
	size_t i;

	for (i = 0; i < n; i++)
		asked[name_bucket(names[i])] = true;
	while (header_next(&header, &f)) {
		bool is_asked = f.name.n > 0 && asked[name_bucket(f.name)] && name_is_asked(f.name, names, n);

		if (is_asked == is_not)
			continue;
		if (buf_add_slice(out, f.raw) == -1)
			return -1;
		if (f.raw.p[f.raw.n - 1] != '\n' && buf_add_str(out, "\r\n") == -1)
			return -1;
	}
	return buf_add_str(out, "\r\n");
}
