/*
 * ENVELOPE of a header block (RFC 3501 7.4.2, RFC 9051 7.5.2). Called by IMAP's FETCH and by
 * bodystructure.c for encapsulated messages. One pass over the header finds the ten fields; encoded
 * words and dates are told as they stand.
 */
#include "mime/addrlist.h"
#include "mime/header.h"
#include "mime/mime.h"
#include "mime/text.h"

enum { ENV_DATE, ENV_SUBJECT, ENV_FROM, ENV_SENDER, ENV_REPLY_TO, ENV_TO, ENV_CC, ENV_BCC, ENV_IN_REPLY_TO, ENV_MESSAGE_ID,
    ENV_FIELDS };

static const struct {
	const char	*name;
	bool		 is_list;	/* of addresses */
	bool		 is_many;	/* later ones add to the first (RFC 5322 4.5.3) */
} env_fields[ENV_FIELDS] = {
	[ENV_DATE] = {"date", false, false},
	[ENV_SUBJECT] = {"subject", false, false},
	[ENV_FROM] = {"from", true, false},
	[ENV_SENDER] = {"sender", true, false},
	[ENV_REPLY_TO] = {"reply-to", true, false},
	[ENV_TO] = {"to", true, true},
	[ENV_CC] = {"cc", true, true},
	[ENV_BCC] = {"bcc", true, true},
	[ENV_IN_REPLY_TO] = {"in-reply-to", false, false},
	[ENV_MESSAGE_ID] = {"message-id", false, false},
};

struct env_value {
	struct slice		 value;
	struct env_value	*next;
};

struct env_chain {
	struct env_value	*first, *last;
};

static int
fields_find(struct slice header, struct arena *arena, struct env_chain *chains)
{
	struct header_field f;
	size_t i;

	while (header_next(&header, &f)) {
		struct env_value *v;

		for (i = 0; i < ENV_FIELDS && !slice_is_nocase(f.name, slice_of(env_fields[i].name)); i++)
			;
		if (i == ENV_FIELDS || (chains[i].first != NULL && !env_fields[i].is_many))
			continue;
		if ((v = ARENA_NEW(arena, struct env_value, 1)) == NULL)
			return -1;
		v->value = f.value;
		if (chains[i].first == NULL)
			chains[i].first = v;
		else
			chains[i].last->next = v;
		chains[i].last = v;
	}
	return 0;
}

/* "(" 1*address ")" / nil; *some_out: was there an address? */
static int
list_put(const struct env_chain *chain, struct buf *out, bool *some_out)
{
	size_t left = MIME_ADDRESSES_MAX, begin = out->n;
	const struct env_value *v;

	if (buf_add_str(out, "(") == -1)
		return -1;
	for (v = chain->first; v != NULL; v = v->next)
		if (addrlist_put(v->value, &left, out) == -1)
			return -1;
	*some_out = out->n > begin + 1;
	if (*some_out)
		return buf_add_str(out, ")");
	out->n = begin;
	return buf_add_str(out, "NIL");
}

static int
field_put(const struct env_chain *chains, int i, struct buf *out)
{
	size_t begin = out->n;
	bool some = false;

	if (!env_fields[i].is_list) {
		if (chains[i].first == NULL)
			return buf_add_str(out, "NIL");
		return text_put(out, text_make(TEXT_UNFOLD, chains[i].first->value));
	}
	if (list_put(&chains[i], out, &some) == -1)
		return -1;
	if (!some && (i == ENV_SENDER || i == ENV_REPLY_TO)) {
		out->n = begin;
		return list_put(&chains[ENV_FROM], out, &some);
	}
	return 0;
}

int
mime_envelope(struct slice header, struct arena *arena, struct buf *out)
{
	struct env_chain chains[ENV_FIELDS] = {{NULL, NULL}};
	int i;

	if (fields_find(header, arena, chains) == -1 || buf_add_str(out, "(") == -1)
		return -1;
	for (i = 0; i < ENV_FIELDS; i++)
		if ((i > 0 && buf_add_str(out, " ") == -1) || field_put(chains, i, out) == -1)
			return -1;
	return buf_add_str(out, ")");
}
