internal import PeerCore

// What was kept long enough goes: parts of files that nobody went on with, and the trash (BePeer sections 4.4, 5.3).
extension BePeer {
    /// From the start to the first time.
    static let firstTidy: Duration = .seconds(60)
    /// From one time to the next: both are kept for days.
    private static let tidyPause: Duration = .seconds(21_600)
    /// Entries that are looked at, or removed, at a time.
    private static let atOnce = 1000

    mutating func tidy(_ folder: Int, at now: Moment, into effects: inout Effects) {
        timers.set(.tidy(folder), at: now.instant + Self.tidyPause)
        errands[effects.store(list(Marker.staging, folder, deep: false))] = .parts(folder)
        errands[effects.store(list(Marker.trash, folder, deep: false))] = .trash(folder)
    }

    private func list(_ place: RelativePath, _ folder: Int, deep: Bool) -> StoreOperation {
        .scan(
            folders[folder].id, under: place, after: nil, limit: Self.atOnce, deep: deep,
            hidden: .shown(butNot: "/"))
    }

    mutating func partsFound(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard case .entries(let entries, _, _) = result else { return }
        let inUse = Set(wants.values.compactMap { $0.tie.folder == folder ? $0.part : nil })
        for entry in entries
        where !entry.isFolder && now.wallClock - entry.modified > configuration.partTime
            && !inUse.contains(entry.path)
        {
            errands[effects.store(.remove(folders[folder].file(entry.path)))] = .nothing
        }
    }

    mutating func trashFound(_ folder: Int, _ result: StoreResult, at now: Moment, into effects: inout Effects) {
        guard case .entries(let entries, _, _) = result else { return }
        for entry in entries where entry.isFolder && isOld(entry.path.name, at: now) {
            errands[effects.store(list(entry.path, folder, deep: true))] = .trashed(folder, entry.path)
        }
    }

    /// Whether the time in the name of a folder in the trash is long ago.
    private func isOld(_ name: String, at now: Moment) -> Bool {
        // The name is `2026-11-20T101500`: texts of one form are in the order of their times.
        let limit = now.wallClock + (.zero - configuration.trashTime)
        guard let oldest = Marker.trash(Path(checked: "x"), at: limit)?.components.dropLast().last else { return false }
        return name.utf8.lexicographicallyPrecedes(oldest.utf8)
    }

    /// Removes what lies in one folder of the trash, and then that folder. What is left is found the next time.
    mutating func trashListed(
        _ folder: Int, _ place: RelativePath, _ result: StoreResult, into effects: inout Effects
    ) {
        guard case .entries(let entries, let more, _) = result else { return }
        for entry in entries.reversed() {
            errands[effects.store(.remove(folders[folder].file(entry.path)))] = .nothing
        }
        if more {
            errands[effects.store(list(place, folder, deep: true))] = .trashed(folder, place)
        } else {
            errands[effects.store(.remove(folders[folder].file(place)))] = .nothing
        }
    }
}
