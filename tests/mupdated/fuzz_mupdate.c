/*
 * MUPDATE lines from anybody: framed whole or byte by byte the outcome is the same, what is parsed lies inside
 * the input, and a string said again parses to itself. Then the same bytes as verbs of the other process.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mupdatewire.h"
#include "verb.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
strings_repeat(const struct mupdate_line *line)
{
	struct buf b = buf_make(4 * MUPDATE_WHOLE_MAX_BYTES);
	struct mupdate_line again;

	(void)buf_add_str(&b, "t w");
	for (size_t i = 0; i < line->nargs; i++)
		if (mupdate_string_add(&b, 0, line->args[i]) == -1)
			abort();
	(void)buf_add_str(&b, "\r\n");
	if (mupdate_parse(b.p, b.n, &again) != MUPDATE_OK || again.nargs != line->nargs)
		abort();
	for (size_t i = 0; i < line->nargs; i++)
		if (!slice_is(line->args[i], again.args[i]))
			abort();
	buf_free(&b);
}

static void
line_take(const uint8_t *data, size_t n)
{
	struct mupdate_frame whole = {0}, bytes = {0};
	enum mupdate_framing a, b = MUPDATE_MORE;
	struct mupdate_line line;
	char *copy;

	do {
		a = mupdate_frame(&whole, (struct slice){(const char *)data, n}, 4096, 8192);
	} while (a == MUPDATE_GO_AHEAD);
	for (size_t i = 1; i <= n && (b == MUPDATE_MORE || b == MUPDATE_GO_AHEAD); i++) {
		do {
			b = mupdate_frame(&bytes, (struct slice){(const char *)data, i}, 4096, 8192);
		} while (b == MUPDATE_GO_AHEAD);
	}
	/* A line is past its limit by what has come of it, so only the good outcomes are independent of the pieces. */
	if ((a == MUPDATE_WHOLE) != (b == MUPDATE_WHOLE) || (a == MUPDATE_WHOLE && whole.at != bytes.at))
		abort();
	if (a != MUPDATE_WHOLE && a != MUPDATE_REFUSED)
		return;
	if (whole.at > n || (copy = malloc(whole.at)) == NULL)
		abort();
	memcpy(copy, data, whole.at);
	if (mupdate_parse(copy, whole.at, &line) == MUPDATE_OK)
		strings_repeat(&line);
	free(copy);
	if (whole.at > 0 && whole.at < n)
		line_take(data + whole.at, n - whole.at);
}

static void
verbs_take(const uint8_t *data, size_t n)
{
	struct verb_entries entries;
	struct verb_answer answer;
	struct verb_change change;
	struct verb_login login;
	struct verb_bytes bytes;
	struct verb_find find;
	struct verb_dump dump;
	struct loc_entry e;
	struct verb_set set;
	struct slice mechs;
	uint64_t conn;

	(void)verb_unpack_set(&(struct unpack){data, n, false}, &set);
	(void)verb_unpack_find(&(struct unpack){data, n, false}, &find);
	(void)verb_unpack_dump(&(struct unpack){data, n, false}, &dump);
	(void)verb_unpack_login(&(struct unpack){data, n, false}, &login);
	(void)verb_unpack_forget(&(struct unpack){data, n, false}, &conn);
	(void)verb_unpack_mechs(&(struct unpack){data, n, false}, &mechs);
	(void)verb_unpack_answer(&(struct unpack){data, n, false}, &answer);
	(void)verb_unpack_change(&(struct unpack){data, n, false}, &change);
	(void)verb_unpack_challenge(&(struct unpack){data, n, false}, &bytes);
	if (verb_unpack_entries(&(struct unpack){data, n, false}, &entries))
		while (verb_entry_next(&entries, &e) == FOUND)
			continue;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 0 && n < 16384)
		line_take(data, n);
	verbs_take(data, n);
	return 0;
}
