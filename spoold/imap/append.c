/*
 * APPEND. read.c finds the message literal and hands its bytes here as they come: line ends become
 * CRLF, a small message stays in memory, a larger one goes to an unlinked file beside the spools.
 * RFC 3501 6.3.11, RFC 4315 3, RFC 7889.
 */
#include "imap/append.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imap/mailbox.h"
#include "imap/parse.h"
#include "log.h"

#define APPEND_PIECE_BYTES	(16 * 1024)	/* converted and written at a time */

struct append_args {
	struct slice		mailbox;
	struct flag_list	flags;
	bool			has_date;
	int64_t			date_ms;
};

/* SP mailbox [SP flag-list] [SP date-time] SP */
static enum parse
parse_append_head(struct slice *cur, struct arena *arena, struct append_args *out)
{
	struct slice	s = *cur;

	*out = (struct append_args){0};
	if (parse_sp(&s) != PARSE_OK || parse_astring(&s, arena, &out->mailbox) != PARSE_OK ||
	    parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_flag_list(&s, arena, &out->flags) == PARSE_OK && parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (s.n > 0 && s.p[0] == '"') {
		if (parse_date_time(&s, &out->date_ms) != PARSE_OK || parse_sp(&s) != PARSE_OK)
			return PARSE_BAD;
		out->has_date = true;
	}
	*cur = s;
	return PARSE_OK;
}

static enum parse
parse_append_command(struct slice text, struct arena *arena, struct append_args *out)
{
	struct slice	tag;

	if (parse_tag(&text, &tag) != PARSE_OK || parse_sp(&text) != PARSE_OK ||
	    parse_word(&text, "APPEND") != PARSE_OK || parse_append_head(&text, arena, out) != PARSE_OK)
		return PARSE_BAD;
	return parse_end(&text);
}

bool
append_is_head(struct slice text, struct arena *arena)
{
	struct append_args	args;

	return parse_append_command(text, arena, &args) == PARSE_OK;
}

/* Whether the mailbox is there, before 60 MB are sent for nothing. */
static const char *
append_mailbox_fault(struct imap *im)
{
	struct append_args	args;
	struct mbox_info	info;
	struct mboxname		name;
	struct slice		text = buf_slice(&im->text);
	const char		*mark = text.n > 0 ? memrchr(text.p, '{', text.n) : NULL;

	if (mark == NULL)
		return "BAD No literal";
	text.n = (size_t)(mark - text.p);
	if (parse_append_command(text, imap_arena(im), &args) != PARSE_OK)
		return "BAD No literal";
	if (mailbox_name(im, args.mailbox, &name) != PARSE_OK)
		return "NO [CANNOT] No mailbox can have that name";
	switch (store_mbox_by_name(im->store, (struct slice){name.s, name.n}, imap_arena(im), &info)) {
	case STORE_OK:
		return NULL;
	case STORE_NOMBOX:
		return "NO [TRYCREATE] No such mailbox";
	default:
		return "NO [UNAVAILABLE] Temporary failure";
	}
}

const char *
append_begin(struct imap *im, uint64_t n)
{
	struct append_literal	*a = &im->append;
	const char		*fault;

	if (n > IMAP_APPEND_MAX_BYTES)
		return "NO [TOOBIG] Message too large";
	if (n == 0)
		return "NO [CANNOT] A message is empty";
	if ((fault = append_mailbox_fault(im)) != NULL)
		return fault;
	a->is_taken = true;
	return NULL;
}

/*
 * An unlinked file in the user's partition: a worker may write nowhere else, and the space it takes is
 * the one the message needs. No hash folder begins with '~'. -1 with errno.
 */
static int
file_make(const struct imap *im)
{
	const char	*dir = im->s->host->active_dir, *partition = store_partition(im->store);
	char		 path[PATH_MAX];
	int		 fd, n;

	n = snprintf(path, sizeof(path), "%s/%s", dir, partition);
	if (n < 0 || (size_t)n + sizeof("/~append.XXXXXX") > sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) != -1 || errno != EOPNOTSUPP)
		return fd;
	(void)strcpy(path + n, "/~append.XXXXXX");	/* a file system without O_TMPFILE */
	if ((fd = mkostemp(path, O_CLOEXEC)) != -1)
		(void)unlink(path);
	return fd;
}

static void
file_fail(struct imap *im)
{
	LOG("warn.append.file", log_slice("sid", im->s->who.sid), log_i64("errno", errno));
	im->append.is_failed = true;
	if (im->append.fd != -1)
		(void)close(im->append.fd);
	im->append.fd = -1;
}

static void
file_write(struct imap *im, struct slice s)
{
	struct append_literal	*a = &im->append;

	while (s.n > 0) {
		ssize_t	n = write(a->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			file_fail(im);
			return;
		}
		s = (struct slice){s.p + n, s.n - (size_t)n};
	}
}

/* Converted bytes: to memory while they fit, else to the file. */
static void
append_store(struct imap *im, struct slice s)
{
	struct append_literal	*a = &im->append;

	a->bytes += s.n;
	if (a->is_failed || (a->fd == -1 && buf_add_slice(&a->mem, s) == 0))
		return;
	if (a->fd == -1) {
		if ((a->fd = file_make(im)) == -1) {
			file_fail(im);
			return;
		}
		file_write(im, buf_slice(&a->mem));
		buf_free(&a->mem);
		if (a->is_failed)
			return;
	}
	file_write(im, s);
}

static void
append_convert(struct imap *im, struct slice in, bool last)
{
	struct buf	piece = buf_make(2 * APPEND_PIECE_BYTES + 8);	/* frame_chunk's most */

	if (frame_chunk(&im->append.frame, in, last, &piece) != 0)
		im->append.is_failed = true;
	append_store(im, buf_slice(&piece));
	buf_free(&piece);
}

void
append_take(struct imap *im, struct slice in)
{
	while (in.n > 0) {
		size_t	n = in.n < APPEND_PIECE_BYTES ? in.n : APPEND_PIECE_BYTES;

		append_convert(im, (struct slice){in.p, n}, false);
		in = (struct slice){in.p + n, in.n - n};
	}
}

void
append_end(struct imap *im)
{
	/* A last line without CRLF is the client's own; only a CR that waits for its LF is completed. */
	if (im->append.frame.state == DOT_CR)
		append_convert(im, SLICE(""), true);
}

void
append_drop(struct imap *im)
{
	buf_free(&im->append.mem);
	if (im->append.fd != -1)
		(void)close(im->append.fd);
	im->append = (struct append_literal){.fd = -1, .mem = buf_make(IMAP_APPEND_MEM_BYTES)};
}

static void
append_message(struct imap *im, const struct append_args *args, const struct mbox_info *info)
{
	struct append_literal	*a = &im->append;
	struct append_msg	 msg = {
		.body = {.mem = buf_slice(&a->mem), .fd = a->fd, .offset = 0, .bytes = a->bytes},
		.date_ms = args->has_date ? args->date_ms : now_ms(),
		.flags = args->flags.flags,
		.keywords = args->flags.keywords,
		.nkeywords = args->flags.nkeywords,
	};
	enum store_result	 r;
	uint32_t		 uid, uidvalidity;

	r = store_append(im->store, info->id, &msg, 1, &uid, &uidvalidity);
	if (r != STORE_OK) {
		imap_no_store(im, r, "TRYCREATE");
		return;
	}
	imap_changed(im);
	imap_ok(im, "[APPENDUID %u %u] APPEND completed", uidvalidity, uid);
}

void
append_run(struct imap *im, struct slice args)
{
	struct append_literal	*a = &im->append;
	struct append_args	 head;
	struct mbox_info	 info;
	uint64_t		 n;

	/* A quoted string is no message (RFC 3501 9: append ends in a literal). */
	if (!a->is_taken || parse_append_head(&args, imap_arena(im), &head) != PARSE_OK ||
	    parse_literal_mark(&args, &n) != PARSE_OK || parse_end(&args) != PARSE_OK)
		imap_bad(im, "APPEND mailbox [(flags)] [\"date-time\"] {literal}");
	else if (a->frame.nuls > 0)
		imap_bad(im, "A NUL in a message");
	else if (a->is_failed)
		imap_no(im, "[UNAVAILABLE] Temporary failure");
	else if (mailbox_find(im, head.mailbox, "TRYCREATE", &info))
		append_message(im, &head, &info);
}
