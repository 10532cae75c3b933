/* Header blocks: ENVELOPE keeps its grammar; fields, dates, encoded words, the ASCII form and folding take anything. */
#include "mime/surrogate.h"
#include "mime_grammar.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* ASCII, still one header block, and no more growth than said. */
static void
surrogate_check(struct slice header)
{
	struct buf out = buf_make(header.n * SURROGATE_GROWTH + 1);

	if (surrogate_header(header, &out) == -1 || surrogate_is_due(buf_slice(&out)) ||
	    (out.n > 0 && mime_header_bytes(buf_slice(&out)) != out.n))
		abort();
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const char *const sets[] = {"utf-8", "us-ascii", "iso-2022-jp", "utf-7", "big5", "windows-1255", "gb2312", "nonsense"};
	struct slice header = {(const char *)bytes, n}, value, needle;
	const struct slice names[] = {SLICE("Subject"), SLICE("X-A")};
	struct arena arena = arena_make(64 << 20);
	struct buf out = buf_make(64 << 20);
	int64_t utc, day;

	if (mime_envelope(header, &arena, &out) == -1 || !grammar_is_envelope(buf_slice(&out)))
		abort();
	buf_clear(&out);
	if (mime_header_fields(header, names, 2, n % 2 == 0, &out) == -1 || out.n < 2 || mime_header_bytes(buf_slice(&out)) != out.n)
		abort();
	if (mime_header_get(header, "date", &value) && mime_date(value, &utc, &day) && (utc > (day + 2) * 86400 || utc < (day - 5) * 86400))
		abort();
	surrogate_check((struct slice){header.p, mime_header_bytes(header)});
	(void)mime_date(header, &utc, &day);
	(void)mime_header_contains(header, SLICE("zzzz"));
	needle = mime_fold(header, n > 0 ? sets[bytes[0] % 8] : NULL, &arena);
	if (needle.p != NULL && n > 0 && bytes[0] % 8 == 0) {	/* UTF-8: folding once is enough, and a text contains itself */
		struct slice again = mime_fold(needle, NULL, &arena);

		if (again.p == NULL)
			abort();
	}
	buf_free(&out);
	arena_free(&arena);
	return 0;
}
