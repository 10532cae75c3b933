/*
 * SAVEDATE (RFC 8514): when a message came into the mailbox it is in, whatever its INTERNALDATE says.
 */
#include <time.h>

#include "imap_transcript.h"
#include "imap/quote.h"
#include "log.h"

/* Today and its neighbours as SEARCH writes them. */
static const char *
day_text(int days, char text[16])
{
	time_t	t = (time_t)(now_ms() / 1000) + days * 86400;

	(void)strftime(text, 16, "%d-%b-%Y", gmtime(&t));
	return text;
}

static void
search(struct client *c, const char *key, int days, const char *want)
{
	char	day[16], send[128];

	(void)snprintf(send, sizeof(send), "a SEARCH %s %s\r\n", key, day_text(days, day));
	client_send(c, slice_of(send), 0, 0);
	got_check("search", send, c, want);
}

/* The date in the answer is between a moment and now. */
static void
date_check(struct client *c, const char *send, const char *before, int64_t earliest_ms)
{
	struct buf	got = buf_make(65536), date = buf_make(64);
	bool		is_found = false;

	client_send(c, slice_of(send), 0, 0);
	(void)client_take(c, &got);
	(void)buf_add(&got, "", 1);
	assert_true(strncmp(got.p, before, strlen(before)) == 0);
	for (int64_t ms = earliest_ms; ms <= now_ms() + 1000 && !is_found; ms += 1000) {
		buf_clear(&date);
		assert_int_equal(quote_date_time(&date, ms), 0);
		is_found = strncmp(got.p + strlen(before), date.p, date.n) == 0;
	}
	assert_true(is_found);
	buf_free(&got);
	buf_free(&date);
}

static void
test_savedate(void **state)
{
	int64_t		start_ms = now_ms(), moved_ms;
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "savedate"), 0);
	append(&c, "INBOX", "(\\Seen) \"17-Jul-1996 02:44:25 -0700\" ", PLAIN);
	append(&c, "INBOX", "\"17-Jul-2222 02:44:25 -0700\" ", PLAIN);
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	date_check(&c, "a FETCH 1 SAVEDATE\r\n", "* 1 FETCH (SAVEDATE ", start_ms);
	date_check(&c, "a UID FETCH 2 (SAVEDATE)\r\n", "* 2 FETCH (UID 2 SAVEDATE ", start_ms);
	search(&c, "SAVEDSINCE", -1, "* SEARCH 1 2\r\na OK ~");
	search(&c, "SAVEDBEFORE", -1, "* SEARCH\r\na OK ~");
	search(&c, "SAVEDBEFORE", 2, "* SEARCH 1 2\r\na OK ~");
	search(&c, "SAVEDSINCE", 2, "* SEARCH\r\na OK ~");
	search(&c, "SAVEDON", -3, "* SEARCH\r\na OK ~");
	search(&c, "SEEN NOT SAVEDBEFORE", -1, "* SEARCH 1\r\na OK ~");
	DO(c, "a SEARCH SAVEDON 17-Jul-1996\r\n", "* SEARCH\r\na OK ~");
	DO(c, "a SEARCH SAVEDATESUPPORTED SEEN\r\n", "* SEARCH 1\r\na OK ~");
	DO(c, "a SEARCH NOT SAVEDATESUPPORTED\r\n", "* SEARCH\r\na OK ~");
	DO(c, "a SEARCH SAVEDON\r\n", "a BAD ~");
	DO(c, "a SEARCH SAVEDATESUPPORTED 1-Feb-2020\r\n", "a BAD ~");
	/* The flags' change does not move it; a copy gets its own, and INTERNALDATE goes along (RFC 8514 3). */
	(void)usleep(1100 * 1000);
	moved_ms = now_ms();
	DO(c, "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\nb COPY 1 Sent\r\nc EXAMINE Sent\r\n", "a OK ~b OK ~c OK ~");
	date_check(&c, "a FETCH 1 (INTERNALDATE SAVEDATE)\r\n", "* 1 FETCH (INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" SAVEDATE ", moved_ms);
	client_close(&c);
}

/* At the border of a day, and on it. */
static void
test_days(void **state)
{
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "days"), 0);
	append(&c, "INBOX", "", PLAIN);
	DO(c, "a SELECT INBOX\r\n", "~a OK ~");
	if (now_ms() / 1000 % 86400 < 86390) {	/* no midnight while we look */
		search(&c, "SAVEDON", 0, "* SEARCH 1\r\na OK ~");
		search(&c, "SAVEDSINCE", 0, "* SEARCH 1\r\na OK ~");
		search(&c, "SAVEDBEFORE", 0, "* SEARCH\r\na OK ~");
		search(&c, "SAVEDBEFORE", 1, "* SEARCH 1\r\na OK ~");
		search(&c, "SAVEDSINCE", 1, "* SEARCH\r\na OK ~");
		search(&c, "SAVEDON", 1, "* SEARCH\r\na OK ~");
	}
	client_close(&c);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_savedate), cmocka_unit_test(test_days),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
