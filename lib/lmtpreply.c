/*
 * Replies of SMTP and LMTP: codes, enhanced codes (RFC 2034, RFC 3463) and text. Called by the LMTP
 * server and by the client. What a peer said never reaches our own peer or the log unchecked. Pure.
 */
#include "lmtpreply.h"

#include <assert.h>
#include <stdio.h>

static enum result
result_of(int code)
{
	if (code >= 200 && code <= 299)
		return DONE;
	return code >= 500 && code <= 599 ? PERM : TEMP;
}

void
reply_set(struct reply *out, int code, const char *text)
{
	out->result = result_of(code);
	out->code = code;
	snprintf(out->text, sizeof(out->text), "%s", text);
}

/* status-code = class "." subject "." detail; class = "2"/"4"/"5"; subject, detail = 1*3digit (RFC 3463 2). Its length, or 0. */
static size_t
enhanced_length(struct slice s, char class)
{
	size_t	i = 1, digits;

	if (s.n < 5 || s.p[0] != class)
		return 0;
	for (int part = 0; part < 2; part++) {
		if (i >= s.n || s.p[i++] != '.')
			return 0;
		for (digits = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			digits++;
		if (digits < 1 || digits > 3)
			return 0;
	}
	return i == s.n || s.p[i] == ' ' ? i : 0;
}

void
reply_from_peer(struct reply *out, int code, struct slice text)
{
	size_t	n = 0;

	out->result = result_of(code);
	/* Anything outside 2xx, 4xx and 5xx at this place is a peer we do not understand. */
	out->code = out->result == TEMP && (code < 400 || code > 499) ? 451 : code;
	if (enhanced_length(text, (char)('0' + out->code / 100)) == 0)
		n = (size_t)snprintf(out->text, sizeof(out->text), "%d.0.0 ", out->code / 100);
	for (size_t i = 0; i < text.n && n + 1 < sizeof(out->text); i++)
		out->text[n++] = text.p[i] < 32 || text.p[i] > 126 ? '?' : text.p[i];
	out->text[n] = '\0';
}

void
reply_write(struct buf *b, const struct reply *r)
{
	int	failed = buf_addf(b, "%03d %s\r\n", r->code, r->text);

	assert(failed == 0);
}

bool
reply_parse(struct slice line, int *code_out, bool *more_out, struct slice *text_out)
{
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || line.p[1] < '0' || line.p[1] > '9' ||
	    line.p[2] < '0' || line.p[2] > '9')
		return false;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return false;
	*code_out = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	*more_out = line.n > 3 && line.p[3] == '-';
	*text_out = line.n > 3 ? (struct slice){line.p + 4, line.n - 4} : SLICE("");
	return true;
}
