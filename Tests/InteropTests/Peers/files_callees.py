"""Peers that want to harm a node that calls them (sections 3.2, 6.2, 6.3, 6.4 and 8)."""
import contextlib
import hashlib
import os
import threading
import time

from cases import case
from files_wire import Wrong, answering, check, equal, loopback_host, reset
from node import Refused
from world import octets

BANNER = b"//p2x/1\n"


def endless(piece):
    """A service that never stops."""
    def serve(sock, _):
        while True:
            sock.sendall(piece)
    return serve


def dripping(piece, pause, count):
    """A service that says a little now and then, and then nothing more."""
    def serve(sock, _):
        for _ in range(count):
            sock.sendall(piece)
            time.sleep(pause)
        sock.recv(1)
    return serve


def breaking(data):
    """A service that says something and ends with a reset."""
    def serve(sock, _):
        sock.sendall(data)
        # What was sent must have gone before the reset.
        time.sleep(0.3)
        reset(sock)
    return serve


class Extended:
    """The services of a peer that speaks P2X/1, or claims to, of one file."""

    def __init__(self, size, digest, data, ranges=None):
        self.size, self.digest, self.data, self.ranges = size, digest, data, ranges
        self.stats = 0

    def query(self, sock, line):
        if line == b"//p2x/1/hello\n":
            sock.sendall(BANNER + b"features stat find range\n")
        elif line.startswith(b"//p2x/1/stat/"):
            self.stats += 1
            digest = self.digest if isinstance(self.digest, bytes) else b"pending"
            sock.sendall(BANNER + b"size %s\nmtime 1\nsha-256 %s\nmore of it\n" % (self.size, digest))
        elif line.startswith(b"//p2x/1/find/"):
            sock.sendall(BANNER + b"%s 1 file\n" % self.size)

    def download(self, sock, line):
        first = 0
        if line.startswith(b"//p2x/1/range/"):
            first = int(line.split(b"/")[5].rstrip(b"-"))
        self.data(sock, first) if callable(self.data) else sock.sendall(self.data[first:])


def extended(world, size, digest, data):
    peer = Extended(size, digest, data)
    return world.peer(query=peer.query, download=peer.download), peer


def sha(data):
    return hashlib.sha256(data).hexdigest().encode()


@case()
def endless_answers(world):
    """Of an answer without end what was complete so far is used, and the connection is closed; a line without end is
    skipped, and memory stays bounded (3.2)."""
    lines = world.peer(query=endless(b"".join(b"%06d.txt\n" % number for number in range(5000))))
    line = world.peer(query=endless(b"x" * 65536))
    blank = world.peer(query=endless(b"\n" * 65536))
    lists = world.peer(list=endless(b"127.0.0.1:7\n" * 5000))
    peers = [peer.identity for peer in (lines, line, blank, lists)]
    node = world.node({"own": b"x"}, initialPeers=peers, extensions=False, peerListIntervalSeconds=0.1)
    node.wait("list_out", target=lists.identity)
    memory = node.memory()
    found, failed, last = node.search("txt")
    equal(len(found), 1000, "matches that are shown")
    equal(last["matches"], 10_000, "matches that are taken")
    equal(last["notShown"], 9000, "matches that are not shown")
    equal(last["asked"], 4, f"peers asked, of whom failed {failed}")
    check(node.grown(memory) < 64 << 20, f"{node.grown(memory) >> 20} MiB for endless answers")
    node.until("no caller", lambda: node.status()["searches"] == 0)
    node.stop()


@case()
def slow_answers(world):
    """An answer has its time as a whole: an octet now and then does not make it longer. A download ends when no octet
    has come for its time, and not before (3.2)."""
    slow = world.peer(
        list=dripping(b"x", 0.2, 1000), query=dripping(b"x", 0.2, 1000), download=dripping(b"data", 0.3, 12))
    node = world.node(
        {"own": b"x"}, initialPeers=[slow.identity], answerTimeoutSeconds=2, downloadStallSeconds=2, extensions=False)
    equal(node.wait("list_out", target=slow.identity)["reason"], "timeout", "the end of a list")
    found, failed, _ = node.search("x")
    equal((found, failed), ([], [{"peer": slow.identity, "failed": "timeout"}]), "a search")
    begin = time.monotonic()
    equal(node.refusal(name="file", peer=slow.identity), "stalled", "a download")
    check(time.monotonic() - begin > 5, f"it ended while octets came, after {time.monotonic() - begin:.1f} s")
    equal(node.wait("download_failed")["bytes"], 48, "octets until then")
    node.until("the end of its part", lambda: not node.leftovers())
    equal(set(os.listdir(node.folder)), {".peernode", "own"}, "what is left")
    node.stop()


@case()
def broken_downloads(world):
    """A reset is a failure and leaves nothing; FIN is success when an octet came; nobody there is a failure (6.2)."""
    data = octets(200_000)
    broken = world.peer(download=breaking(data))
    silent = world.peer(download=lambda sock, line: reset(sock))
    plain = world.peer(download=answering(data))
    node = world.node({"own": b"x"}, extensions=False)
    equal(node.refusal(name="a", peer=broken.identity), "reset", "broken off")
    equal(node.refusal(name="b", peer=silent.identity), "reset", "broken off at once")
    equal(node.refusal(name="c", peer=f"{loopback_host()}:7999"), "refused", "nobody there")
    equal(node.refusal(name="d", peer=world.peer().identity), "empty_or_missing", "nothing")
    # The answer does not wait until what is left is taken away.
    node.until("no part is left", lambda: os.listdir(node.path(".peernode/partial")) == [])
    equal(node.download(name="e", peer=plain.identity)["complete"], "unverified", "whole")
    for number, name in enumerate(["e (2)", "e (3)"]):
        equal(node.download(name="e", peer=plain.identity)["path"], name, f"collision {number}")
    equal(node.download(name="own", peer=plain.identity)["path"], "own (2)", "a name that is taken")
    equal(node.content("own"), b"x", "the file that had the name")
    for name in ("e", "e (2)", "e (3)", "own (2)"):
        check(node.content(name) == data, f"{name} differs")
    names = {"e", "e (2)", "e (3)", "own", "own (2)", ".peernode"}
    equal(set(os.listdir(node.folder)), names, "the folder")
    node.stop()


HOSTILE = [    # as a peer tells it, and what it is called here (6.3)
    (b"../../escaped", "escaped"), (b"/etc/passwd", "passwd"), (b"..", "download"), (b"../..", "download (2)"),
    (b".bashrc", "_.bashrc"), (b"a/.hidden", "_.hidden"), (b"dir/", "download (3)"), (b"a\x1b[2Jb\x07", "a_[2Jb_"),
    (b"tab\tname", "tab_name"), (b"back\\slash", "back_slash"), (b"inv\xff\xfealid", "inv\ufffd\ufffdalid"),
    ("rtl\u202egpj.exe".encode(), "rtl_gpj.exe"), (b"trail. . ", "trail"), (b"x" * 300 + b".txt", "x" * 236 + ".txt"),
    ("\u00fc".encode() * 200, "\u00fc" * 120), (b" ", "download (4)"), (b"cr\rinside", "cr_inside"),
    (b"\xc2\x9b31m", "\u009b31m"), (b"CON", "CON"), (b"quote\"'`$(x)", "quote\"'`$(x)"), (b"%2e%2e%2f", "%2e%2e%2f"),
]


@case()
def hostile_names(world):
    """Names of peers: asked for as they came, never a path, never hidden, never raw in the log (6.3, 6.4)."""
    peer = world.peer(
        query=answering(b"".join(name + b"\n" for name, _ in HOSTILE)), download=answering(b"content"))
    node = world.node({}, initialPeers=[peer.identity], extensions=False)
    node.wait("peer_live")
    found = node.search("")[0]
    equal(len(found), len(HOSTILE), "matches")
    for row, (name, local) in zip(found, HOSTILE):
        equal(node.download(number=row["number"])["path"], local, f"the place of {name}")
        equal(node.content(local), b"content", local)
    asked = [line for service, line in peer.requests if service == "download"]
    equal(asked, [name + b"\n" for name, _ in HOSTILE], "what is asked for")
    equal(set(os.listdir(node.folder)), {local for _, local in HOSTILE} | {".peernode"}, "the folder")
    equal(os.path.exists(os.path.join(world.folder, "escaped")), False, "a file outside")
    for line in node.lines:
        check(not any(octet < 0x20 or octet == 0x7f for octet in line["raw"].rstrip(b"\n")), f"raw: {line['raw']}")
    for name in (b"a\nb", b"", b"\n"):
        with contextlib.suppress(Refused):
            raise Wrong(f"{name} was downloaded: {node.download(name=name.decode(), peer=peer.identity)}")
    node.stop()


@case()
def lying_peers(world):
    """What P2X/1 claims is compared with what comes: a file that is not the announced one is thrown away, fetched once
    more, and never gets its name (8)."""
    data = octets(100_000)
    node = world.node({})
    peer, story = extended(world, b"100000", sha(data), data)
    equal(node.download(name="honest", peer=peer.identity)["complete"], "verified", "the honest peer's file")
    peer, story = extended(world, b"100000", sha(b"other"), data)
    equal(node.refusal(name="wrong", peer=peer.identity), "verification_failed", "another digest")
    asked = [line for service, line in peer.requests if service == "download"]
    equal(asked, [b"wrong\n"] * 2, "tries, both from the beginning")
    node.wait("download_mismatch")
    peer, _ = extended(world, b"100001", sha(data), data)
    equal(node.refusal(name="short", peer=peer.identity), "truncated", "fewer octets than announced")
    equal(len(node.leftovers()), 1, "a part that may be continued")
    peer, _ = extended(world, b"9223372036854775807", sha(data), data)
    equal(node.refusal(name="huge", peer=peer.identity), "disk_full", "more than any disk has")
    peer, _ = extended(world, b"18446744073709551615", sha(data), data)
    equal(node.refusal(name="huge", peer=peer.identity), "disk_full", "2^64 - 1 octets")
    peer, _ = extended(world, b"99999", sha(data[:99_999]), data)
    with contextlib.suppress(Refused):
        # More octets come than were announced: those that were are the file, or there is none.
        node.download(name="long", peer=peer.identity)
        equal(node.content("long"), data[:99_999], "the file that was announced")
    peer, _ = extended(world, b"0", sha(b""), data)
    equal(node.download(name="empty", peer=peer.identity)["complete"], "verified", "an empty file")
    equal(node.content("empty"), b"", "an empty file")
    peer = world.peer(query=answering(BANNER), download=answering(data))
    equal(node.refusal(name="none", peer=peer.identity), "not_there", "a file that is not there")
    equal(set(os.listdir(node.folder)) - {"long"}, {"honest", "empty", ".peernode"}, "the folder")
    node.stop()


@case()
def resumed_downloads(world):
    """A download that broke off goes on where it was, also after it broke more than once; what comes is verified as a
    whole, and a part of a file that has changed since is not used (8)."""
    data = octets(1_000_000)
    firsts = []

    def half(sock, first):
        firsts.append(first)
        sock.sendall(data[first:first + 400_000])
        time.sleep(0.3)
        if first < 600_000:
            reset(sock)

    peer, story = extended(world, b"1000000", sha(data), half)
    node = world.node({})
    for _ in range(2):
        equal(node.refusal(name="file", peer=peer.identity), "reset", "a download that breaks")
    equal(node.download(name="file", peer=peer.identity)["complete"], "verified", "the last one")
    equal(firsts, [0, 400_000, 800_000], "octets that were there")
    check(node.content("file") == data, "the file differs")
    firsts.clear()
    equal(node.refusal(name="file", peer=peer.identity), "reset", "another one")
    story.digest, data = sha(data[::-1]), data[::-1]
    equal(node.refusal(name="file", peer=peer.identity), "reset", "of a file that has changed")
    equal(firsts, [0, 0], "octets of the older file that are used")
    equal(len(node.leftovers()), 1, "parts")
    node.stop()


@case()
def downloads_at_once(world):
    """Downloads of one name at the same time all get a name of their own; above `maxDownloads` one is refused (6.2)."""
    data = octets(300_000)
    gate = threading.Event()

    def serve(sock, _):
        sock.sendall(data[:100_000])
        gate.wait(20)
        sock.sendall(data[100_000:])

    peer = world.peer(download=serve)
    node = world.node({}, extensions=False, maxDownloads=5)
    results = []
    threads = [threading.Thread(target=lambda: results.append(node.download(name="file", peer=peer.identity)))
               for _ in range(5)]
    for thread in threads:
        thread.start()
    node.until("five downloads", lambda: node.status()["downloads"] == 5)
    node.until("five callers", lambda: len(peer.requests) == 5)
    equal(node.refusal(name="file", peer=peer.identity), "limit", "the sixth")
    equal(node.names(), [], "what is shared while they come")
    gate.set()
    for thread in threads:
        thread.join(30)
    expected = ["file"] + [f"file ({number})" for number in range(2, 6)]
    equal(sorted(row["path"] for row in results), sorted(expected), "names")
    for name in expected:
        check(node.content(name) == data, f"{name} differs")
    node.stop()


@case()
def cancelled_downloads(world):
    """The operator who goes away ends his search and his download; the peer sees the end (6.2)."""
    gone = threading.Event()

    def serve(sock, _):
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"x" * 1000)
                time.sleep(0.02)
        gone.set()

    peer = world.peer(download=serve)
    node = world.node({}, extensions=False)

    def leave(row):
        raise EOFError(row)

    with contextlib.suppress(EOFError):
        node.ask("files.download", {"name": "file", "peer": peer.identity}, row=leave)
        raise Wrong("no progress is told")
    equal(node.wait("download_failed")["reason"], "cancelled", "the reason")
    check(gone.wait(20), "the peer still sends")
    node.until("no part", lambda: not node.leftovers())
    node.stop()


@case()
def too_large(world):
    """`maxDownloadBytes` ends a download of which no size is known when it is reached (6.2)."""
    peer = world.peer(download=endless(b"x" * 65536))
    node = world.node({}, extensions=False, maxDownloadBytes=1_000_000)
    equal(node.refusal(name="file", peer=peer.identity), "too_large", "an endless file")
    equal((node.leftovers(), os.listdir(node.folder)), ([], [".peernode"]), "what is left")
    exact = world.peer(download=answering(b"x" * 1_000_000))
    equal(node.download(name="file", peer=exact.identity)["bytes"], 1_000_000, "a file of the limit")
    node.stop()
