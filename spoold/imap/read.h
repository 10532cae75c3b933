/*
 * Reads one whole command: its lines and literals, the answers to synchronising literals, and what is
 * to be done with input that no command can be (RFC 3501 2.2, 4.3; RFC 7888).
 */
#ifndef TS_IMAP_READ_H
#define TS_IMAP_READ_H

#include "imap/imap.h"

enum read_result {
	READ_OK,	/* im->text holds the command, im->append the messages of an APPEND */
	READ_REFUSED,	/* it was answered already; the input stands at the next command */
	READ_OVER,	/* BYE was said or the peer is gone */
};

enum read_result	read_command(struct imap *);

#endif
