internal import PeerCore

// Who is given chunks (PPSP section 9.4): a few at a time, by what they give, and one more by chance.

extension PPSP {
    /// From one choice to the next (PPSP section 9.4).
    private static let chooseTime = Duration.seconds(10)
    /// A slot that is not used for so long is another's; how often that is looked at.
    private static let idleTime = Duration.seconds(2)

    /// Those who hold a slot, in order.
    private var holders: [Tie] { partners.keys.filter { partners[$0]?.give?.hasSlot ?? false }.sorted() }

    /// Slots that are taken, by those who ask over HTTP too.
    var slotsTaken: Int { holders.count + webClients }

    /// Whether a peer that asks has a slot now; otherwise it is told to wait.
    mutating func takesSlot(_ tie: Tie, at now: Moment, into effects: inout Effects) -> Bool {
        guard let give = partners[tie]?.give else { return false }
        if give.hasSlot { return true }
        if !timers.isSet(.slots) {
            slotsChosenAt = now.instant
            timers.set(.slots, at: now.instant + Self.idleTime)
        }
        // One more than is configured: the optimistic one.
        if slotsTaken <= configuration.uploadSlots {
            partners[tie]?.give?.hasSlot = true
            return true
        }
        if !give.isChoked { choke(tie, into: &effects) }
        return false
    }

    private mutating func choke(_ tie: Tie, into effects: inout Effects) {
        guard let give = partners[tie]?.give else { return }
        partners[tie]?.give?.isChoked = true
        partners[tie]?.give?.hasSlot = false
        partners[tie]?.give?.queue = []
        if let channel = channels.number(of: tie.connection) { channels[channel]?.out.clear() }
        send([.choke], give.id, give.rules, on: tie.connection, into: &effects)
    }

    private mutating func unchoke(_ tie: Tie, at now: Moment, into effects: inout Effects) {
        guard let give = partners[tie]?.give else { return }
        partners[tie]?.give?.isChoked = false
        partners[tie]?.give?.hasSlot = true
        partners[tie]?.give?.usedAt = now.instant
        send([.unchoke], give.id, give.rules, on: tie.connection, into: &effects)
    }

    /// Those who were told to wait, in order.
    private var waiting: [Tie] {
        partners.keys.filter { tie in
            partners[tie]?.give.map { $0.isChoked && !$0.isPush } ?? false
        }.sorted()
    }

    /// Free slots are filled at once.
    mutating func fillSlots(at now: Moment, into effects: inout Effects) {
        var waiting = waiting
        while slotsTaken <= configuration.uploadSlots, !waiting.isEmpty {
            let index = Int.random(in: waiting.indices, using: &random)
            unchoke(waiting.remove(at: index), at: now, into: &effects)
        }
    }

    /// Slots that nobody uses go to those who wait, and now and then all are chosen anew.
    mutating func slotsDue(at now: Moment, into effects: inout Effects) {
        for tie in holders where isIdle(tie, at: now.instant) { partners[tie]?.give?.hasSlot = false }
        if now.instant - slotsChosenAt >= Self.chooseTime { chooseSlots(at: now, into: &effects) }
        fillSlots(at: now, into: &effects)
        guard !holders.isEmpty || !waiting.isEmpty else { return }
        timers.set(.slots, at: now.instant + Self.idleTime)
    }

    /// Whether a peer has asked for nothing, and got nothing, for a while, or wants nothing more.
    private func isIdle(_ tie: Tie, at now: Instant) -> Bool {
        guard let partner = partners[tie], let give = partner.give, give.queue.isEmpty,
            partner.has.isComplete || now - give.usedAt >= Self.idleTime
        else { return false }
        if let channel = channels.number(of: tie.connection) { return channels[channel]?.out.isIdle ?? true }
        return links[tie.connection]?.handing == 0 && links[tie.connection]?.isStalled == false
    }

    /// Slots go to those who give most, or who take most where nothing is wanted; one by chance.
    private mutating func chooseSlots(at now: Moment, into effects: inout Effects) {
        slotsChosenAt = now.instant
        let waiting = waiting
        if !waiting.isEmpty, slotsTaken > configuration.uploadSlots {
            let worst = holders.min { worth($0) < worth($1) }
            if let worst { choke(worst, into: &effects) }
            let lucky = waiting[Int.random(in: waiting.indices, using: &random)]
            unchoke(lucky, at: now, into: &effects)
        }
        for tie in partners.keys {
            guard let give = partners[tie]?.give, let swarm = swarms[tie.swarm] else { continue }
            let octets = swarm.phase == .complete ? give.octets : partners[tie]?.take?.octets ?? 0
            partners[tie]?.give?.octetsBefore = octets
        }
    }

    /// Octets since the last choice: what it gave us, or what it took where nothing is wanted of it.
    private func worth(_ tie: Tie) -> UInt64 {
        guard let partner = partners[tie], let give = partner.give, let swarm = swarms[tie.swarm] else { return 0 }
        let octets = swarm.phase == .complete ? give.octets : partner.take?.octets ?? 0
        return octets &- min(octets, give.octetsBefore)
    }
}
