/*
 * relayd.conf(5): the table of keys and the values in force.
 */
#ifndef RELAYD_CONFIG_H
#define RELAYD_CONFIG_H

#include "conf.h"

struct config {
	struct conf_list	listen;
	struct conf_list	lmtp_clients;
	const char		*hostname;
	const char		*table;
	const char		*map_dir;
	const char		*recipient_delimiter;
	struct conf_list	hosts;
	const char		*placement;
	const char		*next_hop;
	uint64_t		connect_timeout_s;
	uint64_t		hop_timeout_s;
	uint64_t		transaction_timeout_s;
	uint64_t		processes;
	uint64_t		connections_max;
	uint64_t		size_max;
	uint64_t		inflight_max;
	uint64_t		command_timeout_s;
	uint64_t		drain_max_s;
	const char		*tmp_dir;
	struct conf_user	net_user;
	struct conf_user	route_user;
};

extern const struct conf_key	config_keys[];
extern const size_t		config_nkeys;

/* Of conf_check_with's check what needs no look outside: the table and the hosts are relayd.c's. */
bool	config_check(const struct config *, struct conf_wrong *out);

#endif
