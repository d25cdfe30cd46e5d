#pragma once
#include <openssl/evp.h>

// The kind of key is a macro that Swift does not import.
static inline EVP_PKEY *peernode_hmac_key(const unsigned char *key, size_t count) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, key, count);
}
