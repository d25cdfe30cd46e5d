public import PeerCore

/// What a decoder does with parts of a message that it must not do.
public struct FeedingError: Error, CustomStringConvertible {
    /// What it did, and where.
    public let description: String
}

/// A decoder of a stream: the message that the octets begin with and how many octets it took; nil: wait for more.
public typealias StreamDecoder<Message> = (Bytes) throws -> (message: Message, octets: Int)?

/// Octets that stand before and after what is fed, so that nobody looks beyond the slice that it was given.
private let surroundings: [UInt8] = [0xff, 0x00, 0xca, 0xfe]

/// Feeds one message octet by octet, whole, and with octets that follow; throws unless the decoder waits until the last
/// octet is there and then always gives the same message, which takes exactly `octets`.
public func feed<Message: Equatable>(_ octets: Bytes, to decode: StreamDecoder<Message>) throws -> Message {
    let buffer = Bytes(surroundings + octets.array + surroundings)
    let start = surroundings.count
    for count in 0..<octets.count {
        guard try decode(buffer.slice(start..<start + count)) == nil else {
            throw FeedingError(description: "\(count) of \(octets.count) octets were enough")
        }
    }
    var messages: [Message] = []
    for count in [octets.count, octets.count + 1, octets.count + surroundings.count] {
        guard let (message, consumed) = try decode(buffer.slice(start..<start + count)) else {
            throw FeedingError(description: "\(octets.count) octets were not enough")
        }
        guard consumed == octets.count else {
            throw FeedingError(description: "\(consumed) octets were taken of \(octets.count)")
        }
        messages.append(message)
    }
    guard messages.allSatisfy({ $0 == messages[0] }) else {
        throw FeedingError(description: "what followed changed the message: \(messages)")
    }
    return messages[0]
}

/// Feeds octets that must be refused, octet by octet and whole; throws unless the decoder refuses them, and goes on
/// refusing them for the same reason when more octets come. Gives the reason and after how many octets it was found.
public func feedRefused<Message>(
    _ octets: Bytes, to decode: StreamDecoder<Message>
) throws -> (error: DecodeError, octets: Int) {
    let buffer = Bytes(surroundings + octets.array + surroundings)
    let start = surroundings.count
    var found: (error: DecodeError, octets: Int)?
    for count in 0...octets.count {
        do {
            let result = try decode(buffer.slice(start..<start + count))
            guard found == nil, result == nil else {
                throw FeedingError(description: "\(count) of \(octets.count) octets were accepted")
            }
        } catch let error as DecodeError {
            guard found == nil || found?.error == error else {
                throw FeedingError(description: "another reason after \(count) octets: \(error)")
            }
            found = found ?? (error, count)
        }
    }
    guard let found else { throw FeedingError(description: "\(octets.count) octets were not refused") }
    return found
}
