/*
 * The table of proxyd.conf. See settings.h.
 */
#include "settings.h"

#define AT(member)	offsetof(struct settings, member)

const struct conf_key settings_keys[] = {
	{"imap_listen", CONF_LIST, "0.0.0.0:143", 0, LISTEN_MAX, "", AT(imap_listen),
	    "Addresses for IMAP, secured by STARTTLS."},
	{"imaps_listen", CONF_LIST, "0.0.0.0:993", 0, LISTEN_MAX, "", AT(imaps_listen),
	    "Addresses for IMAP with TLS from the start."},
	{"pop3_listen", CONF_LIST, "0.0.0.0:110", 0, LISTEN_MAX, "", AT(pop3_listen),
	    "Addresses for POP3, secured by STLS."},
	{"pop3s_listen", CONF_LIST, "0.0.0.0:995", 0, LISTEN_MAX, "", AT(pop3s_listen),
	    "Addresses for POP3 with TLS from the start."},
	{"tls_certificate", CONF_PATH, "/etc/twinspool/cert.pem", 1, 4096, "", AT(tls_certificate),
	    "The certificate and its chain, PEM, the server's own first."},
	{"tls_key", CONF_PATH, "/etc/twinspool/key.pem", 1, 4096, "", AT(tls_key),
	    "The private key, PEM, without a passphrase; RSA or EC."},
	{"hostname", CONF_STR, "localhost", 1, 255, "", AT(hostname),
	    "This host's name as it stands in the location map."},
	{"realm", CONF_STR, "example.test", 1, 255, "", AT(realm),
	    "The SASL realm, which is the part of a login name after the @ that may be left out."},
	{"mech_list", CONF_LIST, "PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256", 1, 8, "", AT(mech_list),
	    "SASL mechanisms offered; LOGIN and USER commands need PLAIN."},
	{"sasldb_path", CONF_PATH, "/etc/sasldb2", 1, 4096, "", AT(sasldb_path),
	    "The password database of Cyrus SASL, see saslpasswd2(8)."},
	{"plaintext_login", CONF_BOOL, "no", 0, 1, "", AT(plaintext_login),
	    "Whether passwords may be sent in the clear without TLS."},
	{"map_dir", CONF_PATH, "/var/lib/twinspool/map", 0, 4096, "", AT(map_dir),
	    "The location map; empty where there is none and every user is on this host."},
	{"session_socket", CONF_PATH, "/run/twinspool/spoold/session", 1, 100, "", AT(session_socket),
	    "The socket of spoold on which sessions are opened."},
	{"processes", CONF_UINT, "2", 1, PROCESSES_MAX, "", AT(processes),
	    "How many processes carry connections."},
	{"auth_workers", CONF_UINT, "2", 1, AUTH_WORKERS_MAX, "", AT(auth_workers),
	    "How many logins are worked on at once."},
	{"connections_max", CONF_UINT, "8000", 1, 1000000, "", AT(connections_max),
	    "Connections of one process; a full one stops accepting."},
	{"per_address_max", CONF_UINT, "500", 1, 1000000, "", AT(per_address_max),
	    "Connections of one process from one IPv4 address or IPv6 /64."},
	{"login_timeout_s", CONF_UINT, "60", 1, 3600, "s", AT(login_timeout_s),
	    "Time for everything before login, from accepting the connection."},
	{"auth_failures_max", CONF_UINT, "3", 1, 100, "", AT(auth_failures_max),
	    "Failed logins of a connection before it is closed."},
	{"drain_max_s", CONF_UINT, "600", 0, 86400, "s", AT(drain_max_s),
	    "How long sessions go on in the old processes after SIGHUP."},
	{"chroot_dir", CONF_PATH, "/run/twinspool/proxyd/empty", 1, 4096, "", AT(chroot_dir),
	    "An empty directory, made if missing, as root of the processes that speak to clients."},
	{"net_user", CONF_USER, "", 0, 1, "", AT(net_user),
	    "User of the processes that speak to clients."},
	{"auth_user", CONF_USER, "", 0, 1, "", AT(auth_user),
	    "User of the processes that check passwords; reads the password database and the map."},
	{"key_user", CONF_USER, "", 0, 1, "", AT(key_user),
	    "User of the process that holds the private key."},
};

const size_t settings_nkeys = sizeof(settings_keys) / sizeof(settings_keys[0]);
