/*
 * proxyd.conf: what a site can set. The table drives the parser, -d, and the test that compares it
 * with proxyd.conf(5). Read once by main() before anything else.
 */
#ifndef PROXYD_SETTINGS_H
#define PROXYD_SETTINGS_H

#include "conf.h"

#define LISTEN_MAX	16	/* addresses of one key */
#define PROCESSES_MAX	64
#define AUTH_WORKERS_MAX 64

struct settings {
	struct conf_list	imap_listen, imaps_listen, pop3_listen, pop3s_listen;
	const char		*tls_certificate, *tls_key;
	const char		*hostname;
	const char		*realm;
	struct conf_list	mech_list;
	const char		*sasldb_path;
	bool			plaintext_login;
	const char		*map_dir;
	const char		*session_socket;
	uint64_t		processes, auth_workers;
	uint64_t		connections_max, per_address_max;
	uint64_t		login_timeout_s, auth_failures_max, pop3_login_delay_s, drain_max_s;
	const char		*chroot_dir;
	struct conf_user	net_user, auth_user, key_user;
};

extern const struct conf_key	settings_keys[];
extern const size_t		settings_nkeys;

#endif
