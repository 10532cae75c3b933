/*
 * lmtpd.conf(5): the table of keys and the values in force.
 */
#ifndef LMTPD_CONFIG_H
#define LMTPD_CONFIG_H

#include "conf.h"

struct config {
	struct conf_list	listen;
	struct conf_list	lmtp_clients;
	struct conf_list	trusted;
	const char		*hostname;
	struct conf_list	domains;
	const char		*recipient_delimiter;
	bool			detail_mailbox;
	const char		*postmaster;
	const char		*deliver_socket;
	uint64_t		spoold_connections;
	uint64_t		hop_timeout_s;
	uint64_t		processes;
	uint64_t		connections_max;
	uint64_t		size_max;
	uint64_t		inflight_max;
	uint64_t		command_timeout_s;
	uint64_t		drain_max_s;
	const char		*tmp_dir;
	struct conf_user	net_user;
};

extern const struct conf_key	config_keys[];
extern const size_t		config_nkeys;

/* For conf_check_with. */
bool	config_check(void *conf, struct conf_wrong *out);

#endif
