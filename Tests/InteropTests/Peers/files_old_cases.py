"""The node beside a peer with the habits of 2012 (section 0.1, and why the framing is as it is: section 3)."""
import os

from cases import case
from files_old import OldPeer, ask_list, ask_query, download
from files_wire import check, equal, loopback_host, loopback_port
from world import octets

BIG = 3 << 20


def old_peer(world, files=None, known=()):
    folder = world.place()
    for name, data in (files or {}).items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    return world.own(OldPeer(loopback_host(), loopback_port(), folder, known))


@case()
def old_caller(world):
    """The old program's client gets our list, our names and our files, octet by octet."""
    big = octets(BIG)
    node = world.node({"Report.txt": b"a report\n", "Big file.bin": big, "other": b"x"})
    # Both listen: whom the node cannot reach it does not tell of.
    folder, first, second = world.place(), world.peer(), world.peer()
    equal(ask_list(node.host, node.port, first.identity), [], "the first list")
    equal(ask_list(node.host, node.port, second.identity), [first.identity], "the second list")
    equal(ask_query(node.host, node.port, "ep"), ["Report.txt"], "a query")
    equal(ask_query(node.host, node.port, "REPORT"), [], "a query in another case")
    equal(ask_query(node.host, node.port, ""), ["Big file.bin", "Report.txt", "other"], "the empty query")
    for name, data in (("Report.txt", b"a report\n"), ("Big file.bin", big), ("none", b"")):
        path = download(node.host, node.port, name, folder)
        # The old client's own fault: the folder's name and the last letter.
        equal(path, folder + name[-1:], "where the old client stores it")
        with open(path, "rb") as file:
            check(file.read() == data, f"{name} differs")
    node.stop()


@case()
def old_callee(world):
    """A request is one segment with one LF at its end; `/Report-final.txt` is asked for as it was told, and is called
    Report-final.txt here; a blank line is nothing; an answer that holds any text holds no peer."""
    big = octets(BIG, 2)
    old = old_peer(
        world, {"Report-final.txt": b"final\n", "sub/report2.txt": b"two\n", "empty": b"", "big.bin": big},
        known=["", "some text", "127.0.0.300:7000"])
    node = world.node({"own": b"x"}, initialPeers=[old.identity])
    out = node.wait("list_out", target=old.identity)
    equal(out["got"], 3, "lines of the list, blank ones left out")
    check(node.identity in old.known, f"the old program knows {old.known}")
    found, failed, _ = node.search("REPORT")
    equal([row["name"] for row in found], ["/Report-final.txt", "/sub/report2.txt"], "what is found")
    equal(failed, [], "failed peers")
    for row, name, data in zip(found, ("Report-final.txt", "report2.txt"), (b"final\n", b"two\n")):
        done = node.download(number=row["number"])
        equal((done["path"], done["complete"], done["bytes"]), (name, "unverified", len(data)), "a download")
        equal(node.content(name), data, name)
    equal(node.download(name="/big.bin", peer=old.identity)["bytes"], BIG, "octets of the big file")
    check(node.content("big.bin") == big, "the big file differs")
    for name in ("/empty", "/none"):
        equal(node.refusal(name=name, peer=old.identity), "empty_or_missing", name)
    check("empty" not in os.listdir(node.folder), "an empty file was made")
    equal(node.search("nowhere")[0], [], "what is nowhere")
    for service, data in old.requests:
        check(data.endswith(b"\n") and data.count(b"\n") == 1 and b"\r" not in data, f"{service}: said {data}")
    check(("list", node.identity.encode() + b"\n") in old.requests, "the node says who it is")
    check(("download", b"/Report-final.txt\n") in old.requests, "the name goes back as it came")
    hellos = [data for _, data in old.requests if data.startswith(b"//p2x/1/")]
    equal(hellos, [b"//p2x/1/hello\n"], "lines of the extension: one, since the answer is remembered")
    equal(node.leftovers(), [], "parts")
    node.stop()


@case()
def old_both(world):
    """Two peers of 2012 that know only the node find each other through it; who calls first is read in the first 1024
    octets of its answer."""
    first, second = old_peer(world, {"a.txt": b"a"}), old_peer(world, {"b.txt": b"b"})
    # In their first lines are those that were met last: old programs read no more than 1024 octets.
    node = world.node({}, initialPeers=[first.identity], peerListIntervalSeconds=0.2)
    node.wait("peer_live", peer=first.identity)
    equal(ask_list(node.host, node.port, second.identity), [first.identity], "what the second hears")
    node.wait("peer_live", peer=second.identity)
    node.until("the second at the first", lambda: node.identity in second.known)
    node.wait("list_out", count=2, target=first.identity)
    found = node.search("txt")[0]
    equal(sorted(row["name"] for row in found), ["/a.txt", "/b.txt"], "files of both")
    many = [f"{loopback_host()}:{loopback_port()}" for _ in range(100)]
    for number, identity in enumerate(many):
        node.list(identity.encode() + b"\n", source=identity.split(":")[0] if number % 2 else None)
    start = node.list(f"{loopback_host()}:9\n".encode()).data[:1024].decode()
    check(first.identity in start and second.identity in start, "the live ones come first")
    node.stop()
