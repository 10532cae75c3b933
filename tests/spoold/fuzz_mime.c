/* Whole messages: the tree of parts keeps its invariants and BODYSTRUCTURE its grammar, whatever comes. */
#include "mime_grammar.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

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
	if (mime_bodystructure(msg, root, true, &arena, &out) == -1 || !grammar_is_body(buf_slice(&out), true))
		abort();
	buf_clear(&out);
	if (mime_bodystructure(msg, root, false, &arena, &out) == -1 || !grammar_is_body(buf_slice(&out), false))
		abort();
	if (root->header_bytes != mime_header_bytes(msg) || mime_section(root, numbers, 0) != root)
		abort();
	(void)mime_section(root, numbers, 3);
	needle = mime_fold((struct slice){msg.p, n < 3 ? n : 3}, NULL, &arena);
	if (needle.p != NULL)
		(void)mime_text_contains(msg, root, needle, n % 2 == 0);
	(void)mime_text_contains(msg, root, SLICE("zzzz"), true);
	buf_free(&out);
	arena_free(&arena);
	return 0;
}
