/*
 * The parent's part: checks what the settings name, opens listeners and pairs, starts the children.
 * See house.h. It runs as root where started so, never reads from the network, and never holds the private
 * key: it opens the file, and the key process reads it.
 */
#include "house.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"
#include "ipc.h"
#include "key.h"
#include "log.h"
#include "login.h"
#include "net.h"

#define CHAIN_MAX_BYTES	(256 * 1024)

static int
file_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", path), log_str("why", "cannot open"));
	return fd;
}

static void
chain_read(struct house *h)
{
	int fd = file_open(h->conf.tls_certificate);
	char *pem = malloc(CHAIN_MAX_BYTES);
	ssize_t n = pem != NULL ? read(fd, pem, CHAIN_MAX_BYTES) : -1;

	close(fd);
	if (n <= 0 || n == CHAIN_MAX_BYTES)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", h->conf.tls_certificate), log_str("why", "cannot read"));
	h->chain_pem = (struct slice){pem, (size_t)n};
}

/* In a process of its own, so that the key was never in the memory that the other children inherit. */
static void
key_check(struct house *h)
{
	char reason[TLS_REASON_MAX_BYTES];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (key_load(h->key_file, h->chain_pem, reason) != NULL)
			_exit(0);
		errno = 0;
		LOG("fatal.conf", log_str("at", h->conf.tls_key), log_str("why", reason));
		_exit(EXIT_CONF);
	}
	while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		continue;
	if (pid == -1)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "fork"));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		exit(EXIT_CONF);
}

void
house_prepare(struct house *h)
{
	if (pre_policy_make(&h->policy, h->conf.mech_list.v, h->conf.mech_list.n, h->conf.plaintext_login,
	    (unsigned)h->conf.auth_failures_max) == -1)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", "mech_list"), log_str("why", "not names of mechanisms"));
	chain_read(h);
	h->key_file = file_open(h->conf.tls_key);
	key_check(h);
	if (RAND_bytes(h->tickets, sizeof(h->tickets)) != 1)
		DIE(EXIT_TEMP, "fatal.random", log_str("what", "ticket keys"));
	if (dir_make(h->conf.chroot_dir, (uid_t)-1, (gid_t)-1, 0755) == -1)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", h->conf.chroot_dir), log_str("why", "cannot make"));
}

static void
listen_all(struct house *h, struct parent *p, const struct conf_list *where, enum sess_proto proto, bool is_tls)
{
	for (size_t i = 0; i < where->n; i++)
		h->listeners[h->nlisteners++] = (struct listener){
		    .fd = parent_listen(p, where->v[i], false, (uid_t)-1, (gid_t)-1, 0), .proto = proto, .is_tls = is_tls};
}

static void
pair_make(int *a, int *b)
{
	int pair[2];

	if (ipc_pair(SOCK_SEQPACKET, pair) == -1)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "socketpair"));
	*a = pair[0];
	*b = pair[1];
}

static struct house_child *
child_make(struct house *h, size_t index)
{
	struct house_child *c = malloc(sizeof(*c));

	if (c == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "child"));
	*c = (struct house_child){h, index};
	return c;
}

static void
spawn_nets(struct house *h, struct parent *p)
{
	int keep[4 * LISTEN_MAX + 2];
	size_t n = 0;

	for (; n < h->nlisteners; n++)
		keep[n] = h->listeners[n].fd;
	for (size_t i = 0; i < h->conf.processes; i++) {
		keep[n] = h->net_auth[i];
		keep[n + 1] = h->net_key[i];
		parent_spawn(p, &(struct child_spec){.name = "proxyd/net", .run = net_main, .arg = child_make(h, i),
		    .keep = keep, .nkeep = n + 2});
	}
}

static void
spawn_auth(struct house *h, struct parent *p)
{
	int keep[PROCESSES_MAX + AUTH_WORKERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < h->conf.auth_workers; i++)
		parent_spawn(p, &(struct child_spec){.name = "proxyd/login", .run = login_main, .arg = child_make(h, i),
		    .keep = &h->login_auth[i], .nkeep = 1});
	for (size_t i = 0; i < h->conf.processes; i++)
		keep[n++] = h->auth_net[i];
	for (size_t i = 0; i < h->conf.auth_workers; i++)
		keep[n++] = h->auth_login[i];
	parent_spawn(p, &(struct child_spec){.name = "proxyd/auth", .run = front_main, .arg = h, .keep = keep, .nkeep = n});
}

static void
spawn_key(struct house *h, struct parent *p)
{
	int keep[PROCESSES_MAX + 1];
	size_t n = 0;

	for (; n < h->conf.processes; n++)
		keep[n] = h->key_net[n];
	keep[n++] = h->key_file;
	parent_spawn(p, &(struct child_spec){.name = "proxyd/key", .run = key_main, .arg = h, .keep = keep, .nkeep = n});
}

void
house_start(struct house *h, struct parent *p)
{
	listen_all(h, p, &h->conf.imap_listen, SESS_IMAP, false);
	listen_all(h, p, &h->conf.imaps_listen, SESS_IMAP, true);
	listen_all(h, p, &h->conf.pop3_listen, SESS_POP3, false);
	listen_all(h, p, &h->conf.pop3s_listen, SESS_POP3, true);
	for (size_t i = 0; i < h->conf.processes; i++) {
		pair_make(&h->auth_net[i], &h->net_auth[i]);
		pair_make(&h->key_net[i], &h->net_key[i]);
	}
	for (size_t i = 0; i < h->conf.auth_workers; i++)
		pair_make(&h->auth_login[i], &h->login_auth[i]);
	spawn_key(h, p);
	spawn_auth(h, p);
	spawn_nets(h, p);
}
