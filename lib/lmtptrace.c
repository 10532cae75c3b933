/*
 * Trace lines: what lmtpd and relayd put in front of a message, and the count of hops that tells a
 * loop (RFC 5321 4.4, 6.3). Called with the transaction's envelope, whose parts were checked by the
 * command parsers, so nothing in them can end a line. Nothing of the message itself is ever changed.
 */
#include "lmtptrace.h"

#include <assert.h>
#include <time.h>

/* A line of 998 bytes at most (RFC 5322 2.1.1): each part that may be long stands on its own. */
void
lmtptrace_return_path(const struct lmtps *s, struct buf *b)
{
	int	failed = buf_addf(b, "Return-Path: <%s>\r\n", s->mail.from.text);

	assert(failed == 0);
}

/*
 * Time-stamp-line = "Received:" FWS "from" FWS Extended-Domain FWS "by" FWS Extended-Domain [Via] "with" ...
 * "id" ... [ "for" FWS Path ] ";" FWS date-time. "for" only for a single recipient: RFC 5321 7.2.
 */
void
lmtptrace_received(const struct lmtps *s, const char *daemon, int64_t when_ms, struct buf *b)
{
	time_t		when = (time_t)(when_ms / 1000);
	const char	*tag = strchr(s->peer, ':') != NULL ? "IPv6:" : "";
	char		date[64];
	struct tm	tm;
	int		failed;

	gmtime_r(&when, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	failed = buf_addf(b, "Received: from %s", s->helo);
	if (strcmp(s->peer, "unix") != 0)
		failed += buf_addf(b, "\r\n\t([%s%s])", tag, s->peer);
	failed += buf_addf(b, "\r\n\tby %s (twinspool %s)\r\n\twith %s id %s", s->conf->hostname, daemon,
	    s->mail.is_utf8 ? "UTF8LMTP" : "LMTP", s->qid);
	if (s->nrcpts == 1)
		failed += buf_addf(b, "\r\n\tfor <%s>", s->rcpts[0]->cmd.to.text);
	failed += buf_addf(b, ";\r\n\t%s\r\n", date);
	assert(failed == 0);
}

size_t
lmtptrace_count(struct slice head)
{
	static const char	name[] = "Received:";
	size_t			at = 0, count = 0;

	while (at < head.n && head.p[at] != '\r') {
		const char	*lf = memchr(head.p + at, '\n', head.n - at);

		if (head.n - at >= sizeof(name) - 1 && strncasecmp(head.p + at, name, sizeof(name) - 1) == 0)
			count++;
		if (lf == NULL)
			break;
		at = (size_t)(lf - head.p) + 1;
	}
	return count;
}
