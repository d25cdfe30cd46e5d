/// The word that was probably meant by `word`: the nearest by edit distance, if it is near; the first of equals.
///
/// Case, `_` and `-` do not count, so that `max_inbound` finds `maxInbound`.
func nearest(to word: String, in known: [String]) -> String? {
    // One mistake in three letters is a guess worth making, and four in a word are another word.
    let limit = min(max(1, word.count / 3), 3)
    let meant = Array(bare(word))
    var best: (word: String, distance: Int)?
    for candidate in known {
        let letters = Array(bare(candidate))
        guard abs(letters.count - meant.count) <= limit else { continue }
        let distance = editDistance(meant, letters)
        if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.word
}

private func bare(_ word: String) -> String { word.lowercased().filter { $0 != "_" && $0 != "-" } }

/// How many letters must be put in, left out, replaced, or swapped with their neighbour to make one word of the other
/// (the "optimal string alignment" distance).
func editDistance(_ a: [Character], _ b: [Character]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for row in a.indices {
        var current = [row + 1]
        for column in b.indices {
            let replaced = last[column] + (a[row] == b[column] ? 0 : 1)
            var distance = min(replaced, last[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, a[row] == b[column - 1], a[row - 1] == b[column] {
                distance = min(distance, beforeLast[column - 1] + 1)
            }
            current.append(distance)
        }
        (beforeLast, last) = (last, current)
    }
    return last[b.count]
}
