internal import PeerCore

/// Where the parts of a JSON text are.
public struct JSONOutline: Sendable {
    /// A value by its name in the value that holds it. (Whole pointers would take space that is quadratic in depth.)
    private struct Child: Hashable {
        let parent: Int
        let name: String
    }

    private struct Place {
        /// The value's number, in the order of the text.
        let number: Int
        /// Octets before its key.
        let key: Int?
        /// Octets before the value.
        let value: Int
    }

    private let text: Bytes
    private let rootOffset: Int
    private var places: [Child: Place] = [:]

    /// The root's number; it has no name in another value.
    static let root = 0

    /// An outline of `text` with its root alone, which begins at `rootOffset`.
    init(of text: Bytes, rootOffset: Int) {
        self.text = text
        self.rootOffset = rootOffset
    }

    /// Notes the value called `name` in the value `parent`; gives its number, or nil when there is one of that name.
    mutating func note(_ name: String, key: Int?, value: Int, in parent: Int) -> Int? {
        let number = places.count + 1
        let place = Place(number: number, key: key, value: value)
        return places.updateValue(place, forKey: Child(parent: parent, name: name)) == nil ? number : nil
    }

    /// Where the value begins; nil when the text has none there.
    public func position(of pointer: JSONPointer) -> JSONPosition? {
        guard !pointer.components.isEmpty else { return JSONPosition(of: rootOffset, in: text) }
        return place(of: pointer).map { JSONPosition(of: $0.value, in: text) }
    }

    /// Where the value's key begins; nil when the text has none there, or no key for it.
    public func position(ofKeyOf pointer: JSONPointer) -> JSONPosition? {
        place(of: pointer)?.key.map { JSONPosition(of: $0, in: text) }
    }

    private func place(of pointer: JSONPointer) -> Place? {
        var place: Place?
        for component in pointer.components {
            place = places[Child(parent: place?.number ?? Self.root, name: component)]
            guard place != nil else { return nil }
        }
        return place
    }
}
