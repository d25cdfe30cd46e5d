internal import CLinux
internal import Glibc
public import PeerCore

/// Leads each of the three standard descriptors that is closed to nowhere: the next file or socket would take its
/// place, and get what is written there.
public func openStandardDescriptors() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
        _ = unsafe open("/dev/null", O_RDWR)
    }
}

/// The process's own number.
public func processIdentifier() -> Int32 { getpid() }

/// Raises the limit of open descriptors to what the system allows; gives the limit that is in force.
@discardableResult public func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return Int(clamping: limit.rlim_cur)
}

/// What a descriptor is open on, as `JOURNAL_STREAM` names it: device and inode.
public func deviceAndInode(of descriptor: Int32) -> String {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { return "" }
    return "\(status.st_dev):\(status.st_ino)"
}

/// Descriptors that the process has open.
public func openDescriptors() -> Int {
    guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
    defer { unsafe closedir(folder) }
    var count = 0
    while unsafe readdir(folder) != nil { count += 1 }
    // `.`, `..`, and the descriptor of the listing itself.
    return max(0, count - 3)
}

/// Removes the Unix socket at `path` when nobody listens there any more: whoever made it was killed.
func removeDeadSocket(_ path: String) {
    // A file of another kind is none of ours to remove, and refuses connections too.
    var status = stat()
    guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    let kind = peernode_socket_stream | peernode_socket_close_on_exec | peernode_socket_nonblocking
    guard path.utf8.count <= 107, case let descriptor = socket(AF_UNIX, kind, 0), descriptor >= 0 else { return }
    defer { close(descriptor) }
    let isDead = unsafe withUnixAddress(Array(path.utf8)) {
        unsafe connect(descriptor, $0, $1) != 0 && errno == ECONNREFUSED
    }
    if isDead { unsafe unlink(path) }
}

/// Calls `body` with the address of a Unix socket whose name has at most 107 octets.
private func withUnixAddress<Result>(_ name: [UInt8], _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result
{
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
    let size = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    return unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, size) }
    }
}

/// Tells the manager of services (systemd) how the node is: `sd_notify` is one datagram to a Unix socket.
public final class ServiceNotifier {
    private let path: String?

    /// Speaks to the socket that `NOTIFY_SOCKET` names; says nothing without one.
    public init(socket path: String?) {
        self.path = path
    }

    /// Sends lines such as `READY=1`. What a manager does not take at once is lost: it must not hold up the node.
    public func send(_ text: String) {
        guard let path, (2...107).contains(path.utf8.count) else { return }
        let descriptor = socket(AF_UNIX, peernode_socket_datagram | peernode_socket_close_on_exec, 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // A name that begins with @ is an abstract one, whose first octet is zero.
        var name = Array(path.utf8)
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        let message = Array(text.utf8)
        _ = unsafe withUnixAddress(name) {
            unsafe sendto(descriptor, message, message.count, peernode_no_signal | peernode_dont_wait, $0, $1)
        }
    }
}

/// The octets of the file at `path`, whatever gives them: it may be a pipe.
@Sendable public func readFile(_ path: String) throws(SystemError) -> Bytes {
    let file = Descriptor(owning: try attempt { unsafe open(path, O_RDONLY | O_CLOEXEC) })
    var octets: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = try attempt { unsafe read(file.number, &part, part.count) }
        if count == 0 { return Bytes(octets) }
        octets += part[..<count]
    }
}

/// Removes a folder with all that is in it, as far as the system permits.
public func removeTree(_ path: String) {
    // A link is removed and not followed: only what cannot be removed so is a folder.
    guard unsafe unlink(path) != 0, let folder = unsafe opendir(path) else { return }
    while let entry = unsafe readdir(folder) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { removeTree("\(path)/\(name)") }
    }
    unsafe closedir(folder)
    unsafe rmdir(path)
}

/// Writes all octets to a descriptor that waits when it is full. Gives why it could not: the rest is lost.
@discardableResult
public func writeAll(_ octets: [UInt8], to descriptor: Int32) -> SystemError? {
    unsafe octets.withUnsafeBytes { buffer in
        var rest = unsafe buffer[...]
        while unsafe !rest.isEmpty {
            let written = unsafe write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                return SystemError(code: errno)
            }
            unsafe rest = rest.dropFirst(written)
        }
        return nil
    }
}

/// A variable of the environment.
public func environmentVariable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
}

/// The variables of the environment.
public func environmentVariables() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
        let parts = unsafe String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
        unsafe entry += 1
    }
    return variables
}

/// The folder in which the process was started, or went to since; `/` when that is gone.
public func currentFolder() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "/" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
}
