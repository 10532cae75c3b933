/*
 * Which kind of mailbox it is, and the way to its reader.
 */
#include "import/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum import_kind
reader_kind(int fd)
{
	char head[256];
	int64_t date;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return IMPORT_UNKNOWN;
	if (S_ISDIR(st.st_mode))
		return faccessat(fd, "cur", F_OK, 0) == 0 ? IMPORT_MAILDIR : IMPORT_UNKNOWN;
	if (!S_ISREG(st.st_mode) || (n = pread(fd, head, sizeof(head), 0)) < 0)
		return IMPORT_UNKNOWN;
	if (n >= 7 && memcmp(head, "*mbx*\r\n", 7) == 0)
		return IMPORT_MBX;
	/* Nothing is a mailbox without messages. */
	return n == 0 || mbox_from_line((struct slice){head, (size_t)n}, &date) ? IMPORT_MBOX : IMPORT_UNKNOWN;
}

int
reader_open(struct reader *r, enum import_kind kind, int fd, const char *place)
{
	struct stat st;
	int done = -1;

	*r = (struct reader){.kind = kind, .fd = fd};
	errno = EINVAL;
	if (fstat(fd, &st) == 0) {
		r->date_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		r->bytes = (uint64_t)st.st_size;
		done = kind == IMPORT_MBOX ? mbox_open(r, place) : kind == IMPORT_MBX ? mbx_open(r, place) :
		    kind == IMPORT_MAILDIR ? maildir_open(r, place) : -1;
	}
	if (done != 0)
		reader_close(r);
	return done;
}

enum import_got
reader_next(struct reader *r, struct import_message *m)
{
	enum import_got got;

	message_begin(m);
	got = r->kind == IMPORT_MBOX ? mbox_next(r, m) : r->kind == IMPORT_MBX ? mbx_next(r, m) : maildir_next(r, m);
	message_end(m);
	if (got == IMPORT_MESSAGE && m->date_ms == 0)
		m->date_ms = r->date_ms;
	if (got == IMPORT_MESSAGE && m->is_too_large) {
		r->why = "message is too large";
		return IMPORT_BAD;
	}
	return got;
}

void
reader_close(struct reader *r)
{
	if (r->kind == IMPORT_MAILDIR)
		maildir_close(r);
	free(r->state);
	r->state = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
