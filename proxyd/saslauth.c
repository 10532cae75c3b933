/*
 * Cyrus SASL, server side. See saslauth.h. libsasl is configured through callbacks alone, and a name is
 * brought into one form (folded, without our realm) before it is looked up. A password database that cannot
 * be read is TEMP: libsasl takes it for an empty one.
 */
#include "saslauth.h"

#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "authmsg.h"
#include "log.h"

#define NOBODY	"-"	/* no user's name: user_fold refuses it even if the database has it */
#define SASL_LOG_PER_MINUTE	10	/* libsasl repeats itself */

struct saslauth {
	sasl_conn_t	*conn;			/* owned */
	sasl_callback_t	 callbacks[3];
	char		 user[USER_MAX_BYTES + 1];
	const char	*why;
};

static const struct settings *conf;
static char mech_list[8 * (AUTH_MECH_MAX_BYTES + 1) + 1];

static int
get_option(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	const char *value = NULL;

	(void)context;
	(void)plugin;
	if (strcmp(option, "pwcheck_method") == 0)
		value = "auxprop";
	else if (strcmp(option, "auxprop_plugin") == 0)
		value = "sasldb";
	else if (strcmp(option, "sasldb_path") == 0)
		value = conf->sasldb_path;
	else if (strcmp(option, "mech_list") == 0)
		value = mech_list;
	if (value == NULL)
		return SASL_FAIL;
	*result = value;
	if (len != NULL)
		*len = (unsigned)strlen(value);
	return SASL_OK;
}

/* Errors only, and few: a failed login is logged by us. libsasl says passwords only at a level far below. */
static int
take_log(void *context, int level, const char *text)
{
	static int64_t minute;
	static unsigned said;

	(void)context;
	if (level != SASL_LOG_ERR)
		return SASL_OK;
	if (mono_ms() / 60000 != minute) {
		minute = mono_ms() / 60000;
		said = 0;
	}
	if (said++ < SASL_LOG_PER_MINUTE)
		LOG("sasl.error", log_str("why", text));
	return SASL_OK;
}

/*
 * Folded, without "@realm" where that is ours. A name that no user can have, or of another realm, becomes
 * NOBODY and fails with its password: libsasl's LOGIN forgets to free (and to wipe) the password where this fails.
 */
static int
canon_user(sasl_conn_t *conn, void *context, const char *in, unsigned n, unsigned flags, const char *realm, char *out,
    unsigned cap, unsigned *n_out)
{
	struct saslauth *s = context;
	char folded[USER_MAX_BYTES + 1];
	const char *at = memchr(in, '@', n);
	size_t name = at != NULL ? (size_t)(at - in) : n;

	(void)conn;
	(void)flags;
	(void)realm;
	snprintf(s->user, sizeof(s->user), "%.*s", (int)n, in);
	if (at != NULL && !slice_is_nocase((struct slice){at + 1, n - name - 1}, slice_of(conf->realm)))
		name = 0;
	if (!user_fold((struct slice){in, name}, folded))
		strcpy(folded, NOBODY);
	if (strlen(folded) >= cap)
		return SASL_BUFOVER;
	strcpy(out, folded);
	*n_out = (unsigned)strlen(folded);
	return SASL_OK;
}

/* Nobody acts for somebody else here (RFC 4422 2: an authorization identity that is not the user's own). */
static int
proxy_policy(sasl_conn_t *conn, void *context, const char *requested, unsigned requested_n, const char *authenticated,
    unsigned authenticated_n, const char *realm, unsigned realm_n, struct propctx *props)
{
	(void)conn;
	(void)context;
	(void)realm;
	(void)realm_n;
	(void)props;
	return slice_is((struct slice){requested, requested_n}, (struct slice){authenticated, authenticated_n}) ?
	    SASL_OK : SASL_NOAUTHZ;
}

/* libsasl's callbacks are of a type without arguments. */
#define CALLBACK(fn)	((int (*)(void))(void (*)(void))(fn))

void
saslauth_init(const struct settings *settings)
{
	static sasl_callback_t callbacks[3];
	size_t n = 0;
	int r;

	conf = settings;
	for (size_t i = 0; i < conf->mech_list.n; i++)
		n += (size_t)snprintf(mech_list + n, sizeof(mech_list) - n, "%s%s", i > 0 ? " " : "", conf->mech_list.v[i]);
	callbacks[0] = (sasl_callback_t){SASL_CB_GETOPT, CALLBACK(get_option), NULL};
	callbacks[1] = (sasl_callback_t){SASL_CB_LOG, CALLBACK(take_log), NULL};
	callbacks[2] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	r = sasl_server_init(callbacks, "twinspool");
	if (r != SASL_OK)
		DIE(EXIT_TEMP, "fatal.sasl", log_str("what", "init"), log_str("why", sasl_errstring(r, NULL, NULL)));
}

struct saslauth *
saslauth_make(enum sess_proto proto, bool is_tls)
{
	struct saslauth *s = calloc(1, sizeof(*s));
	sasl_security_properties_t props = {.security_flags = SASL_SEC_NOANONYMOUS};
	sasl_ssf_t ssf = 128;	/* what TLS gives; only that it is more than none matters */
	int r;

	if (s == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "login"));
	s->why = "";
	s->callbacks[0] = (sasl_callback_t){SASL_CB_CANON_USER, CALLBACK(canon_user), s};
	s->callbacks[1] = (sasl_callback_t){SASL_CB_PROXY_POLICY, CALLBACK(proxy_policy), s};
	s->callbacks[2] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	if (!is_tls && !conf->plaintext_login)
		props.security_flags |= SASL_SEC_NOPLAINTEXT;
	r = sasl_server_new(proto == SESS_IMAP ? "imap" : "pop", conf->hostname, conf->realm, NULL, NULL, s->callbacks, 0,
	    &s->conn);
	if (r == SASL_OK)
		r = sasl_setprop(s->conn, SASL_SEC_PROPS, &props);
	if (r == SASL_OK && is_tls)
		r = sasl_setprop(s->conn, SASL_SSF_EXTERNAL, &ssf);
	if (r == SASL_OK)
		return s;
	saslauth_free(s);
	return NULL;
}

void
saslauth_free(struct saslauth *s)
{
	if (s == NULL)
		return;
	sasl_dispose(&s->conn);
	free(s);
}

/* The name that was proved, without the realm that libsasl adds. */
static bool
user_take(struct saslauth *s)
{
	const void *name = NULL;
	struct slice user;
	const char *at;

	if (sasl_getprop(s->conn, SASL_USERNAME, &name) != SASL_OK || name == NULL)
		return false;
	user = slice_of(name);
	at = memchr(user.p, '@', user.n);
	if (at != NULL)
		user.n = (size_t)(at - user.p);
	return user_fold(user, s->user);
}

static enum saslauth_outcome
outcome(struct saslauth *s, int r, const char *out, unsigned n, struct slice *data_out)
{
	*data_out = (struct slice){out, out != NULL ? n : 0};
	s->why = sasl_errstring(r, NULL, NULL);
	switch (r) {
	case SASL_CONTINUE:
		return data_out->n <= AUTH_DATA_MAX_BYTES ? SASLAUTH_MORE : SASLAUTH_TEMP;
	case SASL_OK:
		return user_take(s) ? SASLAUTH_OK : SASLAUTH_BAD;
	case SASL_FAIL:
	case SASL_NOMEM:
	case SASL_BUFOVER:
	case SASL_TRYAGAIN:
	case SASL_UNAVAIL:
	case SASL_NOTINIT:
	case SASL_BADPARAM:
	case SASL_CONFIGERR:
		break;
	default:
		/* So does a database that went away: only a readable one may say no. */
		if (access(conf->sasldb_path, R_OK) == 0)
			return SASLAUTH_BAD;
		s->why = "the password database cannot be read";
		break;
	}
	LOG("warn.sasl.failed", log_str("why", s->why), log_str("sasldb", conf->sasldb_path));
	return SASLAUTH_TEMP;
}

enum saslauth_outcome
saslauth_start(struct saslauth *s, const char *mech, bool has_initial, struct slice initial, struct slice *data_out)
{
	const char *out = NULL;
	unsigned n = 0;
	int r = sasl_server_start(s->conn, mech, has_initial ? (initial.n > 0 ? initial.p : "") : NULL,
	    (unsigned)initial.n, &out, &n);

	return outcome(s, r, out, n, data_out);
}

enum saslauth_outcome
saslauth_step(struct saslauth *s, struct slice data, struct slice *data_out)
{
	const char *out = NULL;
	unsigned n = 0;
	int r = sasl_server_step(s->conn, data.n > 0 ? data.p : "", (unsigned)data.n, &out, &n);

	return outcome(s, r, out, n, data_out);
}

const char *
saslauth_user(const struct saslauth *s)
{
	return s->user;
}

const char *
saslauth_why(const struct saslauth *s)
{
	return s->why;
}
