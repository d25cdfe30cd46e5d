#pragma once
// Its checks are macros, which Swift does not see.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

// These take a variable number of arguments.
static inline CURLcode peernode_curl_set_number(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_size(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_data(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode peernode_curl_set_callbacks(
    CURL *easy, curl_write_callback header, curl_write_callback body, curl_opensocket_callback open,
    curl_closesocket_callback close
) {
    CURLcode first = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header);
    CURLcode second = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body);
    CURLcode third = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open);
    CURLcode fourth = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close);
    return first ? first : second ? second : third ? third : fourth;
}
static inline long peernode_curl_number(CURL *easy, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(easy, info, &value) == CURLE_OK ? value : 0;
}
static inline CURLMcode peernode_curl_multi_set_number(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}
static inline CURLMcode peernode_curl_multi_set_callbacks(
    CURLM *multi, void *context, curl_socket_callback socket, curl_multi_timer_callback timer
) {
    CURLMcode first = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket);
    CURLMcode second = curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
    CURLMcode third = curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer);
    CURLMcode fourth = curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
    return first ? first : second ? second : third ? third : fourth;
}
// The next transfer that has ended: its handle, and how it ended; NULL when there is none.
static inline CURL *peernode_curl_multi_ended(CURLM *multi, CURLcode *result) {
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        *result = message->data.result;
        return message->easy_handle;
    }
    return NULL;
}
static inline int peernode_curl_time(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value) == CURLE_OK;
}
// Macros of which Swift cannot make constants.
static const curl_socket_t peernode_curl_no_socket = CURL_SOCKET_BAD;
