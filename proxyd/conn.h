/*
 * A client's connection in a net process: its socket, TLS, pre-login, relay, deadlines. Callbacks of
 * libevent; nothing blocks (but a TLS signature, keyhook.h).
 */
#ifndef PROXYD_CONN_H
#define PROXYD_CONN_H

#include "net.h"
#include "relay.h"

#define CONN_SID_BYTES	12

/* Every state but the last two has a deadline; RELAY only while somebody is waited for.
 *
 *            implicit TLS              STARTTLS
 *   accept ---------------> [TLS] <----------------.
 *      |                      | up                 |
 *      '---------------------> [PRE] --------------'
 *                 refused by    ^ |  auth: OK and a descriptor
 *                 the backend   | v
 *                            [RELAY] -- backend ends --> [FLUSH] --> [LINGER] --> [DONE]
 *   PRE: BYE, limits, deadline ---------------------------^
 *   client lost, from any state ---------------------------------------------------^
 */
enum conn_state { CONN_TLS, CONN_PRE, CONN_RELAY, CONN_FLUSH, CONN_LINGER, CONN_DONE };

struct conn {
	TAILQ_ENTRY(conn)	 link, waiting;		/* of all; of those with an exchange */
	struct net		*net;
	enum conn_state		 state;
	enum sess_proto		 proto;
	bool			 is_greeted, is_tls;
	bool			 wants_tls;		/* STARTTLS was accepted: once the output is flushed */
	struct tls_stream	 client;		/* owned */
	int			 backend;		/* owned; -1: none */
	struct event		 client_event, backend_event, timer;
	short			 client_watched, backend_watched;	/* EV_READ, EV_WRITE */
	struct prelogin		*pre;			/* owned; NULL once the backend accepted the login */
	struct buf		 in, out;		/* owned; until then */
	struct relay		*relay;			/* owned; NULL without a backend */
	uint64_t		 exchange;		/* under way at auth; 0: none */
	enum auth_fail		 failure;		/* to be told at failure_at_ms */
	int64_t			 failure_at_ms;		/* 0: none */
	int64_t			 began_ms, deadline_ms;	/* monotonic; deadline 0: none */
	uint64_t		 bytes_in, bytes_out;
	size_t			 lingered;
	const char		*why;			/* of the end */
	struct peraddr_node	*address;
	char			 sid[CONN_SID_BYTES + 1];
	char			 addr[PERADDR_TEXT_MAX_BYTES];
	uint16_t		 port;
	char			 user[USER_MAX_BYTES + 1];	/* "" before login */
};

/* Takes over an accepted socket (non-blocking). */
void	conn_begin(struct net *, int fd, const struct listener *, const struct sockaddr *);
/* auth's answer to the connection's exchange; takes over fd (-1: none). */
void	conn_auth(struct conn *, const struct auth_msg *, int fd);
/* The process leaves: says so where the protocol allows, and ends. */
void	conn_goodbye(struct conn *);

#endif
