/// The place of a file below a folder. The only way to name a file in an effect.
///
/// It cannot leave the folder: no empty component, no `.` or `..`, no component that begins with a dot unless asked
/// for, no NUL, no slash inside a component, no component above 255 octets, at most 4096 octets in all.
public struct RelativePath: Hashable, Comparable, Sendable {
    /// From the outermost folder to the file.
    public let components: [String]

    /// Checks `components`; nil when they could name anything but a file below the folder.
    public init?(components: [String], allowHidden: Bool = false) {
        let sizes = components.map(\.utf8.count)
        guard !components.isEmpty, sizes.allSatisfy({ (1...255).contains($0) }),
            sizes.reduce(components.count - 1, +) <= 4096
        else { return nil }
        for component in components {
            guard component != ".", component != "..", allowHidden || !component.utf8.starts(with: [UInt8(ascii: ".")]),
                !component.utf8.contains(0), !component.utf8.contains(UInt8(ascii: "/"))
            else { return nil }
        }
        self.components = components
    }

    /// Components separated by slashes, or nil as above.
    public init?(_ text: String, allowHidden: Bool = false) {
        self.init(
            components: text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }, allowHidden: allowHidden)
    }

    /// The last component.
    public var name: String { components[components.count - 1] }

    /// The folder of the file, nil at the top.
    public var parent: RelativePath? {
        RelativePath(components: Array(components.dropLast()), allowHidden: true)
    }

    /// Equal octets. Names that look alike and differ in octets are different files, which `String` does not tell
    /// apart.
    public static func == (a: RelativePath, b: RelativePath) -> Bool {
        a.components.elementsEqual(b.components) { $0.utf8.elementsEqual($1.utf8) }
    }

    /// Order of the octets, component by component.
    public static func < (a: RelativePath, b: RelativePath) -> Bool {
        a.components.lexicographicallyPrecedes(b.components) { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

extension RelativePath: CustomStringConvertible {
    /// Components separated by slashes.
    public var description: String { components.joined(separator: "/") }
}

/// A file: a folder of the configuration and a place below it.
public struct FileName: Hashable, Sendable, CustomStringConvertible {
    /// The folder.
    public let folder: FolderID
    /// The place below it.
    public let path: RelativePath

    /// The file at `path` below `folder`.
    public init(_ folder: FolderID, _ path: RelativePath) {
        self.folder = folder
        self.path = path
    }

    /// Folder and path, for the log.
    public var description: String { "\(folder):\(path)" }
}
