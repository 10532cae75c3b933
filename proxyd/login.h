/*
 * A login worker: blocking, one step of one exchange at a time. Checks passwords (sasl.h), then finds
 * and opens the user's session (backend.h). It never speaks to the network.
 */
#ifndef PROXYD_LOGIN_H
#define PROXYD_LOGIN_H

/* child_fn of "proxyd/login"; arg is a struct house_child. */
void	login_main(void *arg, int chan);

#endif
