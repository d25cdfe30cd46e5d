#pragma once
#include <sodium.h>

// The state of BLAKE2b is a packed type that Swift does not import; it goes through these as plain memory of
// crypto_generichash_statebytes() octets on a boundary of 64.
static inline int peernode_blake2b_init(void *state, const unsigned char *key, size_t count, size_t out) {
    return crypto_generichash_init((crypto_generichash_state *)state, key, count, out);
}
static inline int peernode_blake2b_update(void *state, const void *octets, size_t count) {
    return crypto_generichash_update((crypto_generichash_state *)state, (const unsigned char *)octets, count);
}
static inline int peernode_blake2b_final(void *state, unsigned char *digest, size_t out) {
    return crypto_generichash_final((crypto_generichash_state *)state, digest, out);
}

// BLAKE2b-256 of a and then b; the digest, 32 octets, may lie over them.
static inline void peernode_blake2b(const void *a, size_t a_count, const void *b, size_t b_count, void *digest) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const unsigned char *)a, a_count);
    crypto_generichash_update(&state, (const unsigned char *)b, b_count);
    crypto_generichash_final(&state, (unsigned char *)digest, 32);
}
