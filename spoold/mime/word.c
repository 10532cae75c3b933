/*
 * Encoded words (RFC 2047, the language of RFC 2231 5) of a header value, decoded for searching. Called by
 * contains.c. Lenient on purpose: words are seen wherever they stand and however long they are, as
 * mail programs show them. Linear: no byte of a word that is none is looked at more than a few times.
 */
#include "mime/word.h"

#include "mime/charset.h"
#include "mime/decode.h"

#define WORD_PIECE_BYTES	1024

struct word {
	struct slice	charset;	/* without the language */
	bool		is_base64;
	struct slice	text;
	size_t		used;
};

/* Bytes up to c, white space or the end. */
static size_t
span_to(struct slice s, size_t at, char c)
{
	while (at < s.n && s.p[at] != c && s.p[at] > ' ')
		at++;
	return at;
}

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?=" (RFC 2047 2) at the start of s */
static bool
word_parse(struct slice s, struct word *out)
{
	size_t charset_end, text_at, text_end;
	const char *star;

	if (s.n < 8 || s.p[0] != '=' || s.p[1] != '?')
		return false;
	charset_end = span_to((struct slice){s.p, s.n < CHARSET_NAME_MAX_BYTES ? s.n : CHARSET_NAME_MAX_BYTES}, 2, '?');
	if (charset_end + 3 >= s.n || s.p[charset_end] != '?' || s.p[charset_end + 2] != '?')
		return false;
	if (strchr("bBqQ", s.p[charset_end + 1]) == NULL || s.p[charset_end + 1] == '\0')
		return false;
	text_at = charset_end + 3;
	for (text_end = text_at; text_end < s.n && s.p[text_end] != '?' && s.p[text_end] != ' ' && s.p[text_end] != '\t' &&
	    s.p[text_end] != '\r' && s.p[text_end] != '\n'; text_end++)
		;
	if (text_end + 1 >= s.n || s.p[text_end] != '?' || s.p[text_end + 1] != '=')
		return false;
	out->charset = (struct slice){s.p + 2, charset_end - 2};
	if ((star = memchr(out->charset.p, '*', out->charset.n)) != NULL)
		out->charset.n = (size_t)(star - out->charset.p);
	out->is_base64 = s.p[charset_end + 1] == 'b' || s.p[charset_end + 1] == 'B';
	out->text = (struct slice){s.p + text_at, text_end - text_at};
	out->used = text_end + 2;
	return true;
}

static void
word_put(const struct word *w, struct convert *cv, struct fold *f)
{
	struct decode d = {.kind = w->is_base64 ? DECODE_BASE64 : DECODE_Q};
	char out[WORD_PIECE_BYTES + sizeof(d.held)];
	struct slice text = w->text;

	while (text.n > 0) {
		struct slice piece = {text.p, text.n < WORD_PIECE_BYTES ? text.n : WORD_PIECE_BYTES};

		convert_feed(cv, (struct slice){out, decode_feed(&d, piece, out)}, f);
		text.p += piece.n;
		text.n -= piece.n;
	}
	convert_feed(cv, (struct slice){out, decode_end(&d, out)}, f);
}

/* Ordinary text: line ends are folds and vanish. */
static void
plain_feed(struct slice s, struct fold *f)
{
	size_t i, begin = 0;

	for (i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '\r' && s.p[i] != '\n')
			continue;
		fold_feed(f, (struct slice){s.p + begin, i - begin});
		begin = i + 1;
	}
}

/*
 * Encoded words at the start of s, the white space between them gone (RFC 2047 6.2); how much of s they are. A character may be
 * cut between two of the same charset, as some senders do.
 */
static size_t
words_feed(struct slice s, struct fold *f)
{
	struct word w, next;
	struct convert cv;
	size_t at = 0, space;

	if (!word_parse(s, &w))
		return 0;
	cv = convert_make(charset_find(w.charset));
	for (;;) {
		word_put(&w, &cv, f);
		at += w.used;
		for (space = at; space < s.n && strchr(" \t\r\n", s.p[space]) != NULL && s.p[space] != '\0'; space++)
			;
		if (!word_parse((struct slice){s.p + space, s.n - space}, &next))
			break;
		if (!slice_is_nocase(next.charset, w.charset)) {
			convert_end(&cv, f);
			cv = convert_make(charset_find(next.charset));
		}
		w = next;
		at = space;
	}
	convert_end(&cv, f);
	return at;
}

void
word_feed(struct slice value, struct fold *f)
{
	while (value.n > 0) {
		size_t n = words_feed(value, f);

		if (n == 0) {
			const char *p = memchr(value.p + 1, '=', value.n - 1);

			n = p == NULL ? value.n : (size_t)(p - value.p);
			plain_feed((struct slice){value.p, n}, f);
		}
		value.p += n;
		value.n -= n;
	}
}
