/*
 * What a parked POP3 session is: the numbers of its view, its marks as runs or as bits, its count of faults. Pack and unpack
 * side by side. The state was in the lot's memory meanwhile: it is checked as if a stranger had sent it.
 */
#include "pop3/pop3.h"

#include "pack.h"

#define STATE_VERSION	2

enum { MARKS_RUNS, MARKS_BITS };

/* Runs of marks, counted no further than one past POP3_RANGES_MAX. */
static uint32_t
runs_count(const struct pop3 *p)
{
	uint32_t first, last = 0, n = 0;

	while (n <= POP3_RANGES_MAX && marks_run(p, last + 1, &first, &last))
		n++;
	return n;
}

bool
state_pack(const struct pop3 *p)
{
	struct buf *b = &p->s->state;
	uint32_t first, last = 0, n = runs_count(p);

	if (n > POP3_RANGES_MAX && p->marks.n > POP3_BITS_MAX_BYTES)
		return false;
	buf_clear(b);
	pack_u8(b, STATE_VERSION);
	pack_bytes(b, p->view.mailbox, sizeof(p->view.mailbox));
	pack_u32(b, p->view.uidvalidity);
	pack_u32(b, p->view.uidnext);
	pack_u64(b, p->view.modseq);
	pack_u64(b, p->view.expunge_modseq);
	pack_u32(b, p->view.recent_uid);
	pack_u32(b, p->count);
	pack_u8(b, (uint8_t)p->faults);
	pack_u8(b, (uint8_t)p->unknown);
	pack_u8(b, p->is_skipping);
	pack_u8(b, n > POP3_RANGES_MAX ? MARKS_BITS : MARKS_RUNS);
	if (n > POP3_RANGES_MAX) {
		pack_bytes(b, p->marks.p, p->marks.n);
		return pack_ok(b);
	}
	pack_u32(b, n);
	for (last = 0; marks_run(p, last + 1, &first, &last);) {
		pack_u32(b, first);
		pack_u32(b, last);
	}
	return pack_ok(b);
}

/* Runs ascend, with a message between them, inside 1 .. count. */
static bool
marks_unpack(struct pop3 *p, struct unpack *u)
{
	uint32_t n = unpack_u32(u), i, seq, before = 0;

	if (n > POP3_RANGES_MAX)
		return false;
	for (i = 0; i < n; i++) {
		uint32_t first = unpack_u32(u), last = unpack_u32(u);

		if (first == 0 || (i > 0 && first <= before + 1) || last < first || last > p->count)
			return false;
		for (seq = first; seq <= last; seq++)
			marks_set(p, seq);
		before = last;
	}
	return true;
}

/* As many bytes as there are marks, no bit beyond the last message, and more runs than would go as runs. */
static bool
bits_unpack(struct pop3 *p, struct unpack *u)
{
	if (p->marks.n > POP3_BITS_MAX_BYTES || u->n != p->marks.n)
		return false;
	unpack_bytes(u, p->marks.p, p->marks.n);
	return !u->bad && ((unsigned char)p->marks.p[p->count / 8] >> p->count % 8) == 0 && runs_count(p) > POP3_RANGES_MAX;
}

bool
state_unpack(struct pop3 *p, struct slice in)
{
	struct unpack u = unpack_make(in.p, in.n);
	uint8_t version = unpack_u8(&u), skipping, how;

	unpack_bytes(&u, p->view.mailbox, sizeof(p->view.mailbox));
	p->view.uidvalidity = unpack_u32(&u);
	p->view.uidnext = unpack_u32(&u);
	p->view.modseq = unpack_u64(&u);
	p->view.expunge_modseq = unpack_u64(&u);
	p->view.recent_uid = unpack_u32(&u);
	p->count = unpack_u32(&u);
	p->faults = unpack_u8(&u);
	p->unknown = unpack_u8(&u);
	skipping = unpack_u8(&u);
	how = unpack_u8(&u);
	if (u.bad || version != STATE_VERSION || skipping > 1 || how > MARKS_BITS || p->faults >= POP3_FAULTS_MAX || p->unknown >= POP3_UNKNOWN_MAX)
		return false;
	if (p->view.uidvalidity == 0 || p->view.uidnext == 0 || p->count >= p->view.uidnext || !marks_make(p))
		return false;
	p->is_skipping = skipping == 1;
	return (how == MARKS_RUNS ? marks_unpack(p, &u) : bits_unpack(p, &u)) && unpack_end(&u);
}
