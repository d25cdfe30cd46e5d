internal import PeerCore

/// A log line for a person at a terminal: time of day, level, category, event, fields, message.
enum LogText {
    static func line(_ record: Record, _ level: LogLevel, isColoured: Bool) -> String {
        var parts: [String] = []
        var message = ""
        for field in record.fields {
            let text = field.value.plain.escapedForTerminal
            switch field.name {
            case "ts": parts.append(colour(String(text.dropFirst(11).dropLast()), "2", isColoured))
            case "level": parts.append(colour(pad(text, 5), shade(level), isColoured))
            case "cat": parts.append(pad(text, 9))
            case "event": parts.append(colour(text, "1", isColoured))
            case "msg": message = text
            default: parts.append(colour(field.name + "=", "2", isColoured) + quoted(text))
            }
        }
        return parts.joined(separator: " ") + (message.isEmpty ? "" : "  " + colour("# " + message, "2", isColoured))
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func quoted(_ text: String) -> String {
        text.contains(" ") ? "\"\(text)\"" : text
    }

    private static func shade(_ level: LogLevel) -> String {
        switch level {
        case .error: "31;1"
        case .warn: "33"
        case .info: "32"
        case .debug, .trace: "2"
        }
    }

    private static func colour(_ text: String, _ code: String, _ isColoured: Bool) -> String {
        isColoured ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
