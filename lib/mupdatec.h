/*
 * A MUPDATE client (RFC 3656), blocking, with a deadline on every step: spoold's changes to the
 * location map, over mupdated's Unix socket (the peer is known by SO_PEERCRED: no AUTHENTICATE).
 */
#ifndef TS_MUPDATEC_H
#define TS_MUPDATEC_H

#include "locmap.h"

struct mupdatec;

/* where: "unix:/path" or "ADDR:PORT". Connects and reads the banner. NULL with errno (ETIMEDOUT ...). */
struct mupdatec	*mupdatec_open(const char *where, int timeout_ms);
void		 mupdatec_close(struct mupdatec *);
/* DONE; PERM: the server said NO (text_out, REPLY_TEXT_MAX_BYTES, says what); TEMP: no answer, or BAD: the connection is of no more use. */
enum result	 mupdatec_reserve(struct mupdatec *, struct slice name, struct slice location, char *text_out);
enum result	 mupdatec_activate(struct mupdatec *, struct slice name, struct slice location, struct slice acl,
		    char *text_out);
enum result	 mupdatec_delete(struct mupdatec *, struct slice name, char *text_out);
enum lookup	 mupdatec_find(struct mupdatec *, struct slice name, struct arena *, struct loc_entry *out);
enum result	 mupdatec_noop(struct mupdatec *);

#endif
