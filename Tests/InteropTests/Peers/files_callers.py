"""Callers without a program of their own: `nc`, `telnet`, and what people do with them (section 10)."""
import os
import shutil
import subprocess
import time

from cases import case
from files_wire import DOWNLOAD, FIN, LIST, QUERY, RESET, check, dial, equal, read_answer
from world import octets


@case()
def list_callers(world):
    """The caller is added before it is answered and finds itself last; LF, CR LF and the end of its side end the line;
    the node itself, text and nothing are not added (4.1); what follows the line is nobody's, and costs nothing (3)."""
    node = world.node()
    known = []
    endings = (b"\n", b"\r\n", b" \t\r\n", b"\nsecond line\nthird", b"")
    for ending in endings:
        # It listens: whom the node cannot reach it does not tell of.
        peer = world.peer()
        identity = peer.identity.encode()
        answer = node.list(identity + ending, half_close=not ending, source=peer.host)
        equal(answer.end, FIN, f"the end of an answer to {identity + ending}")
        equal(sorted(answer.lines[:-1]), sorted(known), "those known before")
        equal(answer.lines[-1], identity, "the last line")
        equal(answer.data, b"\n".join(answer.lines) + b"\n", "lines")
        known.append(identity)
    strangers = (
        b"\n", b"hello\n", node.identity.encode() + b"\n", f"127.0.0.1:{node.port}\n".encode(), b"256.1.1.1:1\n",
        b"1.2.3.4:65534\n", b"01.2.3.4:80\n", b"[::1]:7000\n", b"localhost:7000\n", b"0.0.0.0:7000\n",
        b"224.0.0.1:7000\n", b"\xff\xfe\n")
    for line in strangers:
        answer = node.list(line)
        equal((sorted(answer.lines), answer.end), (sorted(known), FIN), f"an answer to {line}")
    # Nothing at all is no request.
    count = node.status()["counts"]["listsAnswered"]
    equal(tuple(node.list(half_close=True)), (b"", FIN), "the answer to nothing")
    equal(node.status()["counts"]["listsAnswered"], count, "lists told")
    # 1 MiB behind the line is thrown away and does not destroy the answer.
    answer = node.list(b"x\n" + bytes(1 << 20))
    equal(sorted(answer.lines), sorted(known), "an answer with much input behind the line")
    node.stop()


@case()
def query_callers(world):
    """A name matches when it contains the text, octet by octet; the empty text matches all; sorted by octets; an empty
    answer has no octet (5, 10.10)."""
    names = ["b.txt", "a b.txt", "A.TXT", "ä.txt", "e\u0301.txt", "z" * 200]
    node = world.node({name: name.encode() for name in names})
    every = sorted(name.encode() for name in names)
    for ending in (b"\n", b"\r\n", b"\nmore\n"):
        equal(node.query(ending).lines, every, "all")
        equal(node.query(b".txt" + ending).lines, [name for name in every if b".txt" in name], ".txt")
    cases = [
        (b"TXT", [b"A.TXT"]), (b" ", [b"a b.txt"]), (b" b", [b"a b.txt"]), (b"*", []), (b"b.txt ", []),
        ("ä".encode(), ["ä.txt".encode()]), ("a\u0308".encode(), ["ä.txt".encode()]),
        ("\u00e9".encode(), ["e\u0301.txt".encode()]), (b"\xa4", ["ä.txt".encode()]), (b"\x00", []), (b"a\tb", []),
        (b"z" * 201, [])]
    for text, expected in cases:
        answer = node.query(text + b"\n")
        equal((answer.lines, answer.end), (expected, FIN), f"the answer to {text}")
    equal(node.query(b".tx", b"t\r", b"\n", pause=0.05).lines, node.names(b".txt"), "a line in three segments")
    equal(node.query(b"A.T", half_close=True).lines, [b"A.TXT"], "a line that ends with its side")
    equal(tuple(node.query(half_close=True)), (b"", FIN), "the answer to nothing")
    equal(node.query(b"b.txt\n" + bytes(1 << 20)).lines, [b"a b.txt", b"b.txt"], "much input behind the line")
    node.stop()


@case()
def cut_answers(world):
    """Of an answer that is too long as many whole lines are told as there is room for (3.2)."""
    names = [f"{number:04}" for number in range(100)]
    for key, limit, count in (("maxQueryAnswerLines", 7, 7), ("maxQueryAnswerBytes", 52, 10)):
        node = world.node({name: b"" for name in names}, **{key: limit})
        equal(node.names(), [name.encode() for name in names[:count]], f"lines with {key}: {limit}")
        equal(node.wait("query_in")["matches"], 100, "matches")
        equal(len(node.query(b"//p2x/1/find/00\n").lines) < 11, True, "lines of find are cut")
        node.stop()


@case()
def download_callers(world):
    """Exactly the file, then FIN; not there, not shared, empty: no octet and FIN; the name counts octet by octet
    (6.1)."""
    big = octets(3 << 20)
    node = world.node({"small": b"\n\r\n\x00", "big": big, "empty": b"", "a b": b"spaces", " lead": b"1", "%41": b"2"})
    equal(node.fetch(b"big\n").data == big, True, "the big file is the same")
    for line, data in [
        (b"small\n", b"\n\r\n\x00"), (b"small\r\n", b"\n\r\n\x00"), (b"a b\nmore\n", b"spaces"), (b" lead\n", b"1"),
        (b"%41\n", b"2"), (b"\n", b""), (b"none\n", b""), (b"empty\n", b""), (b"SMALL\n", b""), (b"small \n", b""),
        (b" small\n", b""), (b"/small\n", b""), (b"./small\n", b""), (b"sm*\n", b""), (b"small\x00\n", b""),
        (b".\n", b""), (b"..\n", b""), (b"lead\n", b""), (b"A\n", b""), (b"\xff\n", b""),
    ]:
        equal(tuple(node.fetch(line)), (data, FIN), f"the answer to {line}")
    equal(tuple(node.fetch(b"small", half_close=True)), (b"\n\r\n\x00", FIN), "a line that ends with its side")
    equal(tuple(node.fetch(half_close=True)), (b"", FIN), "the answer to nothing")
    answer = node.fetch(b"big\n", bytes(1 << 20))
    check(answer == (big, FIN), f"input behind the line: {len(answer.data)} octets, {answer.end}")
    node.stop()


@case()
def netcat_callers(world):
    """What a person does with nc, when there is one: the answer comes, and nc ends by itself with status 0 (10)."""
    program = shutil.which("nc")
    if not program:
        return "without nc"
    big = octets(3 << 20)
    node = world.node({"small.txt": b"text", "big": big})
    variants = [["-N"], ["-q", "1"]]
    usage = subprocess.run([program, "-h"], capture_output=True, check=False)
    variants = [words for words in variants if words[0].encode() in usage.stdout + usage.stderr]
    for options in variants or [[]]:
        def said(service, text, words=tuple(options)):
            host, port = node.address(service)
            done = subprocess.run(
                [program, *words, "-w", "10", host, str(port)], input=text, capture_output=True, timeout=30,
                check=False)
            equal(done.returncode, 0, f"nc {words}: {done.stderr}")
            return done.stdout
        equal(said(LIST, b"\n"), b"", "an empty list")
        equal(said(QUERY, b"\n"), b"big\nsmall.txt\n", "all")
        equal(said(QUERY, b"small\r\n"), b"small.txt\n", "a query with CR LF")
        equal(said(QUERY, b"small"), b"small.txt\n", "a query without LF")
        equal(said(DOWNLOAD, b"small.txt\n"), b"text", "a file")
        check(said(DOWNLOAD, b"big\n" + b"more\n" * 1000) == big, "the big file differs")
    node.stop()
    return f"nc {variants}"


@case()
def extension_callers(world):
    """P2X/1 (8): hello, stat, find, and a range that goes on from any octet; SHA-256 as users know it."""
    import hashlib
    big = octets(1 << 20)
    node = world.node({"big": big, "empty": b""})
    os.utime(node.path("big"), (1_700_000_000, 1_700_000_000))
    node.until("the new time", lambda: b" 1700000000 " in node.query(b"//p2x/1/find/big\n").data)
    equal(node.query(b"//p2x/1/hello\n").lines, [b"//p2x/1", b"features stat find range"], "hello")
    digest = hashlib.sha256(big).hexdigest().encode()
    equal(
        node.query(b"//p2x/1/stat/big\n").lines,
        [b"//p2x/1", b"size 1048576", b"mtime 1700000000", b"sha-256 " + digest], "stat")
    equal(node.query(b"//p2x/1/find/bi\n").lines, [b"//p2x/1", b"1048576 1700000000 big"], "find")
    equal(node.query(b"//p2x/1/stat/none\n").lines, [b"//p2x/1"], "stat of what is not there")
    for first, data in [(0, big), (1, big[1:]), (1_000_000, big[1_000_000:]), (1048575, big[-1:]), (1048576, b"")]:
        answer = node.fetch(f"//p2x/1/range/{first}-/big\n".encode())
        check(answer == (data, FIN), f"range from {first}: {len(answer.data)} octets, {answer.end}")
    for line in (b"99999999999999999999-/big", b"-1-/big", b"0/big", b"0-big", b"1048577-/big", b"0-/none", b"0-/../x"):
        equal(tuple(node.fetch(b"//p2x/1/range/" + line + b"\n")), (b"", FIN), f"the answer to {line}")
    node.stop()


@case()
def failed_answers(world):
    """An answer that cannot be completed ends with a reset, never with FIN: a file that shrinks while it is sent is
    never silently short (3.1, 6.1). One that grows is sent as it was."""
    size = 64 << 20
    node = world.node({"shrinks": octets(1 << 20) * 64, "grows": octets(1 << 20) * 64})
    for name in ("shrinks", "grows"):
        with dial(node.address(DOWNLOAD), receive_buffer=65536) as sock:
            sock.sendall(name.encode() + b"\n")
            start = read_answer(sock, most=100_000).data
            node.wait("upload_start", name=name)
            with open(node.path(name), "r+b") as file:
                file.truncate((4 << 20) + 1 if name == "shrinks" else 2 * size)
            rest = read_answer(sock)
        count = len(start) + len(rest.data)
        if name == "shrinks":
            equal(rest.end, RESET, f"the end after {count} octets")
            check(count < size, f"{count} octets of a file that was cut")
            node.wait("upload_abort", name=name, reason="file_shrank")
        else:
            equal((count, rest.end), (size, FIN), "octets of a file that grows, and the end")
    equal(node.status()["uploads"], 0, "uploads that still run")
    node.stop()


@case()
def stopping(world):
    """A node that stops while it sends ends the upload with a reset, and itself within ten seconds (3.1, 7.1)."""
    node = world.node({"big": octets(1 << 20) * 64})
    with dial(node.address(DOWNLOAD), receive_buffer=65536) as sock, dial(node.address(LIST)) as idle:
        sock.sendall(b"big\n")
        start = read_answer(sock, most=100_000).data
        node.wait("upload_start")
        begin = time.monotonic()
        node.stop()
        seconds = time.monotonic() - begin
        rest = read_answer(sock)
        equal(rest.end, RESET, f"the end after {len(start) + len(rest.data)} octets")
        check(read_answer(idle).end != "late", "an idle caller is left open")
    check(seconds < 12, f"it took {seconds:.1f} s to end")
