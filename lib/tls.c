/*
 * TLS on a non-blocking socket. See tls.h. Sessions are resumed by tickets only (nothing is kept
 * here for a client), renegotiation and early data are off, and idle connections give their record
 * buffers back (SSL_MODE_RELEASE_BUFFERS). RFC 8446, RFC 7301.
 */
#include "tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHAIN_MAX_CERTS	10	/* a chain of a public CA has two to four */

void
tls_reason(char *reason_out)
{
	unsigned long e = ERR_get_error();
	const char *text = e == 0 ? "closed" : ERR_reason_error_string(e);

	snprintf(reason_out, TLS_REASON_MAX_BYTES, "%s", text != NULL ? text : "unknown error");
	ERR_clear_error();
}

/* RFC 7301 3.2; one protocol a port, so that no other can be spoken to it by redirection (ALPACA). */
static int
alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned int inlen, void *arg)
{
	const char *want = SSL_get_app_data(ssl);
	size_t n = want != NULL ? strlen(want) : 0;

	(void)arg;
	for (size_t i = 0; i < inlen && i + 1 + in[i] <= inlen; i += 1 + (size_t)in[i]) {
		if (in[i] != n || n == 0 || memcmp(in + i + 1, want, n) != 0)
			continue;
		*out = in + i + 1;
		*outlen = in[i];
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The leaf and what follows it. */
static int
chain_load(SSL_CTX *ctx, struct slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *cert;
	int n = 0, ok = 1;

	if (bio == NULL)
		return 0;
	while (ok && n < CHAIN_MAX_CERTS && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		ok = n == 0 ? SSL_CTX_use_certificate(ctx, cert) : (int)SSL_CTX_add1_chain_cert(ctx, cert);
		X509_free(cert);
		n++;
	}
	BIO_free(bio);
	if (!ok || n == 0)
		return 0;
	ERR_clear_error();	/* the end of the file is reported as an error */
	return 1;
}

SSL_CTX *
tls_server_ctx(struct slice chain_pem, EVP_PKEY *key, const unsigned char tickets[TLS_TICKET_KEY_BYTES],
    char *reason_out)
{
	unsigned char keys[TLS_TICKET_KEY_BYTES];
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int ok;

	ERR_clear_error();
	ok = ctx != NULL && chain_pem.n <= INT_MAX && chain_load(ctx, chain_pem) &&
	    SSL_CTX_use_PrivateKey(ctx, key) && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"twinspool", 9);
	if (!ok) {
		tls_reason(reason_out);
		SSL_CTX_free(ctx);
		return NULL;
	}
	memcpy(keys, tickets, sizeof(keys));
	SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys));
	OPENSSL_cleanse(keys, sizeof(keys));
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_alpn_select_cb(ctx, alpn_select, NULL);
	return ctx;
}

int
tls_serve(struct tls_stream *s, SSL_CTX *ctx, const char *alpn)
{
	union {
		const char	*in;
		char		*out;	/* OpenSSL's application data has no const */
	} name = {.in = alpn};
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL || !SSL_set_fd(ssl, s->fd) || !SSL_set_app_data(ssl, name.out)) {
		SSL_free(ssl);
		return -1;
	}
	SSL_set_accept_state(ssl);
	s->ssl = ssl;
	return 0;
}

static enum tls_io
ssl_outcome(const struct tls_stream *s, int r)
{
	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_END;
	default:
		return TLS_FAIL;
	}
}

enum tls_io
tls_handshake(struct tls_stream *s)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(s->ssl);
	return r == 1 ? TLS_DONE : ssl_outcome(s, r);
}

enum tls_io
tls_read(struct tls_stream *s, void *p, size_t n, size_t *n_out)
{
	ssize_t got;
	int r;

	*n_out = 0;
	if (s->ssl != NULL) {
		ERR_clear_error();
		r = SSL_read_ex(s->ssl, p, n, n_out);
		return r == 1 ? TLS_DONE : ssl_outcome(s, r);
	}
	do
		got = read(s->fd, p, n);
	while (got == -1 && errno == EINTR);
	if (got == -1)
		return errno == EAGAIN ? TLS_WANT_READ : TLS_FAIL;
	*n_out = (size_t)got;
	return got == 0 ? TLS_END : TLS_DONE;
}

enum tls_io
tls_write(struct tls_stream *s, const void *p, size_t n, size_t *n_out)
{
	ssize_t put;
	int r;

	*n_out = 0;
	if (s->ssl != NULL) {
		ERR_clear_error();
		r = SSL_write_ex(s->ssl, p, n, n_out);
		return r == 1 ? TLS_DONE : ssl_outcome(s, r);
	}
	do
		put = send(s->fd, p, n, MSG_NOSIGNAL);
	while (put == -1 && errno == EINTR);
	if (put == -1)
		return errno == EAGAIN ? TLS_WANT_WRITE : TLS_FAIL;
	*n_out = (size_t)put;
	return TLS_DONE;
}

bool
tls_has_pending(const struct tls_stream *s)
{
	return s->ssl != NULL && SSL_pending(s->ssl) > 0;
}

void
tls_shut(struct tls_stream *s)
{
	if (s->ssl != NULL && SSL_is_init_finished(s->ssl)) {
		ERR_clear_error();
		SSL_shutdown(s->ssl);
		ERR_clear_error();
	}
	shutdown(s->fd, SHUT_WR);
}

void
tls_close(struct tls_stream *s)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}

const char *
tls_version(const struct tls_stream *s)
{
	return s->ssl != NULL && SSL_is_init_finished(s->ssl) ? SSL_get_version(s->ssl) : "";
}
