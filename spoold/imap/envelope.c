/*
 * Parses ENVELOPE's list. Called by sort.c and thread.c with what content.c gives, so that the one cache serves
 * FETCH, SORT and THREAD. Pure. RFC 3501 9.
 */
#include "imap/envelope.h"

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")" ; each nstring */
static enum parse
parse_address(struct slice *cur, struct arena *arena, struct envelope_address *out)
{
	struct slice	adl;

	if (parse_byte(cur, '(') != PARSE_OK || parse_nstring(cur, arena, &out->name) != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_nstring(cur, arena, &adl) != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_nstring(cur, arena, &out->mailbox) != PARSE_OK ||
	    parse_sp(cur) != PARSE_OK || parse_nstring(cur, arena, &out->host) != PARSE_OK)
		return PARSE_BAD;
	return parse_byte(cur, ')');
}

/* env-from = "(" 1*address ")" / nil ; and so the others; SP before it */
static enum parse
parse_addresses(struct slice *cur, struct arena *arena, struct envelope_address *out)
{
	struct envelope_address	other;

	*out = (struct envelope_address){{NULL, 0}, {NULL, 0}, {NULL, 0}};
	if (parse_sp(cur) != PARSE_OK)
		return PARSE_BAD;
	if (parse_word(cur, "NIL") == PARSE_OK)
		return PARSE_OK;
	if (parse_byte(cur, '(') != PARSE_OK || parse_address(cur, arena, out) != PARSE_OK)
		return PARSE_BAD;
	while (parse_byte(cur, ')') != PARSE_OK)
		if (parse_address(cur, arena, &other) != PARSE_OK)
			return PARSE_BAD;
	return PARSE_OK;
}

/*
 * envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
 * env-in-reply-to SP env-message-id ")"
 */
enum parse
parse_envelope(struct slice *cur, struct arena *arena, struct envelope *out)
{
	struct slice		s = *cur;
	struct envelope_address	other;

	if (parse_byte(&s, '(') != PARSE_OK || parse_nstring(&s, arena, &out->date) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK || parse_nstring(&s, arena, &out->subject) != PARSE_OK ||
	    parse_addresses(&s, arena, &out->from) != PARSE_OK || parse_addresses(&s, arena, &other) != PARSE_OK ||
	    parse_addresses(&s, arena, &other) != PARSE_OK || parse_addresses(&s, arena, &out->to) != PARSE_OK ||
	    parse_addresses(&s, arena, &out->cc) != PARSE_OK || parse_addresses(&s, arena, &other) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK || parse_nstring(&s, arena, &out->in_reply_to) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK || parse_nstring(&s, arena, &out->message_id) != PARSE_OK ||
	    parse_byte(&s, ')') != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}
