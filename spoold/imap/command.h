/*
 * The table of commands: name, states, handler; and what CAPABILITY says (RFC 3501 6, 7.2.1).
 */
#ifndef TS_IMAP_COMMAND_H
#define TS_IMAP_COMMAND_H

#include "imap/imap.h"

/* "IMAP4rev1 LITERAL+ ...": what a session after login can do. */
extern const char	imap_capabilities[];

/* Runs the command in im->text; it is answered when this returns (IDLE: begun). */
void	imap_command_run(struct imap *);

#endif
