"""Several real nodes (sections 4, 6.2, 8 and 9)."""
import contextlib
import datetime
import os
import time

from cases import case
from files_wire import DOWNLOAD, LIST, QUERY, check, equal, loopback_host, loopback_port
from node import Refused
from world import octets


@case()
def three_nodes(world):
    """A knows only B and B only C: A finds C's file and downloads it, and it comes verified (4.2, 7.1, 8)."""
    big = octets(3 << 20)
    fast = {"peerListIntervalSeconds": 0.5}
    third = world.node({"the file of C.bin": big, "other": b"x"}, **fast)
    second = world.node({"in B": b"b"}, initialPeers=[third.identity], **fast)
    first = world.node({"in A": b"a"}, initialPeers=[second.identity], **fast)
    first.wait("peer_live", peer=second.identity)
    first.wait("peer_live", peer=third.identity)
    found, failed, last = first.search("file of C")
    equal(failed, [], "failed peers")
    equal(last["asked"], 2, "peers that are asked")
    equal([(row["name"], row["peer"], row["size"]) for row in found], [("the file of C.bin", third.identity, 3 << 20)],
          "what is found")
    done = first.download(number=found[0]["number"])
    equal((done["path"], done["bytes"], done["complete"]), ("the file of C.bin", 3 << 20, "verified"), "the download")
    check(first.content("the file of C.bin") == big, "the file differs")
    # What came is shared in its turn, whole or not at all.
    first.shows("the file of C.bin")
    second.until("both", lambda: len(second.search("file of C")[0]) == 2)
    # Who came last to know whom: C has heard of A, since A has announced itself.
    third.wait("peer_live", peer=first.identity)
    equal({row["peer"] for row in third.admin("files.peers")}, {first.identity, second.identity}, "peers of C")
    for node in (first, second, third):
        node.stop()


@case(seconds=90)
def ten_seconds(world):
    """Two list connections of one node start at least 10 s apart, whoever is asked and whatever comes of it; searches
    and downloads do not wait (4.3)."""
    starts = []

    def heard(sock, _):
        starts.append(time.monotonic())

    lists = [world.peer(list=heard) for _ in range(2)]
    nobody = f"{loopback_host()}:{loopback_port()}"
    node = world.node({"own": b"x"}, initialPeers=[lists[0].identity, nobody, lists[1].identity])
    begin = time.monotonic()
    node.until("the first list", lambda: len(starts) == 1)
    check(time.monotonic() - begin < 8, "the first does not wait")
    node.wait("peer_failed", peer=nobody, seconds=30)
    equal(len(starts), 1, "connections when the second peer was dialled")
    # They go on meanwhile.
    for _ in range(5):
        equal(node.search("x")[2]["failed"], 0, "peers that cannot be asked")
    equal(node.refusal(name="x", peer=lists[1].identity), "empty_or_missing", "a download")
    node.until("the third list", lambda: len(starts) == 2, seconds=30)
    node.until("both answers", lambda: len(node.of("list_out")) == 2)
    # The node's own clock, since ours may have been late.
    moments = [moment(line) - line["ms"] / 1000 for line in node.of("list_out")]
    failed = moment(node.of("peer_failed", peer=nobody)[0])
    check(moments[-1] - moments[0] >= 19.9, f"three lists within {moments[-1] - moments[0]:.3f} s")
    check(failed - moments[0] >= 9.9, f"the second came {failed - moments[0]:.3f} s after the first")
    check(starts[1] - starts[0] >= 19, f"three lists within {starts[1] - starts[0]:.3f} s of ours")
    node.stop()
    return f"{failed - moments[0]:.3f} s, {moments[-1] - moments[0]:.3f} s"


def moment(line):
    return datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()


@case()
def one_address(world):
    """Two nodes on one address have ports three apart, and nothing less: all three are bound, or none (9)."""
    host, port = loopback_host(), loopback_port()
    first = world.home(host=host, port=port)
    first.put("first", b"1")
    first.start()
    for distance in (-2, -1, 0, 1, 2):
        other = world.home(host=host, port=port + distance)
        other.start(listening=False)
        equal(other.process.wait(20), 69, f"the status of a node {distance} beside another")
        taken = {f"{host}:{port + offset}" for offset in (LIST, QUERY, DOWNLOAD)}
        failed = other.wait("listen_failed")
        check(failed["address"] in taken, f"{failed['address']} is named, taken are {taken}")
        other.until("its complaint", lambda node=other: any("in use" in line for line in node.complaints))
        equal([line for line in other.of("list_out")], [], "calls of a node that cannot listen")
    for distance in (-3, 3):
        other = world.home({"initialPeers": [first.identity]}, host=host, port=port + distance)
        other.put(f"second {distance}", b"2")
        other.start()
        other.wait("peer_live", peer=first.identity)
        equal(sorted(row["name"] for row in other.search("first")[0]), ["first"], "what the neighbour has")
        equal(other.download(name="first", peer=first.identity)["complete"], "verified", "its file")
        other.stop()
    first.stop()


@case(seconds=60)
def restarts(world):
    """The list of known peers survives the end of a node; a peer that is gone leaves the list at once and is told to
    nobody (4.4)."""
    first = world.node({"first": b"1"})
    second = world.home({"initialPeers": [first.identity]})
    second.start()
    second.wait("peer_live", peer=first.identity)
    second.stop()
    second.configure({}, {})
    second.start()
    equal([row["peer"] for row in second.admin("files.peers", all=True)], [first.identity], "peers that were saved")
    found, _, _ = second.search("first")
    equal([row["peer"] for row in found], [first.identity], "what the saved peer has")
    first.stop()
    equal(second.search("first")[1], [{"peer": first.identity, "failed": "refused"}], "a peer that is gone")
    second.wait("peer_failed", peer=first.identity)
    equal(second.list(b"\n").lines, [], "who is told of it")
    equal(second.search("first")[2]["asked"], 0, "who is asked for files")
    # It announces itself again, and is back.
    first.start()
    first.list(b"\n")
    back = second.list(first.identity.encode() + b"\n", source=first.host)
    equal(back.lines, [first.identity.encode()], "who has announced itself again")
    second.stop()
    first.stop()


@case(seconds=1500)
def killed_downloads(world):
    """A download from our own node survives that the downloading node is killed: it goes on where it was, so that at
    most a tenth of the octets are fetched again, and the whole is verified (8)."""
    size, kills = world.options.bytes, world.options.kills
    # So slow that there is time to be killed, and that little is on its way.
    rate = max(8 << 20, size // 32)
    server = world.home(sections={"limits": {"uploadBytesPerSecond": rate}})
    block = octets(1 << 20)
    with open(server.path("big"), "wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    server.start()
    node = world.home(sections={"log": {"level": "info", "format": "json"}})
    step, seen, had = size // (kills + 1), [], []
    for number in range(kills):
        node.start()

        def kill_at(row, goal=(number + 1) * step):
            seen.append(row.get("bytes", 0))
            if seen[-1] >= goal:
                node.kill()

        with contextlib.suppress(ConnectionError, Refused):
            node.ask("files.download", {"name": "big", "peer": server.identity}, seconds=300, row=kill_at)
        check(node.process.poll() is not None, f"the download ended before kill {number + 1}")
        had.append(seen[-1])
    node.start()
    done = node.ask("files.download", {"name": "big", "peer": server.identity}, seconds=300)[-1]
    equal((done["path"], done["bytes"], done["complete"]), ("big", size, "verified"), "the last download")
    server.until("the end of all uploads", lambda: server.status()["uploads"] == 0, seconds=30)
    equal(server.process.poll(), None, "the serving node")
    with open(server.path("big"), "rb") as file, open(node.path("big"), "rb") as copy:
        while piece := file.read(1 << 20):
            check(piece == copy.read(1 << 20), "the file differs")
        equal(copy.read(), b"", "what follows it")
    firsts = [line["first"] for line in server.of("upload_start")]
    equal(len(firsts), kills + 1, "uploads")
    lost = sum(max(0, count - first) for count, first in zip(had, firsts[1:]))
    check(lost <= size // 10, f"{lost} octets of {size} that had come were lost: {had}, {firsts}")
    sent = sum(line["bytes"] for line in server.of("upload_abort") + server.of("upload_done"))
    again = sent - size
    check(again <= size // 10, f"{again} octets of {size} were fetched again, from {firsts}")
    equal(node.leftovers(), [], "parts")
    node.stop()
    server.stop()
    return f"{100 * again / size:.1f} % fetched again"


@case(seconds=60)
def killed_plain_downloads(world):
    """What a killed node has left of downloads that cannot be continued is gone after its next start, and other files
    stay (6.2)."""
    def dripping(sock, _):
        while True:
            sock.sendall(b"x" * 100_000)
            time.sleep(0.05)

    peer = world.peer(download=dripping)
    node = world.home({"extensions": False})
    node.put("precious", b"content")
    node.start()

    def kill(_):
        if node.leftovers():
            node.kill()

    with contextlib.suppress(ConnectionError):
        node.ask("files.download", {"name": "file", "peer": peer.identity}, row=kill)
    equal(len(node.leftovers()), 1, "parts of a killed node")
    node.start()
    node.until("no part", lambda: not node.leftovers())
    equal(set(os.listdir(node.folder)), {"precious", ".peernode"}, "the folder")
    equal(node.names(), [b"precious"], "what is shared")
    node.stop()


@case(seconds=60)
def early_downloads(world):
    """A download that begins as soon as the node can be spoken to is none of the leftovers of earlier lives (6.2)."""
    data = octets(300_000)

    def slowly(sock, _):
        for first in range(0, len(data), 30_000):
            sock.sendall(data[first:first + 30_000])
            time.sleep(0.05)

    peer = world.peer(download=slowly)
    node = world.home({"extensions": False})
    for number in range(8):
        node.start(listening=False)
        node.wait("listening", listener="admin")
        done = node.download(name=f"file {number}", peer=peer.identity)
        equal(done["bytes"], len(data), "octets")
        check(node.content(f"file {number}") == data, "the file differs")
        node.stop()
