/*
 * The parent's part: checks what the settings name, opens listeners and pairs, starts the children.
 * See house.h. It runs as root where started so, never reads from the network, and never holds the private
 * key: it opens the file, and the key process reads it.
 */
#include "house.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
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

/* What the process that read the private key found. */
struct pem_verdict {
	bool	is_good, is_key;	/* is_key: of what is bad, the key; else the certificate */
	char	reason[TLS_REASON_MAX_BYTES];
};

static bool
check_listeners(const struct settings *s, struct conf_wrong *out)
{
	const char *const keys[] = {"imap_listen", "imaps_listen", "pop3_listen", "pop3s_listen"};
	const struct conf_list *const lists[] = {&s->imap_listen, &s->imaps_listen, &s->pop3_listen, &s->pop3s_listen};
	char *all[4 * LISTEN_MAX];
	struct conf_list sum = {.v = all};

	/* Each with those before it: two keys cannot have the same address. */
	for (size_t i = 0; i < 4; i++) {
		assert(lists[i]->n <= LISTEN_MAX);
		memcpy(all + sum.n, lists[i]->v, lists[i]->n * sizeof(*all));
		sum.n += lists[i]->n;
		if (!parent_check_listen(keys[i], &sum, out))
			return false;
	}
	return true;
}

static int
file_open(const char *key, const char *path, struct conf_wrong *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		*out = (struct conf_wrong){key, path, strerrordesc_np(errno)};
	return fd;
}

static bool
chain_read(struct house *h, struct conf_wrong *out)
{
	const char *path = h->conf.tls_certificate;
	int fd = file_open("tls_certificate", path, out);
	char *pem;
	ssize_t n;

	if (fd == -1)
		return false;
	if ((pem = malloc(CHAIN_MAX_BYTES)) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "certificate"));
	n = read(fd, pem, CHAIN_MAX_BYTES);
	close(fd);
	*out = (struct conf_wrong){"tls_certificate", path, n == -1 ? strerrordesc_np(errno) :
	    n == 0 ? "empty" : "256 KiB or more"};
	h->chain_pem = (struct slice){pem, n > 0 ? (size_t)n : 0};
	return n > 0 && n < CHAIN_MAX_BYTES;
}

/* All that net and the key process will do with the two files. */
static void
pem_judge(const struct house *h, struct pem_verdict *out)
{
	const unsigned char tickets[TLS_TICKET_KEY_BYTES] = {0};
	BIO *bio = BIO_new_mem_buf(h->chain_pem.p, (int)h->chain_pem.n);
	X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *public = cert != NULL ? X509_get0_pubkey(cert) : NULL, *key = NULL;
	SSL_CTX *ctx = NULL;

	if (public == NULL)
		tls_reason(out->reason);
	else if (!EVP_PKEY_is_a(public, "RSA") && !EVP_PKEY_is_a(public, "EC"))
		snprintf(out->reason, sizeof(out->reason), "neither RSA nor EC");
	else if ((key = key_load(h->key_file, h->chain_pem, out->reason)) == NULL)
		out->is_key = true;
	else
		ctx = tls_server_ctx(h->chain_pem, key, tickets, out->reason);
	out->is_good = ctx != NULL;
	SSL_CTX_free(ctx);
	EVP_PKEY_free(key);
	X509_free(cert);
	BIO_free(bio);
}

/* In a process of its own, so that the key was never in the memory that the other children inherit. */
static bool
pem_check(struct house *h, struct conf_wrong *out)
{
	static struct pem_verdict verdict;	/* its reason outlives us */
	ssize_t n;
	int pair[2];
	pid_t pid;

	if (ipc_pair(SOCK_STREAM, pair) == -1 || (pid = fork()) == -1)
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "fork"));
	if (pid == 0) {
		pem_judge(h, &verdict);
		_exit(write(pair[1], &verdict, sizeof(verdict)) != (ssize_t)sizeof(verdict));
	}
	close(pair[1]);
	do
		n = read(pair[0], &verdict, sizeof(verdict));
	while (n == -1 && errno == EINTR);
	close(pair[0]);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	if (n != (ssize_t)sizeof(verdict))
		DIE(EXIT_TEMP, "fatal.child", log_str("what", "certificate"));
	*out = verdict.is_key ? (struct conf_wrong){"tls_key", h->conf.tls_key, verdict.reason} :
	    (struct conf_wrong){"tls_certificate", h->conf.tls_certificate, verdict.reason};
	return verdict.is_good;
}

bool
house_check(struct house *h, struct conf_wrong *out)
{
	if (!check_listeners(&h->conf, out))
		return false;
	*out = (struct conf_wrong){"mech_list", NULL, "not names of mechanisms"};
	if (pre_policy_make(&h->policy, h->conf.mech_list.v, h->conf.mech_list.n, h->conf.plaintext_login,
	    (unsigned)h->conf.auth_failures_max) == -1 || !chain_read(h, out))
		return false;
	h->policy.pop3_login_delay_s = h->conf.pop3_login_delay_s;
	h->key_file = file_open("tls_key", h->conf.tls_key, out);
	return h->key_file != -1 && pem_check(h, out);
}

void
house_prepare(struct house *h)
{
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
