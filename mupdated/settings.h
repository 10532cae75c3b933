/*
 * mupdated's configuration: the struct that the table in settings.c fills from mupdated.conf.
 */
#ifndef MUPDATED_CONFIG_H
#define MUPDATED_CONFIG_H

#include "conf.h"

struct config {
	struct conf_list	listen;		/* "ADDR:PORT" */
	const char		*socket;	/* Unix socket for processes of this host; empty: none */
	struct conf_list	map_clients;	/* who may use it */
	const char		*map_dir;
	uint64_t		 map_size_bytes;
	const char		*hostname;	/* empty: gethostname */
	struct conf_user	 net_user, map_user;
	const char		*chroot_dir;
	struct conf_list	admins;
	const char		*sasldb_path;
	const char		*realm;		/* empty: the host's name */
	bool			 plaintext_login;
	bool			 strict_delete;
	uint64_t		 connections_max;
	uint64_t		 update_backlog_max_bytes;
	uint64_t		 idle_timeout_s;
	uint64_t		 login_timeout_s;
};

extern const struct conf_key	config_keys[];
extern const size_t		config_nkeys;

/* For conf_check_with. */
bool	config_check(void *conf, struct conf_wrong *out);

#endif
