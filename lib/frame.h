/*
 * Framing, decided here and nowhere else: where a line ends, where a literal stands, where DATA
 * ends. Used by IMAP, POP3, MUPDATE (lines, literals) and LMTP (lines, dot). Pure: no I/O, no heap.
 * Past this file no line holds a bare CR, a bare LF or a NUL.
 */
#ifndef TS_FRAME_H
#define TS_FRAME_H

#include <stdint.h>

#include "buf.h"
#include "result.h"

struct frame_line {
	struct slice	text;		/* without CRLF; with the literal's mark */
	size_t		used;		/* input bytes consumed, CRLF included */
	bool		has_literal;	/* ends in {n}, {n+} or ~{n}: n bytes follow, then the line goes on */
	bool		is_nonsync;	/* {n+}: do not ask for it (RFC 7888) */
	bool		is_binary;	/* ~{n} (RFC 3516) */
	uint64_t	literal_bytes;
	struct slice	before;		/* text without the literal's mark */
};

enum frame_fault { FRAME_LONG, FRAME_BARE, FRAME_NUL, FRAME_LITERAL };

/*
 * One line at the start of in. PARSE_MORE: no CRLF yet (and no fault yet). PARSE_BAD: fault_out says:
 * FRAME_LONG over line_max bytes before CRLF; FRAME_BARE a CR without LF or LF without CR; FRAME_NUL;
 * FRAME_LITERAL a mark whose number does not fit 63 bits. After BAD, out->used is how far the faulty
 * line reaches when its end (LF) is in the input, else 0 (resynchronise: drop to the next LF).
 * Literals are looked for only where literals is true.
 */
enum parse	frame_line(struct slice in, size_t line_max, bool literals, struct frame_line *out,
		    enum frame_fault *fault_out);

/* DATA of SMTP and LMTP (RFC 5321 4.5.2): ends only at CRLF.CRLF; dots unstuffed. */
struct frame_dot {
	enum { DOT_BOL, DOT_TEXT, DOT_CR, DOT_DOT, DOT_DOT_CR } state;
	uint64_t	bare;		/* lone CR or LF that became CRLF */
	uint64_t	nuls;		/* NULs seen: the message is to be refused */
};

/*
 * Feeds input; decoded bytes are appended to out (at most in.n * 2 + 4 bytes; give it room). PARSE_OK:
 * the end was seen, *used_out bytes were consumed, the rest is the next command. PARSE_MORE: all was
 * consumed. Never PARSE_BAD but when out is full (ENOBUFS; nothing consumed).
 * Start with a zeroed struct (DOT_BOL). A message whose last line had no CRLF cannot exist.
 */
enum parse	frame_dot(struct frame_dot *, struct slice in, size_t *used_out, struct buf *out);
/* The same treatment of lone CR and LF and NUL for BDAT chunks; last: the final chunk (adds a missing CRLF). */
int		frame_chunk(struct frame_dot *, struct slice in, bool last, struct buf *out);
/*
 * Dot-stuffs for sending: appends in to out (at most in.n * 2 + 4 bytes; give it room), state kept over calls; a
 * lone CR or LF goes out as CRLF. frame_stuff_end ends an open line and adds the final dot. 0 or -1 (ENOBUFS).
 */
struct frame_stuff { bool is_mid_line; bool had_cr; };
int		frame_stuff(struct frame_stuff *, struct slice in, struct buf *out);
int		frame_stuff_end(struct frame_stuff *, struct buf *out);

#endif
