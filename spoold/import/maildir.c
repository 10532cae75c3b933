/*
 * Maildir: a file a message in cur and new, flags in its name behind ":2,", keywords as letters whose names
 * stand in dovecot-keywords. Messages come in the order of their names, which begin with the time they came.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import/reader.h"
#include "log.h"
#include "record.h"

#define LETTERS		26
#define FILES_MAX	5000000	/* of one maildir: names in memory */
#define PIECE_BYTES	(256 * 1024)

struct file {
	char	*name;		/* owned */
	bool	 is_new;
};

struct maildir {
	struct file	*files;		/* owned; by base name */
	size_t		 n, at;
	char		 keywords[LETTERS][64];
};

static size_t
base_bytes(const char *name)
{
	return strcspn(name, ":");
}

static int
by_base(const void *a, const void *b)
{
	const char *x = ((const struct file *)a)->name, *y = ((const struct file *)b)->name;
	size_t n = base_bytes(x), m = base_bytes(y);
	int c = strncmp(x, y, n < m ? n : m);

	return c != 0 ? c : (n > m) - (n < m);
}

/* 0, or -1 with errno. A directory that is not there has no messages. */
static int
read_names(struct reader *r, struct maildir *m, const char *sub)
{
	int fd = openat(r->fd, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (d == NULL)
		return errno == ENOENT ? 0 : -1;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || base_bytes(e->d_name) == 0)
			continue;
		if (m->n % 1024 == 0 &&
		    (m->n >= FILES_MAX || (m->files = reallocarray(m->files, m->n + 1024, sizeof(*m->files))) == NULL)) {
			closedir(d);
			errno = ENOMEM;
			return -1;
		}
		if ((m->files[m->n].name = strdup(e->d_name)) == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_u64("bytes", strlen(e->d_name)));
		m->files[m->n++].is_new = sub[0] == 'n';
	}
	closedir(d);
	return 0;
}

/* Lines "0 NAME": the letter a has NAME. */
static void
read_keywords(struct reader *r, struct maildir *m)
{
	int fd = openat(r->fd, "dovecot-keywords", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char line[128], name[64];
	unsigned n;

	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%u %63s", &n, name) == 2 && n < LETTERS)
			memcpy(m->keywords[n], name, sizeof(name));
	fclose(f);
}

int
maildir_open(struct reader *r, const char *place)
{
	struct maildir *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -1;
	r->state = m;
	if (read_names(r, m, "cur") != 0 || read_names(r, m, "new") != 0)
		return -1;
	if (m->n > 0)
		qsort(m->files, m->n, sizeof(*m->files), by_base);
	while (*place != '\0' && m->at < m->n && by_base(&m->files[m->at], &(struct file){.name = (char *)(uintptr_t)place}) <= 0)
		m->at++;
	snprintf(r->place, sizeof(r->place), "%s", place);
	r->bytes = m->n;
	r->done = m->at;
	read_keywords(r, m);
	return 0;
}

static void
take_flags(const struct maildir *d, const char *name, struct import_message *m)
{
	const char *at = strstr(name, ":2,");

	for (at = at == NULL ? "" : at + 3; *at != '\0'; at++) {
		switch (*at) {
		case 'S':
			m->flags |= MSG_SEEN;
			break;
		case 'R':
			m->flags |= MSG_ANSWERED;
			break;
		case 'F':
			m->flags |= MSG_FLAGGED;
			break;
		case 'T':
			m->flags |= MSG_DELETED;
			break;
		case 'D':
			m->flags |= MSG_DRAFT;
			break;
		case 'P':
			message_keyword(m, SLICE("$Forwarded"));
			break;
		default:
			if (*at >= 'a' && *at <= 'z')
				message_keyword(m, slice_of(d->keywords[*at - 'a']));
			break;
		}
	}
}

static bool
read_file(int fd, struct import_message *m)
{
	static char piece[PIECE_BYTES];
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		message_add(m, (struct slice){piece, (size_t)n});
	}
	return true;
}

enum import_got
maildir_next(struct reader *r, struct import_message *m)
{
	struct maildir *d = r->state;
	enum import_got got = IMPORT_BAD;
	const struct file *f;
	char path[READER_PLACE_BYTES];
	struct stat st;
	int fd;

	if (d->at == d->n)
		return IMPORT_END;
	f = &d->files[d->at++];
	r->done = d->at;
	snprintf(path, sizeof(path), "%s/%s", f->is_new ? "new" : "cur", f->name);
	memcpy(r->where, path, sizeof(path));
	snprintf(r->place, sizeof(r->place), "%.*s", (int)base_bytes(f->name), f->name);
	fd = openat(r->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		r->why = errno == ENOENT ? "gone since the directory was read" : strerror(errno);
	} else if (!S_ISREG(st.st_mode)) {
		r->why = "not a file";
	} else if (!read_file(fd, m)) {
		r->why = strerror(errno);
	} else {
		m->date_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		take_flags(d, f->name, m);
		got = IMPORT_MESSAGE;
	}
	if (fd >= 0)
		close(fd);
	return got;
}

void
maildir_close(struct reader *r)
{
	struct maildir *d = r->state;

	for (size_t i = 0; d != NULL && i < d->n; i++)
		free(d->files[i].name);
	if (d != NULL)
		free(d->files);
}
