/*
 * The sent date, and the envelope it is in. Called by sort.c and thread.c. RFC 5256 2.2.
 */
#include "imap/sent.h"

int64_t
sent_arrival(const struct msg_info *m)
{
	return m->date_ms >= 0 ? m->date_ms / 1000 : (m->date_ms - 999) / 1000;
}

int64_t
sent_of(const struct envelope *e, const struct msg_info *m)
{
	int64_t	utc_s;

	return e->date.p != NULL && mime_sent_date(e->date, &utc_s) ? utc_s : sent_arrival(m);
}

bool
sent_envelope(struct content *c, struct envelope *out)
{
	struct slice	text;

	if (content_envelope(c, &text) == STORE_OK && parse_envelope(&text, &c->arena, out) == PARSE_OK)
		return true;
	*out = (struct envelope){0};
	return false;
}
