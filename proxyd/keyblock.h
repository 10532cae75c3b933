/*
 * What may be signed with an RSA key, and the messages between net and the key process. An RSA private
 * operation on bytes of the asker's choice is a decryption oracle, so the key process signs only what can
 * be nothing but a signature's block. Pure functions. RFC 8017.
 */
#ifndef PROXYD_KEYBLOCK_H
#define PROXYD_KEYBLOCK_H

#include "pack.h"

#define KEY_BLOCK_MAX_BYTES	1024	/* an RSA modulus of 8,192 bits */
#define KEY_MSG_MAX_BYTES	(KEY_BLOCK_MAX_BYTES + 64)

enum key_kind {
	KEY_ECDSA = 1,	/* block: a digest of SHA-256, 384 or 512 */
	KEY_RSA_PKCS1,	/* block: a DigestInfo, to be padded with EMSA-PKCS1-v1_5 */
	KEY_RSA_PSS,	/* block: an EMSA-PSS encoding as long as the modulus */
};

struct key_request {
	uint32_t	seq;		/* the answer carries it too */
	enum key_kind	kind;
	struct slice	block;
};

/* RFC 8017 9.2: the DER of a DigestInfo of SHA-256, 384 or 512, exactly. */
bool	keyblock_is_digestinfo(struct slice);
/*
 * RFC 8017 9.1.2 with MGF1 and a salt as long as the hash (RFC 8446 4.2.3), of SHA-256, 384 or 512, as far as can be
 * told without the message: trailer, zero top bits, and padding and separator under the mask. A block made
 * for another purpose passes with a chance below 2^-128 for a modulus of 2,048 bits or more.
 */
bool	keyblock_is_pss(struct slice, unsigned modulus_bits);
bool	keyblock_is_digest(struct slice);

void	key_request_pack(struct buf *, const struct key_request *);
bool	key_request_unpack(struct slice, struct key_request *out);
/* An empty signature is a refusal. */
void	key_answer_pack(struct buf *, uint32_t seq, struct slice signature);
bool	key_answer_unpack(struct slice, uint32_t *seq_out, struct slice *signature_out);

#endif
