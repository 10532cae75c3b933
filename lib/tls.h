/*
 * TLS on a non-blocking socket (OpenSSL, TLS 1.2 and later): server contexts and a stream that is
 * read and written the same way with and without TLS. proxyd's net calls it, and whoever else
 * speaks TLS. It never waits: readiness is the caller's. The process must ignore SIGPIPE. RFC 8446, RFC 5246, RFC 7301 (ALPN).
 */
#ifndef TS_TLS_H
#define TS_TLS_H

#include <openssl/ssl.h>

#include "slice.h"

#define TLS_TICKET_KEY_BYTES	80	/* OpenSSL: name 16, HMAC key 32, AES key 32 */
#define TLS_REASON_MAX_BYTES	128

enum tls_io {
	TLS_DONE,
	TLS_WANT_READ,	/* again when the socket is readable */
	TLS_WANT_WRITE,	/* again when it is writable */
	TLS_END,	/* the peer ended orderly (EOF, close_notify) */
	TLS_FAIL,	/* broken; the stream is of no more use */
};

struct tls_stream {
	int	 fd;	/* owned; -1: none */
	SSL	*ssl;	/* owned; NULL: in the clear */
};

/*
 * A server's context: the chain (PEM, the leaf first), its key (may be hooked; a reference is
 * taken), ticket keys shared by processes that serve the same listener. NULL with a line of text in
 * reason_out (TLS_REASON_MAX_BYTES) when the chain cannot be read or the key does not fit.
 */
SSL_CTX		*tls_server_ctx(struct slice chain_pem, EVP_PKEY *key,
		    const unsigned char tickets[TLS_TICKET_KEY_BYTES], char *reason_out);
/*
 * Makes a server's TLS on the stream's socket; tls_handshake comes next. alpn is the one protocol
 * spoken here ("imap"), a literal kept by pointer: a client that offers ALPN without it gets a fatal
 * no_application_protocol. 0 or -1.
 */
int		 tls_serve(struct tls_stream *, SSL_CTX *, const char *alpn);
enum tls_io	 tls_handshake(struct tls_stream *);
/* At most n bytes (n > 0); *n_out says how many with TLS_DONE (at least one), else 0. A write may be short. */
enum tls_io	 tls_read(struct tls_stream *, void *, size_t n, size_t *n_out);
enum tls_io	 tls_write(struct tls_stream *, const void *, size_t n, size_t *n_out);
/* Bytes already decrypted: no readiness will be reported for them. */
bool		 tls_has_pending(const struct tls_stream *);
/* Says close_notify (where TLS is up and the socket takes it) and shuts the writing half. */
void		 tls_shut(struct tls_stream *);
/* Frees and closes; fd becomes -1. */
void		 tls_close(struct tls_stream *);
/* "TLSv1.3", or "" in the clear and before the handshake is done; a static string. */
const char	*tls_version(const struct tls_stream *);
/* The oldest error of OpenSSL's queue as text (empties the queue); "closed" when there is none. */
void		 tls_reason(char *reason_out);

#endif
