/*
 * From an address to a user and a mailbox: the domain must be ours, the detail is cut off the local part
 * (RFC 5233), postmaster is somebody (RFC 5321 4.5.1). Called at each RCPT. Pure; whether the user has a
 * spool is spoold's to say.
 */
#include "rcptuser.h"

#include "lmtpreply.h"

#define DETAIL_MAX_BYTES	200	/* of 100 recipients, with 64 KiB of message, in one packet to spoold */

static bool
is_domain(const struct conf_list *domains, struct slice domain)
{
	for (size_t i = 0; i < domains->n; i++)
		if (slice_is_nocase(slice_of(domains->v[i]), domain))
			return true;
	return false;
}

/* Cuts local at the first delimiter that has something before it; what is behind it is the detail. */
static struct slice
split_detail(struct slice *local, char delimiter)
{
	const char	*at = local->n > 1 && delimiter != '\0' ? memchr(local->p + 1, delimiter, local->n - 1) : NULL;
	struct slice	 detail;

	if (at == NULL)
		return SLICE("");
	detail = (struct slice){at + 1, local->n - (size_t)(at - local->p) - 1};
	local->n = (size_t)(at - local->p);
	return detail;
}

enum result
rcptuser_find(const struct rcptuser_conf *conf, const struct lmtp_rcpt *rcpt, struct rcptuser *out,
    struct reply *reply_out)
{
	struct slice	local = address_local(&rcpt->to), domain = address_domain(&rcpt->to), detail;
	bool		is_ours = rcpt->user[0] != '\0' || domain.n == 0 || is_domain(conf->domains, domain);

	memset(out, 0, sizeof(*out));
	if (!is_ours) {
		reply_set(reply_out, 550, "5.7.1 not a domain of this host");
		return PERM;
	}
	detail = split_detail(&local, conf->delimiter);
	if (conf->detail_mailbox && detail.n <= DETAIL_MAX_BYTES)
		out->mailbox = detail;
	if (rcpt->user[0] != '\0') {
		memcpy(out->user, rcpt->user, sizeof(out->user));
		return DONE;
	}
	if (slice_is_nocase(local, SLICE("postmaster")))
		local = slice_of(conf->postmaster);
	if (!user_fold(local, out->user)) {
		reply_set(reply_out, 550, "5.1.1 user unknown");
		return PERM;
	}
	return DONE;
}
