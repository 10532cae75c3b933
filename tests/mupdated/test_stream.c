/*
 * UPDATE and LIST: large dumps in pieces, in Cyrus' order; two clients that stream; writes during a dump; a
 * client that does not read.
 */
#include "daemon.h"

#define MANY	4200	/* more than are looked at for one piece of a dump */

static struct daemon d;
static struct client a, b, c;

static int
set_up(void **state)
{
	(void)state;
	daemon_make(&d);
	d.conf.update_backlog_max_bytes = 256 * 1024;
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

static void
two_stream(void **state)
{
	(void)state;
	client_unix(&a, &d);
	client_unix(&b, &d);
	client_unix(&c, &d);
	(void)client_ask(&a, "1", "ACTIVATE \"user.a\" \"h1!p\" \"x\"");
	assert_string_equal(client_ask(&b, "U1", "UPDATE"), "U1 MAILBOX \"user.a\" \"h1!p\" \"x\"\r\nU1 OK \"streaming starts\"\r\n");
	assert_string_equal(client_ask(&c, "U2", "UPDATE \"h1\""), "U2 MAILBOX \"user.a\" \"h1!p\" \"x\"\r\nU2 OK \"streaming starts\"\r\n");
	/* Who was told of a change and then asks for a NOOP anywhere finds it there before the NOOP's OK. */
	(void)client_ask(&a, "2", "RESERVE \"user.b\" \"h2!p\"");
	assert_string_equal(client_ask(&b, "N1", "NOOP"), "U1 RESERVE \"user.b\" \"h2!p\"\r\nN1 OK \"Noop done\"\r\n");
	assert_string_equal(client_ask(&c, "N1", "NOOP"), "N1 OK \"Noop done\"\r\n");
	/* Said again: nothing new. */
	(void)client_ask(&a, "3", "RESERVE \"user.b\" \"h2!p\"");
	assert_string_equal(client_ask(&b, "N2", "NOOP"), "N2 OK \"Noop done\"\r\n");
	/* What leaves the hosts asked for is told once more; what comes to them, from then on. */
	(void)client_ask(&a, "4", "ACTIVATE \"user.a\" \"h2!p\" \"x\"");
	(void)client_ask(&a, "5", "ACTIVATE \"user.a\" \"h3!p\" \"x\"");
	(void)client_ask(&a, "6", "ACTIVATE \"user.b\" \"h1!q\" \"y\"");
	(void)client_ask(&a, "7", "DELETE \"user.b\"");
	(void)client_ask(&a, "8", "DELETE \"user.a\"");
	assert_string_equal(client_ask(&c, "N3", "NOOP"), "U2 MAILBOX \"user.a\" \"h2!p\" \"x\"\r\n"
	    "U2 MAILBOX \"user.b\" \"h1!q\" \"y\"\r\nU2 DELETE \"user.b\"\r\nN3 OK \"Noop done\"\r\n");
	assert_string_equal(client_ask(&b, "N3", "NOOP"), "U1 MAILBOX \"user.a\" \"h2!p\" \"x\"\r\n"
	    "U1 MAILBOX \"user.a\" \"h3!p\" \"x\"\r\nU1 MAILBOX \"user.b\" \"h1!q\" \"y\"\r\nU1 DELETE \"user.b\"\r\n"
	    "U1 DELETE \"user.a\"\r\nN3 OK \"Noop done\"\r\n");
	/* And without asking. */
	(void)client_ask(&a, "9", "DELETE \"user.nobody\"");
	(void)client_ask(&a, "10", "RESERVE \"user.z\" \"h1!p\"");
	assert_string_equal(client_until(&b, "U1"), "U1 RESERVE \"user.z\" \"h1!p\"\r\n");
	assert_string_equal(client_ask(&b, "L", "LOGOUT"), "L BYE \"bye-bye\"\r\n");
	client_close(&a);
	client_close(&b);
	client_close(&c);
}

/*
 * Fills the map with MANY mailboxes; written directly, as before mupdated starts. Their lines are 800 KiB:
 * more than sockets and an output buffer hold.
 */
static void
map_fill(void)
{
	struct locmap *m;
	char acl[130];

	memset(acl, 'a', sizeof(acl));
	daemon_stop(&d);
	m = locmap_open(d.map_dir, true, d.conf.map_size_bytes);
	assert_non_null(m);
	for (int i = 0; i < MANY; i++) {
		char name[64];
		struct loc_entry e = {.state = LOC_ACTIVE, .location = i % 7 ? SLICE("h1!p") : SLICE("h2!p"),
		    .acl = i % 7 ? (struct slice){acl, sizeof(acl)} : SLICE("x\tlrs\t")};

		(void)snprintf(name, sizeof(name), "user.u%05d%s", i, i % 3 == 0 ? ".x" : i % 3 == 1 ? "-x" : "");
		e.name = slice_of(name);
		assert_int_equal(locmap_put(m, &e), 0);
	}
	locmap_close(m);
	daemon_start(&d);
}

static size_t
lines_count(const char *text, const char *start)
{
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p = strchr(p, '\n') + 1)
		n += strncmp(p, start, strlen(start)) == 0;
	return n;
}

/* The mailbox's name of a line "tag MAILBOX "name" ...", '.' as Cyrus' separator. */
static void
line_key(const char *line, char *out, size_t cap)
{
	const char *from = strchr(line, '"') + 1;
	size_t n = strcspn(from, "\"");

	assert_true(n < cap);
	memcpy(out, from, n);
	out[n] = '\0';
	for (; *out != '\0'; out++)
		if (*out == '.')
			*out = 0x1f;
}

static void
large_list(void)
{
	char last[64] = "", key[64];
	const char *got;

	client_unix(&a, &d);
	got = client_ask(&a, "1", "LIST");
	assert_int_equal(lines_count(got, "1 MAILBOX "), MANY);
	for (const char *p = got; strncmp(p, "1 MAILBOX", 9) == 0; p = strchr(p, '\n') + 1) {
		line_key(p, key, sizeof(key));
		assert_true(strcmp(last, key) < 0);
		memcpy(last, key, sizeof(last));
	}
	assert_string_equal(client_ask(&a, "1", "LIST \"h9!\""), "1 OK \"list complete\"\r\n");
	got = client_ask(&a, "1", "LIST \"h2!\"");
	assert_int_equal(lines_count(got, "1 MAILBOX "), (MANY + 6) / 7);
	/* Pipelined behind a dump: run in order, after it. */
	client_say(&a, "2 LIST \"h2\"\r\n3 FIND \"user.u00000.x\"\r\n4 NOOP\r\n");
	got = client_until(&a, "4 OK");
	assert_non_null(strstr(got, "2 OK \"list complete\"\r\n3 MAILBOX \"user.u00000.x\" \"h2!p\" \"x\tlrs\t\"\r\n3 OK"));
	client_close(&a);
}

/* What a client that follows the stream knows, by name: the line's word and location. */
struct copy {
	char	name[MANY + 2000][24], location[MANY + 2000][8];
	size_t	n;
};

static void
copy_line(struct copy *copy, const char *line)
{
	char word[16], name[24], location[8] = "";
	size_t i;

	if (sscanf(line, "U %15s \"%23[^\"]\" \"%7[^\"]\"", word, name, location) < 2)
		return;
	for (i = 0; i < copy->n && strcmp(copy->name[i], name) != 0; i++)
		continue;
	assert_true(i < sizeof(copy->name) / sizeof(copy->name[0]));
	if (i == copy->n)
		(void)strcpy(copy->name[copy->n++], name);
	(void)strcpy(copy->location[i], strcmp(word, "DELETE") == 0 ? "" : location);
}

/* A dump with writes going on before and behind where it is: in the end the copy is the map. */
static void
writes_during_dump(void)
{
	static struct copy copy;
	size_t live = 0, deletes_before_ok = 0, streamed = 0;
	bool streaming = false;
	const char *got;

	client_unix(&a, &d);
	client_unix(&b, &d);
	/* The reader's socket is small and read late: the dump stops in its middle. */
	assert_int_equal(setsockopt(b.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)), 0);
	client_say(&b, "U UPDATE\r\n");
	for (int i = 0; i < 1000; i++) {
		char line[96];

		(void)snprintf(line, sizeof(line), i % 4 == 0 ? "DELETE \"user.u%05d.x\"" : i % 4 == 1 ?
		    "ACTIVATE \"user.v%05d\" \"h3!p\" \"\"" : i % 4 == 2 ? "ACTIVATE \"user.u%05d\" \"h3!p\" \"\"" :
		    "RESERVE \"user.a%05d\" \"h3!p\"", i * 5 % MANY);
		assert_non_null(client_ask(&a, "1", line));
	}
	client_say(&b, "N NOOP\r\n");
	got = client_until(&b, "N OK");
	assert_non_null(got);
	for (const char *p = got; *p != '\0'; p = strchr(p, '\n') + 1) {
		streaming = streaming || strncmp(p, "U OK", 4) == 0;
		streamed += streaming;
		deletes_before_ok += !streaming && strncmp(p, "U DELETE", 8) == 0;
		copy_line(&copy, p);
	}
	/* All changes but those before its first piece followed the dump: nothing of it was late by accident. */
	assert_true(streamed > 700);
	assert_int_equal(deletes_before_ok, 0);
	for (size_t i = 0; i < copy.n; i++)
		live += copy.location[i][0] != '\0';
	got = client_ask(&a, "U", "LIST");
	assert_int_equal(lines_count(got, "U MAILBOX") + lines_count(got, "U RESERVE"), live);
	for (const char *p = got; strncmp(p, "U OK", 4) != 0; p = strchr(p, '\n') + 1) {
		char name[24], location[8];
		size_t i;

		assert_int_equal(sscanf(p, "U %*s \"%23[^\"]\" \"%7[^\"]\"", name, location), 2);
		for (i = 0; i < copy.n && strcmp(copy.name[i], name) != 0; i++)
			continue;
		if (i == copy.n || strcmp(copy.location[i], location) != 0)
			fail_msg("%s is at %s, the copy says %s", name, location, i == copy.n ? "nothing" : copy.location[i]);
	}
	client_close(&a);
	client_close(&b);
}

static void
large(void **state)
{
	(void)state;
	map_fill();
	large_list();
	writes_during_dump();
}

/* One that does not read is dropped with BYE; the others see everything. */
static void
slow_reader(void **state)
{
	static char line[9000];
	const char *got;

	(void)state;
	client_unix(&a, &d);
	client_unix(&b, &d);
	client_unix(&c, &d);
	assert_non_null(client_ask(&b, "U", "UPDATE"));
	assert_non_null(client_ask(&c, "U", "UPDATE"));
	for (int i = 0; i < 150; i++) {
		int n = snprintf(line, sizeof(line), "ACTIVATE \"user.s%d\" \"h!p\" {8000+}\r\n", i);

		memset(line + n, 'a', 8000);
		line[n + 8000] = '\0';
		assert_string_equal(client_ask(&a, "1", line), "1 OK \"done\"\r\n");
		assert_non_null(client_ask(&c, "N", "NOOP"));
	}
	got = client_rest(&b);
	assert_true(b.n > d.conf.update_backlog_max_bytes / 2);
	assert_string_equal(strstr(got, "U BYE"), "U BYE \"reading too slowly\"\r\n");
	client_close(&b);
	for (int k = 0; k < 500 && daemon_logged(&d, "why=backlog") == 0; k++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(daemon_logged(&d, "why=backlog"), 1);
	assert_non_null(client_ask(&a, "1", "RESERVE \"user.t\" \"h!p\""));
	assert_string_equal(client_ask(&c, "N", "NOOP"), "U RESERVE \"user.t\" \"h!p\"\r\nN OK \"Noop done\"\r\n");
	client_close(&a);
	client_close(&c);
}

/* When the map dies every stream ends: none goes on that could have missed something. */
static void
streams_end_with_the_map(void **state)
{
	const char *got;

	(void)state;
	client_unix(&a, &d);
	assert_non_null(client_ask(&a, "U", "UPDATE"));
	assert_int_equal(kill(daemon_child(&d, "mupdated/map"), SIGKILL), 0);
	got = client_rest(&a);
	assert_string_equal(got, "* BYE \"the location map restarts\"\r\n");
	client_close(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slow_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(streams_end_with_the_map, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
