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
