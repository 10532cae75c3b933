/*
 * What mupdated's processes say to each other over SEQPACKET sockets: net and map to their parent and
 * back, and net to map and back over the link between them. The first byte is the verb. Mailbox names
 * are in inside form here; modified UTF-7 ends in net.
 */
#ifndef MUPDATED_VERB_H
#define MUPDATED_VERB_H

#include "locmap.h"
#include "pack.h"

#define SID_MAX_BYTES		32
#define USER_TEXT_MAX_BYTES	255	/* a login name as SASL gives it, with its realm */
#define MECH_MAX_BYTES		20	/* RFC 4422 3.1 */
#define SASL_MAX_BYTES		12288	/* one step of an exchange, decoded: what a line of 16 KiB holds in base64 */

enum verb {
	/* child -> parent: I am up and have no link; parent -> child: one descriptor, the link */
	VERB_READY = 1,
	VERB_LINK,
	/* net -> map; map answers each SET, FIND, LOGIN, STEP and DUMP once */
	VERB_SET,
	VERB_FIND,
	VERB_DUMP,
	VERB_LOGIN,
	VERB_STEP,
	VERB_FORGET,	/* u64 conn: it is gone, or gave its login up */
	/* map -> net */
	VERB_MECHS,	/* str: SASL mechanisms, separated by spaces; first on every link */
	VERB_ANSWER,
	VERB_ENTRIES,
	VERB_CHANGE,
	VERB_CHALLENGE,
};

enum set_op { SET_RESERVE = 1, SET_ACTIVATE, SET_DEACTIVATE, SET_DELETE };

struct verb_set {
	uint64_t	conn;
	struct slice	sid;
	enum set_op	op;
	struct slice	name, location, acl;	/* the last two empty where the command has none */
};

struct verb_find {
	uint64_t	conn;
	struct slice	name;
};

/* Asks for the entries after a name whose location begins with prefix: as many as go into one message. */
struct verb_dump {
	uint64_t	conn;
	struct slice	after, prefix;
};

/* LOGIN: mech is set; STEP: mech is empty. */
struct verb_login {
	uint64_t	conn;
	struct slice	mech;
	bool		has_bytes;	/* an initial response; always for STEP */
	struct slice	bytes;
};

enum answer { ANSWER_OK = 1, ANSWER_NO, ANSWER_TEMP /* no answer can be given now: BYE */ };
struct verb_answer {
	uint64_t	conn;
	enum answer	outcome;
	struct slice	text;		/* for the client; after a login the user's name, or why not, for the log */
};

/* FIND (at most one) and DUMP. Entries are read one after the other with verb_entry_next. */
struct verb_entries {
	uint64_t	conn;
	bool		is_done;	/* a DUMP's last */
	struct slice	last;		/* where the next piece goes on; may lie past the last entry shown */
	struct unpack	rest;
};

struct verb_change {
	bool		is_deleted;	/* the entry is as it was before */
	struct loc_entry entry;
	struct slice	old_location;	/* where it was before; empty: nowhere */
};

struct verb_bytes {
	uint64_t	conn;
	struct slice	bytes;
};

/* Each packs a whole message; each unpacks what follows the verb byte, false unless exactly right. */
void	verb_pack_set(struct buf *, const struct verb_set *);
bool	verb_unpack_set(struct unpack *, struct verb_set *out);
void	verb_pack_find(struct buf *, const struct verb_find *);
bool	verb_unpack_find(struct unpack *, struct verb_find *out);
void	verb_pack_dump(struct buf *, const struct verb_dump *);
bool	verb_unpack_dump(struct unpack *, struct verb_dump *out);
void	verb_pack_login(struct buf *, enum verb, const struct verb_login *);
bool	verb_unpack_login(struct unpack *, struct verb_login *out);
void	verb_pack_forget(struct buf *, uint64_t conn);
bool	verb_unpack_forget(struct unpack *, uint64_t *conn_out);
void	verb_pack_mechs(struct buf *, struct slice mechs);
bool	verb_unpack_mechs(struct unpack *, struct slice *mechs_out);
void	verb_pack_answer(struct buf *, const struct verb_answer *);
bool	verb_unpack_answer(struct unpack *, struct verb_answer *out);
/* `entries`: one after the other as verb_pack_entry made them. */
void	verb_pack_entries(struct buf *, const struct verb_entries *, struct slice entries);
void	verb_pack_entry(struct buf *entries, const struct loc_entry *);
bool	verb_unpack_entries(struct unpack *, struct verb_entries *out);
/* FOUND, ABSENT at the end, LOOKUP_TEMP when it is not right. */
enum lookup verb_entry_next(struct verb_entries *, struct loc_entry *out);
void	verb_pack_change(struct buf *, const struct verb_change *);
bool	verb_unpack_change(struct unpack *, struct verb_change *out);
void	verb_pack_challenge(struct buf *, const struct verb_bytes *);
bool	verb_unpack_challenge(struct unpack *, struct verb_bytes *out);

#endif
