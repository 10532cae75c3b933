/*
 * The log-record format: a header line, an extra, a body, a trailer line. Called by whoever appends,
 * scans or replays a log (spoold's store, its committer, rotated). Pure functions: no I/O, no heap but
 * the caller's buffer. A parser here must never accept a line whose salted checksum does not hold,
 * since mail may contain anything, also a perfect record of another salt.
 */
#include "record.h"

#include <assert.h>

#include <isa-l/crc.h>

#include "pack.h"

#define HEAD_MAGIC	"TSR1 "
#define TRAILER_MAGIC	"TST1 "
#define MAGIC_BYTES	5
#define CRC32C_POLYNOMIAL	0x82f63b78U	/* RFC 3720 12.1, bits reversed */
#define CRC_PIECE_BYTES	(1U << 30)	/* crc32_iscsi takes an int */
/* The checksum and its LF end both lines. */
#define HEAD_SUMMED	(RECORD_HEADER_BYTES - 9)
#define TRAILER_SUMMED	(RECORD_TRAILER_BYTES - 9)

/* A cursor over the fixed fields of a line; bad once something is not as it must be. */
struct fields {
	const char	*p;
	bool		 bad;
};

uint32_t
record_crc(uint32_t salt_or_previous, struct slice s)
{
	uint32_t crc = salt_or_previous;

	while (s.n > 0) {
		size_t n = s.n < CRC_PIECE_BYTES ? s.n : CRC_PIECE_BYTES;

		/* ISA-L only reads, whatever its prototype says. */
		crc = crc32_iscsi((unsigned char *)(uintptr_t)s.p, (int)n, crc);
		s.p += n;
		s.n -= n;
	}
	return crc;
}

static char *
put_hex(char *p, uint64_t v, int digits, char after)
{
	for (int i = digits - 1; i >= 0; i--, v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	p[digits] = after;
	return p + digits + 1;
}

static char *
put_id(char *p, const unsigned char *id)
{
	for (size_t i = 0; i < RECORD_ID_BYTES; i++, p += 2) {
		p[0] = "0123456789abcdef"[id[i] >> 4];
		p[1] = "0123456789abcdef"[id[i] & 15];
	}
	*p = ' ';
	return p + 1;
}

/* The value of a lower-case hexadecimal digit, -1 for anything else. */
static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static uint64_t
take_hex(struct fields *f, int digits, char after)
{
	uint64_t v = 0;

	for (int i = 0; i < digits; i++) {
		int d = digit(f->p[i]);

		if (d < 0)
			f->bad = true;
		v = v << 4 | (uint64_t)(d & 15);
	}
	if (f->p[digits] != after)
		f->bad = true;
	f->p += digits + 1;
	return v;
}

static void
take_id(struct fields *f, unsigned char *id_out)
{
	for (size_t i = 0; i < RECORD_ID_BYTES; i++, f->p += 2) {
		int hi = digit(f->p[0]), lo = digit(f->p[1]);

		if (hi < 0 || lo < 0)
			f->bad = true;
		id_out[i] = (unsigned char)((hi & 15) << 4 | (lo & 15));
	}
	if (*f->p++ != ' ')
		f->bad = true;
}

static bool
is_type(char c)
{
	return c != '\0' && strchr("SMBLFXCRDUANVPmbEZOG", c) != NULL;
}

void
record_pack_head(struct buf *out, struct record *r, uint32_t salt)
{
	char line[RECORD_HEADER_BYTES], *p = line;

	memcpy(p, HEAD_MAGIC, MAGIC_BYTES);
	p += MAGIC_BYTES;
	*p++ = (char)r->type;
	*p++ = ' ';
	p = put_hex(p, r->extra.n, 8, ' ');
	p = put_hex(p, r->body_bytes, 16, ' ');
	p = put_hex(p, r->modseq, 16, ' ');
	p = put_id(p, r->mailbox);
	p = put_hex(p, r->uid, 8, ' ');
	p = put_hex(p, (uint64_t)r->date_ms, 16, ' ');
	p = put_hex(p, r->flags, 8, ' ');
	p = put_id(p, r->guid);
	assert(p == line + HEAD_SUMMED);
	r->header_crc = record_crc(record_crc(salt, (struct slice){line, HEAD_SUMMED}), r->extra);
	put_hex(p, r->header_crc, 8, '\n');
	pack_bytes(out, line, sizeof(line));
	pack_bytes(out, r->extra.p, r->extra.n);
}

void
record_pack_trailer(struct buf *out, const struct record *r, uint32_t salt)
{
	char line[RECORD_TRAILER_BYTES], *p = line;

	memcpy(p, TRAILER_MAGIC, MAGIC_BYTES);
	p += MAGIC_BYTES;
	p = put_hex(p, r->start, 16, ' ');
	p = put_hex(p, r->header_crc, 8, ' ');
	p = put_hex(p, r->body_crc, 8, ' ');
	p = put_hex(p, r->epoch, 8, ' ');
	p = put_hex(p, r->next_modseq, 16, ' ');
	p = put_hex(p, r->next_uid, 8, ' ');
	assert(p == line + TRAILER_SUMMED);
	put_hex(p, record_crc(salt, (struct slice){line, TRAILER_SUMMED}), 8, '\n');
	pack_bytes(out, line, sizeof(line));
}

/* The header's fields, checksum taken but not compared. False when it cannot be a header line. */
static bool
parse_line(const char *line, struct record *out, uint32_t *xlen_out)
{
	struct fields f = {.p = line + MAGIC_BYTES + 2};

	*out = (struct record){0};
	if (memcmp(line, HEAD_MAGIC, MAGIC_BYTES) != 0 || !is_type(line[MAGIC_BYTES]) || line[MAGIC_BYTES + 1] != ' ')
		return false;
	out->type = (enum record_type)(unsigned char)line[MAGIC_BYTES];
	*xlen_out = (uint32_t)take_hex(&f, 8, ' ');
	out->body_bytes = take_hex(&f, 16, ' ');
	out->modseq = take_hex(&f, 16, ' ');
	take_id(&f, out->mailbox);
	out->uid = (uint32_t)take_hex(&f, 8, ' ');
	out->date_ms = (int64_t)take_hex(&f, 16, ' ');
	out->flags = (uint32_t)take_hex(&f, 8, ' ');
	take_id(&f, out->guid);
	out->header_crc = (uint32_t)take_hex(&f, 8, '\n');
	return !f.bad && *xlen_out <= RECORD_EXTRA_MAX_BYTES && out->body_bytes <= RECORD_BODY_MAX_BYTES;
}

static enum parse
parse_head(struct slice in, uint32_t salt, bool is_first, struct record *out, size_t *need_out)
{
	struct record r;
	uint32_t xlen;

	*need_out = RECORD_HEADER_BYTES;
	if (in.n < RECORD_HEADER_BYTES)
		return PARSE_MORE;
	if (!parse_line(in.p, &r, &xlen) || (is_first && (r.type != RECORD_SEGMENT || r.body_bytes != 0)))
		return PARSE_BAD;
	*need_out = RECORD_HEADER_BYTES + xlen;
	if (in.n < *need_out)
		return PARSE_MORE;
	if (is_first)
		salt = r.uid;
	r.extra = (struct slice){in.p + RECORD_HEADER_BYTES, xlen};
	if (r.header_crc != record_crc(record_crc(salt, (struct slice){in.p, HEAD_SUMMED}), r.extra))
		return PARSE_BAD;
	*out = r;
	return PARSE_OK;
}

enum parse
record_parse_head(struct slice in, uint32_t salt, struct record *out, size_t *need_out)
{
	return parse_head(in, salt, false, out, need_out);
}

enum parse
record_parse_salt(struct slice in, uint32_t *salt_out, size_t *need_out)
{
	struct record r;
	enum parse got = parse_head(in, 0, true, &r, need_out);

	if (got == PARSE_OK)
		*salt_out = r.uid;
	return got;
}

/* A CRC is undone byte by byte from its end: what is left before the first byte is what it began from. */
static uint32_t
crc_undo(uint32_t crc, const char *p, size_t n)
{
	while (n-- > 0) {
		for (int i = 0; i < 8; i++)
			crc = crc & 0x80000000U ? (crc ^ CRC32C_POLYNOMIAL) << 1 | 1 : crc << 1;
		crc ^= (unsigned char)p[n];
	}
	return crc;
}

bool
record_trailer_salt(struct slice in, uint32_t *salt_out)
{
	struct fields f = {.p = in.p + TRAILER_SUMMED};
	uint32_t crc;

	if (in.n < RECORD_TRAILER_BYTES || memcmp(in.p, TRAILER_MAGIC, MAGIC_BYTES) != 0)
		return false;
	crc = (uint32_t)take_hex(&f, 8, '\n');
	*salt_out = crc_undo(crc, in.p, TRAILER_SUMMED);
	return !f.bad;
}

enum parse
record_parse_trailer(struct slice in, uint32_t salt, struct record *out)
{
	struct fields f = {.p = in.p + MAGIC_BYTES};
	struct record r = *out;
	uint32_t crc;

	if (in.n < RECORD_TRAILER_BYTES)
		return PARSE_MORE;
	if (memcmp(in.p, TRAILER_MAGIC, MAGIC_BYTES) != 0)
		return PARSE_BAD;
	r.start = take_hex(&f, 16, ' ');
	r.header_crc = (uint32_t)take_hex(&f, 8, ' ');
	r.body_crc = (uint32_t)take_hex(&f, 8, ' ');
	r.epoch = (uint32_t)take_hex(&f, 8, ' ');
	r.next_modseq = take_hex(&f, 16, ' ');
	r.next_uid = (uint32_t)take_hex(&f, 8, ' ');
	crc = (uint32_t)take_hex(&f, 8, '\n');
	if (f.bad || crc != record_crc(salt, (struct slice){in.p, TRAILER_SUMMED}))
		return PARSE_BAD;
	*out = r;
	return PARSE_OK;
}

void
record_message_pack(struct buf *out, const struct record_message *m)
{
	assert(m->naddressees <= RECORD_USER_CAP);
	pack_bytes(out, m->key, sizeof(m->key));
	pack_str(out, m->sender);
	pack_str(out, m->qid);
	pack_u32(out, (uint32_t)m->naddressees);
	for (size_t i = 0; i < m->naddressees; i++) {
		pack_str(out, m->addressees[i].user);
		pack_str(out, m->addressees[i].mailbox);
		pack_u64(out, m->addressees[i].modseq);
		pack_u32(out, m->addressees[i].uid);
	}
}

bool
record_message_unpack(struct slice extra, struct record_message *out)
{
	struct unpack u = unpack_make(extra.p, extra.n);

	unpack_bytes(&u, out->key, sizeof(out->key));
	out->sender = unpack_str(&u);
	out->qid = unpack_str(&u);
	out->naddressees = unpack_u32(&u);
	if (u.bad || out->naddressees > RECORD_USER_CAP)
		return false;
	for (size_t i = 0; i < out->naddressees; i++) {
		out->addressees[i].user = unpack_str(&u);
		out->addressees[i].mailbox = unpack_str(&u);
		out->addressees[i].modseq = unpack_u64(&u);
		out->addressees[i].uid = unpack_u32(&u);
	}
	return unpack_end(&u);
}
