/*
 * Puts row numbers in order: a merge sort, whose time no input can spoil and which keeps equals as they were.
 */
#ifndef TS_IMAP_ORDER_H
#define TS_IMAP_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* Less than, equal or greater than 0, as strcmp. */
typedef int	order_compare(const void *arg, uint32_t x, uint32_t y);

/* Sorts rows[0..n) with tmp[0..n) to work in. */
void		order_sort(uint32_t *rows, uint32_t *tmp, size_t n, order_compare *, const void *arg);

#endif
