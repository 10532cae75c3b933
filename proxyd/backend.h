/*
 * From a user who has logged in to an open session: the location map says which host has the mail,
 * spoold's session socket opens it. Blocking with deadlines; called by a login worker only.
 */
#ifndef PROXYD_BACKEND_H
#define PROXYD_BACKEND_H

#include "authmsg.h"
#include "settings.h"

struct backend;

struct backend	*backend_make(const struct settings *);
/*
 * Opens a session for who->user. 0: *fd_out is net's end of it, the caller's to close; else an
 * enum auth_fail (never AUTH_BAD), logged here.
 */
int		 backend_open(struct backend *, const struct sessopen *who, int *fd_out);

#endif
