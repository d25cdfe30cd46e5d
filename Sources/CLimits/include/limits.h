#pragma once

// What this machine allows: the same jobs as the node's in plain C, and the costs that no program can avoid.
// Addresses are IPv4, most significant octet first, ports are numbers. All of it stays on loopback.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Programs.

/// Starts a program. `words` are its path and arguments, each ended by NUL, `octets` long in all. Standard output and
/// error go to the descriptor `output`. The program ends with its starter, and after `seconds` at the latest.
/// Gives its process number, or the negative number of the error.
pid_t limits_spawn(const uint8_t *words, size_t octets, int output, unsigned seconds);

/// Waits until a program that was started here has ended; gives its exit status, 256 + signal when one ended it.
int limits_wait(pid_t process);

/// Processor time of this process, in nanoseconds.
uint64_t limits_own_cpu(void);

// Cryptography: nanoseconds of processor time of one call of libsecp256k1.

typedef struct {
    double recover, sign, parse;
} limits_crypto;

/// The medians of `count` calls each with different keys, `pause` microseconds asleep before each: 0 measures what a
/// busy program pays, a pause what one pays whose caches hold something else by now.
limits_crypto limits_crypto_cost(unsigned count, unsigned pause);

// System calls: nanoseconds of processor time for one message of 76 octets over TCP on loopback.

typedef struct {
    /// Sending it, with all that the system does for the receiver on the way.
    double write;
    /// Waiting for it (epoll_wait) and reading it.
    double wait_and_read;
} limits_calls;

/// The medians of `count` messages, `pause` microseconds asleep before each step.
limits_calls limits_call_cost(unsigned count, unsigned pause);

// The bootstrap server (gossip.md sections 5.2 to 5.4, 6.1, 6.2; without rates, probes and expiry).

/// Answers INIT with POPULATE on one thread, until it is killed. Returns only on failure, with an error number.
int limits_boot_server(uint32_t address, uint16_t port);

// The load for it: one socket that speaks for as many hosts as wanted.

typedef struct limits_boot_loader limits_boot_loader;

typedef struct {
    /// Requests answered.
    uint64_t answered;
    /// Requests without an answer within 50 ms.
    uint64_t lost;
    /// Answers that are no POPULATE with an ID and, while load runs, not with as many entries as asked for.
    uint64_t bad;
    /// Octets of the answers.
    uint64_t octets;
    /// How long it took.
    uint64_t nanoseconds;
    /// Time from request to answer.
    double median_us, p99_us;
} limits_boot_result;

/// A load of `hosts` hosts from 127.1.0.1 on, for the server at this address; NULL when the system refuses.
limits_boot_loader *limits_boot_loader_new(uint32_t address, uint16_t port, unsigned hosts);
void limits_boot_loader_free(limits_boot_loader *loader);

/// Registers the hosts from number `first` on: INIT, POPULATE with an ID, INIT with that ID, POPULATE.
limits_boot_result limits_boot_register(limits_boot_loader *loader, unsigned first, unsigned hosts);

/// Renews the first `hosts` hosts in turn for a time, `window` requests under way, `degree` entries wanted.
limits_boot_result limits_boot_run(
    limits_boot_loader *loader, unsigned hosts, unsigned window, unsigned degree, uint64_t nanoseconds);

// The Gossip node (gossip.md sections 1 to 4; without discovery, TTL, salt and time-outs).

/// Carries items between clients of the module API (500 to 503, on `api_port`) and its links (bare ANNOUNCE both ways,
/// on `link_port`), on one thread, until it is killed. It dials `count` neighbours at their own addresses on
/// `link_port`, and says `linked` on standard output when it listens and all of them have answered. With `waits`, an
/// item from a neighbour goes on when every subscriber here has called it valid, otherwise at once. Returns only on
/// failure, with an error number.
int limits_gossip_relay(
    uint32_t address, uint16_t api_port, uint16_t link_port, const uint32_t *neighbours, size_t count, int waits);

// The load for publish-subscribe systems: one publisher, up to 32 subscribers, each on a connection of its own.

/// What the load speaks: the module API of Gossip, the text of nats-server, MQTT 3.1.1 with QoS 0, RESP of redis.
typedef enum { LIMITS_GOSSIP, LIMITS_NATS, LIMITS_MQTT, LIMITS_REDIS } limits_wire;

typedef struct limits_pubsub limits_pubsub;

typedef struct {
    /// Number of the error that ended the run early, or 0.
    int error;
    /// Messages sent in all, and how many of these every subscriber that counts has received.
    uint64_t sent, delivered;
    /// Messages that came to a subscriber once more; what came and is none of ours, or was refused.
    uint64_t duplicates, bad;
    /// Messages delivered in the part that is measured, and how long that took.
    uint64_t measured, nanoseconds;
    /// Time from when a message was due until the last subscriber had it; how late the load itself was to send (99 %).
    double median_us, p99_us, late_us;
} limits_pubsub_result;

/// Connects a publisher of messages of `size` octets (24 at least) and `count` subscribers. The last `slow` of these do
/// not count, and read only when limits_pubsub_blast tells how much. NULL when somebody refuses; errno tells why.
limits_pubsub *limits_pubsub_new(
    limits_wire wire, uint16_t port, uint32_t publisher, const uint32_t *subscribers, unsigned count, unsigned slow,
    size_t size);
void limits_pubsub_free(limits_pubsub *load);

/// Publishes until a message has reached every subscriber that counts; gives 0, or an error number after `nanoseconds`.
int limits_pubsub_ready(limits_pubsub *load, uint64_t nanoseconds);

/// For the rate: keeps `window` messages under way (16,384 at most) that not every subscriber has. Measures for
/// `nanoseconds` after `warm` of them, then waits for what is under way.
limits_pubsub_result limits_pubsub_window(limits_pubsub *load, unsigned window, uint64_t warm, uint64_t nanoseconds);

/// For the delay: a message when it is due, `per_second` of them, whatever comes back.
limits_pubsub_result limits_pubsub_paced(limits_pubsub *load, unsigned per_second, uint64_t nanoseconds);

/// Publishes `count` messages (4,194,304 at most) as fast as they are taken, and waits until all have come, nothing
/// comes any more, or `nanoseconds` are over; the time ends with the last that came. Slow subscribers read `slow_rate`
/// octets a second each.
limits_pubsub_result limits_pubsub_blast(
    limits_pubsub *load, uint64_t count, uint64_t slow_rate, uint64_t nanoseconds);

// Files (P+2): a line in, octets out, the server ends the connection; a new connection for each line.

/// Sends the files of a folder with sendfile, on one thread, until it is killed. Says `listening` on standard output.
/// Returns only on failure, with an error number.
int limits_file_server(uint32_t address, uint16_t port, const char *folder);

/// `count` peers at consecutive addresses, on one thread, until it is killed: an empty list at `port`, queries at the
/// port after it, `files` names each (`recording 000000 of this peer.ogg` and so on). Says `listening` on standard
/// output. Returns only on failure, with an error number.
int limits_file_peers(uint32_t address, uint16_t port, unsigned count, unsigned files);

typedef struct {
    /// Number of the error that ended the run early, or 0.
    int error;
    /// Answers that ended, and octets of them.
    uint64_t files, octets;
    /// How long it took, and processor time of the caller's thread.
    uint64_t nanoseconds, cpu;
    /// Time from dial to end of an answer.
    double median_us, most_us;
} limits_fetch_result;

/// Sends each of `requests`, ended by NUL, `octets` long in all, over a connection of its own, `at_once` at a time, and
/// reads the answers to their ends; number i goes to `address` + i * `step`. With a `folder`, answers are saved there
/// under their numbers, otherwise they are read and forgotten. Unless `piece` is 0, every `piece` octets of an answer are
/// hashed by SHA-256. Gives up after `nanoseconds`.
limits_fetch_result limits_fetch(
    uint32_t address, uint32_t step, uint16_t port, const uint8_t *requests, size_t octets, unsigned at_once,
    const char *folder, unsigned piece, uint64_t nanoseconds);
