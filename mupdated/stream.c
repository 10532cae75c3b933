/*
 * Dumps and streams. A dump comes from the map in pieces, each asked for when the one before went out, so a
 * slow client holds nothing up but itself. Changes that the map tells from the first piece on wait until
 * the dump's OK and follow it in their order: the stream has every change that the dump may have missed,
 * and a DELETE never comes before the OK (RFC 3656 3.7).
 */
#include "stream.h"

#include <string.h>

#include "net.h"

#define WIRE_MAX_BYTES	(4 * MBOXNAME_MAX_BYTES)
/* A line: tag, word, name, location, acl and their marks. */
#define ENTRY_LINE_BYTES	(256 + WIRE_MAX_BYTES + LOCATION_MAX_BYTES + ACL_MAX_BYTES)

/* UPDATE's hosts are compared whole with what stands before '!'. */
static bool
host_is_wanted(const struct conn *c, struct slice location)
{
	const char *bang = location.n > 0 ? memchr(location.p, '!', location.n) : NULL;
	struct slice host = {location.p, bang != NULL ? (size_t)(bang - location.p) : location.n};

	if (c->hosts.n == 0)
		return true;
	if (location.n == 0)
		return false;
	for (size_t at = 0; at < c->hosts.n; at += strlen(c->hosts.p + at) + 1)
		if (slice_is_nocase(host, slice_of(c->hosts.p + at)))
			return true;
	return false;
}

static bool
line_write(struct conn *c, struct buf *to, const char *tag, const char *word, const struct loc_entry *e, bool whole)
{
	struct buf line = buf_make(ENTRY_LINE_BYTES);
	char wire[WIRE_MAX_BYTES];
	long n = mutf7_encode(e->name, wire, sizeof(wire));
	bool ok = n > 0 && buf_addf(&line, "%s %s", tag, word) == 0 &&
	    mupdate_string_add(&line, 0, (struct slice){wire, (size_t)n}) == 0;

	if (ok && whole)
		ok = mupdate_string_add(&line, 0, e->location) == 0 &&
		    (e->state != LOC_ACTIVE || mupdate_string_add(&line, 0, e->acl) == 0);
	ok = ok && buf_add(&line, "\r\n", 2) == 0;
	if (!ok)
		conn_bye(c, tag, "an entry cannot be sent", "entry");
	else
		ok = conn_append(c, to, buf_slice(&line));
	buf_free(&line);
	return ok;
}

static bool
entry_write(struct conn *c, struct buf *to, const char *tag, const struct loc_entry *e)
{
	return line_write(c, to, tag, e->state == LOC_ACTIVE ? "MAILBOX" : "RESERVE", e, true);
}

void
stream_go_on(struct conn *c)
{
	struct net *net = c->net;

	if (!c->wants_piece || c->state == CONN_ENDING || c->out.n >= CONN_OUT_HIGH_BYTES)
		return;
	c->wants_piece = false;
	verb_pack_dump(&net->out, &(struct verb_dump){c->id, {c->after.s, c->after.n}, {c->prefix, c->prefix_n}});
	net_send(net);
}

void
stream_dump(struct conn *c, bool is_update, struct slice prefix, const struct slice *hosts, size_t nhosts)
{
	c->is_busy = true;
	c->is_dump = true;
	c->wants_piece = true;
	c->has_first = false;
	c->after.n = 0;
	memcpy(c->prefix, prefix.p, prefix.n);
	c->prefix_n = prefix.n;
	if (is_update) {
		c->state = CONN_DUMPING;
		memcpy(c->stream_tag, c->tag, sizeof(c->stream_tag));
		for (size_t i = 0; i < nhosts; i++)
			if (!conn_append(c, &c->hosts, hosts[i]) || !conn_append(c, &c->hosts, SLICE("\0")))
				return;
	}
	stream_go_on(c);
}

/* The last piece of a dump was written. */
static void
dump_done(struct conn *c)
{
	c->is_busy = false;
	c->is_dump = false;
	if (c->state != CONN_DUMPING) {
		conn_reply(c, c->tag, "OK", "list complete");
		return;
	}
	c->state = CONN_STREAMING;
	conn_reply(c, c->tag, "OK", "streaming starts");
	if (c->pending.n > 0 && conn_append(c, &c->out, buf_slice(&c->pending)))
		buf_free(&c->pending);
}

void
stream_entries(struct conn *c, struct verb_entries *v)
{
	struct loc_entry e;
	enum lookup more;

	if (!c->is_busy || c->state == CONN_ENDING)
		return;
	c->has_first = true;
	while ((more = verb_entry_next(v, &e)) == FOUND)
		if (host_is_wanted(c, e.location) && !entry_write(c, &c->out, c->tag, &e))
			return;
	if (more != ABSENT) {
		conn_bye(c, c->tag, "the location map cannot be read", "entry");
	} else if (!c->is_dump) {
		c->is_busy = false;
		conn_reply(c, c->tag, "OK", "Search completed");
	} else if (v->is_done) {
		dump_done(c);
	} else {
		memcpy(c->after.s, v->last.p, v->last.n);
		c->after.n = v->last.n;
		c->wants_piece = true;
	}
}

void
stream_change(struct conn *c, const struct verb_change *v)
{
	struct buf *to = c->state == CONN_STREAMING ? &c->out : &c->pending;
	size_t backlog = c->net->config->update_backlog_max_bytes;

	if (c->state != CONN_STREAMING && !(c->state == CONN_DUMPING && c->has_first))
		return;
	/* What leaves the hosts asked for is told once more, with its new place. */
	if (!host_is_wanted(c, v->entry.location) && !host_is_wanted(c, v->old_location))
		return;
	if (to->n > backlog) {
		conn_bye(c, c->stream_tag, "reading too slowly", "backlog");
		return;
	}
	if (v->is_deleted)
		(void)line_write(c, to, c->stream_tag, "DELETE", &v->entry, false);
	else
		(void)entry_write(c, to, c->stream_tag, &v->entry);
}
