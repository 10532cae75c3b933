/*
 * The log-record format, used for active segments (spoold) and redundant day logs (written by
 * spoold's committer, read by rotated). A record is a header line, an extra (packed attributes), a
 * body, and a trailer line. Header and trailer lines are fixed-width text ending in LF, so that
 * a log can be looked at; every number in lower-case hexadecimal.
 *
 *   TSR1 <type> <xlen 8> <blen 16> <modseq 16> <mailbox 32> <uid 8> <date 16> <flags 8> <guid 32> <salted crc 8> LF
 *   extra (xlen bytes) body (blen bytes)
 *   TST1 <start 16> <header crc 8> <body crc 8> <epoch 8> <next modseq 16> <next uid 8> <salted crc 8> LF
 *
 * All checksums are CRC32C begun from the segment's random salt, never shown to clients: mail may
 * contain anything, also a perfect record. The header's covers its line up to it and the extra.
 * A segment begins with a RECORD_SEGMENT whose uid field holds the salt; its checksums begin from
 * that salt too. Pure functions; no I/O.
 */
#ifndef TS_RECORD_H
#define TS_RECORD_H

#include <stdint.h>

#include "buf.h"
#include "result.h"

#define RECORD_HEADER_BYTES	(4 + 1 + 1 + 1 + 8 + 1 + 16 + 1 + 16 + 1 + 32 + 1 + 8 + 1 + 16 + 1 + 8 + 1 + 32 + 1 + 8 + 1)
#define RECORD_TRAILER_BYTES	(4 + 1 + 16 + 1 + 8 + 1 + 8 + 1 + 8 + 1 + 16 + 1 + 8 + 1 + 8 + 1)
#define RECORD_EXTRA_MAX_BYTES	(4 * 1024 * 1024)	/* STORE or EXPUNGE of 100,000 UIDs in one record */
#define RECORD_BODY_MAX_BYTES	(1024ULL * 1024 * 1024)
#define RECORD_ID_BYTES		16

enum record_type {
	RECORD_SEGMENT = 'S',	/* first of a file: uid = salt; extra: u32 segment number, u32 generation, str kind "active"/"redundant", str user or partition */
	RECORD_MESSAGE = 'M',	/* delivered; extra: record_message */
	RECORD_BODY = 'B',	/* a body not yet linked */
	RECORD_LINK = 'L',	/* gives bodies mailbox, UIDs, flags; and for MOVE expunges the sources */
	RECORD_FLAGS = 'F',
	RECORD_EXPUNGE = 'X',
	RECORD_CREATE = 'C',	/* mailbox = its id; extra: name, UIDVALIDITY, special use */
	RECORD_RENAME = 'R',	/* extra: pairs of mailbox id and new name (a tree in one record), then the names in the command */
	RECORD_DELETE = 'D',
	RECORD_SUBSCRIBE = 'U',
	RECORD_METADATA = 'A',	/* mailbox zero: of the user; extra: entries set and removed, all of one command */
	RECORD_RECENT = 'N',	/* a rev1 session took the \Recent of every UID below uid */
	RECORD_VOID = 'V',	/* extra: u64 modseq of the record that did not happen */
	RECORD_PURGE = 'P',	/* extra: extra_purge: what was expunged from the mailbox by then is gone for good */
	RECORD_HUSK_MESSAGE = 'm',	/* what compaction leaves of a purged RECORD_MESSAGE: all but the body */
	RECORD_HUSK_BODY = 'b',		/* and of a RECORD_BODY */
	RECORD_FENCE = 'E',
	RECORD_SEALED = 'Z',
	RECORD_NEXT = 'O',	/* last of a segment: the log goes on in segment uid. A second one: not there, that is lost, but here */
	RECORD_ACCEPT = 'G',	/* extra: holes of the log that are given up */
};

struct record {
	enum record_type type;
	uint64_t	 modseq;
	unsigned char	 mailbox[RECORD_ID_BYTES];	/* zero: none, or by name in the extra */
	uint32_t	 uid;
	int64_t		 date_ms;			/* wall clock; for messages the INTERNALDATE */
	uint32_t	 flags;				/* MSG_* of below */
	unsigned char	 guid[RECORD_ID_BYTES];
	struct slice	 extra;
	uint64_t	 body_bytes;
	/* of the trailer */
	uint64_t	 start;				/* offset of the header in its file */
	uint32_t	 epoch;
	uint64_t	 next_modseq;
	uint32_t	 next_uid;
	uint32_t	 header_crc, body_crc;
};

/* System flags of RFC 3501 2.3.2, as kept. */
enum { MSG_SEEN = 1, MSG_ANSWERED = 2, MSG_FLAGGED = 4, MSG_DELETED = 8, MSG_DRAFT = 16 };

#define RECORD_USER_CAP	128	/* recipients of one redundant record */
/* Extra of RECORD_MESSAGE. In the active log naddressees is 1 and user empty. */
struct record_addressee {
	struct slice	user;
	struct slice	mailbox;	/* inside-form name asked for; empty: INBOX */
	uint64_t	modseq;
	uint32_t	uid;
};
struct record_message {
	unsigned char	key[16];	/* delivery key; zero: none */
	struct slice	sender;
	struct slice	qid;
	size_t		naddressees;
	struct record_addressee addressees[RECORD_USER_CAP];
};
void	record_message_pack(struct buf *, const struct record_message *);
bool	record_message_unpack(struct slice extra, struct record_message *out);

uint32_t	record_crc(uint32_t salt_or_previous, struct slice);

/* Header line and extra into out (r->extra, body_bytes set; start is not needed). Sets r->header_crc. */
void		record_pack_head(struct buf *out, struct record *r, uint32_t salt);
/* Trailer (start, epoch, next_*, header_crc, body_crc set; body_crc = record_crc(salt, body)). */
void		record_pack_trailer(struct buf *out, const struct record *r, uint32_t salt);
/*
 * A header line and its extra at the start of in. PARSE_MORE: in is too short; *need_out says how many
 * bytes in all (first RECORD_HEADER_BYTES, then with the extra). PARSE_BAD: no record here by the salted checksum.
 */
enum parse	record_parse_head(struct slice in, uint32_t salt, struct record *out, size_t *need_out);
enum parse	record_parse_trailer(struct slice in, uint32_t salt, struct record *out);
/*
 * The salt with which a trailer line's checksum would hold: for a file whose first record is damaged.
 * Any line has one; that it is right, the checksum of another record must show. False: not a trailer line.
 */
bool		record_trailer_salt(struct slice in, uint32_t *salt_out);
/* The salt out of a file's first RECORD_HEADER_BYTES + extra (then parse it with that salt). PARSE_MORE with need_out as above. */
enum parse	record_parse_salt(struct slice in, uint32_t *salt_out, size_t *need_out);

/* Extra of a change record copied into the redundant log: str user before the record's own extra (all types but S and M). */
static inline uint64_t
record_bytes(const struct record *r)
{
	return RECORD_HEADER_BYTES + r->extra.n + r->body_bytes + RECORD_TRAILER_BYTES;
}

#endif
