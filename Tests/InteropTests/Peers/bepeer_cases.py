"""How peers become peers and stay equal (bepeer.md sections 3, 4, 6 and 9; vectors scenario): real nodes, and foreign
peers that are led by the hand."""
import contextlib
import os
import shutil
import subprocess
import time

from bepeer_wire import CONFIRM, OFFER, REPORT, REQUEST, confirm, conflict_name, digest_of, offer, report, request
from bepeer_world import NAME, QUIET
from cases import case
from sockets import Wrong, check, dial, equal, exchange, loopback_host, read_answer
from world import settle

TWO = {"File1": b"one\n", "File2": b"two\n"}
LATE = 30.0         # for what waits until a file is quiet, and for a scan


@case("Become a peer: the seed's steps 4 to 17, the node as owner (3, bp-scenario-01)")
def owner(world):
    """The offer has all files; nothing is fetched before the report; the confirmation makes both peers."""
    node, peer = world.node(TWO), world.peer()
    link = peer.dial(node.message_address)
    link.send(request(NAME))
    offered = link.expect(OFFER, name=NAME)
    equal((sorted(offered.files), offered.port, offered.protocol), (["File1", "File2"], 7010, "HTTP"), "the offer")
    peer.fetch_all(node, NAME, offered)
    settle(0.5)
    equal(peer.files.requests, [], "requests before the report")
    equal(node.of("trusted"), [], "trust before the report")
    link.send(report(NAME, "File1", "File2"))
    confirmed = link.expect(CONFIRM, name=NAME)
    equal((sorted(confirmed.files), confirmed.port), (["File1", "File2"], 7010), "the confirmation")
    for name in TWO:
        equal([one.ip for one in peer.files.asked(f"/{NAME}/{name}", "GET")][:1], [node.host], f"who fetched {name}")
    node.about("trusted", peer.host)
    node.stop()


@case("Become a peer: the seed's steps 4 to 17, the node as joiner (3, bp-scenario-01)")
def joiner(world):
    """It asks, fetches, reports what it has, serves it, and trusts who confirms."""
    peer = world.peer()
    node = world.home(share={"peers": [peer.address]}).start()
    link = peer.take()
    link.expect(REQUEST, name=NAME)
    peer.share_all(NAME, TWO)
    link.send(offer(NAME, *TWO))
    where, reported = peer.await_message(REPORT, *TWO)
    equal(reported.port, node.http_port, "the port of its file server")
    check(where is link, "the report comes on another connection although this one is open (2.2)")
    for name, data in TWO.items():
        equal(peer.get(node, f"/{NAME}/{name}")[::2], (200, data), name)
    settle(0.5)
    equal(node.of("trusted"), [], "trust before the confirmation")
    where.send(confirm(NAME, *TWO))
    node.about("trusted", peer.host)
    equal(node.tree(), {name: digest_of(data) for name, data in TWO.items()}, "the files")
    # Trust goes both ways: what changes here is offered there.
    node.put("File2", b"new\n")
    _, offered = peer.await_message(OFFER, "File2", seconds=LATE)
    equal(offered.port, node.http_port, "the port")
    node.stop()


@case("replicate join, list and status (program.md 1)")
def commands(world):
    """A running node joins a folder by a command; list and status show it; an unknown folder is an answer of no."""
    peer, node = world.peer(), world.node(TWO)
    place = os.path.join(world.place(), "photos")
    node.join(peer.address, "photos", place)
    peer.serve_join("photos", {"cat.jpg": b"meow"})
    node.about("trusted", peer.host)
    with open(os.path.join(place, "cat.jpg"), "rb") as file:
        equal(file.read(), b"meow", "the file")
    for words in (["replicate", "list"], ["replicate", "status"]):
        done = node.command(*words)
        equal(done.returncode, 0, f"{words}: {done.stderr}")
        for name in ("photos", NAME):
            check(name in done.stdout, f"{words} does not name {name}: {done.stdout}")
    equal(node.command("replicate", "confirm", "none").returncode, 1, "confirming an unknown folder")
    node.stop()


@case("nc works (2.2); asking alone makes no peer (bp-scenario-02)")
def bare_request(world):
    """Exactly the octets of the seed; an update afterwards is not offered to who has only asked."""
    node = world.node({"File1": b"one\n"})
    expected = f"FilesToGet\n{NAME}\n7010\nHTTP\nFile1\n\n".encode()
    with dial(node.message_address, loopback_host()) as sock:
        sock.sendall(f"BePeerRequest\n{NAME}\n\n".encode())
        equal(read_answer(sock, most=len(expected)).data, expected, "the answer")
        node.put("File1", b"changed\n")
        node.wait("change", seconds=LATE)
        equal(read_answer(sock, seconds=3).data, b"", "what follows")
        equal(node.of("trusted"), [], "peers")
    equal(exchange(node.message_address, f"BePeerRequest\r\n{NAME}\r\n\r\n".encode(), half_close=True).data, expected,
          "the answer to who ends his side")
    if program := shutil.which("nc"):
        usage = subprocess.run([program, "-h"], capture_output=True, check=False)
        words = next((words for words in (["-N"], ["-q", "1"]) if words[0].encode() in usage.stdout + usage.stderr), [])
        done = subprocess.run([program, *words, "-w", "5", node.host, str(node.port)], capture_output=True, timeout=30,
                              input=f"BePeerRequest\n{NAME}\n\n".encode(), check=False)
        equal((done.stdout, done.returncode), (expected, 0), f"nc {words}")
    node.stop()


@case("Unknown folder: close without an answer (3 step 2, bp-scenario-03)")
def unknown_folder(world):
    """So it is with a folder whose join rule does not admit the source."""
    node = world.home(TWO, folders=[{"name": NAME}, {"name": "private", "join": "closed"}]).start()
    for name, reason in (("nope", "unknown_folder"), ("private", "not_admitted"), (NAME.lower(), "unknown_folder")):
        peer = world.peer()
        link = peer.dial(node.message_address)
        link.send(request(name))
        link.closed()
        node.rejected(reason, peer.host)
    node.stop()


@case("An empty folder has an empty list (10.18)")
def empty_folder(world):
    """The offer has no names; the empty report is confirmed, and the first file is offered."""
    node, peer = world.node(), world.peer()
    link = peer.dial(node.message_address)
    link.send(request(NAME))
    equal(link.expect(OFFER).files, (), "the offer")
    node.stop()


@case("Wrong or missing: three rounds with only those names, then untrusted (3.2, bp-scenario-07)", 120)
def wrong_content(world):
    """J serves other bytes: it is asked again for that file only, and dropped; it may ask again after an hour."""
    node, peer = world.node(TWO), world.peer()
    link = peer.dial(node.message_address)
    link.send(request(NAME))
    offered = link.expect(OFFER)
    peer.share(NAME, File1=b"ONE\n", File2=b"two\n")
    link.send(report(NAME, *offered.files))
    rounds = 0
    until = time.monotonic() + 90
    while not node.told("untrusted", peer.host) and time.monotonic() < until:
        message = link.next(60) if rounds < 4 else None
        if message is None:
            break
        if message.type == CONFIRM:
            equal(message.files, ("File2",), "what is confirmed")
            continue
        equal((message.type, message.files), (OFFER, ("File1",)), "the next round")
        rounds += 1
        link.send(report(NAME, "File1"))
        with contextlib.suppress(Wrong):
            node.until("its end", lambda: node.told("untrusted", peer.host) or link.pending or link.end, 30)
    node.about("untrusted", peer.host)
    # The text counts three rounds; whether the first offer is one of them it does not say.
    check(rounds in (2, 3), f"{rounds} more rounds")
    check(node.told("verify_bad"), "no verify_bad")
    equal([line for line in node.told("trusted", peer.host)], [], "trust")
    again = peer.dial(node.message_address)
    again.send(request(NAME))
    again.closed()
    node.rejected("not_admitted", peer.host)
    node.stop()
    return f"{rounds} more rounds"


@case("Names left out by J: J is confirmed for what it has, the offer stays open (3.2)")
def partial_report(world):
    """One of two now, the other later."""
    node, peer = world.node(TWO), world.peer()
    link = peer.dial(node.message_address)
    link.send(request(NAME))
    link.expect(OFFER)
    peer.share(NAME, **TWO)
    link.send(report(NAME, "File2"))
    link.expect(CONFIRM, "File2")
    link.send(report(NAME, "File1"))
    link.expect(CONFIRM, "File1")
    node.stop()


@case("Update of one file: only the updated names (4.1, bp-scenario-09)")
def update(world):
    """Edited, new, in a subfolder; after a restart on a new connection to the message port; nothing for nothing."""
    node = world.node(TWO)
    peer = world.joined(node)
    node.put("File2", b"edited\n")
    where, offered = peer.await_message(OFFER, "File2", seconds=LATE)
    check(where is peer.link, "it comes on another connection although this one is open (2.2)")
    peer.fetch_all(node, NAME, offered)
    where.send(report(NAME, "File2"))
    where.expect(OFFER)
    where.expect(CONFIRM, "File2")
    node.stop()
    node.start()
    node.put("sub/größe 1#%.txt", b"new\n")
    where, offered = peer.await_message(OFFER, "sub/größe 1#%.txt", seconds=LATE)
    peer.fetch_all(node, NAME, offered)
    where.send(report(NAME, *offered.files))
    peer.await_message(CONFIRM, *offered.files)
    # A new time or mode is no new content.
    since = time.monotonic()
    os.utime(node.path("File1"), (1, 1))
    os.chmod(node.path("File2"), 0o600)
    node.put("File1", b"one\n")
    settle(2 * QUIET + 2)
    equal([one for one in peer.got(OFFER, since) if one.files], [], "offers without a new content")
    node.stop()


@case("At most one FilesToGet is outstanding; changes found meanwhile are sent together after the confirmation (4.1)")
def one_outstanding(world):
    """A burst is one offer; while it is unanswered, nothing; then the rest together."""
    node = world.node(TWO)
    peer = world.joined(node)
    since = time.monotonic()
    for number in range(5):
        node.put(f"burst {number}", b"%d" % number)
        time.sleep(0.1)
    where, offered = peer.await_message(OFFER, since=since, seconds=LATE)
    equal(len(offered.files), 5, f"names of one burst, {offered}")
    for number in range(3):
        node.put(f"later {number}", b"%d" % number)
        time.sleep(1)
    settle(2 * QUIET + 2)
    equal(len(peer.got(OFFER, since)), 1, "offers while one is outstanding")
    peer.fetch_all(node, NAME, offered)
    where.send(report(NAME, *offered.files))
    peer.await_message(CONFIRM, *offered.files)
    peer.await_message(OFFER, "later 0", "later 1", "later 2")
    node.stop()


@case("A file is announced only after it has been quiet for 2 s (6.2)")
def growing_file(world):
    """A file that is being written is not offered meanwhile."""
    node = world.node(TWO)
    peer = world.joined(node)
    since = time.monotonic()
    with open(node.path("growing"), "wb", buffering=0) as file:
        for _ in range(16):
            file.write(b"x" * 1000)
            time.sleep(0.5)
    ended = time.monotonic()
    peer.await_message(OFFER, "growing", since=since, seconds=LATE)
    first = min(moment for moment, _, message in peer.messages if message.type == OFFER and moment >= since)
    waited = first - ended
    check(waited > 1, f"offered {waited:.2f} s after the last octet")
    equal(len(peer.get(node, f"/{NAME}/growing")[2]), 16000, "its length")
    node.stop()
    return f"{waited:.2f} s after the last octet"


@case("Same content offered: no disk write, no FilesToGet to others, FilesUpdated with that name (4.1, bp-scenario-12)")
def same_content(world):
    """At most HEAD or one GET; the flood ends here."""
    node = world.node(TWO)
    first, second = world.joined(node), world.joined(node)
    before = [(status.st_ino, status.st_mtime_ns) for status in map(os.stat, map(node.path, TWO))]
    for _ in range(2):
        since, count = time.monotonic(), len(first.files.requests)
        first.update(NAME, TWO)
        asked = [one for one in first.files.requests[count:] if not one.target.startswith("/.bepeer/")]
        for name in TWO:
            gets = [one for one in asked if one.target == f"/{NAME}/{name}"]
            check(len([one for one in gets if one.method == "GET"]) <= 1, f"requests {gets}")
        equal([(status.st_ino, status.st_mtime_ns) for status in map(os.stat, map(node.path, TWO))], before, "files")
        settle(2 * QUIET + 1)
        equal(second.got(OFFER, since), [], "offers to the other")
    equal(node.trash(), set(), "trash")
    # What is new for it goes on, but not back to where it came from.
    since = time.monotonic()
    first.update(NAME, {"File1": b"newer\n"})
    second.await_message(OFFER, "File1", since=since, seconds=LATE)
    equal(first.got(OFFER, since), [], "offers back")
    node.stop()


@case("Edited while verified: the offer is the reference (3.2, bp-scenario-14)")
def edited_meanwhile(world):
    """O verifies against the offered version, confirms, then offers the new one."""
    node, peer = world.node(TWO), world.peer()
    link = peer.dial(node.message_address)
    link.send(request(NAME))
    offered = link.expect(OFFER)
    peer.fetch_all(node, NAME, offered)
    node.put("File1", b"edited after the offer\n")
    node.wait("change", seconds=LATE)
    link.send(report(NAME, *offered.files))
    link.expect(CONFIRM)
    peer.await_message(OFFER, "File1", seconds=LATE)
    node.stop()


@case("Ask another peer: one FilesToGet from another address is accepted for 10 min (3.4, bp-scenario-20)")
def delegated(world):
    """O closes; X answers in its place, from its own address; a second one is unsolicited."""
    asked, delegate, third = world.peer(), world.peer(), world.peer()
    node = world.home(share={"peers": [asked.address]}).start()
    link = asked.take()
    link.expect(REQUEST)
    link.close()
    for peer in (delegate, third):
        peer.share(NAME, **{"File1": b"from %s\n" % peer.host.encode()})
    answer = delegate.dial(node.message_address)
    answer.send(offer(NAME, "File1"))
    where, _ = delegate.await_message(REPORT, "File1")
    third.dial(node.message_address).send(offer(NAME, "File1"))
    node.rejected("unsolicited", third.host)
    where.send(confirm(NAME, "File1"))
    node.about("trusted", delegate.host)
    equal(node.content("File1"), b"from %s\n" % delegate.host.encode(), "the file")
    equal((asked.files.requests, third.files.requests), ([], []), "requests to the others")
    node.stop()


@case("Protocol other than HTTP: manual, nothing is fetched; reported when the files are there (3.5, bp-scenario-22)")
def manual(world):
    """FTP; the user puts the file into the folder."""
    peer = world.peer()
    node = world.home(share={"peers": [peer.address]}).start()
    link = peer.take()
    link.expect(REQUEST)
    peer.share(NAME, File1=b"one\n", File2=b"two\n")
    link.write(f"FilesToGet\n{NAME}\n7010\nFTP\nFile1\nFile2\n\n".encode())
    line = node.wait("manual")
    check(peer.host in str(line) and "FTP" in str(line) and "7010" in str(line), f"what is told: {line}")
    node.put("File1", b"one\n")
    settle(QUIET + 2)
    equal(peer.got(REPORT), [], "a report before all are there")
    node.put("File2", b"two\n")
    where, _ = peer.await_message(REPORT, "File1", "File2", seconds=LATE)
    equal(peer.files.requests, [], "requests")
    where.send(confirm(NAME, "File1", "File2"))
    node.about("trusted", peer.host)
    node.stop()


@case("Receive only: local changes are never announced, and kept as conflict copies (9, bp-scenario-28)")
def receive_only(world):
    """J edits: no message; when O changes the file, O's is in the folder and J's beside it."""
    node, peer = world.member(TWO, {"mode": "receiveonly"})
    since = time.monotonic()
    node.put("File1", b"edited here\n", mtime=1_700_000_000)
    node.put("own", b"own\n")
    settle(3 * QUIET + 2)
    equal(peer.got(OFFER, since), [], "offers")
    peer.update(NAME, {"File1": b"edited there\n"})
    node.has("File1", b"edited there\n")
    copy = conflict_name("File1", 1_700_000_000, digest_of(b"edited here\n"))
    node.has(copy, b"edited here\n")
    settle(3 * QUIET)
    equal(peer.got(OFFER, since), [], "offers of the copy")
    node.stop()


@case("Send only: offers, ignores FilesToGet (9)")
def send_only(world):
    """A trusted peer's offer is not answered; what changes here is told as ever."""
    node = world.node(TWO, share={"mode": "sendonly"})
    peer = world.joined(node)
    peer.share(NAME, File1=b"pushed\n", new=b"new\n")
    since = time.monotonic()
    count = len(peer.files.requests)
    peer.link.send(offer(NAME, "File1", "new"))
    settle(2)
    equal((peer.files.requests[count:], peer.got(REPORT, since)), ([], []), "requests and reports")
    equal(sorted(node.tree()), ["File1", "File2"], "the folder")
    node.put("File2", b"edited\n")
    peer.await_message(OFFER, "File2", seconds=LATE)
    node.stop()


@case("Not replicated: links, special files, refused names, ignored patterns (6.2)")
def not_replicated(world):
    """First match wins; `!` negates, a leading slash anchors, `//` starts a comment; each odd name is logged once."""
    node = world.home({
        "a.tmp": b"x", "keep.tmp": b"x", "sub/b.tmp": b"x", "top": b"x", "sub/top": b"x", "build/x": b"x",
        "build/deep/y": b"x", "one1": b"x", "oneA": b"x", "plain": b"x", ".hidden": b"x", "sub/.bepeer/z": b"x",
        ".bepeerfile": b"x", "back\\slash": b"x", "tab\tname": b"x", "[EOL]": b"x", "line\nbreak": b"x", "-rf": b"x",
        "//x"[2:] + " space ": b"x"})
    with open(os.path.join(os.fsencode(node.folder), b"latin\xe9"), "wb"):
        pass
    os.symlink("plain", node.path("link"))
    os.mkfifo(node.path("fifo"))
    with open(node.path(".bepeerignore"), "w", encoding="utf-8") as file:
        file.write("// comment\n!keep.tmp\n*.tmp\n\n/top\nbuild/**\none[0-9]\n")
    node.start()
    link = world.peer().dial(node.message_address)
    link.send(request(NAME))
    equal(sorted(link.expect(OFFER).files), sorted([
        "keep.tmp", "sub/top", "oneA", "plain", ".hidden", "sub/.bepeer/z", "-rf", "x space "]), "the offer")
    node.stop()


@case("Names: UTF-8 as it is, spaces, %, #, ?, 255 octets, 64 levels, empty files (5.1, 10.17)")
def odd_names(world):
    """They go to a foreign peer, come from one, and pass between two nodes."""
    files = {
        "résumé 1.pdf": b"1", "sub/deep/動作.txt": b"2", "100%25.txt": b"3", "a#b?c&d+e=f;g": b"4", " lead": b"5",
        "trail ": b"6", "a  b": b"7", "-rf": b"8", "x" * 255: b"9", "/".join(["d"] * 64): b"10", "empty": b"",
        "é" * 127: b"11", "quote'\"": b"12", "%2e%2e": b"13", "~home": b"14", "C:": b"15", "\u202etxt": b"16"}
    node = world.node(files)
    peer = world.joined(node)
    equal(len(peer.files.contents), len(files), "files that a foreign peer has")
    more = {f"from there/{name}"[-255:] if "/" not in name else f"from/{name[2:]}": data + b"!"
            for name, data in files.items() if len(name) < 200}
    peer.update(NAME, more)
    second = world.home(share={"peers": [node.messages]}).start()
    expected = {name: digest_of(data) for name, data in (files | more).items()}
    node.has_tree(expected)
    second.has_tree(expected)
    node.stop()
    second.stop()


@case("The peerfile survives: trust, offers and deleted names are known after the end of a node (6.1, 6.3)")
def restarts(world):
    """After SIGKILL too; old trusted peers are asked with a BePeerRequest."""
    node, peer = world.member(TWO)
    for end in (node.stop, node.kill):
        peer.link.close()
        end()
        while peer.arrived.qsize():
            peer.arrived.get()
        since = time.monotonic()
        node.start()
        link = peer.take(LATE)
        link.expect(REQUEST, name=NAME)
        link.send(offer(NAME, *TWO))
        where, _ = peer.await_message(REPORT, *TWO, since=since)
        where.send(confirm(NAME, *TWO))
        text = f"{end.__name__}\n".encode()
        node.put("File1", text)
        where, offered = peer.await_message(OFFER, "File1", since=since, seconds=LATE)
        peer.fetch_all(node, NAME, offered)
        where.send(report(NAME, "File1"))
        peer.await_message(CONFIRM, "File1", since=since)
        peer.share(NAME, File1=text)
    node.stop()
