/*
 * The log-record format: what is packed is parsed back, every byte of it counts, another salt is
 * another record, limits hold at the limit and fail one past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pack.h"
#include "record.h"

#define SALT	0x12345678U

static struct record
sample(void)
{
	struct record r = {.type = RECORD_MESSAGE, .modseq = 0x1122334455667788, .uid = 0x7fffffff, .date_ms = -1,
	    .flags = MSG_SEEN | MSG_DRAFT, .extra = SLICE("extra"), .body_bytes = 4, .start = 1000, .epoch = 7,
	    .next_modseq = 0x1122334455667789, .next_uid = 0x80000000};

	for (unsigned i = 0; i < RECORD_ID_BYTES; i++) {
		r.mailbox[i] = (unsigned char)(i * 17);
		r.guid[i] = (unsigned char)(255 - i);
	}
	return r;
}

static void
test_round_trip(void **state)
{
	struct buf b = buf_make(4096);
	struct record r = sample(), h = {0};
	size_t need;

	(void)state;
	record_pack_head(&b, &r, SALT);
	assert_int_equal(b.n, RECORD_HEADER_BYTES + r.extra.n);
	assert_int_equal(b.p[RECORD_HEADER_BYTES - 1], '\n');
	assert_int_equal(record_parse_head(buf_slice(&b), SALT, &h, &need), PARSE_OK);
	assert_int_equal(need, b.n);
	assert_int_equal(h.type, r.type);
	assert_int_equal(h.modseq, r.modseq);
	assert_int_equal(h.uid, r.uid);
	assert_int_equal(h.date_ms, r.date_ms);
	assert_int_equal(h.flags, r.flags);
	assert_memory_equal(h.mailbox, r.mailbox, RECORD_ID_BYTES);
	assert_memory_equal(h.guid, r.guid, RECORD_ID_BYTES);
	assert_true(slice_is(h.extra, r.extra));
	assert_int_equal(h.body_bytes, r.body_bytes);
	assert_int_equal(h.header_crc, r.header_crc);
	r.body_crc = record_crc(SALT, SLICE("body"));
	buf_clear(&b);
	record_pack_trailer(&b, &r, SALT);
	assert_int_equal(b.n, RECORD_TRAILER_BYTES);
	assert_int_equal(record_parse_trailer(buf_slice(&b), SALT, &h), PARSE_OK);
	assert_int_equal(h.start, r.start);
	assert_int_equal(h.header_crc, r.header_crc);
	assert_int_equal(h.body_crc, r.body_crc);
	assert_int_equal(h.epoch, r.epoch);
	assert_int_equal(h.next_modseq, r.next_modseq);
	assert_int_equal(h.next_uid, r.next_uid);
	buf_free(&b);
}

/* Every byte of header, extra and trailer is covered; every shorter input asks for more. */
static void
test_every_byte(void **state)
{
	struct buf b = buf_make(4096), t = buf_make(4096);
	struct record r = sample(), out;
	size_t need;

	(void)state;
	record_pack_head(&b, &r, SALT);
	record_pack_trailer(&t, &r, SALT);
	for (size_t i = 0; i < b.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			enum parse got;

			b.p[i] = (char)(b.p[i] ^ (1 << bit));
			got = record_parse_head(buf_slice(&b), SALT, &out, &need);
			/* A longer extra than is there asks for more; it cannot be right either. */
			if (got == PARSE_OK || (got == PARSE_MORE && (i < 7 || i > 14)))
				fail_msg("head byte %zu bit %d: %d", i, bit, got);
			b.p[i] = (char)(b.p[i] ^ (1 << bit));
		}
		assert_int_equal(record_parse_head((struct slice){b.p, i}, SALT, &out, &need), PARSE_MORE);
		assert_int_equal(need, i < RECORD_HEADER_BYTES ? RECORD_HEADER_BYTES : b.n);
	}
	for (size_t i = 0; i < t.n; i++) {
		t.p[i] = (char)(t.p[i] ^ 1);
		if (record_parse_trailer(buf_slice(&t), SALT, &out) != PARSE_BAD)
			fail_msg("trailer byte %zu", i);
		t.p[i] = (char)(t.p[i] ^ 1);
		assert_int_equal(record_parse_trailer((struct slice){t.p, i}, SALT, &out), PARSE_MORE);
	}
	assert_int_equal(record_parse_head(buf_slice(&b), SALT + 1, &out, &need), PARSE_BAD);
	assert_int_equal(record_parse_trailer(buf_slice(&t), SALT + 1, &out), PARSE_BAD);
	buf_free(&b);
	buf_free(&t);
}

static void
test_limits(void **state)
{
	static const struct {
		const char	*name;
		size_t		 extra;
		uint64_t	 body;
		enum record_type type;
		enum parse	 want;
	} rows[] = {
		{"nothing", 0, 0, RECORD_FENCE, PARSE_OK},
		{"longest extra", RECORD_EXTRA_MAX_BYTES, 0, RECORD_FLAGS, PARSE_OK},
		{"one more", RECORD_EXTRA_MAX_BYTES + 1, 0, RECORD_FLAGS, PARSE_BAD},
		{"longest body", 0, RECORD_BODY_MAX_BYTES, RECORD_BODY, PARSE_OK},
		{"one more", 0, RECORD_BODY_MAX_BYTES + 1, RECORD_BODY, PARSE_BAD},
		{"a body without end", 0, UINT64_MAX, RECORD_BODY, PARSE_BAD},
		{"no such type", 0, 0, (enum record_type)'Q', PARSE_BAD},
		{"type NUL", 0, 0, (enum record_type)0, PARSE_BAD},
	};
	char *extra = calloc(1, RECORD_EXTRA_MAX_BYTES + 1);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = buf_make(RECORD_EXTRA_MAX_BYTES + 4096);
		struct record r = {.type = rows[i].type, .extra = {extra, rows[i].extra}, .body_bytes = rows[i].body}, out;
		size_t need;

		record_pack_head(&b, &r, SALT);
		if (record_parse_head(buf_slice(&b), SALT, &out, &need) != rows[i].want)
			fail_msg("%s", rows[i].name);
		buf_free(&b);
	}
	free(extra);
}

static void
test_salt(void **state)
{
	struct buf b = buf_make(4096);
	struct record r = {.type = RECORD_SEGMENT, .uid = SALT, .extra = SLICE("xx")};
	uint32_t salt = 0;
	size_t need;

	(void)state;
	record_pack_head(&b, &r, SALT);
	assert_int_equal(record_parse_salt((struct slice){b.p, 10}, &salt, &need), PARSE_MORE);
	assert_int_equal(need, RECORD_HEADER_BYTES);
	assert_int_equal(record_parse_salt(buf_slice(&b), &salt, &need), PARSE_OK);
	assert_int_equal(salt, SALT);
	/* Another record, another salt than it names, or one with a body is no beginning of a file. */
	buf_clear(&b);
	r.type = RECORD_MESSAGE;
	record_pack_head(&b, &r, SALT);
	assert_int_equal(record_parse_salt(buf_slice(&b), &salt, &need), PARSE_BAD);
	buf_clear(&b);
	r.type = RECORD_SEGMENT;
	record_pack_head(&b, &r, SALT + 1);
	assert_int_equal(record_parse_salt(buf_slice(&b), &salt, &need), PARSE_BAD);
	buf_clear(&b);
	r.body_bytes = 1;
	record_pack_head(&b, &r, SALT);
	assert_int_equal(record_parse_salt(buf_slice(&b), &salt, &need), PARSE_BAD);
	buf_free(&b);
}

static void
test_trailer_salt(void **state)
{
	struct buf b = buf_make(4096);
	struct record r = sample();
	uint32_t salt = 0;

	(void)state;
	record_pack_trailer(&b, &r, SALT);
	assert_true(record_trailer_salt(buf_slice(&b), &salt));
	assert_int_equal(salt, SALT);
	assert_false(record_trailer_salt((struct slice){b.p, b.n - 1}, &salt));
	b.p[20]++;
	assert_true(record_trailer_salt(buf_slice(&b), &salt));
	assert_int_not_equal(salt, SALT);
	b.p[0]++;
	assert_false(record_trailer_salt(buf_slice(&b), &salt));
	buf_free(&b);
}

/* CRC32C as RFC 3720 B.4 has it, when begun and ended as it says; and begun anywhere it goes on. */
static void
test_crc(void **state)
{
	char zeroes[32] = {0};
	uint32_t crc;

	(void)state;
	assert_int_equal(~record_crc(UINT32_MAX, (struct slice){zeroes, 32}), 0x8a9136aaU);
	assert_int_equal(~record_crc(UINT32_MAX, SLICE("123456789")), 0xe3069283U);
	crc = record_crc(SALT, SLICE("1234"));
	assert_int_equal(record_crc(crc, SLICE("56789")), record_crc(SALT, SLICE("123456789")));
	assert_int_equal(record_crc(SALT, SLICE("")), SALT);
}

static void
test_message(void **state)
{
	struct buf b = buf_make(1 << 16);
	struct record_message m = {.key = {1, 2, 3}, .sender = SLICE("a@b.example"), .qid = SLICE("q")}, out;

	(void)state;
	for (size_t n = 0; n <= RECORD_USER_CAP; n += 64) {
		m.naddressees = n;
		for (size_t i = 0; i < n; i++)
			m.addressees[i] = (struct record_addressee){SLICE("alice"), SLICE("user.alice.x"), i + 1, (uint32_t)i};
		buf_clear(&b);
		record_message_pack(&b, &m);
		assert_true(record_message_unpack(buf_slice(&b), &out));
		assert_int_equal(out.naddressees, n);
		assert_memory_equal(out.key, m.key, sizeof(m.key));
		assert_true(slice_is(out.sender, m.sender) && slice_is(out.qid, m.qid));
		for (size_t i = 0; i < n; i++)
			assert_true(slice_is(out.addressees[i].user, SLICE("alice")) && out.addressees[i].uid == i &&
			    out.addressees[i].modseq == i + 1 && slice_is(out.addressees[i].mailbox, SLICE("user.alice.x")));
		for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 97)
			assert_false(record_message_unpack((struct slice){b.p, cut}, &out));
		pack_u8(&b, 0);
		assert_false(record_message_unpack(buf_slice(&b), &out));
	}
	/* One more addressee than there may be. */
	buf_clear(&b);
	pack_bytes(&b, m.key, sizeof(m.key));
	pack_str(&b, m.sender);
	pack_str(&b, m.qid);
	pack_u32(&b, RECORD_USER_CAP + 1);
	for (size_t i = 0; i <= RECORD_USER_CAP; i++) {
		pack_str(&b, SLICE(""));
		pack_str(&b, SLICE(""));
		pack_u64(&b, 1);
		pack_u32(&b, 1);
	}
	assert_true(pack_ok(&b));
	assert_false(record_message_unpack(buf_slice(&b), &out));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_salt),
		cmocka_unit_test(test_trailer_salt),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
