/*
 * Signing by asking. See keyhook.h. The one place that blocks in net, with a deadline: a signature
 * takes the key process 0.05 ms (P-256) to 1 ms (RSA 2048), and one that takes longer has no key process.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "keyhook.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <poll.h>

#include "ipc.h"
#include "keyblock.h"
#include "log.h"

#define KEY_WAIT_MS	1000

/* These live as long as the process: keys hold them without counting. */
static RSA_METHOD *rsa_method;
static EC_KEY_METHOD *ec_method;
static int key_fd = -1;		/* net's end; OpenSSL's hooks have no argument of ours that survives key copies */
static uint32_t key_seq;

/* Waits for the answer to seq: the signature's length in out, or 0. Older answers are dropped. */
static size_t
key_answer(uint32_t seq, int64_t deadline_ms, unsigned char *out, size_t cap)
{
	char msg[KEY_MSG_MAX_BYTES];
	struct slice signature;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	uint32_t got;
	ssize_t n;

	for (;;) {
		struct pollfd pfd = {.fd = key_fd, .events = POLLIN};
		int64_t left_ms = deadline_ms - mono_ms();

		if (left_ms <= 0)
			return 0;
		if (poll(&pfd, 1, (int)left_ms) != 1)
			continue;
		n = ipc_recv(key_fd, msg, sizeof(msg), fds, &nfds);
		if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (n == -1)
			continue;
		ipc_close_fds(fds, nfds);
		if (!key_answer_unpack((struct slice){msg, (size_t)n}, &got, &signature) || got != seq)
			continue;
		if (signature.n > cap)
			return 0;
		memcpy(out, signature.p, signature.n);
		return signature.n;
	}
}

static size_t
key_ask(enum key_kind kind, const unsigned char *block, size_t n, unsigned char *out, size_t cap)
{
	struct buf b = buf_make(KEY_MSG_MAX_BYTES);
	struct key_request r = {.seq = ++key_seq, .kind = kind, .block = {(const char *)block, n}};
	int64_t start_ms = mono_ms();
	size_t got = 0;

	key_request_pack(&b, &r);
	if (pack_ok(&b) && n <= KEY_BLOCK_MAX_BYTES && ipc_send(key_fd, buf_slice(&b), NULL, 0) == 0)
		got = key_answer(r.seq, start_ms + KEY_WAIT_MS, out, cap);
	buf_free(&b);
	if (got == 0)
		LOG("warn.key.silent", log_i64("ms", mono_ms() - start_ms));
	return got;
}

static int
rsa_private_encrypt(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	size_t got, cap = (size_t)RSA_size(rsa);

	if (n <= 0 || (padding != RSA_PKCS1_PADDING && padding != RSA_NO_PADDING))
		return -1;
	got = key_ask(padding == RSA_NO_PADDING ? KEY_RSA_PSS : KEY_RSA_PKCS1, from, (size_t)n, to, cap);
	return got == cap ? (int)got : -1;
}

/* Decryption is no signature: a key exchange by RSA is not offered. */
static int
rsa_private_decrypt(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	(void)n;
	(void)from;
	(void)to;
	(void)rsa;
	(void)padding;
	return -1;
}

static ECDSA_SIG *
ecdsa_sign_sig(const unsigned char *digest, int n, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
	unsigned char der[KEY_BLOCK_MAX_BYTES];
	const unsigned char *p = der;
	size_t got;

	(void)kinv;
	(void)r;
	(void)ec;
	got = n > 0 ? key_ask(KEY_ECDSA, digest, (size_t)n, der, sizeof(der)) : 0;
	return got > 0 ? d2i_ECDSA_SIG(NULL, &p, (long)got) : NULL;
}

static int
ecdsa_sign(int type, const unsigned char *digest, int n, unsigned char *sig, unsigned int *sig_n,
    const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
	(void)type;
	(void)kinv;
	(void)r;
	*sig_n = n > 0 ? (unsigned)key_ask(KEY_ECDSA, digest, (size_t)n, sig, (size_t)ECDSA_size(ec)) : 0;
	return *sig_n > 0;
}

static bool
hook_rsa(EVP_PKEY *out, EVP_PKEY *public)
{
	RSA *rsa = EVP_PKEY_get1_RSA(public);

	rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	if (rsa_method == NULL || rsa == NULL || !RSA_meth_set1_name(rsa_method, "twinspool key process") ||
	    !RSA_meth_set_priv_enc(rsa_method, rsa_private_encrypt) ||
	    !RSA_meth_set_priv_dec(rsa_method, rsa_private_decrypt) || !RSA_set_method(rsa, rsa_method))
		return false;
	return EVP_PKEY_assign_RSA(out, rsa) == 1;
}

static bool
hook_ec(EVP_PKEY *out, EVP_PKEY *public)
{
	EC_KEY *ec = EVP_PKEY_get1_EC_KEY(public);

	ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	if (ec_method == NULL || ec == NULL)
		return false;
	EC_KEY_METHOD_set_sign(ec_method, ecdsa_sign, NULL, ecdsa_sign_sig);
	return EC_KEY_set_method(ec, ec_method) == 1 && EVP_PKEY_assign_EC_KEY(out, ec) == 1;
}

EVP_PKEY *
keyhook_make(X509 *cert, int fd)
{
	EVP_PKEY *public = X509_get0_pubkey(cert), *key = EVP_PKEY_new();
	bool ok = false;

	if (public != NULL && key != NULL && EVP_PKEY_is_a(public, "RSA"))
		ok = hook_rsa(key, public);
	else if (public != NULL && key != NULL && EVP_PKEY_is_a(public, "EC"))
		ok = hook_ec(key, public);
	if (!ok) {
		EVP_PKEY_free(key);
		return NULL;
	}
	key_fd = fd;
	/* What an earlier process asked on this socket must not be taken for an answer to us. */
	key_seq = (uint32_t)now_ms();
	return key;
}
