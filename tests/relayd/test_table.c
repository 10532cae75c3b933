/*
 * The routing table: rows of whole tables, look-ups, limits at and past; and what becomes of an
 * address by table and map (resolve.c), with a map of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "address.h"
#include "resolve.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static const struct row {
	const char	*name, *in;
	unsigned	 line;
	const char	*why;		/* NULL: good */
} rows[] = {
	{"empty", "", 0, NULL},
	{"comments", "# a\n\n  # b\n\t\n", 0, NULL},
	{"every action", "A@b local a\n@b local *\nc@b forward x@y z@y\nd@b alias a@b\n@c refuse\nx@c refuse go away\n"
	    "postmaster local a\n", 0, NULL},
	{"CRLF", "a@b local a\r\n", 0, NULL},
	{"no end", "a@b local a", 0, "no text file: the last line has no end, or there is a NUL"},
	{"no action", "a@b local a\nb@b\n", 2, "an action is missing"},
	{"unknown action", "a@b drop\n", 1, "not one of local, forward, alias, refuse"},
	{"no user", "a@b local\n", 1, "local needs a user or *"},
	{"bad user", "a@b local A\n", 1, "not a valid user"},
	{"path as user", "a@b local ../x\n", 1, "not a valid user"},
	{"two users", "a@b local a b\n", 1, "local takes one user"},
	{"* for an address", "a@b local *\n", 1, "* only with @domain"},
	{"no target", "a@b forward\n", 1, "an address to send to is missing"},
	{"target without domain", "a@b forward c\n", 1, "not an address to send to"},
	{"target with a line end", "a@b forward c@d>x\n", 1, "not an address to send to"},
	{"bad key", "a@ local a\n", 1, "not an address"},
	{"bad domain", "@ local *\n", 1, "not a domain"},
	{"twice", "a@b local a\nA@B local b\n", 2, "address given twice"},
	{"alias to nowhere", "a@b alias c@b\n", 1, "alias of an address that is not in the table"},
	{"alias into a domain", "a@b alias c@d\n@d local *\n", 0, NULL},
	{"control in a text", "@b refuse a\x01\n", 1, "text must be printable ASCII"},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned	 line = 0;
		const char	*why = NULL;
		struct table	*t = table_parse(slice_of(rows[i].in), '+', &line, &why);

		if ((t != NULL) != (rows[i].why == NULL) ||
		    (t == NULL && (line != rows[i].line || strcmp(why, rows[i].why) != 0)))
			fail_msg("row failed: %s (%u: %s)", rows[i].name, line, why);
		if (t != NULL)
			table_free(t);
	}
}

static void
test_limits(void **state)
{
	char		 text[8192], *p;
	unsigned	 line;
	const char	*why;
	struct table	*t;

	(void)state;
	for (int n = TABLE_TARGETS_MAX; n <= TABLE_TARGETS_MAX + 1; n++) {
		p = text + sprintf(text, "a@b forward");
		for (int i = 0; i < n; i++)
			p += sprintf(p, " t%d@x", i);
		strcpy(p, "\n");
		t = table_parse(slice_of(text), '+', &line, &why);
		assert_int_equal(t != NULL, n == TABLE_TARGETS_MAX);
		if (t != NULL)
			table_free(t);
	}
	for (int n = 200; n <= 201; n++) {
		sprintf(text, "@b refuse %0*d\n", n, 0);
		t = table_parse(slice_of(text), '+', &line, &why);
		assert_int_equal(t != NULL, n == 200);
		if (t != NULL)
			table_free(t);
	}
}

static void
test_many(void **state)
{
	struct buf	 text = buf_make(1 << 22);
	char		 key[32];
	unsigned	 line;
	const char	*why;
	struct table	*t;

	(void)state;
	for (int i = 0; i < 20000; i++)
		assert_int_equal(buf_addf(&text, "user%d@b local u%d\n", i, i), 0);
	t = table_parse(buf_slice(&text), '\0', &line, &why);
	assert_non_null(t);
	assert_int_equal(table_count(t), 20000);
	for (int i = 0; i < 20000; i++) {
		sprintf(key, "user%d@b", i);
		assert_int_equal(atoi(table_find(t, slice_of(key))->text + 1), i);
	}
	assert_null(table_find(t, SLICE("user20000@b")));
	table_free(t);
	buf_free(&text);
}

static void
test_load(void **state)
{
	unsigned	 line = 9;
	const char	*why = NULL;

	(void)state;
	assert_null(table_load("/nonexistent/table", '+', &line, &why));
	assert_int_equal(line, 0);
	assert_string_equal(why, "No such file or directory");
	assert_null(table_load("/", '+', &line, &why));
}

/* ---- resolve ---- */

static const char TABLE[] =
    "alice@b local alice\n"
    "new@b local new\n"
    "moving@b local moving\nhalf@b local half\n"
    "lost@b local lost\n"
    "broken@b local broken\n"
    "full@b local ann@b.example\n"
    "away@b forward x@y\n"
    "both@b alias alice@b away@b new@b alice@b\n"
    "loop@b alias loop@b\n"
    "ten@b alias d9@b\nd9@b alias d8@b\nd8@b alias d7@b\nd7@b alias d6@b\nd6@b alias d5@b\nd5@b alias d4@b\n"
    "d4@b alias d3@b\nd3@b alias d2@b\nd2@b alias d1@b\nd1@b alias alice@b\neleven@b alias ten@b\n"
    "former@b refuse has left\n@r refuse\n"
    "postmaster local alice\n"
    "@all local *\n"
    "wide@b alias w0@b w1@b\n";

static enum lookup
find(void *map, struct slice name, struct arena *a, struct loc_entry *out)
{
	(void)map;
	*out = (struct loc_entry){.name = arena_slice(a, name), .state = LOC_ACTIVE, .location = SLICE("h2!p")};
	if (slice_is(name, SLICE("user.alice")))
		return FOUND;
	if (slice_is(name, SLICE("user.moving")) || slice_is(name, SLICE("user.half"))) {
		out->state = LOC_RESERVED;
		if (slice_is(name, SLICE("user.moving")))
			out->location = SLICE("h2!");
		return FOUND;
	}
	if (slice_is(name, SLICE("user.lost"))) {
		out->location = SLICE("h9!p");
		return FOUND;
	}
	return slice_is(name, SLICE("user.broken")) ? LOOKUP_TEMP : ABSENT;
}

static void
test_resolve(void **state)
{
	static const struct {
		const char	*address;
		const char	*want;	/* code, then each target */
	} asks[] = {
		{"alice@b", "250 L1 alice alice@b"}, {"ALICE@B", "250 L1 alice alice@B"},
		{"Alice+Box@b", "250 L1 alice alice+Box@b"}, {"new@b", "250 P0 new new@b"},
		{"moving@b", "451"}, {"half@b", "250 P1 half half@b"}, {"lost@b", "451"}, {"broken@b", "451"}, {"nobody@b", "550"}, {"alice@c", "550"},
		{"full@b", "250 P0 ann@b.example ann@b.example"}, {"away@b", "250 F x@y"}, {"away+d@b", "250 F x@y"},
		{"both@b", "250 L1 alice alice@b F x@y P0 new new@b"}, {"loop@b", "550"}, {"ten@b", "250 L1 alice alice@b"},
		{"eleven@b", "550"}, {"former@b", "550"}, {"x@r", "550"}, {"postmaster", "250 L1 alice alice@here"},
		{"PostMaster", "250 L1 alice alice@here"}, {"Any.One+d@all", "250 P0 any.one any.one+d@all"},
		{"\"any one\"@all", "550"}, {"alice@all", "250 L1 alice alice@all"}, {"+x@all", "550"},
	};
	static struct route_answer	a;
	char				*names[] = {"h1=x", "h2=y"};
	const struct conf_list		 hosts = {.v = names, .n = 2};
	struct arena			 arena = arena_make(RESOLVE_ARENA_BYTES);
	struct buf			 text = buf_make(65536);
	unsigned			 line = 0;
	const char			*why = "";
	struct table			*t;

	(void)state;
	/* "wide" is two lists of 60: past the targets of one recipient. */
	assert_int_equal(buf_add_str(&text, TABLE), 0);
	for (int w = 0; w < 2; w++) {
		assert_int_equal(buf_addf(&text, "w%d@b forward", w), 0);
		for (int i = 0; i < 60; i++)
			assert_int_equal(buf_addf(&text, " w%d-%d@x", w, i), 0);
		assert_int_equal(buf_add_str(&text, "\n"), 0);
	}
	t = table_parse(buf_slice(&text), '+', &line, &why);
	if (t == NULL)
		fail_msg("%u: %s", line, why);
	for (size_t i = 0; i < COUNT(asks) + 1; i++) {
		struct resolve_conf	conf = {.table = t, .hosts = &hosts, .hostname = "here", .find = find};
		struct buf		got = buf_make(65536);
		const char		*address = i < COUNT(asks) ? asks[i].address : "wide@b";
		const char		*want = i < COUNT(asks) ? asks[i].want : "451";

		arena_reset(&arena);
		resolve(&conf, slice_of(address), &arena, &a);
		buf_addf(&got, "%d", a.reply.code);
		for (size_t j = 0; j < a.ntargets; j++) {
			const struct route_target	*r = &a.targets[j];

			if (r->kind == ROUTE_LOCAL)
				buf_addf(&got, " %c%u %.*s %.*s", r->place ? 'P' : 'L', r->host, (int)r->user.n, r->user.p,
				    (int)r->address.n, r->address.p);
			else
				buf_addf(&got, " F %.*s", (int)r->address.n, r->address.p);
		}
		if (!slice_is(buf_slice(&got), slice_of(want)))
			fail_msg("row failed: %s: %.*s", address, (int)got.n, got.p);
		buf_free(&got);
	}
	table_free(t);
	buf_free(&text);
	arena_free(&arena);
}

/* An answer with as many and as long targets as there can be fits its message, and comes back the same. */
static void
test_largest_answer(void **state)
{
	static struct route_answer	a, b;
	static char			address[ADDRESS_MAX_BYTES], user[USER_MAX_BYTES];
	struct buf			out = buf_make(96 * 1024);
	uint32_t			req;

	(void)state;
	memset(address, 'a', sizeof(address));
	memset(user, 'u', sizeof(user));
	a.reply = (struct reply){DONE, 250, "2.1.5 ok"};
	a.ntargets = ROUTE_TARGETS_MAX;
	for (size_t i = 0; i < a.ntargets; i++)
		a.targets[i] = (struct route_target){ROUTE_LOCAL, true, 2, {user, sizeof(user)}, {address, sizeof(address)}};
	routemsg_pack_answer(&out, 7, &a);
	assert_true(pack_ok(&out));
	assert_true(routemsg_unpack_answer(buf_slice(&out), 3, &req, &b));
	assert_int_equal(b.ntargets, a.ntargets);
	assert_true(slice_is(b.targets[99].address, a.targets[99].address) && b.targets[99].place && b.targets[99].host == 2);
	assert_false(routemsg_unpack_answer(buf_slice(&out), 2, &req, &b));	/* a host that is not there */
	for (size_t n = 0; n < 400; n++)
		assert_false(routemsg_unpack_answer((struct slice){out.p, n}, 3, &req, &b));
	address[3] = '\n';
	buf_clear(&out);
	routemsg_pack_answer(&out, 7, &a);
	assert_false(routemsg_unpack_answer(buf_slice(&out), 3, &req, &b));
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_largest_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
