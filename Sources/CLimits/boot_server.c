#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Datagrams of one call, and room for each.
enum { BATCH = 64, ROOM = 2048 };
// IDs are 16 bits wide, 0 and 65535 are none.
enum { MOST_PEERS = 65534, SLOTS = 1 << 17 };
// An unvalidated source gets at most so many entries (gossip.md section 6.3).
enum { UNVALIDATED_ENTRIES = 3 };

typedef struct {
    uint32_t address;
    uint16_t port, id;
    uint32_t drawn;
    int is_listed;
} peer;

static peer peers[MOST_PEERS];
static uint32_t count;
// Indices of peers, plus one: by hash of address and port, and those that others are told.
static uint32_t slots[SLOTS];
static uint32_t listed[MOST_PEERS], listed_count;
static uint8_t is_taken[65536];
static uint64_t state;
static uint32_t draws;

static uint32_t draw(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(((state >> 32) * below) >> 32);
}

static uint16_t free_id(void) {
    for (;;) {
        uint32_t id = 1 + draw(MOST_PEERS);
        if (is_taken[id]) continue;
        is_taken[id] = 1;
        return (uint16_t)id;
    }
}

static peer *find(uint32_t address, uint16_t port) {
    uint32_t slot = (address * 2654435761u ^ port * 40503u) >> 4 & (SLOTS - 1);
    for (; slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        peer *known = &peers[slots[slot] - 1];
        if (known->address == address && known->port == port) return known;
    }
    if (count == MOST_PEERS) return NULL;
    peers[count] = (peer){.address = address, .port = port, .id = free_id()};
    slots[slot] = ++count;
    return &peers[count - 1];
}

static void put(uint8_t *entry, const peer *p) {
    store16(entry, p->id);
    store16(entry + 2, p->port);
    memset(entry + 4, 0, 10);
    store16(entry + 14, 0xffff);
    store32(entry + 16, p->address);
}

static unsigned list(uint8_t *entries, const peer *asker, unsigned wanted) {
    uint32_t others = listed_count - (asker->is_listed ? 1 : 0);
    unsigned most = asker->is_listed ? MOST_ENTRIES : UNVALIDATED_ENTRIES, given = 0;
    if (wanted > most) wanted = most;
    if (wanted > others) wanted = others;
    for (draws++; given < wanted;) {
        peer *other = &peers[listed[draw(listed_count)]];
        if (other == asker || other->drawn == draws) continue;
        other->drawn = draws;
        put(entries + ENTRY * given++, other);
    }
    return given;
}

static size_t answer(uint8_t *message, size_t octets, const struct sockaddr_in *source) {
    if (octets != HEAD || load16(message) != HEAD || load16(message + 2) != INIT) return 0;
    peer *asker = find(ntohl(source->sin_addr.s_addr), ntohs(source->sin_port));
    if (!asker) return 0;
    if (!asker->is_listed && load16(message + 6) == asker->id) {
        asker->is_listed = 1;
        listed[listed_count++] = (uint32_t)(asker - peers);
    }
    unsigned given = list(message + HEAD, asker, load16(message + 4));
    size_t size = HEAD + ENTRY * given;
    store16(message, (unsigned)size);
    store16(message + 2, POPULATE);
    store16(message + 4, asker->id);
    store16(message + 6, 0);
    return size;
}

int limits_boot_server(uint32_t address, uint16_t port) {
    static uint8_t room[BATCH][ROOM];
    static struct sockaddr_in sources[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), octets = 4 << 20;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&own, sizeof own) < 0) return errno;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
    state = clock_now(CLOCK_MONOTONIC) | 1;
    if (write(STDOUT_FILENO, "listening\n", 10) != 10) return EIO;
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){room[i], ROOM};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &sources[i], .msg_namelen = sizeof sources[i], .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        int received = recvmmsg(descriptor, messages, BATCH, MSG_WAITFORONE, NULL), answers = 0;
        if (received < 0 && errno != EINTR) return errno;
        for (int i = 0; i < received; i++) {
            parts[i].iov_len = answer(room[i], messages[i].msg_len, &sources[i]);
            if (parts[i].iov_len > 0) messages[answers++] = messages[i];
        }
        for (int sent = 0, now; sent < answers; sent += now) {
            now = sendmmsg(descriptor, messages + sent, (unsigned)(answers - sent), 0);
            if (now <= 0) break;
        }
    }
}
