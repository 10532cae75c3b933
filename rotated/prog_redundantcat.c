/*
 * redundantcat: lists the records of a day's log, or writes out one message. For operators and tests.
 * Gives up the file system and the network before it reads a byte: the log holds what anybody mailed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "pack.h"
#include "sandbox.h"
#include "scan.h"

#define CAT_PIECE_BYTES	(64 * 1024)

struct wanted {
	const char	*user;		/* NULL: all */
	bool		 has_uid;
	uint32_t	 uid;
	bool		 is_body;	/* write the first message that fits, list none */
};

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: redundantcat [-m] daylog [user [uid]]\n");
	exit(EXIT_CONF);
}

static _Noreturn void
trouble(const char *what, const char *why)
{
	fflush(stdout);
	fprintf(stderr, "redundantcat: %s: %s\n", what, why);
	exit(EXIT_TEMP);
}

static bool
is_wanted(const struct wanted *w, struct slice user, uint32_t uid)
{
	return (w->user == NULL || slice_is(slice_of(w->user), user)) && (!w->has_uid || w->uid == uid);
}

/* A name as one word that a terminal can be shown. */
static void
put_word(struct slice s)
{
	if (s.n == 0)
		putchar('-');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == '\\' || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static void
put_line(const struct record *r, struct slice user, struct slice mailbox, uint64_t modseq, uint32_t uid)
{
	time_t t = (time_t)(r->date_ms / 1000);
	char date[32] = "-";
	struct tm tm;

	if (gmtime_r(&t, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%c ", (char)r->type);
	put_word(user);
	putchar(' ');
	put_word(mailbox);
	printf(" %lu %llu %s %llu\n", (unsigned long)uid, (unsigned long long)modseq, date, (unsigned long long)r->body_bytes);
}

static void
write_body(int fd, uint64_t at, uint64_t n)
{
	char piece[CAT_PIECE_BYTES];

	while (n > 0) {
		ssize_t got = pread(fd, piece, n < sizeof(piece) ? (size_t)n : sizeof(piece), (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			trouble("log", got == 0 ? "cut while it was read" : strerrordesc_np(errno));
		if (fwrite(piece, 1, (size_t)got, stdout) != (size_t)got)
			trouble("output", strerrordesc_np(errno));
		at += (uint64_t)got;
		n -= (uint64_t)got;
	}
}

/* A message record, once for each of its users. How many fit. */
static size_t
show_message(const struct record *r, const struct wanted *w)
{
	struct record_message m;
	size_t shown = 0;

	if (!record_message_unpack(r->extra, &m)) {
		fprintf(stderr, "redundantcat: a message at offset %llu names nobody\n", (unsigned long long)r->start);
		return 0;
	}
	for (size_t i = 0; i < m.naddressees; i++) {
		const struct record_addressee *a = &m.addressees[i];

		if (!is_wanted(w, a->user, a->uid))
			continue;
		shown++;
		if (!w->is_body)
			put_line(r, a->user, a->mailbox.n == 0 ? SLICE("INBOX") : a->mailbox, a->modseq, a->uid);
	}
	return shown;
}

static size_t
show_change(const struct record *r, const struct wanted *w)
{
	struct unpack u = unpack_make(r->extra.p, r->extra.n);
	char mailbox[2 * RECORD_ID_BYTES + 1];
	struct slice user = r->type == RECORD_SEGMENT ? SLICE("") : unpack_str(&u);

	if (!is_wanted(w, user, r->uid) || w->is_body)
		return 0;
	for (size_t i = 0; i < RECORD_ID_BYTES; i++)
		snprintf(mailbox + 2 * i, 3, "%02x", r->mailbox[i]);
	/* A segment's uid is its salt, which is not shown. */
	put_line(r, user, slice_of(mailbox), r->modseq, r->type == RECORD_SEGMENT ? 0 : r->uid);
	return 1;
}

static int
cat(int fd, const struct wanted *w)
{
	enum scan_result got;
	uint64_t body_at;
	struct record r;
	struct scan s;
	size_t shown = 0;

	if (scan_begin(fd, &s) != SCAN_RECORD)
		trouble("log", errno == EBADMSG ? "no day's log, or its header is damaged" : strerrordesc_np(errno));
	while ((got = scan_next(&s, &r, &body_at)) == SCAN_RECORD) {
		size_t n = r.type == RECORD_MESSAGE ? show_message(&r, w) : show_change(&r, w);

		shown += n;
		if (n > 0 && w->is_body) {
			write_body(fd, body_at, r.body_bytes);
			break;
		}
	}
	if (got == SCAN_ERROR)
		trouble("log", strerrordesc_np(errno));
	if (s.ndamaged > 0)
		fprintf(stderr, "redundantcat: %llu damaged stretches of %llu bytes, the last at offset %llu%s\n",
		    (unsigned long long)s.ndamaged, (unsigned long long)s.damaged_bytes, (unsigned long long)s.damaged_at,
		    s.is_torn ? ": the end, perhaps being written" : "");
	scan_free(&s);
	if (fflush(stdout) != 0)
		trouble("output", strerrordesc_np(errno));
	return shown > 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct wanted w = {0};
	char *end;
	int fd, c;

	log_init("redundantcat");
	opterr = 0;
	while ((c = getopt(argc, argv, "m")) != -1) {
		if (c != 'm')
			usage();
		w.is_body = true;
	}
	if (argc - optind < 1 || argc - optind > 3 || (w.is_body && argc - optind < 2))
		usage();
	if (argc - optind > 1)
		w.user = argv[optind + 1];
	if (argc - optind > 2) {
		unsigned long uid = strtoul(argv[optind + 2], &end, 10);

		if (*end != '\0' || uid == 0 || uid > UINT32_MAX)
			usage();
		w.has_uid = true;
		w.uid = (uint32_t)uid;
	}
	if ((fd = open(argv[optind], O_RDONLY | O_CLOEXEC)) < 0)
		trouble(argv[optind], strerrordesc_np(errno));
	sandbox_limits(0, 0, false);
	sandbox_paths(NULL, 0);
	sandbox_seccomp(SANDBOX_NET);
	return cat(fd, &w);
}
