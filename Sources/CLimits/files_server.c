#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINE = 1024, MOST_EVENTS = 64, BACKLOG = 4096 };
// One call of sendfile: the loop turns between two of them.
enum { PART_OCTETS = 4 << 20 };
// Octets of a name of the peers, its end included.
enum { MOST_NAME = 48 };

// What a listener's callers want.
typedef enum { LIST, QUERY, FILE_OCTETS } service;

typedef struct {
    int descriptor, is_listener;
    service service;
    // The line so far.
    size_t octets;
    char line[MOST_LINE];
    // The answer: octets of a file, or of the names.
    int file;
    off_t sent, size;
    char *answer;
} connection;

static int event_set;
// -1 when names are answered, not files.
static int folder_descriptor = -1;
static char *names;
static size_t names_octets;

static int watch(connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    return epoll_ctl(event_set, operation, c->descriptor, &event) < 0 ? errno : 0;
}

static void end_connection(connection *c) {
    close(c->descriptor);
    if (c->file >= 0) close(c->file);
    free(c->answer);
    free(c);
}

// Answers.

// Lines that contain a text; all of them for the empty one.
static void find_names(connection *c, const char *text) {
    size_t length = strlen(text);
    c->answer = malloc(names_octets);
    if (!c->answer) return;
    const char *end = names + names_octets;
    for (const char *at = names, *hit; at < end && (hit = memmem(at, (size_t)(end - at), text, length));) {
        const char *start = hit, *next = memchr(hit, '\n', (size_t)(end - hit));
        while (start > names && start[-1] != '\n') start--;
        next++;
        memcpy(c->answer + c->size, start, (size_t)(next - start));
        c->size += next - start;
        at = next;
    }
}

static void open_answer(connection *c) {
    struct stat status;
    if (c->service == QUERY) find_names(c, c->line);
    if (c->service != FILE_OCTETS) return;
    c->file = strstr(c->line, "..") ? -1 : openat(folder_descriptor, c->line, O_RDONLY | O_CLOEXEC);
    if (c->file >= 0 && fstat(c->file, &status) == 0) c->size = status.st_size;
}

// Sends what the system takes; ends the connection when all is sent or nothing can be.
static void send_answer(connection *c) {
    while (c->sent < c->size) {
        size_t rest = (size_t)(c->size - c->sent);
        ssize_t count;
        if (c->service == FILE_OCTETS) {
            count = sendfile(c->descriptor, c->file, &c->sent, rest < PART_OCTETS ? rest : PART_OCTETS);
        } else {
            count = send(c->descriptor, c->answer + c->sent, rest, MSG_NOSIGNAL);
            if (count > 0) c->sent += count;
        }
        if (count < 0 && errno == EAGAIN) {
            watch(c, EPOLL_CTL_MOD, EPOLLOUT);
            return;
        }
        if (count <= 0) break;
    }
    end_connection(c);
}

// Connections.

static void receive(connection *c) {
    ssize_t count = recv(c->descriptor, c->line + c->octets, sizeof c->line - c->octets, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return end_connection(c);
    char *end = memchr(c->line + c->octets, '\n', (size_t)count);
    c->octets += (size_t)count;
    if (!end && c->octets == sizeof c->line) return end_connection(c);
    if (!end) return;
    *end = 0;
    open_answer(c);
    send_answer(c);
}

static void accept_all(const connection *listener) {
    for (int new; (new = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        int on = 1;
        connection *c = calloc(1, sizeof *c);
        if (!c) abort();
        *c = (connection){.descriptor = new, .service = listener->service, .file = -1};
        setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (watch(c, EPOLL_CTL_ADD, EPOLLIN)) end_connection(c);
    }
}

static int listen_at(uint32_t address, uint16_t port, service service) {
    connection *c = calloc(1, sizeof *c);
    if (!c) return ENOMEM;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    *c = (connection){.descriptor = descriptor, .is_listener = 1, .service = service, .file = -1};
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Connections have it from their listener.
    setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (bind(descriptor, (struct sockaddr *)&own, sizeof own) < 0 || listen(descriptor, BACKLOG) < 0) return errno;
    return watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static int serve(void) {
    // sendfile knows no MSG_NOSIGNAL.
    signal(SIGPIPE, SIG_IGN);
    if (write(STDOUT_FILENO, "listening\n", 10) != 10) return EIO;
    for (;;) {
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(event_set, events, MOST_EVENTS, -1);
        if (ready < 0 && errno != EINTR) return errno;
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (c->is_listener) accept_all(c);
            else if (events[i].events & EPOLLOUT) send_answer(c);
            else receive(c);
        }
    }
}

int limits_file_server(uint32_t address, uint16_t port, const char *folder) {
    event_set = epoll_create1(EPOLL_CLOEXEC);
    folder_descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (event_set < 0 || folder_descriptor < 0) return errno;
    int error = listen_at(address, port, FILE_OCTETS);
    return error ? error : serve();
}

int limits_file_peers(uint32_t address, uint16_t port, unsigned count, unsigned files) {
    event_set = epoll_create1(EPOLL_CLOEXEC);
    names = malloc((size_t)files * MOST_NAME + 1);
    if (event_set < 0 || !names) return ENOMEM;
    for (unsigned i = 0; i < files; i++)
        names_octets += (size_t)snprintf(names + names_octets, MOST_NAME, "recording %06u of this peer.ogg\n", i);
    int error = 0;
    for (unsigned i = 0; i < count && !error; i++) {
        error = listen_at(address + i, port, LIST);
        if (!error) error = listen_at(address + i, port + 1, QUERY);
    }
    return error ? error : serve();
}
