/*
 * proxyd/saslauth.c with a real sasldb (made by saslpasswd2) and libsasl's own client: every mechanism
 * lets the right password in, nothing else; names are folded, other identities refused, a database that
 * cannot be read is TEMP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sasl/sasl.h>

#include "saslauth.h"

static char dir[] = "/tmp/ts-saslauth-XXXXXX";
static char db[64], command[512];
static char *mechs[] = {(char[]){"PLAIN"}, (char[]){"LOGIN"}, (char[]){"SCRAM-SHA-1"}, (char[]){"SCRAM-SHA-256"}};
static struct settings conf = {.realm = "example.test", .hostname = "localhost", .mech_list = {mechs, 4}};

struct claim {
	const char	*authzid, *user, *password;
};

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(db, sizeof(db), "%s/db", dir);
	conf.sasldb_path = db;
	snprintf(command, sizeof(command), "printf secret | /usr/sbin/saslpasswd2 -c -p -f %s -u example.test alice && "
	    "printf other | /usr/sbin/saslpasswd2 -c -p -f %s -u other.test bob && "
	    "printf nobody | /usr/sbin/saslpasswd2 -c -p -f %s -u example.test -- -", db, db, db);
	if (system(command) != 0)
		return -1;
	saslauth_init(&conf);
	return sasl_client_init(NULL) == SASL_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(db);
	return rmdir(dir);
}

static int
give_name(void *context, int id, const char **out, unsigned *n)
{
	const struct claim *c = context;
	const char *s = id == SASL_CB_AUTHNAME ? c->user : c->authzid;

	*out = s;
	if (n != NULL)
		*n = (unsigned)strlen(s);
	return SASL_OK;
}

static int
give_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **out)
{
	static struct {
		sasl_secret_t	s;
		char		room[256];
	} secret;
	const struct claim *c = context;

	(void)conn;
	(void)id;
	secret.s.len = strlen(c->password);
	memcpy(secret.s.data, c->password, secret.s.len + 1);
	*out = &secret.s;
	return SASL_OK;
}

#define CALLBACK(fn)	((int (*)(void))(void (*)(void))(fn))

/* A whole exchange; the name that got in, or what became of it. */
static const char *
exchange(const char *mech, struct claim claim, bool initial, bool tls)
{
	static char user[128];
	sasl_callback_t callbacks[] = {{SASL_CB_USER, CALLBACK(give_name), &claim}, {SASL_CB_AUTHNAME, CALLBACK(give_name), &claim},
	    {SASL_CB_PASS, CALLBACK(give_password), &claim}, {SASL_CB_LIST_END, NULL, NULL}};
	struct saslauth *s = saslauth_make(SESS_IMAP, tls);
	enum saslauth_outcome o;
	sasl_conn_t *c = NULL;
	const char *out = NULL, *used;
	struct slice data;
	unsigned n = 0;

	assert_non_null(s);
	assert_int_equal(sasl_client_new("imap", "localhost", NULL, NULL, callbacks, 0, &c), SASL_OK);
	assert_true(sasl_client_start(c, mech, NULL, initial ? &out : NULL, &n, &used) >= 0);
	o = saslauth_start(s, mech, initial && out != NULL, (struct slice){out, out != NULL ? n : 0}, &data);
	for (int i = 0; i < 8 && o == SASLAUTH_MORE; i++) {
		int r = sasl_client_step(c, data.p, (unsigned)data.n, NULL, &out, &n);

		if (r != SASL_OK && r != SASL_CONTINUE) {
			o = SASLAUTH_BAD;
			break;
		}
		o = saslauth_step(s, (struct slice){out, out != NULL ? n : 0}, &data);
	}
	snprintf(user, sizeof(user), "%s", o == SASLAUTH_OK ? saslauth_user(s) : o == SASLAUTH_BAD ? "(bad)" :
	    o == SASLAUTH_TEMP ? "(temp)" : "(more)");
	sasl_dispose(&c);
	saslauth_free(s);
	return user;
}

struct row {
	const char	*name;
	struct claim	 claim;
	const char	*want;
};

static const struct row rows[] = {
	{"right", {"", "alice", "secret"}, "alice"},
	{"wrong password", {"", "alice", "Secret"}, "(bad)"},
	{"empty password", {"", "alice", ""}, "(bad)"},
	{"longer password", {"", "alice", "secretx"}, "(bad)"},
	{"nobody", {"", "mallory", "secret"}, "(bad)"},
	{"another case", {"", "ALICE", "secret"}, "alice"},
	{"with the realm", {"", "alice@example.test", "secret"}, "alice"},
	{"with the realm in another case", {"", "Alice@Example.TEST", "secret"}, "alice"},
	{"another realm's user", {"", "bob@other.test", "other"}, "(bad)"},
	{"another realm's user, bare", {"", "bob", "other"}, "(bad)"},
	{"no user's name, though in the database", {"", "-", "nobody"}, "(bad)"},
	{"any bad name with its password", {"", "../x", "nobody"}, "(bad)"},
	{"a path", {"", "../alice", "secret"}, "(bad)"},
	{"blanks around, which libsasl takes off", {"", " alice ", "secret"}, "alice"},
	{"LDAP's wildcard", {"", "*)(uid=*", "secret"}, "(bad)"},
};

static const struct row authzid_rows[] = {
	{"own identity", {"alice", "alice", "secret"}, "alice"},
	{"own identity in another case", {"ALICE", "alice", "secret"}, "alice"},
	{"another's", {"bob", "alice", "secret"}, "(bad)"},
	{"another's that has no password here", {"carol", "alice", "secret"}, "(bad)"},
};

static void
mechanisms(void **state)
{
	(void)state;
	for (size_t m = 0; m < conf.mech_list.n; m++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			for (int initial = 0; initial < 2; initial++) {
				const char *got = exchange(mechs[m], rows[i].claim, initial == 1, true);

				if (strcmp(got, rows[i].want) != 0)
					fail_msg("%s, %s: %s", mechs[m], rows[i].name, got);
			}
		}
		/* LOGIN has no authorization identity. */
		for (size_t i = 0; i < sizeof(authzid_rows) / sizeof(authzid_rows[0]) && strcmp(mechs[m], "LOGIN") != 0; i++) {
			const char *got = exchange(mechs[m], authzid_rows[i].claim, true, true);

			if (strcmp(got, authzid_rows[i].want) != 0)
				fail_msg("%s, %s: %s", mechs[m], authzid_rows[i].name, got);
		}
	}
}

static void
no_plaintext_without_tls(void **state)
{
	struct claim right = {"", "alice", "secret"};

	(void)state;
	assert_string_not_equal(exchange("PLAIN", right, true, false), "alice");
	assert_string_not_equal(exchange("LOGIN", right, false, false), "alice");
	assert_string_equal(exchange("SCRAM-SHA-256", right, true, false), "alice");
	conf.plaintext_login = true;
	assert_string_equal(exchange("PLAIN", right, true, false), "alice");
	conf.plaintext_login = false;
}

static void
unlisted_mechanisms(void **state)
{
	struct slice data;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct saslauth *s = saslauth_make(SESS_POP3, true);

		assert_true(saslauth_start(s, ((const char *[]){"CRAM-MD5", "ANONYMOUS", "NTLM"})[i], false, (struct slice){NULL, 0}, &data) >=
		    SASLAUTH_BAD);
		saslauth_free(s);
	}
}

/* Messages that are no messages, at each step: refused, nothing else. */
static void
garbage(void **state)
{
	static const struct slice junk[] = {
	    {"", 0}, {"\0", 1}, {"\0\0", 2}, {"\0alice", 6}, {"alice", 5}, {"\0alice\0secret\0x", 15}, {"n,,n=alice,r=", 13},
	    {"n,,n=alice,r=x,m=y", 18}, {"p=tls-unique,,n=alice,r=abc", 27}, {"n,a=bob,n=alice,r=abc", 21}, {"y,,n==2,r=abc", 13},
	    {"n,,r=abc,n=alice", 16}, {"c=biws,r=,p=", 12}, {"\xff\xfe\xfd", 3}, {"n,,n=,r=abc", 11},
	};

	(void)state;
	for (size_t m = 0; m < conf.mech_list.n; m++) {
		for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
			for (size_t k = 0; k < sizeof(junk) / sizeof(junk[0]); k++) {
				struct saslauth *s = saslauth_make(SESS_IMAP, true);
				struct slice data;
				enum saslauth_outcome o = saslauth_start(s, mechs[m], i > 0, junk[i], &data);

				if (o == SASLAUTH_MORE)
					o = saslauth_step(s, junk[k], &data);
				assert_int_not_equal(o, SASLAUTH_OK);
				saslauth_free(s);
			}
		}
	}
}

static void
missing_database_is_temp(void **state)
{
	struct claim right = {"", "alice", "secret"};
	char away[80];

	(void)state;
	snprintf(away, sizeof(away), "%s.away", db);
	assert_int_equal(rename(db, away), 0);
	for (size_t m = 0; m < conf.mech_list.n; m++)
		assert_string_equal(exchange(mechs[m], right, true, true), "(temp)");
	assert_int_equal(rename(away, db), 0);
	assert_string_equal(exchange("PLAIN", right, true, true), "alice");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mechanisms), cmocka_unit_test(no_plaintext_without_tls), cmocka_unit_test(unlisted_mechanisms),
	    cmocka_unit_test(garbage), cmocka_unit_test(missing_database_is_temp),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
