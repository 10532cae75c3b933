/*
 * Delivery: an append under the directory's lock and nothing else; the index is never opened. Called by
 * spoold's delivery workers. What could not be written whole is cut off again; what could not be
 * committed is voided.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "pack.h"
#include "store/spool.h"

#define EXTRA_BYTES	(MBOXNAME_MAX_BYTES + 2 * ADDRESS_MAX_BYTES + 256)	/* names of a delivery, and its numbers */

/* With the log locked. */
static enum store_result
append(struct spool *s, const struct store_delivery *d, struct store_placed *out)
{
	struct record r = {.type = RECORD_MESSAGE, .uid = s->next_uid, .next_uid = s->next_uid + 1, .date_ms = d->date_ms,
	    .body_bytes = d->body.bytes};
	struct record_message m = {.sender = d->sender, .qid = d->qid, .naddressees = 1};
	struct buf extra = buf_make(EXTRA_BYTES);
	enum store_result done;

	if (s->next_uid >= UID_LAST)
		return STORE_LIMIT;
	memcpy(m.key, d->key, sizeof(m.key));
	memcpy(r.guid, d->guid, sizeof(r.guid));
	m.addressees[0] = (struct record_addressee){.mailbox = d->mailbox, .modseq = s->next_modseq, .uid = s->next_uid};
	record_message_pack(&extra, &m);
	r.extra = buf_slice(&extra);
	if ((out->log_fd = fcntl(s->write_fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		LOG("warn.store.log", log_str("user", s->user), log_str("step", "dup"), log_str("why", strerror(errno)));
		done = STORE_TEMP;
	} else
		done = pack_ok(&extra) ? spool_append(s, &r, 1, &d->body) : STORE_LIMIT;
	buf_free(&extra);
	out->uid = r.uid;
	out->modseq = r.modseq;
	out->partition = s->partition;
	return done;
}

enum store_result
store_deliver(const struct store_host *host, const struct store_delivery *d, struct store_placed *out)
{
	struct spool *s;
	enum store_result r;

	*out = (struct store_placed){.log_fd = -1};
	if (d->body.bytes > RECORD_BODY_MAX_BYTES)
		return STORE_LIMIT;
	if (spool_get(host, d->user, &s) != FOUND)
		return STORE_TEMP;
	if ((r = spool_lock(s)) == STORE_OK) {
		if ((r = spool_has_room(s, d->body.bytes)) == STORE_OK)
			r = append(s, d, out);
		spool_unlock(s);
	}
	spool_put(s);
	if (r != STORE_OK && out->log_fd >= 0) {
		close(out->log_fd);
		out->log_fd = -1;
	}
	return r;
}

void
store_void(const struct store_host *host, struct slice user, uint64_t modseq)
{
	struct record r = {.type = RECORD_VOID, .date_ms = now_ms()};
	struct buf extra = buf_make(sizeof(modseq));
	struct spool *s;

	pack_u64(&extra, modseq);
	r.extra = buf_slice(&extra);
	if (spool_get(host, user, &s) == FOUND) {
		if (spool_lock(s) == STORE_OK) {
			/* What this fails to say, the MTA's repeat and the delivery key make harmless. */
			if (spool_append(s, &r, 1, NULL) != STORE_OK)
				LOG("warn.store.void", log_slice("user", user), log_u64("modseq", modseq));
			spool_unlock(s);
		}
		spool_put(s);
	}
	buf_free(&extra);
}
