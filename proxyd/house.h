/*
 * What the parent prepares and its children share: settings, listeners, the certificate, and a
 * socketpair for every two processes that talk. The pairs are made once and kept by the parent, so that a
 * child that was started again finds the same ones; who lost what is told by AUTH_READY (authmsg.h).
 */
#ifndef PROXYD_HOUSE_H
#define PROXYD_HOUSE_H

#include "parent.h"
#include "prelogin.h"
#include "settings.h"
#include "tls.h"

struct listener {
	int		fd;
	enum sess_proto	proto;
	bool		is_tls;
};

struct house {
	struct settings		 conf;
	struct pre_policy	 policy;
	struct slice		 chain_pem;			/* owned, for the process's life */
	unsigned char		 tickets[TLS_TICKET_KEY_BYTES];
	int			 key_file;			/* the key's file, read by the key process alone */
	struct listener		 listeners[4 * LISTEN_MAX];
	size_t			 nlisteners;
	int			 auth_net[PROCESSES_MAX], net_auth[PROCESSES_MAX];	/* front's end, net's end */
	int			 key_net[PROCESSES_MAX], net_key[PROCESSES_MAX];
	int			 auth_login[AUTH_WORKERS_MAX], login_auth[AUTH_WORKERS_MAX];
};

/* The arg of net and login children: which of them it is. */
struct house_child {
	struct house	*house;
	size_t		 index;
};

/*
 * The check of conf_check_with, conf being loaded: fills policy, chain_pem and key_file; certificate and key are what TLS can
 * use, and match. False: out says what is wrong.
 */
bool	house_check(struct house *, struct conf_wrong *out);
/* What a start needs besides, house_check being true; ends the process. */
void	house_prepare(struct house *);
/* Listeners, pairs and children; conf, policy and chain are filled. Ends the process (111) on failure. */
void	house_start(struct house *, struct parent *);

#endif
