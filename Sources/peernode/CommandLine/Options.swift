internal import CLinux
internal import Glibc

/// An option of the command line.
struct Option: Sendable {
    /// The long name, without dashes.
    let name: String
    /// The short name.
    let letter: Character?
    /// What the argument is called in the help; nil when there is none.
    let argument: String?
    /// What it does.
    let help: String

    init(_ name: String, _ letter: Character? = nil, _ argument: String? = nil, _ help: String) {
        self.name = name
        self.letter = letter
        self.argument = argument
        self.help = help
    }
}

/// A parsed command line: `getopt_long` of the C library, so options may stand anywhere and `--` ends them.
struct Options: Sendable {
    private var values: [String: [String]] = [:]
    /// What is not an option.
    private(set) var arguments: [String] = []

    /// Whether the option was given.
    func has(_ name: String) -> Bool { values[name] != nil }

    /// The last argument given for the option.
    func value(_ name: String) -> String? { values[name]?.last }

    /// Gives the option as if it stood last on the command line.
    mutating func set(_ name: String, _ value: String) {
        values[name, default: []].append(value)
    }

    /// All arguments given for the option, in order.
    func all(_ name: String) -> [String] { values[name] ?? [] }

    /// Parses what follows the name of the command. Throws on an option that the command does not have.
    init(_ words: [String], command: String, accepts options: [Option]) throws(Failure) {
        var arguments = unsafe ([command] + words).map { unsafe strdup($0) }
        unsafe arguments.append(nil)
        var table = unsafe options.enumerated().map { index, option in
            unsafe CLinux.option(
                name: UnsafePointer(strdup(option.name)), has_arg: option.argument == nil ? 0 : 1, flag: nil,
                val: Int32(Self.firstCode + index))
        }
        unsafe table.append(CLinux.option())
        defer {
            unsafe arguments.forEach { unsafe free($0) }
            unsafe table.forEach { unsafe free(UnsafeMutableRawPointer(mutating: $0.name)) }
        }
        let letters = options.compactMap { option in
            option.letter.map { "\($0)" + (option.argument == nil ? "" : ":") }
        }
        let short = ":" + letters.joined()
        peernode_getopt_begin()
        while true {
            var value: UnsafePointer<CChar>?
            let code = unsafe peernode_getopt(Int32(words.count + 1), &arguments, short, table, &value)
            if code == -1 { break }
            guard let option = Self.option(code, options) else {
                let word = unsafe peernode_getopt_word(arguments).map { unsafe String(cString: $0) } ?? ""
                throw Self.failure(code, word, command)
            }
            values[option.name, default: []].append(unsafe value.map { unsafe String(cString: $0) } ?? "")
        }
        var index = Int(peernode_getopt_index())
        while index <= words.count {
            if let word = unsafe arguments[index] { unsafe self.arguments.append(String(cString: word)) }
            index += 1
        }
    }

    /// Codes of long options begin behind those of all letters.
    private static let firstCode = 1000

    private static func option(_ code: Int32, _ options: [Option]) -> Option? {
        if code >= firstCode { return options[Int(code) - firstCode] }
        return options.first { $0.letter?.asciiValue.map(Int32.init) == code }
    }

    private static func failure(_ code: Int32, _ word: String, _ command: String) -> Failure {
        let what = code == Int32(UInt8(ascii: ":")) ? "\(word) needs a value" : "there is no option \(word)"
        return Failure(.usage, "\(command): \(what). Try: peernode \(command) --help")
    }
}
