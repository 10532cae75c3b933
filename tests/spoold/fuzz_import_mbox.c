/* The reader of mbox files. */
#include "fuzz_import.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	return fuzz_reader(IMPORT_MBOX, p, n);
}
