/*
 * The keys of lmtpd.conf(5). Drives the parser, -d, -n and the test that holds the man page equal.
 */
#include "settings.h"

#include <stddef.h>

#include "lmtpnet.h"
#include "parent.h"

#define AT(member)	offsetof(struct config, member)

const struct conf_key config_keys[] = {
	{"listen", CONF_LIST, "127.0.0.1:10025 unix:/run/twinspool/lmtpd/lmtp", 1, 16, "", AT(listen),
	    "Where to take LMTP: ADDR:PORT, [ADDR6]:PORT or unix:/PATH."},
	{"lmtp_clients", CONF_LIST, "", 0, 16, "", AT(lmtp_clients),
	    "Users that may connect to a Unix socket, besides root and our own."},
	{"trusted", CONF_LIST, "unix", 0, 64, "", AT(trusted),
	    "Peers that are offered XTWINSPOOL: numeric addresses of relayd's hosts, or unix."},
	{"hostname", CONF_STR, "localhost", 1, 255, "", AT(hostname), "Our name in the greeting and in trace lines."},
	{"domains", CONF_LIST, "example.test", 1, 1024, "", AT(domains),
	    "Domains whose local parts are users here, for peers that are not trusted; relayd says which user it means."},
	{"recipient_delimiter", CONF_STR, "+", 0, 1, "", AT(recipient_delimiter),
	    "What separates a user from a detail in a local part; empty: nothing does."},
	{"detail_mailbox", CONF_BOOL, "no", 0, 0, "", AT(detail_mailbox),
	    "Deliver to the mailbox that the detail names, to INBOX where there is none."},
	{"postmaster", CONF_STR, "mailadmin", 1, 64, "", AT(postmaster), "The user who gets mail for postmaster."},
	{"deliver_socket", CONF_PATH, "/run/twinspool/spoold/deliver", 1, 107, "", AT(deliver_socket),
	    "The socket of spoold that takes deliveries."},
	{"spoold_connections", CONF_UINT, "2", 1, 64, "", AT(spoold_connections),
	    "Connections to spoold of each process."},
	{"hop_timeout_s", CONF_UINT, "150", 1, 600, "s", AT(hop_timeout_s),
	    "How long spoold may take for a message; then its recipients are deferred."},
	{"processes", CONF_UINT, "2", 1, 64, "", AT(processes), "Network processes."},
	{"connections_max", CONF_UINT, "500", 1, 10000, "", AT(connections_max), "Sessions of each process."},
	{"size_max", CONF_UINT, "100m", 1024, 1024ULL * 1024 * 1024, "bytes", AT(size_max), "The largest message taken."},
	{"inflight_max", CONF_UINT, "512m", 1024 * 1024, 1ULL << 40, "bytes", AT(inflight_max),
	    "Bytes of unfinished messages of each process, in memory and temporary files."},
	{"command_timeout_s", CONF_UINT, "300", 1, 3600, "s", AT(command_timeout_s),
	    "How long a client may send nothing, or take nothing."},
	{"drain_max_s", CONF_UINT, "600", 1, 86400, "s", AT(drain_max_s),
	    "How long an old process may finish its sessions after a reload."},
	{"tmp_dir", CONF_PATH, "/var/spool/twinspool/tmp/lmtpd", 1, 4095, "", AT(tmp_dir),
	    "Root directory of the network processes, for their unlinked temporary files."},
	{"net_user", CONF_USER, "", 0, 0, "", AT(net_user), "Who the network processes run as."},
};
const size_t config_nkeys = sizeof(config_keys) / sizeof(config_keys[0]);

bool
config_check(void *conf, struct conf_wrong *out)
{
	const struct config	*c = conf;

	return parent_check_listen("listen", &c->listen, out) &&
	    conf_check_users("lmtp_clients", &c->lmtp_clients, LMTPNET_UIDS_MAX, out) &&
	    lmtpnet_check_trusted("trusted", &c->trusted, out);
}
