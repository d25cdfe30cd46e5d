#pragma once
#include <stdbool.h>
#include <stddef.h>

// One of many messages, and where its digest goes.
struct peernode_message {
    const void *octets;
    size_t count;
    void *digest;
};

// Octets of the longest message that can be among many: the library counts them with 16 bits.
static const size_t peernode_many_longest = 65534;

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#define NO_COMPAT_IMB_API_053
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <string.h>

#define PEERNODE_IMB_TEXT(number) #number
#define PEERNODE_IMB_NAME(major) "libIPSec_MB.so." PEERNODE_IMB_TEXT(major)
#if IMB_VERSION_NUM < IMB_VERSION(2, 0, 0)
#define PEERNODE_IMB_LIBRARY PEERNODE_IMB_NAME(1)
#else
#define PEERNODE_IMB_LIBRARY PEERNODE_IMB_NAME(2)
#endif

// Intel's multi-buffer library hashes 8 or 16 messages at once in the lanes of the vector registers. It is loaded by
// the first who needs it. NULL where it is not installed, and on a processor with instructions for SHA, which need no
// lanes: libcrypto is as fast there.
static inline IMB_MGR *peernode_many_manager(void) {
    void *library = dlopen(PEERNODE_IMB_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) return NULL;
    __typeof__(&alloc_mb_mgr) make = (__typeof__(&alloc_mb_mgr))dlsym(library, "alloc_mb_mgr");
    __typeof__(&free_mb_mgr) end = (__typeof__(&free_mb_mgr))dlsym(library, "free_mb_mgr");
    __typeof__(&init_mb_mgr_auto) begin = (__typeof__(&init_mb_mgr_auto))dlsym(library, "init_mb_mgr_auto");
    IMB_MGR *manager = make && end && begin ? make(0) : NULL;
    if (!manager) return NULL;
    IMB_ARCH architecture = IMB_ARCH_NONE;
    begin(manager, &architecture);
    if (architecture >= IMB_ARCH_AVX2 && !(manager->features & IMB_FEATURE_SHANI)) return manager;
    end(manager);
    return NULL;
}

// Puts the SHA-1 or SHA-256 of each message where it says. False when this cannot be done here, or not for one of them;
// then nothing is known of the digests.
static inline bool peernode_sha_many(bool is_sha1, const struct peernode_message *messages, size_t count) {
    // Some 200 KiB for each thread that hashes.
    static _Thread_local IMB_MGR *manager;
    static _Thread_local bool is_asked;
    if (!is_asked) {
        is_asked = true;
        manager = peernode_many_manager();
    }
    if (!manager) return false;
    size_t done = 0;
    for (size_t index = 0; index < count; index++) {
        IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
        memset(job, 0, sizeof *job);
        job->cipher_mode = IMB_CIPHER_NULL;
        job->cipher_direction = IMB_DIR_ENCRYPT;
        job->chain_order = IMB_ORDER_HASH_CIPHER;
        job->hash_alg = is_sha1 ? IMB_AUTH_SHA_1 : IMB_AUTH_SHA_256;
        job->src = (const uint8_t *)messages[index].octets;
        job->msg_len_to_hash_in_bytes = messages[index].count;
        job->auth_tag_output = (uint8_t *)messages[index].digest;
        job->auth_tag_output_len_in_bytes = is_sha1 ? IMB_SHA1_DIGEST_SIZE_IN_BYTES : IMB_SHA256_DIGEST_SIZE_IN_BYTES;
        for (job = IMB_SUBMIT_JOB(manager); job; job = IMB_GET_COMPLETED_JOB(manager)) {
            done += job->status == IMB_STATUS_COMPLETED;
        }
    }
    for (IMB_JOB *job; (job = IMB_FLUSH_JOB(manager));) done += job->status == IMB_STATUS_COMPLETED;
    return done == count;
}
#else
static inline bool peernode_sha_many(bool is_sha1, const struct peernode_message *messages, size_t count) {
    (void)is_sha1, (void)messages, (void)count;
    return false;
}
#endif
