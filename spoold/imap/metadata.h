/* GETMETADATA and SETMETADATA (RFC 5464), for the table of commands. */
#ifndef TS_IMAP_METADATA_H
#define TS_IMAP_METADATA_H

#include "imap/imap.h"

/* What is said to a value that is too large; read.c says it to a literal before its bytes come. */
#define METADATA_TOO_LARGE	"[METADATA MAXSIZE 65536] No value is so large"

void	getmetadata_run(struct imap *, struct slice args);
void	setmetadata_run(struct imap *, struct slice args);

#endif
