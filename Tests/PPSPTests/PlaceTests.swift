import PeerCore
import Testing

@testable import PPSP

/// Where contents go that are fetched.
struct PlaceTests {
    private func open(_ folder: String, into: String?) -> [Effect] {
        var stage = Stage { $0.folder = folder }
        var arguments: Record = ["swarm": .text(Source(5000).id), "from": .list([.text(Stage.peer)])]
        if let into { arguments["into"] = .string(into) }
        return stage.ask("fetch", arguments)
    }

    private func places(_ effects: [Effect]) -> [String] {
        effects.compactMap { effect in if case .open(_, let place) = effect { place } else { nil } }
    }

    @Test(arguments: ["./contents", "/var/lib/contents"])
    func `a content without a place goes into the folder of the configuration, relative or not`(_ folder: String) {
        #expect(places(open(folder, into: nil)) == [folder])
    }

    @Test func `a place is the absolute path of a file`() {
        #expect(places(open("./contents", into: "/srv/film.mkv")) == ["/srv"])
        #expect(places(open("./contents", into: "film.mkv")).isEmpty)
    }
}
