import PeerCore
import PeerCrypto
import PeerSimulator

@testable import BePeer

/// People at the folders of a lab: what they do by chance, and what became of the versions that they have made.
final class Hands {
    let lab: Lab
    /// Whether files are deleted and renamed, which old peers do not tell of.
    let deletes: Bool
    private var random: SeededRandom
    private var count = 0
    /// Contents that lay unchanged in a folder for a while, and where that was.
    private(set) var settled: [Version: String] = [:]
    /// Contents that somebody has overwritten or deleted where nobody else had them.
    private(set) var undone: Set<Version> = []
    private var before: [[String: Bytes]] = []
    /// What was done, for whom it fails.
    private(set) var trail: [String] = []

    /// A content by the number with which it begins, and its size: one that was cut is another one.
    struct Version: Hashable {
        let number: Int
        let size: Int

        init(_ octets: Bytes) {
            let digits = octets.dropFirst("version ".utf8.count).prefix { (48...57).contains($0) }
            number = digits.reduce(0) { $0 * 10 + Int($1) - 48 }
            size = octets.count
        }
    }

    init(_ lab: Lab, seed: UInt64, deletes: Bool = true) {
        (self.lab, self.deletes) = (lab, deletes)
        random = SeededRandom(seed: Bytes32((0..<32).map { UInt8(truncatingIfNeeded: seed >> ($0 % 8 * 8)) }))
        before = lab.nodes.map { _ in [:] }
    }

    func draw(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private var name: String { ["", "d/", "d/e/", "o ther/"][draw(4)] + ["f", "g.txt", "é", "h"][draw(4)] }

    private func content() -> Bytes {
        count += 1
        return Bytes(utf8: "version \(count) " + String(repeating: "x", count: [0, 30, 900, 5000][draw(4)]))
    }

    /// One operation at one node, which may be down.
    func act(at index: Int) {
        let node = lab.nodes[index]
        let folder = lab.files(node)
        let files = lab.content(node).keys.sorted()
        let old = files.isEmpty ? nil : files[draw(files.count)]
        let fresh = name
        switch (draw(deletes ? 10 : 6), old) {
        case (6, let old?), (7, let old?):
            guard folder[fresh] == nil, let octets = folder[old] else { return }
            folder[fresh] = octets
            overwrite(old, at: index, with: nil)
            note(index, "renames \(old) to \(fresh)")
        case (8, let old?):
            overwrite(old, at: index, with: nil)
            note(index, "deletes \(old)")
        case (0...3, let old?):
            overwrite(old, at: index, with: content())
            note(index, "edits \(old), \(count)")
        default:
            overwrite(fresh, at: index, with: content())
            note(index, "makes \(fresh), \(count)")
        }
    }

    private func note(_ index: Int, _ what: String) {
        trail.append("\(lab.simulator.now.nanoseconds / 1_000_000) \(index + 1) \(what)")
    }

    private func overwrite(_ path: String, at index: Int, with octets: Bytes?) {
        let folder = lab.files(lab.nodes[index])
        let old = folder[path]
        folder[path] = octets
        guard let old = old.map(Version.init), !kept.contains(old) else { return }
        undone.insert(old)
    }

    /// All contents that can be had at the nodes.
    private var kept: Set<Version> {
        lab.nodes.reduce(into: []) { found, node in
            found.formUnion(lab.content(node).values.map(Version.init))
            found.formUnion(lab.trash(node).values.map(Version.init))
        }
    }

    /// Lets time pass. What lies in a folder all the while is settled.
    func wait(_ duration: Duration) throws {
        before = lab.nodes.map(lab.content)
        try lab.run(duration)
        guard duration >= .seconds(1) else { return }
        for (index, node) in lab.nodes.enumerated() {
            for (path, octets) in lab.content(node) where before[index][path] == octets {
                settled[Version(octets)] = "\(path) of \(index + 1)"
            }
        }
    }

    /// Where settled contents were that are nowhere any more.
    var lost: [String] {
        let kept = kept
        return settled.filter { !undone.contains($0.key) && !kept.contains($0.key) }
            .map { "\($0.value): version \($0.key.number) of \($0.key.size) octets" }.sorted()
    }
}
