/*
 * THREAD: searches, takes what the algorithm needs of each message found, and tells the threads. Called from the command table.
 * Subjects and ids are numbered (idset.h) and never kept; all lies in the command's arena: where that is full
 * the answer is NO [LIMIT]. RFC 5256 3, 4.
 */
#include "imap/thread.h"

#include "imap/idset.h"
#include "imap/messages.h"
#include "imap/search.h"
#include "imap/sent.h"
#include "imap/thread_tree.h"
#include "pack.h"

#define REFS_FIRST	1024	/* doubled when full */

struct thread {
	struct imap		*im;
	const struct thread_args *args;
	struct found		 found;
	struct thread_input	 in;		/* node: until all are read, the number of the message's id or THREAD_NONE */
	uint32_t		 nrefs, refs_cap;
	struct idset		 ids, subjects;
	size_t			 nunread;
};

/* ---- arguments ---- */

/* thread-alg = "ORDEREDSUBJECT" / "REFERENCES" */
enum parse
parse_thread_args(struct slice *cur, struct arena *arena, struct thread_args *out)
{
	struct slice	s = *cur;

	if (parse_sp(&s) != PARSE_OK)
		return PARSE_BAD;
	if (parse_word(&s, "ORDEREDSUBJECT") == PARSE_OK)
		out->algorithm = THREAD_ORDEREDSUBJECT;
	else if (parse_word(&s, "REFERENCES") == PARSE_OK)
		out->algorithm = THREAD_REFERENCES;
	else
		return PARSE_BAD;
	if (parse_sp(&s) != PARSE_OK || parse_search_criteria(&s, arena, &out->search) != PARSE_OK)
		return PARSE_BAD;
	*cur = s;
	return PARSE_OK;
}

/* ---- a message ---- */

/* Numbers its base subject. An empty one is no subject of REFERENCES (step 5). */
static enum store_result
subject_take(struct thread *th, const struct envelope *e, struct arena *arena, struct thread_message *m)
{
	struct slice	subject = e->subject.p == NULL ? SLICE("") : e->subject;

	if ((subject = mime_header_text(subject, arena)).p == NULL ||
	    (subject = mime_base_subject(subject, arena, &m->is_reply)).p == NULL ||
	    (subject = mime_collate(subject, arena)).p == NULL)
		return STORE_LIMIT;
	m->subject = THREAD_NONE;
	if (subject.n == 0 && th->args->algorithm == THREAD_REFERENCES)
		return STORE_OK;
	m->subject = idset_add(&th->subjects, subject);
	return m->subject == IDSET_FULL ? STORE_LIMIT : STORE_OK;
}

static enum store_result
ref_add(struct thread *th, uint32_t id)
{
	if (th->nrefs == th->refs_cap) {
		uint32_t	 cap = th->refs_cap == 0 ? REFS_FIRST : th->refs_cap * 2;
		uint32_t	*refs = ARENA_NEW(imap_arena(th->im), uint32_t, cap);

		if (refs == NULL || cap == 0)
			return STORE_LIMIT;
		if (th->nrefs > 0)
			memcpy(refs, th->in.refs, th->nrefs * sizeof(*refs));
		th->in.refs = refs;
		th->refs_cap = cap;
	}
	th->in.refs[th->nrefs++] = id;
	return STORE_OK;
}

/* Numbers its own id and those it refers to, as mime_references packed them. */
static enum store_result
references_take(struct thread *th, struct slice packed, struct thread_message *m)
{
	struct unpack	u = unpack_make(packed.p, packed.n);
	struct slice	own = unpack_str(&u);

	m->node = THREAD_NONE;
	if (own.n > 0 && (m->node = idset_add(&th->ids, own)) == IDSET_FULL)
		return STORE_LIMIT;
	while (!u.bad && u.n > 0) {
		struct slice		id = unpack_str(&u);
		uint32_t		number;
		enum store_result	r;

		if (u.bad)
			break;
		if ((number = idset_add(&th->ids, id)) == IDSET_FULL)
			return STORE_LIMIT;
		if ((r = ref_add(th, number)) != STORE_OK)
			return r;
	}
	return STORE_OK;
}

/* One that cannot be read is counted, and is a thread of its own. */
static enum store_result
message_take(void *arg, size_t i, struct content *c)
{
	struct thread		*th = arg;
	struct thread_message	*m = &th->in.messages[i];
	struct envelope		 e;
	struct slice		 packed;
	enum store_result	 r;

	if (!sent_envelope(c, &e))
		th->nunread++;
	m->sent_s = sent_of(&e, c->m);
	if ((r = subject_take(th, &e, &c->arena, m)) != STORE_OK)
		return r;
	if (th->args->algorithm == THREAD_REFERENCES && content_references(c, &packed) == STORE_OK)
		r = references_take(th, packed, m);
	m->refs_end = th->nrefs;
	return r;
}

/* ---- all of them ---- */

/* A node for each: its id's, unless an earlier message has that, or one of its own. */
static enum store_result
nodes_give(struct thread *th)
{
	uint32_t	*has = ARENA_NEW(imap_arena(th->im), uint32_t, (size_t)th->ids.n + 1);

	if (has == NULL)
		return STORE_LIMIT;
	th->in.nnodes = th->ids.n;
	for (uint32_t i = 0; i < th->in.n; i++) {
		struct thread_message	*m = &th->in.messages[i];

		if (m->node == THREAD_NONE || has[m->node] != 0)
			m->node = th->in.nnodes++;
		else
			has[m->node] = 1;
	}
	th->in.nsubjects = th->subjects.n;
	return STORE_OK;
}

static enum store_result
messages_take(struct thread *th)
{
	struct message_walk	walk = {message_take, th};
	enum store_result	r;

	th->in.n = (uint32_t)th->found.n;
	th->ids = idset_make(imap_arena(th->im), th->args->algorithm == THREAD_REFERENCES ? th->found.n : 0);
	th->subjects = idset_make(imap_arena(th->im), 0);
	if ((th->in.messages = ARENA_NEW(imap_arena(th->im), struct thread_message, th->found.n + 1)) == NULL)
		return STORE_LIMIT;
	for (uint32_t i = 0; i < th->in.n; i++)
		th->in.messages[i].node = THREAD_NONE;
	if ((r = messages_walk(th->im, &th->found, &walk)) != STORE_OK)
		return r;
	return nodes_give(th);
}

/* ---- telling ---- */

/* A thread's head, and each of several siblings, begins a list; an only child goes on in its parent's. */
static bool
begins_list(const struct thread_tree *t, uint32_t node)
{
	uint32_t	parent = t->parent[node];

	return parent == THREAD_NONE || t->next[t->first[parent]] != THREAD_NONE;
}

/*
 * thread-list = "(" (thread-members / thread-nested) ")" ; thread-members = nz-number *(SP nz-number) [SP thread-nested] ; thread-nested =
 * 2*thread-list
 */
static void
list_tell(const struct thread *th, const struct thread_tree *t, uint32_t head)
{
	struct session	*s = th->im->s;
	uint32_t	 node = head;

	for (;;) {
		session_puts(s, begins_list(t, node) ? "(" : " ");
		if (!is_thread_dummy(t, node))
			session_putf(s, "%u", found_number(&th->found.msgs[t->message[node]], th->im->is_uid));
		if (t->first[node] != THREAD_NONE) {
			if (!is_thread_dummy(t, node) && begins_list(t, t->first[node]))
				session_puts(s, " ");
			node = t->first[node];
			continue;
		}
		/* Up to where a sibling follows. */
		for (;;) {
			if (begins_list(t, node))
				session_puts(s, ")");
			if (node == head)
				return;
			if (t->next[node] != THREAD_NONE)
				break;
			node = t->parent[node];
		}
		node = t->next[node];
	}
}

static void
threads_tell(const struct thread *th, const struct thread_tree *t)
{
	session_puts(th->im->s, t->root_first == THREAD_NONE ? "* THREAD" : "* THREAD ");
	for (uint32_t head = t->root_first; head != THREAD_NONE; head = t->next[head])
		list_tell(th, t, head);
	session_puts(th->im->s, "\r\n");
}

/* ---- the command ---- */

void
thread_run(struct imap *im, struct slice args)
{
	struct thread_args	 parsed;
	struct thread		 th = {.im = im, .args = &parsed, .found = found_make(SIZE_MAX)};
	struct thread_tree	 t;
	enum store_result	 r;

	if (parse_thread_args(&args, imap_arena(im), &parsed) != PARSE_OK) {
		imap_bad(im, "THREAD algorithm charset keys: not understood");
		return;
	}
	if (!search_find(im, &parsed.search, &th.found, &th.nunread))
		return;
	if ((r = messages_take(&th)) == STORE_OK &&
	    !(parsed.algorithm == THREAD_REFERENCES ? thread_references : thread_ordered_subject)(&t, &th.in, imap_arena(im)))
		r = STORE_LIMIT;
	if (r != STORE_OK) {
		imap_no_store(im, r, "NONEXISTENT");
		return;
	}
	threads_tell(&th, &t);
	if (th.nunread > 0)
		imap_ok(im, "THREAD completed, but some messages could not be read");
	else
		imap_ok(im, "%sTHREAD completed", im->is_uid ? "UID " : "");
}
