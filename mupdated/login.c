/*
 * Logins over Cyrus SASL. Passwords are in sasldb; no configuration file of SASL is read, so that a
 * site's smtpd.conf or the like changes nothing here. No security layer is negotiated. The plugins' own
 * messages go nowhere: they may hold what a client typed.
 */
#include "login.h"

#include <errno.h>
#include <sasl/sasl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

struct login {
	uint64_t	 conn;		/* 0: free */
	sasl_conn_t	*sasl;		/* owned */
};

struct logins {
	const struct config	*config;
	const char		*hostname, *realm;
	char			 mechs[64];
	struct login		 all[LOGINS_MAX];
	char			 user[USER_TEXT_MAX_BYTES + 1];	/* of the last success */
	sasl_callback_t		 callbacks[4];
};

/* What a plugin asks for. Everything else is unset. */
static int
option_get(void *context, const char *plugin, const char *option, const char **result, unsigned *len)
{
	const struct logins *all = context;
	const struct { const char *name, *value; } options[] = {
		{"pwcheck_method", "auxprop"}, {"auxprop_plugin", "sasldb"}, {"sasldb_path", all->config->sasldb_path},
		{"mech_list", all->mechs}, {"auto_transition", "no"},
	};

	(void)plugin;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(option, options[i].name) != 0)
			continue;
		*result = options[i].value;
		if (len != NULL)
			*len = (unsigned)strlen(*result);
		return SASL_OK;
	}
	return SASL_FAIL;
}

static int
log_nothing(void *context, int level, const char *message)
{
	(void)context;
	(void)level;
	(void)message;
	return SASL_OK;
}

/* Whether one may act for the other is login_check's to say, which knows both when the password is right. */
static int
proxy_defer(sasl_conn_t *conn, void *context, const char *authz, unsigned authz_n, const char *auth, unsigned auth_n,
    const char *realm, unsigned realm_n, struct propctx *props)
{
	(void)conn;
	(void)context;
	(void)authz;
	(void)authz_n;
	(void)auth;
	(void)auth_n;
	(void)realm;
	(void)realm_n;
	(void)props;
	return SASL_OK;
}

/* libsasl2 calls through one pointer type whatever the callback takes. */
#define CALLBACK(id, fn, arg)	((sasl_callback_t){(id), (int (*)(void))(void (*)(void))(fn), (arg)})

struct logins *
logins_make(const struct config *config, const char *hostname)
{
	struct logins *all = calloc(1, sizeof(*all));

	if (all == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("where", "logins"));
	all->config = config;
	all->hostname = hostname;
	all->realm = config->realm[0] != '\0' ? config->realm : hostname;
	(void)strcat(all->mechs, "SCRAM-SHA-256 SCRAM-SHA-1");
	if (config->plaintext_login)
		(void)strcat(all->mechs, " PLAIN");
	all->callbacks[0] = CALLBACK(SASL_CB_GETOPT, option_get, all);
	all->callbacks[1] = CALLBACK(SASL_CB_LOG, log_nothing, NULL);
	all->callbacks[2] = CALLBACK(SASL_CB_PROXY_POLICY, proxy_defer, NULL);
	all->callbacks[3] = CALLBACK(SASL_CB_LIST_END, NULL, NULL);
	errno = 0;
	if (sasl_server_init(all->callbacks, "mupdated") != SASL_OK)
		DIE(EXIT_TEMP, "fatal.sasl", log_str("what", "sasl_server_init"));
	return all;
}

struct slice
logins_mechs(const struct logins *all)
{
	return slice_of(all->mechs);
}

static struct login *
login_of(struct logins *all, uint64_t conn)
{
	for (size_t i = 0; i < LOGINS_MAX; i++)
		if (all->all[i].conn == conn)
			return &all->all[i];
	return NULL;
}

static void
login_end(struct login *l)
{
	if (l->sasl != NULL)
		sasl_dispose(&l->sasl);
	*l = (struct login){.conn = 0};
}

void
logins_forget(struct logins *all, uint64_t conn)
{
	struct login *l = conn != 0 ? login_of(all, conn) : NULL;

	if (l != NULL)
		login_end(l);
}

void
logins_forget_all(struct logins *all)
{
	for (size_t i = 0; i < LOGINS_MAX; i++)
		login_end(&all->all[i]);
}

static bool
login_begin(struct logins *all, struct login *l, uint64_t conn)
{
	sasl_security_properties_t props = {.max_ssf = 0, .security_flags = SASL_SEC_NOANONYMOUS};

	l->conn = conn;
	if (!all->config->plaintext_login)
		props.security_flags |= SASL_SEC_NOPLAINTEXT;
	return sasl_server_new("mupdate", all->hostname, all->realm, NULL, NULL, NULL, 0, &l->sasl) == SASL_OK &&
	    sasl_setprop(l->sasl, SASL_SEC_PROPS, &props) == SASL_OK;
}

/* SASL appends the realm to a name that has none. */
static bool
is_admin(const struct logins *all, const char *user)
{
	size_t n = strlen(user), realm = strlen(all->realm);

	if (n > realm && user[n - realm - 1] == '@' && strcasecmp(user + n - realm, all->realm) == 0)
		n -= realm + 1;
	for (size_t i = 0; i < all->config->admins.n; i++) {
		const char *admin = all->config->admins.v[i];

		if (strcmp(admin, user) == 0 || slice_is((struct slice){user, n}, slice_of(admin)))
			return true;
	}
	return false;
}

/* Who it is, when SASL has accepted the password. An admin is itself or, by an authzid, another admin. */
static enum login_step
login_check(struct logins *all, struct login *l, struct slice *bytes_out)
{
	const void *authz = NULL, *auth = NULL;

	if (sasl_getprop(l->sasl, SASL_USERNAME, &authz) != SASL_OK || authz == NULL ||
	    sasl_getprop(l->sasl, SASL_AUTHUSER, &auth) != SASL_OK || auth == NULL) {
		*bytes_out = SLICE("no name");
		return LOGIN_REFUSED;
	}
	if (!is_admin(all, auth) || !is_admin(all, authz)) {
		*bytes_out = SLICE("not an admin");
		return LOGIN_REFUSED;
	}
	(void)strncpy(all->user, authz, sizeof(all->user) - 1);
	*bytes_out = slice_of(all->user);
	return LOGIN_DONE;
}

/* sasldb that cannot be opened looks to SASL as if nobody had a password. */
static bool
database_is_there(const struct config *config)
{
	return access(config->sasldb_path, R_OK) == 0;
}

static enum login_step
login_outcome(struct logins *all, struct login *l, int rc, struct slice challenge, struct slice *bytes_out)
{
	switch (rc) {
	case SASL_CONTINUE:
		*bytes_out = challenge;
		return LOGIN_MORE;
	case SASL_OK:
		return login_check(all, l, bytes_out);
	case SASL_NOMECH:
		*bytes_out = SLICE("no such mechanism");
		return LOGIN_REFUSED;
	case SASL_BADPROT:
		*bytes_out = SLICE("malformed");
		return LOGIN_REFUSED;
	case SASL_BADAUTH:
	case SASL_NOUSER:
	case SASL_NOVERIFY:
	case SASL_NOAUTHZ:
	case SASL_BADPARAM:
	case SASL_TOOWEAK:
	case SASL_ENCRYPT:
		break;
	default:
		*bytes_out = SLICE("sasl failed");
		return LOGIN_TEMP;
	}
	if (!database_is_there(all->config)) {
		*bytes_out = SLICE("sasldb cannot be read");
		return LOGIN_TEMP;
	}
	*bytes_out = SLICE("wrong name or password");
	return LOGIN_REFUSED;
}

enum login_step
logins_step(struct logins *all, const struct verb_login *v, struct slice *bytes_out)
{
	struct login *l = v->conn != 0 ? login_of(all, v->conn) : NULL;
	char mech[MECH_MAX_BYTES + 1] = "";
	enum login_step step;
	const char *out = NULL;
	unsigned outlen = 0;
	int rc;

	if (v->mech.n > 0) {
		logins_forget(all, v->conn);
		l = login_of(all, 0);
		if (l == NULL) {
			*bytes_out = SLICE("too many logins");
			return LOGIN_TEMP;
		}
		memcpy(mech, v->mech.p, v->mech.n);
		rc = login_begin(all, l, v->conn) ? sasl_server_start(l->sasl, mech, v->has_bytes ? v->bytes.p : NULL,
		    v->has_bytes ? (unsigned)v->bytes.n : 0, &out, &outlen) : SASL_FAIL;
	} else if (l == NULL) {
		*bytes_out = SLICE("no exchange");
		return LOGIN_REFUSED;
	} else {
		rc = sasl_server_step(l->sasl, v->bytes.n > 0 ? v->bytes.p : "", (unsigned)v->bytes.n, &out, &outlen);
	}
	step = login_outcome(all, l, rc, (struct slice){out, outlen}, bytes_out);
	if (step != LOGIN_MORE)
		login_end(l);
	return step;
}
