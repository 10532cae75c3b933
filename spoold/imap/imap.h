/*
 * An IMAP session after login, while a worker of spoold has it: what it remembers between
 * commands, and what a command in hand needs. Every file of this room works on struct imap; only
 * imap.c makes one. Handlers write untagged data at once and end with one imap_ok, imap_no or
 * imap_bad. RFC 3501 and the extensions named in command.c.
 */
#ifndef TS_IMAP_H
#define TS_IMAP_H

#include "frame.h"
#include "imap/append_parse.h"
#include "imap/watch_parse.h"
#include "session.h"

#define IMAP_TAG_MAX_BYTES	SESSOPEN_TAG_MAX_BYTES
/* A UID set of a client that names 5,000 messages one by one is 40 KiB (RFC 7162 6 asks for at least 8 KiB). */
#define IMAP_LINE_MAX_BYTES	(64 * 1024)	/* all line pieces of a command together */
#define IMAP_LITERALS_MAX	100		/* of a command: a SEARCH with a name in each */
#define IMAP_LITERALS_MAX_BYTES	(128 * 1024)	/* of a command, all together, but APPEND's messages */
/* A message by APPEND, as the client counts it; told in APPENDLIMIT (RFC 7889). What lmtpd takes by default. */
#define IMAP_APPEND_MAX_BYTES	(100ULL * 1024 * 1024)
/* Messages of one APPEND: each may be a descriptor of the request to the committer. */
#define IMAP_APPEND_MSGS_MAX	STORE_APPEND_FILES_MAX
/* All messages of one APPEND as they are kept: what a command may hold of the disk before it is appended. */
#define IMAP_APPEND_ALL_MAX_BYTES	(2 * IMAP_APPEND_MAX_BYTES)
/* CATENATE's parts in one APPEND: each URL may be looked up in a message of its own. */
#define IMAP_APPEND_PARTS_MAX	100
#define IMAP_APPEND_MEM_BYTES	(64 * 1024)	/* above it a command's messages wait in an unlinked file */
/* Refused {n+} literals are read and dropped up to this; past it the session ends. */
#define IMAP_DISCARD_MAX_BYTES	IMAP_APPEND_MAX_BYTES
#define IMAP_BAD_MAX		20		/* BADs in a row: this is no mail client */
#define IMAP_BARE_MAX		3		/* lines with a bare CR or LF: as in every daemon of ours */
/* "$" packed, of SESSION_STATE_MAX_BYTES: at least 200 ranges, of hits that are not far apart 1,000 (RFC 5182 2.5). */
#define IMAP_SAVED_MAX_BYTES	2048
#define IMAP_IDLE_TELL_MS	(2 * 60 * 1000)	/* "Still here": shorter than a mobile network's NAT forgets */
#define IMAP_BEHIND_MS		250		/* in IDLE, when the index was busy: then it is looked at again */
#define IMAP_AUTOLOGOUT_MS	(30 * 60 * 1000) /* RFC 3501 5.4: at least 30 minutes */

/* The messages of an APPEND, taken in before the command runs (append.c). */
struct append {
	struct buf	 mem;		/* all of them, while they are small */
	int		 fd;		/* an unlinked file with all of them; -1: in mem */
	uint64_t	 bytes;		/* as they will be kept: CRLF line ends */
	struct frame_dot frame;		/* of the message in the making */
	bool		 is_binary;	/* it comes in a literal8 (RFC 3516), not one of UTF8 */
	bool		 is_failed;	/* the file could not be written: answer TEMP */
	size_t		 parsed;	/* so much of the command's text was understood and done */
	enum append_place place;	/* what may stand next */
	unsigned char	 mailbox[RECORD_ID_BYTES];
	struct slice	 name;		/* of it, as the client wrote it; in the command's arena */
	struct append_msg *msgs;	/* in the command's arena; body.offset and body.bytes: where in the bytes above */
	size_t		 n;
	size_t		 nparts;	/* of all messages, by CATENATE */
	uint32_t	 replaced_uid;	/* of REPLACE: in the selected mailbox; 0: an APPEND */
};

/* Flags the command in hand told of messages that follow each other in the view (told.c). */
struct told {
	uint32_t	 uid, last;	/* the first one's and the last one's */
	uint32_t	 last_seq;
	uint32_t	 flags;
	uint64_t	 modseq;	/* told too; 0: it was not */
	uint64_t	 keywords[STORE_KEYWORDS_MAX / 64];
};

/* What the client wants from now to the end of its session (RFC 5161); names in enable.c. */
enum enabled {
	ENABLED_CONDSTORE = 1,	/* also by the commands of RFC 7162 3.1 */
	ENABLED_QRESYNC = 2,	/* never without CONDSTORE */
	ENABLED_REV2 = 4,	/* IMAP4rev2 */
	ENABLED_UTF8 = 8,	/* UTF8=ACCEPT */
	ENABLED_ALL = ENABLED_CONDSTORE | ENABLED_QRESYNC | ENABLED_REV2 | ENABLED_UTF8,
};

/* What NOTIFY asked for (RFC 5465), in short: told from the groups by watch.c. */
enum watching {
	WATCHING = 1,		/* it was used: only what it asked for is told, of the selected mailbox too */
	WATCHING_SELECTED = 2,	/* the selected mailbox's new and expunged messages */
	WATCHING_FLAGS = 4,	/* and flags */
	WATCHING_DELAYED = 8,	/* EXPUNGE only where a command allows it */
	WATCHING_ATTS = 16,	/* a FETCH response for each new message */
	WATCHING_OTHERS = 32,	/* something of other mailboxes */
};

struct imap {
	struct session	*s;		/* borrowed */
	struct store	*store;		/* ours while a worker has the session */

	/* remembered between commands: packed by state.c */
	bool		 is_selected;
	bool		 is_readonly;	/* EXAMINE */
	bool		 is_idling;
	bool		 is_behind;	/* what it was told in IDLE may be of a moment ago: look again soon */
	struct view	 view;		/* of the selected mailbox */
	char		 idle_tag[IMAP_TAG_MAX_BYTES + 1];
	uint8_t		 nbad;		/* BADs in a row */
	uint8_t		 nbare;		/* lines with a bare CR or LF so far */
	uint16_t	 nsaved;	/* bytes in saved (saved.c) */
	unsigned char	 saved[IMAP_SAVED_MAX_BYTES];
	uint8_t		 nkeywords_told;	/* keywords named in the last untagged FLAGS */
	uint32_t	 enabled;	/* enum enabled */
	unsigned	 watching;	/* enum watching */
	bool		 watch_is_utf8;	/* names in watch were written with UTF-8 enabled */
	bool		 is_id_logged;	/* ID said who the client is: once is enough for the log */
	uint16_t	 nwatch;	/* bytes in watch; 0: NOTIFY was not used, or is NONE */
	char		 watch[IMAP_WATCH_MAX_BYTES];	/* the event groups as written */
	struct store_place place;	/* what happened before it was told */
	uint64_t	 untold_modseq;	/* flags changed after it in the selected mailbox were not asked for, nor told; 0: there were none */

	/* of the command in hand */
	struct buf	 text;		/* the whole command, literals in place; slices point into it */
	char		 tag[IMAP_TAG_MAX_BYTES + 1];
	bool		 is_uid;	/* UID FETCH, UID STORE ... */
	bool		 is_expunging;	/* it takes messages away: its own expunges are told whatever NOTIFY says */
	bool		 may_expunge;	/* EXPUNGE may be told at its end (RFC 3501 7.4.1) */
	uint64_t	 modseq_before;	/* of the view, before the command's own sync told what changed */
	struct slice	*keywords;	/* names by bit, in the command's arena; NULL: not asked for yet */
	size_t		 nkeywords;
	struct told	*told;		/* in the command's arena, by UID */
	size_t		 ntold, told_cap;
	uint64_t	 modseq_told;	/* the highest MODSEQ it told */
	bool		 is_highest_due;	/* it expunged, or told of expunges: HIGHESTMODSEQ is told at its end (condstore.c) */
	struct append	 append;

	bool		 is_over;	/* BYE was said, or LOGOUT */
};

/*
 * The end of a command. OK and NO tell first what changed in the selected mailbox. The text is
 * "[CODE] words" or words.
 */
void	imap_ok(struct imap *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* OK with a response code of any length before the text. */
void	imap_ok_code(struct imap *, struct slice code, const char *text);
void	imap_no(struct imap *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	imap_bad(struct imap *, const char *why);
/* "NO text" or "BAD text", as it is said. */
void	imap_refuse(struct imap *, const char *refusal);
/* NO with the words for what the store said; a missing mailbox gets missing_code ("NONEXISTENT", "TRYCREATE"). */
void	imap_no_store(struct imap *, enum store_result, const char *missing_code);
/* "* BYE text"; the session is over, end_why (a literal) is logged. */
void	imap_bye(struct imap *, const char *end_why, const char *text);
/* The user's other sessions have something to look at. */
void	imap_changed(struct imap *);
/* Leaves the selected mailbox without expunging. */
void	imap_unselect(struct imap *);

/* The session speaks IMAP4rev2 (RFC 9051); else IMAP4rev1, as long as the client uses nothing of it. */
static inline bool
imap_is_rev2(const struct imap *im)
{
	return (im->enabled & ENABLED_REV2) != 0;
}

/* Names and quoted strings may be sent in UTF-8 (RFC 6855 3, RFC 9051 4.3). */
static inline bool
imap_has_utf8(const struct imap *im)
{
	return (im->enabled & (ENABLED_REV2 | ENABLED_UTF8)) != 0;
}

/* The command arena, for handlers; SESSION_COMMAND_MAX_BYTES bounds what a command may use. */
static inline struct arena *
imap_arena(struct imap *im)
{
	return &im->s->command;
}

#endif
