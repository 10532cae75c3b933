/*
 * Collects what a search found and writes it as a sequence set. Called by search.c, esearch.c and sort.c.
 * Sixteen bytes a message: a million fit the command's arena with room. RFC 3501 9, RFC 9051 7.3.4.
 */
#include "imap/found.h"

#define FOUND_FIRST	256	/* messages; doubled when full */

struct found
found_make(size_t most)
{
	return (struct found){.most = most};
}

bool
found_add(struct found *f, struct arena *arena, const struct msg_info *m)
{
	if (f->n == f->cap) {
		size_t			 cap = f->cap == 0 ? FOUND_FIRST : f->cap * 2;
		struct found_msg	*msgs = ARENA_NEW(arena, struct found_msg, cap);

		if (msgs == NULL)
			return false;
		if (f->n > 0)
			memcpy(msgs, f->msgs, f->n * sizeof(*msgs));
		f->msgs = msgs;
		f->cap = cap;
	}
	f->msgs[f->n++] = (struct found_msg){m->uid, m->seq, m->modseq};
	return true;
}

uint64_t
found_modseq(const struct found *f, size_t from, size_t to)
{
	uint64_t	modseq = 0;

	for (; from < to; from++)
		if (f->msgs[from].modseq > modseq)
			modseq = f->msgs[from].modseq;
	return modseq;
}

void
found_modseq_put(struct session *s, const struct found *f)
{
	if (f->has_modseq && f->n > 0)
		session_putf(s, " (MODSEQ %llu)", (unsigned long long)found_modseq(f, 0, f->n));
}

void
found_set_put(struct session *s, const struct found *f, size_t from, size_t to, bool is_uid)
{
	const char	*comma = "";

	while (from < to) {
		uint32_t	first = found_number(&f->msgs[from++], is_uid), last = first;

		while (from < to && found_number(&f->msgs[from], is_uid) == last + 1) {
			last++;
			from++;
		}
		if (last == first)
			session_putf(s, "%s%u", comma, first);
		else
			session_putf(s, "%s%u:%u", comma, first, last);
		comma = ",";
	}
}
