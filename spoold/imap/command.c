/*
 * The table of commands and the few that need no file of their own. Called by imap.c with a whole
 * command in hand. Never reads input. RFC 3501 6; RFC 2971 (ID).
 */
#include "imap/command.h"

#include "imap/append.h"
#include "imap/copy.h"
#include "imap/enable.h"
#include "imap/fetch.h"
#include "imap/idle.h"
#include "imap/list.h"
#include "imap/mailbox.h"
#include "imap/metadata.h"
#include "imap/multisearch.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/select.h"
#include "imap/sort.h"
#include "imap/status.h"
#include "imap/store_cmd.h"
#include "imap/thread.h"
#include "imap/untagged.h"
#include "imap/watch.h"
#include "log.h"

/* RFC 2971 3.3 */
#define ID_PAIRS_MAX		30
#define ID_FIELD_MAX_BYTES	30
#define ID_VALUE_MAX_BYTES	1024
#define ID_LOGGED_MAX_BYTES	64	/* of a value, once a session */

/* APPENDLIMIT's number is IMAP_APPEND_MAX_BYTES; a test holds them equal. SASL-IR, AUTH=, STARTTLS are the edge's. */
const char	imap_capabilities[] = "IMAP4rev1 LITERAL+"
    " APPENDLIMIT=104857600"
    " BINARY"
    " CATENATE"
    " CHILDREN"
    " CONDSTORE"
    " CREATE-SPECIAL-USE"
    " ENABLE"
    " ESEARCH"
    " ESORT"
    " I18NLEVEL=1"
    " ID"
    " IDLE"
    " IMAP4rev2"
    " LIST-EXTENDED"
    " LIST-STATUS"
    " METADATA"
    " MOVE"
    " MULTIAPPEND"
    " MULTISEARCH"
    " NAMESPACE"
    " NOTIFY"
    " OBJECTID"
    " PARTIAL"
    " PREVIEW"
    " QRESYNC"
    " REPLACE"
    " SAVEDATE"
    " SEARCHRES"
    " SORT"
    " SORT=DISPLAY"
    " SPECIAL-USE"
    " STATUS=SIZE"
    " THREAD=ORDEREDSUBJECT"
    " THREAD=REFERENCES"
    " UIDPLUS"
    " UNSELECT"
    " UTF8=ACCEPT"
    " WITHIN"
    " XLIST";

static void
capability_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "CAPABILITY takes no arguments");
		return;
	}
	session_putf(im->s, "* CAPABILITY %s\r\n", imap_capabilities);
	imap_ok(im, "CAPABILITY completed");
}

static void
noop_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK)
		imap_bad(im, "It takes no arguments");
	else
		imap_ok(im, "Completed");
}

static void
logout_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK) {
		imap_bad(im, "LOGOUT takes no arguments");
		return;
	}
	imap_unselect(im);
	imap_bye(im, "logout", "Logging out");
	session_putf(im->s, "%s OK LOGOUT completed\r\n", im->tag);
}

static void
late_run(struct imap *im, struct slice args)
{
	(void)args;
	imap_bad(im, "You are logged in already");
}

/* id_params_list = "(" #(string SP nstring) ")" / nil */
static enum parse
parse_id(struct slice *cur, struct arena *arena, struct slice *name_out, struct slice *version_out)
{
	size_t	npairs = 0;

	if (parse_word(cur, "NIL") == PARSE_OK)
		return PARSE_OK;
	if (parse_byte(cur, '(') != PARSE_OK)
		return PARSE_BAD;
	while (parse_byte(cur, ')') != PARSE_OK) {
		struct slice	field, value;

		if (npairs++ == ID_PAIRS_MAX || (npairs > 1 && parse_sp(cur) != PARSE_OK) ||
		    parse_string(cur, arena, &field) != PARSE_OK || field.n > ID_FIELD_MAX_BYTES ||
		    parse_sp(cur) != PARSE_OK || parse_nstring(cur, arena, &value) != PARSE_OK ||
		    value.n > ID_VALUE_MAX_BYTES)
			return PARSE_BAD;
		if (slice_is_nocase(field, SLICE("name")))
			*name_out = value;
		else if (slice_is_nocase(field, SLICE("version")))
			*version_out = value;
	}
	return PARSE_OK;
}

/* For the log. */
static struct slice
cut(struct slice s)
{
	return (struct slice){s.p, s.n < ID_LOGGED_MAX_BYTES ? s.n : ID_LOGGED_MAX_BYTES};
}

static void
id_run(struct imap *im, struct slice args)
{
	struct slice	name = SLICE(""), version = SLICE("");

	if (parse_sp(&args) != PARSE_OK || parse_id(&args, imap_arena(im), &name, &version) != PARSE_OK ||
	    parse_end(&args) != PARSE_OK) {
		imap_bad(im, "ID (\"field\" \"value\" ...): not understood");
		return;
	}
	if (!im->is_id_logged)
		LOG("client.id", log_slice("sid", im->s->who.sid), log_slice("name", cut(name)), log_slice("version", cut(version)));
	im->is_id_logged = true;
	session_puts(im->s, "* ID (\"name\" \"twinspool\" \"version\" \"" TS_VERSION "\")\r\n");
	imap_ok(im, "ID completed");
}

static void
idle_run(struct imap *im, struct slice args)
{
	if (parse_end(&args) != PARSE_OK)
		imap_bad(im, "IDLE takes no arguments");
	else
		idle_begin(im);
}

enum {
	CMD_SELECTED = 1,	/* only with a mailbox selected */
	CMD_UID = 2,		/* also as UID ... */
	CMD_NO_EXPUNGE = 4,	/* without UID, EXPUNGE must not be told (RFC 3501 7.4.1) */
	CMD_EXPUNGES = 16,	/* its own expunges are part of its answer */
	CMD_SYNC = 8,		/* changes are told before, so that its sets name what the client may know */
};

static const struct command {
	const char	*name;
	unsigned	 how;
	void		(*run)(struct imap *, struct slice args);
} commands[] = {
	{"APPEND", 0, append_run},
	{"AUTHENTICATE", 0, late_run},
	{"CAPABILITY", 0, capability_run},
	{"CHECK", CMD_SELECTED, noop_run},
	{"CLOSE", CMD_SELECTED, close_run},
	{"COPY", CMD_SELECTED | CMD_UID | CMD_SYNC, copy_run},
	{"CREATE", 0, create_run},
	{"DELETE", 0, delete_run},
	{"ENABLE", 0, enable_run},
	{"ESEARCH", CMD_UID | CMD_SYNC, multisearch_run},
	{"EXAMINE", 0, examine_run},
	{"EXPUNGE", CMD_SELECTED | CMD_UID | CMD_EXPUNGES, expunge_run},
	{"FETCH", CMD_SELECTED | CMD_UID | CMD_NO_EXPUNGE, fetch_run},
	{"GETMETADATA", 0, getmetadata_run},
	{"ID", 0, id_run},
	{"IDLE", 0, idle_run},
	{"LIST", 0, list_run},
	{"LOGIN", 0, late_run},
	{"LOGOUT", 0, logout_run},
	{"LSUB", 0, lsub_run},
	{"MOVE", CMD_SELECTED | CMD_UID | CMD_SYNC | CMD_EXPUNGES, move_run},
	{"NAMESPACE", 0, namespace_run},
	{"NOOP", 0, noop_run},
	{"NOTIFY", 0, watch_run},
	{"RENAME", 0, rename_run},
	{"REPLACE", CMD_SELECTED | CMD_UID | CMD_EXPUNGES, replace_run},
	{"SEARCH", CMD_SELECTED | CMD_UID | CMD_NO_EXPUNGE | CMD_SYNC, search_run},
	{"SELECT", 0, select_run},
	{"SETMETADATA", 0, setmetadata_run},
	{"SORT", CMD_SELECTED | CMD_UID | CMD_NO_EXPUNGE | CMD_SYNC, sort_run},
	{"STARTTLS", 0, late_run},
	{"STATUS", 0, status_run},
	{"STORE", CMD_SELECTED | CMD_UID | CMD_NO_EXPUNGE | CMD_SYNC, store_run},
	{"SUBSCRIBE", 0, subscribe_run},
	{"THREAD", CMD_SELECTED | CMD_UID | CMD_NO_EXPUNGE | CMD_SYNC, thread_run},
	{"UNSELECT", CMD_SELECTED, unselect_run},
	{"UNSUBSCRIBE", 0, unsubscribe_run},
	{"XLIST", 0, xlist_run},
};

static const struct command *
command_find(struct slice name, bool is_uid)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (slice_is_nocase(name, slice_of(commands[i].name)))
			return is_uid && (commands[i].how & CMD_UID) == 0 ? NULL : &commands[i];
	return NULL;
}

/* command = tag SP name ...; "UID" SP name ... */
static enum parse
parse_command(struct imap *im, struct slice *cur, const struct command **out)
{
	struct slice	name, tag;

	*out = NULL;
	if (im->tag[0] == '*' || parse_tag(cur, &tag) != PARSE_OK || parse_sp(cur) != PARSE_OK ||
	    parse_atom(cur, &name) != PARSE_OK)
		return PARSE_BAD;
	im->is_uid = slice_is_nocase(name, SLICE("UID"));
	if (im->is_uid && (parse_sp(cur) != PARSE_OK || parse_atom(cur, &name) != PARSE_OK))
		return PARSE_BAD;
	*out = command_find(name, im->is_uid);
	return PARSE_OK;
}

void
imap_command_run(struct imap *im)
{
	struct slice		 cur = buf_slice(&im->text);
	const struct command	*command;

	if (parse_command(im, &cur, &command) != PARSE_OK) {
		imap_bad(im, "A tag and a command are expected");
		return;
	}
	if (command == NULL) {
		imap_bad(im, "Unknown command");
		return;
	}
	if ((command->how & CMD_SELECTED) != 0 && !im->is_selected) {
		imap_bad(im, "No mailbox is selected");
		return;
	}
	im->may_expunge = im->is_uid || (command->how & CMD_NO_EXPUNGE) == 0;
	im->modseq_before = im->view.modseq;
	if ((command->how & CMD_SYNC) != 0 && !untagged_sync(im, false))
		return;
	im->is_expunging = (command->how & CMD_EXPUNGES) != 0;
	command->run(im, cur);
}
