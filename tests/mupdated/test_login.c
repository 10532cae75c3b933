/*
 * Logins over TCP: a client made with libsasl against the real daemon; states, limits and time before login.
 */
#include "daemon.h"

#include <sasl/sasl.h>
#include <sasl/saslutil.h>

static struct daemon d;
static struct client a, b;

static void
password_set(const char *user, const char *password)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "printf %%s '%s' | /usr/sbin/saslpasswd2 -p -c -f '%s' -u " REALM " '%s'",
	    password, d.sasldb, user);
	assert_int_equal(system(command), 0);
}

static int
set_up(void **state)
{
	(void)state;
	daemon_make(&d);
	password_set("mailadmin", "secret");
	password_set("second", "other");
	password_set("alice", "secret");
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

/* ---- a client by libsasl ---- */

struct who {
	const char	*user, *authz, *password;
};

static int
name_get(void *context, int id, const char **result, unsigned *len)
{
	const struct who *who = context;

	*result = id == SASL_CB_USER ? who->authz : who->user;
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
secret_get(sasl_conn_t *conn, void *context, int id, sasl_secret_t **secret)
{
	static union {
		sasl_secret_t	s;
		char		room[sizeof(sasl_secret_t) + 64];
	} u;
	const struct who *who = context;

	(void)conn;
	(void)id;
	u.s.len = strlen(who->password);
	memcpy(u.s.data, who->password, u.s.len + 1);
	*secret = &u.s;
	return SASL_OK;
}

#define CALLBACK(id, fn, arg)	((sasl_callback_t){(id), (int (*)(void))(void (*)(void))(fn), (arg)})

/* Runs one exchange on an open connection; the answer's line, tag "A". */
static const char *
login(struct client *c, const char *mech, const struct who *who, bool with_initial)
{
	sasl_callback_t callbacks[] = {
		CALLBACK(SASL_CB_USER, name_get, (void *)(uintptr_t)who),
		CALLBACK(SASL_CB_AUTHNAME, name_get, (void *)(uintptr_t)who),
		CALLBACK(SASL_CB_PASS, secret_get, (void *)(uintptr_t)who), CALLBACK(SASL_CB_LIST_END, NULL, NULL),
	};
	char text[4096], line[8192];
	const char *out, *used, *got;
	sasl_conn_t *conn;
	unsigned outlen, n;
	bool pending = !with_initial;

	assert_int_equal(sasl_client_new("mupdate", "mupdate." REALM, NULL, NULL, callbacks, 0, &conn), SASL_OK);
	assert_true(sasl_client_start(conn, mech, NULL, &out, &outlen, &used) >= 0);
	assert_int_equal(sasl_encode64(out != NULL ? out : "", outlen, text, sizeof(text), &n), SASL_OK);
	if (with_initial)
		(void)snprintf(line, sizeof(line), "A AUTHENTICATE \"%s\" {%u+}\r\n%s\r\n", mech, n, text);
	else
		(void)snprintf(line, sizeof(line), "A AUTHENTICATE \"%s\"\r\n", mech);
	client_say(c, line);
	while ((got = client_until(c, "")) != NULL && strncmp(got, "A ", 2) != 0 && strncmp(got, "* ", 2) != 0) {
		char challenge[4096];
		unsigned challenge_n;

		assert_int_equal(sasl_decode64(got, (unsigned)strcspn(got, "\r"), challenge, sizeof(challenge), &challenge_n), SASL_OK);
		if (pending) {
			/* The first challenge is empty: what would have been the initial response. */
			assert_string_equal(got, "\r\n");
			pending = false;
		} else {
			assert_true(sasl_client_step(conn, challenge, challenge_n, NULL, &out, &outlen) >= 0);
			assert_int_equal(sasl_encode64(out != NULL ? out : "", outlen, text, sizeof(text), &n), SASL_OK);
		}
		client_say(c, text);
		client_say(c, "\r\n");
	}
	sasl_dispose(&conn);
	return got;
}

struct row {
	const char	*name, *mech;
	struct who	 who;
	bool		 plaintext, with_initial;
	const char	*want;
	const char	*logged;
};

static const struct row rows[] = {
	{"scram", "SCRAM-SHA-256", {"mailadmin", "", "secret"}, false, true, "A OK \"Authenticated\"\r\n", "login.ok"},
	{"scram without an initial response", "SCRAM-SHA-256", {"mailadmin", "", "secret"}, false, false, "A OK \"Authenticated\"\r\n",
	    "login.ok"},
	{"scram-sha-1", "SCRAM-SHA-1", {"mailadmin", "", "secret"}, false, true, "A OK \"Authenticated\"\r\n", "login.ok"},
	{"with the realm", "SCRAM-SHA-256", {"mailadmin@" REALM, "", "secret"}, false, true, "A OK \"Authenticated\"\r\n", "login.ok"},
	{"plain", "PLAIN", {"mailadmin", "", "secret"}, true, true, "A OK \"Authenticated\"\r\n", "login.ok"},
	{"plain without an initial response", "PLAIN", {"mailadmin", "", "secret"}, true, false, "A OK \"Authenticated\"\r\n", "login.ok"},
	{"plain where it is not offered", "PLAIN", {"mailadmin", "", "secret"}, false, true, "A NO \"authentication failed\"\r\n",
	    "why=\"no such mechanism\""},
	{"as another admin", "PLAIN", {"mailadmin", "second", "secret"}, true, true, "A OK \"Authenticated\"\r\n", "user=second@"},
	{"as somebody else", "PLAIN", {"mailadmin", "alice", "secret"}, true, true, "A NO \"authentication failed\"\r\n",
	    "why=\"not an admin\""},
	{"a wrong password", "SCRAM-SHA-256", {"mailadmin", "", "other"}, false, true, "A NO \"authentication failed\"\r\n",
	    "why=\"wrong name or password\""},
	{"a wrong plain password", "PLAIN", {"mailadmin", "", "other"}, true, true, "A NO \"authentication failed\"\r\n",
	    "why=\"wrong name or password\""},
	{"not an admin", "SCRAM-SHA-256", {"alice", "", "secret"}, false, true, "A NO \"authentication failed\"\r\n", "why=\"not an admin\""},
	{"not an admin, as one", "PLAIN", {"alice", "mailadmin", "secret"}, true, true, "A NO \"authentication failed\"\r\n",
	    "why=\"not an admin\""},
	{"nobody", "PLAIN", {"nobody", "", "secret"}, true, true, "A NO \"authentication failed\"\r\n", "why=\"wrong name or password\""},
};

static void
logins(void **state)
{
	(void)state;
	for (int plaintext = 0; plaintext < 2; plaintext++) {
		(void)set_up(NULL);
		d.conf.plaintext_login = plaintext;
		daemon_start(&d);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const struct row *r = &rows[i];
			size_t before = daemon_logged(&d, r->logged);
			const char *got;

			if (r->plaintext != plaintext)
				continue;
			client_tcp(&a, &d);
			got = client_until(&a, "* OK");
			assert_non_null(got);
			assert_int_equal(strncmp(got, plaintext ? "* AUTH \"SCRAM-SHA-256\" \"SCRAM-SHA-1\" \"PLAIN\"\r\n* OK" :
			    "* AUTH \"SCRAM-SHA-256\" \"SCRAM-SHA-1\"\r\n* OK", plaintext ? 49 : 41), 0);
			got = login(&a, r->mech, &r->who, r->with_initial);
			if (got == NULL || strcmp(got, r->want) != 0)
				fail_msg("%s: %s", r->name, got == NULL ? "closed" : got);
			if (daemon_logged(&d, r->logged) != before + 1)
				fail_msg("%s: %s is not in the log", r->name, r->logged);
			got = client_ask(&a, "F", "FIND \"user.a\"");
			if (strcmp(got, strstr(r->want, "OK") != NULL ? "F OK \"Search completed\"\r\n" :
			    "F NO \"Please login first\"\r\n") != 0)
				fail_msg("%s: then %s", r->name, got);
			client_close(&a);
		}
		assert_int_equal(daemon_logged(&d, "secret"), 0);
		assert_int_equal(daemon_logged(&d, "warn."), 0);
		(void)tear_down(NULL);
	}
}

struct talk {
	const char	*name, *in, *want;
};

/* Before login, after the banner; each ends by the server's BYE or our LOGOUT. */
static const struct talk talks[] = {
	{"nothing is allowed", "1 FIND \"a\"\r\n2 NOOP\r\nZ LOGOUT\r\n",
	    "1 NO \"Please login first\"\r\n2 NO \"Please login first\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"not often", "1 NOOP\r\n2 LIST\r\n3 UPDATE\r\n4 NOOP\r\n",
	    "1 NO \"Please login first\"\r\n2 NO \"Please login first\"\r\n3 BYE \"Please login first\"\r\n"},
	{"another protocol", "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n",
	    "GET BAD \"Null command\"\r\nHost: BAD \"Unrecognized command\"\r\n"
	    "User-Agent: BYE \"too many lines that are not understood\"\r\n"},
	{"cancelled", "1 AUTHENTICATE \"SCRAM-SHA-256\"\r\n*\r\nZ LOGOUT\r\n",
	    "\r\n1 NO \"login cancelled\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"not base64", "1 AUTHENTICATE \"SCRAM-SHA-256\"\r\n!!!!\r\nZ LOGOUT\r\n",
	    "\r\n1 NO \"not base64\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"base64 of a wrong length", "1 AUTHENTICATE \"SCRAM-SHA-256\" \"YQ\"\r\nZ LOGOUT\r\n",
	    "1 NO \"not base64\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"malformed", "1 AUTHENTICATE \"SCRAM-SHA-256\" \"YQ==\"\r\nZ LOGOUT\r\n",
	    "1 NO \"authentication failed\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"no such mechanism", "1 AUTHENTICATE \"GSSAPI\"\r\n2 AUTHENTICATE \"\"\r\nZ LOGOUT\r\n",
	    "1 NO \"authentication failed\"\r\n2 NO \"no such mechanism\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"a mechanism's name of 21 letters", "1 AUTHENTICATE \"AAAAAAAAAAAAAAAAAAAAA\"\r\nZ LOGOUT\r\n",
	    "1 NO \"no such mechanism\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"anonymous", "1 AUTHENTICATE \"ANONYMOUS\" \"YQ==\"\r\nZ LOGOUT\r\n",
	    "1 NO \"authentication failed\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"three failures", "1 AUTHENTICATE \"X\"\r\n2 AUTHENTICATE \"X\"\r\n3 AUTHENTICATE \"X\"\r\n4 NOOP\r\n",
	    "1 NO \"authentication failed\"\r\n2 NO \"authentication failed\"\r\n3 BYE \"too many failed logins\"\r\n"},
	{"a literal past the limit", "1 AUTHENTICATE \"PLAIN\" {12289+}\r\n", "* BYE \"line or string too long\"\r\n"},
	{"one that waits", "1 AUTHENTICATE \"PLAIN\" {12289}\r\nZ LOGOUT\r\n",
	    "1 BAD \"Badly formed arguments\"\r\nZ BYE \"bye-bye\"\r\n"},
	{"many literals", "1 UPDATE {8000+}\r\n", NULL},
};

static void
before_login(void **state)
{
	static char x[8000];

	(void)state;
	daemon_start(&d);
	memset(x, 'x', sizeof(x));
	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
		const char *got;

		client_tcp(&a, &d);
		assert_non_null(client_until(&a, "* OK"));
		client_say(&a, talks[i].in);
		if (talks[i].want == NULL) {
			for (int k = 0; k < 4; k++) {
				client_send(&a, x, sizeof(x));
				client_say(&a, " {8000+}\r\n");
			}
		}
		got = client_rest(&a);
		if (strcmp(got, talks[i].want != NULL ? talks[i].want : "* BYE \"line or string too long\"\r\n") != 0)
			fail_msg("%s: got\n%s", talks[i].name, got);
		client_close(&a);
	}
	/* A line that never ends. */
	client_tcp(&a, &d);
	assert_non_null(client_until(&a, "* OK"));
	for (int i = 0; i < 4; i++)
		client_send(&a, x, sizeof(x));
	assert_string_equal(client_rest(&a), "* BYE \"line or string too long\"\r\n");
	client_close(&a);
}

/* A password database that cannot be read is no wrong password. */
static void
no_database(void **state)
{
	const struct who who = {"mailadmin", "", "secret"};

	(void)state;
	assert_int_equal(unlink(d.sasldb), 0);
	daemon_start(&d);
	client_tcp(&a, &d);
	assert_non_null(client_until(&a, "* OK"));
	assert_string_equal(login(&a, "SCRAM-SHA-256", &who, true), "A BYE \"logins are not possible now\"\r\n");
	client_close(&a);
	assert_int_equal(daemon_logged(&d, "warn.login.failed"), 1);
	assert_int_equal(daemon_logged(&d, d.sasldb), 1);
}

/* Connections without a login are a quarter at most; the oldest goes; who is logged in stays. */
static void
crowd(void **state)
{
	const struct who who = {"mailadmin", "", "secret"};
	int fds[12];

	(void)state;
	d.conf.connections_max = 8;
	daemon_start(&d);
	client_tcp(&a, &d);
	assert_non_null(client_until(&a, "* OK"));
	assert_non_null(strstr(login(&a, "SCRAM-SHA-256", &who, true), "A OK"));
	for (size_t i = 0; i < 12; i++) {
		client_tcp(&b, &d);
		assert_non_null(client_until(&b, "* OK"));
		fds[i] = b.fd;
	}
	/* The last two are alive, the ones before were closed. */
	for (size_t i = 0; i < 12; i++) {
		char c;

		assert_int_equal(recv(fds[i], &c, 1, MSG_DONTWAIT), i < 10 ? 0 : -1);
		close(fds[i]);
	}
	assert_string_equal(client_ask(&a, "1", "NOOP"), "1 OK \"Noop done\"\r\n");
	client_close(&a);
	/* All places taken by those who may: the next is told so. */
	for (size_t i = 0; i < 8; i++) {
		client_unix(&b, &d);
		fds[i] = b.fd;
	}
	a.fd = unix_open(d.socket);
	a.n = 0;
	assert_string_equal(client_rest(&a), "* BYE \"too many connections\"\r\n");
	client_close(&a);
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
}

static void
timeout(void **state)
{
	(void)state;
	d.conf.login_timeout_s = 1;
	daemon_start(&d);
	client_tcp(&a, &d);
	assert_non_null(client_until(&a, "* OK"));
	client_say(&a, "1 AUTHENTICATE \"SCRAM-SHA-256\"\r\n");
	assert_string_equal(client_rest(&a), "\r\n* BYE \"no login in time\"\r\n");
	client_close(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logins),
		cmocka_unit_test_setup_teardown(before_login, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_database, set_up, tear_down),
		cmocka_unit_test_setup_teardown(crowd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(timeout, set_up, tear_down),
	};

	if (sasl_client_init(NULL) != SASL_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
