internal import Foundation
internal import Glibc

/// What the system refused while a test started a program.
struct SpawnError: Error, CustomStringConvertible {
    let description: String
}

/// A way from one descriptor to another, neither of which a program inherits unless it is given. A pair of sockets,
/// since a pipe cannot be made so in one call of POSIX.
struct Channel {
    let read: Int32
    let write: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw SpawnError(description: "socketpair: errno \(errno)")
        }
        (read, write) = (ends[0], ends[1])
    }
}

/// Starts `program` with these descriptors as 0, 1 and 2 (nil: /dev/null) and gives its process ID.
///
/// The signal mask is emptied, since threads of the test runner block signals and a program would inherit that.
func spawn(
    _ program: String, _ arguments: [String], environment: [String: String], descriptors: [Int32?]
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
        posix_spawn_file_actions_destroy(&actions)
        posix_spawnattr_destroy(&attributes)
    }
    for (number, descriptor) in descriptors.enumerated() {
        if let descriptor {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        } else {
            posix_spawn_file_actions_addopen(&actions, Int32(number), "/dev/null", O_RDWR, 0)
        }
    }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let words = ([program] + arguments).map { strdup($0) } + [nil]
    let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in words + variables { free(word) } }
    var identifier: pid_t = 0
    let error = posix_spawn(&identifier, program, &actions, &attributes, words, variables)
    guard error == 0 else { throw SpawnError(description: "\(program): \(String(cString: strerror(error)))") }
    return identifier
}

/// Ends what the tests have started when they themselves end without having done so: a shell that waits for the end of
/// its input and then kills the processes that it was told of.
final class Reaper: Sendable {
    static let shared = try? Reaper()

    private static let script = """
        while read -r sign pid; do
            case $sign in
            +) pids="$pids $pid" ;;
            -) rest=""; for one in $pids; do [ "$one" = "$pid" ] || rest="$rest $one"; done; pids=$rest ;;
            esac
        done
        [ -z "$pids" ] || kill -KILL $pids
        """

    private let input: Int32

    private init() throws {
        let channel = try Channel()
        input = channel.write
        _ = try spawn(
            "/bin/sh", ["-c", Self.script], environment: [:], descriptors: [channel.read, nil, nil])
        close(channel.read)
    }

    func started(_ identifier: pid_t) { tell("+ \(identifier)\n") }

    func ended(_ identifier: pid_t) { tell("- \(identifier)\n") }

    private func tell(_ line: String) {
        let octets = Array(line.utf8)
        _ = write(input, octets, octets.count)
    }
}
