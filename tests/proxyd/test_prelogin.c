/*
 * proxyd/prelogin.c, imap.c, pop3.c: conversations before login with an auth that answers from a
 * script. Every row is fed whole, and again split at every byte, and must say the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "prelogin.h"

#define TALK_MAX_BYTES	(64 * 1024)
#define CAPS_TLS	"IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-1"
#define CAPS_CLEAR	"IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-1"

/* What is said, with what auth is asked between: <START mech tag hex>, <STEP hex>, <ABORT>, <TLS>, <CLOSE why>. */
struct talk {
	struct buf	out;		/* the machine's own */
	struct buf	said;		/* all of it */
	size_t		in_max, data_max;
	bool		is_over;
};

struct row {
	const char	*name;
	enum sess_proto	 proto;
	bool		 tls;
	const char	*auth;		/* answers: c a challenge "chal", e an empty one, f failed, t temp, o ok (ends) */
	const char	*in;
	const char	*want;
	bool		 whole_only;	/* what counts is what came in one piece */
};

#define I	SESS_IMAP
#define P	SESS_POP3
#define CAPA	"+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\nLANG\r\n"

static const struct row rows[] = {
	{"imap capability", I, true, "", "a CAPABILITY\r\n", "* CAPABILITY " CAPS_TLS "\r\na OK done\r\n", false},
	{"imap capability in the clear", I, false, "", "a capability\r\n", "* CAPABILITY " CAPS_CLEAR "\r\na OK done\r\n", false},
	{"imap noop", I, true, "", "a NOOP\r\nb noop\r\n", "a OK done\r\nb OK done\r\n", false},
	{"imap noop with argument", I, true, "", "a NOOP x\r\n", "a BAD NOOP has no arguments\r\n", false},
	{"imap noop with blank", I, true, "", "a NOOP \r\n", "a BAD NOOP has no arguments\r\n", false},
	{"imap logout", I, true, "", "a LOGOUT\r\nb NOOP\r\n", "* BYE logging out\r\na OK done\r\n<CLOSE logout>", false},
	{"imap login", I, true, "o", "a LOGIN alice secret\r\n", "<START PLAIN a 00616c69636500736563726574>", false},
	{"imap login quoted", I, true, "o", "a login \"al\\\\ice\" \"se \\\"x\"\r\n",
	    "<START PLAIN a 00616c5c6963650073652022" "78>", false},
	{"imap login empty quoted", I, true, "o", "a login \"\" \"\"\r\n", "<START PLAIN a 0000>", false},
	{"imap login literals", I, true, "o", "a LOGIN {5}\r\nalice {3}\r\nx y\r\n",
	    "+ go on\r\n+ go on\r\n<START PLAIN a 00616c69636500782079>", false},
	{"imap login non-synchronising", I, true, "o", "a LOGIN {5+}\r\nalice {3+}\r\nx\"y\r\n",
	    "<START PLAIN a 00616c69636500782279>", false},
	{"imap login literal then quoted", I, true, "o", "a LOGIN {5+}\r\nalice \"x\"\r\n", "<START PLAIN a 00616c6963650078>", false},
	{"imap login empty literal", I, true, "o", "a LOGIN {0+}\r\n {0+}\r\n\r\n", "<START PLAIN a 0000>", false},
	{"imap login literal with CRLF", I, true, "o", "a LOGIN {4+}\r\na\r\nb {1+}\r\nx\r\n", "<START PLAIN a 00610d0a620078>", false},
	{"imap login one argument", I, true, "", "a LOGIN alice\r\n", "a BAD LOGIN needs a user name and a password\r\n", false},
	{"imap login three arguments", I, true, "", "a LOGIN alice x y\r\n", "a BAD LOGIN needs a user name and a password\r\n", false},
	{"imap login two blanks", I, true, "", "a LOGIN alice  x\r\n", "a BAD LOGIN needs a user name and a password\r\n", false},
	{"imap login open quote", I, true, "", "a LOGIN alice \"x\r\n", "a BAD LOGIN needs a user name and a password\r\n", false},
	{"imap login mark within an open quote", I, true, "", "a LOGIN alice \"x{3+}\r\nb X\r\nc NOOP\r\n",
	    "a BAD LOGIN needs a user name and a password\r\nc OK done\r\n", false},
	{"imap login mark after an atom", I, true, "", "a LOGIN x{3+}\r\nb X y\r\nc NOOP\r\n",
	    "a BAD LOGIN needs a user name and a password\r\nc OK done\r\n", false},
	{"imap login wrong password", I, true, "f", "a LOGIN alice x\r\nb NOOP\r\n",
	    "<START PLAIN a 00616c6963650078>a NO [AUTHENTICATIONFAILED] wrong user name or password\r\nb OK done\r\n", false},
	{"imap login no service", I, true, "t", "a LOGIN alice x\r\n",
	    "<START PLAIN a 00616c6963650078>a NO [UNAVAILABLE] the login service does not answer, try again later\r\n", false},
	{"imap login three times wrong", I, true, "fff", "a LOGIN a x\r\nb LOGIN a x\r\nc LOGIN a x\r\nd NOOP\r\n",
	    "<START PLAIN a 00610078>a NO [AUTHENTICATIONFAILED] wrong user name or password\r\n"
	    "<START PLAIN b 00610078>b NO [AUTHENTICATIONFAILED] wrong user name or password\r\n"
	    "<START PLAIN c 00610078>c NO [AUTHENTICATIONFAILED] wrong user name or password\r\n"
	    "* BYE too many failed logins\r\n<CLOSE login_failures>", false},
	{"imap login in the clear", I, false, "", "a LOGIN alice x\r\n",
	    "a NO [PRIVACYREQUIRED] no passwords without TLS: use STARTTLS or the TLS port\r\n", false},
	{"imap login in the clear, literal not asked for", I, false, "", "a LOGIN {5}\r\n",
	    "a NO [PRIVACYREQUIRED] no passwords without TLS: use STARTTLS or the TLS port\r\n", false},
	{"imap login in the clear, literal sent", I, false, "", "a LOGIN {5+}\r\nalice x\r\n", "* BYE no passwords without TLS\r\n<CLOSE literal>",
	    false},
	{"imap authenticate plain in the clear", I, false, "", "a AUTHENTICATE PLAIN\r\n",
	    "a NO [PRIVACYREQUIRED] no passwords without TLS: use STARTTLS or the TLS port\r\n", false},
	{"imap authenticate scram in the clear", I, false, "o", "a AUTHENTICATE SCRAM-SHA-1 eA==\r\n", "<START SCRAM-SHA-1 a 78>", false},
	{"imap authenticate with initial response", I, true, "o", "a authenticate plain AGEAYg==\r\n", "<START PLAIN a 00610062>", false},
	{"imap authenticate with empty initial response", I, true, "o", "a AUTHENTICATE PLAIN =\r\n", "<START PLAIN a >", false},
	{"imap authenticate without one", I, true, "eo", "a AUTHENTICATE PLAIN\r\nAGEAYg==\r\n",
	    "<START PLAIN a ->+ \r\n<STEP 00610062>", false},
	{"imap authenticate in steps", I, true, "cco", "a AUTHENTICATE SCRAM-SHA-1\r\neA==\r\n\r\n",
	    "<START SCRAM-SHA-1 a ->+ Y2hhbA==\r\n<STEP 78>+ Y2hhbA==\r\n<STEP >", false},
	{"imap authenticate cancelled first", I, true, "e", "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
	    "<START PLAIN a ->+ \r\na BAD cancelled\r\n<ABORT>b OK done\r\n", false},
	{"imap authenticate cancelled second", I, true, "cc", "a AUTHENTICATE LOGIN\r\neA==\r\n*\r\nb NOOP\r\n",
	    "<START LOGIN a ->+ Y2hhbA==\r\n<STEP 78>+ Y2hhbA==\r\na BAD cancelled\r\n<ABORT>b OK done\r\n", false},
	{"imap authenticate bad base64", I, true, "e", "a AUTHENTICATE PLAIN\r\n!!!!\r\nb NOOP\r\n",
	    "<START PLAIN a ->+ \r\na BAD this is not base64\r\n<ABORT>b OK done\r\n", false},
	{"imap authenticate short base64", I, true, "e", "a AUTHENTICATE PLAIN\r\nAGE\r\n",
	    "<START PLAIN a ->+ \r\na BAD this is not base64\r\n<ABORT>", false},
	{"imap authenticate base64 with blank", I, true, "e", "a AUTHENTICATE PLAIN\r\nAGEA Yg=\r\n",
	    "<START PLAIN a ->+ \r\na BAD this is not base64\r\n<ABORT>", false},
	{"imap authenticate padding inside", I, true, "e", "a AUTHENTICATE PLAIN\r\nA===AAAA\r\n",
	    "<START PLAIN a ->+ \r\na BAD this is not base64\r\n<ABORT>", false},
	{"imap authenticate three pads", I, true, "e", "a AUTHENTICATE PLAIN\r\nA===\r\n",
	    "<START PLAIN a ->+ \r\na BAD this is not base64\r\n<ABORT>", false},
	{"imap authenticate bad initial base64", I, true, "", "a AUTHENTICATE PLAIN AGE\r\nb NOOP\r\n",
	    "a BAD this is not base64\r\nb OK done\r\n", false},
	{"imap authenticate unknown mechanism", I, true, "", "a AUTHENTICATE NTLM\r\n", "a NO no such mechanism\r\n", false},
	{"imap authenticate longest mechanism", I, true, "", "a AUTHENTICATE ABCDEFGHIJKLMNOPQRST\r\n", "a NO no such mechanism\r\n", false},
	{"imap authenticate one past it", I, true, "", "a AUTHENTICATE ABCDEFGHIJKLMNOPQRSTU\r\n", "a NO no such mechanism\r\n", false},
	{"imap authenticate nothing", I, true, "", "a AUTHENTICATE\r\n", "a BAD AUTHENTICATE needs a mechanism\r\n", false},
	{"imap authenticate literal", I, true, "", "a AUTHENTICATE {5}\r\n", "a BAD no literal is allowed here\r\n", false},
	{"imap authenticate fails after steps", I, true, "cf", "a AUTHENTICATE LOGIN\r\neA==\r\n",
	    "<START LOGIN a ->+ Y2hhbA==\r\n<STEP 78>a NO [AUTHENTICATIONFAILED] wrong user name or password\r\n", false},
	{"imap id", I, true, "", "a ID (\"name\" \"mutt\" \"version\" NIL)\r\n", "* ID (\"name\" \"twinspool\")\r\na OK done\r\n", false},
	{"imap id nil", I, true, "", "a ID NIL\r\n", "* ID (\"name\" \"twinspool\")\r\na OK done\r\n", false},
	{"imap id empty", I, true, "", "a ID ()\r\n", "* ID (\"name\" \"twinspool\")\r\na OK done\r\n", false},
	{"imap id literal", I, true, "", "a ID ({4+}\r\nname {2+}\r\na) \"os\" {0+}\r\n)\r\n", "* ID (\"name\" \"twinspool\")\r\na OK done\r\n", false},
	{"imap id open", I, true, "", "a ID (\"name\"\r\n", "a BAD ID needs NIL or a list of pairs\r\n", false},
	{"imap id odd", I, true, "", "a ID (\"name\" \"x\" \"y\")\r\n", "a BAD ID needs NIL or a list of pairs\r\n", false},
	{"imap id blank at the end", I, true, "", "a ID (\"name\" \"x\" )\r\n", "a BAD ID needs NIL or a list of pairs\r\n", false},
	{"imap id tells the client", I, true, "o", "a ID (\"name\" \"x y\" \"os\" \"z\")\r\nb LOGIN a b\r\n",
	    "* ID (\"name\" \"twinspool\")\r\na OK done\r\n<START PLAIN b 00610062 name=x y os=z>", false},
	{"imap starttls", I, false, "", "a STARTTLS\r\n", "a OK begin TLS\r\n<TLS>", false},
	{"imap starttls with argument", I, false, "", "a STARTTLS now\r\n", "a BAD STARTTLS has no arguments\r\n", false},
	{"imap starttls twice", I, true, "", "a STARTTLS\r\n", "a BAD TLS is up already\r\n", false},
	{"imap starttls injection", I, false, "", "a STARTTLS\r\nb NOOP\r\n",
	    "a BAD nothing may follow STARTTLS before TLS is up\r\n<CLOSE starttls_injection>", true},
	{"imap starttls injection of a byte", I, false, "", "a STARTTLS\r\nb",
	    "a BAD nothing may follow STARTTLS before TLS is up\r\n<CLOSE starttls_injection>", true},
	{"imap starttls injection after commands", I, false, "", "x NOOP\r\na STARTTLS\r\n\r\n",
	    "x OK done\r\na BAD nothing may follow STARTTLS before TLS is up\r\n<CLOSE starttls_injection>", true},
	{"imap literal for noop", I, true, "", "a NOOP {3}\r\nb NOOP\r\n", "a BAD no literal is allowed here\r\nb OK done\r\n", false},
	{"imap literal sent for noop", I, true, "", "a NOOP {3+}\r\nb N\r\n", "* BYE no literal is allowed here\r\n<CLOSE literal>", false},
	{"imap literal for nothing", I, true, "", "{3}\r\n", "* BAD no literal is allowed here\r\n", false},
	{"imap literal too large", I, true, "", "a LOGIN {4097}\r\nb NOOP\r\n", "a BAD literals are too large\r\nb OK done\r\n", false},
	{"imap literal sent too large", I, true, "", "a LOGIN {4097+}\r\nb NOOP\r\n", "* BYE literals are too large\r\n<CLOSE literal>", false},
	{"imap literals together too large", I, true, "", "a LOGIN {1+}\r\nx {4096}\r\nb NOOP\r\n",
	    "a BAD literals are too large\r\nb OK done\r\n", false},
	{"imap literal of 32 bits", I, true, "", "a LOGIN {4294967295}\r\n", "a BAD literals are too large\r\n", false},
	{"imap literal of 32 bits and one", I, true, "", "a LOGIN {4294967297}\r\n", "a BAD literals are too large\r\n", false},
	{"imap literal of 64 bits", I, true, "", "a LOGIN {18446744073709551616}\r\n", "* BYE the literal is too large\r\n<CLOSE framing>", false},
	{"imap literal of 64 bits sent", I, true, "", "a LOGIN {18446744073709551616+}\r\nb NOOP\r\n",
	    "* BYE the literal is too large\r\n<CLOSE framing>", false},
	{"imap literal below zero", I, true, "", "a LOGIN {-1}\r\n", "a BAD LOGIN needs a user name and a password\r\n", false},
	{"imap binary literal", I, true, "", "a LOGIN ~{3}\r\n", "a BAD no literal is allowed here\r\n", false},
	{"imap no tag", I, true, "", "NOOP\r\n", "* BAD a command is a tag, a space and a name\r\n", false},
	{"imap empty line", I, true, "", "\r\n", "* BAD a command is a tag, a space and a name\r\n", false},
	{"imap tag with plus", I, true, "", "+ NOOP\r\n", "* BAD a command is a tag, a space and a name\r\n", false},
	{"imap tag of markup is not said back", I, true, "", "<script>(1) NOOP\r\n", "* BAD a command is a tag, a space and a name\r\n", false},
	{"imap tag only", I, true, "", "a\r\n", "* BAD a command is a tag, a space and a name\r\n", false},
	{"imap select", I, true, "", "a SELECT INBOX\r\n", "a BAD no such command before login\r\n", false},
	{"imap three bad", I, true, "", "a X\r\nb X\r\nc X\r\nd NOOP\r\n",
	    "a BAD no such command before login\r\nb BAD no such command before login\r\nc BAD no such command before login\r\n"
	    "* BYE too many bad commands\r\n<CLOSE bad_commands>", false},
	{"imap bare lf", I, true, "", "a NOOP\nb NOOP\r\n", "* BYE a CR or LF stands alone\r\n<CLOSE framing>", false},
	{"imap bare cr", I, true, "", "a NOOP\rb NOOP\r\n", "* BYE a CR or LF stands alone\r\n<CLOSE framing>", false},
	{"imap browser", I, true, "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "<CLOSE http>", false},
	{"imap browser posting", I, true, "", "POST /x HTTP/1.1\r\n", "<CLOSE http>", false},
	{"imap a tag called GET", I, true, "", "GET NOOP\r\n", "GET OK done\r\n", false},
	{"imap 8-bit verb", I, true, "", "a \xff\xfe\r\n", "a BAD a command is a tag, a space and a name\r\n", false},
	{"imap 8-bit quoted password", I, true, "o", "a LOGIN b \"\xc3\xa4\"\r\n", "<START PLAIN a 006200c3a4>", false},

	{"pop3 capa", P, true, "", "CAPA\r\n",
	    CAPA "LOGIN-DELAY 900 USER\r\nUSER\r\nSASL PLAIN LOGIN SCRAM-SHA-1\r\n.\r\n", false},
	{"pop3 capa in the clear", P, false, "", "capa\r\n",
	    CAPA "LOGIN-DELAY 900 USER\r\nSASL SCRAM-SHA-1\r\nSTLS\r\n.\r\n", false},
	{"pop3 user pass", P, true, "o", "USER alice\r\nPASS se cret\r\n", "+OK and the password\r\n<START PLAIN  00616c696365007365206372" "6574>", false},
	{"pop3 pass without user", P, true, "", "PASS x\r\n", "-ERR USER comes first\r\n", false},
	{"pop3 pass twice", P, true, "f", "USER a\r\nPASS x\r\nPASS x\r\n",
	    "+OK and the password\r\n<START PLAIN  00610078>-ERR [AUTH] wrong user name or password\r\n-ERR USER comes first\r\n", false},
	{"pop3 user in the clear", P, false, "", "USER a\r\n", "-ERR no passwords without TLS: use STLS or the TLS port\r\n", false},
	{"pop3 user without name", P, true, "", "USER\r\n", "-ERR an argument is needed\r\n", false},
	{"pop3 temp", P, true, "t", "USER a\r\nPASS x\r\n",
	    "+OK and the password\r\n<START PLAIN  00610078>-ERR [SYS/TEMP] the login service does not answer, try again later\r\n", false},
	{"pop3 auth", P, true, "eo", "AUTH PLAIN\r\nAGEAYg==\r\n", "<START PLAIN  ->+ \r\n<STEP 00610062>", false},
	{"pop3 auth with initial response", P, true, "o", "auth plain AGEAYg==\r\n", "<START PLAIN  00610062>", false},
	{"pop3 auth empty initial response", P, true, "o", "AUTH PLAIN =\r\n", "<START PLAIN  >", false},
	{"pop3 auth cancelled", P, true, "e", "AUTH PLAIN\r\n*\r\nCAPA x\r\n", "<START PLAIN  ->+ \r\n-ERR cancelled\r\n<ABORT>-ERR no argument is allowed\r\n", false},
	{"pop3 auth bad base64", P, true, "e", "AUTH PLAIN\r\n?\r\n", "<START PLAIN  ->+ \r\n-ERR this is not base64\r\n<ABORT>", false},
	{"pop3 auth unknown", P, true, "", "AUTH NTLM\r\n", "-ERR no such mechanism\r\n", false},
	{"pop3 auth alone", P, true, "", "AUTH\r\nauth \r\n",
	    "+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\nSCRAM-SHA-1\r\n.\r\n+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\nSCRAM-SHA-1\r\n.\r\n", false},
	{"pop3 auth alone in the clear", P, false, "", "AUTH\r\n", "+OK mechanisms follow\r\nSCRAM-SHA-1\r\n.\r\n", false},
	{"pop3 utf8", P, true, "o", "utf8\r\nUSER a\r\nPASS x\r\n",
	    "+OK UTF-8 from now on\r\n+OK and the password\r\n<START PLAIN  00610078 utf8>", false},
	{"pop3 utf8 with argument", P, true, "", "UTF8 USER\r\n", "-ERR no argument is allowed\r\n", false},
	{"pop3 lang", P, true, "", "LANG\r\nlang en\r\nLANG *\r\n",
	    "+OK language listing follows\r\nen English\r\n.\r\n+OK en the answers are in English\r\n+OK en the answers are in English\r\n", false},
	{"pop3 lang of others is nothing bad", P, true, "", "LANG de\r\nLANG uga\r\nLANG mul\r\nLANG x-\r\nQUIT\r\n",
	    "-ERR no such language, only en\r\n-ERR no such language, only en\r\n-ERR no such language, only en\r\n-ERR no such language, only en\r\n"
	    "+OK goodbye\r\n<CLOSE logout>", false},
	{"pop3 stls", P, false, "", "STLS\r\n", "+OK begin TLS\r\n<TLS>", false},
	{"pop3 stls twice", P, true, "", "STLS\r\n", "-ERR TLS is up already\r\n", false},
	{"pop3 stls injection", P, false, "", "STLS\r\nUSER a\r\n", "-ERR nothing may follow STLS before TLS is up\r\n<CLOSE starttls_injection>", true},
	{"pop3 quit", P, true, "", "QUIT\r\n", "+OK goodbye\r\n<CLOSE logout>", false},
	{"pop3 noop", P, true, "", "NOOP\r\n", "-ERR no such command before login\r\n", false},
	{"pop3 three bad", P, true, "", "X\r\nY\r\nSTAT\r\nCAPA\r\n",
	    "-ERR no such command before login\r\n-ERR no such command before login\r\n-ERR no such command before login\r\n<CLOSE bad_commands>", false},
	{"pop3 browser", P, true, "", "OPTIONS * HTTP/1.0\r\n", "<CLOSE http>", false},
};

static char *const mechs[] = {(char[]){"PLAIN"}, (char[]){"LOGIN"}, (char[]){"SCRAM-SHA-1"}};

__attribute__((format(printf, 2, 3))) static void
say(struct talk *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_int_equal(buf_add_str(&t->said, line), 0);
}

static void
flush(struct talk *t)
{
	assert_int_equal(buf_add_slice(&t->said, buf_slice(&t->out)), 0);
	buf_clear(&t->out);
}

static void
say_hex(struct talk *t, const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		say(t, "%02x", (unsigned char)b->p[i]);
}

/* auth's next answer. */
static void
auth_answer(struct talk *t, struct prelogin *p, const char **script)
{
	char c = **script;

	if (c != '\0')
		(*script)++;
	if (c == 'c')
		prelogin_challenge(p, SLICE("chal"), &t->out);
	else if (c == 'e')
		prelogin_challenge(p, (struct slice){NULL, 0}, &t->out);
	else if (c == 'f' || c == 't') {
		if (prelogin_failed(p, c == 'f' ? AUTH_BAD : AUTH_TEMP, &t->out) == PRE_CLOSE) {
			flush(t);
			say(t, "<CLOSE %s>", p->end_why);
			t->is_over = true;
		}
	} else {
		t->is_over = true;
	}
}

/* Acts until the machine wants more input. */
static void
settle(struct talk *t, struct prelogin *p, struct buf *in, const char **script)
{
	while (!t->is_over) {
		enum pre_act act = prelogin_input(p, in, &t->out);

		if (in->size > t->in_max)
			t->in_max = in->size;
		flush(t);
		switch (act) {
		case PRE_MORE:
			return;
		case PRE_START:
			say(t, "<START %s %s %s", p->mech, p->tag, p->has_initial ? "" : "-");
			say_hex(t, &p->data);
			if (p->client_id.n > 0)
				say(t, " %.*s", (int)p->client_id.n, p->client_id.p);
			say(t, p->is_utf8 ? " utf8>" : ">");
			prelogin_sent(p);
			auth_answer(t, p, script);
			break;
		case PRE_STEP:
			say(t, "<STEP ");
			say_hex(t, &p->data);
			say(t, ">");
			prelogin_sent(p);
			auth_answer(t, p, script);
			break;
		case PRE_ABORT:
			say(t, "<ABORT>");
			break;
		case PRE_TLS:
			assert_int_equal(in->n, 0);
			say(t, "<TLS>");
			t->is_over = true;
			break;
		case PRE_CLOSE:
			say(t, "<CLOSE %s>", p->end_why);
			t->is_over = true;
			break;
		}
		flush(t);
	}
}

/* Feeds the input in pieces that end at cut (0: byte by byte). */
static void
converse(const struct row *r, const char *input, size_t n, size_t cut, struct talk *t)
{
	struct pre_policy policy;
	struct prelogin p;
	struct buf in = buf_make(PRE_IN_MAX_BYTES);
	const char *script = r->auth;

	assert_int_equal(pre_policy_make(&policy, mechs, 3, false, 3), 0);
	policy.pop3_login_delay_s = 900;
	prelogin_init(&p, &policy, r->proto, r->tls);
	*t = (struct talk){.out = buf_make(PRE_OUT_MAX_BYTES), .said = buf_make(TALK_MAX_BYTES)};
	for (size_t at = 0; at < n && !t->is_over;) {
		size_t to = cut == 0 ? at + 1 : at < cut ? cut : n;

		assert_int_equal(buf_add(&in, input + at, to - at), 0);
		at = to;
		settle(t, &p, &in, &script);
	}
	assert_int_equal(buf_add(&t->said, "", 1), 0);
	prelogin_free(&p);
	buf_free(&in);
}

static void
talk_free(struct talk *t)
{
	buf_free(&t->out);
	buf_free(&t->said);
}

static void
rows_hold(void **state)
{
	struct talk t;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = strlen(rows[i].in);

		for (size_t cut = 0; cut <= n; cut++) {
			if (rows[i].whole_only && cut != n)
				continue;
			converse(&rows[i], rows[i].in, n, cut, &t);
			if (strcmp(t.said.p, rows[i].want) != 0)
				fail_msg("%s (cut at %zu):\n%s\nnot\n%s", rows[i].name, cut, t.said.p, rows[i].want);
			talk_free(&t);
		}
	}
}

/* STARTTLS with a tail, cut anywhere: the tail is never answered in the clear. */
static void
injections_never_run(void **state)
{
	static const struct row imap = {"imap", I, false, "", "x STARTTLS\r\ny NOOP\r\n", "", true};
	static const struct row pop3 = {"pop3", P, false, "", "STLS\r\nCAPA\r\n", "", true};
	static const struct row *const both[] = {&imap, &pop3};
	struct talk t;

	(void)state;
	for (size_t r = 0; r < 2; r++) {
		size_t n = strlen(both[r]->in), line = strcspn(both[r]->in, "\n") + 1;

		for (size_t cut = 1; cut <= n; cut++) {
			converse(both[r], both[r]->in, n, cut, &t);
			/* Whole line first: TLS begins, and what comes then is TLS or nothing. Else the connection ends. */
			if (strstr(t.said.p, cut == line ? "<TLS>" : "<CLOSE starttls_injection>") == NULL ||
			    strstr(t.said.p, "y OK") != NULL || strstr(t.said.p, "TOP") != NULL)
				fail_msg("%s cut at %zu: %s", both[r]->name, cut, t.said.p);
			talk_free(&t);
		}
	}
}

/* A long input of one byte, in pieces: the memory held stays under the cap, and the end is a goodbye. */
static void
floods_are_bounded(void **state)
{
	static const char *const heads[] = {"", "a NOOP ", "a LOGIN \"", "a ID (", "a LOGIN ", "AUTH PLAIN "};
	static const char fill[] = "(\"{a \\}";
	struct pre_policy policy;

	(void)state;
	assert_int_equal(pre_policy_make(&policy, mechs, 3, true, 3), 0);
	for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
		for (size_t f = 0; f < sizeof(fill) - 1; f++) {
			for (int proto = 0; proto < 2; proto++) {
				struct buf in = buf_make(PRE_IN_MAX_BYTES), out = buf_make(PRE_OUT_MAX_BYTES);
				struct prelogin p;
				enum pre_act act = PRE_MORE;
				size_t sent = 0;
				char piece[1000];

				memset(piece, fill[f], sizeof(piece));
				prelogin_init(&p, &policy, proto == 0 ? SESS_IMAP : SESS_POP3, true);
				buf_add_str(&in, heads[h]);
				while (act == PRE_MORE && sent < 10 * 1000 * 1000) {
					size_t room = in.cap - in.n, n = room < sizeof(piece) ? room : sizeof(piece);

					assert_true(n > 0);
					assert_int_equal(buf_add(&in, piece, n), 0);
					sent += n;
					act = prelogin_input(&p, &in, &out);
				}
				if (act != PRE_CLOSE || sent > 2 * PRE_LINE_MAX_BYTES || out.n == 0)
					fail_msg("'%s' and '%c': %zu bytes taken, act %d", heads[h], fill[f], sent, (int)act);
				prelogin_free(&p);
				buf_free(&in);
				buf_free(&out);
			}
		}
	}
}

static void
limits_hold(void **state)
{
	struct talk t;
	struct row r = {"limit", I, true, "o", "", "", true};
	char *line = malloc(2 * PRE_LINE_MAX_BYTES);
	size_t n;

	(void)state;
	/* A line of exactly the limit, and one past. */
	for (size_t past = 0; past < 2; past++) {
		n = (size_t)snprintf(line, 16, "a LOGIN b ");
		memset(line + n, 'x', PRE_LINE_MAX_BYTES - n + past);
		memcpy(line + PRE_LINE_MAX_BYTES + past, "\r\n", 3);
		converse(&r, line, PRE_LINE_MAX_BYTES + past + 2, 0, &t);
		assert_non_null(strstr(t.said.p, past ? "* BYE the line is too long" : "<START"));
		talk_free(&t);
	}
	/* Literals of exactly the limit; one past is in the rows. */
	n = (size_t)snprintf(line, 64, "a LOGIN {1+}\r\nu {4095+}\r\n");
	memset(line + n, 'x', 4095);
	memcpy(line + n + 4095, "\r\n", 2);
	converse(&r, line, n + 4095 + 2, 0, &t);
	assert_non_null(strstr(t.said.p, "<START PLAIN a 00"));
	talk_free(&t);
	/* The longest tag, and one past. */
	for (size_t past = 0; past < 2; past++) {
		memset(line, 't', SESSOPEN_TAG_MAX_BYTES + past);
		strcpy(line + SESSOPEN_TAG_MAX_BYTES + past, " NOOP\r\n");
		converse(&r, line, strlen(line), 0, &t);
		assert_non_null(strstr(t.said.p, past ? "* BAD a command" : "t OK done"));
		talk_free(&t);
	}
	/* The most commands, and one past. */
	n = 0;
	for (size_t i = 0; i <= PRE_COMMANDS_MAX; i++)
		n += (size_t)snprintf(line + n, 32, "t%zu NOOP\r\n", i);
	converse(&r, line, n, 0, &t);
	assert_non_null(strstr(t.said.p, "t59 OK done\r\n* BYE too many commands before login\r\n<CLOSE commands>"));
	talk_free(&t);
	free(line);
}

static void
nul_is_refused(void **state)
{
	static const struct row imap = {"nul", I, true, "", "", "", true}, pop3 = {"nul", P, true, "", "", "", true};
	static const char line[] = "a NO\0OP\r\n", literal[] = "a LOGIN {3+}\r\na\0b x\r\n", user[] = "USER a\0b\r\n";
	struct talk t;

	(void)state;
	converse(&imap, line, sizeof(line) - 1, 0, &t);
	assert_string_equal(t.said.p, "* BYE NUL is not allowed\r\n<CLOSE framing>");
	talk_free(&t);
	converse(&imap, literal, sizeof(literal) - 1, 0, &t);
	assert_string_equal(t.said.p, "a BAD LOGIN needs a user name and a password\r\n");
	talk_free(&t);
	converse(&pop3, user, sizeof(user) - 1, sizeof(user) - 1, &t);
	assert_string_equal(t.said.p, "-ERR NUL is not allowed\r\n");
	talk_free(&t);
}

static void
secured_forgets(void **state)
{
	struct pre_policy policy;
	struct prelogin p;
	struct buf in = buf_make(PRE_IN_MAX_BYTES), out = buf_make(PRE_OUT_MAX_BYTES);

	(void)state;
	assert_int_equal(pre_policy_make(&policy, mechs, 3, false, 3), 0);
	prelogin_init(&p, &policy, SESS_IMAP, false);
	prelogin_greet(&p, &out);
	buf_add_str(&out, "");
	assert_memory_equal(out.p, "* OK [CAPABILITY " CAPS_CLEAR "] ", strlen("* OK [CAPABILITY " CAPS_CLEAR "] "));
	buf_add_str(&in, "a ID (\"name\" \"evil\")\r\n");
	assert_int_equal(prelogin_input(&p, &in, &out), PRE_MORE);
	assert_int_equal(p.client_id.n, 9);
	buf_add_str(&in, "a STARTTLS\r\n");
	assert_int_equal(prelogin_input(&p, &in, &out), PRE_TLS);
	prelogin_secured(&p);
	assert_int_equal(p.client_id.n, 0);
	buf_clear(&out);
	buf_add_str(&in, "b CAPABILITY\r\n");
	assert_int_equal(prelogin_input(&p, &in, &out), PRE_MORE);
	assert_memory_equal(out.p, "* CAPABILITY " CAPS_TLS "\r\n", strlen("* CAPABILITY " CAPS_TLS "\r\n"));
	prelogin_free(&p);
	prelogin_init(&p, &policy, SESS_POP3, false);
	buf_add_str(&in, "UTF8\r\nSTLS\r\n");
	assert_int_equal(prelogin_input(&p, &in, &out), PRE_TLS);
	assert_true(p.is_utf8);
	prelogin_secured(&p);
	assert_false(p.is_utf8);
	prelogin_free(&p);
	buf_free(&in);
	buf_free(&out);
}

static void
policies(void **state)
{
	char *const bad[][1] = {{(char[]){"plain"}}, {(char[]){""}}, {(char[]){"A B"}}, {(char[]){"ABCDEFGHIJKLMNOPQRSTU"}}};
	struct pre_policy p;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pre_policy_make(&p, bad[i], 1, false, 3), -1);
	assert_int_equal(pre_policy_make(&p, mechs, 3, false, 3), 0);
	assert_false(pre_policy_allows(&p, SLICE("PLAIN"), false));
	assert_false(pre_policy_allows(&p, SLICE("LOGIN"), false));
	assert_true(pre_policy_allows(&p, SLICE("PLAIN"), true));
	assert_true(pre_policy_allows(&p, SLICE("SCRAM-SHA-1"), false));
	assert_false(pre_policy_allows(&p, SLICE("SCRAM-SHA-256"), true));
	assert_int_equal(pre_policy_make(&p, mechs, 3, true, 3), 0);
	assert_true(pre_policy_allows(&p, SLICE("PLAIN"), false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows_hold), cmocka_unit_test(injections_never_run), cmocka_unit_test(floods_are_bounded),
	    cmocka_unit_test(limits_hold), cmocka_unit_test(nul_is_refused), cmocka_unit_test(secured_forgets),
	    cmocka_unit_test(policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
