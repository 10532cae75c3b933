/*
 * Checks of what an RSA key is asked to sign, and the messages for asking. See keyblock.h.
 */
#include "keyblock.h"

#include <openssl/evp.h>

#define DIGEST_MAX_BYTES	64
#define DIGESTINFO_HEAD_BYTES	19

/* RFC 8017 9.2, note 1. */
static const struct digestinfo {
	unsigned char	head[DIGESTINFO_HEAD_BYTES];
	size_t		digest_bytes;
} digestinfos[] = {
	{{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, 32},
	{{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}, 48},
	{{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}, 64},
};

bool
keyblock_is_digestinfo(struct slice b)
{
	for (size_t i = 0; i < sizeof(digestinfos) / sizeof(digestinfos[0]); i++)
		if (b.n == DIGESTINFO_HEAD_BYTES + digestinfos[i].digest_bytes &&
		    memcmp(b.p, digestinfos[i].head, DIGESTINFO_HEAD_BYTES) == 0)
			return true;
	return false;
}

bool
keyblock_is_digest(struct slice b)
{
	return b.n == 32 || b.n == 48 || b.n == 64;
}

/* MGF1 (RFC 8017 B.2.1): xors the mask grown from the seed into out. */
static bool
mgf1_xor(unsigned char *out, size_t n, const unsigned char *seed, size_t seed_n, const EVP_MD *md)
{
	unsigned char counter[4], hash[DIGEST_MAX_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL;
	size_t done = 0;

	for (uint32_t c = 0; ok && done < n; c++) {
		for (int i = 0; i < 4; i++)
			counter[i] = (unsigned char)(c >> (24 - 8 * i));
		ok = EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, seed, seed_n) &&
		    EVP_DigestUpdate(ctx, counter, 4) && EVP_DigestFinal_ex(ctx, hash, NULL);
		for (size_t i = 0; ok && i < seed_n && done < n; i++)
			out[done++] ^= hash[i];
	}
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* EM = maskedDB || H || 0xbc; DB = PS || 0x01 || salt. The mask's seed H is as long as the hash. */
static bool
pss_fits(const unsigned char *em, size_t n, unsigned top_bits, const EVP_MD *md)
{
	unsigned char db[KEY_BLOCK_MAX_BYTES];
	size_t hash_n = (size_t)EVP_MD_get_size(md), db_n, ps_n;

	if (n < 2 * hash_n + 2)
		return false;
	db_n = n - hash_n - 1;
	ps_n = db_n - hash_n - 1;
	memcpy(db, em, db_n);
	if (!mgf1_xor(db, db_n, em + db_n, hash_n, md))
		return false;
	db[0] &= (unsigned char)(0xff >> top_bits);
	for (size_t i = 0; i < ps_n; i++)
		if (db[i] != 0)
			return false;
	return db[ps_n] == 0x01;
}

bool
keyblock_is_pss(struct slice b, unsigned modulus_bits)
{
	const EVP_MD *const mds[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
	const unsigned char *em = (const unsigned char *)b.p;
	size_t n = (modulus_bits + 7) / 8;
	unsigned top_bits;

	if (modulus_bits < 1024 || n > KEY_BLOCK_MAX_BYTES || b.n != n)
		return false;
	/* emBits is one less than the modulus: with 8k + 1 bits the encoding is a byte shorter, after a zero. */
	if (modulus_bits % 8 == 1) {
		if (em[0] != 0)
			return false;
		em++;
		n--;
		top_bits = 0;
	} else {
		top_bits = (unsigned)(8 * n - (modulus_bits - 1));
	}
	if (em[n - 1] != 0xbc || (em[0] & ~(0xff >> top_bits) & 0xff) != 0)
		return false;
	for (size_t i = 0; i < sizeof(mds) / sizeof(mds[0]); i++)
		if (pss_fits(em, n, top_bits, mds[i]))
			return true;
	return false;
}

void
key_request_pack(struct buf *b, const struct key_request *r)
{
	pack_u32(b, r->seq);
	pack_u8(b, (uint8_t)r->kind);
	pack_str(b, r->block);
}

bool
key_request_unpack(struct slice in, struct key_request *out)
{
	struct unpack u = unpack_make(in.p, in.n);
	uint8_t kind;

	out->seq = unpack_u32(&u);
	kind = unpack_u8(&u);
	out->block = unpack_str(&u);
	out->kind = kind == KEY_RSA_PSS ? KEY_RSA_PSS : kind == KEY_RSA_PKCS1 ? KEY_RSA_PKCS1 : KEY_ECDSA;
	return unpack_end(&u) && kind >= KEY_ECDSA && kind <= KEY_RSA_PSS && out->block.n > 0 &&
	    out->block.n <= KEY_BLOCK_MAX_BYTES;
}

void
key_answer_pack(struct buf *b, uint32_t seq, struct slice signature)
{
	pack_u32(b, seq);
	pack_str(b, signature);
}

bool
key_answer_unpack(struct slice in, uint32_t *seq_out, struct slice *signature_out)
{
	struct unpack u = unpack_make(in.p, in.n);

	*seq_out = unpack_u32(&u);
	*signature_out = unpack_str(&u);
	return unpack_end(&u) && signature_out->n <= KEY_BLOCK_MAX_BYTES;
}
