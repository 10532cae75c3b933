/*
 * mupdated: where each mailbox is, served over MUPDATE (RFC 3656) and kept in a map that other daemons
 * of the host read. main() alone; house.c says what it starts.
 */
#include "house.h"
#include "log.h"
#include "parent.h"

#define STOP_MS	10000	/* for the commands under way when we are told to stop; children need 5 s at most */

int
main(int argc, char **argv)
{
	static struct config	 conf;
	static struct house	 house;
	struct parent		*parent;

	conf_check_with(config_check);
	conf_main(argc, argv, "mupdated", config_keys, config_nkeys, &conf);
	parent = parent_make(argv, STOP_MS);
	house_start(&house, parent, &conf);
	return parent_run(parent);
}
