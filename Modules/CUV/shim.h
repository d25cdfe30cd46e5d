#pragma once
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

// The C library declares sendmmsg and its type only when _GNU_SOURCE is defined, and Swift does not define it. The type
// is struct mmsghdr by another name.
struct peernode_datagram {
    struct msghdr header;
    unsigned int sent;
};
static inline long peernode_send_datagrams(int descriptor, struct peernode_datagram *list, unsigned int count) {
    return syscall(SYS_sendmmsg, descriptor, list, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// ioctl takes a variable number of arguments.
#include <linux/sockios.h>
#include <sys/ioctl.h>
static inline int peernode_unacknowledged(int socket) {
    int octets = 0;
    return ioctl(socket, SIOCOUTQ, &octets) == 0 ? octets : 0;
}
static inline int peernode_readable(int descriptor) {
    int octets = 0;
    return ioctl(descriptor, FIONREAD, &octets) == 0 ? octets : 0;
}

// fcntl takes a variable number of arguments.
#include <fcntl.h>
static inline int peernode_copy_descriptor(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 0); }
