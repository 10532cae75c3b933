/*
 * The message of an LMTP transaction: content bytes by DATA (RFC 5321 4.5.2, framed by frame.c) or
 * BDAT (RFC 3030), into the message holder, hashed into the delivery key on the way. Called by
 * lmtps.c. A message in trouble is read to its end and thrown away, so that framing is never lost.
 */
#include "lmtpsdata.h"

#include <assert.h>
#include <errno.h>

#include "lmtpreply.h"
#include "log.h"

static EVP_MD	*key_md;

void
lmtpsdata_setup(void)
{
	if (key_md == NULL && (key_md = EVP_MD_fetch(NULL, "SHA256", NULL)) == NULL)
		DIE(EXIT_TEMP, "fatal.digest", log_str("what", "SHA256"));
}

bool
lmtpsdata_is_room(const struct lmtps *s)
{
	const struct inflight	*f = s->conf->inflight;

	return f->used < f->max && s->mail.size <= f->max - f->used;
}

/* EVP calls fail only without memory. */
static void
key_check(int ok)
{
	if (ok != 1)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "digest"));
}

static void
message_fail(struct lmtps *s, enum lmtps_trouble trouble)
{
	if (s->trouble == LMTPS_FINE)
		s->trouble = trouble;
	spoolfile_reset(&s->message);
}

void
lmtpsdata_begin(struct lmtps *s)
{
	lmtpsdata_setup();
	if (s->md == NULL && (s->md = EVP_MD_CTX_new()) == NULL)
		key_check(0);
	s->dot = (struct frame_dot){.state = DOT_BOL};
	s->trouble = LMTPS_FINE;
	s->content_bytes = 0;
	key_check(EVP_DigestInit_ex2(s->md, key_md, NULL));
	/* With its NUL: sender and content never run together. */
	key_check(EVP_DigestUpdate(s->md, s->mail.from.text, strlen(s->mail.from.text) + 1));
	s->ops->trace(s, &s->message.mem);
	if (spoolfile_commit(&s->message) < 0)
		message_fail(s, LMTPS_FULL);
}

/* Takes over what was decoded into the holder from offset before on. */
static void
message_take(struct lmtps *s, size_t before)
{
	struct buf	*mem = &s->message.mem;
	size_t		 more = mem->n - before;

	s->content_bytes += more;
	if (s->trouble == LMTPS_FINE && s->content_bytes > s->conf->size_max)
		message_fail(s, LMTPS_BIG);
	if (s->trouble != LMTPS_FINE) {
		buf_clear(mem);
		return;
	}
	if (more > 0 && !s->mail.has_key)
		key_check(EVP_DigestUpdate(s->md, mem->p + before, more));
	if (spoolfile_commit(&s->message) < 0) {
		LOG("warn.lmtp.message", log_str("sid", s->sid), log_str("qid", s->qid),
		    log_str("why", strerror(errno)));
		message_fail(s, LMTPS_FULL);
	}
}

bool
lmtpsdata_dot(struct lmtps *s, struct slice in, size_t *used_out)
{
	size_t		before = s->message.mem.n;
	enum parse	end;

	if (in.n > LMTPS_READ_BYTES)
		in.n = LMTPS_READ_BYTES;
	end = frame_dot(&s->dot, in, used_out, &s->message.mem);
	assert(end != PARSE_BAD);
	message_take(s, before);
	return end == PARSE_OK;
}

bool
lmtpsdata_chunk(struct lmtps *s, struct slice in, size_t *used_out)
{
	size_t	before = s->message.mem.n;
	bool	is_end;
	int	failed;

	if (in.n > LMTPS_READ_BYTES)
		in.n = LMTPS_READ_BYTES;
	if (in.n > s->chunk_left)
		in.n = (size_t)s->chunk_left;
	s->chunk_left -= in.n;
	*used_out = in.n;
	is_end = s->chunk_left == 0;
	if (s->is_void_chunk)
		return is_end;
	failed = frame_chunk(&s->dot, in, is_end && s->is_last_chunk, &s->message.mem);
	assert(failed == 0);
	message_take(s, before);
	return is_end;
}

void
lmtpsdata_end(struct lmtps *s)
{
	unsigned char	digest[EVP_MAX_MD_SIZE];

	if (s->dot.nuls > 0)
		message_fail(s, LMTPS_NUL);
	if (s->trouble == LMTPS_FINE && spoolfile_finish(&s->message) < 0)
		message_fail(s, LMTPS_FULL);
	if (s->trouble != LMTPS_FINE)
		return;
	if (s->dot.bare > 0)
		LOG("lmtp.repaired", log_str("sid", s->sid), log_str("qid", s->qid), log_u64("bare", s->dot.bare));
	if (s->mail.has_key) {
		memcpy(s->key, s->mail.key, sizeof(s->key));
		return;
	}
	key_check(EVP_DigestFinal_ex(s->md, digest, NULL));
	memcpy(s->key, digest, sizeof(s->key));
}

void
lmtpsdata_trouble(const struct lmtps *s, struct reply *out)
{
	switch (s->trouble) {
	case LMTPS_FINE:
		assert(s->trouble != LMTPS_FINE);
		break;
	case LMTPS_NUL:
		reply_set(out, 554, "5.6.0 message contains a NUL");
		break;
	case LMTPS_BIG:
		reply_set(out, 552, "5.3.4 message too big");
		break;
	case LMTPS_FULL:
		reply_set(out, 452, "4.3.1 no room for the message now");
		break;
	}
}

void
lmtpsdata_reset(struct lmtps *s)
{
	spoolfile_reset(&s->message);
	s->chunk_left = 0;
	s->is_last_chunk = s->is_void_chunk = false;
	s->trouble = LMTPS_FINE;
}
