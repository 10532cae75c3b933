/*
 * What goes out as MAILBOX, RESERVE and DELETE lines: the answers of FIND and LIST, and UPDATE's dump and
 * stream. RFC 3656 3.5-3.7, 4.5, 4.6, 4.11.
 */
#ifndef MUPDATED_STREAM_H
#define MUPDATED_STREAM_H

#include "conn.h"

/* Starts LIST (prefix) or, where is_update, UPDATE of everything or of the hosts. */
void	stream_dump(struct conn *, bool is_update, struct slice prefix, const struct slice *hosts, size_t nhosts);
/* A message of the map for FIND or for a dump. */
void	stream_entries(struct conn *, struct verb_entries *);
/* A change, for a connection in whatever state. */
void	stream_change(struct conn *, const struct verb_change *);
/* Asks for the next piece where one is due and there is room. */
void	stream_go_on(struct conn *);

#endif
