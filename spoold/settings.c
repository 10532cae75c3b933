/*
 * The table of spoold's keys. Read by main before anything else; the man page spoold.conf(5) says
 * the same in the same order (a test compares them).
 */
#include "settings.h"

#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "parent.h"
#include "redundant.h"

#define AT(f)	offsetof(struct spoold_conf, f)
#define GIB	(1024ULL * 1024 * 1024)

const struct conf_key spoold_keys[] = {
	{"session_socket", CONF_PATH, "/run/twinspool/spoold/session", 1, 107, "", AT(session_socket),
	    "Unix socket at which proxyd opens sessions."},
	{"deliver_socket", CONF_PATH, "/run/twinspool/spoold/deliver", 1, 107, "", AT(deliver_socket),
	    "Unix socket at which lmtpd delivers."},
	{"commit_socket", CONF_PATH, "/run/twinspool/spoold/commit", 1, 107, "", AT(commit_socket),
	    "Unix socket between spoold's own processes and its committer."},
	{"upkeep_socket", CONF_PATH, "/run/twinspool/spoold/upkeep", 1, 107, "", AT(upkeep_socket),
	    "Unix socket at which rotated and spoolctl order upkeep."},
	{"redundant_socket", CONF_PATH, "/run/twinspool/rotated/redundant", 1, 107, "", AT(redundant_socket),
	    "Unix socket of rotated, which hands over the redundant spool of the day."},
	{"mupdate", CONF_STR, "unix:/run/twinspool/mupdated/mupdate", 0, 256, "", AT(mupdate),
	    "Where the location map is changed; empty: there is none and the spools alone decide."},
	{"hostname", CONF_STR, "localhost", 0, 255, "", AT(hostname),
	    "Name of this host in the location map, the same as in proxyd.conf and relayd.conf; empty: the machine's name."},
	{"active_dir", CONF_PATH, "/var/spool/twinspool/active", 1, 512, "", AT(active_dir),
	    "Directory of the active spools."},
	{"index_dir", CONF_PATH, "/var/spool/twinspool/index", 1, 512, "", AT(index_dir),
	    "Directory of the derived indexes; it can be on another file system."},
	{"partitions", CONF_LIST, "default", 1, PARTITIONS_MAX, "", AT(partitions),
	    "Names of the partitions, each a folder of active_dir and perhaps a file system of its own."},
	{"lot_user", CONF_USER, "", 0, 0, "", AT(lot_user), "User of the processes that keep parked sessions."},
	{"worker_user", CONF_USER, "", 0, 0, "", AT(worker_user),
	    "User of the processes that serve sessions and deliver; owner of the spools."},
	{"commit_user", CONF_USER, "", 0, 0, "", AT(commit_user), "User of the committer."},
	{"session_clients", CONF_LIST, "", 0, CLIENTS_MAX, "", AT(session_clients),
	    "Users that may open sessions, besides root and spoold's own: proxyd's auth_user."},
	{"deliver_clients", CONF_LIST, "", 0, CLIENTS_MAX, "", AT(deliver_clients),
	    "Users that may deliver, besides root and spoold's own: lmtpd's net_user."},
	{"upkeep_clients", CONF_LIST, "", 0, CLIENTS_MAX, "", AT(upkeep_clients),
	    "Users that may order upkeep, besides root and spoold's own: rotated's user."},
	{"lots", CONF_UINT, "2", 1, LOTS_MAX, "", AT(lots), "Processes that keep parked sessions."},
	{"workers_min", CONF_UINT, "2", 1, 1000, "", AT(workers_min), "Session workers each lot has at least."},
	{"workers_max", CONF_UINT, "50", 1, 5000, "", AT(workers_max), "Session workers each lot has at most."},
	{"workers_per_user", CONF_UINT, "8", 1, 1000, "", AT(workers_per_user),
	    "Sessions of one user a lot has served at the same time."},
	{"sessions_per_user", CONF_UINT, "100", 1, 100000, "", AT(sessions_per_user),
	    "Sessions of one user that a lot keeps at most."},
	{"pop3_login_delay", CONF_UINT, "0", 0, 86400, "s", AT(pop3_login_delay_s),
	    "Time from a POP3 login to the next of the same user; 0: none."},
	{"deliver_workers", CONF_UINT, "2", 1, 64, "", AT(deliver_workers), "Processes that deliver."},
	{"segment_max", CONF_UINT, "64m", 64 * 1024, 16 * GIB, "bytes", AT(segment_max_bytes),
	    "Size past which a log goes on in a new segment."},
	{"map_size", CONF_UINT, "4g", 1024 * 1024, 1024 * GIB, "bytes", AT(map_bytes),
	    "Most that the index of one user can grow to (address space, not memory)."},
	{"reserve", CONF_UINT, "256m", 0, 1024 * GIB, "bytes", AT(reserve_bytes),
	    "Free space of a partition below which messages are refused while flags and expunges still work."},
	{"dup_window", CONF_UINT, "86400", 0, 30 * 86400, "s", AT(dup_window_s),
	    "Time in which the repeat of a delivery is not a second copy."},
	{"sync_interval", CONF_UINT, "2000", 10, 60000, "ms", AT(sync_interval_ms),
	    "Time after which changes that nobody waits for are synced."},
	{"expunge_keep", CONF_UINT, "604800", 0, 366 * 86400, "s", AT(expunge_keep_s),
	    "Time that expunged messages are kept before upkeep purges them."},
	{"compact_waste", CONF_UINT, "25", 1, 99, "%", AT(compact_waste),
	    "Share of a sealed segment that must be of purged messages before it is compacted."},
	{"upkeep_rate", CONF_UINT, "32m", 64 * 1024, 16 * GIB, "bytes", AT(upkeep_rate),
	    "Bytes that upkeep writes a second at most."},
	{"single_copy", CONF_BOOL, "no", 0, 0, "", AT(single_copy),
	    "Run without the redundant spool: mail is acknowledged when it is in the active spool alone."},
	{"drain_max", CONF_UINT, "300", 1, 86400, "s", AT(drain_max_s),
	    "Time that sessions of the old generation have after a SIGHUP."},
};
const size_t spoold_nkeys = sizeof(spoold_keys) / sizeof(spoold_keys[0]);

/* A partition is a folder, a file of the redundant spool and half of a location ("host!partition"). */
static bool
is_partition(struct slice s)
{
	if (s.n < 1 || s.n > REDUNDANT_PARTITION_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (memchr("abcdefghijklmnopqrstuvwxyz0123456789-_", s.p[i], 38) == NULL)
			return false;
	return true;
}

static bool
partitions_check(const struct conf_list *p, struct conf_wrong *out)
{
	out->key = "partitions";
	for (size_t i = 0; i < p->n; i++) {
		out->value = p->v[i];
		out->why = "not a-z 0-9 - _, up to 64 bytes";
		if (!is_partition(slice_of(p->v[i])))
			return false;
		out->why = "named twice";
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->v[i], p->v[j]) == 0)
				return false;
	}
	return true;
}

bool
spoold_conf_check(void *conf, struct conf_wrong *out)
{
	const struct spoold_conf *c = conf;

	if (c->workers_min > c->workers_max) {
		*out = (struct conf_wrong){"workers_min", NULL, "more than workers_max"};
		return false;
	}
	return partitions_check(&c->partitions, out) &&
	    (c->mupdate[0] == '\0' || parent_check_where("mupdate", c->mupdate, out)) &&
	    conf_check_users("session_clients", &c->session_clients, CLIENTS_MAX, out) &&
	    conf_check_users("deliver_clients", &c->deliver_clients, CLIENTS_MAX, out) &&
	    conf_check_users("upkeep_clients", &c->upkeep_clients, CLIENTS_MAX, out);
}

void
spoold_conf_finish(struct spoold_conf *c)
{
	char name[256];

	if (c->hostname[0] != '\0')
		return;
	if (gethostname(name, sizeof(name)) != 0 || memchr(name, '\0', sizeof(name)) == NULL)
		DIE(EXIT_TEMP, "fatal.system", log_str("what", "gethostname"));
	c->hostname = strdup(name);
	if (c->hostname == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", sizeof(name)));
}
