/*
 * rotated's parent: opens the listeners, starts the days process and, one at a time, its helpers.
 */
#ifndef ROTATED_CHILDREN_H
#define ROTATED_CHILDREN_H

#include "settings.h"

/* The rest of main(): returns the exit status. */
int	children_run(char **argv, const struct settings *);

#endif
