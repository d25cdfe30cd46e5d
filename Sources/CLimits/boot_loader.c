#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, ROOM = 2048, MOST_HOSTS = 65000 };
// An answer that is not there after this time is lost.
#define PATIENCE_NS 50000000u
// Latencies that are kept for the quantiles.
#define MOST_LATENCIES (1 << 20)
#define FIRST_HOST 0x7f010001u
// Host numbers in the last octet: .0 and .255 stay free.
#define HOSTS_OF_BLOCK 254u

typedef struct {
    // When the request went out; 0: none is under way.
    uint64_t sent;
    uint16_t id;
    // While registering: the ID was echoed.
    int is_echoed;
} host;

struct limits_boot_loader {
    int descriptor;
    struct sockaddr_in server;
    unsigned hosts;
    host *table;
    double *latencies;
    size_t latency_count;
    unsigned under_way;
    limits_boot_result result;

    // What goes out with the next call.
    uint8_t requests[BATCH][HEAD];
    struct iovec out_parts[BATCH];
    union {
        char octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr aligned;
    } out_control[BATCH], in_control[BATCH];
    struct mmsghdr out[BATCH];
    unsigned out_count;

    uint8_t answers[BATCH][ROOM];
    struct iovec in_parts[BATCH];
    struct mmsghdr in[BATCH];
};

static uint32_t address_of(unsigned number) {
    return FIRST_HOST + (number / HOSTS_OF_BLOCK << 8) + number % HOSTS_OF_BLOCK;
}

static unsigned number_of(uint32_t address) {
    uint32_t offset = address - FIRST_HOST;
    return (offset >> 8) * HOSTS_OF_BLOCK + (offset & 255);
}

limits_boot_loader *limits_boot_loader_new(uint32_t address, uint16_t port, unsigned hosts) {
    limits_boot_loader *loader = calloc(1, sizeof *loader);
    if (!loader || hosts > MOST_HOSTS) return NULL;
    loader->hosts = hosts;
    loader->table = calloc(hosts, sizeof *loader->table);
    loader->latencies = malloc(MOST_LATENCIES * sizeof *loader->latencies);
    loader->server =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    loader->descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int on = 1, octets = 4 << 20;
    struct timeval patience = {0, PATIENCE_NS / 1000};
    struct sockaddr_in any = {.sin_family = AF_INET};
    // One socket for all addresses of the loopback interface, and of no other.
    if (setsockopt(loader->descriptor, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0
        || setsockopt(loader->descriptor, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0
        || setsockopt(loader->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
        || bind(loader->descriptor, (struct sockaddr *)&any, sizeof any) < 0) {
        limits_boot_loader_free(loader);
        return NULL;
    }
    setsockopt(loader->descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    return loader;
}

void limits_boot_loader_free(limits_boot_loader *loader) {
    if (!loader) return;
    if (loader->descriptor >= 0) close(loader->descriptor);
    free(loader->table);
    free(loader->latencies);
    free(loader);
}

// Puts a request of a host into the next call.
static void ask(limits_boot_loader *loader, unsigned number, unsigned degree, uint64_t now) {
    unsigned index = loader->out_count++;
    uint8_t *request = loader->requests[index];
    store16(request, HEAD);
    store16(request + 2, INIT);
    store16(request + 4, degree);
    store16(request + 6, loader->table[number].id);
    loader->out_parts[index] = (struct iovec){request, HEAD};
    struct msghdr *header = &loader->out[index].msg_hdr;
    *header = (struct msghdr){
        .msg_name = &loader->server, .msg_namelen = sizeof loader->server, .msg_iov = &loader->out_parts[index],
        .msg_iovlen = 1, .msg_control = loader->out_control[index].octets,
        .msg_controllen = sizeof loader->out_control[index].octets};
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo source = {.ipi_spec_dst.s_addr = htonl(address_of(number))};
    memcpy(CMSG_DATA(control), &source, sizeof source);
    loader->table[number].sent = now;
    loader->under_way++;
}

static void flush(limits_boot_loader *loader) {
    for (unsigned sent = 0; sent < loader->out_count;) {
        int now = sendmmsg(loader->descriptor, loader->out + sent, loader->out_count - sent, 0);
        if (now <= 0) break;
        sent += (unsigned)now;
    }
    loader->out_count = 0;
}

// Receives answers; gives how many, 0 when none came for a while.
static int receive(limits_boot_loader *loader) {
    for (int i = 0; i < BATCH; i++) {
        loader->in_parts[i] = (struct iovec){loader->answers[i], ROOM};
        loader->in[i].msg_hdr = (struct msghdr){
            .msg_iov = &loader->in_parts[i], .msg_iovlen = 1, .msg_control = loader->in_control[i].octets,
            .msg_controllen = sizeof loader->in_control[i].octets};
    }
    int count = recvmmsg(loader->descriptor, loader->in, BATCH, MSG_WAITFORONE, NULL);
    return count < 0 ? 0 : count;
}

// The host that an answer is for, -1 when it is nobody's.
static int receiver(const limits_boot_loader *loader, int index) {
    struct msghdr header = loader->in[index].msg_hdr;
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    if (!control || control->cmsg_type != IP_PKTINFO) return -1;
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(control), sizeof info);
    unsigned number = number_of(ntohl(info.ipi_addr.s_addr));
    return number < loader->hosts && loader->table[number].sent ? (int)number : -1;
}

static void take(limits_boot_loader *loader, host *asker, int index, unsigned least, uint64_t now) {
    const uint8_t *answer = loader->answers[index];
    size_t octets = loader->in[index].msg_len;
    int is_good = octets >= HEAD + least * ENTRY && load16(answer) == octets && load16(answer + 2) == POPULATE
        && load16(answer + 4) != 0;
    if (is_good) asker->id = load16(answer + 4);
    else loader->result.bad++;
    loader->result.answered++;
    loader->result.octets += octets;
    if (loader->latency_count < MOST_LATENCIES)
        loader->latencies[loader->latency_count++] = (double)(now - asker->sent) / 1000;
    asker->sent = 0;
    loader->under_way--;
}

static void begin(limits_boot_loader *loader) {
    memset(&loader->result, 0, sizeof loader->result);
    loader->latency_count = 0;
    loader->under_way = 0;
    loader->out_count = 0;
    for (unsigned i = 0; i < loader->hosts; i++) loader->table[i].sent = 0;
}

static limits_boot_result finish(limits_boot_loader *loader, uint64_t start) {
    loader->result.nanoseconds = clock_now(CLOCK_MONOTONIC) - start;
    loader->result.median_us = quantile(loader->latencies, loader->latency_count, 0.5);
    loader->result.p99_us = quantile(loader->latencies, loader->latency_count, 0.99);
    return loader->result;
}

limits_boot_result limits_boot_register(limits_boot_loader *loader, unsigned first, unsigned hosts) {
    begin(loader);
    uint64_t start = clock_now(CLOCK_MONOTONIC);
    unsigned next = first, end = first + hosts, done = 0, rounds = 0;
    if (end > loader->hosts) end = loader->hosts;
    while (done < end - first) {
        uint64_t now = clock_now(CLOCK_MONOTONIC);
        while (next < end && loader->under_way < BATCH && loader->out_count < BATCH) ask(loader, next++, 0, now);
        flush(loader);
        int count = receive(loader);
        now = clock_now(CLOCK_MONOTONIC);
        for (int i = 0; i < count; i++) {
            int number = receiver(loader, i);
            if (number < 0) continue;
            host *asker = &loader->table[number];
            take(loader, asker, i, 0, now);
            if (asker->is_echoed) done++;
            else ask(loader, (unsigned)number, 0, now);
            asker->is_echoed = 1;
        }
        flush(loader);
        if (count > 0) continue;
        loader->result.lost += loader->under_way;
        // A server that answers nobody any more will not begin to.
        if (++rounds > 20) break;
        loader->under_way = 0;
        for (unsigned i = first; i < next && loader->out_count < BATCH; i++)
            if (loader->table[i].sent) ask(loader, i, 0, now);
    }
    return finish(loader, start);
}

limits_boot_result limits_boot_run(
    limits_boot_loader *loader, unsigned hosts, unsigned window, unsigned degree, uint64_t nanoseconds
) {
    begin(loader);
    uint64_t start = clock_now(CLOCK_MONOTONIC), now = start;
    unsigned next = 0;
    if (window > BATCH) window = BATCH;
    while (now - start < nanoseconds) {
        // A host whose last request is still under way is passed by.
        for (unsigned tries = 0; loader->under_way < window && tries < hosts; tries++) {
            unsigned number = next;
            next = next + 1 == hosts ? 0 : next + 1;
            if (!loader->table[number].sent) ask(loader, number, degree, now);
        }
        flush(loader);
        int count = receive(loader);
        now = clock_now(CLOCK_MONOTONIC);
        for (int i = 0; i < count; i++) {
            int number = receiver(loader, i);
            if (number >= 0) take(loader, &loader->table[number], i, degree, now);
        }
        if (count > 0) continue;
        loader->result.lost += loader->under_way;
        loader->under_way = 0;
        for (unsigned i = 0; i < hosts; i++) loader->table[i].sent = 0;
    }
    return finish(loader, start);
}
