#define _GNU_SOURCE
#include "limits.h"
#include "common.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// A Ping of DDRP in the reference's dialect.
#define MESSAGE 76

static void must(int holds) {
    if (!holds) abort();
}

static void connect_pair(int pair[2]) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    must(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    must(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(pair[0], (struct sockaddr *)&address, size) == 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(pair[1] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++) {
        setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(pair[i], IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
}

limits_calls limits_call_cost(unsigned count, unsigned pause) {
    int pair[2], set = epoll_create1(EPOLL_CLOEXEC);
    connect_pair(pair);
    struct epoll_event event = {.events = EPOLLIN};
    must(epoll_ctl(set, EPOLL_CTL_ADD, pair[1], &event) == 0);
    double *writes = malloc(count * sizeof *writes), *reads = malloc(count * sizeof *reads);
    must(writes && reads);
    uint8_t message[MESSAGE] = {0};
    for (unsigned i = 0; i < count; i++) {
        sleep_microseconds(pause);
        uint64_t start = clock_now(CLOCK_THREAD_CPUTIME_ID);
        must(write(pair[0], message, MESSAGE) == MESSAGE);
        writes[i] = (double)(clock_now(CLOCK_THREAD_CPUTIME_ID) - start);
        sleep_microseconds(pause);
        start = clock_now(CLOCK_THREAD_CPUTIME_ID);
        must(epoll_wait(set, &event, 1, -1) == 1);
        must(read(pair[1], message, MESSAGE) == MESSAGE);
        reads[i] = (double)(clock_now(CLOCK_THREAD_CPUTIME_ID) - start);
    }
    limits_calls result = {quantile(writes, count, 0.5), quantile(reads, count, 0.5)};
    free(writes);
    free(reads);
    close(pair[0]);
    close(pair[1]);
    close(set);
    return result;
}
