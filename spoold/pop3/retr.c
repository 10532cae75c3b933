/*
 * RETR and TOP (RFC 1939 5, 7): a message from the spool to the client in pieces, dots stuffed. Called by command.c. The
 * message is looked through before the first byte goes out: how far TOP shows it, what of it a client must not be
 * given as it stands. What fails after "+OK" can only end the session.
 *
 * Changed on the way: NUL becomes 0x80, since clients hang on it; a header that nothing ends gets its empty line,
 * since clients wait for it; and for a client that did not say UTF8 headers become ASCII (RFC 6856 2.1, RFC 6858).
 */
#include <unistd.h>

#include "frame.h"
#include "log.h"
#include "mime/mime.h"
#include "mime/surrogate.h"
#include "pop3/pop3.h"

#define RETR_PIECE_BYTES	(32 * 1024)
#define RETR_EDITS_MAX_BYTES	(64 * 1024 * 1024)	/* of all headers made ASCII: their arena is SESSION_COMMAND_MAX_BYTES */

/* How much of a message is shown. */
struct top {
	uint64_t	lines;		/* still to show of the body; RETR_ALL: all */
	bool		in_header;
	uint64_t	line_bytes;	/* of the line so far, its LF not counted */
	bool		ends_in_cr;
	bool		is_done;
};

/* A header block that is sent in another form. */
struct edit {
	uint64_t	at, bytes;	/* in the message */
	size_t		text_at, text_n;	/* in plan.text */
};

struct plan {
	int		 fd;
	uint64_t	 offset;	/* of the message in fd */
	uint64_t	 end;		/* bytes of the message that are shown */
	bool		 has_8bit;
	struct slice	 eoh;		/* what ends the header where nothing does */
	struct edit	*edits;		/* in the command's arena, ascending */
	size_t		 nedits;
	struct buf	 text;		/* owned */
};

/* How much of a piece is shown. */
static size_t
top_take(struct top *t, struct slice s)
{
	size_t i = 0;

	while (i < s.n && !t->is_done) {
		const char *lf = memchr(s.p + i, '\n', s.n - i);
		size_t n = lf != NULL ? (size_t)(lf - s.p) - i : s.n - i;

		if (!t->in_header && t->lines == RETR_ALL)
			return s.n;
		t->line_bytes += n;
		i += n;
		if (n > 0)
			t->ends_in_cr = s.p[i - 1] == '\r';
		if (lf == NULL)
			break;
		i++;
		if (!t->in_header)
			t->lines--;
		else if (t->line_bytes == 0 || (t->line_bytes == 1 && t->ends_in_cr))
			t->in_header = false;
		t->is_done = !t->in_header && t->lines == 0;
		t->line_bytes = 0;
		t->ends_in_cr = false;
	}
	return i;
}

/* Reads a piece of the message. 0, or -1. */
static int
piece_read(const struct plan *pl, uint64_t at, char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = pread(pl->fd, p, n, (off_t)(pl->offset + at));

		if (got <= 0)
			return -1;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* Looks through what is shown. 0, or -1 when it cannot be read. */
static int
plan_scan(struct plan *pl, uint64_t size, uint64_t lines)
{
	struct top top = {.lines = lines, .in_header = true};
	char piece[RETR_PIECE_BYTES];
	uint64_t at = 0;

	while (at < size && !top.is_done) {
		size_t n = size - at < sizeof(piece) ? (size_t)(size - at) : sizeof(piece);

		if (piece_read(pl, at, piece, n) == -1)
			return -1;
		n = top_take(&top, (struct slice){piece, n});
		pl->has_8bit = pl->has_8bit || surrogate_is_due((struct slice){piece, n});
		at += n;
	}
	pl->end = at;
	if (top.in_header)	/* old clients wait for the line that ends a header (oe-ns-eoh) */
		pl->eoh = top.line_bytes > 0 ? SLICE("\r\n\r\n") : SLICE("\r\n");
	return 0;
}

static struct mime_part *
part_next(struct mime_part *m)
{
	if (m->child != NULL)
		return m->child;
	while (m != NULL && m->next == NULL)
		m = m->parent;
	return m != NULL ? m->next : NULL;
}

static bool
part_edit(struct plan *pl, struct slice message, const struct mime_part *m)
{
	struct slice header = {message.p + m->header_at, m->header_bytes};
	struct edit *e = &pl->edits[pl->nedits];

	if (!surrogate_is_due(header))
		return true;
	*e = (struct edit){.at = m->header_at, .bytes = m->header_bytes, .text_at = pl->text.n};
	if (surrogate_header(header, &pl->text) == -1)
		return false;
	e->text_n = pl->text.n - e->text_at;
	pl->nedits++;
	return true;
}

/* The headers of the message and of its parts that are not ASCII. False: there is no room for that. */
static bool
plan_edit(struct plan *pl, struct arena *a)
{
	char *bytes = arena_alloc(a, pl->end, 1);
	struct slice message = {bytes, pl->end};
	struct mime_part *root = NULL, *m;
	size_t n = 0;

	if (bytes == NULL || piece_read(pl, 0, bytes, pl->end) == -1 || (root = mime_parse(message, a)) == NULL)
		return false;
	for (m = root; m != NULL; m = part_next(m))
		n++;
	if ((pl->edits = ARENA_NEW(a, struct edit, n)) == NULL)
		return false;
	for (m = root; m != NULL; m = part_next(m))
		if (!part_edit(pl, message, m))
			return false;
	return true;
}

static uint64_t
plan_bytes(const struct plan *pl)
{
	uint64_t n = pl->end + pl->eoh.n;
	size_t i;

	for (i = 0; i < pl->nedits; i++)
		n = n - pl->edits[i].bytes + pl->edits[i].text_n;
	return n;
}

/* What is sent, in order. */
struct sender {
	struct pop3		*p;
	struct frame_stuff	 stuff;
	struct buf		 out;	/* owned */
};

static int
send_bytes(struct sender *to, struct slice s)
{
	while (s.n > 0) {
		struct slice piece = {s.p, s.n < RETR_PIECE_BYTES ? s.n : RETR_PIECE_BYTES};

		buf_clear(&to->out);
		if (frame_stuff(&to->stuff, piece, &to->out) == -1)
			return -1;
		session_write(to->p->s, to->out.p, to->out.n);
		s.p += piece.n;
		s.n -= piece.n;
	}
	return 0;
}

/* The message as it stands from one place to another. 0, or -1 when it could not be read. */
static int
send_raw(struct sender *to, const struct plan *pl, uint64_t at, uint64_t end)
{
	char piece[RETR_PIECE_BYTES], *nul;

	while (at < end && !to->p->s->is_dead) {
		size_t n = end - at < sizeof(piece) ? (size_t)(end - at) : sizeof(piece);

		if (piece_read(pl, at, piece, n) == -1)
			return -1;
		for (nul = piece; (nul = memchr(nul, '\0', n - (size_t)(nul - piece))) != NULL;)
			*nul = (char)0x80;
		if (send_bytes(to, (struct slice){piece, n}) == -1)
			return -1;
		at += n;
	}
	return 0;
}

/* All of the answer after its first line. 0, or -1 when it could not be had. */
static int
plan_send(const struct plan *pl, struct pop3 *p)
{
	struct sender to = {.p = p, .out = buf_make(2 * RETR_PIECE_BYTES + 64)};
	uint64_t at = 0;
	int r = 0;
	size_t i;

	for (i = 0; i < pl->nedits && r == 0; i++) {
		const struct edit *e = &pl->edits[i];

		r = send_raw(&to, pl, at, e->at);
		if (r == 0)
			r = send_bytes(&to, (struct slice){pl->text.p + e->text_at, e->text_n});
		at = e->at + e->bytes;
	}
	if (r == 0)
		r = send_raw(&to, pl, at, pl->end);
	if (r == 0)
		r = send_bytes(&to, pl->eoh);
	buf_clear(&to.out);
	if (r == 0 && (r = frame_stuff_end(&to.stuff, &to.out)) == 0)
		session_write(p->s, to.out.p, to.out.n);
	buf_free(&to.out);
	return r;
}

static void
plan_serve(struct plan *pl, struct pop3 *p, const struct msg_info *m, uint64_t lines)
{
	bool is_all = lines == RETR_ALL;

	if (plan_scan(pl, m->size, lines) == -1) {
		session_puts(p->s, "-ERR [SYS/TEMP] message cannot be read\r\n");
		return;
	}
	if (pl->has_8bit && !p->s->who.is_utf8 && !plan_edit(pl, &p->s->command)) {
		session_puts(p->s, "-ERR [UTF8] message is too large to be made ASCII, say UTF8 before the login\r\n");
		return;
	}
	if (is_all)
		session_putf(p->s, "+OK %llu octets\r\n", (unsigned long long)plan_bytes(pl));
	else
		session_puts(p->s, "+OK top of message follows\r\n");
	if (plan_send(pl, p) == -1) {
		LOG("warn.pop3.read", log_slice("sid", p->s->who.sid), log_str("why", "short read"));
		p->s->end_why = "error";
		p->is_over = true;
	} else if (is_all && !p->s->is_dead) {
		maildrop_seen(p, m);
	}
}

void
retr_send(struct pop3 *p, const struct msg_info *m, uint64_t lines)
{
	struct plan pl = {.fd = -1, .eoh = SLICE(""), .text = buf_make(RETR_EDITS_MAX_BYTES)};

	switch (store_body_open(p->store, m, &pl.fd, &pl.offset)) {
	case STORE_OK:
		break;
	case STORE_DAMAGED:
		session_puts(p->s, "-ERR [SYS/PERM] message is damaged\r\n");
		return;
	default:
		session_puts(p->s, "-ERR [SYS/TEMP] message cannot be read\r\n");
		return;
	}
	plan_serve(&pl, p, m, lines);
	close(pl.fd);
	buf_free(&pl.text);
}
