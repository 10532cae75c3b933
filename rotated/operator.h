/*
 * The connections of rotatectl: one order each, answered when it is carried out.
 */
#ifndef ROTATED_OPERATOR_H
#define ROTATED_OPERATOR_H

#include "days.h"

/* Serves a connection that was accepted and whose peer may give orders. Takes fd over; non-blocking. */
void	operator_make(struct days *, int fd);
/* A purge has ended, and none is wanted any more: answers who waits for it. */
void	operator_purged(struct days *, bool is_good, uint32_t count);
size_t	operator_count(const struct days *);
void	operator_free_all(struct days *);

#endif
