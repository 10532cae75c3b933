/*
 * spoold's configuration: one table drives the parser, -n, -d and the test against the man page.
 */
#ifndef TS_SPOOLD_CONFIG_H
#define TS_SPOOLD_CONFIG_H

#include "conf.h"

#define PARTITIONS_MAX	16	/* one file system each; more is another host */
#define LOTS_MAX	64
#define CLIENTS_MAX	8	/* users that may connect to a socket */

struct spoold_conf {
	const char	*session_socket, *deliver_socket, *commit_socket, *upkeep_socket, *redundant_socket;
	const char	*mupdate;
	const char	*hostname;
	const char	*active_dir, *index_dir;
	struct conf_list partitions;
	struct conf_user lot_user, worker_user, commit_user;
	struct conf_list session_clients, deliver_clients, upkeep_clients;
	uint64_t	 lots, workers_min, workers_max, workers_per_user, sessions_per_user, deliver_workers;
	uint64_t	 segment_max_bytes, map_bytes, reserve_bytes;
	uint64_t	 pop3_login_delay_s;
	uint64_t	 dup_window_s;
	uint64_t	 sync_interval_ms;
	uint64_t	 expunge_keep_s, compact_waste, upkeep_rate;
	bool		 single_copy;
	uint64_t	 drain_max_s;
};

extern const struct conf_key	spoold_keys[];
extern const size_t		spoold_nkeys;

/* For conf_check_with. */
bool	spoold_conf_check(void *conf, struct conf_wrong *out);
/* Fills what depends on the machine (an empty hostname). */
void	spoold_conf_finish(struct spoold_conf *);

#endif
