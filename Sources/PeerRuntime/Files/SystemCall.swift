internal import CLinux
internal import Glibc
public import PeerCore

/// Makes a system call, again while a signal interrupts it. A negative result becomes the error of `errno`.
func attempt<Result: SignedInteger>(_ call: () -> Result) throws(SystemError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw SystemError(code: code) }
    }
}

extension SystemError {
    /// The error that the C library numbers `code` (`errno`). A link where a folder or file must be is `notAFolder`.
    public init(code: Int32) {
        self =
            switch code {
            case ENOENT: .notFound
            case EEXIST: .exists
            case ENOTDIR, ELOOP: .notAFolder
            case ENOSPC, EDQUOT: .noSpace
            case EACCES, EPERM, EROFS: .notPermitted
            case EMFILE, ENFILE: .tooManyDescriptors
            case EPIPE, ECONNRESET, ENOTCONN: .disconnected
            case ETIMEDOUT: .timedOut
            case EADDRINUSE: .addressInUse
            case EADDRNOTAVAIL: .addressNotAvailable
            default: .other(Self.name(of: code))
            }
    }

    private static func name(of code: Int32) -> String {
        guard let name = unsafe strerrorname_np(code) else { return "errno \(code)" }
        return unsafe String(cString: name)
    }

    /// An argument that no file can have.
    static let invalidArgument = SystemError.other("EINVAL")
    /// An offset or size that no file can have.
    static let fileTooBig = SystemError.other("EFBIG")
    /// A folder where a file must be.
    static let isAFolder = SystemError.other("EISDIR")
    /// A FIFO, socket or device where a file must be.
    static let isSpecial = SystemError.other("ENXIO")
}
