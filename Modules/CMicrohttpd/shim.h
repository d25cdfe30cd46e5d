#pragma once
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

// MHD_start_daemon takes a variable number of arguments. Sockets are accepted elsewhere and handed over; the target of
// a request is left as it was sent.
static inline size_t peernode_mhd_leave_escaped(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}
static inline struct MHD_Daemon *peernode_mhd_start(
    void *context, size_t memory, unsigned int connections, MHD_AccessHandlerCallback handle,
    void *(*begin)(void *, const char *, struct MHD_Connection *), MHD_RequestCompletedCallback end,
    MHD_NotifyConnectionCallback connection
) {
    // MHD_OPTION_STRICT_FOR_CLIENT makes 0.9.75 answer a missing Host with two heads: that is checked elsewhere.
    // Without MHD_USE_TURBO the socket would be shut before its last notice, in which a broken request is answered.
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL, NULL, handle,
        context, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_URI_LOG_CALLBACK, begin,
        context, MHD_OPTION_UNESCAPE_CALLBACK, peernode_mhd_leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, end,
        context, MHD_OPTION_NOTIFY_CONNECTION, connection, context, MHD_OPTION_END);
}

// These take a variable number of arguments too.
static inline int peernode_mhd_epoll(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    return info ? info->epoll_fd : -1;
}
static inline int peernode_mhd_socket(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}
static inline size_t peernode_mhd_head_size(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

// Up to 0.9.76 the library takes NUL for the end of a text, and glues a folded line to another one: what follows is
// read by nobody here, and may be by somebody else (RFC 9110, section 5.5). Its texts lie in the head as it was sent,
// so what lies between them shows. `target` and `version` are those of the request line.
struct peernode_mhd_head {
    const char *at, *end;
    int hides;
};
static inline void peernode_mhd_pass(struct peernode_mhd_head *head, const char *next, size_t size) {
    if (next < head->at || next > head->end) head->hides = 1;
    while (!head->hides && head->at < next) head->hides = !memchr(" \t\r\n", *head->at++, 5);
    head->at = next + size;
}
static inline enum MHD_Result peernode_mhd_pass_field(
    void *context, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value, size_t value_size
) {
    (void)kind;
    peernode_mhd_pass(context, name, 0);
    ((struct peernode_mhd_head *)context)->at = value ? value + value_size : name + name_size;
    return MHD_YES;
}
static inline int peernode_mhd_hides_text(
    struct MHD_Connection *connection, const char *method, const char *target, size_t target_size, const char *version
) {
    int minor = 0;
    if (sscanf(MHD_get_version(), "0.9.%d", &minor) != 1 || minor > 76) return 0;
    size_t size = peernode_mhd_head_size(connection);
    struct peernode_mhd_head head = {target + target_size, target - strlen(method) - 1 + size, 0};
    peernode_mhd_pass(&head, version, strlen(version));
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, peernode_mhd_pass_field, &head);
    peernode_mhd_pass(&head, head.end, 0);
    return head.hides;
}

// Macros of which Swift cannot make constants.
static const uint64_t peernode_mhd_unknown_size = MHD_SIZE_UNKNOWN;
static const ssize_t peernode_mhd_end = MHD_CONTENT_READER_END_OF_STREAM;
static const ssize_t peernode_mhd_failed = MHD_CONTENT_READER_END_WITH_ERROR;
