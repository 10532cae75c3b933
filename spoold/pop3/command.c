/*
 * The commands of the TRANSACTION state (RFC 1939 5 and 7, RFC 2449 5, RFC 3206). Called by pop3.c with a line at a time,
 * already framed. A table: name, how many arguments, handler. Nothing a client says is repeated to it.
 */
#include "log.h"
#include "pop3/pop3.h"
#include "pop3capa.h"

#define COMMAND_ARGS_MAX	2
#define CAPA_MAX_BYTES		1024	/* of the answer: 168 of it are mechanisms, 300 the rest */

struct args {
	struct slice	v[COMMAND_ARGS_MAX];
	size_t		n;
};

static void
reply_temp(struct pop3 *p)
{
	session_puts(p->s, "-ERR [SYS/TEMP] maildrop cannot be read\r\n");
}

/* What cannot be understood: too much of it in a row is no mail client. */
static void
reply_unknown(struct pop3 *p, const char *text)
{
	session_putf(p->s, "-ERR %s\r\n", text);
	if (++p->unknown >= POP3_UNKNOWN_MAX) {
		p->s->end_why = "bad commands";
		p->is_over = true;
	}
}

/* 1*DIGIT; a number too great for 64 bits is the greatest. */
static bool
number_parse(struct slice s, uint64_t *out)
{
	size_t i;

	*out = 0;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(s.p[i] - '0'), out)) {
			for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
				;
			*out = UINT64_MAX;
			return i == s.n;
		}
	}
	return s.n > 0;
}

/* The message a command names, if it may be named; else the answer is given. */
static bool
message_find(struct pop3 *p, struct slice arg, struct msg_info *out)
{
	uint64_t number;
	uint32_t uid = 0;
	size_t n = 0;

	if (!number_parse(arg, &number)) {
		reply_unknown(p, "message number expected");
		return false;
	}
	if (number == 0 || number > p->count) {
		session_putf(p->s, "-ERR no such message, only %u in maildrop\r\n", p->count);
		return false;
	}
	if (marks_has(p, (uint32_t)number)) {
		session_puts(p->s, "-ERR message is deleted\r\n");
		return false;
	}
	if (view_uid(p->store, &p->view, (uint32_t)number, &uid) != STORE_OK || uid == 0 ||
	    view_range(p->store, &p->view, uid, uid, out, 1, &n) != STORE_OK || n != 1) {
		reply_temp(p);
		return false;
	}
	out->seq = (uint32_t)number;
	return true;
}

/* What each_message calls. */
struct visitor {
	void	(*begin)(struct pop3 *);	/* once, when the store answers; may be NULL */
	void	(*one)(struct pop3 *, const struct msg_info *, void *arg);
	void	*arg;
	bool	 has_begun;
};

/* Visits each message that is not marked, in order. False when the store failed. */
static bool
each_message(struct pop3 *p, struct visitor *v)
{
	struct msg_info batch[STORE_BATCH_MSGS];
	uint32_t lo = 1, seq = 0;
	size_t n, i;

	do {
		if (view_range(p->store, &p->view, lo, UINT32_MAX, batch, STORE_BATCH_MSGS, &n) != STORE_OK)
			return false;
		if (!v->has_begun && v->begin != NULL)
			v->begin(p);
		v->has_begun = true;
		for (i = 0; i < n && seq < p->count; i++) {
			batch[i].seq = ++seq;
			lo = batch[i].uid + 1;
			if (!marks_has(p, seq))
				v->one(p, &batch[i], v->arg);
		}
	} while (n == STORE_BATCH_MSGS && seq < p->count && !p->s->is_dead);
	return seq == p->count || p->s->is_dead;
}

/* A multi-line answer of each_message. */
static void
listing(struct pop3 *p, void (*begin)(struct pop3 *), void (*one)(struct pop3 *, const struct msg_info *, void *))
{
	struct visitor v = {.begin = begin, .one = one};

	if (each_message(p, &v)) {
		session_puts(p->s, ".\r\n");
	} else if (!v.has_begun) {
		reply_temp(p);
	} else {
		p->s->end_why = "error";	/* no way to say so in the middle of an answer */
		p->is_over = true;
	}
}

struct total {
	uint64_t	messages, bytes;
};

static void
total_add(struct pop3 *p, const struct msg_info *m, void *arg)
{
	struct total *t = arg;

	(void)p;
	t->messages++;
	t->bytes += m->size;
}

static void
command_stat(struct pop3 *p, const struct args *a)
{
	struct total t = {0, 0};
	struct visitor v = {.one = total_add, .arg = &t};

	(void)a;
	if (!each_message(p, &v))
		reply_temp(p);
	else
		session_putf(p->s, "+OK %llu %llu\r\n", (unsigned long long)t.messages, (unsigned long long)t.bytes);
}

static void
list_begin(struct pop3 *p)
{
	session_puts(p->s, "+OK scan listing follows\r\n");
}

static void
list_one(struct pop3 *p, const struct msg_info *m, void *arg)
{
	(void)arg;
	session_putf(p->s, "%u %llu\r\n", m->seq, (unsigned long long)m->size);
}

static void
command_list(struct pop3 *p, const struct args *a)
{
	struct msg_info m;

	if (a->n == 0) {
		listing(p, list_begin, list_one);
	} else if (message_find(p, a->v[0], &m)) {
		session_puts(p->s, "+OK ");
		list_one(p, &m, NULL);
	}
}

static void
uidl_begin(struct pop3 *p)
{
	session_puts(p->s, "+OK unique-id listing follows\r\n");
}

/* UIDVALIDITY and UID: both outlive a restore and a rebuilt index, and no pair is ever given twice. */
static void
uidl_one(struct pop3 *p, const struct msg_info *m, void *arg)
{
	(void)arg;
	session_putf(p->s, "%u %08x.%08x\r\n", m->seq, p->view.uidvalidity, m->uid);
}

static void
command_uidl(struct pop3 *p, const struct args *a)
{
	struct msg_info m;

	if (a->n == 0) {
		listing(p, uidl_begin, uidl_one);
	} else if (message_find(p, a->v[0], &m)) {
		session_puts(p->s, "+OK ");
		uidl_one(p, &m, NULL);
	}
}

static void
command_retr(struct pop3 *p, const struct args *a)
{
	struct msg_info m;

	if (message_find(p, a->v[0], &m))
		retr_send(p, &m, RETR_ALL);
}

static void
command_top(struct pop3 *p, const struct args *a)
{
	struct msg_info m;
	uint64_t lines;

	if (!number_parse(a->v[1], &lines))
		reply_unknown(p, "number of lines expected");
	else if (message_find(p, a->v[0], &m))
		retr_send(p, &m, lines < RETR_ALL ? lines : RETR_ALL - 1);
}

static void
command_dele(struct pop3 *p, const struct args *a)
{
	struct msg_info m;

	if (!message_find(p, a->v[0], &m))
		return;
	marks_set(p, m.seq);
	session_putf(p->s, "+OK message %u deleted\r\n", m.seq);
}

static void
command_noop(struct pop3 *p, const struct args *a)
{
	(void)a;
	session_puts(p->s, "+OK\r\n");
}

static void
command_rset(struct pop3 *p, const struct args *a)
{
	(void)a;
	marks_clear(p);
	session_puts(p->s, "+OK\r\n");
}

static void
command_capa(struct pop3 *p, const struct args *a)
{
	const struct pop3capa capa = {.mechs = p->s->who.mechs, .login_delay_s = pop3_login_delay_s()};
	struct buf out = buf_make(CAPA_MAX_BYTES);

	(void)a;
	if (pop3capa_put(&out, &capa) == 0)
		session_write(p->s, out.p, out.n);
	buf_free(&out);
}

static void
command_lang(struct pop3 *p, const struct args *a)
{
	struct buf out = buf_make(CAPA_MAX_BYTES);

	if (pop3capa_lang(&out, a->n > 0 ? a->v[0] : SLICE("")) == 0)
		session_write(p->s, out.p, out.n);
	buf_free(&out);
}

/* The UPDATE state (RFC 1939 6). The lock goes before the answer: a client may log in again as soon as it has read it. */
static void
command_quit(struct pop3 *p, const struct args *a)
{
	enum store_result r = maildrop_expunge(p);

	(void)a;
	maildrop_flush_seen(p);
	pop3_unlock(p);
	if (r == STORE_OK)
		session_puts(p->s, "+OK bye\r\n");
	else
		session_puts(p->s, "-ERR [SYS/TEMP] some messages not removed\r\n");
	p->s->end_why = "logout";
	p->is_over = true;
}

static const struct {
	const char	*name;
	size_t		 least, most;	/* arguments */
	void		(*run)(struct pop3 *, const struct args *);
} commands[] = {
	{"STAT", 0, 0, command_stat},
	{"LIST", 0, 1, command_list},
	{"UIDL", 0, 1, command_uidl},
	{"RETR", 1, 1, command_retr},
	{"TOP", 2, 2, command_top},
	{"DELE", 1, 1, command_dele},
	{"NOOP", 0, 0, command_noop},
	{"RSET", 0, 0, command_rset},
	{"CAPA", 0, 0, command_capa},
	{"LANG", 0, 1, command_lang},
	{"QUIT", 0, 0, command_quit},
};

/* The next word of a line, spaces around it gone; empty at the end. */
static struct slice
word_next(struct slice *line)
{
	struct slice word;

	while (line->n > 0 && line->p[0] == ' ')
		line->p++, line->n--;
	word = (struct slice){line->p, 0};
	while (line->n > 0 && line->p[0] != ' ')
		line->p++, line->n--, word.n++;
	return word;
}

/* command = keyword *(SP param) (RFC 2449 3) */
void
command_run(struct pop3 *p, struct slice line)
{
	struct slice name = word_next(&line), arg;
	struct args a = {.n = 0};
	size_t i, given = 0;

	while ((arg = word_next(&line)).n > 0) {
		if (given++ < COMMAND_ARGS_MAX)
			a.v[a.n++] = arg;
	}
	p->s->commands++;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!slice_is_nocase(name, slice_of(commands[i].name)))
			continue;
		if (given < commands[i].least || given > commands[i].most) {
			reply_unknown(p, "wrong number of arguments");
			return;
		}
		p->unknown = 0;
		commands[i].run(p, &a);
		return;
	}
	reply_unknown(p, "unknown command");
}
