/*
 * What is UTF-8 and what only pretends to be. Called by the parser of quoted strings, by quote.c and name.c, with
 * bytes a stranger chose. Never changes them. RFC 3629 4.
 */
#include "imap/utf8.h"

#include <utf8proc.h>

bool
utf8_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

bool
utf8_is_valid(struct slice s)
{
	for (size_t i = 0; i < s.n;) {
		utf8proc_int32_t	point;
		utf8proc_ssize_t	n;

		if ((unsigned char)s.p[i] < 0x80) {
			i++;
			continue;
		}
		n = utf8proc_iterate((const utf8proc_uint8_t *)s.p + i, (utf8proc_ssize_t)(s.n - i), &point);
		if (n <= 0)
			return false;
		i += (size_t)n;
	}
	return true;
}
