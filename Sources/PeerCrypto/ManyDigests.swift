internal import CIPSecMB
public import PeerCore

/// Fewer messages do not fill the lanes: one after the other they are as fast.
private let fewest = 4

/// The digest of each of `messages`, in their order.
///
/// Where the processor has wide registers but no instructions for SHA, up to 16 short messages are hashed at once, at
/// four to nine times the speed of one after the other (Intel's multi-buffer library, if it is installed).
public func digests(of messages: some Collection<Bytes>, _ algorithm: DigestAlgorithm) -> [Bytes] {
    if algorithm != .blake2b256, messages.count >= fewest,
        messages.allSatisfy({ $0.count <= peernode_many_longest && !$0.isEmpty }),
        let digests = unsafe manyDigests(of: messages, algorithm)
    {
        return digests
    }
    return messages.map { digest($0, algorithm) }
}

/// All of them at once; nil when this machine cannot do that.
@unsafe private func manyDigests(of messages: some Collection<Bytes>, _ algorithm: DigestAlgorithm) -> [Bytes]? {
    let size = algorithm.octets
    var isDone = false
    let octets = unsafe [UInt8](unsafeUninitializedCapacity: messages.count * size) { room, count in
        guard let start = room.baseAddress else { return }
        let list = unsafe messages.enumerated().map { index, message in
            unsafe peernode_message(
                octets: message.withUnsafeOctets { unsafe UnsafeRawPointer($0.baseAddress) }, count: message.count,
                digest: start + index * size)
        }
        // The messages hold their memory until all are hashed.
        isDone = withExtendedLifetime(messages) {
            unsafe peernode_sha_many(algorithm == .sha1, list, list.count)
        }
        count = isDone ? messages.count * size : 0
    }
    guard isDone else { return nil }
    let all = Bytes(octets)
    return (0..<messages.count).map { all.slice($0 * size..<($0 + 1) * size) }
}
