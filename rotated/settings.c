/*
 * rotated's table of keys. Called by main() alone; the manual page and the sample file say the same.
 */
#include "settings.h"

#define KEY(k, t, d, lo, hi, u, h)	{#k, t, d, lo, hi, u, offsetof(struct settings, k), h}

const struct conf_key settings_keys[] = {
	KEY(redundant_dir, CONF_PATH, "/var/spool/twinspool/redundant", 1, 1024, "", "Where the days are kept."),
	KEY(redundant_socket, CONF_PATH, "/run/twinspool/rotated/redundant", 1, 107, "",
	    "Socket on which committers are handed the day's descriptors."),
	KEY(redundant_clients, CONF_LIST, "", 0, SETTINGS_CLIENTS_MAX, "",
	    "Users besides root and our own that may connect there: spoold's commit_user."),
	KEY(control_socket, CONF_PATH, "/run/twinspool/rotated/control", 1, 107, "", "Socket of rotatectl."),
	KEY(control_clients, CONF_LIST, "", 0, SETTINGS_CLIENTS_MAX, "",
	    "Users besides root and our own that may give orders there."),
	KEY(user, CONF_USER, "", 0, 0, "", "User of every process but the parent."),
	KEY(rotate_at, CONF_STR, "00:00", 5, 5, "", "Local time at which a new day begins, HH:MM."),
	KEY(retention_days, CONF_UINT, "30", 1, 36500, "", "Days older than this many are removed."),
	KEY(index_memory, CONF_UINT, "32m", 65536, 1ULL << 30, "bytes", "Memory for sorting a day's index."),
	KEY(upkeep_socket, CONF_STR, "/run/twinspool/spoold/upkeep", 0, 107, "",
	    "Socket of spoold where upkeep is ordered after a rotation; empty: it is not."),
};
const size_t settings_nkeys = sizeof(settings_keys) / sizeof(settings_keys[0]);

bool
settings_time(const char *s, unsigned *hour_out, unsigned *minute_out)
{
	for (size_t i = 0; i < 5; i++) {
		if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
			return false;
	}
	*hour_out = (unsigned)(s[0] - '0') * 10 + (unsigned)(s[1] - '0');
	*minute_out = (unsigned)(s[3] - '0') * 10 + (unsigned)(s[4] - '0');
	return s[5] == '\0' && *hour_out < 24 && *minute_out < 60;
}

static bool
settings_check(void *conf, struct conf_wrong *out)
{
	struct settings *s = conf;

	*out = (struct conf_wrong){"rotate_at", s->rotate_at, "not a time HH:MM"};
	return settings_time(s->rotate_at, &s->rotate_hour, &s->rotate_minute) &&
	    conf_check_users("redundant_clients", &s->redundant_clients, SETTINGS_CLIENTS_MAX, out) &&
	    conf_check_users("control_clients", &s->control_clients, SETTINGS_CLIENTS_MAX, out);
}

void
settings_main(int argc, char **argv, struct settings *out)
{
	conf_check_with(settings_check);
	conf_main(argc, argv, "rotated", settings_keys, settings_nkeys, out);
	out->nredundant_uids = conf_uids(&out->redundant_clients, out->redundant_uids, SETTINGS_CLIENTS_MAX);
	out->ncontrol_uids = conf_uids(&out->control_clients, out->control_uids, SETTINGS_CLIENTS_MAX);
}
