#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// As large as one read of the system brings; more only leaves the processor's cache.
enum { BUFFER_OCTETS = 256 << 10, MOST_EVENTS = 64, MOST_PATH = 512 };
// Without an octet for so long something hangs.
enum { STALL_MS = 10000 };

typedef struct {
    int descriptor, file;
    uint64_t start;
    EVP_MD_CTX *hash;
    unsigned hashed;
} transfer;

typedef struct {
    uint32_t address, step;
    uint16_t port;
    const char *folder;
    const char *next, *end;
    int event_set;
    unsigned begun, running, piece;
    uint8_t *buffer;
    double *delays;
    limits_fetch_result result;
} client;

static int dial(const client *c) {
    struct sockaddr_in other = {
        .sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = htonl(c->address + c->begun * c->step)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (descriptor < 0) return -1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (connect(descriptor, (struct sockaddr *)&other, sizeof other) == 0) return descriptor;
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

// Gives 0 or an error number.
static int begin(client *c) {
    transfer *t = calloc(1, sizeof *t);
    if (!t) return ENOMEM;
    *t = (transfer){.file = -1, .start = clock_now(CLOCK_MONOTONIC)};
    size_t size = strlen(c->next);
    t->descriptor = dial(c);
    if (t->descriptor < 0 || send(t->descriptor, c->next, size, MSG_NOSIGNAL) != (ssize_t)size) return errno;
    if (c->folder) {
        char path[MOST_PATH];
        snprintf(path, sizeof path, "%s/%u", c->folder, c->begun);
        t->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (t->file < 0) return errno;
    }
    if (c->piece) {
        t->hash = EVP_MD_CTX_new();
        if (!t->hash || !EVP_DigestInit_ex(t->hash, EVP_sha256(), NULL)) return ENOMEM;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = t};
    if (epoll_ctl(c->event_set, EPOLL_CTL_ADD, t->descriptor, &event) < 0) return errno;
    c->next += size + 1;
    c->begun++;
    c->running++;
    return 0;
}

static int save(int file, const uint8_t *octets, size_t count) {
    while (count > 0) {
        ssize_t written = write(file, octets, count);
        if (written < 0) return errno;
        octets += written;
        count -= (size_t)written;
    }
    return 0;
}

// Ends a hash and begins the next at every boundary of a piece.
static void digest(const client *c, transfer *t, const uint8_t *octets, size_t count) {
    uint8_t result[EVP_MAX_MD_SIZE];
    while (count > 0) {
        size_t part = c->piece - t->hashed < count ? c->piece - t->hashed : count;
        EVP_DigestUpdate(t->hash, octets, part);
        octets += part;
        count -= part;
        t->hashed += (unsigned)part;
        if (t->hashed < c->piece) continue;
        EVP_DigestFinal_ex(t->hash, result, NULL);
        EVP_DigestInit_ex(t->hash, EVP_sha256(), NULL);
        t->hashed = 0;
    }
}

static void end_transfer(client *c, transfer *t) {
    c->delays[c->result.files++] = (double)(clock_now(CLOCK_MONOTONIC) - t->start) / 1000;
    close(t->descriptor);
    if (t->file >= 0) close(t->file);
    EVP_MD_CTX_free(t->hash);
    free(t);
    c->running--;
}

// Reads until there is nothing; gives 0 or an error number.
static int receive(client *c, transfer *t) {
    for (;;) {
        ssize_t count = recv(t->descriptor, c->buffer, BUFFER_OCTETS, MSG_DONTWAIT);
        if (count < 0) return errno == EAGAIN ? 0 : errno;
        if (count == 0) {
            end_transfer(c, t);
            return 0;
        }
        c->result.octets += (uint64_t)count;
        if (t->hash) digest(c, t, c->buffer, (size_t)count);
        int error = t->file >= 0 ? save(t->file, c->buffer, (size_t)count) : 0;
        if (error) return error;
    }
}

static int run(client *c, unsigned at_once, uint64_t end) {
    while (c->running > 0 || c->next < c->end) {
        while (c->running < at_once && c->next < c->end) {
            int error = begin(c);
            if (error) return error;
        }
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(c->event_set, events, MOST_EVENTS, STALL_MS);
        if (ready < 0 && errno != EINTR) return errno;
        if (ready == 0 || clock_now(CLOCK_MONOTONIC) > end) return ETIMEDOUT;
        for (int i = 0; i < ready; i++) {
            int error = receive(c, events[i].data.ptr);
            if (error) return error;
        }
    }
    return 0;
}

limits_fetch_result limits_fetch(
    uint32_t address, uint32_t step, uint16_t port, const uint8_t *requests, size_t octets, unsigned at_once,
    const char *folder, unsigned piece, uint64_t nanoseconds
) {
    client c = {
        .address = address, .step = step, .port = port, .folder = folder, .piece = piece, .next = (const char *)requests,
        .end = (const char *)requests + octets, .event_set = epoll_create1(EPOLL_CLOEXEC),
        .buffer = malloc(BUFFER_OCTETS)};
    size_t count = 0;
    for (const char *request = c.next; request < c.end; request += strlen(request) + 1) count++;
    c.delays = malloc((count + 1) * sizeof *c.delays);
    uint64_t start = clock_now(CLOCK_MONOTONIC), cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
    // What an error leaves open ends with the job: the run has failed.
    c.result.error = c.buffer && c.delays && c.event_set >= 0 ? run(&c, at_once, start + nanoseconds) : ENOMEM;
    c.result.nanoseconds = clock_now(CLOCK_MONOTONIC) - start;
    c.result.cpu = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
    c.result.median_us = quantile(c.delays, c.result.files, 0.5);
    c.result.most_us = c.result.files ? c.delays[c.result.files - 1] : 0;
    close(c.event_set);
    free(c.buffer);
    free(c.delays);
    return c.result;
}
