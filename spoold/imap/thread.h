/*
 * THREAD and UID THREAD (RFC 5256 3, 4, 5).
 */
#ifndef TS_IMAP_THREAD_H
#define TS_IMAP_THREAD_H

#include "imap/imap.h"
#include "imap/search_parse.h"

enum thread_algorithm { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES };

struct thread_args {
	enum thread_algorithm	algorithm;
	struct search_args	search;
};

/* SP thread-alg SP search-criteria, to the end. Pure. */
enum parse	parse_thread_args(struct slice *cur, struct arena *, struct thread_args *out);
void		thread_run(struct imap *, struct slice args);

#endif
