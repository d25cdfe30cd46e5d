import Foundation
import TestSupport
import Testing

/// P+2 against programs that are not of our making, one real node and no other. What each case does is told in
/// `Peers/files_*.py`; `files_check.py --list` names them all.
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct FilesTests {
    @Test(arguments: ["old-caller", "old-callee", "old-both"])
    func `a peer with the habits of 2012 lists, searches and downloads, and so do we there`(_ name: String)
        async throws
    {
        try await Python.filesCase(name)
    }

    @Test(arguments: [
        "list-callers", "query-callers", "cut-answers", "download-callers", "netcat-callers", "extension-callers",
        "failed-answers",
        "stopping",
    ])
    func `a caller says one line and has one answer, whose end tells whether it is whole`(_ name: String)
        async throws
    {
        try await Python.filesCase(name)
    }

    @Test(arguments: [
        "long-lines", "slow-lines", "full-services", "full-uploads", "crowds", "unread-answers", "kept-out",
        "broken-off",
    ])
    func `a hostile caller costs a connection, and nobody else notices`(_ name: String) async throws {
        try await Python.filesCase(name)
    }

    @Test(arguments: [
        "endless-answers", "slow-answers", "broken-downloads", "hostile-names", "lying-peers", "resumed-downloads",
        "downloads-at-once", "cancelled-downloads", "too-large",
    ])
    func `a hostile peer that we call costs its answer, and nothing of it gets out of its place`(_ name: String)
        async throws
    {
        try await Python.filesCase(name)
    }

    @Test(arguments: ["odd-entries", "subfolders", "swapped-links", "many-odd-names"])
    func `nothing but plain files with plain names leaves the shared folder`(_ name: String) async throws {
        try await Python.filesCase(name)
    }

    @Test func `free space that is to stay free is not downloaded into`() async throws {
        try await Python.filesCase("reserved-space")
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to mount a file system of 16 MiB"))
    func `a disk that fills in the middle of a download fails that download alone`() async throws {
        try await Python.filesCase("full-disk")
    }
}
