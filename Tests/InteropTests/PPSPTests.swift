import Foundation
import TestSupport
import Testing

/// PPSP against programs that are not of our making, and real nodes among themselves. What each case does is told in
/// `Peers/ppsp_*.py`; `ppsp_check.py --list` names them all.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct PPSPTests {
    @Test(arguments: [
        "self-vectors", "self-pull", "self-push", "self-lies", "self-closed",
    ])
    func `what is to judge a node is right itself`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: [
        "methods-alone", "first-arrow", "unknown-swarm", "reject-vectors", "good-vectors", "octet-by-octet", "skipped",
        "ignored-fields", "same-peer", "two-swarms", "other-metadata", "peer-lists", "overloaded", "file-gone",
    ])
    func `requests are answered as the text has it`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: [
        "pull", "serve", "standard-output", "commands", "first-frames", "requests", "other-messages", "windows",
        "by-peer-id", "haves", "parts", "choke", "upload-slots", "end-game", "both-ways", "resumes", "big-pull",
    ])
    func `contents are pulled, both ways`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: [
        "push-accepted", "push-refused", "advertise-only", "push-by-node", "push-unanswered", "push-choked", "big-push",
    ])
    func `contents are pushed, both ways`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: ["http-pull", "http-refusals", "http-serve", "http-liars", "http-and-tcp", "big-http"])
    func `contents travel over HTTP, both ways`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: ["closed-swarm", "false-certificates", "borrowed-id", "proves-itself", "big-closed"])
    func `a closed swarm is for those who prove who they are`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: [
        "corrupt", "claims", "idle-peers", "unasked", "hash-floods", "huge-maps", "too-long", "crowd", "noise",
        "greedy",
    ])
    func `a peer that lies or floods costs itself`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: [
        "self-udp", "udp-pull-libswift", "udp-pull-strict", "udp-serve-libswift", "udp-serve-strict", "udp-weather",
        "udp-captured", "udp-rejects", "udp-forged", "udp-handshake-flood", "udp-third-lost", "udp-close",
        "udp-fallback", "udp-liars", "udp-private-hash", "big-udp", "negotiation",
    ])
    func `chunks travel in datagrams of RFC 7574, also with the habits of libswift`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(arguments: ["nine-nodes", "relay"])
    func `nodes give each other what they have`(_ name: String) async throws {
        try await Python.contentCase(name)
    }

    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil),
        arguments: ["big-pull", "big-push", "big-http", "big-closed"])
    func `256 MiB come from several, of whom one lies`(_ name: String) async throws {
        try await Python.contentCase(name, ["--slow"], within: .seconds(360))
    }

    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] != nil),
        .enabled(if: geteuid() == 0, "needs root to make namespaces"), arguments: ["cubic", "bbr"])
    func `datagrams fill a line of 10 Mbit/s alone, and make room for TCP`(_ control: String) async throws {
        try await Python.narrowLine(["--control", control])
    }
}
