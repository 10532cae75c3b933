/*
 * A private key that is not here: OpenSSL in net asks the key process for every signature. The hooks
 * are those of the old method tables (RSA_METHOD, EC_KEY_METHOD), the only ones that reach TLS
 * without a provider of our own; deprecated, so they stay in this one file.
 */
#ifndef PROXYD_KEYHOOK_H
#define PROXYD_KEYHOOK_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/*
 * A key for the certificate whose signatures come over fd (SEQPACKET, to the key process; kept, not
 * owned; one for the process). A signature blocks for up to a second, then the handshake fails.
 * NULL where the certificate's key is neither RSA nor EC.
 */
EVP_PKEY	*keyhook_make(X509 *, int fd);

#endif
