internal import Glibc

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

/// Descriptors that the process has open.
public func openDescriptors() -> Int {
    guard let folder = unsafe opendir("/proc/self/fd") else { return 0 }
    defer { unsafe closedir(folder) }
    var count = 0
    while unsafe readdir(folder) != nil { count += 1 }
    // `.`, `..`, and the descriptor of the listing itself.
    return max(0, count - 3)
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
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // A name that begins with @ is an abstract one, whose first octet is zero.
        var octets = Array(path.utf8)
        if octets[0] == UInt8(ascii: "@") { octets[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: octets) }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + octets.count)
        let message = Array(text.utf8)
        _ = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), $0, size)
            }
        }
    }
}

/// Writes all octets to a descriptor that waits when it is full; what a closed one refuses is lost.
public func writeAll(_ octets: [UInt8], to descriptor: Int32) {
    unsafe octets.withUnsafeBytes { buffer in
        var rest = unsafe buffer[...]
        while unsafe !rest.isEmpty {
            let written = unsafe write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            guard written > 0 else {
                if written < 0, errno == EINTR { continue }
                return
            }
            unsafe rest = rest.dropFirst(written)
        }
    }
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
