/*
 * Placing users and keeping the location map in step, against a small MUPDATE server (RFC 3656) that
 * writes down what it was told.
 */
#include "spoold_run.h"

#include "place.h"

#define TIMEOUT_MS	300

static struct store_host host;
static const char *partitions[2] = {"default", NULL};
static pid_t server_pid;

/* ---- the small server: a process a test, its map in memory, its transcript in the file "map" ---- */

struct entry {
	char	name[128], state[16], location[64];
};

static struct entry map[256];
static size_t nmap;

static struct entry *
map_find(const char *name)
{
	for (size_t i = 0; i < nmap; i++)
		if (strcmp(map[i].name, name) == 0)
			return &map[i];
	return NULL;
}

static void
map_put(const char *name, const char *state, const char *location)
{
	struct entry *e = map_find(name);

	if (e == NULL)
		e = &map[nmap++];
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	(void)snprintf(e->state, sizeof(e->state), "%s", state);
	(void)snprintf(e->location, sizeof(e->location), "%s", location);
}

static void
server_answer(FILE *f, const char *tag, const char *verb, const char *name, const char *location)
{
	struct entry *e = map_find(name);
	bool is_ok = true;

	if (strcmp(verb, "RESERVE") == 0) {
		is_ok = e == NULL;
		if (is_ok)
			map_put(name, "RESERVE", location);
	} else if (strcmp(verb, "ACTIVATE") == 0) {
		map_put(name, "MAILBOX", location);
	} else if (strcmp(verb, "DELETE") == 0) {
		is_ok = e != NULL;
		if (is_ok)
			*e = map[--nmap];
	} else if (strcmp(verb, "FIND") == 0 && e != NULL) {
		fprintf(f, "%s %s \"%s\" \"%s\"%s\r\n", tag, e->state, e->name, e->location,
		    strcmp(e->state, "MAILBOX") == 0 ? " \"acl\"" : "");
	}
	fprintf(f, "%s %s \"text\"\r\n", tag, is_ok ? "OK" : "NO");
	fflush(f);
}

static void
server_serve(int fd)
{
	char line[512], tag[32], verb[32], name[128], location[64];
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w"), *script = fopen(in_dir("map"), "ae");

	fprintf(out, "* OK MUPDATE \"test\" \"small\" \"1\" \"mupdate://test\"\r\n");
	fflush(out);
	while (fgets(line, sizeof(line), in) != NULL) {
		*name = *location = '\0';
		if (sscanf(line, "%31s %31s \"%127[^\"]\" \"%63[^\"]\"", tag, verb, name, location) < 2)
			break;
		if (strcmp(verb, "LOGOUT") == 0)
			break;
		fprintf(script, "%s %s %s\n", verb, name, location);
		fflush(script);
		if (access(in_dir("silent"), F_OK) == 0)
			continue;
		server_answer(out, tag, verb, name, location);
	}
	fclose(in);
	fclose(out);
	fclose(script);
}

static void
server_start(void)
{
	int fd = ipc_listen(in_dir("mupdate"), SOCK_STREAM, 0600, 4);

	assert_true(fd >= 0);
	server_pid = fork();
	if (server_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		for (;;)
			server_serve(accept(fd, NULL, NULL));
	}
	close(fd);
}

static void
server_silent(bool is_silent)
{
	if (is_silent)
		close(open(in_dir("silent"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	else
		unlink(in_dir("silent"));
}

/* ---- the process that places ---- */

static int
place_setup(void **state)
{
	static struct place_conf conf;
	static char where[PATH_MAX], active[PATH_MAX], index[PATH_MAX];

	if (dir_setup(state) != 0)
		return -1;
	(void)snprintf(where, sizeof(where), "unix:%s", in_dir("mupdate"));
	(void)snprintf(active, sizeof(active), "%s", in_dir("active"));
	(void)snprintf(index, sizeof(index), "%s", in_dir("index"));
	conf = (struct place_conf){.mupdate = where, .hostname = "host.example", .timeout_ms = TIMEOUT_MS};
	place_init(&conf);
	host = (struct store_host){.active_dir = active, .index_dir = index, .partition = "default",
	    .partitions = partitions, .segment_max_bytes = 1 << 20, .map_bytes = 1 << 26};
	if (dir_make(in_dir("active/default"), (uid_t)-1, (gid_t)-1, 0700) != 0 ||
	    dir_make(in_dir("index/default"), (uid_t)-1, (gid_t)-1, 0700) != 0)
		return -1;
	return epoch_begin(active, "default", false, &host.epoch);
}

static int
place_teardown(void **state)
{
	store_drop_cached();	/* the next test has other directories */
	if (server_pid > 0) {
		kill(server_pid, SIGKILL);
		waitpid(server_pid, NULL, 0);
		server_pid = 0;
	}
	nmap = 0;
	return dir_teardown(state);
}

static size_t
mailboxes(const char *user, size_t *nsubscribed_out)
{
	struct arena a = arena_make(1 << 20);
	struct mbox_info *boxes;
	struct store *st;
	size_t n;

	*nsubscribed_out = 0;
	assert_int_equal(store_open(&host, slice_of(user), &st), FOUND);
	assert_int_equal(store_mbox_list(st, &a, &boxes, &n), STORE_OK);
	for (size_t i = 0; i < n; i++)
		*nsubscribed_out += boxes[i].is_subscribed;
	store_close(st);
	arena_free(&a);
	return n;
}

static void
assert_placed(const char *user)
{
	size_t nsubscribed;

	assert_int_equal(mailboxes(user, &nsubscribed), 6);
	assert_int_equal(nsubscribed, 6);
	assert_false(place_is_half(&host, slice_of(user)));
}

static void
test_new_user(void **state)
{
	(void)state;
	server_start();
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_placed("alice");
	assert_int_equal(count_in("map", "RESERVE "), 6);
	assert_int_equal(count_in("map", "ACTIVATE "), 6);
	assert_int_equal(count_in("map", "RESERVE user.alice host.example!default\n"), 1);
	assert_int_equal(count_in("map", "ACTIVATE user.alice.Drafts host.example!default\n"), 1);
	/* Again: nothing to do, nothing said. */
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_int_equal(count_in("map", "ACTIVATE "), 6);
}

/* Descriptors of this process on files of that name. */
static size_t
count_open(const char *name)
{
	char link[64], target[PATH_MAX];
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t len;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, target, sizeof(target) - 1);
		if (len < (ssize_t)strlen(name))
			continue;
		target[len] = '\0';
		n += strcmp(target + len - strlen(name), name) == 0;
	}
	return n;
}

/* An index open twice in a process loses LMDB's locks when one of them is closed. */
static void
test_opened_once(void **state)
{
	struct store *a, *b;

	(void)state;
	server_start();
	assert_int_equal(place_user(&host, SLICE("once")), STORE_OK);
	assert_int_equal(store_open(&host, SLICE("once"), &a), FOUND);
	assert_int_equal(store_open(&host, SLICE("once"), &b), FOUND);
	assert_ptr_equal(a, b);
	assert_int_equal(count_open("/once/lock.mdb"), 1);
	store_close(a);
	store_close(b);
}

static void
test_without_map(void **state)
{
	static const struct place_conf none = {.mupdate = "", .hostname = "host.example"};

	(void)state;
	place_init(&none);
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_placed("alice");
}

static void
test_elsewhere(void **state)
{
	const char *partition;

	(void)state;
	map_put("user.alice", "MAILBOX", "other.example!p1");
	server_start();
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_EXISTS);
	assert_int_equal(store_exists(&host, SLICE("alice"), &partition), ABSENT);
}

/* Reserved for us by an attempt that was cut off. */
static void
test_reserved(void **state)
{
	(void)state;
	map_put("user.alice", "RESERVE", "host.example!default");
	map_put("user.alice.Sent", "MAILBOX", "host.example!default");
	server_start();
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_placed("alice");
}

/* The spool is there, but nothing in it. */
static void
test_empty_spool(void **state)
{
	(void)state;
	server_start();
	assert_int_equal(store_create(&host, SLICE("alice")), STORE_OK);
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_placed("alice");
}

/* A map that does not answer: TEMP, no spool; and it goes on when the map is back. */
static void
test_silent(void **state)
{
	const char *partition;
	int64_t begin = mono_ms();

	(void)state;
	server_start();
	server_silent(true);
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_TEMP);
	assert_true(mono_ms() - begin < 10 * TIMEOUT_MS);
	assert_int_equal(store_exists(&host, SLICE("alice"), &partition), ABSENT);
	server_silent(false);
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_placed("alice");
}

static void
test_no_server(void **state)
{
	(void)state;
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_TEMP);
	assert_false(place_is_half(&host, SLICE("alice")));
}

/* A process of its own, with its own connection to the map. */
static pid_t
placer(struct slice user)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(place_user(&host, user) == STORE_OK ? 0 : 1);
	return pid;
}

/* Killed at many different moments, it is completed by the next attempt. */
static void
test_killed(void **state)
{
	char user[16];

	(void)state;
	server_start();
	for (int i = 0; i < 40; i++) {
		struct slice name = {user, (size_t)snprintf(user, sizeof(user), "user%d", i)};
		pid_t pid = placer(name);
		int status;

		nanosleep(&(struct timespec){.tv_nsec = i * 400000L}, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = placer(name);
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
		assert_placed(user);
	}
}

/* Many at once: one makes it, all find it made. */
static void
test_race(void **state)
{
	pid_t pids[8];
	int status;

	(void)state;
	server_start();
	/* A server for each would need a shared map: without one here. */
	place_init(&(struct place_conf){.mupdate = "", .hostname = "host.example"});
	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(place_user(&host, SLICE("alice")) == STORE_OK ? 0 : 1);
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_placed("alice");
}

static void
test_mailboxes(void **state)
{
	unsigned char id[RECORD_ID_BYTES];
	struct store *st;
	size_t n;

	(void)state;
	server_start();
	assert_int_equal(place_user(&host, SLICE("alice")), STORE_OK);
	assert_int_equal(store_open(&host, SLICE("alice"), &st), FOUND);
	assert_int_equal(place_create(st, SLICE("user.alice.a"), USE_NONE, id), STORE_OK);
	assert_int_equal(place_create(st, SLICE("user.alice.a"), USE_NONE, id), STORE_EXISTS);
	assert_int_equal(place_create(st, SLICE("user.alice.a.b"), USE_NONE, id), STORE_OK);
	assert_int_equal(place_create(st, SLICE("user.alice.ab"), USE_NONE, id), STORE_OK);
	assert_int_equal(count_in("map", "ACTIVATE user.alice.a "), 1);

	assert_int_equal(place_rename(st, SLICE("user.alice.a"), SLICE("user.alice.z")), STORE_OK);
	assert_int_equal(count_in("map", "ACTIVATE user.alice.z "), 1);
	assert_int_equal(count_in("map", "ACTIVATE user.alice.z.b "), 1);
	assert_int_equal(count_in("map", "DELETE user.alice.a.b "), 1);
	assert_int_equal(count_in("map", "DELETE user.alice.ab "), 0);
	assert_int_equal(place_rename(st, SLICE("user.alice.none"), SLICE("user.alice.y")), STORE_NOMBOX);
	assert_int_equal(place_rename(st, SLICE("user.alice.z"), SLICE("user.alice.Sent")), STORE_EXISTS);
	/* INBOX stays where it is. */
	assert_int_equal(place_rename(st, SLICE("user.alice"), SLICE("user.alice.old")), STORE_OK);
	assert_int_equal(count_in("map", "ACTIVATE user.alice.old "), 1);
	assert_int_equal(count_in("map", "DELETE user.alice \n"), 0);

	assert_int_equal(place_delete(st, SLICE("user.alice.ab")), STORE_OK);
	assert_int_equal(count_in("map", "DELETE user.alice.ab "), 1);
	assert_int_equal(place_delete(st, SLICE("user.alice.ab")), STORE_NOMBOX);

	server_silent(true);
	assert_int_equal(place_create(st, SLICE("user.alice.new"), USE_NONE, id), STORE_TEMP);
	assert_int_equal(place_delete(st, SLICE("user.alice.z")), STORE_TEMP);
	assert_int_equal(place_rename(st, SLICE("user.alice.z"), SLICE("user.alice.y")), STORE_TEMP);
	server_silent(false);
	store_close(st);
	/* Six, z, z.b and old: nothing of what was TEMP. */
	assert_int_equal(mailboxes("alice", &n), 9);
}

int
main(void)
{
#define ROW(t)	cmocka_unit_test_setup_teardown(t, place_setup, place_teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_new_user),
		ROW(test_opened_once), ROW(test_without_map),
		ROW(test_elsewhere),
		ROW(test_reserved),
		ROW(test_empty_spool),
		ROW(test_silent),
		ROW(test_no_server),
		ROW(test_killed),
		ROW(test_race),
		ROW(test_mailboxes),
	};

	log_init("test");
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
