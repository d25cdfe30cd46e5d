#pragma once
// Its checks are macros, which Swift does not see.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

// libcurl is loaded when something is fetched for the first time: it brings some forty libraries (TLS, LDAP, SSH ...),
// 13 MiB of memory, which a node that fetches nothing should not pay for.
#define PEERNODE_CURL_FUNCTIONS(USE) \
    USE(global_init) USE(slist_append) USE(slist_free_all) \
    USE(easy_init) USE(easy_cleanup) USE(easy_reset) USE(easy_pause) USE(easy_setopt) USE(easy_getinfo) \
    USE(multi_init) USE(multi_cleanup) USE(multi_setopt) USE(multi_add_handle) USE(multi_remove_handle) \
    USE(multi_socket_action) USE(multi_info_read)

struct peernode_curl_functions {
#define PEERNODE_CURL_FIELD(name) __typeof__(&curl_##name) name;
    PEERNODE_CURL_FUNCTIONS(PEERNODE_CURL_FIELD)
#undef PEERNODE_CURL_FIELD
    bool loaded;
};

// Its functions. They may be used when `loaded` holds.
static inline const struct peernode_curl_functions *peernode_curl(void) {
    static struct peernode_curl_functions functions;
    if (functions.loaded) return &functions;
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) return &functions;
    bool complete = true;
#define PEERNODE_CURL_FIND(name) \
    complete &= (functions.name = (__typeof__(&curl_##name))dlsym(library, "curl_" #name)) != NULL;
    PEERNODE_CURL_FUNCTIONS(PEERNODE_CURL_FIND)
#undef PEERNODE_CURL_FIND
    functions.loaded = complete;
    return &functions;
}
#undef PEERNODE_CURL_FUNCTIONS

// Loads it, and makes its own state of the process. False when it is not on this machine.
static inline bool peernode_curl_load(void) {
    return peernode_curl()->loaded && peernode_curl()->global_init(CURL_GLOBAL_NOTHING) == CURLE_OK;
}

static inline struct curl_slist *peernode_curl_list_append(struct curl_slist *list, const char *line) {
    return peernode_curl()->slist_append(list, line);
}
static inline void peernode_curl_list_free(struct curl_slist *list) { peernode_curl()->slist_free_all(list); }

static inline CURL *peernode_curl_easy_init(void) { return peernode_curl()->easy_init(); }
static inline void peernode_curl_easy_cleanup(CURL *easy) { peernode_curl()->easy_cleanup(easy); }
static inline void peernode_curl_easy_reset(CURL *easy) { peernode_curl()->easy_reset(easy); }
static inline CURLcode peernode_curl_easy_pause(CURL *easy, int directions) {
    return peernode_curl()->easy_pause(easy, directions);
}

static inline CURLM *peernode_curl_multi_init(void) { return peernode_curl()->multi_init(); }
static inline void peernode_curl_multi_cleanup(CURLM *multi) { peernode_curl()->multi_cleanup(multi); }
static inline void peernode_curl_multi_add(CURLM *multi, CURL *easy) { peernode_curl()->multi_add_handle(multi, easy); }
static inline void peernode_curl_multi_remove(CURLM *multi, CURL *easy) {
    peernode_curl()->multi_remove_handle(multi, easy);
}
static inline void peernode_curl_multi_act(CURLM *multi, curl_socket_t socket, int events) {
    int running = 0;
    peernode_curl()->multi_socket_action(multi, socket, events, &running);
}

// The others take a variable number of arguments.
static inline CURLcode peernode_curl_set_number(CURL *easy, CURLoption option, long value) {
    return peernode_curl()->easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_size(CURL *easy, CURLoption option, curl_off_t value) {
    return peernode_curl()->easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_text(CURL *easy, CURLoption option, const char *value) {
    return peernode_curl()->easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return peernode_curl()->easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_data(CURL *easy, CURLoption option, void *value) {
    return peernode_curl()->easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_callbacks(
    CURL *easy, curl_write_callback header, curl_write_callback body, curl_opensocket_callback open,
    curl_closesocket_callback close
) {
    CURLcode first = peernode_curl()->easy_setopt(easy, CURLOPT_HEADERFUNCTION, header);
    CURLcode second = peernode_curl()->easy_setopt(easy, CURLOPT_WRITEFUNCTION, body);
    CURLcode third = peernode_curl()->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open);
    CURLcode fourth = peernode_curl()->easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close);
    return first ? first : second ? second : third ? third : fourth;
}
static inline long peernode_curl_number(CURL *easy, CURLINFO info) {
    long value = 0;
    return peernode_curl()->easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}
static inline CURLMcode peernode_curl_multi_set_number(CURLM *multi, CURLMoption option, long value) {
    return peernode_curl()->multi_setopt(multi, option, value);
}
static inline CURLMcode peernode_curl_multi_set_callbacks(
    CURLM *multi, void *context, curl_socket_callback socket, curl_multi_timer_callback timer
) {
    CURLMcode first = peernode_curl()->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket);
    CURLMcode second = peernode_curl()->multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
    CURLMcode third = peernode_curl()->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer);
    CURLMcode fourth = peernode_curl()->multi_setopt(multi, CURLMOPT_TIMERDATA, context);
    return first ? first : second ? second : third ? third : fourth;
}
// The next transfer that has ended: its handle, and how it ended; NULL when there is none.
static inline CURL *peernode_curl_multi_ended(CURLM *multi, CURLcode *result) {
    int left = 0;
    for (CURLMsg *message; (message = peernode_curl()->multi_info_read(multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        *result = message->data.result;
        return message->easy_handle;
    }
    return NULL;
}
static inline int peernode_curl_time(CURL *easy, CURLINFO info, curl_off_t *value) {
    return peernode_curl()->easy_getinfo(easy, info, value) == CURLE_OK;
}
// Macros of which Swift cannot make constants.
static const curl_socket_t peernode_curl_no_socket = CURL_SOCKET_BAD;
