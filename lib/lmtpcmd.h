/*
 * Commands of LMTP (RFC 2033, grammar of RFC 5321 4.1) and their parameters: SIZE (RFC 1870), BODY
 * (RFC 6152), SMTPUTF8 (RFC 6531), BDAT (RFC 3030) and the suite's own XTWINSPOOL. Pure parsers over
 * one line without its CRLF; the LMTP server calls them. See lmtpd(8) for XTWINSPOOL.
 */
#ifndef TS_LMTPCMD_H
#define TS_LMTPCMD_H

#include <stdint.h>

#include "address.h"

#define LMTP_LINE_MAX_BYTES	2048	/* RFC 5321 4.5.3.1.4: 512; 6531 adds up to 464; our parameters the rest */
#define LMTP_NAME_MAX_BYTES	255	/* RFC 5321 4.5.3.1.2: a domain */
#define LMTP_QID_MAX_BYTES	64
#define LMTP_KEY_BYTES		16	/* of XKEY: a delivery key */

enum lmtp_verb {
	LMTP_LHLO, LMTP_HELO, LMTP_EHLO, LMTP_MAIL, LMTP_RCPT, LMTP_DATA, LMTP_BDAT, LMTP_RSET, LMTP_NOOP,
	LMTP_QUIT, LMTP_VRFY, LMTP_HELP, LMTP_HTTP, LMTP_UNKNOWN,
};

enum lmtp_fault {
	LMTP_OK,
	LMTP_SYNTAX,		/* 501 5.5.4 */
	LMTP_ADDRESS,		/* 501 5.1.7 or 5.1.3: the path */
	LMTP_PARAM,		/* 555 5.5.4: not known or not supported */
	LMTP_UTF8,		/* 550 or 553 5.6.7: an address that needs SMTPUTF8 */
};

struct lmtp_mail {
	struct address	from;
	uint64_t	size;		/* as declared; 0: not said */
	bool		is_8bit;	/* BODY=8BITMIME */
	bool		is_utf8;	/* SMTPUTF8 */
	bool		has_key;
	unsigned char	key[LMTP_KEY_BYTES];
	char		qid[LMTP_QID_MAX_BYTES + 1];	/* "" where XQID was not given */
};

struct lmtp_rcpt {
	struct address	to;
	char		user[USER_MAX_BYTES + 1];	/* XUSER: valid and folded; "" where not given */
	bool		place;				/* XPLACE */
};

/* The verb of a line (trailing white space dropped, RFC 5321 4.1.1) and what follows its space. HTTP: a web client talks to us. */
enum lmtp_verb	lmtpcmd_verb(struct slice line, struct slice *args_out);
/* Domain or address literal of LHLO: 1 to LMTP_NAME_MAX_BYTES of graphic ASCII or UTF-8, no white space. */
enum lmtp_fault	lmtpcmd_lhlo(struct slice args, struct slice *name_out);
/* "FROM:" Reverse-path [SP Mail-parameters]. trusted: XKEY and XQID are known. */
enum lmtp_fault	lmtpcmd_mail(struct slice args, bool trusted, struct lmtp_mail *out);
/* "TO:" Forward-path [SP Rcpt-parameters]. utf8: MAIL had SMTPUTF8. trusted: XPLACE and XUSER are known. */
enum lmtp_fault	lmtpcmd_rcpt(struct slice args, bool utf8, bool trusted, struct lmtp_rcpt *out);
/* chunk-size [SP "LAST"]. */
enum lmtp_fault	lmtpcmd_bdat(struct slice args, uint64_t *bytes_out, bool *last_out);

/* xtext (RFC 3461 4): bytes as they may stand in a parameter's value. out has 3 * s.n + 1 bytes. */
void		xtext_encode(struct slice, char *out);
/* Decodes into out (cap bytes, NUL included); false when it is not xtext, holds a NUL, or does not fit. */
bool		xtext_decode(struct slice, char *out, size_t cap);

#endif
