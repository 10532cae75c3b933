/*
 * The keys of relayd.conf(5). Drives the parser, -d, -n and the test that holds the man page equal.
 */
#include "settings.h"

#include <stddef.h>

#include "lmtpnet.h"
#include "parent.h"

#define AT(member)	offsetof(struct config, member)

const struct conf_key config_keys[] = {
	{"listen", CONF_LIST, "127.0.0.1:10024 unix:/run/twinspool/relayd/lmtp", 1, 16, "", AT(listen),
	    "Where to take LMTP: ADDR:PORT, [ADDR6]:PORT or unix:/PATH."},
	{"lmtp_clients", CONF_LIST, "", 0, 16, "", AT(lmtp_clients),
	    "Users that may connect to a Unix socket, besides root and our own."},
	{"hostname", CONF_STR, "localhost", 1, 255, "", AT(hostname),
	    "Our name in greetings, trace lines, and addresses that have no domain."},
	{"table", CONF_PATH, "/etc/twinspool/relayd.table", 1, 4095, "", AT(table),
	    "The routing table, relayd.table(5); read at start and on SIGHUP."},
	{"map_dir", CONF_PATH, "/var/lib/twinspool/map", 1, 4095, "", AT(map_dir), "The location map of mupdated."},
	{"recipient_delimiter", CONF_STR, "+", 0, 1, "", AT(recipient_delimiter),
	    "What separates a user from a detail in a local part; empty: nothing does."},
	{"hosts", CONF_LIST, "localhost=unix:/run/twinspool/lmtpd/lmtp", 1, 256, "", AT(hosts),
	    "The lmtpd of each host of the location map, by its hostname in spoold.conf: NAME=ADDR:PORT or NAME=unix:/PATH."},
	{"placement", CONF_STR, "localhost", 1, 255, "", AT(placement),
	    "The host where users get their mailboxes that the map does not know."},
	{"next_hop", CONF_STR, "127.0.0.1:10587", 1, 255, "", AT(next_hop),
	    "The MTA that takes forwarded mail by SMTP: ADDR:PORT or NAME:PORT."},
	{"connect_timeout_s", CONF_UINT, "5", 1, 60, "s", AT(connect_timeout_s), "How long a connection may take."},
	{"hop_timeout_s", CONF_UINT, "180", 1, 600, "s", AT(hop_timeout_s),
	    "How long one host may take for a message; then its recipients are deferred."},
	{"transaction_timeout_s", CONF_UINT, "240", 1, 600, "s", AT(transaction_timeout_s),
	    "How long all hosts may take together; less than the 600 seconds an MTA waits."},
	{"processes", CONF_UINT, "2", 1, 64, "", AT(processes), "Network processes."},
	{"connections_max", CONF_UINT, "500", 1, 5000, "", AT(connections_max), "Sessions of each process."},
	{"size_max", CONF_UINT, "100m", 1024, 1024ULL * 1024 * 1024, "bytes", AT(size_max), "The largest message taken."},
	{"inflight_max", CONF_UINT, "512m", 1024 * 1024, 1ULL << 40, "bytes", AT(inflight_max),
	    "Bytes of unfinished messages of each process, in memory and temporary files."},
	{"command_timeout_s", CONF_UINT, "300", 1, 3600, "s", AT(command_timeout_s),
	    "How long a client may send nothing, or take nothing."},
	{"drain_max_s", CONF_UINT, "600", 1, 86400, "s", AT(drain_max_s),
	    "How long an old process may finish its sessions after a reload."},
	{"tmp_dir", CONF_PATH, "/var/spool/twinspool/tmp/relayd", 1, 4095, "", AT(tmp_dir),
	    "Root directory of the network processes, for their unlinked temporary files."},
	{"net_user", CONF_USER, "", 0, 0, "", AT(net_user), "Who the network processes run as."},
	{"route_user", CONF_USER, "", 0, 0, "", AT(route_user),
	    "Who the route process runs as; must be in the group of the location map (mupdated.conf's map_user)."},
};
const size_t config_nkeys = sizeof(config_keys) / sizeof(config_keys[0]);

bool
config_check(const struct config *c, struct conf_wrong *out)
{
	return parent_check_listen("listen", &c->listen, out) &&
	    conf_check_users("lmtp_clients", &c->lmtp_clients, LMTPNET_UIDS_MAX, out);
}
