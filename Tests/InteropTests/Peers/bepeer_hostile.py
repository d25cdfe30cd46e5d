"""Messages that break the rules, and who sends them: each costs its connection, and nobody else notices (bepeer.md
sections 2, 4.2, 7 and 12)."""
import contextlib
import os
import socket
import time

import bepeer_vectors
from bepeer_peer import extension
from bepeer_wire import (
    CONFIRM, OFFER, REPORT, confirm, digest_of, entry, manifest, offer, report, request, target_of)
from bepeer_world import NAME
from cases import case
from sockets import FIN, LATE, Wrong, check, dial, equal, exchange, loopback_host, read_answer
from world import octets, settle

ONE = {"File1": b"one\n"}
UNASKED = ("unsolicited", "unknown_folder")


def three_folders(world):
    """A node whose folders are those of the vectors."""
    node = world.home(folders=[{"name": name} for name in (NAME, "a", "b")])
    for share in range(3):
        node.put("File1", b"one\n", share)
    return node.start()


def serves(world, node, name=NAME):
    """A stranger is answered as ever."""
    link = world.peer(listening=False).dial(node.message_address)
    link.send(request(name))
    link.expect(OFFER, name=name)
    link.close()


@case("Anything that breaks these rules: log reject with reason, close the connection (2.1, vectors parse)")
def parse_vectors(world):
    """Each vector comes from a stranger of its own: what is valid is answered or ignored, and the connection stays."""
    node, count = three_folders(world), 0
    for vector in bepeer_vectors.load(world.options.vectors, "parse"):
        peer, messages = world.peer(listening=False), vector["expect"]["messages"]
        link = peer.dial(node.message_address)
        link.write(bepeer_vectors.octets(vector))
        try:
            for expected in messages:
                play(node, peer, link, expected)
            if not {"error", "incomplete"} & set(messages[-1]):
                link.send(request(NAME))
                link.expect(OFFER, name=NAME)
        except Wrong as error:
            raise Wrong(f"{vector['id']} {vector['name']}: {error}") from None
        equal(peer.files.requests, [], f"{vector['id']}: requests for a stranger's files")
        peer.close()
        count += 1
    node.stop()
    return f"{count} vectors"


def play(node, peer, link, expected):
    if "error" in expected:
        link.closed()
        node.rejected(expected["error"], peer.host)
    elif "incomplete" in expected:
        link.finish()
        link.closed()
        equal(len(node.told("reject", peer.host)), 0, "refusals of a message that was cut")
    elif expected["type"] == "BePeerRequest":
        link.expect(OFFER, name=expected["name"])
    else:
        node.rejected(UNASKED, peer.host)


@case("Bad names are skipped, good ones kept, the message is still valid (7, vectors parse)", 120)
def offered_names(world):
    """The lists of the vectors, from a trusted peer: exactly the accepted names are fetched and reported."""
    node = three_folders(world)
    peer, count = world.peer(), 0
    links = {}
    for name in (NAME, "a"):
        peer.become_trusted(node, name)
        links[name] = peer.link
    for vector in bepeer_vectors.load(world.options.vectors, "parse"):
        for expected in vector["expect"]["messages"]:
            if expected.get("type") != OFFER or not expected["files"] or expected["protocol"] != "HTTP":
                continue
            count += 1
            folder, files = expected["name"], expected["files"]
            # Of a length of their own: all have the same time of change.
            contents = {name: f"{vector['id']} {name} {'x' * count}".encode() for name in files}
            peer.share_all(folder, contents)
            since, before = time.monotonic(), len(peer.files.requests)
            data = bepeer_vectors.octets(vector)
            # Of several messages only the offer, and where our own server is.
            data = data[data.index(b"File"):] if data.startswith(b"BePeer") else data
            data = data.partition(b"BePeerRequest")[0].replace(b"\n80\n", b"\n7010\n")
            links[folder].write(data)
            try:
                where, _ = peer.await_message(REPORT, *files, since=since)
            except Wrong as error:
                raise Wrong(f"{vector['id']} {vector['name']}: {error}") from None
            where.send(confirm(folder, *files))
            allowed = {target_of(folder, name) for name in files}
            asked = {one.target.partition("?")[0] for one in peer.files.requests[before:]}
            asked = {target for target in asked if not target.startswith("/.bepeer/")}
            equal(asked, allowed, f"{vector['id']}: what is fetched")
            share = (NAME, "a").index(folder)
            for name, content in contents.items():
                equal(node.content(name, share), content, f"{vector['id']}: {name}")
    node.stop()
    return f"{count} lists"


@case("EOF before the empty line: the message is discarded whole, nothing is done (2.1)")
def cut_lists(world):
    """A trusted peer's list that is cut anywhere is no list; the same one whole is."""
    node = world.node(ONE)
    peer = world.joined(node)
    message = offer(NAME, "new1", "new2").bytes
    peer.share_all(NAME, {"new1": b"1", "new2": b"2"})
    for end in range(1, len(message)):
        link = peer.dial(node.message_address)
        link.write(message[:end])
        link.finish()
        link.closed()
    settle()
    equal([one for one in peer.files.requests if "new" in one.target], [], "requests because of cut lists")
    peer.update(NAME, {"new1": b"1", "new2": b"2"})
    node.has("new1", b"1")
    node.stop()


@case("Parsing is incremental: octets may come one at a time, and many messages at once (2.1)")
def octet_by_octet(world):
    """A message in single octets; CR LF and LF mixed; several messages in one segment; the last behind FIN."""
    node = world.node(ONE)
    peer = world.joined(node)
    data = b"\r\nFileToGet\r\n" + NAME.encode() + b"\n7010\r\nhttp\nslow\r\n[EOL]\r\n"
    peer.share_all(NAME, {"slow": b"slow"})
    since = time.monotonic()
    peer.link.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.link.write(data, pause=0.002, piece=1)
    where, _ = peer.await_message(REPORT, "slow", since=since)
    where.send(confirm(NAME, "slow"))
    link = world.peer(listening=False).dial(node.message_address)
    link.send(*[request(NAME)] * 20)
    link.finish()
    for _ in range(20):
        link.expect(OFFER)
    link.closed(10)
    node.stop()


@case("Limits: line 4096 bytes, 1 000 000 names, 64 MiB per message; memory is bounded by the list (2.1)", 240)
def too_much(world):
    """What never ends is closed as soon as it is too much, and takes no memory. (--set maxNames and messageBytes make
    it short for a program that is slow.)"""
    names, size = world.settings.get("maxNames", 1_000_000), world.settings.get("messageBytes", 64 << 20)
    node = world.node(ONE, firstMessageSeconds=200)
    before, memory = node.descriptors(), node.memory()
    head, line = b"FilesToGet\n" + NAME.encode() + b"\n80\nHTTP\n", b"same/" * 40 + b"x\n"
    for data, reasons in [
        (b"x" * 4097, ("too_long", "syntax")),
        (b"\xff" * (1 << 20), ("too_long", "syntax")),
        (head + b"n" * 4097, ("too_long",)),
        (head + b"n" * (8 << 20), ("too_long",)),
        (b"\n" * 9, ("syntax", "too_long", "limit")),
        (head + b"".join(b"%d\n" % number for number in range(names + 1)), ("limit", "too_long")),
        (head + line * (size // len(line) + 1), ("limit", "too_long")),
    ]:
        host = loopback_host()
        with dial(node.message_address, host, 200) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
            answer = read_answer(sock, 200)
        check(answer.data == b"" and answer.end != LATE, f"{len(data)} octets {data[:20]}: {answer}")
        node.rejected(reasons, host)
    serves(world, node)
    grown = node.grown(memory)
    check(grown < 200 << 20, f"lists that are too long took {grown >> 20} MiB")
    node.until(f"as few descriptors as before, {before}", lambda: node.descriptors() <= before, 30)
    node.stop()
    return f"{grown >> 20} MiB"


@case("A list of a million names is taken as a whole (2.1)", 150, slow=True)
def a_million_names(world):
    """As many names as are allowed, from a stranger: ignored like any other, and the connection stays."""
    node = world.node(ONE)
    peer = world.peer(listening=False)
    link = peer.dial(node.message_address)
    link.write(b"FilesToGet\n" + NAME.encode() + b"\n80\nHTTP\n" + b"".join(
        b"%d\n" % number for number in range(1_000_000)) + b"\n")
    node.rejected("unsolicited", peer.host, 60)
    link.send(request(NAME))
    link.expect(OFFER)
    node.stop()


@case("First complete message within 30 s of accept; afterwards 60 s per message, idle closed after 120 s (2.1)", 200,
      slow=True)
def slow_senders(world):
    """The deadlines do not begin again with each octet."""
    node = world.node(ONE)
    begin = time.monotonic()
    kinds = {name: dial(node.message_address, loopback_host()) for name in ("silent", "drip", "half", "idle")}
    for name in ("half", "idle"):
        kinds[name].sendall(request(NAME).bytes)
    kinds["half"].sendall(b"FilesToGet\n")
    ended = {}
    while len(ended) < 4 and time.monotonic() - begin < 150:
        with contextlib.suppress(OSError):
            kinds["drip"].sendall(b"B")
        if "half" not in ended:
            with contextlib.suppress(OSError):
                kinds["half"].sendall(b"a")
        for name, sock in kinds.items():
            if name not in ended and read_answer(sock, seconds=0.2).end != LATE:
                ended[name] = time.monotonic() - begin
    for name, seconds in (("silent", 30), ("drip", 30), ("half", 60), ("idle", 120)):
        took = ended.get(name, 999)
        check(seconds - 1.5 < took < seconds + 8, f"{name}: ended after {took:.1f} of {seconds} s")
    serves(world, node)
    node.stop()
    return str({name: round(seconds, 1) for name, seconds in ended.items()})


@case("More than 16 connections per source IP are not accepted until one ends (2.1)")
def crowds(world):
    """The seventeenth waits or is turned away; another source is served; when one ends, there is room."""
    node = world.node(ONE)
    host = loopback_host()
    held = [dial(node.message_address, host) for _ in range(16)]
    held[0].sendall(request(NAME).bytes)
    check(read_answer(held[0], 10, 10).data == b"FilesToGet", "the first of sixteen is not answered")
    answer = exchange(node.message_address, request(NAME).bytes, source=host, seconds=2)
    equal(answer.data, b"", "the answer to the seventeenth")
    serves(world, node)
    for sock in held[:4]:
        sock.close()

    def room():
        with contextlib.suppress(OSError):
            return exchange(node.message_address, request(NAME).bytes, source=host, seconds=1).data
    node.until("room again", room)
    for sock in held:
        sock.close()
    node.stop()


@case("More than 256 connections in all are not accepted until one ends (2.1)", slow=True)
def full_house(world):
    """The 257th connection has no answer; when the others end, it is served as ever."""
    node = world.node(ONE)
    with contextlib.ExitStack() as stack:
        for number in range(256):
            host = f"127.88.{number // 16}.1"
            stack.enter_context(dial(node.message_address, host))
        settle()
        with contextlib.suppress(ConnectionError):
            answer = exchange(node.message_address, request(NAME).bytes, source="127.89.1.1", seconds=2)
            equal(answer.data, b"", "the answer to the 257th")
    serves(world, node)
    node.stop()


@case("FilesToGet from who is not trusted: ignored, reject unsolicited (4.2, bp-scenario-05)")
def unsolicited_offer(world):
    """Neither a stranger nor one who has asked and fetched, but not shown anything, can push."""
    node = world.node(ONE)
    stranger, asker = world.peer(), world.peer()
    for peer in (stranger, asker):
        peer.share(NAME, virus=b"x")
        link = peer.dial(node.message_address)
        if peer is asker:
            link.send(request(NAME))
            link.expect(OFFER)
        link.send(offer(NAME, "virus"))
        node.rejected("unsolicited", peer.host)
        # A confirmation of what was never reported makes no peer either.
        link.send(confirm(NAME, "File1"), offer(NAME, "virus"), offer("unknown", "virus"))
    settle()
    for peer in (stranger, asker):
        equal(peer.files.requests, [], "requests")
        equal(node.told("trusted", peer.host), [], "trust")
    equal(node.content("virus"), None, "the file")
    serves(world, node)
    node.stop()


@case("FilesUpdated without an open offer is ignored: no HTTP request leaves (4.2, bp-scenario-04)")
def unsolicited_report(world):
    """Neither one never offered, nor another address while an offer is open, nor for another folder."""
    node = three_folders(world)
    never, asker, other = world.peer(), world.peer(), world.peer()
    link = never.dial(node.message_address)
    link.send(report(NAME, "File1"))
    node.rejected("unsolicited", never.host)
    link = asker.dial(node.message_address)
    link.send(request(NAME))
    link.expect(OFFER)
    for peer in (never, other):
        peer.dial(node.message_address).send(report(NAME, "File1"))
    link.send(report("a", "File1"), report("unknown", "File1"))
    settle()
    equal([peer.files.requests for peer in (never, asker, other)], [[], [], []], "requests")
    # Of the offer only what was offered is looked at (3.2).
    asker.share(NAME, File1=b"one\n", File9=b"nine")
    link.send(report(NAME, "File9", "File1", "../secret"))
    link.expect(CONFIRM, "File1")
    equal(asker.files.asked(f"/{NAME}/File9"), [], "requests for what was not offered")
    node.stop()


@case("TrustedPeerConfirm is accepted only from where FilesUpdated was sent (3.3, 4.2)")
def unsolicited_confirmation(world):
    """Somebody else's confirmation makes nobody trusted; names that were not reported are ignored."""
    owner, other = world.peer(), world.peer()
    node = world.home(share={"peers": [owner.address]}).start()
    link = owner.take()
    link.expect("BePeerRequest")
    other.dial(node.message_address).send(confirm(NAME, "File1"))
    owner.share(NAME, File1=b"one\n")
    link.send(offer(NAME, "File1"))
    where, _ = owner.await_message(REPORT, "File1")
    other.dial(node.message_address).send(confirm(NAME, "File1"))
    settle()
    equal(node.of("trusted"), [], "trust by the confirmation of a third one")
    where.send(confirm(NAME, "File1", "File2", "File3"))
    node.about("trusted", owner.host)
    equal(node.tree().keys(), {"File1"}, "files")
    node.stop()


@case("Trust is per folder (4.2)")
def trust_per_folder(world):
    """A peer of one folder pushes nothing into another."""
    node = three_folders(world)
    peer = world.joined(node)
    peer.share("a", virus=b"x")
    peer.link.send(offer("a", "virus"))
    node.rejected("unsolicited", peer.host)
    equal(node.content("virus", 1), None, "the file")
    node.stop()


@case("A link placed inside the folder cannot lead out (7, 12)")
def links_inside(world):
    """A trusted peer offers files below links, links themselves, and names that are files here and folders there."""
    outside = world.place()
    with open(os.path.join(outside, "precious"), "wb") as file:
        file.write(b"precious")
    node = world.home(ONE)
    os.symlink(outside, node.path("door"))
    os.symlink(os.path.join(outside, "precious"), node.path("window"))
    os.symlink("..", node.path("up"))
    node.start()
    peer = world.joined(node)
    evil = {"door/evil": b"x", "door/precious": b"x", "window": b"x", "up/evil": b"x", "File1/below": b"x",
            "up/up/up/evil": b"x", "good": b"good"}
    peer.share_all(NAME, evil)
    peer.link.send(offer(NAME, *evil))
    node.has("good", b"good")
    settle(2)
    equal(os.listdir(outside), ["precious"], "what is outside")
    with open(os.path.join(outside, "precious"), "rb") as file:
        equal(file.read(), b"precious", "the content outside")
    equal(os.path.exists(os.path.join(os.path.dirname(node.folder), "evil")), False, "a file beside the folder")
    check(os.path.islink(node.path("door")), "the link is gone")
    node.has("File1", b"one\n")
    serves(world, node)
    node.stop()


@case("Manifest entries obey the path rules too, and one without its tail is ignored (7, 8.2)", 90)
def hostile_manifests(world):
    """Extended peers whose manifests lead out, are cut, lie or are none: the node lives, nothing gets out, and what
    each tells rightly afterwards is taken."""
    node = world.node(ONE)
    beside, outside = os.path.join(node.place, "folders"), os.path.join(world.folder, "evil")
    with open(os.path.join(beside, "precious"), "wb") as file:
        file.write(b"precious")
    target = f"/.bepeer/1/f/{NAME}/manifest"
    liars = []
    for number, lie in enumerate(hostile_entries(outside)):
        peer, node_id = world.peer(old=False), f"{number + 1:016x}"
        extension(peer, NAME, node_id, ONE)
        peer.become_trusted(node)
        whole = peer.files.contents[target]
        peer.files.contents[target] = lie(node_id, whole)
        peer.share(NAME, evil=b"x")
        peer.link.send(offer(NAME, "File1"))
        liars.append((peer, node_id))
    for peer, _ in liars:
        peer.files.wait(target)
    settle(3)       # what is no manifest is asked for once more
    equal(sorted(os.listdir(beside)), [NAME, "precious"], "what is beside the folder")
    check(not os.path.exists(outside), "an absolute path was written")
    equal(node.tree(), {"File1": digest_of(b"one\n")}, "the folder")
    for number, (peer, node_id) in enumerate(liars):
        name, data = f"after {number}", f"of {number}".encode()
        truth = entry(name, data, 1_700_000_000_000, {node_id: 10}, 20)
        extension(peer, NAME, node_id, {name: data}, [truth], 20)
        peer.link.send(offer(NAME, name))
    for number in range(len(liars)):
        node.has(f"after {number}", f"of {number}".encode(), 40)
    serves(world, node)
    node.stop()
    return f"{len(liars)} peers"


def hostile_entries(outside):
    """Functions of a node's ID and its honest manifest, each of which gives one that is not."""
    other = "00112233445566aa"

    def bad(path, **more):
        return lambda node_id, _: manifest(
            NAME, node_id, 9, [entry(path, b"x", 1_700_000_000_000, {node_id: 9}, 9) | more])
    return [
        bad("../../evil"), bad(outside), bad("a/../../evil"), bad("x\x00y"), bad(".bepeer/trash/x"),
        bad("../evil-folder", t="dir"), bad("../precious", d=True), bad("..", d=True), bad("", d=True),
        bad("File1", s=-1), bad("File1", s=1 << 70), bad("File1", m="x"), bad("File1", h="zz"),
        bad("File1", v={other: -1}), bad("File1", v={other: 1 << 80}), bad("File1", v=[1]), bad(7),
        lambda _, whole: whole.rpartition(b"{")[0], lambda *_: b"[" * 100_000, lambda *_: b"{}\n" * 1000,
        lambda *_: b"\xff" * 1000, lambda _, whole: whole.replace(b'"count":1', b'"count":2'),
        lambda _, whole: b'{"bepeer":1,"x":"' + b"y" * 20_000 + b'"}\n' + whole]


@case("A peer that outruns the reader of its messages is closed or slowed, and nobody else notices (12)")
def floods(world):
    """Thousands of messages, unread answers, and connections that end with a reset."""
    node = world.node({f"file {number}": b"x" for number in range(200)})
    before, memory = node.descriptors(), node.memory()
    with dial(node.message_address, loopback_host(), receive_buffer=4096) as sock:
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                sock.sendall(request(NAME).bytes * 10)    # the answers are never read
    for _ in range(200):
        with contextlib.suppress(OSError), dial(node.message_address, loopback_host()) as sock:
            sock.sendall(request(NAME).bytes)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    serves(world, node)
    grown = node.grown(memory)
    check(grown < 150 << 20, f"unread answers took {grown >> 20} MiB")
    node.until(f"as few descriptors as before, {before}", lambda: node.descriptors() <= before, 30)
    node.stop()
    return f"{grown >> 20} MiB"


@case("Poisoned content from a trusted peer: overwritten files are in the trash (4.4, 12)")
def poisoned(world):
    """A trusted extended peer deletes or overwrites everything: all of it can be had back."""
    files = {f"file {number}": octets(1000, number) for number in range(30)}
    peer = world.peer(old=False)
    node_id = "00112233445566aa"
    extension(peer, NAME, node_id, files)
    node = world.home(share={"peers": [peer.address]}).start()
    peer.serve_join(NAME, files)
    node.about("trusted", peer.host)
    before = node.tree()
    deleted = [entry(path, data, 1_800_000_000_000, {node_id: 2}, 100 + number, d=True)
               for number, (path, data) in enumerate(files.items())]
    extension(peer, NAME, node_id, {"file 0": b"poison"}, entries=[
        entry("file 0", b"poison", 1_800_000_000_000, {node_id: 2}, 99), *deleted[1:]], sequence=200)
    peer.link.send(offer(NAME, "file 0"))
    node.has("file 0", b"poison")
    node.has_tree({"file 0": node.tree()["file 0"]}, 30)
    equal(node.trash(), set(before.items()), "what is in the trash")
    node.stop()


@case("Two nodes on one folder: lock file in .bepeer/ (12)")
def two_on_one_folder(world):
    """The second node does not touch the folder of the first."""
    node = world.node(ONE)
    other = world.home(share={"path": node.folder})
    other.start(listening=False)
    other.until("its refusal", lambda: other.of("folder_stopped") or other.of("exited"))
    serves(world, node)
    node.stop()


@case("There is no error message in S and none is invented (2.1)")
def no_words(world):
    """Whatever is wrong, not one octet comes back."""
    node = world.node(ONE)
    for data in (b"GET / HTTP/1.0\r\n\r\n", b"BePeerRequest\nnope\n\n", b"\x16\x03\x01\x02\n\x01", b"FilesToGet\n\n",
                 b"help\n", b"BePeerRequest\n../../etc\n\n", b"\x00" * 100 + b"\n"):
        answer = exchange(node.message_address, data, seconds=10)
        equal((answer.data, answer.end != LATE), (b"", True), f"the answer to {data[:20]}")
    equal(exchange(node.message_address, half_close=True).end, FIN, "the end of who says nothing")
    node.stop()
