/*
 * The key process: reads the private key once, drops everything, then signs what net asks for, if it
 * is well-formed. See key.h. It never signs bytes that could be a ciphertext, and answers nothing else.
 */
#include "key.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#include "house.h"
#include "ipc.h"
#include "keyblock.h"
#include "log.h"
#include "sandbox.h"

#define KEY_FILE_MAX_BYTES	(64 * 1024)
#define KEY_NOFILE		256	/* a socket for each net process, and room */

struct keyproc {
	struct event_base	*base;
	EVP_PKEY		*key;
	size_t			 nopen;		/* net processes not yet gone */
};

struct keyproc_net {
	struct keyproc	*k;
	struct event	*event;
};

EVP_PKEY *
key_load(int fd, struct slice chain_pem, char *reason_out)
{
	char *pem = calloc(1, KEY_FILE_MAX_BYTES);
	ssize_t n = pem != NULL ? pread(fd, pem, KEY_FILE_MAX_BYTES, 0) : -1;
	BIO *key_bio = n > 0 ? BIO_new_mem_buf(pem, (int)n) : NULL;
	BIO *cert_bio = BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
	EVP_PKEY *key = key_bio != NULL ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (char[]){""}) : NULL;
	X509 *cert = cert_bio != NULL ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;

	if (key != NULL && (cert == NULL || !X509_check_private_key(cert, key))) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (key == NULL)
		tls_reason(reason_out);
	X509_free(cert);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	if (pem != NULL)
		explicit_bzero(pem, KEY_FILE_MAX_BYTES);
	free(pem);
	return key;
}

static bool
is_allowed(EVP_PKEY *key, const struct key_request *r)
{
	switch (r->kind) {
	case KEY_ECDSA:
		return EVP_PKEY_is_a(key, "EC") && keyblock_is_digest(r->block);
	case KEY_RSA_PKCS1:
		return EVP_PKEY_is_a(key, "RSA") && keyblock_is_digestinfo(r->block);
	case KEY_RSA_PSS:
		return EVP_PKEY_is_a(key, "RSA") && keyblock_is_pss(r->block, (unsigned)EVP_PKEY_get_bits(key));
	}
	return false;
}

size_t
key_sign(EVP_PKEY *key, struct slice request, uint32_t *seq_out, unsigned char *out, size_t cap)
{
	struct key_request r;
	EVP_PKEY_CTX *ctx;
	size_t n = cap;
	bool ok;

	*seq_out = 0;
	if (!key_request_unpack(request, &r))
		return 0;
	*seq_out = r.seq;
	if (!is_allowed(key, &r))
		return 0;
	ctx = EVP_PKEY_CTX_new(key, NULL);
	ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1;
	if (ok && r.kind != KEY_ECDSA)
		ok = EVP_PKEY_CTX_set_rsa_padding(ctx, r.kind == KEY_RSA_PSS ? RSA_NO_PADDING : RSA_PKCS1_PADDING) == 1;
	ok = ok && EVP_PKEY_sign(ctx, out, &n, (const unsigned char *)r.block.p, r.block.n) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok ? n : 0;
}

static void
net_readable(evutil_socket_t fd, short what, void *arg)
{
	struct keyproc_net *net = arg;
	unsigned char signature[KEY_BLOCK_MAX_BYTES];
	char msg[KEY_MSG_MAX_BYTES];
	struct buf answer = buf_make(KEY_MSG_MAX_BYTES);
	int fds[IPC_FDS_MAX];
	uint32_t seq;
	size_t nfds, n;
	ssize_t got = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);

	(void)what;
	if (got == -1)
		return;
	if (got == 0) {
		/* Its net process is gone, and the parent with the pair's other end too: we are of an old generation. */
		event_del(net->event);
		if (--net->k->nopen == 0)
			event_base_loopbreak(net->k->base);
		return;
	}
	ipc_close_fds(fds, nfds);
	n = key_sign(net->k->key, (struct slice){msg, (size_t)got}, &seq, signature, sizeof(signature));
	if (n == 0)
		LOG("warn.key.refused", log_i64("bytes", got));
	key_answer_pack(&answer, seq, (struct slice){(const char *)signature, n});
	if (ipc_send(fd, buf_slice(&answer), NULL, 0) == -1)
		LOG("warn.key.unanswered", log_str("why", strerrordesc_np(errno)));
	buf_free(&answer);
}

static void
on_term(evutil_socket_t signo, short what, void *arg)
{
	struct keyproc *k = arg;

	(void)signo;
	(void)what;
	event_base_loopbreak(k->base);
}

static struct event *
event_make(struct keyproc *k, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event *ev = event_new(k->base, fd, what | EV_PERSIST, fn, arg);

	if (ev == NULL || event_add(ev, NULL) == -1)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "add"));
	return ev;
}

void
key_main(void *arg, int chan)
{
	struct house *h = arg;
	struct keyproc k = {.base = event_base_new()};
	struct keyproc_net nets[PROCESSES_MAX];
	char reason[TLS_REASON_MAX_BYTES];

	close(chan);	/* draining is when the last net process ends */
	if (k.base == NULL)
		DIE(EXIT_TEMP, "fatal.event", log_str("what", "base"));
	k.key = key_load(h->key_file, h->chain_pem, reason);
	close(h->key_file);
	if (k.key == NULL)
		DIE(EXIT_CONF, "fatal.conf", log_str("at", h->conf.tls_key), log_str("why", reason));
	event_make(&k, SIGTERM, EV_SIGNAL, on_term, &k);
	for (size_t i = 0; i < h->conf.processes; i++) {
		nets[i].k = &k;
		if (fd_nonblock(h->key_net[i]) == -1)
			DIE(EXIT_TEMP, "fatal.event", log_str("what", "nonblock"));
		nets[i].event = event_make(&k, h->key_net[i], EV_READ, net_readable, &nets[i]);
		k.nopen++;
	}
	sandbox_limits(KEY_NOFILE, 0, true);
	sandbox_paths(NULL, 0);
	privileges_drop(&h->conf.key_user, h->conf.chroot_dir, 0);
	sandbox_seccomp(SANDBOX_NET);
	event_base_dispatch(k.base);
	EVP_PKEY_free(k.key);
	_exit(0);
}
