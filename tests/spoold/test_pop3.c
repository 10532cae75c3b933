/*
 * spoold/pop3 over a socketpair with a real spool: transcripts with a park between all commands and with none, every split of the
 * input, the lock over parking, bad input, states that were tampered with, and what the spool holds after.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "frame.h"
#include "pack.h"
#include "pop3_client.h"

#define MSG1	"Subject: one\r\n\r\nline 1\r\n.dot\r\n..two\r\n.\r\nend\r\n"
#define MSG2	"Subject: no end of header\r\nX: y\r\n"
#define MSG3	"Subject: three\r\n\r\nno line end"

static void
spool_three(struct spool *sp)
{
	spool_make(sp);
	assert_int_equal(spool_add(sp, SLICE(MSG1)), 1);
	assert_int_equal(spool_add(sp, SLICE(MSG2)), 2);
	assert_int_equal(spool_add(sp, SLICE(MSG3)), 3);
}

/* UIDVALIDITY as UIDL says it. */
static void
uidvalidity(struct spool *sp, char *out, size_t cap)
{
	struct store *st;
	struct view v;

	if (store_open(&sp->host, sp->user, &st) != FOUND || view_open(st, sp->inbox, false, &v) != STORE_OK)
		spool_fail("view");
	snprintf(out, cap, "%08x", v.uidvalidity);
	store_close(st);
}

/* "C: " lines go in, "S: " lines must come out; "@" stands for UIDVALIDITY. */
static const char transcript[] =
    "S: +OK Logged in\n"
    "C: STAT\n" "S: +OK 3 107\n"
    "C: stat\n" "S: +OK 3 107\n"
    "C: LIST\n" "S: +OK scan listing follows\nS: 1 45\nS: 2 33\nS: 3 29\nS: .\n"
    "C: LIST 2\n" "S: +OK 2 33\n"
    "C: LIST 0\n" "S: -ERR no such message, only 3 in maildrop\n"
    "C: LIST 4\n" "S: -ERR no such message, only 3 in maildrop\n"
    "C: RETR 99999999999\n" "S: -ERR no such message, only 3 in maildrop\n"
    "C: RETR 99999999999999999999999999\n" "S: -ERR no such message, only 3 in maildrop\n"
    "C: RETR\n" "S: -ERR wrong number of arguments\n"
    "C: RETR x\n" "S: -ERR message number expected\n"
    "C: RETR -1\n" "S: -ERR message number expected\n"
    "C: RETR 1 2\n" "S: -ERR wrong number of arguments\n"
    "C: UIDL\n" "S: +OK unique-id listing follows\nS: 1 @.00000001\nS: 2 @.00000002\nS: 3 @.00000003\nS: .\n"
    "C: UIDL 3\n" "S: +OK 3 @.00000003\n"
    "C: TOP 1 0\n" "S: +OK top of message follows\nS: Subject: one\nS: \nS: .\n"
    "C: TOP 1 2\n" "S: +OK top of message follows\nS: Subject: one\nS: \nS: line 1\nS: ..dot\nS: .\n"
    "C: TOP 1 5\n" "S: +OK top of message follows\nS: Subject: one\nS: \nS: line 1\nS: ..dot\nS: ...two\nS: ..\nS: end\nS: .\n"
    "C: TOP 1 99999999999999999999\n" "S: +OK top of message follows\nS: Subject: one\nS: \nS: line 1\nS: ..dot\nS: ...two\nS: ..\nS: end\nS: .\n"
    "C: TOP 2 0\n" "S: +OK top of message follows\nS: Subject: no end of header\nS: X: y\nS: \nS: .\n"
    "C: TOP 3 1\n" "S: +OK top of message follows\nS: Subject: three\nS: \nS: no line end\nS: .\n"
    "C: TOP 1\n" "S: -ERR wrong number of arguments\n"
    "C: TOP 1 -1\n" "S: -ERR number of lines expected\n"
    "C: TOP 4 1\n" "S: -ERR no such message, only 3 in maildrop\n"
    "C: RETR 1\n" "S: +OK 45 octets\nS: Subject: one\nS: \nS: line 1\nS: ..dot\nS: ...two\nS: ..\nS: end\nS: .\n"
    "C: RETR 2\n" "S: +OK 35 octets\nS: Subject: no end of header\nS: X: y\nS: \nS: .\n"
    "C: RETR 3\n" "S: +OK 29 octets\nS: Subject: three\nS: \nS: no line end\nS: .\n"
    "C: DELE 1\n" "S: +OK message 1 deleted\n"
    "C: DELE 1\n" "S: -ERR message is deleted\n"
    "C: RETR 1\n" "S: -ERR message is deleted\n"
    "C: LIST 1\n" "S: -ERR message is deleted\n"
    "C: STAT\n" "S: +OK 2 62\n"
    "C: LIST\n" "S: +OK scan listing follows\nS: 2 33\nS: 3 29\nS: .\n"
    "C: UIDL\n" "S: +OK unique-id listing follows\nS: 2 @.00000002\nS: 3 @.00000003\nS: .\n"
    "C: RSET\n" "S: +OK\n"
    "C: STAT\n" "S: +OK 3 107\n"
    "C: DELE 2\n" "S: +OK message 2 deleted\n"
    "C: NOOP\n" "S: +OK\n"
    "C: NOOP x\n" "S: -ERR wrong number of arguments\n"
    "C: LAST\n" "S: -ERR unknown command\n"
    "C: USER alice\n" "S: -ERR unknown command\n"
    "C: \n" "S: -ERR unknown command\n"
    "C: CAPA\n" "S: +OK capability list follows\nS: TOP\nS: UIDL\nS: RESP-CODES\nS: AUTH-RESP-CODE\nS: PIPELINING\nS: EXPIRE NEVER\nS: UTF8\nS: LANG\n"
	"S: USER\nS: SASL PLAIN SCRAM-SHA-1\nS: IMPLEMENTATION twinspool-" TS_VERSION "\nS: .\n"
    "C: LANG\n" "S: +OK language listing follows\nS: en English\nS: .\n"
    "C: LANG en-GB\n" "S: +OK en the answers are in English\n"
    "C: LANG de\n" "S: -ERR no such language, only en\n"
    "C: LANG en x\n" "S: -ERR wrong number of arguments\n"
    "C: UTF8\n" "S: -ERR unknown command\n"
    "C: AUTH PLAIN\n" "S: -ERR unknown command\n"
    "C: QUIT\n" "S: +OK bye\n";

/* The lines of one side, with CRLF. */
static void
side(char which, const char *validity, struct buf *out)
{
	const char *p = transcript;

	while (*p != '\0') {
		const char *end = strchr(p, '\n');

		if (*p == which) {
			for (p += 3; p < end; p++)
				buf_add_str(out, *p == '@' ? validity : (char[]){*p, '\0'});
			buf_add_str(out, "\r\n");
		}
		p = end + 1;
	}
}

static void
check_transcript(struct lot1 *l, struct spool *sp, const char *how, unsigned at)
{
	struct buf want = buf_make(1 << 20);
	char validity[9], left[100];

	uidvalidity(sp, validity, sizeof(validity));
	side('S', validity, &want);
	if (!slice_is(buf_slice(&l->said), buf_slice(&want)))
		fail_msg("%s %u:\n got  %.*s\n want %.*s", how, at, (int)l->said.n, l->said.p, (int)want.n, want.p);
	assert_string_equal(l->why, "logout");
	spool_list(sp, left, sizeof(left));
	assert_string_equal(left, "1+ 3+ ");
	buf_free(&want);
	buf_free(&l->said);
}

/* All at once; and a line at a time, parked after each. */
static void
test_transcript(void **state)
{
	int how;

	(void)state;
	for (how = 0; how < 2; how++) {
		struct buf in = buf_make(1 << 20);
		struct spool sp;
		struct lot1 l;
		size_t at = 0;
		unsigned lines = 0;
		bool goes_on;

		spool_three(&sp);
		side('C', "", &in);
		assert_true(lot1_open(&l, &sp));
		do {
			const char *end = memchr(in.p + at, '\n', in.n - at);
			size_t n = how == 0 ? in.n : (size_t)(end - in.p) + 1 - at;

			goes_on = lot1_say(&l, (struct slice){in.p + at, n});
			at += n;
			lines++;
		} while (goes_on && at < in.n);
		assert_false(goes_on);
		assert_int_equal(l.parks, lines);
		check_transcript(&l, &sp, how == 0 ? "at once" : "in lines", lines);
		buf_free(&in);
		spool_free(&sp);
	}
}

struct halves {
	int		fd;
	struct slice	first, second;
};

static void *
halves_send(void *arg)
{
	const struct halves *h = arg;

	if (write(h->fd, h->first.p, h->first.n) != (ssize_t)h->first.n)
		abort();
	usleep(500);
	if (write(h->fd, h->second.p, h->second.n) != (ssize_t)h->second.n)
		abort();
	return NULL;
}

/* The input cut in two at every byte. */
static void
test_splits(void **state)
{
	const struct slice in = SLICE("STAT\r\nTOP 1 2\r\nDELE 1\r\nLIST\r\nRSET\r\nRETR 3\r\nQUIT\r\n");
	static const char want[] = "+OK Logged in\r\n+OK 3 107\r\n+OK top of message follows\r\nSubject: one\r\n\r\nline 1\r\n..dot\r\n.\r\n"
	    "+OK message 1 deleted\r\n+OK scan listing follows\r\n2 33\r\n3 29\r\n.\r\n+OK\r\n"
	    "+OK 29 octets\r\nSubject: three\r\n\r\nno line end\r\n.\r\n+OK bye\r\n";
	struct spool sp;
	size_t at;

	(void)state;
	spool_three(&sp);
	for (at = 1; at < in.n; at++) {
		struct lot1 l;
		struct halves h;
		pthread_t thread;

		assert_true(lot1_open(&l, &sp));
		h = (struct halves){l.client, {in.p, at}, {in.p + at, in.n - at}};
		assert_int_equal(pthread_create(&thread, NULL, halves_send, &h), 0);
		while (lot1_run(&l, SESSION_INPUT)) {
			struct pollfd p = {l.fd, POLLIN, 0};

			assert_int_equal(poll(&p, 1, 5000), 1);
		}
		pthread_join(thread, NULL);
		lot1_close(&l);
		if (!slice_is(buf_slice(&l.said), slice_of(want)))
			fail_msg("split at %zu: %.*s", at, (int)l.said.n, l.said.p);
		buf_free(&l.said);
	}
	spool_free(&sp);
}

/* One session has the maildrop, parked or not; QUIT frees it before it answers; so does a lost connection. */
static void
test_lock(void **state)
{
	struct spool sp;
	struct lot1 a, b;
	struct slice in_use = SLICE("-ERR [IN-USE] maildrop is in use by another session\r\n");

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&a, &sp));
	assert_false(lot1_open(&b, &sp));
	assert_true(slice_is(buf_slice(&b.said), in_use));
	assert_string_equal(b.why, "in use");
	buf_free(&b.said);
	assert_true(lot1_say(&a, SLICE("DELE 1\r\n")));
	assert_false(lot1_open(&b, &sp));
	buf_free(&b.said);
	close(a.client);		/* lost */
	assert_false(lot1_run(&a, SESSION_INPUT));
	assert_string_equal(a.why, "eof");
	assert_true(lot1_open(&b, &sp));	/* although the lot still holds its copy of the first lock */
	a.client = open("/dev/null", O_RDONLY | O_CLOEXEC);
	lot1_close(&a);
	buf_free(&a.said);
	assert_true(lot1_say(&b, SLICE("STAT\r\n")));
	assert_true(slice_is(buf_slice(&b.said), SLICE("+OK Logged in\r\n+OK 3 107\r\n")));
	assert_false(lot1_say(&b, SLICE("QUIT\r\n")));
	buf_free(&b.said);
	assert_true(lot1_open(&a, &sp));
	assert_false(lot1_run(&a, SESSION_TIMER));
	assert_string_equal(a.why, "timeout");
	lot1_close(&a);
	assert_true(slice_is(buf_slice(&a.said), SLICE("+OK Logged in\r\n")));	/* closed without a word */
	buf_free(&a.said);
	assert_true(lot1_open(&a, &sp));
	assert_false(lot1_run(&a, SESSION_DRAIN));
	lot1_close(&a);
	buf_free(&a.said);
	spool_free(&sp);
}

/* Unknown commands count only in a row, over parks too. */
static void
test_unknown(void **state)
{
	struct spool sp;
	struct lot1 l;
	int i;

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&l, &sp));
	for (i = 0; i < POP3_UNKNOWN_MAX - 1; i++)
		assert_true(lot1_say(&l, SLICE("x\r\n")));
	assert_true(lot1_say(&l, SLICE("NOOP\r\n")));
	for (i = 0; i < POP3_UNKNOWN_MAX - 1; i++)
		assert_true(lot1_say(&l, SLICE("STAT x\r\n")));
	assert_false(lot1_say(&l, SLICE("x\r\n")));
	assert_string_equal(l.why, "bad commands");
	buf_free(&l.said);
	spool_free(&sp);
}

struct bad_row {
	const char	*name;
	struct slice	 in;
	const char	*want;		/* after the login */
	bool		 goes_on;
};

static const struct bad_row bad_rows[] = {
	{"bare LF", SLICE("NOOP\nNOOP\r\n"), "-ERR bare CR or LF\r\n+OK\r\n", true},
	{"bare CR", SLICE("NO\rOP\r\nNOOP\r\n"), "-ERR bare CR or LF\r\n+OK\r\n", true},
	{"NUL", SLICE("NO\0OP\r\nNOOP\r\n"), "-ERR NUL in line\r\n+OK\r\n", true},
	{"third", SLICE("\n\n\nNOOP\r\n"), "-ERR bare CR or LF\r\n-ERR bare CR or LF\r\n-ERR bare CR or LF\r\n", false},
	{"8-bit", SLICE("\xff\xfe\r\nRETR \xff\r\n"), "-ERR unknown command\r\n-ERR message number expected\r\n", true},
	{"twenty unknown", SLICE("x\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nx\r\nNOOP\r\n"),
	    "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n"
	    "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n"
	    "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n"
	    "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n", false},
};

static void
test_bad_input(void **state)
{
	struct spool sp;
	size_t i;

	(void)state;
	spool_three(&sp);
	for (i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		const struct bad_row *r = &bad_rows[i];
		struct lot1 l;

		assert_true(lot1_open(&l, &sp));
		buf_clear(&l.said);
		if (lot1_say(&l, r->in) != r->goes_on)
			fail_msg("%s: goes on? %d", r->name, !r->goes_on);
		if (!slice_is(buf_slice(&l.said), slice_of(r->want)))
			fail_msg("%s: %.*s", r->name, (int)l.said.n, l.said.p);
		if (r->goes_on)
			assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
		buf_free(&l.said);
	}
	spool_free(&sp);
}

/* The longest line and one past it; an overlong one over many pieces and a park; faults that add up over parks. */
static void
test_long_line(void **state)
{
	struct spool sp;
	struct lot1 l;
	char x[3000];
	int i;

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&l, &sp));
	snprintf(x, sizeof(x), "NOOP%*s\r\nNOOP%*s\r\n", POP3_LINE_MAX_BYTES - 4, "", POP3_LINE_MAX_BYTES - 3, "");
	assert_true(lot1_say(&l, slice_of(x)));
	assert_true(slice_is(buf_slice(&l.said), SLICE("+OK Logged in\r\n+OK\r\n-ERR line too long\r\n")));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	memset(x, 'x', sizeof(x));
	assert_true(lot1_open(&l, &sp));
	for (i = 0; i < 5; i++)
		assert_true(lot1_say(&l, (struct slice){x, sizeof(x)}));
	assert_true(lot1_say(&l, SLICE("x\r\nNOOP\r\n")));
	assert_true(slice_is(buf_slice(&l.said), SLICE("+OK Logged in\r\n-ERR line too long\r\n+OK\r\n")));
	assert_true(lot1_say(&l, SLICE("\n")));
	assert_false(lot1_say(&l, SLICE("\n")));
	assert_string_equal(l.why, "bad lines");
	buf_free(&l.said);
	spool_free(&sp);
}

/* Half a line waits as long as a quiet client may (RFC 1939 3), and keeps no worker. */
static void
test_half_line(void **state)
{
	struct spool sp;
	struct lot1 l;
	char x[POP3_LINE_MAX_BYTES + 1];
	size_t i;

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&l, &sp));
	buf_clear(&l.said);
	for (i = 0; i < 6; i++)
		assert_true(lot1_say(&l, (struct slice){&"STAT\r\n"[i], 1}));
	assert_true(slice_is(buf_slice(&l.said), SLICE("+OK 3 107\r\n")));
	memset(x, ' ', sizeof(x));
	memcpy(x, "NOOP", 4);
	assert_true(lot1_say(&l, (struct slice){x, POP3_LINE_MAX_BYTES}));
	assert_true(lot1_say(&l, SLICE("\r")));
	assert_true(lot1_say(&l, SLICE("\nDELE 1\r\nQUI")));
	assert_true(slice_is(buf_slice(&l.said), SLICE("+OK 3 107\r\n+OK\r\n+OK message 1 deleted\r\n")));
	assert_int_equal(l.unread.n, 3);
	assert_false(lot1_run(&l, SESSION_TIMER));
	assert_string_equal(l.why, "timeout");
	lot1_close(&l);
	buf_free(&l.said);
	spool_free(&sp);
}

/* Another session expunges, another message comes: the numbers stay, the bytes too, the new one is not seen. */
static void
test_meanwhile(void **state)
{
	struct uid_range range = {1, 1};
	struct uid_set set = {&range, 1};
	struct spool sp;
	struct store *st;
	struct lot1 l;
	uint64_t modseq;
	char left[100];

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&l, &sp));
	assert_true(lot1_say(&l, SLICE("DELE 2\r\n")));
	assert_int_equal(store_open(&sp.host, sp.user, &st), FOUND);
	assert_int_equal(store_expunge(st, sp.inbox, &set, false, &modseq), STORE_OK);
	store_close(st);
	assert_int_equal(spool_add(&sp, SLICE(MSG1)), 4);
	buf_clear(&l.said);
	assert_true(lot1_say(&l, SLICE("LIST\r\nRETR 1\r\nLIST 4\r\n")));
	assert_true(slice_is(buf_slice(&l.said), SLICE("+OK scan listing follows\r\n1 45\r\n3 29\r\n.\r\n"
	    "+OK 45 octets\r\nSubject: one\r\n\r\nline 1\r\n..dot\r\n...two\r\n..\r\nend\r\n.\r\n"
	    "-ERR no such message, only 3 in maildrop\r\n")));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	spool_list(&sp, left, sizeof(left));
	assert_string_equal(left, "3 4 ");
	spool_free(&sp);
}

/* A state that is not exactly what was packed ends the session and removes nothing. */
static void
test_state(void **state)
{
	static const struct {
		uint32_t v[4];
		bool ok;
	} ranges[] = {
		{{1, 1, 3, 3}, true}, {{2, 2, 3, 3}, false}, {{1, 2, 2, 3}, false}, {{3, 3, 1, 1}, false}, {{0, 1, 3, 3}, false},
		{{1, 1, 3, 4}, false}, {{1, 1, 3, 2}, false}, {{1, 1, 1, 1}, false}, {{1, 1, 3, UINT32_MAX}, false},
	};
	struct spool sp;
	struct lot1 l;
	struct buf good = buf_make(SESSION_STATE_MAX_BYTES);
	size_t cut, i;

	(void)state;
	spool_three(&sp);
	assert_true(lot1_open(&l, &sp));
	assert_true(lot1_say(&l, SLICE("DELE 1\r\nDELE 3\r\n")));
	buf_add_slice(&good, buf_slice(&l.state));
	for (cut = 0; cut <= good.n; cut++) {	/* shorter by each number of bytes, and longer by one */
		struct session s = {.state = buf_make(SESSION_STATE_MAX_BYTES)};
		struct pop3 p = {.s = &s};
		struct buf bad = buf_make(SESSION_STATE_MAX_BYTES);

		buf_add(&bad, good.p, cut);
		if (cut == good.n)
			buf_add(&bad, "x", 1);
		assert_false(state_unpack(&p, buf_slice(&bad)));
		buf_free(&p.marks);
		buf_free(&bad);
	}
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct session s = {.state = buf_make(SESSION_STATE_MAX_BYTES)};
		struct pop3 p = {.s = &s};
		struct buf b = buf_make(SESSION_STATE_MAX_BYTES);
		size_t k;

		buf_add(&b, good.p, good.n - 16);
		for (k = 0; k < 4; k++)
			pack_u32(&b, ranges[i].v[k]);
		if (state_unpack(&p, buf_slice(&b)) != ranges[i].ok)
			fail_msg("ranges %zu", i);
		buf_free(&p.marks);
		buf_free(&b);
	}
	for (i = 0; i < good.n; i++) {		/* no byte may be any other without a refusal or a state as strict */
		struct session s = {.state = buf_make(SESSION_STATE_MAX_BYTES)};
		struct pop3 p = {.s = &s};

		good.p[i] = (char)(good.p[i] ^ 0x80);
		if (state_unpack(&p, buf_slice(&good))) {
			assert_true(state_pack(&p));
			assert_true(slice_is(buf_slice(&s.state), buf_slice(&good)));
		}
		good.p[i] = (char)(good.p[i] ^ 0x80);
		buf_free(&p.marks);
		buf_free(&s.state);
	}
	buf_clear(&l.state);
	buf_add(&l.state, "nonsense", 8);
	buf_clear(&l.said);
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	assert_true(slice_is(buf_slice(&l.said), SLICE("-ERR [SYS/TEMP] session is lost\r\n")));
	buf_free(&l.said);
	buf_free(&good);
	spool_free(&sp);
}

static void
check_marks(const struct pop3 *p, struct session *s)
{
	struct pop3 q = {.s = s};

	assert_true(state_pack(p));
	assert_true(s->state.n <= SESSION_STATE_MAX_BYTES);
	assert_true(state_unpack(&q, buf_slice(&s->state)));
	assert_int_equal(q.count, p->count);
	for (uint32_t i = 1; i <= p->count; i++)
		assert_int_equal(marks_has(&q, i), marks_has(p, i));
	buf_free(&q.marks);
}

/* Runs of marks at the limit, one past it as bits, and as many bits as there may be; one message more does not park. */
static void
test_ranges(void **state)
{
	static const uint32_t counts[] = {2 * POP3_RANGES_MAX + 2, 8 * POP3_BITS_MAX_BYTES - 1, 8 * POP3_BITS_MAX_BYTES};
	struct session s = {.state = buf_make(SESSION_STATE_MAX_BYTES)};
	uint32_t i, first, last;

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct pop3 p = {.s = &s, .count = counts[k], .view = {.uidvalidity = 1, .uidnext = 50000}}, q = {.s = &s};

		assert_true(marks_make(&p));
		for (i = 0; i < POP3_RANGES_MAX; i++)
			marks_set(&p, 2 * i + 1);
		check_marks(&p, &s);
		marks_set(&p, 2 * POP3_RANGES_MAX + 1);
		if (k == 2) {
			assert_false(state_pack(&p));
		} else {
			check_marks(&p, &s);
			/* A bit beyond the last message; a byte more or less; no more runs than could go as such. */
			s.state.p[s.state.n - 1] = (char)(s.state.p[s.state.n - 1] | 1 << p.count % 8);
			assert_false(state_unpack(&q, buf_slice(&s.state)));
			buf_free(&q.marks);
			assert_true(state_pack(&p));
			buf_add(&s.state, "", 1);
			assert_false(state_unpack(&q, buf_slice(&s.state)));
			buf_free(&q.marks);
			s.state.n -= 2;
			assert_false(state_unpack(&q, buf_slice(&s.state)));
			buf_free(&q.marks);
			assert_true(state_pack(&p));
			s.state.p[s.state.n - p.marks.n] = (char)(s.state.p[s.state.n - p.marks.n] & ~1);
			assert_false(state_unpack(&q, buf_slice(&s.state)));
			buf_free(&q.marks);
		}
		marks_clear(&p);
		assert_false(marks_run(&p, 1, &first, &last));
		marks_set(&p, p.count);
		assert_true(marks_run(&p, 1, &first, &last));
		assert_int_equal(first, p.count);
		assert_int_equal(last, p.count);
		buf_free(&p.marks);
	}
	buf_free(&s.state);
}

/* Many messages: more than a batch; every second is deleted; the rest is what is left. */
static void
test_many(void **state)
{
	enum { MANY = 2 * STORE_BATCH_MSGS + 7 };
	struct buf in = buf_make(1 << 20);
	struct spool sp;
	struct lot1 l;
	struct store *st;
	struct view v;
	uint32_t count;
	char want[64];
	int i;

	(void)state;
	spool_make(&sp);
	for (i = 0; i < MANY; i++)
		spool_add(&sp, SLICE(MSG1));
	assert_true(lot1_open(&l, &sp));
	for (i = 1; i <= MANY; i += 2)
		buf_addf(&in, "DELE %d\r\n", i);
	assert_true(lot1_say(&l, buf_slice(&in)));
	buf_clear(&l.said);
	assert_true(lot1_say(&l, SLICE("STAT\r\n")));
	snprintf(want, sizeof(want), "+OK %d %d\r\n", MANY / 2, MANY / 2 * 45);
	assert_true(slice_is(buf_slice(&l.said), slice_of(want)));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	buf_free(&in);
	assert_int_equal(store_open(&sp.host, sp.user, &st), FOUND);
	assert_int_equal(view_open(st, sp.inbox, false, &v), STORE_OK);
	assert_int_equal(view_count(st, &v, &count), STORE_OK);
	assert_int_equal(count, MANY / 2);
	store_close(st);
	spool_free(&sp);
}

/* A message of pieces, dots at their borders: what comes out, unstuffed, is what went in. */
static void
test_large(void **state)
{
	struct buf msg = buf_make(4 << 20), got = buf_make(8 << 20);
	struct frame_dot dot = {.state = DOT_BOL};
	struct spool sp;
	struct lot1 l;
	size_t used, head;
	unsigned i;

	(void)state;
	buf_add_str(&msg, "Subject: x\r\n\r\n");
	for (i = 0; msg.n < 300000; i++)
		buf_addf(&msg, "%.*s\r\n", (int)(i % 7), "......");
	spool_make(&sp);
	spool_add(&sp, buf_slice(&msg));
	assert_true(lot1_open(&l, &sp));
	buf_clear(&l.said);
	assert_true(lot1_say(&l, SLICE("RETR 1\r\n")));
	head = (size_t)((char *)memchr(l.said.p, '\n', l.said.n) - l.said.p) + 1;
	assert_int_equal(frame_dot(&dot, (struct slice){l.said.p + head, l.said.n - head}, &used, &got), PARSE_OK);
	assert_int_equal(head + used, l.said.n);
	assert_true(slice_is(buf_slice(&got), buf_slice(&msg)));
	assert_false(lot1_say(&l, SLICE("QUIT\r\n")));
	buf_free(&l.said);
	buf_free(&msg);
	buf_free(&got);
	spool_free(&sp);
}

/* No spool on this host and none to be made, a lock that cannot be had: an answer that says "later". */
static void
test_trouble(void **state)
{
	struct spool sp;
	struct lot1 l;

	(void)state;
	spool_three(&sp);
	sp.host.index_dir = "/dev/null";
	store_drop_cached();
	assert_false(lot1_open(&l, &sp));
	assert_int_equal(strncmp(l.said.p, "-ERR [SYS/TEMP] ", 16), 0);
	buf_free(&l.said);
	spool_free(&sp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcript),
		cmocka_unit_test(test_splits),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_half_line),
		cmocka_unit_test(test_meanwhile),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_trouble),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
