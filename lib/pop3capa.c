/*
 * CAPA and LANG of POP3, for proxyd and spoold. See pop3capa.h. Pure: what is announced is what those two do.
 * Never says who we are before login: IMPLEMENTATION may be kept for after it (RFC 2449 6.9).
 */
#include "pop3capa.h"

#define LANG_SUBTAG_MAX_BYTES	8	/* RFC 4647 2.1 */

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* USER takes its password in the clear, as PLAIN does: the one is allowed where the other is. */
static bool
has_plain(struct slice mechs)
{
	const char *at = memmem(mechs.p, mechs.n, " PLAIN", 6);

	return at != NULL && (at + 6 == mechs.p + mechs.n || at[6] == ' ');
}

int
pop3capa_put(struct buf *out, const struct pop3capa *c)
{
	if (buf_add_str(out, "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
	    "EXPIRE NEVER\r\nUTF8\r\nLANG\r\n") == -1)
		return -1;
	/* RFC 2449 6.5: before login the greatest there is, and USER says that it may be less for this one. */
	if (c->login_delay_s > 0 && buf_addf(out, "LOGIN-DELAY %llu%s\r\n", (unsigned long long)c->login_delay_s,
	    c->is_before_login ? " USER" : "") == -1)
		return -1;
	if (has_plain(c->mechs) && buf_add_str(out, "USER\r\n") == -1)
		return -1;
	if (c->mechs.n > 0 && buf_addf(out, "SASL%.*s\r\n", (int)c->mechs.n, c->mechs.p) == -1)
		return -1;
	if (c->has_stls && buf_add_str(out, "STLS\r\n") == -1)
		return -1;
	if (!c->is_before_login && buf_add_str(out, "IMPLEMENTATION twinspool-" TS_VERSION "\r\n") == -1)
		return -1;
	return buf_add_str(out, ".\r\n");
}

/*
 * language-range = (1*8ALPHA *("-" 1*8alphanum)) / "*" (RFC 4647 2.1), and does it ask for English? By lookup (RFC 4647
 * 3.4), where a range that is more special than what there is finds it too: "en-GB".
 */
static bool
is_english(struct slice s)
{
	size_t i, subtag = 0;

	if (slice_is(s, SLICE("*")))
		return true;
	if (s.n < 2 || !slice_is_nocase((struct slice){s.p, 2}, SLICE("en")) || (s.n > 2 && s.p[2] != '-'))
		return false;
	for (i = 3; i <= s.n; i++) {
		if (i < s.n && is_alnum(s.p[i])) {
			if (++subtag > LANG_SUBTAG_MAX_BYTES)
				return false;
		} else {
			if ((i < s.n && s.p[i] != '-') || (subtag == 0 && s.n > 2))
				return false;
			subtag = 0;
		}
	}
	return true;
}

int
pop3capa_lang(struct buf *out, struct slice arg)
{
	if (arg.n == 0)
		return buf_add_str(out, "+OK language listing follows\r\nen English\r\n.\r\n");
	return buf_add_str(out, is_english(arg) ? "+OK en the answers are in English\r\n" : "-ERR no such language, only en\r\n");
}
