/*
 * lib/tls.c against OpenSSL's client: versions, ALPN, resumption by shared ticket keys, bytes both ways
 * with short writes, orderly and disorderly ends, cleartext streams, bytes that are no TLS.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ipc.h"
#include "tls.h"

static EVP_PKEY *key;
static char *chain;
static size_t chain_n;
static const unsigned char tickets[TLS_TICKET_KEY_BYTES] = {1, 2, 3};

struct link {
	struct tls_stream	server;
	SSL			*client;
	int			 fd;		/* the client's socket */
	enum tls_io		 shaken;
	int			 client_shaken;
};

static int
setup(void **state)
{
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *p;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	key = EVP_EC_gen("P-256");
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -10);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	if (X509_sign(x, key, EVP_sha256()) <= 0)
		return -1;
	PEM_write_bio_X509(bio, x);
	chain_n = (size_t)BIO_get_mem_data(bio, &p);
	chain = malloc(chain_n);
	memcpy(chain, p, chain_n);
	X509_free(x);
	BIO_free(bio);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	free(chain);
	return 0;
}

static SSL_CTX *
server_ctx(void)
{
	char reason[TLS_REASON_MAX_BYTES];
	SSL_CTX *ctx = tls_server_ctx((struct slice){chain, chain_n}, key, tickets, reason);

	assert_non_null(ctx);
	return ctx;
}

/* alpn: in wire form, or NULL. */
static void
link_open(struct link *l, SSL_CTX *server, SSL_CTX *client, const char *alpn, SSL_SESSION *resume)
{
	int pair[2];

	*l = (struct link){.shaken = TLS_WANT_READ};
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	assert_int_equal(fd_nonblock(pair[0]) | fd_nonblock(pair[1]), 0);
	l->server.fd = pair[0];
	l->fd = pair[1];
	l->client = SSL_new(client);
	SSL_set_fd(l->client, pair[1]);
	SSL_set_connect_state(l->client);
	if (alpn != NULL)
		SSL_set_alpn_protos(l->client, (const unsigned char *)alpn, (unsigned)strlen(alpn));
	if (resume != NULL)
		SSL_set_session(l->client, resume);
	assert_int_equal(tls_serve(&l->server, server, "imap"), 0);
	for (int i = 0; i < 20; i++) {
		if (l->client_shaken != 1)
			l->client_shaken = SSL_do_handshake(l->client);
		if (l->shaken == TLS_WANT_READ || l->shaken == TLS_WANT_WRITE)
			l->shaken = tls_handshake(&l->server);
	}
}

static void
link_close(struct link *l)
{
	SSL_set_shutdown(l->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);	/* else its session counts as broken */
	SSL_free(l->client);
	close(l->fd);
	tls_close(&l->server);
	assert_int_equal(l->server.fd, -1);
	ERR_clear_error();
}

struct alpn_row {
	const char	*name, *offer;
	bool		 want;
};

static const struct alpn_row alpn_rows[] = {
	{"none offered", NULL, true},
	{"ours", "\4imap", true},
	{"ours among others", "\4pop3\4imap", true},
	{"another protocol", "\4pop3", false},
	{"a browser", "\2h2\10http/1.1", false},
	{"another case", "\4IMAP", false},
	{"longer", "\5imaps", false},
	{"shorter", "\3ima", false},
};

static void
alpn(void **state)
{
	SSL_CTX *server = server_ctx(), *client = SSL_CTX_new(TLS_client_method());

	(void)state;
	for (size_t i = 0; i < sizeof(alpn_rows) / sizeof(alpn_rows[0]); i++) {
		struct link l;

		link_open(&l, server, client, alpn_rows[i].offer, NULL);
		if ((l.shaken == TLS_DONE && l.client_shaken == 1) != alpn_rows[i].want)
			fail_msg("%s: %d", alpn_rows[i].name, (int)l.shaken);
		link_close(&l);
	}
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
versions(void **state)
{
	static const struct {
		int		version;
		bool		want;
		const char	*name;
	} rows[] = {{TLS1_VERSION, false, ""}, {TLS1_1_VERSION, false, ""}, {TLS1_2_VERSION, true, "TLSv1.2"},
	    {TLS1_3_VERSION, true, "TLSv1.3"}};
	SSL_CTX *server = server_ctx();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SSL_CTX *client = SSL_CTX_new(TLS_client_method());
		struct link l;

		SSL_CTX_set_security_level(client, 0);
		SSL_CTX_set_min_proto_version(client, rows[i].version);
		SSL_CTX_set_max_proto_version(client, rows[i].version);
		link_open(&l, server, client, NULL, NULL);
		assert_int_equal(l.shaken == TLS_DONE, rows[i].want);
		if (rows[i].want)
			assert_string_equal(tls_version(&l.server), rows[i].name);
		link_close(&l);
		SSL_CTX_free(client);
	}
	SSL_CTX_free(server);
}

static SSL_SESSION *kept;

static int
keep_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = s;
	return 1;
}

/* Two processes with the same ticket keys: what one gave, the other takes; one with other keys does not. */
static void
resumption(void **state)
{
	unsigned char other[TLS_TICKET_KEY_BYTES] = {9};
	char reason[TLS_REASON_MAX_BYTES], byte;
	SSL_CTX *one = server_ctx(), *two = server_ctx(), *client = SSL_CTX_new(TLS_client_method());
	SSL_CTX *stranger = tls_server_ctx((struct slice){chain, chain_n}, key, other, reason);
	struct link l;
	size_t n;

	(void)state;
	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client, keep_session);
	link_open(&l, one, client, "\4imap", NULL);
	assert_int_equal(tls_write(&l.server, "x", 1, &n), TLS_DONE);
	assert_int_equal(SSL_read(l.client, &byte, 1), 1);
	link_close(&l);
	assert_non_null(kept);
	link_open(&l, stranger, client, "\4imap", kept);
	assert_int_equal(l.shaken, TLS_DONE);
	assert_false(SSL_session_reused(l.client));
	link_close(&l);
	link_open(&l, two, client, "\4imap", kept);
	assert_int_equal(l.shaken, TLS_DONE);
	assert_true(SSL_session_reused(l.client));
	link_close(&l);
	SSL_SESSION_free(kept);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	SSL_CTX_free(stranger);
	SSL_CTX_free(client);
}

/* More than the sockets hold, both ways. */
static void
bytes(void **state)
{
	static unsigned char out[300 * 1024], in[sizeof(out)];
	SSL_CTX *server = server_ctx(), *client = SSL_CTX_new(TLS_client_method());
	size_t put = 0, got = 0, n, most = 0;
	struct link l;
	enum tls_io io;

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i * 13 + i / 256);
	link_open(&l, server, client, NULL, NULL);
	while (got < sizeof(in)) {
		io = put < sizeof(out) ? tls_write(&l.server, out + put, sizeof(out) - put, &n) : TLS_WANT_WRITE;
		put += n;
		if (io == TLS_DONE)
			continue;
		assert_int_equal(io, TLS_WANT_WRITE);
		n = 0;
		while (SSL_read_ex(l.client, in + got, sizeof(in) - got, &n) == 1)
			got += n;
	}
	assert_memory_equal(in, out, sizeof(out));
	memset(in, 0, sizeof(in));
	for (put = got = 0; got < sizeof(in);) {
		if (put < sizeof(out) && SSL_write_ex(l.client, out + put, sizeof(out) - put < 5000 ? sizeof(out) - put : 5000, &n) == 1)
			put += n;
		while ((io = tls_read(&l.server, in + got, 700, &n)) == TLS_DONE) {
			got += n;
			/* A record of 5,000 bytes read in pieces: what is left over is told of. */
			most += tls_has_pending(&l.server);
			if (got == sizeof(in))
				break;
		}
		assert_true(io == TLS_WANT_READ || got == sizeof(in));
	}
	assert_true(most > 0);
	assert_memory_equal(in, out, sizeof(out));
	link_close(&l);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
ends(void **state)
{
	SSL_CTX *server = server_ctx(), *client = SSL_CTX_new(TLS_client_method());
	struct link l;
	char in[16];
	size_t n;

	(void)state;
	link_open(&l, server, client, NULL, NULL);
	SSL_shutdown(l.client);
	assert_int_equal(tls_read(&l.server, in, sizeof(in), &n), TLS_END);
	link_close(&l);
	link_open(&l, server, client, NULL, NULL);
	shutdown(l.fd, SHUT_RDWR);	/* cut off: not an orderly end */
	assert_int_equal(tls_read(&l.server, in, sizeof(in), &n), TLS_FAIL);
	link_close(&l);
	link_open(&l, server, client, NULL, NULL);
	tls_shut(&l.server);
	assert_int_equal(SSL_read(l.client, in, sizeof(in)), 0);
	assert_int_equal(SSL_get_error(l.client, 0), SSL_ERROR_ZERO_RETURN);
	link_close(&l);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
no_tls(void **state)
{
	static const char *const junk[] = {"b NOOP\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x40\x01zzzzzzzzzzzzzzzzzzzzz", "\x80\x2e\x01"};
	SSL_CTX *server = server_ctx();

	(void)state;
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		struct tls_stream s = {.fd = -1};
		char reason[TLS_REASON_MAX_BYTES];
		int pair[2];

		assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
		assert_int_equal(fd_nonblock(pair[0]), 0);
		s.fd = pair[0];
		assert_int_equal(tls_serve(&s, server, "imap"), 0);
		assert_int_equal(write(pair[1], junk[i], strlen(junk[i])), (ssize_t)strlen(junk[i]));
		shutdown(pair[1], SHUT_WR);
		assert_int_equal(tls_handshake(&s), TLS_FAIL);
		tls_reason(reason);
		assert_true(strlen(reason) > 0);
		tls_close(&s);
		close(pair[1]);
	}
	SSL_CTX_free(server);
}

static void
clear_streams(void **state)
{
	struct tls_stream s = {.fd = -1};
	char in[16];
	int pair[2];
	size_t n;

	(void)state;
	assert_int_equal(ipc_pair(SOCK_STREAM, pair), 0);
	assert_int_equal(fd_nonblock(pair[0]), 0);
	s.fd = pair[0];
	assert_int_equal(tls_read(&s, in, sizeof(in), &n), TLS_WANT_READ);
	assert_int_equal(write(pair[1], "hello", 5), 5);
	assert_int_equal(tls_read(&s, in, 3, &n), TLS_DONE);
	assert_int_equal(n, 3);
	assert_false(tls_has_pending(&s));
	assert_string_equal(tls_version(&s), "");
	assert_int_equal(tls_write(&s, "abc", 3, &n), TLS_DONE);
	assert_int_equal(read(pair[1], in, sizeof(in)), 3);
	close(pair[1]);
	assert_int_equal(tls_read(&s, in, sizeof(in), &n), TLS_DONE);
	assert_int_equal(tls_read(&s, in, sizeof(in), &n), TLS_END);
	assert_int_equal(tls_write(&s, "abc", 3, &n), TLS_FAIL);
	tls_close(&s);
}

static void
bad_chains(void **state)
{
	EVP_PKEY *other = EVP_EC_gen("P-256");
	char reason[TLS_REASON_MAX_BYTES];

	(void)state;
	assert_null(tls_server_ctx(SLICE(""), key, tickets, reason));
	assert_null(tls_server_ctx(SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key, tickets, reason));
	assert_null(tls_server_ctx((struct slice){chain, chain_n}, other, tickets, reason));
	assert_true(strlen(reason) > 0);
	EVP_PKEY_free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(alpn), cmocka_unit_test(versions), cmocka_unit_test(resumption), cmocka_unit_test(bytes),
	    cmocka_unit_test(ends), cmocka_unit_test(no_tls), cmocka_unit_test(clear_streams), cmocka_unit_test(bad_chains),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
