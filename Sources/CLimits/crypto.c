#include "limits.h"
#include "common.h"
#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <sodium.h>

// Enough keys that no call finds the branches of the last one.
#define KEYS 64

typedef struct {
    uint8_t secret[32], digest[32], point[33], signature[64];
    int recovery;
} sample;

static void make(secp256k1_context *context, sample *s) {
    secp256k1_pubkey point;
    do randombytes_buf(s->secret, 32);
    while (!secp256k1_ec_pubkey_create(context, &point, s->secret));
    size_t size = sizeof s->point;
    secp256k1_ec_pubkey_serialize(context, s->point, &size, &point, SECP256K1_EC_COMPRESSED);
    randombytes_buf(s->digest, 32);
    secp256k1_ecdsa_recoverable_signature signature;
    secp256k1_ecdsa_sign_recoverable(context, &signature, s->digest, s->secret, NULL, NULL);
    secp256k1_ecdsa_recoverable_signature_serialize_compact(context, s->signature, &s->recovery, &signature);
}

// Each of these is the whole job of the node: octets in, octets out.

static int recover(const secp256k1_context *context, sample *s) {
    secp256k1_ecdsa_recoverable_signature signature;
    secp256k1_pubkey point;
    uint8_t found[33];
    size_t size = sizeof found;
    return secp256k1_ecdsa_recoverable_signature_parse_compact(context, &signature, s->signature, s->recovery)
        && secp256k1_ecdsa_recover(context, &point, &signature, s->digest)
        && secp256k1_ec_pubkey_serialize(context, found, &size, &point, SECP256K1_EC_COMPRESSED);
}

static int sign(const secp256k1_context *context, sample *s) {
    secp256k1_ecdsa_recoverable_signature signature;
    uint8_t octets[64];
    int recovery;
    return secp256k1_ecdsa_sign_recoverable(context, &signature, s->digest, s->secret, NULL, NULL)
        && secp256k1_ecdsa_recoverable_signature_serialize_compact(context, octets, &recovery, &signature);
}

static int parse(const secp256k1_context *context, sample *s) {
    secp256k1_pubkey point;
    return secp256k1_ec_pubkey_parse(context, &point, s->point, sizeof s->point);
}

static double cost(
    int (*job)(const secp256k1_context *, sample *), const secp256k1_context *context, sample *samples, unsigned count,
    unsigned pause
) {
    double *times = malloc(count * sizeof *times);
    if (!times) abort();
    for (unsigned i = 0; i < count; i++) {
        sleep_microseconds(pause);
        uint64_t before = clock_now(CLOCK_THREAD_CPUTIME_ID);
        if (!job(context, &samples[i % KEYS])) abort();
        times[i] = (double)(clock_now(CLOCK_THREAD_CPUTIME_ID) - before);
    }
    double median = quantile(times, count, 0.5);
    free(times);
    return median;
}

limits_crypto limits_crypto_cost(unsigned count, unsigned pause) {
    if (sodium_init() < 0) abort();
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
    sample *samples = calloc(KEYS, sizeof *samples);
    if (!context || !samples) abort();
    for (int i = 0; i < KEYS; i++) make(context, &samples[i]);
    limits_crypto result = {
        cost(recover, context, samples, count, pause), cost(sign, context, samples, count, pause),
        cost(parse, context, samples, count, pause)};
    free(samples);
    secp256k1_context_destroy(context);
    return result;
}
