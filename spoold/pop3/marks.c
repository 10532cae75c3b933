/*
 * The marks of DELE (RFC 1939 5): a bit for each message of the maildrop, so that marking costs the same whatever is
 * marked. Called by all of pop3/. Never touches the spool: only QUIT makes marks true.
 */
#include "pop3/pop3.h"

bool
marks_make(struct pop3 *p)
{
	size_t bytes = p->count / 8 + 1;

	if (p->count > POP3_MESSAGES_MAX)
		return false;
	p->marks = buf_make(POP3_MESSAGES_MAX / 8 + 1);
	if (buf_room(&p->marks, bytes) == NULL)
		return false;
	memset(p->marks.p, 0, bytes);
	p->marks.n = bytes;
	return true;
}

bool
marks_has(const struct pop3 *p, uint32_t seq)
{
	return ((unsigned char)p->marks.p[(seq - 1) / 8] >> (seq - 1) % 8 & 1) != 0;
}

void
marks_set(struct pop3 *p, uint32_t seq)
{
	p->marks.p[(seq - 1) / 8] = (char)(p->marks.p[(seq - 1) / 8] | 1 << (seq - 1) % 8);
}

void
marks_clear(struct pop3 *p)
{
	memset(p->marks.p, 0, p->marks.n);
}

bool
marks_run(const struct pop3 *p, uint32_t seq, uint32_t *first_out, uint32_t *last_out)
{
	while (seq <= p->count && !marks_has(p, seq)) {
		if ((seq - 1) % 8 == 0 && p->marks.p[(seq - 1) / 8] == 0)
			seq += 8;
		else
			seq++;
	}
	if (seq > p->count)
		return false;
	*first_out = *last_out = seq;
	while (*last_out < p->count && marks_has(p, *last_out + 1))
		(*last_out)++;
	return true;
}
