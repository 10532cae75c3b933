/*
 * Object identifiers (RFC 8474): the same object has the same id wherever it is told, and another object another.
 */
#include "imap_transcript.h"
#include "imap/objectid.h"

/* What stands between two texts in what the client gets for a command. */
static void
id_take(struct client *c, const char *send, const char *before, char *id_out)
{
	struct buf	got = buf_make(1024 * 1024);
	const char	*at, *end;

	client_send(c, slice_of(send), 0, 0);
	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	if ((at = strstr(got.p, before)) == NULL || (end = strchr(at += strlen(before), ')')) == NULL || end - at >= OBJECTID_TEXT_BYTES) {
		fail_msg("%s: no id in %s", send, got.p);
		return;
	}
	memcpy(id_out, at, (size_t)(end - at));
	id_out[end - at] = '\0';
	buf_free(&got);
}

/* Sends a command with an id in it and checks the answer. */
static void
id_send(struct client *c, const char *fmt, const char *id, const char *want_fmt)
{
	char	send[512], want[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(send, sizeof(send), fmt, id);
	(void)snprintf(want, sizeof(want), want_fmt, id);
#pragma GCC diagnostic pop
	client_send(c, slice_of(send), 0, 0);
	got_check("id", send, c, want);
}

static void
id_check(const char *id, char kind)
{
	struct slice	cur = slice_of(id), out;

	assert_int_equal(id[0], kind);
	assert_int_equal(parse_objectid(&cur, &out), PARSE_OK);
	assert_int_equal(cur.n, 0);
}

/* RFC 8474 4: CREATE, SELECT, STATUS, LIST RETURN (STATUS); RENAME keeps it, another mailbox of the name has another. */
static void
test_mailboxid(void **state)
{
	char		foo[OBJECTID_TEXT_BYTES], bar[OBJECTID_TEXT_BYTES], again[OBJECTID_TEXT_BYTES];
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "mailboxid"), 0);
	id_take(&c, "3 create foo\r\n", "3 OK [MAILBOXID (", foo);
	id_take(&c, "4 create bar\r\n", "4 OK [MAILBOXID (", bar);
	id_check(foo, 'F');
	assert_string_not_equal(foo, bar);
	DO(c, "5 create foo\r\n", "5 NO [ALREADYEXISTS] ~\r\n");
	id_send(&c, "6 select foo\r\n", foo, "~* OK [MAILBOXID (%s)] ~6 OK [READ-WRITE] ~\r\n");
	id_send(&c, "6 examine foo\r\n", foo, "~* OK [MAILBOXID (%s)] ~6 OK [READ-ONLY] ~\r\n");
	id_send(&c, "6 status foo (mailboxid)\r\n", foo, "* STATUS \"foo\" (MAILBOXID (%s))\r\n6 OK ~\r\n");
	id_send(&c, "7 status bar (messages mailboxid uidnext)\r\n", bar, "* STATUS \"bar\" (MESSAGES 0 UIDNEXT 1 MAILBOXID (%s))\r\n7 OK ~\r\n");
	DO(c, "8 rename foo renamed\r\n", "8 OK ~\r\n");
	id_send(&c, "9 status renamed (mailboxid)\r\n", foo, "* STATUS \"renamed\" (MAILBOXID (%s))\r\n9 OK ~\r\n");
	id_send(&c, "11 list \"\" ren* return (status (mailboxid))\r\n", foo, "* LIST ~\r\n* STATUS \"renamed\" (MAILBOXID (%s))\r\n11 OK ~\r\n");
	DO(c, "a delete renamed\r\n", "~a OK ~\r\n");
	id_take(&c, "a create renamed\r\n", "a OK [MAILBOXID (", again);
	assert_string_not_equal(foo, again);
	/* RENAME of INBOX makes a new mailbox; INBOX keeps its id (RFC 3501 6.3.5). */
	id_take(&c, "a status inbox (mailboxid)\r\n", "(MAILBOXID (", foo);
	DO(c, "a rename inbox saved\r\n", "a OK ~\r\n");
	id_send(&c, "a status inbox (mailboxid)\r\n", foo, "* STATUS \"INBOX\" (MAILBOXID (%s))\r\na OK ~\r\n");
	id_take(&c, "a status saved (mailboxid)\r\n", "(MAILBOXID (", again);
	assert_string_not_equal(foo, again);
	client_close(&c);
}

static void
test_emailid(void **state)
{
	char		one[OBJECTID_TEXT_BYTES], two[OBJECTID_TEXT_BYTES], upper[OBJECTID_TEXT_BYTES];
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "emailid"), 0);
	append(&c, "INBOX", "", PLAIN);
	append(&c, "INBOX", "", MIXED);
	DO(c, "a select inbox\r\n", "~a OK ~\r\n");
	DO(c, "22 fetch 1:* (emailid threadid)\r\n", "* 1 FETCH (EMAILID (M~) THREADID NIL)\r\n* 2 FETCH (EMAILID (M~) THREADID NIL)\r\n22 OK ~\r\n");
	id_take(&c, "a fetch 1 emailid\r\n", "* 1 FETCH (EMAILID (", one);
	id_take(&c, "a uid fetch 2 emailid\r\n", "* 2 FETCH (UID 2 EMAILID (", two);
	id_check(one, 'M');
	assert_string_not_equal(one, two);
	id_send(&c, "27 search emailid %s\r\n", one, "* SEARCH 1\r\n27 OK ~\r\n");
	id_send(&c, "27 uid search not emailid %s\r\n", one, "* SEARCH 2\r\n27 OK ~\r\n");
	id_send(&c, "27 search or emailid x emailid %s\r\n", two, "* SEARCH 2\r\n27 OK ~\r\n");
	/* Case counts, a longer or shorter one is another, and a message's is no thread's. */
	for (size_t i = 0; i < sizeof(one); i++)
		upper[i] = (char)(one[i] >= 'a' && one[i] <= 'f' ? one[i] - 32 : one[i]);
	id_send(&c, "27 search emailid %s\r\n", strcmp(upper, one) != 0 ? upper : "m", "* SEARCH\r\n27 OK ~\r\n");
	id_send(&c, "27 search emailid %s0\r\n", one, "* SEARCH\r\n27 OK ~\r\n");
	id_send(&c, "27 search emailid %.32s\r\n", one, "* SEARCH\r\n27 OK ~\r\n");
	id_send(&c, "27 search threadid %s\r\n", one, "* SEARCH\r\n27 OK ~\r\n");
	/* A copy is the same message (RFC 8474 5.1), also when it moves. */
	DO(c, "a copy 1 Sent\r\nb move 2 Trash\r\n", "a OK ~* 2 EXPUNGE\r\nb OK ~\r\n");
	DO(c, "a examine Sent\r\n", "~a OK ~\r\n");
	id_send(&c, "a fetch 1 emailid\r\n", one, "* 1 FETCH (EMAILID (%s))\r\na OK ~\r\n");
	DO(c, "a examine Trash\r\n", "~a OK ~\r\n");
	id_send(&c, "a fetch 1 emailid\r\n", two, "* 1 FETCH (EMAILID (%s))\r\na OK ~\r\n");
	client_close(&c);
}

/* Appends a search for an id of n letters. */
static void
search_long(struct client *c, int n, const char *want)
{
	char	send[512];

	(void)snprintf(send, sizeof(send), "a search emailid %0*d\r\n", n, 0);
	client_send(c, slice_of(send), 0, 0);
	got_check("long", send, c, want);
}

static void
test_bad(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "badid"), 0);
	append(&c, "INBOX", "", PLAIN);
	DO(c, "a select inbox\r\n", "~a OK ~\r\n");
	search_long(&c, OBJECTID_MAX_BYTES, "* SEARCH\r\na OK ~\r\n");
	search_long(&c, OBJECTID_MAX_BYTES + 1, "a BAD ~\r\n");
	DO(c, "a search emailid\r\n", "a BAD ~\r\n");
	DO(c, "a search emailid \"M1\"\r\n", "a BAD ~\r\n");
	DO(c, "a search threadid a.b\r\n", "a BAD ~\r\n");
	DO(c, "a search emailid _-aZ09\r\n", "* SEARCH\r\na OK ~\r\n");
	DO(c, "a status inbox (mailboxids)\r\n", "a BAD ~\r\n");
	DO(c, "a fetch 1 (emailid.x)\r\n", "a BAD ~\r\n");
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_mailboxid), cmocka_unit_test(test_emailid), cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
