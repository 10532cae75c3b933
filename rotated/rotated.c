/*
 * rotated: keeps the redundant spool. Opens each day's logs and hands their descriptors to spoold's
 * committers; rotates, indexes, purges.
 */
#include "children.h"
#include "settings.h"

int
main(int argc, char **argv)
{
	struct settings settings;

	settings_main(argc, argv, &settings);
	return children_run(argv, &settings);
}
