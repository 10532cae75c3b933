/*
 * mupdated as clients see it: transcripts over the Unix socket, however the bytes arrive; limits; what
 * survives the death of its processes.
 */
#include "daemon.h"

#include "locmap.h"
#include "mupdatec.h"
#include "mupdatewire.h"

static struct daemon d;
static struct client a, b;

static int
set_up(void **state)
{
	(void)state;
	daemon_make(&d);
	daemon_start(&d);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	daemon_stop(&d);
	daemon_free(&d);
	return 0;
}

struct row {
	const char	*name;
	const char	*in;
	const char	*want;
};

/* One after the other on one map; each on a connection of its own. */
static const struct row rows[] = {
	{"find nothing", "1 FIND \"user.a\"\r\n", "1 OK \"Search completed\"\r\n"},
	{"list nothing", "1 LIST\r\n", "1 OK \"list complete\"\r\n"},
	{"reserve", "1 RESERVE \"user.a\" \"h1!default\"\r\n2 FIND \"user.a\"\r\n",
	    "1 OK \"done\"\r\n2 RESERVE \"user.a\" \"h1!default\"\r\n2 OK \"Search completed\"\r\n"},
	{"reserve again from there", "1 RESERVE \"user.a\" \"h1!default\"\r\n", "1 OK \"done\"\r\n"},
	{"reserve from elsewhere", "1 RESERVE \"user.a\" \"h2!default\"\r\n", "1 NO \"mailbox already exists\"\r\n"},
	{"deactivate what is reserved", "1 DEACTIVATE \"user.a\" \"h1!default\"\r\n",
	    "1 NO \"mailbox not currently active\"\r\n"},
	{"activate", "1 ACTIVATE \"user.a\" \"h1!default\" \"a\tlrs\t\"\r\n2 FIND \"user.a\"\r\n",
	    "1 OK \"done\"\r\n2 MAILBOX \"user.a\" \"h1!default\" \"a\tlrs\t\"\r\n2 OK \"Search completed\"\r\n"},
	{"reserve does not downgrade", "1 RESERVE \"user.a\" \"h1!default\"\r\n2 FIND \"user.a\"\r\n",
	    "1 NO \"mailbox already exists\"\r\n2 MAILBOX \"user.a\" \"h1!default\" \"a\tlrs\t\"\r\n2 OK \"Search completed\"\r\n"},
	{"activate moves", "1 ACTIVATE \"user.a\" \"h2!p\" \"\"\r\n2 FIND \"user.a\"\r\n",
	    "1 OK \"done\"\r\n2 MAILBOX \"user.a\" \"h2!p\" \"\"\r\n2 OK \"Search completed\"\r\n"},
	{"deactivate", "1 DEACTIVATE \"user.a\" \"h3!\"\r\n2 FIND \"user.a\"\r\n",
	    "1 OK \"done\"\r\n2 RESERVE \"user.a\" \"h3!\"\r\n2 OK \"Search completed\"\r\n"},
	{"deactivate unknown", "1 DEACTIVATE \"user.nobody\" \"h1!p\"\r\n", "1 NO \"mailbox not currently active\"\r\n"},
	{"delete", "1 DELETE \"user.a\"\r\n2 FIND \"user.a\"\r\n", "1 OK \"done\"\r\n2 OK \"Search completed\"\r\n"},
	{"delete unknown", "1 DELETE \"user.a\"\r\n", "1 OK \"done\"\r\n"},
	{"words in any case, odd tags", "a.B-9!]x nOoP\r\n", "a.B-9!]x OK \"Noop done\"\r\n"},
	{"cyrus literals", "C1 ACTIVATE {6+}\r\nuser.b {9+}\r\nhost!part {4+}\r\nb\tl\t\r\nC2 FIND {6+}\r\nuser.b\r\n",
	    "C1 OK \"done\"\r\nC2 MAILBOX \"user.b\" \"host!part\" \"b\tl\t\"\r\nC2 OK \"Search completed\"\r\n"},
	{"synchronising literal", "C1 FIND {6}\r\nuser.b\r\n",
	    "+ go ahead\r\nC1 MAILBOX \"user.b\" \"host!part\" \"b\tl\t\"\r\nC1 OK \"Search completed\"\r\n"},
	{"an acl with a quote goes out as a literal",
	    "1 ACTIVATE \"user.b\" \"host!part\" {3+}\r\n\"\\\n\r\n2 FIND \"user.b\"\r\n",
	    "1 OK \"done\"\r\n2 MAILBOX \"user.b\" \"host!part\" {3+}\r\n\"\\\n\r\n2 OK \"Search completed\"\r\n"},
	{"escapes in quotes", "1 ACTIVATE \"user.b\" \"host!part\" \"\\\\\\\"\"\r\n2 FIND \"user.b\"\r\n",
	    "1 OK \"done\"\r\n2 MAILBOX \"user.b\" \"host!part\" {2+}\r\n\\\"\r\n2 OK \"Search completed\"\r\n"},
	{"a name in modified utf-7", "1 RESERVE \"user.b.&APw-&-\" \"h!p\"\r\n2 FIND \"user.b.&APw-&-\"\r\n",
	    "1 OK \"done\"\r\n2 RESERVE \"user.b.&APw-&-\" \"h!p\"\r\n2 OK \"Search completed\"\r\n"},
	{"names that are none", "1 FIND \"\"\r\n2 FIND {2+}\r\n\xc3\xbc\r\n3 FIND \"user.&AC8-\"\r\n4 RESERVE \"a&AAo-\" \"h!p\"\r\n",
	    "1 NO \"not a mailbox name in modified UTF-7\"\r\n2 NO \"not a mailbox name in modified UTF-7\"\r\n"
	    "3 NO \"not a mailbox name in modified UTF-7\"\r\n4 NO \"not a mailbox name in modified UTF-7\"\r\n"},
	{"locations that are none",
	    "1 RESERVE \"user.c\" \"\"\r\n2 RESERVE \"user.c\" \"a!b!c\"\r\n3 RESERVE \"user.c\" \"a b!c\"\r\n",
	    "1 NO \"not a location\"\r\n2 NO \"not a location\"\r\n3 NO \"not a location\"\r\n"},
	{"a location without a partition", "1 RESERVE \"user.c\" \"mail2.example.org\"\r\n2 DELETE \"user.c\"\r\n",
	    "1 OK \"done\"\r\n2 OK \"done\"\r\n"},
	{"atoms are no strings", "1 FIND user.a\r\n2 LIST h1\r\n3 FIND NIL\r\n",
	    "1 BAD \"Badly formed arguments\"\r\n2 BAD \"Badly formed arguments\"\r\n3 BAD \"Badly formed arguments\"\r\n"},
	{"arguments counted", "1 FIND\r\n2 FIND \"a\" \"b\"\r\n3 NOOP \"x\"\r\n4 ACTIVATE \"a\" \"b\"\r\n",
	    "1 BAD \"Missing arguments\"\r\n2 BAD \"Extra arguments\"\r\n3 BAD \"Extra arguments\"\r\n"
	    "4 BAD \"Missing arguments\"\r\n"},
	{"badly formed", "1 FIND \"a\r\n2 FIND \"a\"b\r\n3 FIND  \"a\"\r\n4 FIND \"a\" \r\n5 FIND \"\\n\"\r\n",
	    "1 BAD \"Badly formed arguments\"\r\n2 BAD \"Badly formed arguments\"\r\n3 BAD \"Badly formed arguments\"\r\n"
	    "4 BAD \"Badly formed arguments\"\r\n5 BAD \"Badly formed arguments\"\r\n"},
	{"no command", "\r\n1\r\n2 \r\n* NOOP\r\n",
	    "* BAD \"Need command\"\r\n1 BAD \"Null command\"\r\n2 BAD \"Null command\"\r\n* BAD \"Need a tag\"\r\n"},
	{"unknown", "1 SELECT \"INBOX\"\r\n2 STARTTLS\r\n3 COMPRESS \"DEFLATE\"\r\n",
	    "1 BAD \"Unrecognized command\"\r\n2 BAD \"Unrecognized command\"\r\n3 BAD \"Unrecognized command\"\r\n"},
	{"already known", "1 AUTHENTICATE \"PLAIN\"\r\n", "1 BAD \"already authenticated\"\r\n"},
	{"bare line feed", "1 NOOP\n2 NOOP\r\n3 NOOP\r\n",
	    "* BAD \"a line ends with CRLF and holds no NUL\"\r\n2 OK \"Noop done\"\r\n3 OK \"Noop done\"\r\n"},
	{"bare carriage return", "1 NO\rOP\r\n2 NOOP\r\n",
	    "* BAD \"a line ends with CRLF and holds no NUL\"\r\n2 OK \"Noop done\"\r\n"},
	{"a literal too large that waits", "1 FIND {65537}\r\n2 NOOP\r\n",
	    "1 BAD \"Badly formed arguments\"\r\n2 OK \"Noop done\"\r\n"},
	{"a number past 64 bits", "1 FIND {18446744073709551617}\r\n2 NOOP\r\n",
	    "* BAD \"a line ends with CRLF and holds no NUL\"\r\n2 OK \"Noop done\"\r\n"},
	{"a literal too large that does not", "1 FIND {65537+}\r\nx", "* BYE \"line or string too long\"\r\n"},
	{"streaming", "1 UPDATE\r\n2 LIST\r\n3 UPDATE\r\n4 FIND \"user.b\"\r\n5 NOOP\r\n",
	    "1 MAILBOX \"user.b\" \"host!part\" {2+}\r\n\\\"\r\n1 RESERVE \"user.b.&APw-&-\" \"h!p\"\r\n1 OK \"streaming starts\"\r\n"
	    "2 BAD \"not legal when streaming\"\r\n3 BAD \"not legal when streaming\"\r\n4 BAD \"not legal when streaming\"\r\n"
	    "5 OK \"Noop done\"\r\n"},
	{"hosts", "1 UPDATE \"host\" \"other\"\r\n", "1 MAILBOX \"user.b\" \"host!part\" {2+}\r\n\\\"\r\n1 OK \"streaming starts\"\r\n"},
	{"a host is not a prefix", "1 UPDATE \"ho\"\r\n", "1 OK \"streaming starts\"\r\n"},
	{"a prefix of locations", "1 LIST \"ho\"\r\n2 LIST \"host!\"\r\n3 LIST \"host!x\"\r\n",
	    "1 MAILBOX \"user.b\" \"host!part\" {2+}\r\n\\\"\r\n1 OK \"list complete\"\r\n"
	    "2 MAILBOX \"user.b\" \"host!part\" {2+}\r\n\\\"\r\n2 OK \"list complete\"\r\n3 OK \"list complete\"\r\n"},
	{"ten times not understood", "1 X\r\n2 X\r\n3 X\r\n4 X\r\n5 X\r\n6 X\r\n7 X\r\n8 X\r\n9 X\r\n10 X\r\n11 NOOP\r\n",
	    "1 BAD \"Unrecognized command\"\r\n2 BAD \"Unrecognized command\"\r\n3 BAD \"Unrecognized command\"\r\n"
	    "4 BAD \"Unrecognized command\"\r\n5 BAD \"Unrecognized command\"\r\n6 BAD \"Unrecognized command\"\r\n"
	    "7 BAD \"Unrecognized command\"\r\n8 BAD \"Unrecognized command\"\r\n9 BAD \"Unrecognized command\"\r\n"
	    "10 BYE \"too many lines that are not understood\"\r\n"},
};

static void
row_check(const struct row *r, size_t step)
{
	static const char goodbye[] = "ZZ LOGOUT\r\n", bye[] = "ZZ BYE \"bye-bye\"\r\n";
	size_t n = strlen(r->in);
	char want[4096];
	const char *got;

	client_unix(&a, &d);
	for (size_t at = 0; at < n; at += step)
		client_send(&a, r->in + at, n - at < step ? n - at : step);
	client_send(&a, goodbye, sizeof(goodbye) - 1);
	got = client_rest(&a);
	/* Where the server ended it the goodbye was not heard. */
	(void)snprintf(want, sizeof(want), "%s%s", r->want, strstr(r->want, " BYE ") != NULL ? "" : bye);
	if (strcmp(got, want) != 0)
		fail_msg("%s (step %zu): got\n%swant\n%s", r->name, step, got, want);
	client_close(&a);
}

static void
transcripts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		row_check(&rows[i], 4096);
	/* The map is now as the later rows found it; those that do not change it, byte by byte and in odd pieces. */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool changes = strstr(rows[i].in, "ACTIVATE \"user") != NULL || strstr(rows[i].in, "RESERVE \"user") != NULL ||
		    strstr(rows[i].in, "DELETE \"user") != NULL || strstr(rows[i].in, "{6+}\r\nuser.b {9+}") != NULL;

		if (changes || i < 13 || strcmp(rows[i].name, "synchronising literal") == 0)
			continue;
		for (size_t step = 1; step < 8; step += 3)
			row_check(&rows[i], step);
	}
}

/* One command split at every place, in two. */
static void
splits(void **state)
{
	static const char in[] = "C1 ACTIVATE {6+}\r\nuser.s {9+}\r\nhost!part {4}\r\na\tb\"\r\nC2 FIND \"user.s\"\r\n";

	(void)state;
	client_unix(&a, &d);
	for (size_t at = 1; at < sizeof(in) - 1; at++) {
		client_send(&a, in, at);
		if (at % 8 == 0)
			(void)poll(NULL, 0, 2);
		client_send(&a, in + at, sizeof(in) - 1 - at);
		assert_string_equal(client_until(&a, "C2 OK"), "+ go ahead\r\nC1 OK \"done\"\r\nC2 MAILBOX \"user.s\" \"host!part\" {4+}\r\n"
		    "a\tb\"\r\nC2 OK \"Search completed\"\r\n");
	}
	client_close(&a);
}

static void
limits(void **state)
{
	static char text[MUPDATE_WHOLE_MAX_BYTES];
	char head[128];
	const char *got;

	(void)state;
	memset(text, 'x', sizeof(text));
	client_unix(&a, &d);
	/* The longest string is understood, though no name is that long. */
	(void)snprintf(head, sizeof(head), "1 FIND {%d+}\r\n", MUPDATE_STRING_MAX_BYTES);
	client_say(&a, head);
	client_send(&a, text, MUPDATE_STRING_MAX_BYTES);
	client_say(&a, "\r\n");
	assert_string_equal(client_until(&a, "1 "), "1 NO \"not a mailbox name in modified UTF-7\"\r\n");
	/* The longest acl, and one more. */
	for (size_t n = ACL_MAX_BYTES; n <= ACL_MAX_BYTES + 1; n++) {
		(void)snprintf(head, sizeof(head), "2 ACTIVATE \"user.l\" \"h!p\" {%zu+}\r\n", n);
		client_say(&a, head);
		client_send(&a, text, n);
		client_say(&a, "\r\n");
		assert_string_equal(client_until(&a, "2 "), n == ACL_MAX_BYTES ? "2 OK \"done\"\r\n" : "2 NO \"acl too long\"\r\n");
	}
	got = client_ask(&a, "3", "FIND \"user.l\"");
	assert_int_equal(strlen(got), strlen("3 MAILBOX \"user.l\" \"h!p\" {8192+}\r\n") + ACL_MAX_BYTES + 2 +
	    strlen("3 OK \"Search completed\"\r\n"));
	/* The longest location, and one more. */
	for (size_t n = LOCATION_MAX_BYTES; n <= LOCATION_MAX_BYTES + 1; n++) {
		(void)snprintf(head, sizeof(head), "4 RESERVE \"user.m\" {%zu+}\r\n", n);
		client_say(&a, head);
		client_send(&a, text, n);
		client_say(&a, "\r\n");
		assert_string_equal(client_until(&a, "4 "), n == LOCATION_MAX_BYTES ? "4 OK \"done\"\r\n" : "4 NO \"not a location\"\r\n");
	}
	/* The longest line. */
	client_say(&a, "5 ");
	client_send(&a, text, MUPDATE_LINE_MAX_BYTES - 2);
	client_say(&a, "\r\n");
	assert_string_equal(client_until(&a, "5 "), "5 BAD \"Null command\"\r\n");
	client_say(&a, "6 ");
	client_send(&a, text, MUPDATE_LINE_MAX_BYTES - 1);
	assert_string_equal(client_rest(&a), "* BYE \"line or string too long\"\r\n");
	client_close(&a);
	/* Tags. */
	client_unix(&a, &d);
	client_send(&a, text, MUPDATE_TAG_MAX_BYTES);
	client_say(&a, " NOOP\r\n");
	(void)client_until(&a, "xxx");
	client_send(&a, text, MUPDATE_TAG_MAX_BYTES + 1);
	client_say(&a, " NOOP\r\n");
	assert_string_equal(client_until(&a, "*"), "* BAD \"Need a tag\"\r\n");
	/* Thirty hosts, and one more. */
	for (int n = 31; n >= 30; n--) {
		client_say(&a, "7 UPDATE");
		for (int i = 0; i < n; i++)
			client_say(&a, " \"h\"");
		client_say(&a, "\r\n");
		(void)client_until(&a, n == 30 ? "7 OK" : "7 BAD \"Extra arguments\"");
	}
	client_close(&a);
}

/* The Unix socket is for known users. */
static void
strangers(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		skip();
		return;
	}
	pid = fork();
	if (pid == 0) {
		char line[64] = "";
		int fd;

		if (setgid(65534) == -1 || setuid(65534) == -1 || (fd = unix_open(d.socket)) == -1)
			_exit(1);
		if (read(fd, line, sizeof(line) - 1) <= 0 || strcmp(line, "* BYE \"not permitted\"\r\n") != 0)
			_exit(2);
		_exit(read(fd, line, 1) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Through the client of lib, as spoold does it. */
static void
lib_client(void **state)
{
	char where[160], text[REPLY_TEXT_MAX_BYTES];
	struct arena arena = arena_make(65536);
	struct loc_entry e;
	struct mupdatec *c;

	(void)state;
	(void)snprintf(where, sizeof(where), "unix:%s", d.socket);
	c = mupdatec_open(where, 5000);
	assert_non_null(c);
	assert_int_equal(mupdatec_find(c, SLICE("user.x.\xc3\xbc" "&"), &arena, &e), ABSENT);
	assert_int_equal(mupdatec_reserve(c, SLICE("user.x.\xc3\xbc" "&"), SLICE("h!p"), text), DONE);
	assert_int_equal(mupdatec_reserve(c, SLICE("user.x.\xc3\xbc" "&"), SLICE("h2!p"), text), PERM);
	assert_string_equal(text, "mailbox already exists");
	assert_int_equal(mupdatec_find(c, SLICE("user.x.\xc3\xbc" "&"), &arena, &e), FOUND);
	assert_int_equal(e.state, LOC_RESERVED);
	assert_int_equal(mupdatec_activate(c, SLICE("user.x.\xc3\xbc" "&"), SLICE("h!p"), SLICE("x\tlrs\t\"\n"), text), DONE);
	assert_int_equal(mupdatec_find(c, SLICE("user.x.\xc3\xbc" "&"), &arena, &e), FOUND);
	assert_int_equal(e.state, LOC_ACTIVE);
	assert_true(slice_is(e.location, SLICE("h!p")) && slice_is(e.acl, SLICE("x\tlrs\t\"\n")));
	assert_true(slice_is(e.name, SLICE("user.x.\xc3\xbc" "&")));
	assert_int_equal(mupdatec_noop(c), DONE);
	assert_int_equal(mupdatec_delete(c, SLICE("user.x.\xc3\xbc" "&"), text), DONE);
	assert_int_equal(mupdatec_find(c, SLICE("user.x.\xc3\xbc" "&"), &arena, &e), ABSENT);
	assert_int_equal(mupdatec_reserve(c, SLICE("user.\xff"), SLICE("h!p"), text), PERM);
	mupdatec_close(c);
	arena_free(&arena);
}

/*
 * kill -9 of the map in the middle of writes: connections end, what was acknowledged is there afterwards,
 * the process is back.
 */
static void
map_killed(void **state)
{
	struct arena arena = arena_make(1 << 20);
	unsigned acked = 0;
	char where[160];

	(void)state;
	(void)snprintf(where, sizeof(where), "unix:%s", d.socket);
	for (int round = 0; round < 5; round++) {
		struct mupdatec *c = NULL;
		struct loc_entry e;
		pid_t map = daemon_child(&d, "mupdated/map");
		char name[32], text[REPLY_TEXT_MAX_BYTES];

		assert_true(map > 0);
		for (int i = 0; i < 100 && (c = mupdatec_open(where, 10000)) == NULL; i++)
			(void)poll(NULL, 0, 50);
		assert_non_null(c);
		for (int i = 0;; i++) {
			if (i == 20 * (round + 1)) {
				/* Not waited for: the next writes meet a process that dies somewhere in them. */
				assert_int_equal(kill(map, SIGKILL), 0);
			}
			(void)snprintf(name, sizeof(name), "user.k%u", acked);
			if (mupdatec_activate(c, slice_of(name), SLICE("h!p"), SLICE("acl"), text) != DONE)
				break;
			acked++;
		}
		mupdatec_close(c);
		c = NULL;
		for (int i = 0; i < 200 && (c = mupdatec_open(where, 10000)) == NULL; i++)
			(void)poll(NULL, 0, 50);
		assert_non_null(c);
		for (unsigned i = 0; i < acked; i++) {
			(void)snprintf(name, sizeof(name), "user.k%u", i);
			if (mupdatec_find(c, slice_of(name), &arena, &e) != FOUND)
				fail_msg("%s was acknowledged and is not there", name);
		}
		arena_reset(&arena);
		mupdatec_close(c);
	}
	assert_true(acked >= 300);
	assert_true(daemon_logged(&d, "warn.child.died name=mupdated/map") == 5);
	arena_free(&arena);
}

static void
net_killed(void **state)
{
	const char *got;
	pid_t net;

	(void)state;
	client_unix(&a, &d);
	(void)client_ask(&a, "1", "RESERVE \"user.n\" \"h!p\"");
	net = daemon_child(&d, "mupdated/net");
	assert_true(net > 0);
	assert_int_equal(kill(net, SIGKILL), 0);
	assert_null(client_until(&a, "x"));
	client_close(&a);
	/* The listeners are the parent's: a new connection waits until the new process takes it. */
	client_unix(&a, &d);
	got = client_ask(&a, "1", "FIND \"user.n\"");
	assert_string_equal(got, "1 RESERVE \"user.n\" \"h!p\"\r\n1 OK \"Search completed\"\r\n");
	client_close(&a);
}

/* A map that is full says BYE: neither OK nor a NO that somebody would take for final. */
static void
map_full(void **state)
{
	static char acl[ACL_MAX_BYTES];
	char where[160], text[REPLY_TEXT_MAX_BYTES];
	enum result result = DONE;
	struct mupdatec *c;

	(void)state;
	daemon_make(&d);
	d.conf.map_size_bytes = 1 << 20;
	daemon_start(&d);
	(void)snprintf(where, sizeof(where), "unix:%s", d.socket);
	c = mupdatec_open(where, 10000);
	assert_non_null(c);
	memset(acl, 'a', sizeof(acl));
	for (int i = 0; i < 1000 && result == DONE; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "user.f%d", i);
		result = mupdatec_activate(c, slice_of(name), SLICE("h!p"), (struct slice){acl, sizeof(acl)}, text);
	}
	assert_int_equal(result, TEMP);
	assert_string_equal(text, "the location map is full");
	mupdatec_close(c);
	c = mupdatec_open(where, 10000);
	assert_non_null(c);
	assert_int_equal(mupdatec_delete(c, SLICE("user.f0"), text), DONE);
	mupdatec_close(c);
	daemon_stop(&d);
	daemon_free(&d);
}

static void
strict_delete(void **state)
{
	(void)state;
	daemon_make(&d);
	d.conf.strict_delete = true;
	daemon_start(&d);
	client_unix(&a, &d);
	assert_string_equal(client_ask(&a, "1", "DELETE \"user.a\""), "1 NO \"mailbox unknown\"\r\n");
	(void)client_ask(&a, "2", "RESERVE \"user.a\" \"h!p\"");
	assert_string_equal(client_ask(&a, "3", "DELETE \"user.a\""), "3 OK \"done\"\r\n");
	client_close(&a);
	daemon_stop(&d);
	daemon_free(&d);
}

/* An orderly stop says goodbye and waits for what is under way; what was written is there at the next start. */
static void
stop_and_start(void **state)
{
	(void)state;
	daemon_make(&d);
	daemon_start(&d);
	client_unix(&a, &d);
	client_unix(&b, &d);
	(void)client_ask(&a, "1", "ACTIVATE \"user.a\" \"h!p\" \"acl\"");
	daemon_stop(&d);
	assert_string_equal(client_rest(&b), "* BYE \"server is going down\"\r\n");
	client_close(&a);
	client_close(&b);
	assert_int_equal(daemon_logged(&d, "warn."), 0);
	daemon_start(&d);
	client_unix(&a, &d);
	assert_string_equal(client_ask(&a, "1", "LIST"), "1 MAILBOX \"user.a\" \"h!p\" \"acl\"\r\n1 OK \"list complete\"\r\n");
	client_close(&a);
	daemon_stop(&d);
	daemon_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(transcripts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(splits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lib_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(map_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(net_killed, set_up, tear_down),
		cmocka_unit_test(map_full),
		cmocka_unit_test(strict_delete),
		cmocka_unit_test(stop_and_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
