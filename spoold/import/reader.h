/*
 * Foreign mailboxes, read message by message. Each kind of mailbox is a reader with the same four functions;
 * none writes anything, follows a symbolic link inside its mailbox, or believes a length it is told.
 */
#ifndef TS_SPOOLD_IMPORT_READER_H
#define TS_SPOOLD_IMPORT_READER_H

#include "import/message.h"

enum import_kind { IMPORT_UNKNOWN, IMPORT_MBOX, IMPORT_MAILDIR, IMPORT_MBX };

enum import_got {
	IMPORT_MESSAGE,
	IMPORT_SKIPPED,		/* there is one that is not to be imported: of the mailbox's own, or expunged */
	IMPORT_BAD,		/* something at where and why; reading goes on behind it */
	IMPORT_END,
	IMPORT_ERROR,		/* errno */
};

#define READER_PLACE_BYTES	300	/* a decimal offset, or the name of a file */

struct reader {
	enum import_kind kind;
	int		 fd;		/* owned: file, or directory of a maildir */
	void		*state;		/* owned by the kind */
	int64_t		 date_ms;	/* of the file, for messages without a date */
	uint64_t	 bytes;		/* of all of it, for a progress bar */
	uint64_t	 done;
	char		 place[READER_PLACE_BYTES];	/* behind the last message: where the next run may go on */
	char		 where[READER_PLACE_BYTES];	/* of the last message, or of what is bad */
	const char	*why;
};

/* What a file or directory is; IMPORT_UNKNOWN: none of them. */
enum import_kind reader_kind(int fd);
/* fd becomes the reader's, also when it fails. place: from an earlier run, or "". 0, or -1 with errno. */
int		reader_open(struct reader *, enum import_kind, int fd, const char *place);
enum import_got	reader_next(struct reader *, struct import_message *);
void		reader_close(struct reader *);

/* mbox.c: the date of a From_ line, false when it is none. Pure; without a zone it is local time. */
bool		mbox_from_line(struct slice line, int64_t *date_ms_out);

int		mbox_open(struct reader *, const char *place);
enum import_got	mbox_next(struct reader *, struct import_message *);
int		mbx_open(struct reader *, const char *place);
enum import_got	mbx_next(struct reader *, struct import_message *);
int		maildir_open(struct reader *, const char *place);
enum import_got	maildir_next(struct reader *, struct import_message *);
void		maildir_close(struct reader *);

#endif
