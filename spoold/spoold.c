/*
 * spoold: owns the active spools, delivers into them, serves IMAP and POP3 sessions on them. Runs in
 * the foreground; the parent of the processes described in spoold(8).
 */
#include <stddef.h>

#include "children.h"
#include "settings.h"
#include "parent.h"
#include "site.h"

#define STOP_MS	20000	/* sessions have 8 s to say BYE, then the committer 8 s for the last sync, at worst */

static struct site site;

int
main(int argc, char **argv)
{
	struct parent *parent;
	int status;

	conf_check_with(spoold_conf_check);
	conf_main(argc, argv, "spoold", spoold_keys, spoold_nkeys, &site.conf);
	spoold_conf_finish(&site.conf);
	parent = parent_make(argv, STOP_MS);
	site_prepare(&site, parent);
	children_start(parent, &site);
	status = parent_run(parent);
	site_end(&site);
	return status;
}
