internal import Foundation

/// What the command line says.
struct Options {
    /// The jobs to run, in the order of the program's own list; `all` for every one.
    private(set) var jobs: Set<String> = []
    /// The program under test.
    private(set) var node: String
    /// How often each thing is measured.
    private(set) var rounds = 5
    /// Sizes of the networks that are started.
    private(set) var nodes = [8, 32, 128]
    private(set) var isQuick = false
    private(set) var json: String?
    private(set) var keepsScratch = false

    init(_ words: [String]) throws {
        let own = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        node = own.deletingLastPathComponent().appendingPathComponent("peernode").path
        let known = Set(Program.jobs.map(\.name)).union(["all"])
        var rest = words[...]
        while let word = rest.popFirst() {
            switch word {
            case "--node": node = try Self.value(of: word, &rest)
            case "--rounds": rounds = try Self.number(Self.value(of: word, &rest))
            case "--nodes":
                nodes = try Self.value(of: word, &rest).split(separator: ",").map { try Self.number(String($0)) }
            case "--quick": isQuick = true
            case "--json": json = try Self.value(of: word, &rest)
            case "--keep": keepsScratch = true
            default:
                guard known.contains(word) else { throw Usage("there is no job or option \(word)") }
                jobs.insert(word)
            }
        }
        if isQuick { (rounds, nodes) = (1, [8]) }
    }

    private static func value(of option: String, _ rest: inout ArraySlice<String>) throws -> String {
        guard let value = rest.popFirst() else { throw Usage("\(option) needs a value") }
        return value
    }

    private static func number(_ text: String) throws -> Int {
        guard let number = Int(text), (1...1000).contains(number) else {
            throw Usage("\(text) is no number from 1 to 1000")
        }
        return number
    }
}
