/*
 * What the fuzz targets of the import's readers share: whatever is in a file, its reader comes to an end, gives no lone CR or LF
 * and no octet 0, and never reads beyond the file.
 */
#ifndef TS_FUZZ_IMPORT_H
#define TS_FUZZ_IMPORT_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "import/reader.h"

int	LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
fuzz_reader(enum import_kind kind, const uint8_t *p, size_t n)
{
	static struct import_message m;
	struct reader r;
	enum import_got got;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t steps = 0;

	if (write(fd, p, n) != (ssize_t)n) {
		close(fd);
		return 0;
	}
	if (reader_open(&r, kind, fd, "") != 0)
		return 0;
	while ((got = reader_next(&r, &m)) != IMPORT_END && got != IMPORT_ERROR) {
		assert(++steps <= n + 1);
		assert(r.done <= n);
		if (got != IMPORT_MESSAGE)
			continue;
		assert(memchr(m.bytes.p != NULL ? m.bytes.p : "x", '\0', m.bytes.n) == NULL);
		for (size_t i = 0; i < m.bytes.n; i++)
			assert(m.bytes.p[i] != '\n' || (i > 0 && m.bytes.p[i - 1] == '\r'));
	}
	reader_close(&r);
	return 0;
}

#endif
