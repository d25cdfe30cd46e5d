internal import PeerCore

extension DDRP {
    /// Added to `peerTimeoutSeconds`, so that an envelope that came in time and waits to be read is not missed
    /// (decision 17: a peer is down 30.0 to 31.5 s after its last valid envelope).
    private static let silenceGrace: Duration = .milliseconds(500)

    /// Begins both timers of a link anew.
    mutating func setLivenessTimers(of connection: ConnectionID, at now: Instant) {
        guard let link = links[connection] else { return }
        timers.set(.ping(connection), at: now + configuration.pingInterval)
        timers.set(.silence(connection), at: silenceDeadline(of: link))
    }

    /// Sends the Ping that is due and sets the next one.
    mutating func ping(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard links[connection] != nil else { return }
        send(.ping, on: connection, at: now, into: &effects)
        timers.set(.ping(connection), at: now.instant + configuration.pingInterval)
    }

    /// When the peer is down, if nothing comes until then.
    func silenceDeadline(of link: Link) -> Instant {
        link.heard + configuration.peerTimeout + Self.silenceGrace
    }

    /// Ends a link that was silent too long; the timer of any other sleeps until it could be.
    mutating func checkSilence(of connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let link = links[connection] else { return }
        let deadline = silenceDeadline(of: link)
        if now.instant < deadline {
            timers.set(.silence(connection), at: deadline)
        } else {
            close(connection, Fault(.silent), at: now, into: &effects)
        }
    }
}
