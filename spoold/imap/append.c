/*
 * APPEND of one message or several, all or nothing, and REPLACE. read.c asks here at each literal; what was read of the command is
 * then parsed as far as it goes, element by element, and each element is done at once, so that nothing is parsed twice and a
 * mailbox that is not there is said before 60 MB are sent for nothing. RFC 3501 6.3.11, RFC 3502, RFC 4315 3,
 * RFC 4469, RFC 6855 4, RFC 7889, RFC 8508.
 */
#include "imap/append.h"

#include "imap/announce.h"
#include "imap/append_bytes.h"
#include "imap/catenate.h"
#include "imap/mailbox.h"
#include "log.h"

/* ---- elements ---- */

static const char *
mailbox_begin(struct imap *im, struct slice client)
{
	struct mbox_info	info;
	struct mboxname		name;

	if (store_is_full(im->s->host, store_partition(im->store)))	/* its messages would lie there before they are refused */
		return "NO [UNAVAILABLE] The server's disk is full";
	if (mailbox_name(im, client, &name) != PARSE_OK)
		return "NO [CANNOT] No mailbox can have that name";
	switch (store_mbox_by_name(im->store, (struct slice){name.s, name.n}, imap_arena(im), &info)) {
	case STORE_OK:
		memcpy(im->append.mailbox, info.id, sizeof(info.id));
		/* Copied: the command's text moves when more is read. */
		im->append.name = arena_slice(imap_arena(im), client);
		return im->append.name.p == NULL ? "NO [LIMIT] The name is too long" : NULL;
	case STORE_NOMBOX:
		return "NO [TRYCREATE] No such mailbox";
	default:
		return "NO [UNAVAILABLE] Temporary failure";
	}
}

/* The message that a REPLACE is about, by what the client knows: its numbers are those of before the command. */
static const char *
replaced_find(struct imap *im, const struct append_element *e)
{
	uint32_t		 uid = e->number, seq;
	enum store_result	 r;

	if (!im->is_selected)
		return "BAD No mailbox is selected";
	if (im->is_readonly)
		return "NO The mailbox is selected read-only";
	if (e->number == SEQ_STAR)
		r = view_last_uid(im->store, &im->view, &uid);
	else if (!e->is_uid)
		r = view_uid(im->store, &im->view, e->number, &uid);
	else if ((r = view_seq(im->store, &im->view, uid, &seq)) == STORE_OK && seq == 0)
		return "NO No message has that UID";
	if (r != STORE_OK)
		return "NO [UNAVAILABLE] Temporary failure";
	im->append.replaced_uid = uid;
	return uid == 0 ? "BAD No message has that number" : NULL;
}

static const char *
head_run(struct imap *im, const struct append_element *e)
{
	const char	*refusal = e->is_replace ? replaced_find(im, e) : NULL;

	return refusal != NULL ? refusal : mailbox_begin(im, e->mailbox);
}

/* Keywords are copied: the command's text moves when more is read. */
static const char *
message_begin(struct imap *im, const struct append_element *e)
{
	struct append		*a = &im->append;
	struct append_msg	*m;
	struct slice		*keywords = ARENA_NEW(imap_arena(im), struct slice, e->flags.nkeywords + 1);

	if (a->replaced_uid != 0 && a->n == 1)
		return "BAD REPLACE takes one message";
	if (a->msgs == NULL)
		a->msgs = ARENA_NEW(imap_arena(im), struct append_msg, IMAP_APPEND_MSGS_MAX);
	if (a->msgs == NULL || keywords == NULL || a->n == IMAP_APPEND_MSGS_MAX)
		return "NO [LIMIT] Too many messages at once";
	m = &a->msgs[a->n++];
	*m = (struct append_msg){.body.offset = a->bytes, .date_ms = e->has_date ? e->date_ms : now_ms(),
	    .flags = e->flags.flags, .keywords = keywords, .nkeywords = e->flags.nkeywords};
	for (size_t i = 0; i < m->nkeywords; i++) {
		keywords[i] = arena_slice(imap_arena(im), e->flags.keywords[i]);
		if (keywords[i].p == NULL)
			return "NO [LIMIT] Too many keywords";
	}
	a->frame = (struct frame_dot){0};
	return NULL;
}

/* All its bytes were taken. */
static const char *
message_end(struct imap *im)
{
	struct append		*a = &im->append;
	struct append_msg	*m = &a->msgs[a->n - 1];

	append_flush(im);
	m->body.bytes = a->bytes - m->body.offset;
	if (a->is_failed)
		return "NO [UNAVAILABLE] Temporary failure";
	/*
	 * A header that is not ASCII is taken whatever is enabled, though RFC 6855 4 would have it refused: mail with such headers
	 * comes from outside, and who moves or copies it here between servers would lose it.
	 */
	return m->body.bytes == 0 ? "NO [CANNOT] A message is empty" : NULL;
}

static const char *
part_begin(struct append *a)
{
	return a->nparts++ == IMAP_APPEND_PARTS_MAX ? "NO [LIMIT] Too many parts" : NULL;
}

/* NULL, or why the command is refused. */
static const char *
element_run(struct imap *im, const struct append_element *e)
{
	const char	*refusal;

	switch (e->kind) {
	case ELEMENT_HEAD:
		return head_run(im, e);
	case ELEMENT_LITERAL:
	case ELEMENT_CATENATE:
		return message_begin(im, e);
	case ELEMENT_TEXT:
		return part_begin(&im->append);
	case ELEMENT_URL:
		refusal = part_begin(&im->append);
		return refusal != NULL ? refusal : catenate_url(im, e->url);
	case ELEMENT_CLOSE:
		return message_end(im);
	case ELEMENT_UTF8_CLOSE:
		break;		/* its bytes are there already */
	}
	return NULL;
}

/* Does the elements of the command's text up to end, as far as they are whole. *wants_out: bytes must follow there. */
static const char *
elements_run(struct imap *im, size_t end, bool *wants_out)
{
	struct append	*a = &im->append;

	*wants_out = false;
	while (!*wants_out) {
		struct slice		 cur = {im->text.p + a->parsed, end - a->parsed};
		struct append_element	 e;
		const char		*refusal;

		if (parse_append_element(&cur, imap_arena(im), &a->place, &e) != PARSE_OK)
			break;
		a->parsed = end - cur.n;
		if ((refusal = element_run(im, &e)) != NULL)
			return refusal;
		*wants_out = e.kind == ELEMENT_LITERAL || e.kind == ELEMENT_TEXT;
	}
	return NULL;
}

/* ---- literals ---- */

/* The literal that is awaited is a part of a message; it is one of UTF8, of a whole message or a part. */
static bool
is_part(const struct append *a)
{
	return a->place == APPEND_AT_PART || a->place == APPEND_AT_UTF8_PART_END;
}

static bool
is_utf8(const struct append *a)
{
	return a->place == APPEND_AT_UTF8_END || a->place == APPEND_AT_UTF8_PART_END;
}

static const char *
literal_fault(const struct imap *im, uint64_t n, bool is_binary)
{
	const struct append	*a = &im->append;

	if (is_utf8(a) && !is_binary)
		return "BAD UTF8 (~{literal8}) is expected";
	if (is_part(a) && is_binary && !is_utf8(a))
		return "BAD No literal8 is expected here";
	if (n == 0 && !is_part(a))	/* cancels the command (RFC 3502) */
		return "NO [CANNOT] A message is empty";
	return catenate_fault(im, n);
}

enum append_want
append_literal(struct imap *im, size_t before, uint64_t n, bool is_binary, const char **refusal_out)
{
	bool	wants;

	if ((*refusal_out = elements_run(im, before, &wants)) != NULL)
		return APPEND_REFUSE;
	if (!wants)
		return APPEND_OTHER;
	if ((*refusal_out = literal_fault(im, n, is_binary)) != NULL)
		return APPEND_REFUSE;
	im->append.is_binary = is_binary && !is_utf8(&im->append);
	return APPEND_TAKE;
}

/*
 * Messages are kept in lines that end in CRLF, without NUL: what a literal8 has besides would be lost, and to encode it
 * is the client's to do (RFC 3516 4.4).
 */
static const char *
content_fault(const struct append *a)
{
	if (a->is_binary && (a->frame.nuls > 0 || a->frame.bare > 0))
		return "NO [UNKNOWN-CTE] Binary content is not kept as it is, please encode it";
	return a->frame.nuls > 0 ? "BAD A NUL in a message" : NULL;
}

const char *
append_end(struct imap *im)
{
	struct append	*a = &im->append;
	const char	*refusal = NULL;

	a->parsed = im->text.n;		/* the literal's mark is behind us */
	if (!is_part(a))
		refusal = message_end(im);
	return refusal != NULL && a->frame.nuls == 0 ? refusal : content_fault(a);
}

/* ---- the command ---- */

/* All messages are there: their offsets become sources, and they are appended. */
static void
messages_append(struct imap *im)
{
	struct append		*a = &im->append;
	uint32_t		*uids = ARENA_NEW(imap_arena(im), uint32_t, a->n), uidvalidity;
	enum store_result	 r = STORE_LIMIT;

	for (size_t i = 0; i < a->n; i++)
		a->msgs[i].body = append_source(im, a->msgs[i].body.offset, a->msgs[i].body.bytes);
	if (uids != NULL)
		r = store_append(im->store, a->mailbox, a->msgs, a->n, uids, &uidvalidity);
	if (r != STORE_OK) {
		imap_no_store(im, r, "TRYCREATE");
		return;
	}
	imap_changed(im);
	announce_named(im, a->name, a->mailbox);
	/* A command's UIDs are neighbours. */
	if (a->n > 1)
		imap_ok(im, "[APPENDUID %u %u:%u] APPEND completed", uidvalidity, uids[0], uids[a->n - 1]);
	else
		imap_ok(im, "[APPENDUID %u %u] APPEND completed", uidvalidity, uids[0]);
}

/* The new one is told before the old one goes (RFC 8508 4.3). */
static void
message_replace(struct imap *im)
{
	struct append		*a = &im->append;
	uint32_t		 uid, uidvalidity;
	enum store_result	 r;

	a->msgs[0].body = append_source(im, a->msgs[0].body.offset, a->msgs[0].body.bytes);
	r = store_replace(im->store, im->view.mailbox, a->replaced_uid, a->mailbox, &a->msgs[0], &uid, &uidvalidity);
	if (r != STORE_OK) {
		imap_no_store(im, r, "TRYCREATE");
		return;
	}
	if (uid == 0) {
		imap_no(im, "[EXPUNGEISSUED] The message was expunged");
		return;
	}
	imap_changed(im);
	announce_named(im, a->name, a->mailbox);
	session_putf(im->s, "* OK [APPENDUID %u %u] Replacement Message ready\r\n", uidvalidity, uid);
	imap_ok(im, "%sREPLACE completed", im->is_uid ? "UID " : "");
}

static void
command_end(struct imap *im, void (*done)(struct imap *))
{
	struct append	*a = &im->append;
	const char	*refusal;
	bool		 wants;

	if ((refusal = elements_run(im, im->text.n, &wants)) != NULL) {
		imap_refuse(im, refusal);
		return;
	}
	/* A quoted string is no message (RFC 3501 9: append ends in a literal). */
	if (wants || a->n == 0 || a->parsed != im->text.n || a->place != APPEND_AT_MESSAGE)
		imap_bad(im, "... mailbox [(flags)] [\"date-time\"] {literal}: not understood");
	else
		done(im);
}

/* Both: read.c had the arguments parsed up to the last message. */
void
append_run(struct imap *im, struct slice args)
{
	(void)args;
	command_end(im, messages_append);
}

void
replace_run(struct imap *im, struct slice args)
{
	(void)args;
	command_end(im, message_replace);
}
