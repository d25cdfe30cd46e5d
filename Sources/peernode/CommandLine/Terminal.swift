internal import CLinux
internal import Glibc
internal import PeerCore
internal import PeerRuntime

/// Writes a text and a line end to standard output. When nobody reads it any more the program is done, when it cannot
/// be written it has failed.
func write(_ text: String) {
    guard let error = writeAll(Array((text + "\n").utf8), to: STDOUT_FILENO) else { return }
    if error == .disconnected { exit(ExitCode.done.rawValue) }
    complain("standard output: \(error)")
    exit(ExitCode.inputOutput.rawValue)
}

/// Writes an error message to standard error.
func complain(_ text: String) {
    writeAll(Array(("peernode: " + text + "\n").utf8), to: STDERR_FILENO)
}

/// What the program is connected to.
enum Terminal {
    /// Whether standard output is a terminal.
    static var isTerminal: Bool { isTerminal(STDOUT_FILENO) }

    /// Whether a descriptor is a terminal.
    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Whether to colour: on a terminal, and not with `NO_COLOR`.
    static var isColoured: Bool { isColoured(STDOUT_FILENO) }

    /// Whether to colour what goes to a descriptor.
    static func isColoured(_ descriptor: Int32) -> Bool {
        isTerminal(descriptor) && environment("NO_COLOR") == nil
    }

    /// Columns of the terminal; 80 when it does not say.
    static var width: Int { columns(of: STDOUT_FILENO) }

    /// Columns of a terminal; 80 when it does not say.
    static func columns(of descriptor: Int32) -> Int {
        let columns = Int(peernode_terminal_columns(descriptor))
        return columns > 0 ? columns : environment("COLUMNS").flatMap { Int($0) } ?? 80
    }

    /// Whether standard output goes to the system's journal: `JOURNAL_STREAM` names its device and inode, also in
    /// programs whose output was led elsewhere since (systemd.exec).
    static var isJournal: Bool { environment("JOURNAL_STREAM") == deviceAndInode(of: STDOUT_FILENO) }

    /// A variable of the environment.
    static func environment(_ name: String) -> String? {
        environmentVariable(name)
    }
}

/// A table that fits the terminal: the widest column gives way first.
struct Table {
    private let header: [String]
    private var rows: [[String]] = []

    init(_ header: [String]) {
        self.header = header
    }

    /// Adds a row; what came from the network is escaped.
    mutating func add(_ cells: [String]) {
        rows.append(cells.map(\.escapedForTerminal))
    }

    /// The text, fitted to `width` columns when the output is a terminal.
    func text(width: Int? = Terminal.isTerminal ? Terminal.width : nil) -> String {
        var widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
        if let width {
            while widths.reduce(0, +) + 2 * (widths.count - 1) > width, let widest = widths.max(), widest > 8 {
                widths[widths.firstIndex(of: widest)!] -= 1
            }
        }
        return ([header] + rows).map { row in
            row.indices.map { column in
                let cell = row[column]
                let cut = cell.count > widths[column] ? cell.prefix(widths[column] - 1) + "…" : cell[...]
                return column == row.count - 1
                    ? String(cut) : cut + String(repeating: " ", count: widths[column] - cut.count)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
