/// How the program ends (program.md section 1, after sysexits.h).
enum ExitCode: Int32, Error {
    /// Done.
    case done = 0
    /// The answer is no.
    case no = 1
    /// The command line is wrong.
    case usage = 64
    /// The node is not running, or the address is in use.
    case unavailable = 69
    /// Input or output failed.
    case inputOutput = 74
    /// This user may not do that.
    case noPermission = 77
    /// The configuration is wrong.
    case configuration = 78
}

/// An end with words for the operator: what, where, what to do next.
struct Failure: Error {
    let code: ExitCode
    let message: String

    init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }
}
