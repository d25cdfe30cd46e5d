#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

// One bit of a 32-bit set for each.
enum { MOST_SUBSCRIBERS = 32 };
// The messages of the module API that the load knows, the data type of all of its own, and the packet of MQTT.
enum { ANNOUNCE = 500, NOTIFICATION = 502, VALIDATION = 503, DATA_TYPE = 1337, MQTT_PUBLISH = 0x30 };
// Room before and after the payload of a message, and for one line of a text protocol.
enum { FRAME_OCTETS = 64, LINE_OCTETS = 256 };
// One read brings so much at most; a message that is cut at its end stays in front.
enum { READ_OCTETS = 256 << 10, IN_OCTETS = READ_OCTETS + (80 << 10) };
// The publisher has no more than this queued: what is beyond it is not under way yet.
enum { MOST_UNSENT = 1 << 20 };
// Which subscribers have a message is known for so many of the newest ones.
enum { MOST_NUMBERS = 1 << 22, WINDOW_NUMBERS = 1 << 16, MOST_WINDOW = WINDOW_NUMBERS / 4 };
// Latencies that are kept for the quantiles.
enum { MOST_LATENCIES = 1 << 20 };
// The loop wakes up this often at least, and a system that delivers nothing for the second time has ended.
#define TURN_NS 20000000u
#define SILENCE_NS 2000000000u
// A sleep ends late by this much: what is left until a message is due is spent awake.
#define AWAKE_NS 60000u
// A probe is repeated after this time.
#define PROBE_NS 50000000u
// A slow subscriber reads when it may read this much, as a program with a small buffer would.
#define SLOW_READ_OCTETS 4096u

typedef struct {
    uint8_t *octets;
    size_t begin, end, room;
} queue;

typedef struct {
    int descriptor;
    // Its bit among the subscribers that count; 0 for the publisher and the slow ones.
    uint32_t bit;
    int is_publisher, is_slow, wants_out;
    // For a slow one: octets read in this run.
    uint64_t slow_octets;
    queue in, out;
} connection;

// A part of what was received.
typedef struct {
    const uint8_t *octets;
    size_t count;
} span;

// What a payload begins with: which run, which message of it, and when it was due, 0 for at once.
typedef struct {
    uint64_t tag, number, due;
} mark;

// A protocol: how a connection is opened, what stands before and after a payload, and how a payload is found.
typedef struct {
    int (*open)(connection *c);
    size_t (*head)(uint8_t *octets, size_t payload);
    const char *tail;
    // Octets of the first message in `all`, 0 when it is not all there, -1 when it is none. Answers are queued.
    long (*take)(connection *c, span all, span *payload);
} protocol;

struct limits_pubsub {
    const protocol *protocol;
    int event_set;
    // The publisher is the first one.
    connection connections[1 + MOST_SUBSCRIBERS];
    unsigned count;
    // The bits of all that count.
    uint32_t everybody;
    // A whole message; only the mark in it changes.
    uint8_t *message;
    size_t message_octets, payload_at, payload_octets;
    // Who has which message, by its number; a power of two of them is in use, less one.
    uint32_t *received;
    uint64_t number_mask;
    uint64_t tag, last_progress;
    // Two times MOST_LATENCIES: of the messages that were due at a time, and how late these were sent.
    double *latencies;
    size_t latency_count;
    limits_pubsub_result result;
};

static size_t waiting(const queue *q) { return q->end - q->begin; }

static void append(queue *q, const void *octets, size_t count) {
    if (q->end + count > q->room) {
        q->room = 2 * (q->end + count);
        q->octets = realloc(q->octets, q->room);
        if (!q->octets) abort();
    }
    memcpy(q->octets + q->end, octets, count);
    q->end += count;
}

static void consume(queue *q, size_t count) {
    q->begin += count;
    if (q->begin == q->end) q->begin = q->end = 0;
}

// Opening: blocking, with a time-out. Each gives 0 or an error number.

#define TEXT(literal) literal, sizeof(literal) - 1

static int say(const connection *c, const void *octets, size_t count) {
    return send(c->descriptor, octets, count, MSG_NOSIGNAL) == (ssize_t)count ? 0 : errno;
}

// Reads until what has come ends with `end`.
static int await(const connection *c, const void *end, size_t end_octets) {
    uint8_t answer[16 * LINE_OCTETS];
    for (size_t count = 0; count < sizeof answer;) {
        ssize_t more = recv(c->descriptor, answer + count, sizeof answer - count, 0);
        if (more <= 0) return more == 0 ? ECONNRESET : errno;
        count += (size_t)more;
        if (count >= end_octets && memcmp(answer + count - end_octets, end, end_octets) == 0) return 0;
    }
    return EPROTO;
}

static int open_gossip(connection *c) {
    // NOTIFY 501 of DATA_TYPE.
    return c->is_publisher ? 0 : say(c, TEXT("\0\x08\x01\xf5\0\0\x05\x39"));
}

static size_t head_gossip(uint8_t *octets, size_t payload) {
    store16(octets, (unsigned)(HEAD + payload));
    store16(octets + 2, ANNOUNCE);
    store16(octets + 4, 0);
    store16(octets + 6, DATA_TYPE);
    return HEAD;
}

static long take_gossip(connection *c, span all, span *payload) {
    if (all.count < HEAD) return 0;
    size_t size = load16(all.octets);
    if (size < HEAD || load16(all.octets + 2) != NOTIFICATION) return -1;
    if (all.count < size) return 0;
    uint8_t validation[HEAD] = {0, HEAD, VALIDATION >> 8, VALIDATION & 255, all.octets[4], all.octets[5], 0, 1};
    append(&c->out, validation, HEAD);
    *payload = (span){all.octets + HEAD, size - HEAD};
    return (long)size;
}

// Text: lines that end with CR LF, a payload with another one behind it.
static size_t line_of(span all) {
    const uint8_t *end = memchr(all.octets, '\n', all.count);
    return end ? (size_t)(end - all.octets) + 1 : 0;
}

// A payload behind a line whose last word is its number of octets.
static long take_text(span all, size_t line, span *payload) {
    size_t at = line - 2, count = 0;
    while (at > 0 && all.octets[at - 1] >= '0' && all.octets[at - 1] <= '9') at--;
    for (; all.octets[at] >= '0' && all.octets[at] <= '9'; at++) count = count * 10 + (all.octets[at] - '0');
    if (all.count < line + count + 2) return 0;
    *payload = (span){all.octets + line, count};
    return (long)(line + count + 2);
}

static int open_nats(connection *c) {
    int error = await(c, TEXT("\r\n"));
    if (!error) error = say(c, TEXT("CONNECT {\"verbose\":false,\"lang\":\"c\",\"version\":\"1\"}\r\n"));
    if (!error && !c->is_publisher) error = say(c, TEXT("SUB t 1\r\n"));
    if (!error) error = say(c, TEXT("PING\r\n"));
    return error ? error : await(c, TEXT("PONG\r\n"));
}

static size_t head_nats(uint8_t *octets, size_t payload) {
    return (size_t)snprintf((char *)octets, FRAME_OCTETS, "PUB t %zu\r\n", payload);
}

static long take_nats(connection *c, span all, span *payload) {
    size_t line = line_of(all);
    if (line < 3) return line == 0 && all.count < LINE_OCTETS * 16 ? 0 : -1;
    if (all.octets[0] == 'M') return take_text(all, line, payload);
    if (memcmp(all.octets, "PI", 2) == 0) append(&c->out, "PONG\r\n", 6);
    return all.octets[0] == '-' ? -1 : (long)line;
}

static int open_redis(connection *c) {
    int error = c->is_publisher ? 0 : say(c, TEXT("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nt\r\n"));
    return error || c->is_publisher ? error : await(c, TEXT("$1\r\nt\r\n:1\r\n"));
}

static size_t head_redis(uint8_t *octets, size_t payload) {
    const char *format = "*3\r\n$7\r\nPUBLISH\r\n$1\r\nt\r\n$%zu\r\n";
    return (size_t)snprintf((char *)octets, FRAME_OCTETS, format, payload);
}

static long take_redis(connection *c, span all, span *payload) {
    static const char before[] = "*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n";
    const size_t fixed = sizeof before - 1;
    if (c->is_publisher) {
        size_t line = line_of(all);
        return line > 0 && all.octets[0] != ':' ? -1 : (long)line;
    }
    if (all.count <= fixed) return 0;
    if (memcmp(all.octets, before, fixed) != 0) return -1;
    size_t line = line_of((span){all.octets + fixed, all.count - fixed});
    return line == 0 ? 0 : take_text(all, fixed + line, payload);
}

static int open_mqtt(connection *c) {
    // Protocol level 4, a clean session, no keep-alive, an identifier of the broker's choice; then the good answers.
    int error = say(c, TEXT("\x10\x0c\0\4MQTT\4\2\0\0\0\0"));
    if (!error) error = await(c, TEXT("\x20\x02\0\0"));
    if (!error && !c->is_publisher) error = say(c, TEXT("\x82\6\0\1\0\1t\0"));
    return error || c->is_publisher ? error : await(c, TEXT("\x90\3\0\1\0"));
}

static size_t head_mqtt(uint8_t *octets, size_t payload) {
    size_t at = 1, rest = payload + 3;
    octets[0] = MQTT_PUBLISH;
    for (; rest > 127; rest >>= 7) octets[at++] = (uint8_t)(rest | 128);
    octets[at++] = (uint8_t)rest;
    memcpy(octets + at, "\0\1t", 3);
    return at + 3;
}

static long take_mqtt(connection *c, span all, span *payload) {
    (void)c;
    size_t at = 0, rest = 0;
    // Seven bits in each octet, the last one of which lacks the eighth.
    do {
        if (++at >= all.count) return 0;
        rest |= (size_t)(all.octets[at] & 127) << 7 * (at - 1);
    } while (all.octets[at] > 127 && at < 4);
    at++;
    if (all.count < at + rest) return 0;
    if ((all.octets[0] & 0xf0) == MQTT_PUBLISH && rest >= 3) *payload = (span){all.octets + at + 3, rest - 3};
    return (long)(at + rest);
}

static const protocol protocols[] = {
    [LIMITS_GOSSIP] = {open_gossip, head_gossip, "", take_gossip},
    [LIMITS_NATS] = {open_nats, head_nats, "\r\n", take_nats},
    [LIMITS_MQTT] = {open_mqtt, head_mqtt, "", take_mqtt},
    [LIMITS_REDIS] = {open_redis, head_redis, "\r\n", take_redis},
};

static int connect_to(limits_pubsub *load, connection *c, uint32_t address, uint16_t port) {
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    // Somebody who does not answer for 5 seconds while connections are made is not there.
    struct timeval patience = {5, 0};
    int on = 1;
    c->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->in.octets = malloc(IN_OCTETS);
    if (c->descriptor < 0 || !c->in.octets) return ENOMEM;
    setsockopt(c->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // The same for every system; the default of this kernel may be one that paces on loopback.
    setsockopt(c->descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    setsockopt(c->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(c->descriptor, (struct sockaddr *)&other, sizeof other) < 0) return errno;
    int error = load->protocol->open(c);
    if (error || c->is_slow) return error;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(load->event_set, EPOLL_CTL_ADD, c->descriptor, &event) == 0 ? 0 : errno;
}

static void make_message(limits_pubsub *load) {
    uint8_t head[FRAME_OCTETS];
    size_t tail = strlen(load->protocol->tail);
    load->payload_at = load->protocol->head(head, load->payload_octets);
    load->message_octets = load->payload_at + load->payload_octets + tail;
    load->message = malloc(load->message_octets);
    if (!load->message) abort();
    memcpy(load->message, head, load->payload_at);
    for (size_t i = 0; i < load->payload_octets; i++) load->message[load->payload_at + i] = (uint8_t)('a' + i % 26);
    memcpy(load->message + load->payload_at + load->payload_octets, load->protocol->tail, tail);
}

limits_pubsub *limits_pubsub_new(
    limits_wire wire, uint16_t port, uint32_t publisher, const uint32_t *subscribers, unsigned count, unsigned slow,
    size_t size
) {
    limits_pubsub *load = calloc(1, sizeof *load);
    if (!load || count > MOST_SUBSCRIBERS || slow >= count || size < sizeof(mark)) abort();
    load->protocol = &protocols[wire];
    load->payload_octets = size;
    load->event_set = epoll_create1(EPOLL_CLOEXEC);
    load->received = calloc(MOST_NUMBERS, sizeof *load->received);
    load->latencies = malloc(2 * MOST_LATENCIES * sizeof *load->latencies);
    make_message(load);
    if (!load->received || !load->latencies) abort();
    int error = 0;
    for (unsigned i = 0; i <= count && !error; i++) {
        connection *c = &load->connections[load->count++];
        *c = (connection){.is_publisher = i == 0, .is_slow = i > count - slow};
        if (!c->is_publisher && !c->is_slow) c->bit = 1u << (i - 1);
        load->everybody |= c->bit;
        error = connect_to(load, c, i == 0 ? publisher : subscribers[i - 1], port);
    }
    if (!error) return load;
    limits_pubsub_free(load);
    errno = error;
    return NULL;
}

void limits_pubsub_free(limits_pubsub *load) {
    if (!load) return;
    for (connection *c = load->connections; c < load->connections + load->count; c++) {
        if (c->descriptor >= 0) close(c->descriptor);
        free(c->in.octets);
        free(c->out.octets);
    }
    close(load->event_set);
    free(load->message);
    free(load->received);
    free(load->latencies);
    free(load);
}

static void fail(limits_pubsub *load, int error) {
    if (load->result.error == 0) load->result.error = error;
}

static void emit(limits_pubsub *load, uint64_t due) {
    mark m = {load->tag, load->result.sent++, due};
    memcpy(load->message + load->payload_at, &m, sizeof m);
    load->received[m.number & load->number_mask] = 0;
    append(&load->connections->out, load->message, load->message_octets);
}

// One call for all that is queued; what is not taken goes out when epoll says so.
static void send_queue(limits_pubsub *load, connection *c) {
    if (waiting(&c->out) == 0) return;
    ssize_t count = send(c->descriptor, c->out.octets + c->out.begin, waiting(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) consume(&c->out, (size_t)count);
    else if (errno != EAGAIN) fail(load, errno);
    int wants_out = waiting(&c->out) > 0;
    if (wants_out == c->wants_out || c->is_slow) return;
    c->wants_out = wants_out;
    struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(load->event_set, EPOLL_CTL_MOD, c->descriptor, &event) < 0) fail(load, errno);
}

static void arrived(limits_pubsub *load, const connection *c, span payload, uint64_t now) {
    mark m = {0};
    if (payload.count == load->payload_octets) memcpy(&m, payload.octets, sizeof m);
    else load->result.bad++;
    // What an earlier run has left behind, or the receiver does not count.
    if (m.tag != load->tag || c->bit == 0) return;
    uint32_t *who = &load->received[m.number & load->number_mask];
    if (m.number >= load->result.sent) load->result.bad++;
    else if (load->result.sent - m.number > load->number_mask + 1 || *who & c->bit) load->result.duplicates++;
    else {
        *who |= c->bit;
        load->last_progress = now;
        if (*who != load->everybody) return;
        load->result.delivered++;
        if (m.due > 0 && load->latency_count < MOST_LATENCIES)
            load->latencies[load->latency_count++] = (double)(now - m.due) / 1000;
    }
}

// Reads `most` octets at most, and takes the messages in them; gives how many octets came.
static size_t receive(limits_pubsub *load, connection *c, size_t most) {
    size_t kept = waiting(&c->in), room = IN_OCTETS - kept;
    memmove(c->in.octets, c->in.octets + c->in.begin, kept);
    c->in = (queue){.octets = c->in.octets, .end = kept};
    ssize_t count = recv(c->descriptor, c->in.octets + kept, most < room ? most : room, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) fail(load, count == 0 ? ECONNRESET : errno);
    if (count <= 0) return 0;
    c->in.end += (size_t)count;
    uint64_t now = clock_now(CLOCK_MONOTONIC);
    while (waiting(&c->in) > 0) {
        span payload = {NULL, 0};
        long size = load->protocol->take(c, (span){c->in.octets + c->in.begin, waiting(&c->in)}, &payload);
        if (size < 0) fail(load, EPROTO);
        if (size <= 0) break;
        if (payload.octets) arrived(load, c, payload, now);
        consume(&c->in, (size_t)size);
    }
    send_queue(load, c);
    return (size_t)count;
}

// One turn of the loop: waits until something comes, no longer than `nanoseconds`.
static void turn(limits_pubsub *load, uint64_t nanoseconds) {
    struct epoll_event events[MOST_SUBSCRIBERS + 1];
    struct timespec most = {0, (long)(nanoseconds < TURN_NS ? nanoseconds : TURN_NS)};
    int ready = epoll_pwait2(load->event_set, events, MOST_SUBSCRIBERS + 1, &most, NULL);
    for (int i = 0; i < ready; i++) {
        connection *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) send_queue(load, c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) receive(load, c, READ_OCTETS);
    }
}

// `numbers`: a power of two of messages of which it must be known who has them.
static void begin(limits_pubsub *load, uint64_t numbers) {
    load->result = (limits_pubsub_result){0};
    load->latency_count = 0;
    for (unsigned i = 0; i < load->count; i++) load->connections[i].slow_octets = 0;
    load->number_mask = numbers - 1;
    load->last_progress = load->tag = clock_now(CLOCK_MONOTONIC);
}

static int has_ended(const limits_pubsub *load) {
    return load->result.error != 0 || clock_now(CLOCK_MONOTONIC) > load->last_progress + SILENCE_NS;
}

// The result of a run all of which is measured.
static limits_pubsub_result finish(limits_pubsub *load) {
    load->result.measured = load->result.delivered;
    load->result.nanoseconds = load->last_progress - load->tag;
    load->result.median_us = quantile(load->latencies, load->latency_count, 0.5);
    load->result.p99_us = quantile(load->latencies, load->latency_count, 0.99);
    return load->result;
}

int limits_pubsub_ready(limits_pubsub *load, uint64_t nanoseconds) {
    begin(load, WINDOW_NUMBERS);
    while (load->result.delivered == 0 && load->result.error == 0) {
        uint64_t passed = clock_now(CLOCK_MONOTONIC) - load->tag;
        if (passed > nanoseconds) return ETIMEDOUT;
        if (passed >= load->result.sent * PROBE_NS) emit(load, 0);
        send_queue(load, load->connections);
        turn(load, TURN_NS);
    }
    return load->result.error;
}

// Publishes as long as fewer than `window` messages are under way and fewer than `most` are sent. Gives whether more
// could be sent at once.
static int fill(limits_pubsub *load, uint64_t window, uint64_t most) {
    const limits_pubsub_result *result = &load->result;
    connection *publisher = load->connections;
    if (publisher->wants_out) return 0;
    while (result->sent < most && result->sent - result->delivered < window && waiting(&publisher->out) < MOST_UNSENT)
        emit(load, 0);
    send_queue(load, publisher);
    return !publisher->wants_out && result->sent < most && result->sent - result->delivered < window;
}

static void press(limits_pubsub *load, uint64_t window, uint64_t end) {
    while (clock_now(CLOCK_MONOTONIC) < end && !has_ended(load))
        turn(load, fill(load, window, UINT64_MAX) ? 0 : TURN_NS);
}

limits_pubsub_result limits_pubsub_window(limits_pubsub *load, unsigned window, uint64_t warm, uint64_t nanoseconds) {
    begin(load, WINDOW_NUMBERS);
    if (window > MOST_WINDOW) window = MOST_WINDOW;
    press(load, window, load->tag + warm);
    uint64_t start = clock_now(CLOCK_MONOTONIC), before = load->result.delivered;
    press(load, window, start + nanoseconds);
    load->result.measured = load->result.delivered - before;
    load->result.nanoseconds = clock_now(CLOCK_MONOTONIC) - start;
    while (load->result.delivered < load->result.sent && !has_ended(load)) turn(load, TURN_NS);
    return load->result;
}

limits_pubsub_result limits_pubsub_paced(limits_pubsub *load, unsigned per_second, uint64_t nanoseconds) {
    begin(load, WINDOW_NUMBERS);
    // Sleeps of this thread may end within a microsecond, not 50 as usual; 0 means the usual again.
    prctl(PR_SET_TIMERSLACK, 1000ul);
    double *lateness = load->latencies + MOST_LATENCIES;
    const uint64_t start = load->tag, count = nanoseconds / 1000 * per_second / 1000000;
    while (load->result.sent < count && load->result.sent < MOST_LATENCIES && !has_ended(load)) {
        uint64_t due = start + load->result.sent * 1000000000u / per_second, now = clock_now(CLOCK_MONOTONIC);
        if (now < due) turn(load, due - now > AWAKE_NS ? due - now - AWAKE_NS : 0);
        if (now < due) continue;
        lateness[load->result.sent] = (double)(now - due) / 1000;
        emit(load, due);
        send_queue(load, load->connections);
    }
    load->result.late_us = quantile(lateness, load->result.sent, 0.99);
    prctl(PR_SET_TIMERSLACK, 0ul);
    while (load->result.delivered < load->result.sent && !has_ended(load)) turn(load, TURN_NS);
    return finish(load);
}

limits_pubsub_result limits_pubsub_blast(
    limits_pubsub *load, uint64_t count, uint64_t slow_rate, uint64_t nanoseconds
) {
    if (count > MOST_NUMBERS) count = MOST_NUMBERS;
    begin(load, MOST_NUMBERS);
    for (uint64_t passed = 0; load->result.delivered < count && passed < nanoseconds && !has_ended(load);) {
        turn(load, fill(load, MOST_NUMBERS, count) ? 0 : TURN_NS);
        passed = clock_now(CLOCK_MONOTONIC) - load->tag;
        uint64_t allowed = (uint64_t)((double)passed / 1e9 * (double)slow_rate);
        for (connection *c = load->connections; c < load->connections + load->count; c++)
            if (c->is_slow && allowed >= c->slow_octets + SLOW_READ_OCTETS)
                c->slow_octets += receive(load, c, allowed - c->slow_octets);
    }
    return finish(load);
}
