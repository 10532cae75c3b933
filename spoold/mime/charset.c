/*
 * The character sets that mail comes in, converted to UTF-8 by iconv(3) in bounded pieces. Called by word.c and
 * contains.c, and once at a worker's start to load the tables before its sandbox closes. A closed list:
 * a name out of a message must never reach iconv_open, which reads files and has had faults in
 * rare tables. Names that senders use loosely mean their superset (as the WHATWG encoding standard has it).
 */
#include "mime/charset.h"

#include <errno.h>
#include <iconv.h>

#include "mime/mime.h"

#define CONVERT_PIECE_BYTES	2048
#define CONVERT_OUT_BYTES	(CONVERT_PIECE_BYTES * 4)

struct charset {
	char		 name[CHARSET_NAME_MAX_BYTES];
	const char	*source;	/* iconv's name; NULL: UTF-8, "": ASCII: nothing to convert */
};

static const struct charset charsets[] = {
	{"us-ascii", ""}, {"ascii", ""}, {"ansi_x3.4-1968", ""}, {"iso646-us", ""}, {"utf-8", NULL}, {"utf8", NULL},
	{"iso-8859-1", "CP1252"}, {"iso8859-1", "CP1252"}, {"latin1", "CP1252"}, {"iso_8859-1", "CP1252"},
	{"iso-8859-2", "ISO-8859-2"}, {"iso-8859-3", "ISO-8859-3"}, {"iso-8859-4", "ISO-8859-4"}, {"iso-8859-5", "ISO-8859-5"},
	{"iso-8859-6", "ISO-8859-6"}, {"iso-8859-7", "ISO-8859-7"}, {"iso-8859-8", "ISO-8859-8"},
	{"iso-8859-8-i", "ISO-8859-8"}, {"iso-8859-9", "CP1254"}, {"iso-8859-10", "ISO-8859-10"}, {"iso-8859-11", "CP874"}, {"iso-8859-13", "ISO-8859-13"},
	{"iso-8859-14", "ISO-8859-14"}, {"iso-8859-15", "ISO-8859-15"}, {"iso8859-15", "ISO-8859-15"},
	{"iso-8859-16", "ISO-8859-16"}, {"windows-1250", "CP1250"}, {"windows-1251", "CP1251"}, {"windows-1252", "CP1252"}, {"windows-1253", "CP1253"},
	{"windows-1254", "CP1254"}, {"windows-1255", "CP1255"}, {"windows-1256", "CP1256"}, {"windows-1257", "CP1257"},
	{"windows-1258", "CP1258"}, {"windows-874", "CP874"}, {"cp1250", "CP1250"}, {"cp1251", "CP1251"}, {"cp1252", "CP1252"},
	{"cp437", "IBM437"}, {"ibm437", "IBM437"}, {"cp850", "IBM850"}, {"ibm850", "IBM850"}, {"cp852", "IBM852"},
	{"cp866", "IBM866"}, {"ibm866", "IBM866"}, {"koi8-r", "KOI8-R"}, {"koi8-u", "KOI8-U"}, {"macintosh", "MACINTOSH"},
	{"tis-620", "CP874"}, {"viscii", "VISCII"},
	{"gb2312", "GB18030"}, {"gbk", "GB18030"}, {"gb18030", "GB18030"}, {"cp936", "GB18030"}, {"hz-gb-2312", "HZ"},
	{"big5", "BIG5-HKSCS"}, {"big5-hkscs", "BIG5-HKSCS"}, {"cp950", "CP950"},
	{"shift_jis", "CP932"}, {"shift-jis", "CP932"}, {"sjis", "CP932"}, {"windows-31j", "CP932"}, {"cp932", "CP932"},
	{"euc-jp", "EUC-JP"}, {"iso-2022-jp", "ISO-2022-JP"},
	{"euc-kr", "CP949"}, {"ks_c_5601-1987", "CP949"}, {"cp949", "CP949"}, {"iso-2022-kr", "ISO-2022-KR"},
	{"utf-16", "UTF-16"}, {"utf-16le", "UTF-16LE"}, {"utf-16be", "UTF-16BE"}, {"utf-32", "UTF-32"}, {"utf-7", "UTF-7"},
};
#define CHARSETS	(sizeof(charsets) / sizeof(charsets[0]))

/* Opened once and kept: their tables stay loaded. NULL: not yet; (iconv_t)-1: this system has none. */
static iconv_t	descriptors[CHARSETS];

static iconv_t
descriptor(const struct charset *c)
{
	iconv_t *d = &descriptors[c - charsets];

	if (*d == NULL)
		*d = iconv_open("UTF-8", c->source);
	return *d;
}

static bool
is_converted(const struct charset *c)
{
	return c != NULL && c->source != NULL && c->source[0] != '\0';
}

/* One byte a character, ASCII its lower half, and nothing held back in case a mark follows (as windows-1255 and 1258 do). */
static bool
is_ascii_and_more(const struct charset *c)
{
	static const char *const prefixes[] = {"ISO-8859-", "KOI8-", "CP1250", "CP1251", "CP1252", "CP1253", "CP1254", "CP1256", "CP1257"};
	size_t i;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(c->source, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

void
mime_charset_preload(void)
{
	size_t i;

	for (i = 0; i < CHARSETS; i++)
		if (is_converted(&charsets[i]))
			(void)descriptor(&charsets[i]);
}

const struct charset *
charset_find(struct slice name)
{
	size_t i;

	for (i = 0; i < CHARSETS; i++)
		if (slice_is_nocase(name, slice_of(charsets[i].name)))
			return !is_converted(&charsets[i]) || descriptor(&charsets[i]) != (iconv_t)-1 ? &charsets[i] : NULL;
	return NULL;
}

bool
mime_charset_is_known(const char *name)
{
	return charset_find(slice_of(name)) != NULL;
}

struct convert
convert_make(const struct charset *c)
{
	if (is_converted(c))
		(void)iconv(descriptor(c), NULL, NULL, NULL, NULL);
	return (struct convert){.charset = c, .has_ascii = is_converted(c) && is_ascii_and_more(c)};
}

static void
convert_bad(struct convert *cv, struct fold *f)
{
	cv->is_bad = true;
	fold_feed(f, SLICE("\xef\xbf\xbd"));
}

/* Eight at a time. */
static bool
has_high(struct slice s)
{
	uint64_t eight, all = 0;
	size_t i;

	for (i = 0; i + sizeof(eight) <= s.n; i += sizeof(eight)) {
		memcpy(&eight, s.p + i, sizeof(eight));
		all |= eight;
	}
	for (; i < s.n; i++)
		all |= (unsigned char)s.p[i];
	return (all & 0x8080808080808080) != 0;
}

/* One piece of at most CONVERT_PIECE_BYTES + CHARSET_CARRY_MAX_BYTES; how much of it was used. */
static size_t
convert_piece(struct convert *cv, struct slice in, struct fold *f)
{
	char out[CONVERT_OUT_BYTES], *from = (char *)(uintptr_t)in.p, *to;
	size_t left = in.n, room, r;

	while (left > 0) {
		to = out;
		room = sizeof(out);
		r = iconv(descriptor(cv->charset), &from, &left, &to, &room);
		fold_feed(f, (struct slice){out, (size_t)(to - out)});
		if (r != (size_t)-1 || errno == E2BIG)
			continue;
		if (errno == EINVAL && left < CHARSET_CARRY_MAX_BYTES)
			break;
		convert_bad(cv, f);
		from++;
		left--;
	}
	return in.n - left;
}

void
convert_feed(struct convert *cv, struct slice in, struct fold *f)
{
	char piece[CHARSET_CARRY_MAX_BYTES + CONVERT_PIECE_BYTES];

	if (!is_converted(cv->charset)) {	/* what calls itself ASCII and is 8-bit is mostly UTF-8 */
		if (cv->charset != NULL && cv->charset->source != NULL)
			cv->is_bad |= has_high(in);
		fold_feed(f, in);
		return;
	}
	while (in.n > 0) {
		size_t n = in.n < CONVERT_PIECE_BYTES ? in.n : CONVERT_PIECE_BYTES, used;

		if (cv->has_ascii && !has_high((struct slice){in.p, n})) {	/* as most pieces are */
			fold_feed(f, (struct slice){in.p, n});
			in = (struct slice){in.p + n, in.n - n};
			continue;
		}
		memcpy(piece, cv->carry, cv->ncarry);
		memcpy(piece + cv->ncarry, in.p, n);
		in.p += n;
		in.n -= n;
		n += cv->ncarry;
		used = convert_piece(cv, (struct slice){piece, n}, f);
		cv->ncarry = n - used;
		memcpy(cv->carry, piece + used, cv->ncarry);
	}
}

void
convert_end(struct convert *cv, struct fold *f)
{
	char out[64], *to = out;	/* some tables hold a character back in case a mark follows */
	size_t room = sizeof(out);

	if (is_converted(cv->charset)) {
		(void)iconv(descriptor(cv->charset), NULL, NULL, &to, &room);
		fold_feed(f, (struct slice){out, (size_t)(to - out)});
	}
	if (cv->ncarry > 0)
		convert_bad(cv, f);
	cv->ncarry = 0;
}
