/*
 * The routing table: a text file of lines "KEY ACTION ARGUMENTS", in memory as a hash table. Called by
 * main() to read it and by resolve.c to look addresses up. A table with any fault is refused as a
 * whole: half a table would turn known users into unknown ones.
 */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "address.h"
#include "log.h"

#define FILE_MAX_BYTES	(256 * 1024 * 1024)	/* three million lines */
#define REFUSE_MAX_BYTES 200			/* of a refusal's text: fits a reply */

struct table {
	char			*text;		/* owned: every string points into it */
	struct table_entry	*entries;	/* owned */
	size_t			 n, size;
	uint32_t		*slots;		/* owned: index + 1 into entries, 0: free */
	size_t			 nslots;	/* a power of two, at least twice n */
	char			 delimiter;
};

/* One line as it is taken apart: a cursor into the table's text, which gets a NUL after each word. */
struct line {
	char		*at;
	unsigned	 number;
	const char	*why;
};

static void *
take_memory(void *old, size_t n, size_t each)
{
	void	*p = reallocarray(old, n, each);

	if (p == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "table"));
	return p;
}

/* FNV-1a. The table is the operator's own: nobody chooses keys to collide. */
static size_t
hash(struct slice key)
{
	uint64_t	h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3ULL;
	return (size_t)(h ^ h >> 32);
}

/* The slot of a key, or the free one where it belongs. */
static uint32_t *
slot_of(const struct table *t, struct slice key)
{
	size_t	i = hash(key) & (t->nslots - 1);

	while (t->slots[i] != 0 && !slice_is(slice_of(t->entries[t->slots[i] - 1].key), key))
		i = (i + 1) & (t->nslots - 1);
	return &t->slots[i];
}

static void
slots_grow(struct table *t)
{
	if ((t->n + 1) * 2 <= t->nslots)
		return;
	t->nslots = t->nslots == 0 ? 64 : t->nslots * 2;
	t->slots = take_memory(t->slots, t->nslots, sizeof(*t->slots));
	memset(t->slots, 0, t->nslots * sizeof(*t->slots));
	for (size_t i = 0; i < t->n; i++)
		*slot_of(t, slice_of(t->entries[i].key)) = (uint32_t)i + 1;
}

/* ---- a line ---- */

/* The next word, NUL-terminated in place; NULL at the end of the line. */
static char *
line_word(struct line *l)
{
	char	*word;

	l->at += strspn(l->at, " \t");
	if (*l->at == '\0')
		return NULL;
	word = l->at;
	l->at += strcspn(l->at, " \t");
	if (*l->at != '\0')
		*l->at++ = '\0';
	return word;
}

static bool
line_bad(struct line *l, const char *why)
{
	l->why = why;
	return false;
}

/* Mailbox, or a local part alone where may_be_local, by the grammar of RCPT. */
static bool
is_address(const char *s, bool may_be_local)
{
	struct address	a;
	char		path[ADDRESS_MAX_BYTES + 16];
	size_t		used;
	int		n = snprintf(path, sizeof(path), "<%s%s>", s,
			    may_be_local && strchr(s, '@') == NULL ? "@localhost" : "");

	return n > 0 && (size_t)n < sizeof(path) &&
	    address_parse((struct slice){path, (size_t)n}, true, true, &a, &used) == PARSE_OK && used == (size_t)n;
}

static bool
line_key(struct line *l, struct table_entry *e)
{
	char	*key = line_word(l), probe[ADDRESS_MAX_BYTES + 2];
	int	 n;

	for (char *p = key; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	e->key = key;
	if (key[0] != '@')
		return is_address(key, true) || line_bad(l, "not an address");
	n = snprintf(probe, sizeof(probe), "x%s", key);
	if (n < 0 || (size_t)n >= sizeof(probe) || !is_address(probe, false))
		return line_bad(l, "not a domain");
	return true;
}

static bool
line_local(struct line *l, struct table_entry *e)
{
	char	*user = line_word(l);

	if (user == NULL)
		return line_bad(l, "local needs a user or *");
	if (strcmp(user, "*") == 0)
		return e->key[0] == '@' || line_bad(l, "* only with @domain");
	e->text = user;
	if (!user_is_valid(slice_of(user)))
		return line_bad(l, "not a valid user");
	return line_word(l) == NULL || line_bad(l, "local takes one user");
}

static bool
line_targets(struct line *l, struct table_entry *e)
{
	char	*words[TABLE_TARGETS_MAX], *word;

	while ((word = line_word(l)) != NULL) {
		if (e->ntargets == TABLE_TARGETS_MAX)
			return line_bad(l, "more than 100 addresses");
		if (!is_address(word, e->action == TABLE_ALIAS))
			return line_bad(l, "not an address to send to");
		words[e->ntargets++] = word;
	}
	if (e->ntargets == 0)
		return line_bad(l, "an address to send to is missing");
	e->targets = take_memory(NULL, e->ntargets, sizeof(*e->targets));
	memcpy(e->targets, words, e->ntargets * sizeof(*words));
	return true;
}

static bool
line_refuse(struct line *l, struct table_entry *e)
{
	l->at += strspn(l->at, " \t");
	e->text = l->at;
	if (strlen(l->at) > REFUSE_MAX_BYTES)
		return line_bad(l, "text longer than 200 bytes");
	for (const char *p = l->at; *p != '\0'; p++)
		if (*p < 32 || *p > 126)
			return line_bad(l, "text must be printable ASCII");
	return true;
}

static bool
line_parse(struct line *l, struct table_entry *e)
{
	char	*action;

	if (!line_key(l, e))
		return false;
	if ((action = line_word(l)) == NULL)
		return line_bad(l, "an action is missing");
	if (strcmp(action, "local") == 0) {
		e->action = TABLE_LOCAL;
		return line_local(l, e);
	}
	if (strcmp(action, "refuse") == 0) {
		e->action = TABLE_REFUSE;
		return line_refuse(l, e);
	}
	e->action = strcmp(action, "alias") == 0 ? TABLE_ALIAS : TABLE_FORWARD;
	if (e->action == TABLE_FORWARD && strcmp(action, "forward") != 0)
		return line_bad(l, "not one of local, forward, alias, refuse");
	return line_targets(l, e);
}

/* ---- the table ---- */

static bool
table_add(struct table *t, struct line *l)
{
	struct table_entry	 e = {.line = l->number};
	uint32_t		*slot;

	l->at += strspn(l->at, " \t");
	if (*l->at == '\0' || *l->at == '#')
		return true;
	if (!line_parse(l, &e))
		return false;
	slots_grow(t);
	if (*(slot = slot_of(t, slice_of(e.key))) != 0) {
		free(e.targets);
		return line_bad(l, "address given twice");
	}
	if (t->n == t->size) {
		t->size = t->size == 0 ? 64 : t->size * 2;
		t->entries = take_memory(t->entries, t->size, sizeof(*t->entries));
	}
	t->entries[t->n++] = e;
	*slot = (uint32_t)t->n;
	return true;
}

/* Every alias must lead somewhere: an address that nobody routes is a slip of the pen. */
static bool
table_check(const struct table *t, struct line *l)
{
	struct slice	user, detail;

	for (size_t i = 0; i < t->n; i++) {
		const struct table_entry	*e = &t->entries[i];

		l->number = e->line;
		for (size_t j = 0; e->action == TABLE_ALIAS && j < e->ntargets; j++)
			if (table_route(t, slice_of(e->targets[j]), &user, &detail) == NULL)
				return line_bad(l, "alias of an address that is not in the table");
	}
	return true;
}

static bool
table_fill(struct table *t, struct slice text, struct line *l)
{
	char	*p = t->text, *lf;

	if (text.n > 0 && (text.p[text.n - 1] != '\n' || memchr(text.p, '\0', text.n) != NULL))
		return line_bad(l, "no text file: the last line has no end, or there is a NUL");
	while (*p != '\0') {
		lf = strchr(p, '\n');
		*lf = '\0';
		if (lf > p && lf[-1] == '\r')
			lf[-1] = '\0';
		l->number++;
		l->at = p;
		if (lf - p > TABLE_LINE_MAX_BYTES)
			return line_bad(l, "line too long");
		if (!table_add(t, l))
			return false;
		p = lf + 1;
	}
	return table_check(t, l);
}

struct table *
table_parse(struct slice text, char delimiter, unsigned *line_out, const char **why_out)
{
	struct table	*t = take_memory(NULL, 1, sizeof(*t));
	struct line	 l = {.why = ""};

	*t = (struct table){.delimiter = delimiter, .text = take_memory(NULL, text.n + 1, 1)};
	if (text.n > 0)
		memcpy(t->text, text.p, text.n);
	t->text[text.n] = '\0';
	slots_grow(t);
	if (table_fill(t, text, &l))
		return t;
	*line_out = l.number;
	*why_out = l.why;
	table_free(t);
	return NULL;
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->entries[i].targets);
	free(t->entries);
	free(t->slots);
	free(t->text);
	free(t);
}

/* All of fd, at most FILE_MAX_BYTES. NULL with errno. */
static char *
read_all(int fd, size_t *n_out)
{
	struct stat	 st;
	char		*p;
	ssize_t		 n;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		errno = EFBIG;
		return NULL;
	}
	p = take_memory(NULL, (size_t)st.st_size + 1, 1);
	for (*n_out = 0; *n_out < (size_t)st.st_size; *n_out += (size_t)n) {
		if ((n = read(fd, p + *n_out, (size_t)st.st_size - *n_out)) > 0)
			continue;
		errno = n == 0 ? EIO : errno;	/* it shrank: somebody is writing it */
		free(p);
		return NULL;
	}
	return p;
}

struct table *
table_load(const char *path, char delimiter, unsigned *line_out, const char **why_out)
{
	struct table	*t = NULL;
	char		*text = NULL;
	size_t		 n = 0;
	int		 fd = open(path, O_RDONLY | O_CLOEXEC);

	*line_out = 0;
	if (fd < 0 || (text = read_all(fd, &n)) == NULL)
		*why_out = strerror(errno);
	else
		t = table_parse((struct slice){text, n}, delimiter, line_out, why_out);
	free(text);
	if (fd >= 0)
		close(fd);
	return t;
}

size_t
table_count(const struct table *t)
{
	return t->n;
}

const struct table_entry *
table_find(const struct table *t, struct slice key)
{
	uint32_t	slot = *slot_of(t, key);

	return slot == 0 ? NULL : &t->entries[slot - 1];
}

const struct table_entry *
table_route(const struct table *t, struct slice address, struct slice *user_out, struct slice *detail_out)
{
	char				 key[ADDRESS_MAX_BYTES];
	const char			*at, *cut = NULL;
	const struct table_entry	*e;
	size_t				 local, user;

	*user_out = address;
	*detail_out = SLICE("");
	if (address.n == 0 || address.n > sizeof(key))
		return NULL;
	for (size_t i = 0; i < address.n; i++)
		key[i] = address.p[i] >= 'A' && address.p[i] <= 'Z' ? (char)(address.p[i] + ('a' - 'A')) : address.p[i];
	at = memrchr(key, '@', address.n);
	local = at != NULL ? (size_t)(at - key) : address.n;
	/* A quoted local part has no detail: what looks like the delimiter is quoted too. */
	if (t->delimiter != '\0' && key[0] != '"' && local > 1)
		cut = memchr(key + 1, t->delimiter, local - 1);
	user = cut != NULL ? (size_t)(cut - key) : local;
	user_out->n = user;
	if (cut != NULL)
		*detail_out = (struct slice){address.p + user + 1, local - user - 1};
	if ((e = table_find(t, (struct slice){key, address.n})) != NULL)
		return e;
	if (at != NULL && (e = table_find(t, (struct slice){at, address.n - local})) != NULL && cut == NULL)
		return e;
	if (cut != NULL) {
		const struct table_entry	*plain;

		memmove(key + user, key + local, address.n - local);
		plain = table_find(t, (struct slice){key, user + address.n - local});
		e = plain != NULL ? plain : e;
	}
	return e;
}
