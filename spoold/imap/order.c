/*
 * The order of SORT's results and of THREAD's siblings. Called by sort.c and thread.c. Never recurses, never
 * allocates; what is in order already costs one comparison a row.
 */
#include "imap/order.h"

#include <string.h>

/* Merges from[lo..mid) and from[mid..hi) into to. */
static void
runs_merge(const uint32_t *from, uint32_t *to, size_t lo, size_t mid, size_t hi, order_compare *compare, const void *arg)
{
	size_t	a = lo, b = mid;

	if (mid >= hi || compare(arg, from[mid - 1], from[mid]) <= 0) {
		memcpy(to + lo, from + lo, (hi - lo) * sizeof(*to));
		return;
	}
	for (size_t at = lo; at < hi; at++)
		to[at] = b == hi || (a < mid && compare(arg, from[a], from[b]) <= 0) ? from[a++] : from[b++];
}

void
order_sort(uint32_t *rows, uint32_t *tmp, size_t n, order_compare *compare, const void *arg)
{
	uint32_t	*from = rows, *to = tmp;

	for (size_t width = 1; width < n; width *= 2) {
		uint32_t	*swap = from;

		for (size_t lo = 0; lo < n; lo += 2 * width) {
			size_t	mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;

			runs_merge(from, to, lo, mid, hi, compare, arg);
		}
		from = to;
		to = swap;
	}
	if (from != rows)
		memcpy(rows, from, n * sizeof(*rows));
}
