/*
 * Mail for tests that run imap_run in their own process: appended as a delivery is, without the daemons around it.
 */
#ifndef TS_TEST_IMAP_DELIVERY_H
#define TS_TEST_IMAP_DELIVERY_H

#include "imap_transcript.h"

/* PLAIN to a mailbox of the user in inside form; "": INBOX. Each has a key of its own. */
static inline void
deliver(const char *user, const char *mailbox)
{
	static uint64_t		number;
	unsigned char		key[16] = {0}, guid[RECORD_ID_BYTES] = {9};
	struct store_delivery	d = {.user = slice_of(user), .mailbox = slice_of(mailbox), .sender = SLICE("a@b.example"),
	    .qid = SLICE("q"), .key = key, .date_ms = 1000, .guid = guid,
	    .body = {.mem = SLICE(PLAIN), .fd = -1, .bytes = sizeof(PLAIN) - 1}};
	struct store_placed	placed;

	number++;
	memcpy(key, &number, sizeof(number));
	assert_int_equal(store_deliver(&test_host, &d, &placed), STORE_OK);
	close(placed.log_fd);
}

#endif
