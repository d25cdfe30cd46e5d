internal import CEdit
internal import Glibc
internal import PeerCore
internal import PeerRuntime

/// The lines that a user types: with editing and history by libedit on a terminal, as they come elsewhere.
final class LineInput {
    /// Lines that the history keeps: more than anybody goes back through.
    private static let historyLines: Int32 = 1000

    /// Whether somebody types.
    let isTerminal = Terminal.isTerminal(STDIN_FILENO)
    /// Lines that were typed before they were asked for.
    var typedAhead: [String] = []
    private let history: String?
    private var last: String?

    /// Keeps the history in this file of the user's state.
    init(history name: String) {
        history = isTerminal ? Self.statePath(name) : nil
        guard isTerminal else { return }
        // libedit takes characters apart by the locale; the plain one knows ASCII only.
        let locale = unsafe setlocale(LC_CTYPE, "").map { unsafe String(cString: $0) } ?? "C"
        if locale == "C" || locale == "POSIX" { _ = unsafe setlocale(LC_CTYPE, "C.UTF-8") }
        _ = rl_initialize()
        // There are no files of this machine to complete.
        _ = rl_bind_key(9, rl_insert)
        using_history()
        stifle_history(Self.historyLines)
        // Without a file there is no history yet.
        if let history { _ = unsafe read_history(history) }
    }

    /// The next line without its end; nil when there are no more. Until then SIGINT and SIGTERM end the program well.
    func next(_ prompt: String, remembered: Bool) -> String? {
        Self.endOnSignals()
        if !typedAhead.isEmpty {
            let line = typedAhead.removeFirst()
            write(prompt + line.escapedForTerminal)
            return line
        }
        guard isTerminal else { return Swift.readLine() }
        Self.listenToKeys()
        defer { Self.listenToLines() }
        guard let text = unsafe readline(prompt) else {
            write("")
            return nil
        }
        defer { unsafe free(text) }
        let line = unsafe String(cString: text)
        if remembered { remember(line) }
        return line
    }

    /// libedit does this only after the prompt is on the screen: a key that comes sooner would be taken for part of a
    /// line, and Ctrl-D be lost.
    private static func listenToKeys() {
        var settings = termios()
        guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
        unsafe usualSettings = settings
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
        _ = unsafe tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
    }

    fileprivate static func listenToLines() {
        guard var settings = unsafe usualSettings else { return }
        _ = unsafe tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
    }

    /// From now on SIGINT and SIGTERM end the program with exit code 0.
    static func endOnSignals() {
        for number in [SIGINT, SIGTERM] {
            _ = signal(number) { _ in
                LineInput.listenToLines()
                if isatty(STDIN_FILENO) == 1 { _ = unsafe Glibc.write(STDOUT_FILENO, "\n", 1) }
                _exit(ExitCode.done.rawValue)
            }
        }
    }

    private func remember(_ line: String) {
        guard line.contains(where: { !$0.isWhitespace }), line != last else { return }
        last = line
        _ = unsafe add_history(line)
        // A history that cannot be kept is no reason to stop.
        if let history { _ = unsafe write_history(history) }
    }

    /// A file of the user's state (XDG base directories); its folder is made. Nil when there is no place for it.
    private static func statePath(_ name: String) -> String? {
        let state = Terminal.environment("XDG_STATE_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil }
        guard let base = state ?? Terminal.environment("HOME").map({ $0 + "/.local/state" }) else { return nil }
        var path = ""
        for component in (base + "/peernode").split(separator: "/") {
            path += "/" + component
            _ = unsafe mkdir(path, 0o700)
        }
        let file = "\(path)/\(name)"
        // Made here, so that nobody else can read it at any moment.
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        fchmod(descriptor, 0o600)
        close(descriptor)
        return file
    }
}

/// How the terminal was before the first prompt; there is one thread, and what a signal interrupts does not write it.
nonisolated(unsafe) private var usualSettings: termios?
