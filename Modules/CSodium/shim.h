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
