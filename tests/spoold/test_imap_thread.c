/*
 * THREAD by transcripts (RFC 5256 3), and its pure parts: links against a plain copy of step 1, chains and loops of 100,000
 * messages, the hash, and Message-IDs.
 */
#include <time.h>

#include "imap/forest.h"
#include "imap/idset.h"
#include "imap/thread_tree.h"
#include "imap_transcript.h"
#include "mime/mime.h"
#include "pack.h"

#define LONG_MESSAGES	100000
#define LONG_MAX_MS	3000	/* with a walk to the root for each link it would be minutes */

static struct arena	arena;

struct mail { const char *id, *refs, *subject; int day; };	/* refs: header lines; day of January 2020 */

static void
mails_append(struct client *c, const struct mail *mails, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char	text[1024];

		(void)snprintf(text, sizeof(text), "Message-ID: %s\r\n%sSubject: %s\r\nDate: %d Jan 2020 00:00:00 +0000\r\n\r\nx\r\n",
		    mails[i].id, mails[i].refs, mails[i].subject, mails[i].day);
		append(c, "INBOX", "", text);
	}
}

/* One mailbox for each row, all of one user. */
static void
test_references(void **state)
{
	static const struct {
		const char	*name, *want;
		struct mail	 mails[8];
	} rows[] = {
		{"none", "", {{0}}},
		{"one", " (1)", {{"<a@x>", "", "a", 1}}},
		{"chain", " (1 2 3)", {{"<a@x>", "", "a", 1}, {"<b@x>", "References: <a@x>\r\n", "b", 2}, {"<c@x>", "References: <a@x> <b@x>\r\n", "c", 3}}},
		{"chain backwards", " (3 2 1)", {{"<c@x>", "References: <a@x> <b@x>\r\n", "c", 1}, {"<b@x>", "References: <a@x>\r\n", "b", 2}, {"<a@x>", "", "a", 3}}},
		{"fork", " (1 (2)(3))", {{"<a@x>", "", "a", 1}, {"<b@x>", "References: <a@x>\r\n", "b", 2}, {"<c@x>", "References: <a@x>\r\n", "c", 3}}},
		{"as in RFC 5256 4", " (1)(2 3 (4 5)(6 7 8))", {{"<a@x>", "", "a", 1}, {"<b@x>", "", "b", 2}, {"<c@x>", "References: <b@x>\r\n", "c", 3},
		    {"<d@x>", "References: <c@x>\r\n", "d", 4}, {"<e@x>", "References: <d@x>\r\n", "e", 5}, {"<f@x>", "References: <c@x>\r\n", "f", 6},
		    {"<g@x>", "References: <f@x>\r\n", "g", 7}, {"<h@x>", "References: <g@x>\r\n", "h", 8}}},
		{"by date", " (2)(3 4 (6)(5))(1)", {{"<a@x>", "", "a", 9}, {"<b@x>", "", "b", 1}, {"<c@x>", "", "c", 2}, {"<d@x>", "References: <c@x>\r\n", "d", 8},
		    {"<e@x>", "References: <d@x>\r\n", "e", 5}, {"<f@x>", "References: <d@x>\r\n", "f", 4}}},
		{"parent missing", " ((1)(2))", {{"<a@x>", "References: <m@x>\r\n", "a", 1}, {"<b@x>", "References: <m@x>\r\n", "b", 2}}},
		{"parent missing, one child", " (1)(2)", {{"<a@x>", "References: <m@x>\r\n", "a", 1}, {"<b@x>", "", "b", 2}}},
		{"missing between", " (1 2)", {{"<a@x>", "", "a", 1}, {"<c@x>", "References: <a@x> <m@x> <n@x>\r\n", "c", 2}}},
		{"missing in a row", " ((1)(2))", {{"<a@x>", "References: <m@x> <n@x>\r\n", "a", 1}, {"<b@x>", "References: <m@x> <o@x>\r\n", "b", 2}}},
		{"missing goes by its first child", " (3)((2)(1))(4)", {{"<a@x>", "References: <m@x>\r\n", "a", 5}, {"<b@x>", "References: <m@x>\r\n", "b", 2},
		    {"<c@x>", "", "c", 1}, {"<d@x>", "", "d", 3}}},
		{"loop of two", " (2 1)", {{"<a@x>", "References: <b@x>\r\n", "a", 1}, {"<b@x>", "References: <a@x>\r\n", "b", 2}}},
		{"loop of three", " (3 2 1)", {{"<a@x>", "References: <b@x>\r\n", "a", 1}, {"<b@x>", "References: <c@x>\r\n", "b", 2}, {"<c@x>", "References: <a@x>\r\n", "c", 3}}},
		{"itself", " (1)", {{"<a@x>", "References: <a@x> <a@x>\r\n", "a", 1}}},
		{"the same id twice", " (1 3)(2)", {{"<a@x>", "", "a", 1}, {"<a@x>", "", "b", 2}, {"<c@x>", "References: <a@x>\r\n", "c", 3}}},
		{"no id", " (1)(2)", {{"a@x", "", "a", 1}, {"<@x>", "References: a@x\r\n", "b", 2}}},
		{"ids differ by case", " (1)(2)", {{"<a@x>", "", "a", 1}, {"<b@x>", "References: <A@x>\r\n", "b", 2}}},
		{"quoting", " (1 2 3)", {{"<\"01KF8\"@xxx.yyy.com>", "", "a", 1}, {"<b@x>", "References: <01KF8@xxx.yyy.com>\r\n", "b", 2},
		    {"<c@x>", "References:\r\n <01KF8@xxx.yyy.com>\r\n\t( <z@x> ) < \"b\" @ x >\r\n", "c", 3}}},
		{"in reply to", " (1 (2)(3))", {{"<a@x>", "", "a", 1}, {"<b@x>", "In-Reply-To: Your message <a@x> of <z@x>\r\n", "b", 2},
		    {"<c@x>", "References: none\r\nIn-Reply-To: <a@x>\r\n", "c", 3}}},
		{"references count more", " (1 3)(2)", {{"<a@x>", "", "a", 1}, {"<b@x>", "", "b", 2}, {"<c@x>", "References: <a@x>\r\nIn-Reply-To: <b@x>\r\n", "c", 3}}},
		/* 1.B: what c says of itself breaks what d said of it. */
		{"cut off", " (1 4)(2 3)", {{"<a@x>", "", "a", 1}, {"<b@x>", "", "b", 2}, {"<c@x>", "References: <b@x>\r\n", "c", 3}, {"<d@x>", "References: <a@x>\r\n", "d", 4}}},
		{"own parent wins", " (2 3 1)(4)", {{"<d@x>", "References: <a@x> <c@x>\r\n", "d", 9}, {"<b@x>", "", "b", 2}, {"<c@x>", "References: <b@x>\r\n", "c", 3}, {"<a@x>", "", "a", 4}}},
		{"no references: no parent", " (3 1)(2)", {{"<d@x>", "References: <b@x> <c@x>\r\n", "d", 9}, {"<b@x>", "", "b", 3}, {"<c@x>", "", "c", 2}}},
		/* Step 5. */
		{"reply by subject", " (1 2)", {{"<a@x>", "", "Hello", 1}, {"<b@x>", "", "Re: hello", 2}}},
		{"reply before", " (2 1)", {{"<a@x>", "", "Re: hello", 1}, {"<b@x>", "", "hello", 2}}},
		{"two originals", " ((1)(2))", {{"<a@x>", "", "hello", 1}, {"<b@x>", "", "HELLO", 2}}},
		{"three originals", " ((1)(2)(3))", {{"<a@x>", "", "hello", 1}, {"<b@x>", "", "hello", 2}, {"<c@x>", "", "hello", 3}}},
		{"two replies", " ((1)(2))", {{"<a@x>", "", "Re: hello", 1}, {"<b@x>", "", "Re: hello", 2}}},
		{"reply, original, original", " ((2 1)(3))", {{"<a@x>", "", "Re: hello", 1}, {"<b@x>", "", "hello", 2}, {"<c@x>", "", "hello", 3}}},
		{"dummy and message", " ((1)(2)(3))", {{"<a@x>", "References: <m@x>\r\n", "hello", 1}, {"<b@x>", "References: <m@x>\r\n", "other", 2}, {"<c@x>", "", "hello", 3}}},
		{"message and dummy", " ((1)(2)(3))", {{"<c@x>", "", "hello", 1}, {"<a@x>", "References: <m@x>\r\n", "hello", 2}, {"<b@x>", "References: <m@x>\r\n", "other", 3}}},
		{"two dummies", " ((1)(2)(3)(4))", {{"<a@x>", "References: <m@x>\r\n", "hello", 1}, {"<b@x>", "References: <m@x>\r\n", "b", 2},
		    {"<c@x>", "References: <n@x>\r\n", "hello", 3}, {"<d@x>", "References: <n@x>\r\n", "d", 4}}},
		{"no subject is none", " (1)(2)", {{"<a@x>", "", "", 1}, {"<b@x>", "", "Re:", 2}}},
		{"merged with its children", " (1 (2 4)(3))", {{"<a@x>", "", "hello", 1}, {"<b@x>", "", "Re: hello", 2}, {"<c@x>", "References: <a@x>\r\n", "x", 3},
		    {"<d@x>", "References: <b@x>\r\n", "y", 4}}},
	};
	struct client	c;

	(void)state;
	assert_int_equal(client_begin(&c, "references"), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char	want[256];
		size_t	n = 0;

		while (n < 8 && rows[i].mails[n].id != NULL)
			n++;
		mails_append(&c, rows[i].mails, n);
		(void)snprintf(want, sizeof(want), "* THREAD%s\r\na OK THREAD completed\r\n", rows[i].want);
		client_send(&c, SLICE("s SELECT INBOX\r\n"), 0, 0);
		got_check(rows[i].name, "SELECT", &c, "~s OK ~\r\n");
		for (int twice = 0; twice < 2; twice++) {	/* then from the cache */
			client_send(&c, SLICE("a THREAD REFERENCES UTF-8 ALL\r\n"), 0, 0);
			got_check(rows[i].name, rows[i].name, &c, want);
		}
		client_send(&c, SLICE("s STORE 1:* +FLAGS.SILENT (\\Deleted)\r\ns EXPUNGE\r\ns UNSELECT\r\n"), 0, 0);
		got_check(rows[i].name, "EXPUNGE", &c, "~s OK ~\r\n");
	}
	client_close(&c);
}

static void
test_command(void **state)
{
	static const struct mail	mails[] = {
		{"<a@x>", "", "apple", 5}, {"<b@x>", "", "pear", 2}, {"<c@x>", "References: <b@x>\r\n", "Re: Apple", 3}, {"<d@x>", "", "[x] apple (fwd)", 9},
		{"<e@x>", "", "", 8}, {"<f@x>", "", "Re:", 7}, {"<g@x>", "", "pear", 2},
	};
	static const struct step	steps[] = {
		{"a THREAD ORDEREDSUBJECT UTF-8 ALL\r\n", "* THREAD (2 7)(3 (1)(4))(6 5)\r\na OK THREAD completed\r\n"},
		{"a UID THREAD orderedsubject US-ASCII 1:4\r\n", "* THREAD (4)(5 (1)(6))\r\na OK UID THREAD completed\r\n"},
		{"a THREAD REFERENCES UTF-8 ALL\r\n", "* THREAD ((2 3)(7))(1 4)(6)(5)\r\na OK ~\r\n"},
		{"a UID THREAD REFERENCES UTF-8 UNDELETED 2:3\r\n", "* THREAD (4 5)\r\na OK ~\r\n"},
		/* The parent is in the mailbox, but is not found. */
		{"a THREAD REFERENCES UTF-8 3,4\r\n", "* THREAD ((3)(4))\r\na OK ~\r\n"},
		/* What lies between two that are found is not looked at. */
		{"a THREAD REFERENCES UTF-8 2,4\r\n", "* THREAD (2)(4)\r\na OK ~\r\n"},
		{"A284 THREAD ORDEREDSUBJECT US-ASCII TEXT \"gewp\"\r\n", "* THREAD\r\nA284 OK THREAD completed\r\n"},
		{"a THREAD REFERENCES US-ASCII DELETED\r\n", "* THREAD\r\na OK ~\r\n"},
		{"a THREAD REFERENCES x-unknown ALL\r\n", "a NO [BADCHARSET (~)] ~\r\n"}, {"a THREAD FOO UTF-8 ALL\r\n", "a BAD ~\r\n"},
		{"a THREAD REFERENCES ALL\r\n", "a BAD ~\r\n"}, {"a THREAD UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a THREAD REFERENCES UTF-8\r\n", "a BAD ~\r\n"},
		{"a THREAD REFERENCES RETURN () UTF-8 ALL\r\n", "a BAD ~\r\n"}, {"a THREAD\r\n", "a BAD ~\r\n"},
		{"a SEARCH RETURN (SAVE) 2:3\r\nb THREAD REFERENCES UTF-8 $\r\n", "a OK ~\r\n* THREAD (2 3)\r\nb OK ~\r\n"},
	};
	struct client			c;

	(void)state;
	assert_int_equal(client_begin(&c, "threads"), 0);
	mails_append(&c, mails, 1);
	append(&c, "Drafts", "", "x: x\r\n\r\n");
	append(&c, "Drafts", "", "x: x\r\n\r\n");
	mails_append(&c, mails + 1, sizeof(mails) / sizeof(mails[0]) - 1);
	DO(c, "a SELECT INBOX\r\n", "~* 7 EXISTS\r\n~a OK ~\r\n");
	DO(c, "a UID SEARCH ALL\r\n", "* SEARCH 1 4 5 6 7 8 9\r\na OK ~\r\n");
	STEPS(&c, steps);
	client_close(&c);
}

/* ---- pure ---- */

/* Step 1 as the RFC words it, walking up for each link. */
static void
links_plain(const struct thread_input *in, uint32_t *parent)
{
	uint32_t	from = 0;

	for (uint32_t n = 0; n < in->nnodes; n++)
		parent[n] = THREAD_NONE;
	for (uint32_t i = 0; i < in->n; i++) {
		uint32_t	end = in->messages[i].refs_end, node = in->messages[i].node;

		for (uint32_t k = from; k < end; k++) {
			uint32_t	above = in->refs[k], below = k + 1 < end ? in->refs[k + 1] : node, up;

			if (k + 1 == end)
				parent[below] = THREAD_NONE;
			if (parent[below] != THREAD_NONE)
				continue;
			for (up = above; up != THREAD_NONE && up != below; up = parent[up])
				;
			if (up == THREAD_NONE)
				parent[below] = above;
		}
		if (end == from)
			parent[node] = THREAD_NONE;
		from = end;
	}
}

static uint64_t	seed = 1;

static uint32_t
any(uint32_t below)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

/* Every message once, under a parent that is there; dummies only as heads of two or more, siblings in order. */
static void
tree_check(const struct thread_tree *t)
{
	uint32_t	nseen = 0, node = t->root_first, steps = 0;

	while (node != THREAD_NONE) {
		uint32_t	next = t->next[node];

		assert_true(steps++ <= 2 * t->in->n);
		if (is_thread_dummy(t, node)) {
			assert_int_equal(t->parent[node], THREAD_NONE);
			assert_true(t->first[node] != THREAD_NONE && t->next[t->first[node]] != THREAD_NONE);
		} else {
			nseen++;
			if (next != THREAD_NONE && !is_thread_dummy(t, next))
				assert_true(t->in->messages[t->message[node]].sent_s <= t->in->messages[t->message[next]].sent_s);
		}
		if (t->first[node] != THREAD_NONE) {
			node = t->first[node];
			continue;
		}
		while (node != THREAD_NONE && t->next[node] == THREAD_NONE)
			node = t->parent[node];
		node = node == THREAD_NONE ? THREAD_NONE : t->next[node];
	}
	assert_int_equal(nseen, t->in->n);
}

static void
test_random(void **state)
{
	(void)state;
	for (int round = 0; round < 30000; round++) {
		struct thread_message	messages[12];
		uint32_t		refs[12 * 6], parent[32], n = 1 + any(12), nids = 1 + any(12), nrefs = 0;
		struct thread_input	in = {.messages = messages, .n = n, .refs = refs, .nnodes = nids, .nsubjects = 3};
		struct thread_tree	t;
		uint32_t		taken = 0;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t	id = any(nids), more = any(6);

			while (more-- > 0)
				refs[nrefs++] = any(nids);
			if ((taken >> id & 1) != 0)
				id = in.nnodes++;
			taken |= 1U << id;
			messages[i] = (struct thread_message){.sent_s = any(5), .node = id, .refs_end = nrefs,
			    .subject = any(4), .is_reply = any(2) == 0};
			if (messages[i].subject == 3)
				messages[i].subject = THREAD_NONE;
		}
		arena_reset(&arena);
		assert_true(thread_references(&t, &in, &arena));
		tree_check(&t);
		memset(t.parent, 0xff, in.nnodes * sizeof(*t.parent));
		assert_true(thread_link(&t, &arena));
		links_plain(&in, parent);
		if (memcmp(parent, t.parent, in.nnodes * sizeof(*parent)) != 0)
			fail_msg("round %d", round);
	}
}

static int64_t
clock_ms(void)
{
	struct timespec	ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Kinds: a chain, the same backwards, one loop, a comb whose every link asks at the end of a long chain, one parent of all, and a comb
 * that asks all along the chain.
 */
static void
test_long(void **state)
{
	struct thread_message	*messages = calloc(LONG_MESSAGES, sizeof(*messages));
	uint32_t		*refs = calloc(LONG_MESSAGES * 3, sizeof(*refs));

	(void)state;
	for (int kind = 0; kind < 6; kind++) {
		struct thread_input	in = {.messages = messages, .n = LONG_MESSAGES, .refs = refs, .nnodes = LONG_MESSAGES, .nsubjects = 1};
		struct thread_tree	t;
		uint32_t		nrefs = 0, n = LONG_MESSAGES;
		int64_t			from;

		for (uint32_t i = 0; i < n; i++) {
			uint32_t	node = kind == 1 ? n - 1 - i : i;

			if (kind <= 1 && node > 0) {
				if (node > 1)
					refs[nrefs++] = node - 2;
				refs[nrefs++] = node - 1;
			} else if (kind == 2) {
				refs[nrefs++] = (node + 1) % n;
			} else if ((kind == 3 || kind == 5) && node > 0 && node < n / 2) {
				refs[nrefs++] = node - 1;
			} else if ((kind == 3 || kind == 5) && node >= n / 2 && node + 1 < n) {
				/* The next node gets a child, and then goes under the end of the chain. */
				refs[nrefs++] = node + 1;
				if (node > n / 2) {
					refs[nrefs++] = kind == 3 ? n / 2 - 1 : node - n / 2;
					refs[nrefs++] = node + 1;
				}
			} else if (kind == 4 && node > 0) {
				refs[nrefs++] = 0;
			}
			messages[i] = (struct thread_message){.sent_s = i, .node = node, .subject = THREAD_NONE, .refs_end = nrefs};
		}
		arena_reset(&arena);
		from = clock_ms();
		assert_true(thread_references(&t, &in, &arena));
		if (clock_ms() - from > LONG_MAX_MS)
			fail_msg("kind %d: %lld ms", kind, (long long)(clock_ms() - from));
		tree_check(&t);
	}
	free(messages);
	free(refs);
}

/* Where a step has no room it says so. */
static void
test_no_room(void **state)
{
	struct thread_message	messages[2] = {{.node = 0, .subject = 0, .refs_end = 0}, {.node = 1, .subject = 0, .refs_end = 0}};
	struct thread_input	in = {.messages = messages, .n = 2, .refs = NULL, .nnodes = 2, .nsubjects = 1};
	struct thread_tree	t;
	size_t			cap = 0;
	bool			is_made = false;

	(void)state;
	for (; !is_made; cap += 8) {
		struct arena	small = arena_make(cap);

		is_made = thread_references(&t, &in, &small);
		arena_free(&small);
		assert_true(cap < 4096);
	}
	assert_true(cap > 64);
}

static void
test_idset(void **state)
{
	struct siphash	secret, got;
	unsigned char		key[16];
	/* Of the reference implementation: nothing hashed with the key 00 01 .. 0f. */
	static const unsigned char want[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
	struct arena		small = arena_make(40 * 1024);
	struct idset		set;
	char			text[16];
	uint32_t		n = 0;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	memcpy(&secret, key, sizeof(secret));
	got = siphash(secret, SLICE(""));
	assert_memory_equal(&got, want, sizeof(want));
	arena_reset(&arena);
	set = idset_make(&arena, 0);
	for (int twice = 0; twice < 2; twice++) {
		for (uint32_t i = 0; i < 5000; i++) {
			(void)snprintf(text, sizeof(text), "%u", i);
			assert_int_equal(idset_add(&set, slice_of(text)), i);
		}
	}
	set = idset_make(&small, 0);
	while (idset_add(&set, slice_of(text)) != IDSET_FULL) {
		(void)snprintf(text, sizeof(text), "%u", n++);
		assert_true(n < 5000);
	}
	assert_true(n > 500);
	arena_free(&small);
}

static void
test_message_ids(void **state)
{
	static const struct { const char *in, *want; size_t most; } rows[] = {
		{"<a@x>", "a@x;", 9}, {"<a@x> <b@y>", "a@x;b@y;", 9}, {"<a@x><b@y>", "a@x;b@y;", 9}, {"<a@x> <b@y>", "a@x;", 1}, {"", "", 9},
		{"a@x", "", 9}, {"<a>", "", 9}, {"<@x>", "", 9}, {"<a@>", "", 9}, {"<a@x", "", 9}, {"<a@x <b@y>", "b@y;", 9}, {"<<b@y>", "b@y;", 9},
		{"<\"a\"@x>", "a@x;", 9}, {"<\"a\\\"b\"@x>", "a\"b@x;", 9}, {"<\"a>b\"@x>", "a>b@x;", 9}, {"<a@[1.2.3.4]>", "a@[1.2.3.4];", 9},
		{"<a(c)@x>", "a@x;", 9}, {"< a @ x >", "a@x;", 9}, {"<a@b@c>", "a@b@c;", 9}, {"\"phrase\" <a@x> (<b@y>", "a@x;b@y;", 9}, {"<\"a@x> <b@y>", "", 9},
		{"<A@x>", "A@x;", 9}, {"x <> <a@x>", "a@x;", 9},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf	packed = buf_make(4096), got = buf_make(4096);
		int		n = mime_message_ids(slice_of(rows[i].in), rows[i].most, &packed), m = 0;
		struct unpack	u = unpack_make(packed.p, packed.n);

		for (; !unpack_end(&u) && !u.bad; m++) {
			(void)buf_add_slice(&got, unpack_str(&u));
			(void)buf_add_str(&got, ";");
		}
		if (u.bad || n != m || !slice_is(buf_slice(&got), slice_of(rows[i].want)))
			fail_msg("%s: got %.*s", rows[i].in, (int)got.n, got.p);
		buf_free(&packed);
		buf_free(&got);
	}
	/* Nothing that repeats takes longer than it is long. */
	for (size_t i = 0; i < 6; i++) {
		static const char *const	units[] = {"<", "<\"", "<[", "<a@", "<a@x>", "<("};
		struct buf			text = buf_make(8 * 1024 * 1024), packed = buf_make(64 * 1024 * 1024);
		int64_t				from = clock_ms();

		while (text.n < 4 * 1024 * 1024)
			(void)buf_add_str(&text, units[i]);
		assert_true(mime_message_ids(buf_slice(&text), SIZE_MAX, &packed) >= 0);
		assert_true(clock_ms() - from < LONG_MAX_MS);
		buf_free(&text);
		buf_free(&packed);
	}
}

int
main(void)
{
	static const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_references), cmocka_unit_test(test_command), cmocka_unit_test(test_random),
		cmocka_unit_test(test_long), cmocka_unit_test(test_no_room), cmocka_unit_test(test_idset), cmocka_unit_test(test_message_ids),
	};

	arena = arena_make(64 * 1024 * 1024);
	return cmocka_run_group_tests(tests, group_begin, group_end);
}
