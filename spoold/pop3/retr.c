/*
 * RETR and TOP (RFC 1939 5, 7): a message from the spool to the client in pieces, dots stuffed. Called by command.c. The
 * body's checksum was tested before the first byte goes out; what fails after "+OK" can only end the session.
 */
#include <unistd.h>

#include "frame.h"
#include "log.h"
#include "pop3/pop3.h"

#define RETR_PIECE_BYTES	(32 * 1024)

/* How much of a message TOP shows. */
struct top {
	uint64_t	lines;		/* still to show of the body */
	bool		in_header;
	uint64_t	line_bytes;	/* of the line so far, its LF not counted */
	bool		ends_in_cr;
	bool		is_done;
};

/* How much of a piece is shown. */
static size_t
top_take(struct top *t, struct slice s)
{
	size_t i;

	for (i = 0; i < s.n && !t->is_done; i++) {
		if (s.p[i] != '\n') {
			t->line_bytes++;
			t->ends_in_cr = s.p[i] == '\r';
			continue;
		}
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

static void
retr_broken(struct pop3 *p, const char *why)
{
	LOG("warn.pop3.read", log_slice("sid", p->s->who.sid), log_str("why", why));
	p->s->end_why = "error";
	p->is_over = true;
}

/* The bytes of the message, then the end of the answer. False when they could not be had. */
static bool
retr_body(struct pop3 *p, int fd, uint64_t offset, uint64_t bytes, struct top *top, struct buf *out)
{
	struct frame_stuff stuff = {.is_mid_line = false};
	char piece[RETR_PIECE_BYTES];

	while (bytes > 0 && !(top != NULL && top->is_done)) {
		size_t want = bytes < sizeof(piece) ? (size_t)bytes : sizeof(piece);
		ssize_t n = pread(fd, piece, want, (off_t)offset);
		struct slice shown = {piece, n < 0 ? 0 : (size_t)n};

		if (n <= 0)
			return false;
		offset += shown.n;
		bytes -= shown.n;
		if (top != NULL)
			shown.n = top_take(top, shown);
		buf_clear(out);
		if (frame_stuff(&stuff, shown, out) == -1)
			return false;
		if (session_write(p->s, out->p, out->n) == -1)
			return true;
	}
	buf_clear(out);
	if (top != NULL && top->in_header) {	/* old clients wait for the line that ends a header (oe-ns-eoh) */
		if (frame_stuff(&stuff, top->line_bytes > 0 ? SLICE("\r\n\r\n") : SLICE("\r\n"), out) == -1)
			return false;
	}
	if (frame_stuff_end(&stuff, out) == -1)
		return false;
	session_write(p->s, out->p, out->n);
	return true;
}

void
retr_send(struct pop3 *p, const struct msg_info *m, uint64_t lines)
{
	struct top top = {.lines = lines, .in_header = true};
	struct buf out = buf_make(2 * RETR_PIECE_BYTES + 64);
	bool is_all = lines == RETR_ALL;
	uint64_t offset;
	int fd;

	switch (store_body_open(p->store, m, &fd, &offset)) {
	case STORE_OK:
		break;
	case STORE_DAMAGED:
		session_puts(p->s, "-ERR [SYS/PERM] message is damaged\r\n");
		return;
	default:
		session_puts(p->s, "-ERR [SYS/TEMP] message cannot be read\r\n");
		return;
	}
	if (is_all)
		session_putf(p->s, "+OK %llu octets\r\n", (unsigned long long)m->size);
	else
		session_puts(p->s, "+OK top of message follows\r\n");
	if (!retr_body(p, fd, offset, m->size, is_all ? NULL : &top, &out))
		retr_broken(p, "short read");
	else if (is_all && !p->s->is_dead)
		maildrop_seen(p, m);
	close(fd);
	buf_free(&out);
}
