/*
 * What one session does, or a delivery, or an import, reaches the others: once, and in an order from which a client can
 * keep count. Sessions that idle and sessions that use NOTIFY, parked between each look, woken late or at once.
 */
#include <stdlib.h>

#include "imap_delivery.h"

#define NWATCHERS	20	/* of the load test */
#define NDELIVERIES	1000
#define MODEL_MAX	4096	/* messages of a mailbox in the random test */

/* As a message that spoolimport brings: appended by no session. */
static void
import(const char *user, const char *mailbox)
{
	struct append_msg	m = {.date_ms = 1000, .flags = MSG_SEEN,
	    .body = {.mem = SLICE(PLAIN), .fd = -1, .bytes = sizeof(PLAIN) - 1}};
	struct arena		arena = arena_make(65536);
	struct mbox_info	info;
	uint32_t		uid, uidvalidity;
	struct store		*s;

	assert_int_equal(store_open(&test_host, slice_of(user), &s), FOUND);
	assert_int_equal(store_mbox_by_name(s, slice_of(mailbox), &arena, &info), STORE_OK);
	assert_int_equal(store_append(s, info.id, &m, 1, &uid, &uidvalidity), STORE_OK);
	store_close(s);
	arena_free(&arena);
}

static void
wake(struct client *c)
{
	assert_true(c->is_open && c->wants_changes);
	client_turn(c, SESSION_CHANGED);
}

static void
told(struct client *c, const char *what, const char *want)
{
	wake(c);
	got_check(what, "(woken)", c, want);
	wake(c);
	got_check(what, "(woken once more)", c, "");
}

/* An idling one and one with NOTIFY are told the same; o acts. */
static void
test_each_change(void **state)
{
	static const struct { const char *send, *answer, *idle, *notify; } rows[] = {
		{"(deliver)", NULL, "* 4 EXISTS\r\n* ~ RECENT\r\n", "* 4 EXISTS\r\n* ~ RECENT\r\n"},
		{"(import)", NULL, "* 5 EXISTS\r\n* ~ RECENT\r\n", "* 5 EXISTS\r\n* ~ RECENT\r\n"},
		{"a APPEND INBOX {1+}\r\nx\r\n", "~a OK ~", "* 6 EXISTS\r\n* ~ RECENT\r\n", "* 6 EXISTS\r\n* ~ RECENT\r\n"},
		{"a STORE 2 +FLAGS.SILENT (\\Seen)\r\n", "~a OK ~", "* 2 FETCH (FLAGS (\\Seen~))\r\n", "* 2 FETCH (UID 2 FLAGS (\\Seen~))\r\n"},
		{"a STORE 1 FLAGS.SILENT ($a)\r\n", "~a OK ~", "* FLAGS (~ $a)\r\n* 1 FETCH (FLAGS ($a~))\r\n",
		    "* FLAGS (~ $a)\r\n* 1 FETCH (UID 1 FLAGS ($a~))\r\n"},
		{"a FETCH 3 (BODY[TEXT])\r\n", "~a OK ~", "* 3 FETCH (FLAGS (\\Seen~))\r\n", "* 3 FETCH (UID 3 FLAGS (\\Seen~))\r\n"},
		{"a COPY 1:2 INBOX\r\n", "~a OK ~", "* 8 EXISTS\r\n* ~ RECENT\r\n", "* 8 EXISTS\r\n* ~ RECENT\r\n"},
		{"a COPY 1:2 Sent\r\n", "~a OK ~", "", ""},
		{"a MOVE 7 Sent\r\n", "~a OK ~", "* 7 EXPUNGE\r\n", "* 7 EXPUNGE\r\n"},
		{"a STORE 1,7 +FLAGS.SILENT (\\Deleted)\r\n", "~a OK ~", "* 1 FETCH (~)\r\n* 7 FETCH (~)\r\n", "* 1 FETCH (UID 1 ~)\r\n* 7 FETCH (UID 8 ~)\r\n"},
		{"a UID EXPUNGE 1\r\n", "~a OK ~", "* 1 EXPUNGE\r\n", "* 1 EXPUNGE\r\n"},
		{"a EXPUNGE\r\n", "~a OK ~", "* 6 EXPUNGE\r\n", "* 6 EXPUNGE\r\n"},
		{"a REPLACE 1 INBOX {1+}\r\nx\r\n", "~a OK ~", "* 1 EXPUNGE\r\n* 5 EXISTS\r\n* ~ RECENT\r\n", "* 1 EXPUNGE\r\n* 5 EXISTS\r\n* ~ RECENT\r\n"},
		{"a APPEND INBOX {1+}\r\nx {1+}\r\ny\r\n", "~a OK ~", "* 7 EXISTS\r\n* ~ RECENT\r\n", "* 7 EXISTS\r\n* ~ RECENT\r\n"},
		{"a CREATE x\r\nb SUBSCRIBE x\r\nc DELETE x\r\n", "~c OK ~", "", ""},
	};
	struct client	idle, notify, o;

	(void)state;
	assert_int_equal(client_begin(&idle, "each"), 0);
	assert_int_equal(client_begin(&notify, "each"), 0);
	assert_int_equal(client_begin(&o, "each"), 0);
	for (int i = 0; i < 3; i++)
		deliver("each", "");
	DO(o, "a SELECT INBOX\r\n", "~a OK ~");
	DO(idle, "a SELECT INBOX\r\nb IDLE\r\n", "~+ idling\r\n");
	DO(notify, "a SELECT INBOX\r\n", "~a OK ~");
	DO(notify, "a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))\r\n", "a OK ~");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].answer != NULL) {
			client_send(&o, slice_of(rows[i].send), 0, 0);
			got_check("each", rows[i].send, &o, rows[i].answer);
		} else if (strcmp(rows[i].send, "(deliver)") == 0) {
			deliver("each", "");
		} else {
			import("each", "user.each");
		}
		told(&idle, rows[i].send, rows[i].idle);
		told(&notify, rows[i].send, rows[i].notify);
	}
	client_close(&idle);
	client_close(&notify);
	client_close(&o);
}

/* ---- a client that keeps count ---- */

struct model {
	struct client	c;
	size_t		n;
	struct { unsigned uid; bool is_seen; } v[MODEL_MAX];	/* uid 0: not told yet */
};

/* One line of untagged data; anything that does not fit what was told before fails. */
static void
model_line(struct model *m, const char *line)
{
	unsigned	seq, uid;

	if (sscanf(line, "* %u EX%*[I]STS", &seq) == 1 && strstr(line, "EXISTS") != NULL) {
		assert_true(seq >= m->n && seq <= MODEL_MAX);
		while (m->n < seq)
			m->v[m->n++].uid = 0;
	} else if (strstr(line, "EXPUNGE") != NULL) {
		assert_int_equal(sscanf(line, "* %u EXPUNGE", &seq), 1);
		assert_true(seq >= 1 && seq <= m->n);
		memmove(&m->v[seq - 1], &m->v[seq], (m->n - seq) * sizeof(m->v[0]));
		m->n--;
	} else if (sscanf(line, "* %u FETCH (UID %u", &seq, &uid) == 2) {
		assert_true(seq >= 1 && seq <= m->n);
		/* Told first as new, then as changed; always of the same message, and in the order of the mailbox. */
		assert_true(m->v[seq - 1].uid == 0 || m->v[seq - 1].uid == uid);
		assert_true(seq == 1 || m->v[seq - 2].uid < uid);
		m->v[seq - 1].uid = uid;
		m->v[seq - 1].is_seen = strstr(line, "\\Seen") != NULL;
	} else {
		assert_true(strstr(line, "RECENT") != NULL || strncmp(line, "* FLAGS", 7) == 0);
	}
}

static void
model_read(struct model *m)
{
	struct buf	got = buf_make(16 * 1024 * 1024);
	struct slice	text = client_take(&m->c, &got);

	while (text.n > 0) {
		const char	*end = memchr(text.p, '\n', text.n);
		char		 line[512];
		size_t		 n;

		assert_non_null(end);
		n = (size_t)(end - text.p) + 1;
		assert_true(n < sizeof(line));
		memcpy(line, text.p, n);
		line[n] = '\0';
		model_line(m, line);
		text = (struct slice){text.p + n, text.n - n};
	}
	for (size_t i = 0; i < m->n; i++)
		assert_true(m->v[i].uid != 0);
	buf_free(&got);
}

/* Something by one of the actors, or from outside. */
static void
act(struct client *o, unsigned i)
{
	static const char *const	flags[] = {"+FLAGS", "-FLAGS"};
	char				line[128];
	unsigned			what = (unsigned)random() % 10;

	switch (what) {
	case 0:
	case 1:
	case 2:
		deliver("random", "");
		return;
	case 3:
		import("random", "user.random");
		return;
	case 4:
		(void)snprintf(line, sizeof(line), "a APPEND INBOX {1+}\r\nx\r\n");
		break;
	case 5:
		(void)snprintf(line, sizeof(line), "a UID COPY %u:%u INBOX\r\n", i / 2 + 1, i / 2 + 3);
		break;
	case 6:
		(void)snprintf(line, sizeof(line), "a UID STORE %u:%u +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\n", i / 2 + 1, i / 2 + 2);
		break;
	case 7:
		(void)snprintf(line, sizeof(line), "a UID MOVE %u Sent\r\n", i + 1);
		break;
	default:
		(void)snprintf(line, sizeof(line), "a UID STORE %u:%u %s.SILENT (\\Seen)\r\n", i / 2 + 1, i, flags[what % 2]);
		break;
	}
	client_send(o, slice_of(line), 0, 0);
	got_check("random", line, o, "~OK ~");
}

/* A model against what a new session sees. */
static void
model_check(struct model *m)
{
	struct client	c;
	struct buf	got = buf_make(16 * 1024 * 1024);
	struct slice	text;
	const char	*at;

	assert_int_equal(client_begin(&c, "random"), 0);
	DO(c, "a EXAMINE INBOX\r\n", "~a OK ~");
	client_send(&c, SLICE("a FETCH 1:* (UID FLAGS)\r\n"), 0, 0);
	text = client_take(&c, &got);
	(void)buf_add(&got, "", 1);
	at = got.p;
	assert_true(text.n > 0);
	for (size_t i = 0; i < m->n; i++) {
		unsigned	seq, uid;
		const char	*end = strstr(at, "\r\n");

		assert_non_null(end);
		assert_int_equal(sscanf(at, "* %u FETCH (UID %u", &seq, &uid), 2);
		assert_int_equal(seq, i + 1);
		assert_int_equal(uid, m->v[i].uid);
		assert_int_equal(memmem(at, (size_t)(end - at), "\\Seen", 5) != NULL, m->v[i].is_seen);
		at = end + 2;
	}
	assert_int_equal(strncmp(at, "a OK", 4), 0);
	buf_free(&got);
	client_close(&c);
}

/* Two actors and three watchers, woken after each change or only now and then: what they counted is what there is. */
static void
test_random(void **state)
{
	static struct model	models[3];
	struct client		actors[2];

	(void)state;
	srandom(5465);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(client_begin(&actors[i], "random"), 0);
		DO(actors[i], "a SELECT INBOX\r\n", "~a OK ~");
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(client_begin(&models[i].c, "random"), 0);
		DO(models[i].c, "a SELECT INBOX\r\n", "~a OK ~");
		DO(models[i].c, "a NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) "
		    "(mailboxes x (MailboxName))\r\n", "a OK ~");
	}
	for (unsigned step = 0; step < 300; step++) {
		act(&actors[random() % 2], step);
		for (size_t i = 0; i < 3; i++) {
			if (i > 0 && random() % (i == 1 ? 3 : 20) != 0)
				continue;
			wake(&models[i].c);
			model_read(&models[i]);
		}
	}
	for (size_t i = 0; i < 3; i++) {
		wake(&models[i].c);
		model_read(&models[i]);
		model_check(&models[i]);
		assert_true(models[i].n > 20);
		client_close(&models[i].c);
	}
	client_close(&actors[0]);
	client_close(&actors[1]);
}

/* The number of the last EXISTS; each must be greater than the one before. */
static unsigned
exists_read(struct client *c, unsigned before)
{
	struct buf	got = buf_make(16 * 1024 * 1024);
	unsigned	n;

	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	for (const char *at = got.p; (at = strstr(at, "* ")) != NULL; at += 2) {
		char	word[16];

		assert_int_equal(sscanf(at, "* %u %15s", &n, word), 2);
		if (strcmp(word, "EXISTS") != 0)
			continue;
		assert_true(n > before);
		before = n;
	}
	buf_free(&got);
	return before;
}

/* Each of the sessions is told of every delivery, woken after it. */
static void
test_load(void **state)
{
	static struct client	watchers[NWATCHERS];
	unsigned		exists[NWATCHERS] = {0};

	(void)state;
	for (size_t i = 0; i < NWATCHERS; i++) {
		assert_int_equal(client_begin(&watchers[i], "load"), 0);
		DO(watchers[i], "a SELECT INBOX\r\nb IDLE\r\n", "~+ idling\r\n");
	}
	for (unsigned n = 1; n <= NDELIVERIES; n++) {
		deliver("load", "");
		for (size_t i = 0; i < NWATCHERS; i++) {
			wake(&watchers[i]);
			exists[i] = exists_read(&watchers[i], exists[i]);
			assert_int_equal(exists[i], n);
		}
	}
	for (size_t i = 0; i < NWATCHERS; i++)
		client_close(&watchers[i]);
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_each_change),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
