"""The node among peers of 2009 (bepeer_old): stock HTTP server, no extension, no ranges (bepeer.md sections 0 to 4)."""
import os
import time

from bepeer_old import OldPeer
from bepeer_random import Network, old_place
from bepeer_wire import OFFER, conflict_name, digest_of, offer, report
from bepeer_world import NAME, QUIET
from cases import case
from sockets import check, equal, loopback_host
from world import octets, settle

FILES = {
    "File1": b"one\n", "File2": b"two\n", "sub/a b.txt": b"x" * 300_000, "résumé #1 100%.pdf": b"?", "empty": b"",
    "deep/er/動作": b"deep"}
LATE = 40.0
HABITS = (
    {}, {"layout": "bare"}, {"single": True}, {"literal": True}, {"layout": "bare", "single": True, "literal": True})


def same(node, peer, seconds=LATE):
    node.until("equal folders", lambda: node.tree() == peer.versions(), seconds)


@case("An old peer joins a node's folder (3)", 150)
def old_joiner(world):
    """In every habit of its file server; updates go both ways."""
    for habits in HABITS:
        node, peer = world.node(FILES), world.old(**habits)
        peer.join(node.host, node.port)
        peer.wait("peer", peer=node.host, seconds=LATE)
        node.about("trusted", peer.host)
        same(node, peer)
        exchange(node, peer)
        node.stop()
        peer.close()


@case("A node joins an old peer's folder (3)", 150)
def old_owner(world):
    """The same the other way round."""
    for habits in HABITS:
        peer = world.old(FILES, **habits)
        node = world.home(share={"peers": [peer.address]}).start()
        peer.wait("peer", peer=node.host, seconds=LATE)
        node.about("trusted", peer.host)
        same(node, peer)
        exchange(node, peer)
        node.stop()
        peer.close()


def exchange(node, peer):
    """Updates both ways; none comes back, and the folders are equal."""
    offers = len(node.of("offer"))
    peer.update(("File1", b"of the old peer\n"), ("new/x", octets(100_000)))
    peer.wait_files("confirms", "File1", "new/x", seconds=LATE)
    same(node, peer)
    settle(2 * QUIET + 1)
    equal(len(node.of("offer")), offers, "offers of what came from there")
    node.put("File2", b"of the node\n")
    node.put("new/y", octets(50_000, 2))
    peer.wait_files("fetched", "File2", "new/y", seconds=LATE)
    peer.wait_files("confirmed", "File2", "new/y", seconds=LATE)
    same(node, peer)
    equal(node.copies(), [], "conflict copies")
    hellos = [one for one in peer.requests if one[2].startswith("/.bepeer/")]
    check(len(hellos) <= 2, f"the extension is asked for once per peer and hour: {hellos}")


@case("A change passes through a node between two old peers, and through an old peer between two nodes (4)", 120)
def old_line(world):
    """old - node - old; node - old - node."""
    first, second = world.old(FILES), world.old()
    node = world.home(share={"peers": [first.address]}).start()
    first.wait("peer", peer=node.host, seconds=LATE)
    second.join(node.host, node.port)
    second.wait("peer", peer=node.host, seconds=LATE)
    first.update(("File1", b"of the first\n"))
    second.wait("fetched", files=["File1"], seconds=LATE)
    second.update(("File2", b"of the second\n"))
    first.wait("fetched", files=["File2"], seconds=LATE)
    same(node, first)
    equal(first.versions(), second.versions(), "folders of the old peers")
    node.stop()
    middle = world.old(FILES)
    nodes = [world.home(share={"peers": [middle.address]}).start() for _ in range(2)]
    for one in nodes:
        middle.wait("peer", peer=one.host, seconds=LATE)
    for writer, reader in (nodes, nodes[::-1]):
        text = f"from {writer.host}\n".encode()
        writer.put("File1", text)
        reader.has("File1", text, LATE)
        # An edit before the old peer has looked would be a conflict for it.
        digest = digest_of(text)
        middle.wait_for(f"confirmation of {reader.host}", lambda reader=reader, digest=digest: [
            one for one in middle.of("confirms", peer=reader.host) if one["versions"] == [digest]], LATE)
    for one in nodes:
        equal(one.copies(), [], "conflict copies")
        one.stop()


@case("Toward old peers a delete is not propagated, and what an old peer still offers does not come back (4.4)", 90)
def old_deletes(world):
    """An offer of other content brings the file back: edit wins."""
    node, peer = world.node(FILES), world.old()
    peer.join(node.host, node.port)
    peer.wait("peer", peer=node.host, seconds=LATE)
    os.unlink(node.path("File1"))
    node.wait("delete", seconds=LATE)
    settle(2 * QUIET)
    check(peer.read("File1") == FILES["File1"], "an old peer has deleted a file")
    for _ in range(2):
        peer.announce(["File1", "File2"])
        settle(3)
        equal(node.content("File1"), None, "a deleted file")
        node.stop()
        node.start()    # asks for the full list again
    settle(3)
    equal(node.content("File1"), None, "a deleted file after a restart")
    peer.update(("File1", b"edited there\n"))
    node.has("File1", b"edited there\n", LATE)
    node.stop()


@case("Concurrent edits with an old peer: differs from the offered one and from what was last agreed (4.3)", 120)
def old_conflicts(world):
    """The node stands still while both edit: the later mtime wins, and neither content is lost."""
    for local_time, is_local_winner in ((int(time.time()) - 100, True), (1_000_000_000, False)):
        node, peer = world.member({"File1": b"v1\n"})    # its Last-Modified is of 2009
        with node.frozen():
            node.put("File1", b"edited here\n", mtime=local_time)
            peer.share(NAME, File1=b"edited there\n")
            peer.link.send(offer(NAME, "File1"))
        there = (b"edited there\n", 1_234_567_890)
        here = (b"edited here\n", local_time)
        (won, _), (lost, when) = (here, there) if is_local_winner else (there, here)
        copy = conflict_name("File1", when, digest_of(lost))
        node.has_tree({"File1": digest_of(won), copy: digest_of(lost)}, LATE)
        node.wait("conflict")
        # What is new for the peer is offered to it, one offer after the report of the other (4.1).
        peer.share_all(NAME, {"File1": won, copy: lost})
        names, heard = {copy, "File1"} if is_local_winner else {copy}, []

        def offered(peer=peer, names=names, heard=heard):
            for message in peer.got(OFFER)[len(heard):]:
                heard.append(message)
                peer.link.send(report(NAME, *message.files))
            return names <= {name for message in heard for name in message.files}
        node.until("the offer", offered, LATE)
        node.about("verify_ok", peer.host)
        node.stop()


@case("A single file is a folder with that one name (1, 2.1)")
def old_single_file(world):
    """S: file or folder name. A change is no conflict; a loser of one stays where it is, and is nobody else's."""
    def write(path, data, mtime=None):
        with open(path, "wb") as file:
            file.write(data)
        if mtime:
            os.utime(path, (mtime, mtime))
    there, here = (os.path.join(world.place(), "notes.txt") for _ in range(2))
    for path in (there, here):
        write(path, b"v1\n")
    peer = world.own(OldPeer(there, loopback_host()))
    node = world.home(folders=[{"name": "notes.txt", "path": here, "peers": [peer.address]}]).start()
    peer.wait("peer", peer=node.host, seconds=LATE)

    peer.update(("notes.txt", b"v2\n"))

    def arrived():
        with open(here, "rb") as file:
            return file.read() == b"v2\n"
    node.until("the update", arrived, LATE)
    equal(node.of("conflict"), [], "conflicts")
    node.stop()
    write(here, b"ours\n", mtime=1_000_000_000)
    other = world.peer()
    node = world.home(folders=[{"name": "notes.txt", "path": here, "peers": [other.address]}]).start()
    other.files.contents["/notes.txt"] = b"theirs\n"      # its Last-Modified is of 2009
    other.serve_join("notes.txt", {"notes.txt": b"theirs\n"})
    node.wait("conflict")
    settle(2 * QUIET)
    copies = [name for name in os.listdir(os.path.dirname(here)) if ".sync-conflict-" in name]
    equal(len(copies), 1, "losers that are kept")
    equal(other.got(OFFER), [], "what is offered of a single file")
    node.stop()


@case("Old peers and nodes together, seeded random operations (4)", 420)
def old_random(world):
    """Creates and edits only, since an old peer knows no deletes."""
    network = Network(world, 2, "line", {"File1": b"one\n"})
    network.start()
    peers = [old_place(world, node) for node in network.nodes]
    summary = network.run(world.options.seed, world.options.operations // 2, rounds=2, more=peers)
    network.stop()
    return summary
