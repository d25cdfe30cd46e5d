#pragma once
// The low-level digests are marked as old; they need no context from the heap, which for an inner node of a hash tree
// would cost as much as the digest itself.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>

// The kind of key is a macro that Swift does not import.
static inline EVP_PKEY *peernode_hmac_key(const unsigned char *key, size_t count) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, key, count);
}

// SHA-1 of a and then b; the digest, 20 octets, may lie over them.
static inline void peernode_sha1(const void *a, size_t a_count, const void *b, size_t b_count, void *digest) {
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, a, a_count);
    SHA1_Update(&context, b, b_count);
    SHA1_Final((unsigned char *)digest, &context);
}

// SHA-256 of a and then b; the digest, 32 octets, may lie over them.
static inline void peernode_sha256(const void *a, size_t a_count, const void *b, size_t b_count, void *digest) {
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, a, a_count);
    SHA256_Update(&context, b, b_count);
    SHA256_Final((unsigned char *)digest, &context);
}
