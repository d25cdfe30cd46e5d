/* Announces one item to everybody who has subscribed to its type.
 *
 *     cc -std=c99 -Wall -O2 -o announce announce.c
 *     ./announce HOST PORT TYPE [TEXT]      (without TEXT: the data is standard input)
 */
#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANNOUNCE = 500,
    TTL = 0,            /* how many hops the item may travel; 0: no limit */
    HEADER = 8,
    MOST_DATA = 65535 - HEADER
};

static void put16(unsigned char *at, unsigned value) {
    at[0] = (unsigned char)(value >> 8 & 255);
    at[1] = (unsigned char)(value & 255);
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
    static unsigned char message[HEADER + MOST_DATA + 1];
    size_t length, sent = 0;
    char *end;
    long type;
    int fd;
    if (count < 4 || count > 5) {
        fprintf(stderr, "usage: announce HOST PORT TYPE [TEXT]\n");
        return 64;
    }
    type = strtol(words[3], &end, 10);
    if (count == 5) {
        length = strlen(words[4]);
        if (length <= MOST_DATA) memcpy(message + HEADER, words[4], length);
    } else {
        length = fread(message + HEADER, 1, MOST_DATA + 1, stdin);
    }
    if (end == words[3] || *end || type < 0 || type > 65535 || length > MOST_DATA) {
        fprintf(stderr, "a type is 0 to 65535, and an item has at most %d octets\n", MOST_DATA);
        return 64;
    }
    put16(message, (unsigned)(HEADER + length)); /* size of the whole message */
    put16(message + 2, ANNOUNCE);
    message[4] = TTL;
    message[5] = 0; /* reserved */
    put16(message + 6, (unsigned)type);
    signal(SIGPIPE, SIG_IGN); /* a node that closes is an error to tell of, not a reason to die */
    fd = dial(words[1], words[2]);
    if (fd < 0) return 69;
    for (length += HEADER; sent < length;) { /* write may take less than all */
        ssize_t part = write(fd, message + sent, length - sent);
        if (part < 0) {
            perror("write");
            return 74;
        }
        sent += (size_t)part;
    }
    close(fd); /* there is no answer: spreading is best effort */
    return 0;
}
