import BePeer
import PeerCore

/// Messages are the same whole and in pieces, their names keep the rules for paths, and each is what it is written as.
func checkMessages(_ input: Bytes) throws(Violation) {
    let whole = messages([input])
    for size in [1, Int(input.first ?? 0) % 64 + 1] {
        let pieces = stride(from: 0, to: input.count, by: size).map { input.slice($0..<min($0 + size, input.count)) }
        let other = messages(pieces)
        try require(
            other.messages == whole.messages && other.fault == whole.fault, "messages in pieces are read differently")
    }
    for message in whole.messages {
        guard case .list(let list) = message else { continue }
        for name in list.names {
            try require(RelativePath(name.text, allowHidden: true) != nil, "\(name) leads nowhere")
        }
        let again = messages([message.encoded])
        let names = again.messages.first.flatMap { if case .list(let list) = $0 { list.names } else { nil } }
        try require(names == list.names && again.fault == nil, "\(list.kind) is not what it is written as")
    }
}

private func messages(_ parts: [Bytes]) -> (messages: [Message], fault: MessageFault?) {
    var limits = MessageReader.Limits()
    (limits.line, limits.names, limits.octets) = (200, 50, 4096)
    var reader = MessageReader(limits)
    var found: [Message] = []
    for part in parts {
        reader.append(part)
        do throws(MessageFault) {
            while let message = try reader.next() { found.append(message) }
        } catch {
            return (found, error)
        }
    }
    return (found, nil)
}

/// A manifest is the same whole and in octets, and its entries are read as they are written.
func checkManifest(_ input: Bytes) throws(Violation) {
    let whole = manifest([input])
    let octets = manifest(input.indices.map { input.slice($0..<$0 + 1) })
    try require(whole == octets, "a manifest in octets is read differently")
    guard let entries = whole?.entries else { return }
    let head = Bytes(utf8: #"{"bepeer":1,"folder":"f","node":"0000000000000001","seq":1}"# + "\n")
    let again = manifest([head, entries])
    try require(again?.entries == entries, "entries are not what they are written as")
}

private struct Manifest: Equatable {
    let isComplete: Bool
    let entries: Bytes
}

/// nil: it is none.
private func manifest(_ parts: [Bytes]) -> Manifest? {
    var reader = ManifestReader()
    for part in parts {
        do throws(DecodeError) {
            try reader.append(part)
        } catch {
            return nil
        }
    }
    return Manifest(isComplete: reader.isComplete, entries: reader.entries)
}
