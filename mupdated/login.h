/*
 * SASL for MUPDATE logins (RFC 3656 4.2, service "mupdate"), through Cyrus SASL, in the map process.
 * Only the configured admins get in. Blocking: sasldb is a local file.
 */
#ifndef MUPDATED_LOGIN_H
#define MUPDATED_LOGIN_H

#include "settings.h"
#include "verb.h"

#define LOGINS_MAX	128	/* exchanges under way at once; connections without a login are bounded by net */

struct logins;

/* Loads the plugins: before anything is given up. Ends the process (111) when that fails. */
struct logins	*logins_make(const struct config *, const char *hostname);
/* The mechanisms offered, separated by spaces; may be empty. */
struct slice	 logins_mechs(const struct logins *);
void		 logins_forget(struct logins *, uint64_t conn);
void		 logins_forget_all(struct logins *);

enum login_step { LOGIN_MORE, LOGIN_DONE, LOGIN_REFUSED, LOGIN_TEMP };
/*
 * One step, the first where v->mech is set. LOGIN_MORE: bytes_out is the challenge. LOGIN_DONE: bytes_out is
 * the user's name. LOGIN_REFUSED, LOGIN_TEMP (the password database could not be read): bytes_out says why, for
 * the log. Valid until the next call. After anything but LOGIN_MORE the exchange is forgotten.
 */
enum login_step	 logins_step(struct logins *, const struct verb_login *v, struct slice *bytes_out);

#endif
