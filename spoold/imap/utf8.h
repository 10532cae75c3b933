/*
 * UTF-8 where IMAP's grammar allows it: in quoted strings (RFC 6855 3, RFC 9051 4.3). Pure.
 */
#ifndef TS_IMAP_UTF8_H
#define TS_IMAP_UTF8_H

#include "slice.h"

/* Only what RFC 3629 allows: no overlong form, no surrogate, nothing past U+10FFFF. ASCII is. */
bool	utf8_is_valid(struct slice);
bool	utf8_is_ascii(struct slice);

#endif
