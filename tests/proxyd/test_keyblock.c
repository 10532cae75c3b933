/*
 * proxyd/keyblock.c and key.c: what may be signed is signed and verifies, anything else is refused; and
 * keyhook.c: a TLS handshake whose key is in another process, with RSA and EC keys.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "ipc.h"
#include "key.h"
#include "keyblock.h"
#include "keyhook.h"
#include "tls.h"

static EVP_PKEY *rsa, *rsa_odd, *ec;

static int
keys_make(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	rsa_odd = EVP_RSA_gen(2049);	/* emBits is a multiple of 8 */
	ec = EVP_EC_gen("P-256");
	return rsa != NULL && rsa_odd != NULL && ec != NULL ? 0 : -1;
}

static int
keys_free(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(rsa_odd);
	EVP_PKEY_free(ec);
	return 0;
}

/* A PSS block as OpenSSL makes it: the signature of a message, raised to the public exponent again. */
static size_t
pss_block(EVP_PKEY *key, const EVP_MD *md, int salt, unsigned char *out)
{
	unsigned char sig[KEY_BLOCK_MAX_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx, *raw = EVP_PKEY_CTX_new(key, NULL);
	size_t n = sizeof(sig), m = KEY_BLOCK_MAX_BYTES;

	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)"message", 7), 1);
	assert_int_equal(EVP_PKEY_encrypt_init(raw), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(raw, RSA_NO_PADDING), 1);
	assert_int_equal(EVP_PKEY_encrypt(raw, out, &m, sig, n), 1);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_CTX_free(raw);
	return m;
}

static size_t
ask(EVP_PKEY *key, enum key_kind kind, const void *block, size_t n, unsigned char *out)
{
	struct buf b = buf_make(KEY_MSG_MAX_BYTES);
	struct key_request r = {.seq = 7, .kind = kind, .block = {block, n}};
	uint32_t seq;
	size_t got;

	key_request_pack(&b, &r);
	got = pack_ok(&b) ? key_sign(key, buf_slice(&b), &seq, out, KEY_BLOCK_MAX_BYTES) : 0;
	assert_true(got == 0 || seq == 7);
	buf_free(&b);
	return got;
}

static void
pss_is_told_from_noise(void **state)
{
	unsigned char em[KEY_BLOCK_MAX_BYTES], sig[KEY_BLOCK_MAX_BYTES];
	EVP_PKEY *const keys[] = {rsa, rsa_odd};
	const EVP_MD *const mds[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		unsigned bits = (unsigned)EVP_PKEY_get_bits(keys[k]);

		for (size_t m = 0; m < 3; m++) {
			size_t n = pss_block(keys[k], mds[m], RSA_PSS_SALTLEN_DIGEST, em);

			assert_true(keyblock_is_pss((struct slice){(char *)em, n}, bits));
			assert_int_equal(ask(keys[k], KEY_RSA_PSS, em, n, sig), n);
			/* Any byte changed, any length but the modulus's, and other salts are refused. */
			for (size_t i = 0; i < n; i++) {
				em[i] ^= 0x55;
				/* The salt's bytes cannot be checked without the message; all else can. */
				if (keyblock_is_pss((struct slice){(char *)em, n}, bits) &&
				    !(i < n - 1 - (size_t)EVP_MD_get_size(mds[m]) && i >= n - 1 - 2 * (size_t)EVP_MD_get_size(mds[m])))
					fail_msg("byte %zu of %zu may change", i, n);
				em[i] ^= 0x55;
			}
			assert_false(keyblock_is_pss((struct slice){(char *)em, n - 1}, bits));
			assert_false(keyblock_is_pss((struct slice){(char *)em, n}, bits + 8));
		}
	}
	assert_false(keyblock_is_pss((struct slice){(char *)em, pss_block(rsa, EVP_sha256(), 0, em)}, 2048));
	assert_false(keyblock_is_pss((struct slice){(char *)em, pss_block(rsa, EVP_sha1(), RSA_PSS_SALTLEN_DIGEST, em)}, 2048));
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(RAND_bytes(em, 256), 1);
		em[0] &= 0x7f;
		em[255] = 0xbc;
		assert_false(keyblock_is_pss((struct slice){(char *)em, 256}, 2048));
	}
}

static void
only_signatures_are_made(void **state)
{
	unsigned char sig[KEY_BLOCK_MAX_BYTES], block[KEY_BLOCK_MAX_BYTES] = {
	    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
	uint32_t seq;

	(void)state;
	assert_int_equal(ask(rsa, KEY_RSA_PKCS1, block, 51, sig), 256);
	assert_int_equal(ask(rsa, KEY_RSA_PKCS1, block, 50, sig), 0);
	assert_int_equal(ask(rsa, KEY_RSA_PKCS1, block, 52, sig), 0);
	assert_int_equal(ask(rsa, KEY_RSA_PKCS1, block + 19, 32, sig), 0);
	for (size_t i = 0; i < 19; i++) {
		block[i] ^= 1;
		assert_int_equal(ask(rsa, KEY_RSA_PKCS1, block, 51, sig), 0);
		block[i] ^= 1;
	}
	/* A ciphertext, and the block of a PKCS#1 signature, given raw. */
	memset(block, 0x5a, 256);
	assert_int_equal(ask(rsa, KEY_RSA_PSS, block, 256, sig), 0);
	memset(block, 0xff, 256);
	memcpy(block, "\0\1", 2);
	assert_int_equal(ask(rsa, KEY_RSA_PSS, block, 256, sig), 0);
	/* Digests by an EC key only, of the lengths of SHA-2. */
	assert_true(ask(ec, KEY_ECDSA, block, 32, sig) > 0);
	assert_true(ask(ec, KEY_ECDSA, block, 48, sig) > 0);
	assert_true(ask(ec, KEY_ECDSA, block, 64, sig) > 0);
	assert_int_equal(ask(ec, KEY_ECDSA, block, 20, sig), 0);
	assert_int_equal(ask(ec, KEY_ECDSA, block, 33, sig), 0);
	assert_int_equal(ask(rsa, KEY_ECDSA, block, 32, sig), 0);
	assert_int_equal(ask(ec, KEY_RSA_PKCS1, block, 51, sig), 0);
	assert_int_equal(ask(ec, KEY_RSA_PSS, block, 256, sig), 0);
	assert_int_equal(ask(ec, (enum key_kind)9, block, 32, sig), 0);
	assert_int_equal(key_sign(ec, SLICE("\1\0\0"), &seq, sig, sizeof(sig)), 0);
	assert_int_equal(key_sign(ec, (struct slice){NULL, 0}, &seq, sig, sizeof(sig)), 0);
}

/* ---- over TLS ---- */

static X509 *
cert_make(EVP_PKEY *key)
{
	X509 *x = X509_new();

	assert_non_null(x);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -10);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

/* The key process, as key.c's loop without its event base. */
static pid_t
signer_start(EVP_PKEY *key, int fd, int other)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	close(other);
	for (;;) {
		char msg[KEY_MSG_MAX_BYTES];
		unsigned char sig[KEY_BLOCK_MAX_BYTES];
		struct buf b = buf_make(KEY_MSG_MAX_BYTES);
		int fds[IPC_FDS_MAX];
		size_t nfds;
		uint32_t seq;
		ssize_t n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds);

		if (n <= 0)
			_exit(0);
		key_answer_pack(&b, 12345, SLICE("an answer to somebody else"));
		if (ipc_send(fd, buf_slice(&b), NULL, 0) == -1)
			_exit(1);
		buf_clear(&b);
		n = (ssize_t)key_sign(key, (struct slice){msg, (size_t)n}, &seq, sig, sizeof(sig));
		key_answer_pack(&b, seq, (struct slice){(char *)sig, (size_t)n});
		if (ipc_send(fd, buf_slice(&b), NULL, 0) == -1)
			_exit(1);
	}
}

static bool
shake(SSL_CTX *server, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct tls_stream s = {.fd = -1};
	int pair[2], r = 0;
	enum tls_io io = TLS_WANT_READ;
	SSL *c;

	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	assert_int_equal(fd_nonblock(pair[0]) | fd_nonblock(pair[1]), 0);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	c = SSL_new(ctx);
	SSL_set_fd(c, pair[1]);
	SSL_set_connect_state(c);
	s.fd = pair[0];
	assert_int_equal(tls_serve(&s, server, "imap"), 0);
	for (int i = 0; i < 20 && (r != 1 || io != TLS_DONE) && io != TLS_FAIL; i++) {
		if (r != 1)
			r = SSL_do_handshake(c);
		if (io != TLS_DONE)
			io = tls_handshake(&s);
	}
	SSL_free(c);
	SSL_CTX_free(ctx);
	tls_close(&s);
	close(pair[1]);
	return r == 1 && io == TLS_DONE;
}

static void
handshakes(void **state)
{
	static const unsigned char tickets[TLS_TICKET_KEY_BYTES] = {1};
	EVP_PKEY *const keys[] = {rsa, ec};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		X509 *cert = cert_make(keys[k]);
		BIO *bio = BIO_new(BIO_s_mem());
		char reason[TLS_REASON_MAX_BYTES], *p;
		int pair[2], status;
		EVP_PKEY *hooked;
		SSL_CTX *ctx;
		pid_t pid;
		long n;

		PEM_write_bio_X509(bio, cert);
		n = BIO_get_mem_data(bio, &p);
		assert_int_equal(ipc_pair(SOCK_SEQPACKET, pair), 0);
		pid = signer_start(keys[k], pair[1], pair[0]);
		close(pair[1]);
		hooked = keyhook_make(cert, pair[0]);
		assert_non_null(hooked);
		ctx = tls_server_ctx((struct slice){p, (size_t)n}, hooked, tickets, reason);
		assert_non_null(ctx);
		assert_true(shake(ctx, TLS1_3_VERSION));
		assert_true(shake(ctx, TLS1_2_VERSION));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		/* Without its key process a handshake fails, and soon. */
		assert_false(shake(ctx, TLS1_3_VERSION));
		SSL_CTX_free(ctx);
		EVP_PKEY_free(hooked);
		X509_free(cert);
		BIO_free(bio);
		close(pair[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pss_is_told_from_noise), cmocka_unit_test(only_signatures_are_made), cmocka_unit_test(handshakes),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, keys_make, keys_free);
}
