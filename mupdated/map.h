/*
 * The map process: owner and only writer of the location map, and judge of logins. Serves net over the
 * link, one message after the other; keeps nothing of a connection but a login under way.
 */
#ifndef MUPDATED_MAP_H
#define MUPDATED_MAP_H

#include "house.h"

/* A child_fn; arg is a struct house. */
void	map_main(void *arg, int chan);

#endif
