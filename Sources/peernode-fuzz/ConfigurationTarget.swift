import Bootstrap
import DDRP
import PeerCore
import PeerJSON
import PeerNode

/// A file is a configuration or has problems; a configuration is the same when it is written and read again, and the
/// protocols take it.
func checkConfiguration(_ input: Bytes) throws(Violation) {
    let zero = input.firstIndex(of: 0) ?? input.count
    let file = input.slice(0..<zero)
    var environment: [String: String] = [:]
    for line in String(decoding: input.dropping(zero), as: UTF8.self).split(separator: "\n") {
        guard let equals = line.firstIndex(of: "=") else { continue }
        environment["PEERNODE__" + line[..<equals]] = String(line[line.index(after: equals)...])
    }
    try checkText(file)
    guard let read = try load(file, environment) else { return }
    for section in read.sections(of: "ddrp") { _ = DDRP.Configuration(section) }
    for section in read.sections(of: "bootstrapServer") { _ = BootstrapServer.Configuration(section) }
    guard let again = try load(Bytes(utf8: read.values.json)) else {
        throw Violation(description: "the values of a configuration are none: \(read.values.json)")
    }
    try require(again.values == read.values, "\(read.values.json) becomes \(again.values.json)")
    try require(read.changes(to: again).isEmpty, "settings change: \(read.text)")
}

private func load(_ file: Bytes, _ environment: [String: String] = [:]) throws(Violation) -> EffectiveConfiguration? {
    do throws(ConfigurationError) {
        return try ConfigurationLoader(environment: environment, read: { _ in file }).load("file")
    } catch {
        try require(!error.description.isEmpty, "no reason is given")
        return nil
    }
}

/// JSON is the same value when it is written and read again.
private func checkText(_ text: Bytes) throws(Violation) {
    guard let value = try? JSON.parse(text, limit: text.count) else { return }
    let again = try? JSON.parse(Bytes(utf8: value.json), limit: .max)
    try require(again == value, "\(value.json) becomes \(again?.json ?? "no JSON")")
}

extension EffectiveConfiguration {
    fileprivate func sections(of name: String) -> [Record] {
        Protocols.all.filter { $0.name == name }.flatMap { sections(of: $0) }
    }
}
