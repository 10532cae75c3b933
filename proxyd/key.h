/*
 * The process that holds the TLS private key. It answers one question: a signature over a block that
 * is nothing but a signature's block. It never speaks to the network or opens a file after its start.
 */
#ifndef PROXYD_KEY_H
#define PROXYD_KEY_H

#include <openssl/evp.h>

#include "slice.h"

struct house;

/* child_fn of "proxyd/key"; arg is the struct house. */
void	key_main(void *arg, int chan);
/*
 * Reads a PEM key from a descriptor (from its beginning) and compares it with the chain's leaf.
 * NULL, with text in reason_out (TLS_REASON_MAX_BYTES).
 */
EVP_PKEY *key_load(int fd, struct slice chain_pem, char *reason_out);
/* A signature into out (cap bytes), its length, or 0: refused. */
size_t	key_sign(EVP_PKEY *, struct slice request, uint32_t *seq_out, unsigned char *out, size_t cap);

#endif
