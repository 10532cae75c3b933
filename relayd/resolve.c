/*
 * Routing of one recipient. Called by the route process for each look-up and by nobody else. What it
 * cannot find out is 451: only an address that is in no table is unknown.
 */
#include "resolve.h"

#include <stdio.h>

#include "lmtpreply.h"
#include "log.h"
#include "mboxname.h"

struct work {
	const struct resolve_conf	*conf;
	struct arena			*arena;
	struct route_answer		*out;
	unsigned			 steps;		/* addresses looked up */
};

/* Sets the reply and ends the look-up. */
static bool
refuse(struct work *w, int code, const char *text)
{
	reply_set(&w->out->reply, code, text);
	w->out->ntargets = 0;
	return false;
}

size_t
resolve_host(const struct conf_list *hosts, struct slice name)
{
	for (size_t i = 0; i < hosts->n; i++) {
		const char	*eq = strchr(hosts->v[i], '=');

		if (eq != NULL && slice_is_nocase((struct slice){hosts->v[i], (size_t)(eq - hosts->v[i])}, name))
			return i;
	}
	return hosts->n;
}

/* A target once only; the message goes there once, whoever named it. */
static bool
add_target(struct work *w, const struct route_target *t)
{
	struct route_answer	*out = w->out;

	for (size_t i = 0; i < out->ntargets; i++)
		if (out->targets[i].kind == t->kind && slice_is(out->targets[i].user, t->user) &&
		    slice_is_nocase(out->targets[i].address, t->address))
			return true;
	if (out->ntargets == ROUTE_TARGETS_MAX) {
		LOG("warn.route.alias", log_str("why", "more than 100 targets"), log_slice("target", t->address));
		return refuse(w, 451, "4.3.5 alias has too many targets");
	}
	out->targets[out->ntargets++] = *t;
	return true;
}

/* USER[+DETAIL]@DOMAIN as lmtpd shall see it; a user that is an address already stays one. */
static struct slice
local_address(struct work *w, struct slice user, struct slice address, struct slice detail)
{
	const char	*at = memrchr(address.p, '@', address.n);
	struct slice	 domain = slice_of(w->conf->hostname), tail = SLICE("");
	char		 text[ADDRESS_MAX_BYTES + 1];
	int		 n;

	if (memchr(user.p, '@', user.n) != NULL)
		return user;
	if (at != NULL)
		domain = (struct slice){at + 1, address.n - (size_t)(at - address.p) - 1};
	if (detail.n > 0)	/* with the delimiter before it */
		tail = (struct slice){detail.p - 1, detail.n + 1};
	n = snprintf(text, sizeof(text), "%.*s%.*s@%.*s", (int)user.n, user.p, (int)tail.n, tail.p, (int)domain.n,
	    domain.p);
	return n < 0 || (size_t)n >= sizeof(text) ? user : arena_slice(w->arena, (struct slice){text, (size_t)n});
}

static bool
add_local(struct work *w, struct slice user, struct slice address, struct slice detail)
{
	const struct resolve_conf	*conf = w->conf;
	struct route_target		 t = {.kind = ROUTE_LOCAL};
	struct loc_entry		 entry = {.location = SLICE("")};
	struct mboxname			 inbox;
	struct slice			 host, partition = SLICE("");
	size_t				 i = conf->placement;

	mboxname_inbox(user, &inbox);
	switch (conf->find(conf->map, (struct slice){inbox.s, inbox.n}, w->arena, &entry)) {
	case LOOKUP_TEMP:
		return refuse(w, 451, "4.3.0 location map cannot be read");
	case ABSENT:
		t.place = true;
		break;
	case FOUND:
		i = conf->hosts->n;
		if (location_split(entry.location, &host, &partition))
			i = resolve_host(conf->hosts, host);
		/* Reserved: being made there, perhaps by somebody who died half-way; that host finishes it. */
		t.place = entry.state == LOC_RESERVED;
		if (t.place && partition.n == 0)
			return refuse(w, 451, "4.2.1 mailbox is being moved");
		break;
	}
	if (i >= conf->hosts->n) {
		LOG("warn.route.host", log_slice("user", user), log_slice("location", entry.location));
		return refuse(w, 451, "4.3.5 host of the mailbox is not configured");
	}
	t.host = (uint16_t)i;
	t.user = arena_slice(w->arena, user);
	t.address = local_address(w, t.user, address, detail);
	if (t.user.p == NULL || t.address.p == NULL)
		return refuse(w, 451, "4.3.0 too much at once");
	return add_target(w, &t);
}

static bool	add_address(struct work *, struct slice address, unsigned depth);

static bool
add_entry(struct work *w, const struct table_entry *e, struct slice address, struct slice user, struct slice detail,
    unsigned depth)
{
	char	folded[USER_MAX_BYTES + 1], text[REPLY_TEXT_MAX_BYTES];

	switch (e->action) {
	case TABLE_LOCAL:
		if (e->text != NULL)
			return add_local(w, slice_of(e->text), address, detail);
		if (!user_fold(user, folded))
			return refuse(w, 550, "5.1.1 user unknown");
		return add_local(w, slice_of(folded), address, detail);
	case TABLE_REFUSE:
		if (e->text[0] == '\0')
			return refuse(w, 550, "5.7.1 refused");
		snprintf(text, sizeof(text), "5.7.1 %s", e->text);
		return refuse(w, 550, text);
	case TABLE_FORWARD:
		for (size_t i = 0; i < e->ntargets; i++)
			if (!add_target(w, &(struct route_target){.kind = ROUTE_FORWARD, .user = SLICE(""),
			    .address = slice_of(e->targets[i])}))
				return false;
		return true;
	case TABLE_ALIAS:
		for (size_t i = 0; i < e->ntargets; i++)
			if (!add_address(w, slice_of(e->targets[i]), depth + 1))
				return false;
		return true;
	}
	return refuse(w, 451, "4.3.5 routing table");
}

static bool
add_address(struct work *w, struct slice address, unsigned depth)
{
	const struct table_entry	*e;
	struct slice			 user, detail;

	if (depth > RESOLVE_DEPTH_MAX) {
		LOG("warn.route.alias", log_str("why", "loop"), log_slice("target", address));
		return refuse(w, 550, "5.4.6 alias loop");
	}
	if (++w->steps > RESOLVE_STEPS_MAX) {
		LOG("warn.route.alias", log_str("why", "more than 1000 addresses"), log_slice("target", address));
		return refuse(w, 451, "4.3.5 alias is too large");
	}
	if ((e = table_route(w->conf->table, address, &user, &detail)) == NULL)
		return refuse(w, 550, "5.1.1 user unknown");
	return add_entry(w, e, address, user, detail, depth);
}

void
resolve(const struct resolve_conf *conf, struct slice address, struct arena *arena, struct route_answer *out)
{
	struct work	w = {.conf = conf, .arena = arena, .out = out};

	out->ntargets = 0;
	if (add_address(&w, address, 0))
		reply_set(&out->reply, 250, "2.1.5 ok");
}
