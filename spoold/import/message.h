/*
 * A message on its way in from a foreign mailbox: its bytes in wire form, its date, flags and keywords. Filled by the
 * readers (mbox.c, mbx.c, maildir.c) a piece at a time; what it holds is bounded.
 */
#ifndef TS_SPOOLD_IMPORT_MESSAGE_H
#define TS_SPOOLD_IMPORT_MESSAGE_H

#include "buf.h"

#define IMPORT_MESSAGE_MAX_BYTES	(64 * 1024 * 1024)	/* a larger one is reported and left out */
#define IMPORT_KEYWORDS_MAX		32			/* of one message; further ones are left out */
#define IMPORT_WORDS_BYTES		2048

struct import_message {
	struct buf	 bytes;		/* CRLF at the end of every line */
	int64_t		 date_ms;	/* 0: not known */
	uint32_t	 flags;		/* MSG_* */
	char		 words[IMPORT_WORDS_BYTES];
	size_t		 nwords;	/* bytes */
	struct slice	 keywords[IMPORT_KEYWORDS_MAX];	/* point into words */
	size_t		 nkeywords;
	uint64_t	 nuls;		/* octets 0, which no message may hold; 0x80 now */
	bool		 is_too_large;
	bool		 has_cr;	/* the last octet was a CR */
};

void	message_begin(struct import_message *);
void	message_free(struct import_message *);
/* Bytes of the message as they stand: a lone CR or LF becomes CRLF. */
void	message_add(struct import_message *, struct slice);
/* The last piece was added. */
void	message_end(struct import_message *);
/* A word that IMAP takes as a keyword; others are left out. */
void	message_keyword(struct import_message *, struct slice);

#endif
