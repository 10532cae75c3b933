/*
 * The log: one line to stderr in one write. The only place that escapes, so that no value can end
 * its line or pass for another key. Keeps errno; no heap, so it works when memory is gone.
 */
#include "log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX_BYTES	4096
#define LOG_ESCAPE_BYTES	4	/* \xHH */

static const char *log_daemon = "twinspool";

struct log_line {
	char	p[LOG_LINE_MAX_BYTES];
	size_t	n;
	bool	is_full;	/* something did not fit: nothing is added any more */
};

void
log_init(const char *daemon)
{
	log_daemon = daemon;
}

static void
log_add(struct log_line *l, const char *p, size_t n)
{
	/* One byte stays for the LF. */
	if (l->is_full || n > sizeof(l->p) - 1 - l->n) {
		l->is_full = true;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static bool
log_is_plain(unsigned char c)
{
	return c > ' ' && c <= 0x7e && c != '"' && c != '=';
}

static void
log_add_quoted(struct log_line *l, struct slice v)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];
		char esc[LOG_ESCAPE_BYTES] = {'\\', (char)c, 0, 0};

		if (c == '"' || c == '\\') {
			log_add(l, esc, 2);
		} else if (c < ' ' || c > 0x7e) {
			esc[1] = 'x';
			esc[2] = hex[c >> 4];
			esc[3] = hex[c & 15];
			log_add(l, esc, 4);
		} else {
			log_add(l, (const char *)&c, 1);
		}
	}
}

static void
log_add_value(struct log_line *l, struct slice v)
{
	bool is_cut = v.n > LOG_VALUE_MAX_BYTES, is_plain = v.n > 0;

	if (is_cut)
		v.n = LOG_VALUE_MAX_BYTES;
	for (size_t i = 0; i < v.n && is_plain; i++)
		is_plain = log_is_plain((unsigned char)v.p[i]);
	if (is_plain) {
		log_add(l, v.p, v.n);
	} else {
		log_add(l, "\"", 1);
		log_add_quoted(l, v);
	}
	if (is_cut)
		log_add(l, "...", 3);
	if (!is_plain)
		log_add(l, "\"", 1);
}

static void
log_add_kv(struct log_line *l, const struct log_kv *kv)
{
	size_t before = l->n;
	char number[24];
	int n;

	log_add(l, " ", 1);
	log_add(l, kv->key, strlen(kv->key));
	log_add(l, "=", 1);
	switch (kv->type) {
	case LOG_KV_SLICE:
		log_add_value(l, kv->s);
		break;
	case LOG_KV_U64:
		n = snprintf(number, sizeof(number), "%llu", (unsigned long long)kv->u);
		log_add(l, number, (size_t)n);
		break;
	case LOG_KV_I64:
		n = snprintf(number, sizeof(number), "%lld", (long long)kv->i);
		log_add(l, number, (size_t)n);
		break;
	}
	if (l->is_full)
		l->n = before;
}

static void
log_begin(struct log_line *l, const char *event)
{
	log_add(l, log_daemon, strlen(log_daemon));
	log_add(l, " ", 1);
	log_add(l, event, strlen(event));
}

static void
log_write(struct log_line *l)
{
	l->p[l->n++] = '\n';
	while (write(STDERR_FILENO, l->p, l->n) < 0 && errno == EINTR)
		continue;
}

void
log_emit(const char *event, const struct log_kv *kv)
{
	struct log_line l;
	int saved = errno;

	l.n = 0;
	l.is_full = false;
	log_begin(&l, event);
	for (; kv->key != NULL; kv++)
		log_add_kv(&l, kv);
	log_write(&l);
	errno = saved;
}

_Noreturn void
log_die(int status, const char *event, const struct log_kv *kv)
{
	const char *text = errno == 0 ? NULL : strerrordesc_np(errno);
	struct log_kv why = log_str("errno", text);
	struct log_line l;

	l.n = 0;
	l.is_full = false;
	log_begin(&l, event);
	for (; kv->key != NULL; kv++)
		log_add_kv(&l, kv);
	if (text != NULL)
		log_add_kv(&l, &why);
	log_write(&l);
	_exit(status);
}

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
now_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t
mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}
