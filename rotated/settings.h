/*
 * rotated's configuration: rotated.conf(5). Read once by main(); every process sees it as it was then.
 */
#ifndef ROTATED_SETTINGS_H
#define ROTATED_SETTINGS_H

#include "conf.h"

#define SETTINGS_CLIENTS_MAX	16	/* users that may connect to a socket */

struct settings {
	/* as in the file */
	const char		*redundant_dir;
	const char		*redundant_socket;
	struct conf_list	 redundant_clients;
	const char		*control_socket;
	struct conf_list	 control_clients;
	struct conf_user	 user;
	const char		*rotate_at;
	uint64_t		 retention_days;
	uint64_t		 index_memory;
	const char		*upkeep_socket;
	/* worked out of it */
	unsigned		 rotate_hour, rotate_minute;
	uid_t			 redundant_uids[SETTINGS_CLIENTS_MAX], control_uids[SETTINGS_CLIENTS_MAX];
	size_t			 nredundant_uids, ncontrol_uids;
};

extern const struct conf_key	settings_keys[];
extern const size_t		settings_nkeys;

/* main()'s first step: conf_main, and what is worked out. Ends the process at a fault. */
void	settings_main(int argc, char **argv, struct settings *out);
/* "HH:MM", 00:00 to 23:59. */
bool	settings_time(const char *, unsigned *hour_out, unsigned *minute_out);

#endif
