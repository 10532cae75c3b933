/*
 * Mailbox names: a client's form to and from the inside form, modified UTF-7, and LIST's match.
 * Called by the IMAP code, the store, placement and mupdated, always with names a stranger chose.
 * Pure: no I/O, no heap; time is bounded by the lengths. It never lets through a name that could be
 * taken for a path. RFC 3501 5.1, 5.1.3 and 6.3.8; RFC 9051 5.1; RFC 2781 (UTF-16).
 */
#include "mboxname.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <utf8proc.h>

#include "address.h"

/* A client's form may be longer than the inside form: "&-" for '&', and 7-bit letters for UTF-8. */
#define CLIENT_MAX_BYTES	(4 * MBOXNAME_MAX_BYTES)
/* Code points while normalising: the longest canonical decomposition takes 4, and reencoding one more. */
#define NFC_MAX_POINTS		(4 * MBOXNAME_MAX_BYTES + 1)

static const struct slice user_root = {"user.", 5};
static const struct slice inbox_name = {"INBOX", 5};

/* Base64 of RFC 3501 5.1.3: "," for "/". The value of a letter, -1 for none. */
static int
mutf7_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == ',' ? 63 : -1;
}

static char
mutf7_letter(unsigned value)
{
	return "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"[value & 63];
}

/* What modified UTF-7 must write as itself, "&" apart. */
static bool
is_direct(int32_t point)
{
	return point >= 0x20 && point <= 0x7e;
}

/* Writes a code point as UTF-8; false when it does not fit. */
static bool
point_write(int32_t point, char *out, size_t cap, size_t *at)
{
	utf8proc_uint8_t bytes[4];
	utf8proc_ssize_t n = utf8proc_encode_char(point, bytes);

	if (n <= 0 || (size_t)n > cap - *at)
		return false;
	memcpy(out + *at, bytes, (size_t)n);
	*at += (size_t)n;
	return true;
}

/*
 * One UTF-16 unit of a shifted run. Surrogates must pair, and what could have been written directly
 * must not stand here. *high: a high surrogate waiting for its other half, 0 for none.
 */
static bool
unit_add(uint32_t unit, uint32_t *high, char *out, size_t cap, size_t *at)
{
	int32_t point = (int32_t)unit;

	if (*high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		point = (int32_t)(0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
		*high = 0;
	} else if (unit >= 0xd800 && unit <= 0xdbff) {
		*high = unit;
		return true;
	} else if (unit >= 0xdc00 && unit <= 0xdfff) {
		return false;
	}
	return !is_direct(point) && point_write(point, out, cap, at);
}

/*
 * A shifted run: after "&", up to and with "-". Moves *i past it. The bits left over at the end must be
 * fewer than a letter's and zero: else another spelling would mean the same.
 */
static bool
run_decode(struct slice in, size_t *i, char *out, size_t cap, size_t *at)
{
	uint32_t bits = 0, high = 0;
	unsigned nbits = 0;
	size_t k = *i;

	for (; k < in.n && in.p[k] != '-'; k++) {
		int v = mutf7_value((unsigned char)in.p[k]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0x3fffff;
		nbits += 6;
		if (nbits < 16)
			continue;
		nbits -= 16;
		if (!unit_add(bits >> nbits & 0xffff, &high, out, cap, at))
			return false;
	}
	if (k == in.n || k == *i || high != 0 || nbits >= 6 || (bits & ((1U << nbits) - 1)) != 0)
		return false;
	*i = k + 1;
	return true;
}

/* RFC 3501 5.1.3, in its one canonical spelling. */
long
mutf7_decode(struct slice in, char *out, size_t cap)
{
	size_t at = 0, i = 0;
	bool after_run = false;

	while (i < in.n) {
		unsigned char c = (unsigned char)in.p[i++];

		if (!is_direct(c))
			return -1;
		if (c == '&' && i < in.n && in.p[i] != '-') {
			if (after_run || !run_decode(in, &i, out, cap, &at))
				return -1;
			after_run = true;
			continue;
		}
		if (c == '&' && i++ == in.n)
			return -1;
		if (at == cap)
			return -1;
		out[at++] = (char)c;
		after_run = false;
	}
	return at > LONG_MAX ? -1 : (long)at;
}

/* Bits of a shifted run being written. */
struct run {
	uint32_t	bits;
	unsigned	nbits;
	bool		is_open;
};

static bool
byte_write(char c, char *out, size_t cap, size_t *at)
{
	if (*at == cap)
		return false;
	out[(*at)++] = c;
	return true;
}

static bool
run_unit(struct run *r, uint32_t unit, char *out, size_t cap, size_t *at)
{
	if (!r->is_open && !byte_write('&', out, cap, at))
		return false;
	r->is_open = true;
	r->bits = (r->bits << 16 | unit) & 0x3fffff;
	for (r->nbits += 16; r->nbits >= 6; r->nbits -= 6)
		if (!byte_write(mutf7_letter(r->bits >> (r->nbits - 6)), out, cap, at))
			return false;
	return true;
}

static bool
run_close(struct run *r, char *out, size_t cap, size_t *at)
{
	if (!r->is_open)
		return true;
	if (r->nbits > 0 && !byte_write(mutf7_letter(r->bits << (6 - r->nbits)), out, cap, at))
		return false;
	*r = (struct run){0};
	return byte_write('-', out, cap, at);
}

static bool
point_encode(struct run *r, int32_t point, char *out, size_t cap, size_t *at)
{
	if (is_direct(point))
		return run_close(r, out, cap, at) && byte_write((char)point, out, cap, at) &&
		    (point != '&' || byte_write('-', out, cap, at));
	if (point < 0x10000)
		return run_unit(r, (uint32_t)point, out, cap, at);
	return run_unit(r, 0xd800 + ((uint32_t)(point - 0x10000) >> 10), out, cap, at) &&
	    run_unit(r, 0xdc00 + ((uint32_t)(point - 0x10000) & 0x3ff), out, cap, at);
}

long
mutf7_encode(struct slice in, char *out, size_t cap)
{
	struct run r = {0};
	size_t at = 0, i = 0;

	while (i < in.n) {
		utf8proc_int32_t point;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)in.p + i,
		    (utf8proc_ssize_t)(in.n - i), &point);

		if (n <= 0 || !point_encode(&r, point, out, cap, &at))
			return -1;
		i += (size_t)n;
	}
	if (!run_close(&r, out, cap, &at) || at > LONG_MAX)
		return -1;
	return (long)at;
}

/* RFC 9051 5.1: names are Net-Unicode, which is in this form. */
long
mboxname_nfc(struct slice in, char *out, size_t cap)
{
	utf8proc_int32_t points[NFC_MAX_POINTS];
	const utf8proc_option_t how = UTF8PROC_COMPOSE | UTF8PROC_STABLE;
	utf8proc_ssize_t n;

	if (in.n > CLIENT_MAX_BYTES)
		return -1;
	n = utf8proc_decompose((const utf8proc_uint8_t *)in.p, (utf8proc_ssize_t)in.n, points,
	    NFC_MAX_POINTS - 1, how);
	if (n < 0 || n > NFC_MAX_POINTS - 1)
		return -1;
	n = utf8proc_reencode(points, n, how);
	if (n < 0 || (size_t)n > cap)
		return -1;
	memcpy(out, points, (size_t)n);
	return (long)n;
}

/*
 * True where the UTF-8 has no character that a name may not hold: C0 and C1 controls, DEL, the line and
 * paragraph separators (RFC 9051 5.1), LIST's wildcards.
 */
static bool
has_only_name_chars(struct slice s)
{
	for (size_t i = 0; i < s.n;) {
		utf8proc_int32_t c;
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p + i,
		    (utf8proc_ssize_t)(s.n - i), &c);

		if (n <= 0 || c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == '%' ||
		    c == '*')
			return false;
		i += (size_t)n;
	}
	return true;
}

/* The component at *at up to the next separator; moves *at past both. False at the end. */
static bool
part_next(struct slice s, size_t *at, char separator, struct slice *part_out)
{
	const char *end;

	if (*at > s.n)
		return false;
	end = s.n > *at ? memchr(s.p + *at, separator, s.n - *at) : NULL;
	*part_out = (struct slice){s.p + *at, end != NULL ? (size_t)(end - s.p) - *at : s.n - *at};
	*at += part_out->n + 1;
	return true;
}

/* One component of either form; dot is how a dot is written in it. */
static bool
part_is_valid(struct slice part, char dot)
{
	if (part.n == 0 || part.n > MBOXNAME_PART_MAX_BYTES)
		return false;
	return !(part.p[0] == dot && (part.n == 1 || (part.n == 2 && part.p[1] == dot)));
}

/* Appends a byte string with every `from` as `to`. */
static bool
name_add(struct mboxname *name, struct slice s, char from, char to)
{
	if (s.n > MBOXNAME_MAX_BYTES - name->n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		name->s[name->n++] = s.p[i] == from ? to : s.p[i];
	name->s[name->n] = '\0';
	return true;
}

void
mboxname_inbox(struct slice user, struct mboxname *out)
{
	assert(user.n > 0 && user.n <= USER_MAX_BYTES);
	out->n = 0;
	(void)name_add(out, user_root, '\0', '\0');
	(void)name_add(out, user, '.', '^');
}

/* A client's components below user's root, already normalised. */
static enum parse
parts_from_client(struct slice user, struct slice name, struct mboxname *out)
{
	struct slice part;
	size_t at = 0, depth = 2;

	mboxname_inbox(user, out);
	if (slice_is_nocase(name, inbox_name))
		return PARSE_OK;
	while (part_next(name, &at, '/', &part)) {
		if (!part_is_valid(part, '.') || ++depth > MBOXNAME_DEPTH_MAX)
			return PARSE_BAD;
		if (depth == 3 && slice_is_nocase(part, inbox_name))
			part = inbox_name;
		if (!name_add(out, SLICE("."), '\0', '\0') || !name_add(out, part, '.', '^'))
			return PARSE_BAD;
	}
	return PARSE_OK;
}

enum parse
mboxname_from_client(struct slice user, struct slice name, bool mutf7, bool trailing, struct mboxname *out)
{
	char utf8[CLIENT_MAX_BYTES], composed[CLIENT_MAX_BYTES];
	long n;

	if (trailing && name.n > 1 && name.p[name.n - 1] == '/')
		name.n--;
	if (mutf7) {
		n = mutf7_decode(name, utf8, sizeof(utf8));
		if (n < 0)
			return PARSE_BAD;
		name = (struct slice){utf8, (size_t)n};
	}
	n = mboxname_nfc(name, composed, sizeof(composed));
	if (n <= 0)
		return PARSE_BAD;
	name = (struct slice){composed, (size_t)n};
	if (!has_only_name_chars(name) || memchr(name.p, '^', name.n) != NULL)
		return PARSE_BAD;
	return parts_from_client(user, name, out);
}

size_t
mboxname_to_client(struct slice user, struct slice inside, bool mutf7, char *out)
{
	struct mboxname root, name = {.n = 0};
	long n;

	mboxname_inbox(user, &root);
	if (inside.n < root.n || memcmp(inside.p, root.s, root.n) != 0)
		return 0;
	if (inside.n == root.n) {
		memcpy(out, inbox_name.p, inbox_name.n);
		return inbox_name.n;
	}
	if (!mboxname_is_valid(inside) || inside.p[root.n] != '.')
		return 0;
	inside = (struct slice){inside.p + root.n + 1, inside.n - root.n - 1};
	for (size_t i = 0; i < inside.n; i++)
		name.s[name.n++] = inside.p[i] == '.' ? '/' : inside.p[i] == '^' ? '.' : inside.p[i];
	if (!mutf7) {
		memcpy(out, name.s, name.n);
		return name.n;
	}
	n = mutf7_encode((struct slice){name.s, name.n}, out, CLIENT_MAX_BYTES);
	return n < 0 ? 0 : (size_t)n;
}

bool
mboxname_user(struct slice inside, char *out)
{
	struct slice part;
	size_t at = user_root.n;

	if (inside.n <= user_root.n || memcmp(inside.p, user_root.p, user_root.n) != 0)
		return false;
	(void)part_next(inside, &at, '.', &part);
	if (part.n > USER_MAX_BYTES)
		return false;
	for (size_t i = 0; i < part.n; i++)
		out[i] = part.p[i] == '^' ? '.' : part.p[i];
	out[part.n] = '\0';
	return user_is_valid((struct slice){out, part.n});
}

bool
mboxname_is_valid(struct slice inside)
{
	char composed[MBOXNAME_MAX_BYTES];
	struct slice part;
	size_t at = 0, depth = 0;
	bool is_users;
	long n;

	if (inside.n == 0 || inside.n > MBOXNAME_MAX_BYTES)
		return false;
	n = mboxname_nfc(inside, composed, sizeof(composed));
	if (n < 0 || !slice_is(inside, (struct slice){composed, (size_t)n}))
		return false;
	if (!has_only_name_chars(inside) || memchr(inside.p, '/', inside.n) != NULL)
		return false;
	is_users = inside.n > user_root.n && memcmp(inside.p, user_root.p, user_root.n) == 0;
	while (part_next(inside, &at, '.', &part)) {
		if (!part_is_valid(part, '^') || ++depth > MBOXNAME_DEPTH_MAX)
			return false;
		if (!is_users || depth != 3)
			continue;
		/* "user.alice.INBOX" itself and other spellings of it are what no client could name. */
		if (slice_is_nocase(part, inbox_name) && (!slice_is(part, inbox_name) || at > inside.n))
			return false;
	}
	return true;
}

/*
 * LIST's match. The set of positions in the name that the pattern so far can reach is a bit set, and a
 * pattern character moves the whole set at once: the time is (bytes of pattern) * (bytes of name / 64)
 * however the wildcards are arranged, and there is nothing to backtrack.
 */
#define REACH_WORDS	(CLIENT_MAX_BYTES / 64 + 1)	/* positions 0 .. CLIENT_MAX_BYTES */

struct reach {
	uint64_t	at[REACH_WORDS];		/* bit i: i bytes of the name are matched */
	uint64_t	of[256][REACH_WORDS];		/* bit i of of[c]: the name's byte i is c; only rows seen[c] are set */
	bool		seen[256];
	size_t		nwords;
};

static void
reach_make(struct reach *r, struct slice name)
{
	memset(r->seen, 0, sizeof(r->seen));
	r->nwords = name.n / 64 + 1;
	memset(r->at, 0, r->nwords * sizeof(r->at[0]));
	r->at[0] = 1;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (!r->seen[c])
			memset(r->of[c], 0, r->nwords * sizeof(r->of[c][0]));
		r->seen[c] = true;
		r->of[c][i / 64] |= 1ULL << (i % 64);
	}
}

/* A literal byte. False once nothing can be reached. */
static bool
reach_byte(struct reach *r, unsigned char c)
{
	uint64_t carry = 0, any = 0;

	if (!r->seen[c])
		return false;
	for (size_t w = 0; w < r->nwords; w++) {
		uint64_t hit = r->at[w] & r->of[c][w];

		r->at[w] = hit << 1 | carry;
		carry = hit >> 63;
		any |= r->at[w];
	}
	return any != 0;
}

/* '*': every position from the first one reached. */
static void
reach_any(struct reach *r)
{
	size_t w = 0;

	while (r->at[w] == 0)
		w++;
	r->at[w] = -(r->at[w] & -r->at[w]);
	while (++w < r->nwords)
		r->at[w] = UINT64_MAX;
}

/* '%': from every position reached onwards up to the next separator; doubling steps within a word. */
static void
reach_level(struct reach *r, unsigned char separator)
{
	uint64_t carry = 0;

	for (size_t w = 0; w < r->nwords; w++) {
		uint64_t is_sep = r->seen[separator] ? r->of[separator][w] : 0;
		uint64_t from = r->at[w] | carry, enter = ~(is_sep << 1);

		for (unsigned step = 1; step < 64; step *= 2) {
			from |= enter & from << step;
			enter &= enter << step;
		}
		r->at[w] = from;
		carry = (from & ~is_sep) >> 63;
	}
}

bool
mboxname_match(struct slice pattern, struct slice name, char separator)
{
	struct reach r;
	size_t i = 0;

	if (name.n > CLIENT_MAX_BYTES)
		return false;
	reach_make(&r, name);
	while (i < pattern.n) {
		bool any = false, level = false;

		/* A run of wildcards is worth its strongest. */
		for (; i < pattern.n && (pattern.p[i] == '*' || pattern.p[i] == '%'); i++) {
			any = any || pattern.p[i] == '*';
			level = true;
		}
		if (any)
			reach_any(&r);
		else if (level)
			reach_level(&r, (unsigned char)separator);
		else if (!reach_byte(&r, (unsigned char)pattern.p[i++]))
			return false;
	}
	return (r.at[name.n / 64] >> (name.n % 64) & 1) != 0;
}
