#pragma once

// The C library declares these only when _GNU_SOURCE is defined, and Swift does not define it. Nothing is included, so
// that no type of the C library seems to come from here; off_t, ssize_t and size_t are written out.
_Static_assert(sizeof(long) == 8, "off_t is taken for a long of 64 bits");
extern int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags);
extern long copy_file_range(
    int from, long *from_offset, int to, long *to_offset, unsigned long count, unsigned int flags);
extern int syncfs(int descriptor);
extern const char *strerrorname_np(int code);

// From <linux/fs.h>: the new name must be free.
static const unsigned int peernode_rename_noreplace = 1;

// From <fcntl.h>: a descriptor that names a file without opening it.
#if defined(__alpha__) || defined(__sparc__) || defined(__hppa__)
#error "O_PATH has another value on this processor."
#endif
static const int peernode_open_path = 010000000;

// openat2 has no wrapper in the C library: a lookup below `folder` that follows no link and answers from what the kernel
// remembers, or fails. Nothing of it waits for a disk. From <linux/openat2.h> and <asm/unistd.h>: the same everywhere.
struct peernode_open_how {
    unsigned long long flags, mode, resolve;
};
extern long syscall(long number, ...);
static inline int peernode_open_remembered(int folder, const char *path, int flags) {
    enum { openat2 = 437, no_magic_links = 2, no_links = 4, beneath = 8, remembered = 32 };
    struct peernode_open_how how = {(unsigned int)flags, 0, no_magic_links | no_links | beneath | remembered};
    return (int)syscall(openat2, folder, path, &how, sizeof how);
}

// From <sys/socket.h>, whose constants seem to come from one module or another, and in an optimised build from none.
#if defined(__mips__)
#error "The kinds of sockets have other values on this processor."
#endif
static const int peernode_socket_stream = 1, peernode_socket_datagram = 2;
static const int peernode_socket_close_on_exec = 02000000, peernode_socket_nonblocking = 04000;
static const int peernode_shut_writing = 1, peernode_shut_both = 2;
static const int peernode_dont_wait = 0x40, peernode_no_signal = 0x4000;

// From <sys/stat.h>: leave this time as it is.
static const long peernode_time_omit = (1l << 30) - 2l;

// getopt_long keeps its state in globals; these are the only ones who touch them.
#include <getopt.h>
static inline void peernode_getopt_begin(void) {
    optind = 0;
    opterr = 0;
}
static inline int peernode_getopt(
    int count, char **words, const char *letters, const struct option *options, const char **argument
) {
    int code = getopt_long(count, words, letters, options, (void *)0);
    *argument = optarg;
    return code;
}
static inline const char *peernode_getopt_word(char *const *words) { return optind > 0 ? words[optind - 1] : (void *)0; }
static inline int peernode_getopt_index(void) { return optind; }

// ioctl takes a variable number of arguments.
#include <sys/ioctl.h>
static inline int peernode_terminal_columns(int descriptor) {
    struct winsize size;
    return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
