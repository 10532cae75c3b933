/*
 * Password checking through Cyrus SASL with the passwords of a sasldb. One struct saslauth is one
 * exchange. Blocking; called by a login worker only. RFC 4422, 4616 (PLAIN), 5802 and 7677 (SCRAM).
 */
#ifndef PROXYD_SASLAUTH_H
#define PROXYD_SASLAUTH_H

#include "sessopen.h"
#include "settings.h"

enum saslauth_outcome {
	SASLAUTH_MORE,	/* a challenge for the client */
	SASLAUTH_OK,
	SASLAUTH_BAD,	/* the client's fault: password, name, message, another authorization identity */
	SASLAUTH_TEMP,	/* ours: the database does not answer */
};

struct saslauth;

/* Loads libsasl's plugins: once in a process, before its privileges go. Ends the process (111) when that fails. */
void			 saslauth_init(const struct settings *);
/* NULL when libsasl has no memory for it. */
struct saslauth		*saslauth_make(enum sess_proto, bool is_tls);
void			 saslauth_free(struct saslauth *);
/*
 * The mechanism with the initial response, if there was one; then the client's answers. data_out (a
 * challenge) is valid until the next call.
 */
enum saslauth_outcome	 saslauth_start(struct saslauth *, const char *mech, bool has_initial, struct slice initial,
			    struct slice *data_out);
enum saslauth_outcome	 saslauth_step(struct saslauth *, struct slice data, struct slice *data_out);
/* After SASLAUTH_OK: the folded name without its realm. Else what the client claimed, as far as known: for the log. */
const char		*saslauth_user(const struct saslauth *);
/* Why it is BAD or TEMP, for the log; static. */
const char		*saslauth_why(const struct saslauth *);

#endif
