/*
 * Messages being put together. Pure but for memory.
 */
#include "import/message.h"

#include <string.h>

void
message_begin(struct import_message *m)
{
	struct buf bytes = m->bytes;

	if (bytes.cap != IMPORT_MESSAGE_MAX_BYTES)
		bytes = buf_make(IMPORT_MESSAGE_MAX_BYTES);
	buf_clear(&bytes);
	memset(m, 0, sizeof(*m));
	m->bytes = bytes;
}

void
message_free(struct import_message *m)
{
	buf_free(&m->bytes);
}

static void
put(struct import_message *m, const char *p, size_t n)
{
	if (n > 0 && !m->is_too_large && buf_add(&m->bytes, p, n) != 0)
		m->is_too_large = true;
}

static void
put_nul(struct import_message *m)
{
	put(m, "\x80", 1);
	m->nuls++;
}

void
message_add(struct import_message *m, struct slice s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (m->has_cr && c != '\n') {
			put(m, s.p + from, i - from);
			put(m, "\n", 1);
			from = i;
		} else if (!m->has_cr && c == '\n') {
			put(m, s.p + from, i - from);
			put(m, "\r", 1);
			from = i;
		} else if (c == '\0') {
			put(m, s.p + from, i - from);
			put_nul(m);
			from = i + 1;
		}
		m->has_cr = c == '\r';
	}
	put(m, s.p + from, s.n - from);
}

void
message_end(struct import_message *m)
{
	if (m->has_cr)
		put(m, "\n", 1);
	m->has_cr = false;
}

/* RFC 3501: an atom without a backslash in front; the store has its own limit of length. */
static bool
is_keyword(struct slice w)
{
	if (w.n == 0 || w.n > 64)
		return false;
	for (size_t i = 0; i < w.n; i++)
		if ((unsigned char)w.p[i] <= ' ' || (unsigned char)w.p[i] >= 0x7f || strchr("(){%*\"\\]", w.p[i]) != NULL)
			return false;
	return true;
}

void
message_keyword(struct import_message *m, struct slice w)
{
	if (!is_keyword(w) || m->nkeywords == IMPORT_KEYWORDS_MAX || m->nwords + w.n > sizeof(m->words))
		return;
	memcpy(m->words + m->nwords, w.p, w.n);
	m->keywords[m->nkeywords++] = (struct slice){m->words + m->nwords, w.n};
	m->nwords += w.n;
}
