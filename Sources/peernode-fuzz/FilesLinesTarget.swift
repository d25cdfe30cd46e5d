import PPlusTwo
import PeerCore

/// Lines are the same whole and in pieces, and what comes of them keeps the rules for names.
func checkFilesLines(_ input: Bytes) throws(Violation) {
    let limit = Int(input.first ?? 0) % 64 + 1
    let whole = [input]
    let pieces = stride(from: 0, to: input.count, by: limit).map { input.slice($0..<min($0 + limit, input.count)) }
    let octets = input.indices.map { input.slice($0..<$0 + 1) }
    let request = requestLine(whole, limit)
    let answer = answerLines(whole, limit)
    for parts in [pieces, octets] {
        try require(requestLine(parts, limit) == request, "a request line in pieces is read differently")
        try require(answerLines(parts, limit) == answer, "an answer in pieces is read differently")
    }
    try require(answer.allSatisfy { $0.count <= limit && !$0.isEmpty }, "a line above the limit")
    for line in answer + [input] { try checkLine(line) }
}

private func checkLine(_ line: Bytes) throws(Violation) {
    if let identity = PeerIdentity(line: line) {
        try require(PeerIdentity(identity.description) == identity, "\(identity) is not its own text")
    }
    if let request = ExtensionRequest(line: line) {
        try require(ExtensionRequest(line: request.line) == request, "\(request) is not its own line")
    }
    if let file = FoundFile(line: line), !file.name.contains(UInt8(ascii: "\n")) {
        try require(FoundFile(line: file.line.slice(0..<file.line.count - 1)) == file, "\(file) is not its own line")
    }
    let local = RemoteName.local(line)
    try require(RelativePath(components: [local]) != nil, "\(local) is no name for a file")
    try require(RelativePath(components: [RemoteName.numbered(local, 999)]) != nil, "\(local) (999) is too long")
    let shown = RemoteName.shown(line)
    try require(shown.escapedForTerminal == shown, "\(Bytes(utf8: shown)) is not for a terminal")
}

/// The line and how many parts it took; the count is that of octets for a line that is refused.
private func requestLine(_ parts: [Bytes], _ limit: Int) -> Bytes? {
    var line = RequestLine(limit: limit)
    for part in parts {
        do throws(DecodeError) {
            if let line = try line.take(part) { return line }
        } catch {
            return nil
        }
    }
    return try? line.atEnd()
}

private func answerLines(_ parts: [Bytes], _ limit: Int) -> [Bytes] {
    var answer = AnswerLines(AnswerLines.Limits(lines: limit, octets: limit * 4, lineOctets: limit))
    var lines: [Bytes] = []
    for part in parts { lines += answer.take(part) }
    return lines + [answer.atEnd()].compactMap(\.self)
}
