#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// Messages of the module API; ANNOUNCE also travels between relays. Every message begins with HEAD octets.
enum { ANNOUNCE = 500, NOTIFY = 501, NOTIFICATION = 502, VALIDATION = 503, MOST_OCTETS = 65535 };
// One bit of a 64-bit set for each connection; no topology that is measured needs a dozen.
enum { MOST_CONNECTIONS = 64, MOST_EVENTS = 64 };
// One read: large enough that a system call costs little beside what it brings. What is cut at its end stays in front.
enum { READ_OCTETS = 256 << 10, IN_OCTETS = READ_OCTETS + MOST_OCTETS };
// Above so many octets for one receiver, whoever announces is not read (the node's own default for a queue).
enum { MOST_BACKLOG = 4 << 20 };
// Items that wait for verdicts: a power of two that leaves the message ID 0 free, and room for what is kept of them.
enum { MOST_VOTES = 1 << 15, STORE_OCTETS = 4 << 20 };
// Keys of items seen: with a thousand items under way it never happens that six newer ones meet in one set.
enum { SEEN_SETS = 1 << 15, SEEN_WAYS = 6 };
// A neighbour that is just being started: 4 seconds in all.
enum { DIAL_TRIES = 200, DIAL_PAUSE_US = 20000 };

typedef enum { API_LISTENER, LINK_LISTENER, CLIENT, LINK } role;

typedef struct {
    uint8_t *octets;
    size_t begin, end, room;
} queue;

typedef struct {
    // -1 when it has ended and is about to be removed.
    int descriptor;
    role role;
    // What epoll watches it for.
    uint32_t watched;
    // What a client has subscribed to: one data type.
    int is_subscribed;
    uint16_t data_type;
    queue in, out;
} connection;

typedef struct {
    uint64_t key;
    // Connections that have the item already: a bit for each index.
    uint64_t had;
    // Where in the store it is.
    uint32_t begin, octets;
    // Subscribers that have not answered; 0: the vote is over.
    uint32_t awaited;
    int is_refused;
} vote;

// One line of the processor's cache.
typedef struct {
    uint64_t keys[SEEN_WAYS];
    // Message ID of the vote on it, 0 for none.
    uint16_t votes[SEEN_WAYS];
    uint16_t next, unused;
} seen_set;

static int event_set;
static int waits_for_verdicts;
// None is at `connection_count` or behind it; some before it may have gone.
static connection *connections[MOST_CONNECTIONS];
static int connection_count;
static seen_set seen[SEEN_SETS] __attribute__((aligned(64)));
static vote votes[MOST_VOTES];
// Numbers of the oldest open vote and of the next one.
static uint64_t first_vote, next_vote;
static uint8_t store[STORE_OCTETS];
static size_t store_end;
// Whether a subscriber, or a neighbour, has a backlog: brought up to date once a turn.
static int has_slow_subscriber, has_slow_link;

static void must(int holds) {
    if (!holds) abort();
}

// Queues.

static size_t waiting(const queue *q) { return q->end - q->begin; }

// Room for `count` octets at the end, which are part of the queue from now on.
static uint8_t *extend(queue *q, size_t count) {
    if (q->end + count > q->room && q->begin > 0) {
        memmove(q->octets, q->octets + q->begin, waiting(q));
        q->end -= q->begin;
        q->begin = 0;
    }
    if (q->end + count > q->room) {
        q->room = 2 * (q->end + count);
        q->octets = realloc(q->octets, q->room);
        must(q->octets != NULL);
    }
    q->end += count;
    return q->octets + q->end - count;
}

static void consume(queue *q, size_t count) {
    q->begin += count;
    if (q->begin == q->end) q->begin = q->end = 0;
}

// What has been seen.

static uint64_t word(const uint8_t *octets) {
    uint64_t value;
    memcpy(&value, octets, sizeof value);
    return value;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// A key by which an item is known again; it need not resist anybody. The factors are odd and have bits everywhere.
static uint64_t key_of(const uint8_t *octets, size_t count) {
    const uint64_t factor = 0x9e3779b97f4a7c15u, other = 0xc2b2ae3d27d4eb4fu;
    uint64_t a = factor ^ count, b = other;
    for (; count > 32; octets += 32, count -= 32) {
        a = mix(a ^ word(octets), factor ^ word(octets + 8));
        b = mix(b ^ word(octets + 16), other ^ word(octets + 24));
    }
    uint8_t rest[32] = {0};
    memcpy(rest, octets, count);
    a = mix(a ^ word(rest), factor ^ word(rest + 8));
    b = mix(b ^ word(rest + 16), other ^ word(rest + 24));
    return mix(a ^ factor, b ^ other);
}

// Remembers an item with the vote on it. If it is known, notes that `index` has it too, and gives 0.
static int remember(uint64_t key, int index, unsigned message_id) {
    seen_set *set = &seen[key % SEEN_SETS];
    for (int way = 0; way < SEEN_WAYS; way++) {
        if (set->keys[way] != key) continue;
        vote *open = &votes[set->votes[way] % MOST_VOTES];
        if (open->key == key) open->had |= 1ull << index;
        return 0;
    }
    set->keys[set->next] = key;
    set->votes[set->next] = (uint16_t)message_id;
    set->next = (set->next + 1) % SEEN_WAYS;
    return 1;
}

// Where items go.

// Queues an item for every neighbour that does not have it.
static void forward(uint64_t had, const uint8_t *message, size_t size) {
    for (int i = 0; i < connection_count; i++) {
        connection *c = connections[i];
        if (c && c->role == LINK && !(had >> i & 1)) memcpy(extend(&c->out, size), message, size);
    }
}

// Asks the subscribers of an item; gives how many these are.
static unsigned notify(const connection *source, unsigned message_id, const uint8_t *message, size_t size) {
    unsigned asked = 0;
    for (int i = 0; i < connection_count; i++) {
        connection *c = connections[i];
        if (!c || !c->is_subscribed || c->data_type != load16(message + 6) || c == source) continue;
        uint8_t *room = extend(&c->out, size);
        memcpy(room, message, size);
        store16(room + 2, NOTIFICATION);
        store16(room + 4, message_id);
        asked++;
    }
    return asked;
}

// Votes.

static unsigned message_id_of(uint64_t number) { return 1 + (unsigned)(number % MOST_VOTES); }

static vote *vote_of(uint64_t number) { return &votes[message_id_of(number) % MOST_VOTES]; }

// Room in the store for one item of any size; NULL when the oldest ones must go first.
static uint8_t *room_for_item(void) {
    if (next_vote == first_vote) return store;
    if (next_vote - first_vote == MOST_VOTES) return NULL;
    size_t oldest = vote_of(first_vote)->begin;
    if (store_end > oldest && STORE_OCTETS - store_end >= MOST_OCTETS) return store + store_end;
    if (store_end > oldest) return oldest > MOST_OCTETS ? store : NULL;
    return oldest - store_end > MOST_OCTETS ? store + store_end : NULL;
}

static void open_vote(uint64_t key, int source, unsigned asked, const uint8_t *message, size_t size) {
    uint8_t *room = room_for_item();
    must(room != NULL);
    memcpy(room, message, size);
    store_end = (size_t)(room - store) + size;
    *vote_of(next_vote++) = (vote){
        .key = key, .had = 1ull << source, .begin = (uint32_t)(room - store), .octets = (uint32_t)size,
        .awaited = asked};
}

static void judge(unsigned message_id, int is_valid) {
    vote *v = &votes[message_id % MOST_VOTES];
    // No vote has the ID 0; an answer to a vote that is over changes nothing.
    if (message_id == 0 || message_id > MOST_VOTES || v->awaited == 0) return;
    if (!is_valid) v->is_refused = 1;
    if (--v->awaited > 0) return;
    if (!v->is_refused) forward(v->had, store + v->begin, v->octets);
    while (first_vote < next_vote && vote_of(first_vote)->awaited == 0) first_vote++;
}

// Messages.

// Each gives whether the message is one that may come here.

static int take_from_link(int index, const uint8_t *message, size_t size) {
    if (load16(message + 2) != ANNOUNCE) return 0;
    uint64_t key = key_of(message + 6, size - 6);
    unsigned message_id = waits_for_verdicts ? message_id_of(next_vote) : 0;
    if (!remember(key, index, message_id)) return 1;
    unsigned asked = notify(connections[index], message_id, message, size);
    if (!waits_for_verdicts) forward(1ull << index, message, size);
    else if (asked > 0) open_vote(key, index, asked, message, size);
    return 1;
}

static int take_from_client(int index, const uint8_t *message, size_t size) {
    connection *c = connections[index];
    switch (load16(message + 2)) {
    case ANNOUNCE:
        // Nobody is asked about what a local client vouches for.
        if (!remember(key_of(message + 6, size - 6), index, 0)) return 1;
        notify(c, 0, message, size);
        forward(0, message, size);
        return 1;
    case NOTIFY:
        c->is_subscribed = 1;
        c->data_type = load16(message + 6);
        return size == HEAD;
    case VALIDATION:
        judge(load16(message + 4), message[7] & 1);
        return size == HEAD;
    default: return 0;
    }
}

// Whether a connection must wait until receivers have caught up. A subscriber need not: its verdicts make room. A link
// does not wait for other links: in a mesh two could wait for each other.
static int is_held(const connection *c) {
    if (c->role == LINK) return has_slow_subscriber || (waits_for_verdicts && !room_for_item());
    return !c->is_subscribed && (has_slow_subscriber || has_slow_link);
}

static int has_message(const connection *c) {
    size_t count = waiting(&c->in);
    return c->role >= CLIENT && count >= HEAD && count >= load16(c->in.octets + c->in.begin);
}

static void end_connection(connection *c) {
    close(c->descriptor);
    c->descriptor = -1;
    // Its verdicts will not come: nothing that is open now is carried on.
    while (c->is_subscribed && first_vote < next_vote) vote_of(first_vote++)->awaited = 0;
    c->is_subscribed = 0;
}

static void take_messages(int index) {
    connection *c = connections[index];
    while (c->descriptor >= 0 && has_message(c) && !is_held(c)) {
        const uint8_t *message = c->in.octets + c->in.begin;
        size_t size = load16(message);
        int is_good = size >= HEAD
            && (c->role == LINK ? take_from_link(index, message, size) : take_from_client(index, message, size));
        consume(&c->in, size);
        if (!is_good) end_connection(c);
    }
}

// Sockets.

static void add(int descriptor, role role) {
    connection *c = calloc(1, sizeof *c);
    int index = 0, on = 1;
    while (index < connection_count && connections[index]) index++;
    must(c && index < MOST_CONNECTIONS);
    if (index == connection_count) connection_count++;
    *c = (connection){.descriptor = descriptor, .role = role, .watched = EPOLLIN};
    if (role >= CLIENT) {
        c->in.octets = malloc(IN_OCTETS);
        must(c->in.octets != NULL);
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
    connections[index] = c;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    must(epoll_ctl(event_set, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

static int listen_at(uint32_t address, uint16_t port, role role) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, (struct sockaddr *)&own, sizeof own) < 0 || listen(descriptor, MOST_CONNECTIONS) < 0)
        return errno;
    add(descriptor, role);
    return 0;
}

static int dial(uint32_t address, uint16_t port) {
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    for (int tries = 0; tries < DIAL_TRIES; tries++) {
        int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(descriptor, (struct sockaddr *)&other, sizeof other) == 0) {
            add(descriptor, LINK);
            return 0;
        }
        close(descriptor);
        sleep_microseconds(DIAL_PAUSE_US);
    }
    return ECONNREFUSED;
}

static void accept_all(const connection *listener) {
    for (int new; (new = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        add(new, listener->role == LINK_LISTENER ? LINK : CLIENT);
}

static void receive(int index) {
    connection *c = connections[index];
    memmove(c->in.octets, c->in.octets + c->in.begin, waiting(&c->in));
    c->in.end = waiting(&c->in);
    c->in.begin = 0;
    ssize_t count = recv(c->descriptor, c->in.octets + c->in.end, IN_OCTETS - c->in.end, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return end_connection(c);
    c->in.end += (size_t)count;
    take_messages(index);
}

// What is queued goes out with one call; what the system does not take waits until it will.
static void send_queue(connection *c) {
    if (waiting(&c->out) == 0) return;
    ssize_t count = send(c->descriptor, c->out.octets + c->out.begin, waiting(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) consume(&c->out, (size_t)count);
    else if (errno != EAGAIN) end_connection(c);
}

// Turns of the loop.

static void remove_connection(int index) {
    free(connections[index]->in.octets);
    free(connections[index]->out.octets);
    free(connections[index]);
    connections[index] = NULL;
}

// Writes what this turn has queued, and finds out who is behind.
static void send_all(void) {
    has_slow_subscriber = has_slow_link = 0;
    for (int i = 0; i < connection_count; i++) {
        connection *c = connections[i];
        if (!c) continue;
        if (c->descriptor >= 0 && !(c->watched & EPOLLOUT)) send_queue(c);
        if (c->descriptor < 0) {
            remove_connection(i);
            continue;
        }
        if (waiting(&c->out) <= MOST_BACKLOG) continue;
        if (c->role == LINK) has_slow_link = 1;
        else has_slow_subscriber = 1;
    }
}

// Brings up to date what is watched. Gives whether messages are left that may be taken now.
static int watch_all(void) {
    int is_left = 0;
    for (int i = 0; i < connection_count; i++) {
        connection *c = connections[i];
        if (!c) continue;
        uint32_t wanted = (is_held(c) && c->role >= CLIENT ? 0 : EPOLLIN) | (waiting(&c->out) > 0 ? EPOLLOUT : 0);
        if (wanted & EPOLLIN && has_message(c)) is_left = 1;
        if (wanted == c->watched) continue;
        struct epoll_event event = {.events = wanted, .data.u32 = (uint32_t)i};
        must(epoll_ctl(event_set, EPOLL_CTL_MOD, c->descriptor, &event) == 0);
        c->watched = wanted;
    }
    return is_left;
}

static void happened(int index, uint32_t events) {
    connection *c = connections[index];
    if (c->descriptor < 0) return;
    if (c->role < CLIENT) return accept_all(c);
    // A connection that was held still has messages, which come before those that can be read.
    if (events & EPOLLOUT) send_queue(c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->descriptor >= 0 && !has_message(c)) receive(index);
}

int limits_gossip_relay(
    uint32_t address, uint16_t api_port, uint16_t link_port, const uint32_t *neighbours, size_t count, int waits
) {
    event_set = epoll_create1(EPOLL_CLOEXEC);
    waits_for_verdicts = waits;
    int error = listen_at(address, api_port, API_LISTENER);
    if (!error) error = listen_at(address, link_port, LINK_LISTENER);
    for (size_t i = 0; i < count && !error; i++) error = dial(neighbours[i], link_port);
    if (error) return error;
    if (write(STDOUT_FILENO, "linked\n", 7) != 7) return EIO;
    for (int is_left = 0;;) {
        struct epoll_event events[MOST_EVENTS];
        int ready = epoll_wait(event_set, events, MOST_EVENTS, is_left ? 0 : -1);
        if (ready < 0 && errno != EINTR) return errno;
        for (int i = 0; i < ready; i++) happened((int)events[i].data.u32, events[i].events);
        for (int i = 0; is_left && i < connection_count; i++)
            if (connections[i]) take_messages(i);
        send_all();
        is_left = watch_all();
    }
}
