/* The reader of mbx files. */
#include "fuzz_import.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	return fuzz_reader(IMPORT_MBX, p, n);
}
