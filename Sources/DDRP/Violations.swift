internal import AddressBook
internal import PeerCore

/// How fast a peer sends (DDRP section 12: above 200 envelopes/s for 5 s it is closed).
struct EnvelopeRate {
    /// A peer that is above the rate for so long is flooding us.
    static let patience: Duration = .seconds(5)
    /// The rate is looked at over this time, or longer when envelopes come, or are read, more rarely.
    private static let window: Duration = .seconds(1)

    private var start: Instant
    private var envelopes = 0
    private var above: Duration = .zero

    init(at now: Instant) {
        start = now
    }

    /// Counts an envelope; true when the peer is flooding us.
    mutating func count(at now: Instant, limit: Int) -> Bool {
        let elapsed = now - start
        if elapsed >= Self.window {
            let isAbove = Double(envelopes) > Double(limit) * elapsed.fractionalSeconds
            above = isAbove ? above + elapsed : .zero
            start = now
            envelopes = 0
        }
        envelopes += 1
        return above >= Self.patience
    }
}

/// Violations on open connections, by address (DDRP section 12).
struct Violations {
    /// The third within an hour bans.
    static let limit = 3
    static let window: Duration = .seconds(3600)
    /// Addresses that are watched; above, those whose last one is oldest are forgotten.
    static let capacity = 4096

    private var byAddress: [IPAddress: [Instant]] = [:]

    /// Notes one; gives how many there were within the hour.
    mutating func note(_ ip: IPAddress, at now: Instant) -> Int {
        if byAddress[ip] == nil, byAddress.count >= Self.capacity { forgetOldest(at: now) }
        var recent = (byAddress[ip] ?? []).filter { now - $0 < Self.window }
        recent.append(now)
        byAddress[ip] = recent.suffix(Self.limit)
        return recent.count
    }

    /// What is older than the window leaves; when that is nothing, the older half does.
    private mutating func forgetOldest(at now: Instant) {
        let last = byAddress.values.compactMap(\.last).sorted()
        let median = last.isEmpty ? now : last[last.count / 2]
        let limit = max(median, now - Self.window)
        byAddress = byAddress.filter { ($0.value.last ?? now) > limit }
    }
}

extension DDRP {
    /// How long the address of a peer that broke the protocol three times is banned.
    private static let violationBan: Duration = .seconds(600)
    /// How long the address of a flooding peer is banned.
    private static let floodingBan: Duration = .seconds(3600)

    /// A peer broke a rule on an open connection: it is closed, and banned when that is a habit. A clock that is off
    /// is no ill will: it never bans (decision 17).
    mutating func violated(_ connection: ConnectionID, _ fault: Fault, at now: Moment, into effects: inout Effects) {
        guard let link = links[connection] else { return }
        close(connection, fault, at: now, into: &effects)
        guard fault.reason != .clock else { return }
        let count = violations.note(link.remote.ip, at: now.instant)
        counters.violations += 1
        effects.log(
            .info, "violation",
            [
                "peer": .text(link.peer), "address": .text(link.remote), "reason": .string(fault.reason.rawValue),
                "count": .count(count),
            ], fault.detail)
        if fault.reason == .flooding {
            ban(link.remote.ip, for: Self.floodingBan, fault.reason, at: now, into: &effects)
        } else if count >= Violations.limit {
            ban(link.remote.ip, for: Self.violationBan, fault.reason, at: now, into: &effects)
        }
    }

    private mutating func ban(
        _ ip: IPAddress, for duration: Duration, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        // Addresses of seeds are never banned (DDRP section 12): without them a node may know nobody.
        guard !book.hasSeed(at: ip) else { return }
        denials.add(IPPrefix(ip), until: now.instant + duration, at: now.instant)
        effects.append(.ban(IPPrefix(ip), until: now.wallClock + duration, reason: "ddrp: \(reason.rawValue)"))
    }
}
