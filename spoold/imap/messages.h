/*
 * Goes once more over what a search found, each message with its content (content.h).
 */
#ifndef TS_IMAP_MESSAGES_H
#define TS_IMAP_MESSAGES_H

#include "imap/content.h"
#include "imap/found.h"

struct message_walk {
	/* Message i of what was found; not STORE_OK ends the walk. */
	enum store_result	(*take)(void *arg, size_t i, struct content *);
	void			*arg;
};

/* STORE_OK also where a message is gone meanwhile: take is not called for it. The content's m is the message. */
enum store_result	messages_walk(struct imap *, const struct found *, const struct message_walk *);

#endif
