/*
 * What IMAP and POP3 have in common before login: what is allowed, exchanges, failures, limits. See
 * prelogin.h; conn.c calls it. It never does I/O and keeps no password longer than prelogin_sent.
 */
#include "prelogin.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define FAILURE_DELAY_MS	1000	/* doubled guessing time each try; users do not notice one second */

static bool
mech_is_valid(const char *m)
{
	size_t n = strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	return n > 0 && n <= AUTH_MECH_MAX_BYTES && m[n] == '\0';
}

bool
mech_is_plaintext(struct slice mech)
{
	return slice_is(mech, SLICE("PLAIN")) || slice_is(mech, SLICE("LOGIN"));
}

bool
pre_policy_allows(const struct pre_policy *p, struct slice mech, bool is_tls)
{
	for (size_t i = 0; i < p->nmechs; i++)
		if (slice_is(mech, slice_of(p->mechs[i])))
			return is_tls || p->plaintext || !mech_is_plaintext(mech);
	return false;
}

static void
caps_make(struct pre_policy *p, bool is_tls)
{
	char *imap = p->imap_caps[is_tls], *sasl = p->pop3_sasl[is_tls];
	size_t n, s = 0;

	/* The longest: 8 mechanisms of 20 bytes, " AUTH=" before each, and 85 bytes: below PRE_CAPS_MAX_BYTES. */
	n = (size_t)snprintf(imap, PRE_CAPS_MAX_BYTES, "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID%s%s", is_tls ? "" : " STARTTLS",
	    pre_policy_allows(p, SLICE("PLAIN"), is_tls) ? "" : " LOGINDISABLED");
	sasl[0] = '\0';
	for (size_t i = 0; i < p->nmechs; i++) {
		if (!pre_policy_allows(p, slice_of(p->mechs[i]), is_tls))
			continue;
		n += (size_t)snprintf(imap + n, PRE_CAPS_MAX_BYTES - n, " AUTH=%s", p->mechs[i]);
		s += (size_t)snprintf(sasl + s, PRE_CAPS_MAX_BYTES - s, " %s", p->mechs[i]);
	}
}

int
pre_policy_make(struct pre_policy *out, char *const *mechs, size_t nmechs, bool plaintext, unsigned failures_max)
{
	*out = (struct pre_policy){.plaintext = plaintext, .failures_max = failures_max};
	if (nmechs > PRE_MECHS_MAX)
		return -1;
	for (size_t i = 0; i < nmechs; i++) {
		if (!mech_is_valid(mechs[i]))
			return -1;
		snprintf(out->mechs[out->nmechs++], sizeof(out->mechs[0]), "%s", mechs[i]);
	}
	caps_make(out, false);
	caps_make(out, true);
	return 0;
}

void
prelogin_init(struct prelogin *p, const struct pre_policy *policy, enum sess_proto proto, bool is_tls)
{
	*p = (struct prelogin){.policy = policy, .proto = proto, .is_tls = is_tls, .state = PRE_IN_COMMAND};
	p->client_id = buf_make(SESSOPEN_CLIENT_ID_MAX_BYTES);
	p->data = buf_make(AUTH_DATA_MAX_BYTES);
}

void
prelogin_free(struct prelogin *p)
{
	buf_wipe(&p->data);
	buf_free(&p->client_id);
	free(p->pop3_user);
	p->pop3_user = NULL;
}

void
prelogin_greet(const struct prelogin *p, struct buf *out)
{
	if (p->proto == SESS_IMAP)
		buf_addf(out, "* OK [CAPABILITY %s] twinspool ready\r\n", p->policy->imap_caps[p->is_tls]);
	else
		buf_add_str(out, "+OK twinspool ready\r\n");
}

enum pre_act
prelogin_input(struct prelogin *p, struct buf *in, struct buf *out)
{
	enum pre_act act;
	size_t before;

	do {
		if (p->state == PRE_IN_WAIT || in->n == 0)
			return PRE_MORE;
		before = in->n;
		act = p->proto == SESS_IMAP ? pre_imap_input(p, in, out) : pre_pop3_input(p, in, out);
	} while (act == PRE_MORE && in->n < before && out->n <= PRE_OUT_HIGH_BYTES);
	return act;
}

void
prelogin_sent(struct prelogin *p)
{
	buf_wipe(&p->data);
	p->data = buf_make(AUTH_DATA_MAX_BYTES);
	p->state = PRE_IN_WAIT;
}

void
prelogin_challenge(struct prelogin *p, struct slice data, struct buf *out)
{
	unsigned char line[(AUTH_DATA_MAX_BYTES + 2) / 3 * 4 + 1];

	EVP_EncodeBlock(line, (const unsigned char *)data.p, (int)data.n);
	buf_addf(out, "+ %s\r\n", (const char *)line);
	p->state = PRE_IN_SASL;
}

/* RFC 5530 3, RFC 3206 4. */
static void
answer_failure(const struct prelogin *p, enum auth_fail fail, struct buf *out)
{
	const char *imap = "[UNAVAILABLE]", *pop3 = "[SYS/TEMP]", *text = "";

	switch (fail) {
	case AUTH_BAD:
		imap = "[AUTHENTICATIONFAILED]";
		pop3 = "[AUTH]";
		text = "wrong user name or password";
		break;
	case AUTH_TEMP:
		text = "the login service does not answer, try again later";
		break;
	case AUTH_ELSEWHERE:
		text = "your mail is on another host";
		break;
	case AUTH_BUSY:
		text = "too many sessions, try again later";
		break;
	}
	if (p->proto == SESS_IMAP)
		buf_addf(out, "%s NO %s %s\r\n", p->tag, imap, text);
	else
		buf_addf(out, "-ERR %s %s\r\n", pop3, text);
}

enum pre_act
prelogin_failed(struct prelogin *p, enum auth_fail fail, struct buf *out)
{
	answer_failure(p, fail, out);
	p->state = PRE_IN_COMMAND;
	if (++p->failures < p->policy->failures_max)
		return PRE_MORE;
	if (p->proto == SESS_IMAP)
		buf_add_str(out, "* BYE too many failed logins\r\n");
	return pre_close(p, "login_failures");
}

int64_t
prelogin_delay_ms(const struct prelogin *p, enum auth_fail fail)
{
	return fail == AUTH_BAD ? (int64_t)FAILURE_DELAY_MS * (p->failures + 1) : 0;
}

void
prelogin_refused(struct prelogin *p)
{
	p->state = PRE_IN_COMMAND;
}

void
prelogin_secured(struct prelogin *p)
{
	buf_clear(&p->client_id);
	free(p->pop3_user);
	p->pop3_user = NULL;
	p->is_utf8 = false;
	p->is_tls = true;
	p->state = PRE_IN_COMMAND;
}

void
prelogin_bye(enum sess_proto proto, const char *code, const char *text, struct buf *out)
{
	buf_addf(out, "%s %s%s\r\n", proto == SESS_IMAP ? "* BYE" : "-ERR", code, text);
}

enum pre_act
pre_close(struct prelogin *p, const char *why)
{
	p->end_why = why;
	return PRE_CLOSE;
}

enum pre_act
pre_bad(struct prelogin *p, struct buf *out)
{
	if (++p->bad < PRE_BAD_MAX)
		return PRE_MORE;
	if (p->proto == SESS_IMAP)
		buf_add_str(out, "* BYE too many bad commands\r\n");
	return pre_close(p, "bad_commands");
}

void
pre_drop(struct buf *in, size_t n)
{
	if (n > 0)
		explicit_bzero(in->p, n);
	buf_drop(in, n);
}

bool
pre_is_http(struct slice line)
{
	static const char *const verbs[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ", "DELETE ", "TRACE ",
	    "PATCH ", "PRI "};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		size_t n = strlen(verbs[i]);

		/* A tag may be called GET, but no command begins with a path, a host or "* HTTP". */
		if (line.n > n && memcmp(line.p, verbs[i], n) == 0 &&
		    (line.p[n] == '/' || line.p[n] == '*' || memmem(line.p, line.n, " HTTP/", 6) != NULL))
			return true;
	}
	return false;
}

bool
pre_base64_decode(struct slice in, struct buf *out)
{
	size_t pad = 0, n;
	unsigned char *room;
	int got;

	if (in.n % 4 != 0)
		return false;
	if (in.n == 0)
		return true;
	while (pad < 2 && in.p[in.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < in.n - pad; i++)
		if (!isalnum((unsigned char)in.p[i]) && in.p[i] != '+' && in.p[i] != '/')
			return false;
	n = in.n / 4 * 3;
	room = (unsigned char *)buf_room(out, n);
	if (room == NULL)
		return false;
	got = EVP_DecodeBlock(room, (const unsigned char *)in.p, (int)in.n);
	if (got < 0)
		return false;
	out->n += (size_t)got - pad;
	return true;
}

enum pre_act
pre_start_sasl(struct prelogin *p, struct slice mech, bool has_initial, struct slice base64)
{
	for (size_t i = 0; i < mech.n && i < AUTH_MECH_MAX_BYTES; i++)
		p->mech[i] = mech.p[i];
	p->mech[mech.n] = '\0';
	p->has_initial = has_initial;
	buf_clear(&p->data);
	if (has_initial && !slice_is(base64, SLICE("=")) && !pre_base64_decode(base64, &p->data))
		return PRE_MORE;
	return PRE_START;
}

enum pre_act
pre_start_plain(struct prelogin *p, struct slice user, struct slice password)
{
	strcpy(p->mech, "PLAIN");
	p->has_initial = true;
	buf_clear(&p->data);
	if (buf_add(&p->data, "", 1) != 0 || buf_add_slice(&p->data, user) != 0 || buf_add(&p->data, "", 1) != 0 ||
	    buf_add_slice(&p->data, password) != 0)
		return PRE_MORE;
	return PRE_START;
}
