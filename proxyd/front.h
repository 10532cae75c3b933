/*
 * The auth front: takes login exchanges from the net processes, gives each to a login worker and keeps it
 * there, counts and queues. It decides nothing and reads no password database; a password passes through it.
 */
#ifndef PROXYD_FRONT_H
#define PROXYD_FRONT_H

/* child_fn of "proxyd/auth"; arg is the struct house. */
void	front_main(void *arg, int chan);

#endif
