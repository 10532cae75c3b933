/*
 * IMAP and POP3 before login, as the network process speaks them: a machine fed with input, which
 * adds to the output and says what is to be done. It does no I/O and decides no login. What a client
 * may make it hold is bounded by the input and output buffers' caps and this struct.
 * RFC 3501, 2971, 4959, 7888, 5530; RFC 1939, 2449, 2595, 3206, 5034.
 *
 *                 line, PRE_START              auth: challenge
 *   [COMMAND] ----------------------> [WAIT] -----------------> [SASL]
 *       ^           auth: failed       |  ^   line, PRE_STEP      |
 *       |------------------------------'  '-----------------------|
 *       '---------------------------------------------------------'  "*" or bad base64: PRE_ABORT
 */
#ifndef PROXYD_PRELOGIN_H
#define PROXYD_PRELOGIN_H

#include "authmsg.h"

#define PRE_LINE_MAX_BYTES	(8 * 1024)	/* a SCRAM or token message in base64 fits; RFC 7162 4 asks for 8192 */
#define PRE_LITERAL_MAX_BYTES	(4 * 1024)	/* all literals of a command: user name and password, ID values */
#define PRE_LITERALS_MAX	64		/* RFC 2971 3.3: at most 30 pairs of strings in ID */
#define PRE_IN_MAX_BYTES	(16 * 1024)	/* a command of both limits, and pipelined input while auth works */
#define PRE_OUT_MAX_BYTES	(16 * 1024)
#define PRE_OUT_HIGH_BYTES	(4 * 1024)	/* above it no more commands are read: one answers in less than the rest */
#define PRE_COMMANDS_MAX	60		/* a login needs about five */
#define PRE_BAD_MAX		3		/* a browser sent here by another site's page ends at the third line (ALPACA) */
#define PRE_MECHS_MAX		8
#define PRE_CAPS_MAX_BYTES	320

/* What is allowed and announced; made once for a process. */
struct pre_policy {
	char		mechs[PRE_MECHS_MAX][AUTH_MECH_MAX_BYTES + 1];	/* upper case */
	size_t		nmechs;
	bool		plaintext;	/* passwords in the clear are allowed without TLS */
	unsigned	failures_max;	/* failed logins of a connection */
	uint64_t	pop3_login_delay_s;	/* announced, and enforced behind us; 0: none */
	char		imap_caps[2][PRE_CAPS_MAX_BYTES];	/* [is_tls] */
	char		pop3_sasl[2][PRE_CAPS_MAX_BYTES];	/* "SASL ..." line's mechanisms */
};

enum pre_act {
	PRE_MORE,	/* nothing before more input comes, or the answer waited for */
	PRE_START,	/* tell auth: mech, has_initial, data, tag, client_id */
	PRE_STEP,	/* tell auth: data */
	PRE_ABORT,	/* the exchange is off: tell auth; call again */
	PRE_TLS,	/* flush the output, then handshake, then prelogin_secured */
	PRE_CLOSE,	/* flush the output, drop the exchange if there is one, close; end_why says why */
};

struct prelogin {
	const struct pre_policy *policy;	/* not owned */
	enum sess_proto	 proto;
	bool		 is_tls;
	enum { PRE_IN_COMMAND, PRE_IN_SASL, PRE_IN_WAIT } state;
	unsigned	 commands, bad, failures;
	size_t		 asked;			/* synchronising literals of this command already asked for */
	char		 tag[SESSOPEN_TAG_MAX_BYTES + 1];	/* IMAP: of the login under way */
	char		*pop3_user;		/* owned; of USER, until PASS */
	bool		 is_utf8;		/* POP3: UTF8 was said */
	struct buf	 client_id;		/* owned; of ID, as logged */
	const char	*end_why;		/* with PRE_CLOSE; a literal for the log */
	/* with PRE_START and PRE_STEP; wiped by prelogin_sent */
	char		 mech[AUTH_MECH_MAX_BYTES + 1];
	bool		 has_initial;
	struct buf	 data;			/* owned */
};

/*
 * Fills the policy from a list of SASL mechanisms (at most PRE_MECHS_MAX). 0, or -1 where one is not
 * a mechanism's name (RFC 4422 3.1) or they are too many.
 */
int	pre_policy_make(struct pre_policy *out, char *const *mechs, size_t nmechs, bool plaintext,
	    unsigned failures_max);
/* True when the mechanism may be used here: listed, and no plaintext one in the clear unless allowed. */
bool	pre_policy_allows(const struct pre_policy *, struct slice mech, bool is_tls);
bool	mech_is_plaintext(struct slice mech);

void	prelogin_init(struct prelogin *, const struct pre_policy *, enum sess_proto, bool is_tls);
void	prelogin_free(struct prelogin *);
/* The greeting, once, when the connection (implicit TLS included) is up. */
void	prelogin_greet(const struct prelogin *, struct buf *out);
/*
 * Consumes input and answers, up to something to be done: call until PRE_MORE or PRE_CLOSE, and not
 * while out holds more than PRE_OUT_HIGH_BYTES. in and out have the caps of above.
 */
enum pre_act	prelogin_input(struct prelogin *, struct buf *in, struct buf *out);
/* What PRE_START or PRE_STEP gave was sent: wipes it. */
void	prelogin_sent(struct prelogin *);
/* auth's answers to the exchange (state WAIT). */
void	prelogin_challenge(struct prelogin *, struct slice data, struct buf *out);
/* PRE_MORE: the client may try again; PRE_CLOSE: it did too often. */
enum pre_act	prelogin_failed(struct prelogin *, enum auth_fail, struct buf *out);
/* How long to wait before prelogin_failed: AUTH_BAD costs a second more each time. */
int64_t	prelogin_delay_ms(const struct prelogin *, enum auth_fail);
/* The backend refused the session after the login, and said so itself: like a failure, without words. */
void	prelogin_refused(struct prelogin *);
/* TLS is up: what was said in the clear is forgotten (RFC 3501 6.2.1, RFC 2595 4). */
void	prelogin_secured(struct prelogin *);
/* A goodbye of ours, as text in the protocol: "* BYE text" or "-ERR text". code may be "" ("[SYS/TEMP] "). */
void	prelogin_bye(enum sess_proto, const char *code, const char *text, struct buf *out);

/* Shared by imap.c and pop3.c. One command or line each; PRE_MORE without a byte consumed: it is not whole. */
enum pre_act	pre_imap_input(struct prelogin *, struct buf *in, struct buf *out);
enum pre_act	pre_pop3_input(struct prelogin *, struct buf *in, struct buf *out);
/* Counts a bad command; PRE_CLOSE (with goodbye) at the limit. */
enum pre_act	pre_bad(struct prelogin *, struct buf *out);
/* Ends the connection: why for the log. */
enum pre_act	pre_close(struct prelogin *, const char *why);
/* Drops n bytes of input, overwriting them: they may hold a password. */
void	pre_drop(struct buf *in, size_t n);
/* "GET ", "POST " ...: a browser. */
bool	pre_is_http(struct slice line);
/* Begins an exchange: mechanism in upper case, initial response in base64 ("=" is an empty one), or none. */
enum pre_act	pre_start_sasl(struct prelogin *, struct slice mech, bool has_initial, struct slice base64);
/* Begins one with a user name and password given in commands (PLAIN, RFC 4616). */
enum pre_act	pre_start_plain(struct prelogin *, struct slice user, struct slice password);
/* Appends the bytes of strict base64 (RFC 4648 4) to out; false on anything else. */
bool	pre_base64_decode(struct slice, struct buf *out);

#endif
