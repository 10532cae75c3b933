/* Content-Type and its relatives: a value and its parameters. Contract of param.c; used inside mime/ only. */
#ifndef TS_MIME_PARAM_H
#define TS_MIME_PARAM_H

#include "arena.h"
#include "mime/text.h"

#define PARAMS_MAX		256	/* of one field, pieces of RFC 2231 counted; later ones are not looked at */
#define PARAM_TOKEN_MAX_BYTES	127	/* a type or subtype (RFC 6838 4.2), a parameter's name */

struct content {
	struct slice	type, subtype;	/* tokens */
	struct slice	rest;		/* from the first ";" on: the parameters */
	bool		is_default;	/* no such field, or one that cannot be read */
};

/*
 * content := "Content-Type" ":" type "/" subtype *(";" parameter) (RFC 2045 5.1) of a part's header;
 * without one, or with a malformed one, text/plain (RFC 2045 5.2), message/rfc822 where there is none inside a digest.
 */
struct content	content_type(struct slice header, bool in_digest);
/* As above from the field's value; NULL value: no field. */
struct content	content_type_parse(struct slice value, bool in_digest);
bool		content_is(const struct content *, const char *type, const char *subtype);
/* token at the start of a value (disposition type, encoding); empty where there is none. *rest_out: the parameters. */
struct slice	param_token(struct slice value, struct slice *rest_out);

/*
 * The boundary parameter (RFC 2231 continuations joined) in the arena, trailing white space gone; empty
 * where there is none. -1 past the arena's cap.
 */
int		param_boundary(struct slice params, struct arena *, struct slice *out);
/* Value of a parameter that is not continued; an empty text where there is none. */
struct text	param_get(struct slice params, const char *name);
/* body-fld-param (RFC 3501 9): "(" name value ... ")" or NIL; continuations joined (RFC 2231 6). 0 or -1. */
int		param_put(struct slice params, struct arena *, struct buf *out);

#endif
