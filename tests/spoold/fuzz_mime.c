/* Whole messages: the tree of parts keeps its invariants and BODYSTRUCTURE its grammar, whatever comes. */
#include <utf8proc.h>

#include "mime_grammar.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* At most so many characters of UTF-8, none of them a control, white space only between others. */
static void
preview_check(struct slice msg, const struct mime_part *root)
{
	struct buf out = buf_make(4 * MIME_PREVIEW_MAX_CHARS);
	utf8proc_int32_t c, last = ' ';
	size_t chars = 0, n;

	if (mime_preview(msg, root, &out) != 0)
		abort();
	for (size_t i = 0; i < out.n; i += n, chars++) {
		n = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)out.p + i, (utf8proc_ssize_t)(out.n - i), &c);
		if (n == 0 || n > 4 || c < ' ' || (c >= 0x7f && c < 0xa0) || (c == ' ' && last == ' '))
			abort();
		last = c;
	}
	if (chars > MIME_PREVIEW_MAX_CHARS || (chars > 0 && last == ' '))
		abort();
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct slice msg = {(const char *)bytes, n}, needle;
	struct arena arena = arena_make(64 << 20);
	struct buf out = buf_make(64 << 20);
	struct mime_part *root = mime_parse(msg, &arena);
	const uint32_t numbers[] = {n > 0 ? bytes[n - 1] % 4U : 1, 1, 2};

	if (root == NULL || tree_fault(msg, root) != NULL)
		abort();
	for (int how = 0; how < 4; how++) {
		bool extended = (how & 1) != 0, is_rev2 = (how & 2) != 0;

		buf_clear(&out);
		if (mime_bodystructure(msg, root, extended, is_rev2, &arena, &out) == -1 || !grammar_is_body(buf_slice(&out), extended, is_rev2))
			abort();
	}
	if (root->header_bytes != mime_header_bytes(msg) || mime_section(root, numbers, 0) != root)
		abort();
	(void)mime_section(root, numbers, 3);
	needle = mime_fold((struct slice){msg.p, n < 3 ? n : 3}, NULL, &arena);
	if (needle.p != NULL)
		(void)mime_text_contains(msg, root, needle, n % 2 == 0);
	(void)mime_text_contains(msg, root, SLICE("zzzz"), true);
	preview_check(msg, root);
	buf_free(&out);
	arena_free(&arena);
	return 0;
}
