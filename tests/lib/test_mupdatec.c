/*
 * lib/mupdatec.c against a server that says what a row tells it: answers of every kind, in every framing,
 * and none at all. What is not a clear OK or NO is TEMP, and in time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "mupdatec.h"

#define TIMEOUT_MS	300

static char path[] = "/tmp/mupdatec.XXXXXX";

/* Accepts one connection, sends the banner, reads a line (or a closed connection), sends the answer; then as told. */
static pid_t
serve(const char *banner, const char *answer, bool slowly, bool then_close)
{
	int listener = ipc_listen(path, SOCK_STREAM, 0600, 4);
	pid_t pid;

	assert_int_not_equal(listener, -1);
	pid = fork();
	if (pid == 0) {
		/* A test that fails leaves nothing running. */
		int fd = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? accept(listener, NULL, NULL) : -1;
		char in[4096];

		(void)!write(fd, banner, strlen(banner));
		if (answer != NULL && read(fd, in, sizeof(in)) > 0) {
			for (const char *p = answer; slowly && *p != '\0'; p++) {
				(void)!write(fd, p, 1);
				usleep(200);
			}
			if (!slowly)
				(void)!write(fd, answer, strlen(answer));
		}
		if (!then_close)
			(void)pause();
		_exit(0);
	}
	close(listener);
	return pid;
}

static void
serve_end(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)unlink(path);
}

static struct mupdatec *
client(void)
{
	char where[64];

	(void)snprintf(where, sizeof(where), "unix:%s", path);
	return mupdatec_open(where, TIMEOUT_MS);
}

struct open_row {
	const char	*name, *banner;
	bool		 closes;
	int		 want;		/* errno; 0: it opens */
};

static const struct open_row open_rows[] = {
	{"ours", "* OK MUPDATE \"h\" \"twinspool\" \"0.1\" \"(master)\"\r\n", false, 0},
	{"cyrus", "* AUTH \"PLAIN\"\r\n* STARTTLS\r\n* COMPRESS \"DEFLATE\"\r\n* PARTIAL-UPDATE\r\n"
	    "* OK MUPDATE \"h\" \"Cyrus IMAP\" \"3.6\" \"(master)\"\r\n", false, 0},
	{"with literals", "* OK MUPDATE {1+}\r\nh {1+}\r\nt {1+}\r\n1 {8+}\r\n(master)\r\n", false, 0},
	{"bye", "* BYE \"Server Unable\"\r\n", false, ECONNREFUSED},
	{"closes", "* AUTH \"PLAIN\"\r\n", true, ECONNRESET},
	{"silent", "* AUTH \"PLAIN\"\r\n", false, ETIMEDOUT},
	{"no line", "* O", false, ETIMEDOUT},
	{"not a protocol", "\n\n\n", false, EPROTO},
};

static void
opens(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(open_rows) / sizeof(open_rows[0]); i++) {
		const struct open_row *r = &open_rows[i];
		pid_t pid = serve(r->banner, NULL, false, r->closes);
		int64_t start = mono_ms();
		struct mupdatec *c;

		errno = 0;
		c = client();
		if ((c != NULL) != (r->want == 0) || (c == NULL && errno != r->want))
			fail_msg("%s: %s", r->name, c != NULL ? "opened" : strerror(errno));
		if (mono_ms() - start > 20 * TIMEOUT_MS)
			fail_msg("%s: took too long", r->name);
		mupdatec_close(c);
		serve_end(pid);
	}
	errno = 0;
	assert_null(client());
	assert_int_equal(errno, ENOENT);
	assert_null(mupdatec_open("nonsense", TIMEOUT_MS));
	assert_int_equal(errno, EINVAL);
	assert_null(mupdatec_open("127.0.0.1:1", TIMEOUT_MS));
	assert_int_equal(errno, ECONNREFUSED);
}

struct set_row {
	const char	*name, *answer;	/* NULL: none */
	bool		 closes;
	enum result	 want;
	const char	*text;
};

static const struct set_row set_rows[] = {
	{"ok", "C1 OK \"done\"\r\n", false, DONE, "done"},
	{"ok as a literal", "C1 OK {4+}\r\ndone\r\n", false, DONE, "done"},
	{"no", "C1 NO \"exists\"\r\n", false, PERM, "exists"},
	{"no with controls", "C1 NO {5+}\r\na\r\nb\t\r\n", false, PERM, "a??b?"},
	{"bad", "C1 BAD \"what\"\r\n", false, TEMP, "what"},
	{"bye", "C1 BYE \"full\"\r\n", false, TEMP, "full"},
	{"untagged bye", "* BYE \"restart\"\r\n", true, TEMP, ""},
	{"another's tag", "C2 OK \"done\"\r\n", false, TEMP, ""},
	{"unknown word", "C1 HELLO \"done\"\r\n", false, TEMP, "done"},
	{"half an answer", "C1 OK \"do", true, TEMP, ""},
	{"half an answer, then silence", "C1 N", false, TEMP, ""},
	{"nothing", "", true, TEMP, ""},
	{"silence", "", false, TEMP, ""},
	{"bare line feeds", "C1 OK \"done\"\n", false, TEMP, ""},
};

static void
sets(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(set_rows) / sizeof(set_rows[0]); i++) {
		const struct set_row *r = &set_rows[i / 2];
		pid_t pid = serve(open_rows[0].banner, r->answer, i % 2 == 1, r->closes);
		struct mupdatec *c = client();
		int64_t start = mono_ms();
		char text[REPLY_TEXT_MAX_BYTES] = "?";
		enum result got;

		assert_non_null(c);
		got = mupdatec_reserve(c, SLICE("user.a"), SLICE("h!p"), text);
		if (got != r->want || strcmp(text, r->text) != 0)
			fail_msg("%s: %d %s", r->name, (int)got, text);
		if (mono_ms() - start > 20 * TIMEOUT_MS)
			fail_msg("%s: took too long", r->name);
		/* After TEMP the connection is of no more use, and says so at once. */
		if (got == TEMP)
			assert_int_equal(mupdatec_noop(c), TEMP);
		mupdatec_close(c);
		serve_end(pid);
	}
}

struct find_row {
	const char	*name, *answer;
	enum lookup	 want;
	enum loc_state	 state;
	const char	*location, *acl;
};

static const struct find_row find_rows[] = {
	{"absent", "C1 OK \"x\"\r\n", ABSENT, 0, NULL, NULL},
	{"active", "C1 MAILBOX \"user.&APw-\" \"h!p\" \"acl\"\r\nC1 OK \"x\"\r\n", FOUND, LOC_ACTIVE, "h!p", "acl"},
	{"active, literals", "C1 MAILBOX {10+}\r\nuser.&APw- {3+}\r\nh!p {3+}\r\na\"l\r\nC1 OK \"x\"\r\n", FOUND, LOC_ACTIVE, "h!p",
	    "a\"l"},
	{"empty acl", "C1 MAILBOX \"user.&APw-\" \"h!p\" \"\"\r\nC1 OK \"x\"\r\n", FOUND, LOC_ACTIVE, "h!p", ""},
	{"reserved", "C1 RESERVE \"user.&APw-\" \"h!\"\r\nC1 OK \"x\"\r\n", FOUND, LOC_RESERVED, "h!", ""},
	{"no acl", "C1 MAILBOX \"user.&APw-\" \"h!p\"\r\nC1 OK \"x\"\r\n", LOOKUP_TEMP, 0, NULL, NULL},
	{"another mailbox", "C1 RESERVE \"user.a\" \"h!\"\r\nC1 OK \"x\"\r\n", LOOKUP_TEMP, 0, NULL, NULL},
	{"no", "C1 NO \"x\"\r\n", LOOKUP_TEMP, 0, NULL, NULL},
	{"bye", "C1 BYE \"x\"\r\n", LOOKUP_TEMP, 0, NULL, NULL},
	{"an entry and silence", "C1 RESERVE \"user.&APw-\" \"h!\"\r\n", LOOKUP_TEMP, 0, NULL, NULL},
};

static void
finds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(find_rows) / sizeof(find_rows[0]); i++) {
		const struct find_row *r = &find_rows[i];
		pid_t pid = serve(open_rows[0].banner, r->answer, false, false);
		struct arena a = arena_make(4096);
		struct mupdatec *c = client();
		struct loc_entry e;
		enum lookup got;

		assert_non_null(c);
		got = mupdatec_find(c, SLICE("user.\xc3\xbc"), &a, &e);
		if (got != r->want)
			fail_msg("%s: %d", r->name, (int)got);
		if (got == FOUND && (e.state != r->state || !slice_is(e.name, SLICE("user.\xc3\xbc")) ||
		    !slice_is(e.location, slice_of(r->location)) || !slice_is(e.acl, slice_of(r->acl))))
			fail_msg("%s: entry", r->name);
		mupdatec_close(c);
		arena_free(&a);
		serve_end(pid);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(opens), cmocka_unit_test(sets), cmocka_unit_test(finds)};

	log_init("test_mupdatec");
	if (mkstemp(path) == -1 || unlink(path) == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
