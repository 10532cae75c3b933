/*
 * The bar. Used by spoolctl, spoolck and spoolimport.
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"

#define DRAW_MS		200
#define BAR_WIDTH	24
#define NOTE_WIDTH	32
#define LINE_BYTES	256

void
progress_begin(struct progress *p, const char *what, uint64_t total, bool quiet)
{
	*p = (struct progress){.what = what, .total = total, .began_ms = mono_ms(), .is_on = !quiet && isatty(STDERR_FILENO)};
}

void
progress_total(struct progress *p, uint64_t total)
{
	p->total = total;
}

static unsigned
columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* How long it still takes, if it goes on like this. */
static void
put_rest(char *out, size_t cap, int64_t ms)
{
	int64_t s = ms / 1000;

	if (s >= 3600)
		snprintf(out, cap, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
	else
		snprintf(out, cap, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

void
progress_step(struct progress *p, uint64_t done, const char *note)
{
	char line[LINE_BYTES], bar[BAR_WIDTH + 1], rest[32], shown[NOTE_WIDTH + 1];
	int64_t now = mono_ms(), spent = now - p->began_ms;
	unsigned width = columns();
	size_t full;

	if (!p->is_on || (now - p->drawn_ms < DRAW_MS && done < p->total))
		return;
	p->drawn_ms = now;
	if (done > p->total)
		done = p->total;
	full = p->total == 0 ? BAR_WIDTH : (size_t)((double)done * BAR_WIDTH / (double)p->total);
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = '\0';
	put_rest(rest, sizeof(rest), done == 0 ? 0 : (int64_t)((double)spent * (double)(p->total - done) / (double)done));
	snprintf(shown, sizeof(shown), "%s", note == NULL ? "" : note);
	for (char *c = shown; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';	/* no terminal commands from a file name */
	snprintf(line, sizeof(line), "[%s] %3u%% %llu/%llu %s, %.0f/s, %s left %s", bar,
	    p->total == 0 ? 100 : (unsigned)((double)done * 100 / (double)p->total), (unsigned long long)done,
	    (unsigned long long)p->total, p->what, spent > 0 ? (double)done * 1000 / (double)spent : 0, rest, shown);
	if (width > 1 && strlen(line) > width - 1)
		line[width - 1] = '\0';
	fprintf(stderr, "\r\033[K%s", line);
}

void
progress_hide(struct progress *p)
{
	if (p->is_on && p->drawn_ms != 0)
		fprintf(stderr, "\r\033[K");
	p->drawn_ms = 0;
}

void
progress_end(struct progress *p)
{
	if (p->is_on && p->drawn_ms != 0)
		fprintf(stderr, "\r\033[K");
	p->is_on = false;
}
