/// An ordered list of named values: a log line, a status row, a stored row, a reply to the operator.
public struct Record: Hashable, Sendable {
    /// One named value.
    public struct Field: Hashable, Sendable {
        /// The name.
        public let name: String
        /// The value.
        public let value: Value
    }

    /// In the order in which they are shown.
    public private(set) var fields: [Field]

    /// No fields.
    public init() {
        fields = []
    }

    /// Fields in this order, whose names are all different.
    public init(_ fields: some Sequence<(String, Value)>) {
        self.fields = fields.map { Field(name: $0.0, value: $0.1) }
    }

    /// The value called `name`. Setting appends or replaces; setting nil removes.
    public subscript(name: String) -> Value? {
        get { fields.first { $0.name == name }?.value }
        set {
            let index = fields.firstIndex { $0.name == name }
            switch (index, newValue) {
            case (let index?, let value?): fields[index] = Field(name: name, value: value)
            case (let index?, nil): fields.remove(at: index)
            case (nil, let value?): fields.append(Field(name: name, value: value))
            case (nil, nil): break
            }
        }
    }

    /// The fields of both, `other`'s last.
    public func appending(_ other: Record) -> Record {
        var result = self
        result.fields += other.fields
        return result
    }
}

extension Record: ExpressibleByDictionaryLiteral {
    /// Fields in the order written.
    public init(dictionaryLiteral elements: (String, Value)...) {
        fields = elements.map { Field(name: $0.0, value: $0.1) }
    }
}

extension Record {
    /// A value in a record.
    public indirect enum Value: Hashable, Sendable {
        /// No value.
        case null
        /// Yes or no.
        case bool(Bool)
        /// A whole number.
        case int(Int64)
        /// A number with a fraction.
        case double(Double)
        /// A text.
        case string(String)
        /// A list.
        case list([Value])
        /// Named values.
        case record(Record)
    }

    /// The text called `name`, when it is one.
    public func string(_ name: String) -> String? {
        if case .string(let value)? = self[name] { value } else { nil }
    }

    /// The whole number called `name`, when it is one.
    public func int(_ name: String) -> Int64? {
        if case .int(let value)? = self[name] { value } else { nil }
    }

    /// The number called `name`, whole or not.
    public func double(_ name: String) -> Double? {
        switch self[name] {
        case .double(let value): value
        case .int(let value): Double(value)
        default: nil
        }
    }

    /// The truth value called `name`; a stored row gives it back as 0 or 1.
    public func bool(_ name: String) -> Bool? {
        switch self[name] {
        case .bool(let value): value
        case .int(0): false
        case .int(1): true
        default: nil
        }
    }

    /// The list called `name`, when it is one.
    public func list(_ name: String) -> [Value]? {
        if case .list(let value)? = self[name] { value } else { nil }
    }

    /// The record called `name`, when it is one.
    public func record(_ name: String) -> Record? {
        if case .record(let value)? = self[name] { value } else { nil }
    }
}

extension Record.Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral
{
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// A number.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// Yes or no.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// No value.
    public init(nilLiteral: ()) { self = .null }
    /// A list.
    public init(arrayLiteral elements: Record.Value...) { self = .list(elements) }

    /// The text form of any value.
    public static func text(_ value: some CustomStringConvertible) -> Record.Value { .string(value.description) }

    /// A whole number; one above 2^63 - 1 is shown as that.
    public static func count(_ value: some BinaryInteger) -> Record.Value { .int(Int64(clamping: value)) }

    /// A duration in seconds with milliseconds.
    public static func seconds(_ duration: Duration) -> Record.Value {
        .double(Double(duration.nanoseconds / 1_000_000) / 1000)
    }

    /// The wall clock as RFC 3339 text, UTC, with milliseconds.
    public static func time(_ clock: WallClock) -> Record.Value { .string(clock.timestamp) }
}
