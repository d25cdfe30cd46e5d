/* Prints every item of a type that anybody announces, and tells the node which of them are sound.
 *
 *     cc -std=c99 -Wall -O2 -o subscribe subscribe.c
 *     ./subscribe HOST PORT TYPE
 */
#define _POSIX_C_SOURCE 200112L
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOTIFY = 501, NOTIFICATION = 502, VALIDATION = 503, HEADER = 8, MOST = 65535 };

/* Yours to write: only items for which this is true are passed on to other nodes. */
static int is_valid(const unsigned char *data, size_t length) {
    size_t i;
    for (i = 0; i < length; i++) {
        if (!isprint(data[i])) return 0;
    }
    return 1;
}

static void put16(unsigned char *at, unsigned value) {
    at[0] = (unsigned char)(value >> 8 & 255);
    at[1] = (unsigned char)(value & 255);
}

static unsigned get16(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }

/* TCP keeps no message borders: one read may bring less than a message, so read until it is complete. */
static int read_exactly(int fd, unsigned char *to, size_t count) {
    while (count > 0) {
        ssize_t part = read(fd, to, count);
        if (part < 0) perror("read");
        if (part == 0) fprintf(stderr, "the node has closed the connection\n");
        if (part <= 0) return 0;
        to += part;
        count -= (size_t)part;
    }
    return 1;
}

/* NOTIFY and VALIDATION have the same shape: a header and two words. */
static int send_words(int fd, unsigned type, unsigned first, unsigned second) {
    unsigned char message[HEADER];
    size_t sent = 0;
    put16(message, HEADER);
    put16(message + 2, type);
    put16(message + 4, first);
    put16(message + 6, second);
    while (sent < sizeof message) {
        ssize_t part = write(fd, message + sent, sizeof message - sent);
        if (part < 0) {
            perror("write");
            return 0;
        }
        sent += (size_t)part;
    }
    return 1;
}

static int dial(const char *host, const char *port) {
    struct addrinfo hints, *list, *each;
    int fd = -1, error;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    error = getaddrinfo(host, port, &hints, &list);
    if (error) {
        fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
        return -1;
    }
    for (each = list; each && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) < 0) {
            fprintf(stderr, "%s:%s: %s\n", host, port, strerror(errno));
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

int main(int count, char **words) {
    static unsigned char message[MOST];
    char *end = NULL;
    long type = count == 4 ? strtol(words[3], &end, 10) : -1;
    int fd;
    if (!end || end == words[3] || *end || type < 0 || type > 65535) {
        fprintf(stderr, "usage: subscribe HOST PORT TYPE\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN); /* a node that closes is an error to tell of, not a reason to die */
    fd = dial(words[1], words[2]);
    if (fd < 0 || !send_words(fd, NOTIFY, 0, (unsigned)type)) return 69;
    while (read_exactly(fd, message, 4)) {
        unsigned size = get16(message);
        int valid;
        if (size < HEADER || get16(message + 2) != NOTIFICATION) {
            fprintf(stderr, "unexpected message: type %u, size %u\n", get16(message + 2), size);
            return 74;
        }
        if (!read_exactly(fd, message + 4, size - 4)) break;
        valid = is_valid(message + HEADER, size - HEADER);
        /* Answer soon: after 5 s of silence the node goes on without this answer. */
        if (!send_words(fd, VALIDATION, get16(message + 4), (unsigned)valid)) break;
        if (valid) {
            fwrite(message + HEADER, 1, size - HEADER, stdout);
            putchar('\n');
        } else {
            printf("not valid: %u octets\n", size - HEADER);
        }
        fflush(stdout);
    }
    close(fd);
    return 69;
}
