/*
 * Base64 and quoted-printable (RFC 2045 6.7, 6.8) and the "Q" of encoded words (RFC 2047 4.2), decoded as they stream.
 * Called by contains.c and word.c. Pure; a piece may end anywhere. Damaged input gives what can be had of it: bytes
 * outside base64's alphabet are passed over, an "=" that begins nothing is itself.
 */
#include "mime/decode.h"

struct decode
decode_make(struct slice encoding)
{
	struct decode d = {.kind = DECODE_NONE};

	if (slice_is_nocase(encoding, SLICE("base64")))
		d.kind = DECODE_BASE64;
	else if (slice_is_nocase(encoding, SLICE("quoted-printable")))
		d.kind = DECODE_QP;
	return d;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t
base64_feed(struct decode *d, struct slice in, char *out)
{
	size_t i, n = 0;

	for (i = 0; i < in.n; i++) {
		int v = base64_value(in.p[i]);

		if (in.p[i] == '=')	/* padding: what comes after it begins anew */
			d->nbits = 0;
		if (v < 0)
			continue;
		d->bits = d->bits << 6 | (uint32_t)v;
		d->nbits += 6;
		if (d->nbits >= 8) {
			d->nbits -= 8;
			out[n++] = (char)(d->bits >> d->nbits & 0xff);
		}
	}
	return n;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte while "=" or "=X" is held: true when it goes on with that or ends it. *n counts what came out. */
static bool
qp_held(struct decode *d, char c, char *out, size_t *n)
{
	if (c == '\n' && (d->nheld == 1 || d->held[1] == '\r')) {	/* soft line break */
		d->nheld = 0;
		return true;
	}
	if (d->nheld == 1 && (hex_value(c) >= 0 || c == '\r')) {
		d->held[d->nheld++] = c;
		return true;
	}
	if (d->nheld == 2 && d->held[1] != '\r' && hex_value(c) >= 0) {
		out[(*n)++] = (char)(hex_value(d->held[1]) << 4 | hex_value(c));
		d->nheld = 0;
		return true;
	}
	*n += decode_end(d, out + *n);
	return false;
}

static size_t
qp_feed(struct decode *d, struct slice in, char *out)
{
	size_t i, n = 0;

	for (i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (d->nheld > 0 && qp_held(d, c, out, &n))
			continue;
		if (c == '=')
			d->held[d->nheld++] = c;
		else
			out[n++] = c == '_' && d->kind == DECODE_Q ? ' ' : c;
	}
	return n;
}

size_t
decode_feed(struct decode *d, struct slice in, char *out)
{
	switch (d->kind) {
	case DECODE_BASE64:
		return base64_feed(d, in, out);
	case DECODE_QP:
	case DECODE_Q:
		return qp_feed(d, in, out);
	case DECODE_NONE:
		break;
	}
	if (in.n > 0)
		memcpy(out, in.p, in.n);
	return in.n;
}

size_t
decode_end(struct decode *d, char *out)
{
	size_t n = d->nheld;

	memcpy(out, d->held, n);
	d->nheld = 0;
	return n;
}
