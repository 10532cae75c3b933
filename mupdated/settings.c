/*
 * The table of mupdated's configuration: drives the parser, -n, -d and the test that holds it equal to
 * mupdated.conf(5). Read by main() alone, before any child exists.
 */
#include "settings.h"

#include "house.h"
#include "parent.h"

#define AT(member)	offsetof(struct config, member)

const struct conf_key config_keys[] = {
	{"listen", CONF_LIST, "127.0.0.1:3905", 0, 16, "", AT(listen),
	    "Addresses and ports that MUPDATE is served on over TCP, after a login."},
	{"socket", CONF_PATH, "/run/twinspool/mupdated/mupdate", 0, 100, "", AT(socket),
	    "Unix socket that MUPDATE is served on for processes of this host, without a login; empty: none."},
	{"map_clients", CONF_LIST, "", 0, 16, "", AT(map_clients),
	    "Users whose processes may use the Unix socket, besides root and net_user."},
	{"map_dir", CONF_PATH, "/var/lib/twinspool/map", 1, 4000, "", AT(map_dir),
	    "Directory of the location map, with the group of map_user; who reads the map must be in that group."},
	{"map_size", CONF_UINT, "4g", 1024 * 1024, 1ULL << 40, "bytes", AT(map_size_bytes),
	    "What the map may grow to."},
	{"hostname", CONF_STR, "", 0, 255, "", AT(hostname),
	    "The host's name in the banner and for SASL; empty: the system's."},
	{"net_user", CONF_USER, "", 0, 0, "", AT(net_user),
	    "User of the process that speaks to clients."},
	{"map_user", CONF_USER, "", 0, 0, "", AT(map_user),
	    "User of the process that owns the map and checks passwords."},
	{"chroot_dir", CONF_PATH, "/run/twinspool/mupdated/empty", 1, 4000, "", AT(chroot_dir),
	    "An empty directory, made if missing, as root of the process that speaks to clients."},
	{"admins", CONF_LIST, "", 0, 64, "", AT(admins),
	    "Users that may log in over TCP."},
	{"sasldb_path", CONF_PATH, "/etc/sasldb2", 1, 4000, "", AT(sasldb_path),
	    "Password database of Cyrus SASL."},
	{"realm", CONF_STR, "example.test", 0, 255, "", AT(realm),
	    "SASL realm of the admins; empty: the host's name."},
	{"plaintext_login", CONF_BOOL, "no", 0, 0, "", AT(plaintext_login),
	    "Whether PLAIN is offered, which shows the password to whoever can read the connection."},
	{"strict_delete", CONF_BOOL, "no", 0, 0, "", AT(strict_delete),
	    "Whether DELETE of an unknown mailbox is answered NO; Cyrus backends then fail to delete and rename."},
	{"connections_max", CONF_UINT, "512", 4, 60000, "", AT(connections_max),
	    "Connections at once; a quarter of them at most may be without a login."},
	{"update_backlog_max", CONF_UINT, "16m", 65536, 1ULL << 30, "bytes", AT(update_backlog_max_bytes),
	    "Changes that wait for a slow reader of UPDATE before it is dropped."},
	{"idle_timeout", CONF_UINT, "10800", 900, 7 * 86400, "s", AT(idle_timeout_s),
	    "A connection without a command for so long is closed; the protocol says 15 minutes at least."},
	{"login_timeout", CONF_UINT, "60", 1, 3600, "s", AT(login_timeout_s),
	    "A connection without a login for so long is closed."},
};
const size_t config_nkeys = sizeof(config_keys) / sizeof(config_keys[0]);

bool
config_check(void *conf, struct conf_wrong *out)
{
	const struct config *c = conf;

	return parent_check_listen("listen", &c->listen, out) &&
	    conf_check_users("map_clients", &c->map_clients, HOUSE_CLIENTS_MAX, out);
}
