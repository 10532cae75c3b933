/* What SEARCH, PREVIEW and BINARY ask of a part before they decode it. Contract of leaf.c; used inside mime/ only. */
#ifndef TS_MIME_LEAF_H
#define TS_MIME_LEAF_H

#include "mime/charset.h"
#include "mime/decode.h"
#include "mime/mime.h"
#include "mime/param.h"

/* The name of a header's Content-Transfer-Encoding; empty where it has none. */
struct slice		 leaf_encoding(struct slice header);
/* Can it be undone? (RFC 2045 6.1; no encoding is 7bit) */
bool			 leaf_can_decode(struct slice encoding);
/* NULL: not known. */
const struct charset	*leaf_charset(const struct content *);
/* The next part in the order of the message; NULL after the last. */
const struct mime_part	*part_after(const struct mime_part *);

#endif
