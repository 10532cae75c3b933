/*
 * SORT: searches, then takes what the criteria need of each message found, once, and puts the rows in order. Called
 * from the command table. Texts come from the cached ENVELOPE and are made comparable by memcmp, so that
 * no text is decoded twice. All of it lies in the command's arena: where that is full the answer is
 * NO [LIMIT]. RFC 5256 2.2 and 3, RFC 5957, RFC 5255 4.6, RFC 5267 3.
 */
#include "imap/sort.h"

#include "imap/envelope.h"
#include "imap/esearch.h"
#include "imap/messages.h"
#include "imap/order.h"
#include "imap/saved.h"
#include "imap/search.h"
#include "imap/sent.h"
#include "imap/sort_parse.h"

struct sort_text {
	uint32_t	n;
	char		bytes[];
};

union sort_value {
	int64_t			 number;
	const struct sort_text	*text;		/* NULL: empty */
};

struct sort {
	struct imap		*im;
	const struct sort_args	*args;
	struct found		 found;		/* in the mailbox's order */
	union sort_value	*values;	/* a row of ncriteria for each */
	size_t			 nunread;
};

/* ---- a message's row ---- */

/* Copies what will be compared; its collation lies in the message's arena. */
static enum store_result
text_keep(struct sort *s, struct slice text, union sort_value *out)
{
	struct sort_text	*kept;

	out->text = NULL;
	if (text.p == NULL)
		return STORE_LIMIT;
	if (text.n == 0)
		return STORE_OK;
	if (text.n > UINT32_MAX || (kept = arena_alloc(imap_arena(s->im), sizeof(*kept) + text.n, 1)) == NULL)
		return STORE_LIMIT;
	kept->n = (uint32_t)text.n;
	memcpy(kept->bytes, text.p, text.n);
	out->text = kept;
	return STORE_OK;
}

static struct slice
not_nil(struct slice s)
{
	return s.p == NULL ? SLICE("") : s;
}

/* The DISPLAY sort value of an address (RFC 5957 3). */
static struct slice
display_of(const struct envelope_address *a, struct arena *arena)
{
	struct slice	name = mime_header_text(not_nil(a->name), arena);
	char		*both;

	if (name.p == NULL || name.n > 0)
		return name;
	if (a->mailbox.p == NULL || a->host.p == NULL)
		return not_nil(a->mailbox);
	if ((both = arena_alloc(arena, a->mailbox.n + 1 + a->host.n, 1)) == NULL)
		return (struct slice){NULL, 0};
	memcpy(both, a->mailbox.p, a->mailbox.n);
	both[a->mailbox.n] = '@';
	memcpy(both + a->mailbox.n + 1, a->host.p, a->host.n);
	return (struct slice){both, a->mailbox.n + 1 + a->host.n};
}

/* A text key before its collation; p NULL when the arena is full. */
static struct slice
text_of(const struct envelope *e, enum sort_key key, struct arena *arena)
{
	struct slice	text;
	bool		is_reply;

	switch (key) {
	case SORT_CC:
		return not_nil(e->cc.mailbox);
	case SORT_DISPLAYFROM:
		return display_of(&e->from, arena);
	case SORT_DISPLAYTO:
		return display_of(&e->to, arena);
	case SORT_FROM:
		return not_nil(e->from.mailbox);
	case SORT_TO:
		return not_nil(e->to.mailbox);
	case SORT_SUBJECT:
		text = mime_header_text(not_nil(e->subject), arena);
		return text.p == NULL ? text : mime_base_subject(text, arena, &is_reply);
	default:
		return SLICE("");
	}
}

static enum store_result
value_take(struct sort *s, enum sort_key key, struct content *c, const struct envelope *e, union sort_value *out)
{
	struct slice	text;

	switch (key) {
	case SORT_ARRIVAL:
		out->number = sent_arrival(c->m);
		return STORE_OK;
	case SORT_DATE:
		out->number = sent_of(e, c->m);
		return STORE_OK;
	case SORT_SIZE:
		out->number = (int64_t)c->m->size;
		return STORE_OK;
	default:
		if ((text = text_of(e, key, &c->arena)).p == NULL)
			return STORE_LIMIT;
		return text_keep(s, mime_collate(text, &c->arena), out);
	}
}

static bool
needs_envelope(const struct sort_args *args)
{
	for (size_t i = 0; i < args->ncriteria; i++)
		if (args->criteria[i].key != SORT_ARRIVAL && args->criteria[i].key != SORT_SIZE)
			return true;
	return false;
}

/* A message that cannot be read is counted, and sorts as one without a header. */
static enum store_result
row_take(void *arg, size_t i, struct content *c)
{
	struct sort		*s = arg;
	struct envelope		 e = {0};
	enum store_result	 r = STORE_OK;

	if (needs_envelope(s->args) && !sent_envelope(c, &e))
		s->nunread++;
	for (size_t k = 0; k < s->args->ncriteria && r == STORE_OK; k++)
		r = value_take(s, s->args->criteria[k].key, c, &e, &s->values[i * s->args->ncriteria + k]);
	return r;
}

/* ---- the order ---- */

static int
texts_compare(const struct sort_text *x, const struct sort_text *y)
{
	size_t	nx = x == NULL ? 0 : x->n, ny = y == NULL ? 0 : y->n, n = nx < ny ? nx : ny;
	int	r = n == 0 ? 0 : memcmp(x->bytes, y->bytes, n);

	return r != 0 ? r : (nx > ny) - (nx < ny);
}

/* Equal rows stay in the mailbox's order, REVERSE or not. */
static int
rows_compare(const void *arg, uint32_t x, uint32_t y)
{
	const struct sort		*s = arg;
	const union sort_value		*a = &s->values[x * s->args->ncriteria], *b = &s->values[y * s->args->ncriteria];

	for (size_t k = 0; k < s->args->ncriteria; k++) {
		const struct sort_criterion	*by = &s->args->criteria[k];
		int				 r;

		if (by->key >= SORT_CC)
			r = texts_compare(a[k].text, b[k].text);
		else
			r = (a[k].number > b[k].number) - (a[k].number < b[k].number);
		if (r != 0)
			return by->is_reverse ? -r : r;
	}
	return 0;
}

static enum store_result
found_order(struct sort *s)
{
	struct imap		*im = s->im;
	const size_t		 n = s->found.n;
	uint32_t		*rows = ARENA_NEW(imap_arena(im), uint32_t, n + 1), *tmp = ARENA_NEW(imap_arena(im), uint32_t, n + 1);
	struct found_msg	*sorted = ARENA_NEW(imap_arena(im), struct found_msg, n + 1);
	struct message_walk	 walk = {row_take, s};
	enum store_result	 r;

	s->values = arena_alloc(imap_arena(im), n * s->args->ncriteria + 1, sizeof(*s->values));
	if (rows == NULL || tmp == NULL || sorted == NULL || s->values == NULL)
		return STORE_LIMIT;
	if ((r = messages_walk(im, &s->found, &walk)) != STORE_OK)
		return r;
	for (size_t i = 0; i < n; i++)
		rows[i] = (uint32_t)i;
	order_sort(rows, tmp, n, rows_compare, s);
	for (size_t i = 0; i < n; i++)
		sorted[i] = s->found.msgs[rows[i]];
	s->found.msgs = sorted;
	return STORE_OK;
}

/* ---- the command ---- */

static void
plain_tell(struct imap *im, const struct found *found)
{
	session_puts(im->s, "* SORT");
	for (size_t i = 0; i < found->n; i++)
		session_putf(im->s, " %u", found_number(&found->msgs[i], im->is_uid));
	found_modseq_put(im->s, found);
	session_puts(im->s, "\r\n");
}

/* False: NO was said. */
static bool
sort_found(struct sort *s)
{
	enum store_result	r;

	if (!search_find(s->im, &s->args->search, &s->found, &s->nunread))
		return false;
	if ((r = found_order(s)) != STORE_OK)
		imap_no_store(s->im, r, "NONEXISTENT");
	return r == STORE_OK;
}

void
sort_run(struct imap *im, struct slice args)
{
	struct sort_args		 parsed;
	struct sort			 s = {.im = im, .args = &parsed, .found = found_make(SIZE_MAX)};
	const struct search_return	*ret = &parsed.search.ret;

	if (parse_sort_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "SORT [RETURN (options)] (criteria) charset keys: not understood");
		return;
	}
	if (!sort_found(&s)) {
		if ((ret->items & RETURN_SAVE) != 0)
			saved_clear(im);
		return;
	}
	if ((ret->items & RETURN_SAVE) != 0 && !esearch_save(im, ret, &s.found)) {
		imap_no(im, "[NOTSAVED] The result has too many pieces to be saved");
		return;
	}
	if (ret->is_extended)
		esearch_tell(im, ret, &s.found);
	else
		plain_tell(im, &s.found);
	if (s.nunread > 0)
		imap_ok(im, "SORT completed, but some messages could not be read");
	else
		imap_ok(im, "%sSORT completed", im->is_uid ? "UID " : "");
}
