internal import CUV
public import PeerCore

/// A failed call of libuv: one of its negative codes.
public struct UVError: Error, Hashable, Sendable {
    /// The code.
    public let code: Int32

    init(_ code: Int32) {
        self.code = code
    }

    /// The end of a stream.
    static let endOfFile = UVError(UV_EOF.rawValue)

    /// Somebody else has the address.
    public static let addressInUse = UVError(UV_EADDRINUSE.rawValue)
    /// The system has no such thing.
    public static let notSupported = UVError(UV_ENOTSUP.rawValue)

    /// The system's name for it, such as `ECONNREFUSED`.
    public var name: String { String(cString: uv_err_name(code)) }

    /// The same in the words of the vocabulary.
    public var systemError: SystemError {
        switch uv_errno_t(code) {
        case UV_EADDRINUSE: .addressInUse
        case UV_EADDRNOTAVAIL: .addressNotAvailable
        case UV_EACCES, UV_EPERM: .notPermitted
        case UV_ENOENT: .notFound
        case UV_EEXIST: .exists
        case UV_ENOTDIR, UV_ELOOP: .notAFolder
        case UV_ENOSPC: .noSpace
        case UV_EMFILE, UV_ENFILE: .tooManyDescriptors
        case UV_EPIPE, UV_ECONNRESET, UV_ENOTCONN, UV_ECANCELED, UV_EBADF: .disconnected
        case UV_EOF: .endOfFile
        case UV_ETIMEDOUT: .timedOut
        default: .other(name)
        }
    }

    /// Why a connection ended with this.
    public var closeReason: CloseReason {
        switch uv_errno_t(code) {
        case UV_ECONNREFUSED: .refused
        case UV_ECONNRESET, UV_EPIPE, UV_ECONNABORTED: .reset
        case UV_ENETUNREACH, UV_EHOSTUNREACH, UV_EADDRNOTAVAIL, UV_ENETDOWN, UV_EAFNOSUPPORT, UV_EINVAL: .unreachable
        case UV_ETIMEDOUT: .timeout
        default: .systemError
        }
    }

    var isTryAgain: Bool { uv_errno_t(code) == UV_EAGAIN }
}

/// Throws when `status` is one of libuv's negative codes.
@discardableResult func check(_ status: Int32) throws(UVError) -> Int32 {
    if status < 0 { throw UVError(status) }
    return status
}
