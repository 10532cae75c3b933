/*
 * Two sessions on one mailbox: what the one may conclude of it while the other changes it. Each test is of something
 * that tests/system/test_concurrency.py found. RFC 3501 6.4.6, 7.4.1; RFC 7162 6.
 */
#include "imap_modseq.h"

/* A command refused before its literal is read: modseqs above expunges that are not told are taken back (RFC 7162 6). */
static void
test_refused(void **state)
{
	struct client		a, b;
	unsigned long long	before;

	(void)state;
	two_clients(&a, &b, "refused", 5);
	DO(a, "a ENABLE QRESYNC\r\na SELECT INBOX\r\n", "~a OK ~a OK ~");
	DO(b, "a SELECT INBOX\r\nb STORE 2 +FLAGS.SILENT (\\Deleted)\r\n", "~a OK ~b OK ~");
	DO(a, "a NOOP\r\n", "* 2 FETCH (UID 2 FLAGS (\\Deleted \\Recent) MODSEQ (~))\r\na OK Completed\r\n");
	before = highest(&b);
	DO(b, "b EXPUNGE\r\nb STORE 3 +FLAGS.SILENT (\\Seen)\r\n", "* 2 EXPUNGE\r\nb OK ~b OK ~");
	DOF(a, "b APPEND Nope {3+}\r\nabc\r\n",
	    "* 4 FETCH (UID 4 FLAGS (\\Seen \\Recent) MODSEQ (~))\r\n* OK [HIGHESTMODSEQ @1] So far\r\nb NO [TRYCREATE] ~", before);
	/* From there on it is told of the expunge, also by another session. */
	DO(a, "c CLOSE\r\n", "c OK ~");
	DOF(a, "c SELECT INBOX (QRESYNC (@1 @2))\r\n", "~* VANISHED (EARLIER) 2\r\n~c OK ~",
	    number_after(&b, "v STATUS INBOX (UIDVALIDITY)\r\n", "UIDVALIDITY "), before);
	client_close(&a);
	client_close(&b);
}

/*
 * A client may make its .SILENT change of the flags it had when it sent the command, or when it is answered: where it is
 * told of another change between the two, it is told the result. Of what nobody else changed it is told nothing.
 */
static void
test_silent(void **state)
{
	struct client	a, b;

	(void)state;
	two_clients(&a, &b, "silent", 3);
	DO(a, "a SELECT INBOX\r\n", "~a OK ~");
	DO(b, "a SELECT INBOX\r\na STORE 1 +FLAGS.SILENT (\\Answered)\r\n", "~a OK ~a OK ~");
	DO(a, "b STORE 1:2 +FLAGS.SILENT (\\Flagged)\r\n",
	    "* 1 FETCH (FLAGS (\\Answered \\Recent))\r\n* 1 FETCH (FLAGS (\\Answered \\Flagged \\Recent))\r\nb OK STORE completed\r\n");
	DO(a, "b STORE 1:2 -FLAGS.SILENT (\\Flagged)\r\n", "b OK STORE completed\r\n");
	/* With modseqs: not the modseq alone. */
	DO(b, "c NOOP\r\nc STORE 2 +FLAGS.SILENT (\\Answered)\r\n", "~c OK ~c OK ~");
	DO(a, "c ENABLE CONDSTORE\r\n", "* ENABLED CONDSTORE\r\n~c OK ~");
	DO(b, "d STORE 3 +FLAGS.SILENT (\\Answered)\r\n", "d OK ~");
	DO(a, "d STORE 2:3 +FLAGS.SILENT (\\Draft)\r\n", "* 3 FETCH (UID 3 FLAGS (\\Answered \\Recent) MODSEQ (~))\r\n"
	    "* 2 FETCH (UID 2 MODSEQ (~))\r\n* 3 FETCH (UID 3 FLAGS (\\Answered \\Draft \\Recent) MODSEQ (~))\r\nd OK STORE completed\r\n");
	DO(b, "e NOOP\r\ne STORE 3 -FLAGS.SILENT (\\Draft)\r\n", "~e OK ~e OK ~");
	DO(a, "e STORE 3 (UNCHANGEDSINCE 1000000) +FLAGS.SILENT (\\Seen)\r\n", "* 3 FETCH (UID 3 FLAGS (\\Answered \\Recent) MODSEQ (~))\r\n"
	    "* 3 FETCH (UID 3 FLAGS (\\Answered \\Seen \\Recent) MODSEQ (~))\r\ne OK ~");
	client_close(&a);
	client_close(&b);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_silent)};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
