internal import PeerCore

/// Why a connection ends, with what an operator may want to know beside the reason.
struct Fault: Error, Hashable {
    /// The word of the published list.
    let reason: CloseReason
    /// A phrase; may be empty.
    let detail: String
    /// For `clock`: by how many seconds the peer's clock is ahead of ours.
    let clockOffset: Int64?

    init(_ reason: CloseReason, _ detail: String = "", clockOffset: Int64? = nil) {
        self.reason = reason
        self.detail = detail
        self.clockOffset = clockOffset
    }

    init(_ error: DecodeError) {
        self.init(.malformed, error.description)
    }

    /// The fields for a line of the log.
    var fields: Record {
        var record: Record = ["reason": .string(reason.rawValue)]
        if let clockOffset { record["clockOffsetSeconds"] = .int(clockOffset) }
        return record
    }
}
