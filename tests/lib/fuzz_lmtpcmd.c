/* Command lines and reply lines of LMTP. */
#include <assert.h>
#include <stdint.h>

#include "lmtpcmd.h"
#include "lmtpreply.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice		line = {(const char *)data, n}, args, name, text;
	struct lmtp_mail	mail;
	struct lmtp_rcpt	rcpt;
	struct reply		reply;
	uint64_t		size;
	char			decoded[16];
	int			code;
	bool			flag, trusted = n % 2 == 0;

	(void)lmtpcmd_verb(line, &args);
	assert(args.p >= line.p && args.p + args.n <= line.p + line.n);
	(void)lmtpcmd_lhlo(args, &name);
	if (lmtpcmd_mail(args, trusted, &mail) == LMTP_OK)
		assert(trusted || (!mail.has_key && mail.qid[0] == '\0'));
	if (lmtpcmd_rcpt(args, true, trusted, &rcpt) == LMTP_OK)
		assert(rcpt.user[0] == '\0' || (trusted && user_is_valid(slice_of(rcpt.user))));
	(void)lmtpcmd_bdat(args, &size, &flag);
	(void)xtext_decode(args, decoded, sizeof(decoded));
	if (reply_parse(line, &code, &flag, &text)) {
		reply_from_peer(&reply, code, text);
		assert(reply.code / 100 == (reply.result == DONE ? 2 : reply.result == TEMP ? 4 : 5));
	}
	return 0;
}
