/*
 * Reads one whole command into im->text. Framing is frame_line's; here is decided how much is taken:
 * every limit is checked before the bytes are, and refused {n+} literals are dropped by count, so that
 * a message is never read as commands. RFC 3501 4.3, 7.5; RFC 7888 4.
 */
#include "imap/read.h"

#include "imap/append.h"
#include "imap/append_bytes.h"
#include "imap/metadata.h"
#include "imap/metadata_parse.h"
#include "imap/parse.h"

/* A command being read. */
struct reading {
	size_t		 line_bytes;	/* of all its line pieces */
	size_t		 literal_bytes;
	size_t		 nliterals;
	uint64_t	 dropped;	/* bytes of refused literals */
	const char	*refusal;	/* "NO ..." or "BAD ...": the rest is dropped, then this is said; NULL: none */
};

/* The tag of what was read so far, for answers to what never becomes a command. */
static void
tag_take(struct imap *im, struct slice text)
{
	struct slice	tag;

	if (im->tag[0] != '*' || parse_tag(&text, &tag) != PARSE_OK || tag.n > IMAP_TAG_MAX_BYTES || text.n == 0 ||
	    text.p[0] != ' ')
		return;
	memcpy(im->tag, tag.p, tag.n);
	im->tag[tag.n] = '\0';
}

static enum read_result
refuse(struct imap *im, const char *refusal)
{
	imap_refuse(im, refusal);
	return im->is_over ? READ_OVER : READ_REFUSED;
}

/*
 * Drops input up to and with the next LF. A line that ends in "+}" promised a literal that nobody will
 * count: then, and when no LF comes, the session is over (what follows could be taken for commands).
 */
static bool
line_drop(struct imap *im)
{
	char		last[4] = "";	/* before the LF */
	uint64_t	dropped = 0;

	for (;;) {
		struct buf	*in = &im->s->in;
		const char	*lf = in->n > 0 ? memchr(in->p, '\n', in->n) : NULL;
		size_t		 n = lf == NULL ? in->n : (size_t)(lf - in->p) + 1;

		for (size_t i = n > 4 ? n - 4 : 0; i < n; i++) {
			memmove(last, last + 1, 3);
			last[3] = in->p[i];
		}
		buf_drop(in, n);
		dropped += n;
		if (lf != NULL)
			break;
		if (dropped > IMAP_DISCARD_MAX_BYTES) {
			imap_bye(im, "line", "[TOOBIG] A line without end");
			return false;
		}
		if (session_fill(im->s, -1) <= 0)
			return false;
	}
	if (memcmp(last, "+}\r\n", 4) == 0 || memcmp(last + 1, "+}\n", 3) == 0) {
		imap_bye(im, "literal", "A literal after a faulty line");
		return false;
	}
	return true;
}

static enum read_result
line_fault(struct imap *im, enum frame_fault fault)
{
	tag_take(im, buf_slice(im->text.n > 0 ? &im->text : &im->s->in));
	if (!line_drop(im))
		return READ_OVER;
	switch (fault) {
	case FRAME_LONG:
		return refuse(im, "BAD [TOOBIG] Line too long");
	case FRAME_BARE:
		if (++im->nbare >= IMAP_BARE_MAX) {
			imap_bye(im, "bare", "Lines end in CR LF");
			return READ_OVER;
		}
		return refuse(im, "BAD A bare CR or LF: lines end in CR LF");
	case FRAME_NUL:
		return refuse(im, "BAD A NUL in a command");
	case FRAME_LITERAL:
		break;
	}
	return refuse(im, "BAD [TOOBIG] No literal is that large");
}

/* Waits for a whole line at the start of the input. READ_OK: *line_out points into s->in. */
static enum read_result
line_next(struct imap *im, size_t line_max, struct frame_line *line_out)
{
	for (;;) {
		enum frame_fault	fault;

		switch (frame_line(buf_slice(&im->s->in), line_max, true, line_out, &fault)) {
		case PARSE_OK:
			return READ_OK;
		case PARSE_BAD:
			return line_fault(im, fault);
		case PARSE_MORE:
			break;
		}
		if (session_fill(im->s, -1) <= 0)
			return READ_OVER;
	}
}

/* Reads exactly n bytes of a literal, giving each piece to take. False when the peer is gone. */
static bool
literal_bytes(struct imap *im, uint64_t n, void (*take)(struct imap *, struct slice))
{
	while (n > 0) {
		struct buf	*in = &im->s->in;
		size_t		 k;

		if (in->n == 0 && session_fill(im->s, -1) <= 0)
			return false;
		k = in->n < n ? in->n : (size_t)n;
		take(im, (struct slice){in->p, k});
		buf_drop(in, k);
		n -= k;
	}
	return true;
}

static void
text_take(struct imap *im, struct slice s)
{
	(void)buf_add_slice(&im->text, s);	/* its cap is above the limits checked before */
}

static void
bytes_drop(struct imap *im, struct slice s)
{
	(void)im;
	(void)s;
}

/* A literal that is not wanted: {n} is answered now, {n+} is counted off. */
static enum read_result
literal_refuse(struct imap *im, struct reading *rd, const struct frame_line *line)
{
	if (!line->is_nonsync)
		return refuse(im, rd->refusal);
	if (line->literal_bytes > IMAP_DISCARD_MAX_BYTES - rd->dropped) {
		imap_bye(im, "literal", "[TOOBIG] Literal too large");
		return READ_OVER;
	}
	rd->dropped += line->literal_bytes;
	return literal_bytes(im, line->literal_bytes, bytes_drop) ? READ_OK : READ_OVER;
}

/* Why a literal that is not APPEND's message is refused; NULL when it is not. */
static const char *
literal_fault(struct reading *rd, const struct frame_line *line, struct slice before)
{
	bool	is_metadata = setmetadata_is_head(before);

	if (is_metadata && line->literal_bytes > STORE_META_VALUE_MAX_BYTES)
		return "NO " METADATA_TOO_LARGE;
	if (line->is_binary && !is_metadata)
		return "BAD No literal8 is expected here";
	if (rd->nliterals >= IMAP_LITERALS_MAX)
		return "BAD [TOOBIG] Too many literals";
	if (line->literal_bytes > IMAP_LITERALS_MAX_BYTES - rd->literal_bytes)
		return "NO [TOOBIG] Literals too large";
	rd->nliterals++;
	rd->literal_bytes += (size_t)line->literal_bytes;
	return NULL;
}

static bool
literal_ask(struct imap *im, const struct frame_line *line)
{
	if (line->is_nonsync)
		return true;
	session_puts(im->s, "+ Go on\r\n");
	return session_flush(im->s) == 0;
}

/* A literal that stays in the command's text. */
static enum read_result
literal_into_text(struct imap *im, struct reading *rd, const struct frame_line *line, struct slice before)
{
	size_t	from = im->text.n;

	if ((rd->refusal = literal_fault(rd, line, before)) != NULL)
		return literal_refuse(im, rd, line);
	if (!literal_ask(im, line) || !literal_bytes(im, line->literal_bytes, text_take))
		return READ_OVER;
	if (!line->is_binary && memchr(im->text.p + from, '\0', im->text.n - from) != NULL)
		rd->refusal = "BAD A NUL in a literal";
	return READ_OK;
}

/* The literal that ends this line, which the text holds up to before. READ_OK: the next line piece follows. */
static enum read_result
literal_read(struct imap *im, struct reading *rd, const struct frame_line *line, size_t before)
{
	enum append_want	want = APPEND_OTHER;

	if (rd->refusal == NULL)
		want = append_literal(im, before, line->literal_bytes, line->is_binary, &rd->refusal);
	if (rd->refusal != NULL)
		return literal_refuse(im, rd, line);
	if (want != APPEND_TAKE)
		return literal_into_text(im, rd, line, (struct slice){im->text.p, before});
	if (!literal_ask(im, line) || !literal_bytes(im, line->literal_bytes, append_take))
		return READ_OVER;
	rd->refusal = append_end(im);
	return READ_OK;
}

enum read_result
read_command(struct imap *im)
{
	struct reading	rd = {0};

	buf_clear(&im->text);
	(void)strcpy(im->tag, "*");
	for (;;) {
		struct frame_line	line;
		enum read_result	r;
		size_t			before;
		bool			has_literal;

		if ((r = line_next(im, IMAP_LINE_MAX_BYTES - rd.line_bytes, &line)) != READ_OK)
			return r;
		rd.line_bytes += line.text.n;
		before = im->text.n + line.before.n;
		has_literal = line.has_literal;
		if (rd.refusal == NULL) {
			(void)buf_add_slice(&im->text, line.text);
			if (has_literal)
				(void)buf_add_str(&im->text, "\r\n");
			tag_take(im, buf_slice(&im->text));
		}
		buf_drop(&im->s->in, line.used);
		if (!has_literal)
			return rd.refusal != NULL ? refuse(im, rd.refusal) : READ_OK;
		r = literal_read(im, &rd, &line, before);
		if (r != READ_OK)
			return r;
	}
}
