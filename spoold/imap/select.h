/*
 * SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 6.3.1, 6.3.2, 6.4.2; RFC 3691; RFC 7162 3.1.8, 3.2.5, 3.2.11).
 */
#ifndef TS_IMAP_SELECT_H
#define TS_IMAP_SELECT_H

#include "imap/imap.h"

void	select_run(struct imap *, struct slice args);
void	examine_run(struct imap *, struct slice args);
void	close_run(struct imap *, struct slice args);
void	unselect_run(struct imap *, struct slice args);

#endif
