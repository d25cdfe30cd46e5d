import PeerCore
import TestSupport

@testable import PPSP

/// A frame of which every field may be wrong (PPSP section 3).
struct RawFrame {
    var version: UInt8 = 1
    var type: UInt8 = 1
    var count: UInt8?
    var code: UInt8 = 0
    var contentLength: UInt32?
    var transactionID: UInt64 = 0x0102_0304_0506_0708
    var peerID = Bytes([UInt8](repeating: 0xaa, count: 32))
    var flags: UInt8 = 0
    var swarmID = Bytes([UInt8](repeating: 0xbb, count: 20))
    /// Code, flags and body of each method; the body flag is set beside these flags when there is a body.
    var methods: [(code: UInt8, flags: UInt8, body: Bytes)] = []
    /// What follows the methods.
    var rest = Bytes()

    static let query: (code: UInt8, flags: UInt8, body: Bytes) = (2, 0, Bytes())

    var bytes: Bytes {
        var content = ByteWriter()
        content.write(peerID)
        content.write(swarmID)
        for method in methods {
            content.write(method.code)
            content.write(method.flags ^ (method.body.isEmpty ? 0 : 0x80))
            content.write(UInt16(0xffff))
            content.write(UInt32(method.body.count))
            content.write(method.body)
        }
        content.write(rest)
        var writer = ByteWriter()
        for octet in [version, type, count ?? UInt8(methods.count), code] { writer.write(octet) }
        writer.write(contentLength ?? UInt32(content.count))
        writer.write(transactionID)
        writer.write(UInt8(peerID.count))
        writer.write(flags)
        writer.write(UInt16(swarmID.count))
        writer.write(content.bytes)
        return writer.bytes
    }

    /// What a reader says of it.
    var frame: Frame? { firstFrame(of: bytes)?.message }

    /// The message that it is, if it is one.
    var message: Message? { if case .message(let message)? = frame { message } else { nil } }

    /// The code with which it is refused, if it is.
    var refusedWith: ResponseCode? { if case .refused(let refusal)? = frame { refusal.code } else { nil } }
}
