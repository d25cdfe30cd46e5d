"""Callers that want to harm the node (sections 3.2 and 12): they cost a connection, and nobody else notices."""
import contextlib
import time

from cases import case
from files_wire import (
    DOWNLOAD, FIN, LATE, LIST, QUERY, RESET, check, dial, equal, exchange, loopback_host, read_answer, reset)
from world import octets

SERVICES = {"list": (LIST, 64), "query": (QUERY, 1024), "download": (DOWNLOAD, 4096)}


def serves(node):
    """The node answers all three as ever."""
    equal(node.query(b"good\n").lines, [b"good"], "a query")
    equal(node.fetch(b"good\n").data, b"content", "a file")
    equal(node.list(b"\n").end, FIN, "the end of a list")


def settled(node, before):
    """All connections are gone, and no descriptor stays behind."""
    node.until("the end of all", lambda: all(
        node.status()[f"{name}Callers"] == 0 for name in SERVICES), seconds=30)
    node.until(f"as few descriptors as before, {before}", lambda: node.descriptors() <= before)


@case()
def long_lines(world):
    """A line of the limit is a request; one octet more ends the connection without an answer, and so does a line that
    never ends, however much comes (3.2)."""
    node = world.node({"good": b"content"})
    before, memory = node.descriptors(), node.memory()
    for name, (service, limit) in SERVICES.items():
        for ending in (b"\n", b"\r\n"):
            equal(exchange(node.address(service), b"x" * limit + ending).end, FIN, f"{name}: a line of the limit")
        equal(len(node.of("reject", service=name, reason="line_too_long")), 0, f"{name}: refusals")
        for line in (b"x" * (limit + 1) + b"\n", b"x" * (limit + 1) + b"\r\n", b"x" * (limit + 2), b"\xff" * (4 << 20)):
            host = loopback_host()
            answer = exchange(node.address(service), line, source=host)
            check(answer.data == b"" and answer.end != LATE, f"{name}: {len(line)} octets: {answer}")
        node.wait("reject", count=4, service=name, reason="line_too_long")
    serves(node)
    settled(node, before)
    grown = node.grown(memory)
    check(grown < 64 << 20, f"endless lines took {grown >> 20} MiB")
    node.stop()


@case()
def slow_lines(world):
    """The time for a line is counted from the accept and does not begin again with each octet (3.2)."""
    node = world.node({"good": b"content"}, lineTimeoutSeconds=2)
    for name, (service, _) in SERVICES.items():
        begin = time.monotonic()
        with dial(node.address(service)) as slow, dial(node.address(service)) as silent:
            ended = None
            for _ in range(100):
                with contextlib.suppress(ConnectionError):
                    slow.sendall(b"x")
                answer = read_answer(slow, seconds=0.1)
                if answer.end != LATE:
                    ended = time.monotonic() - begin
                    break
            check(ended is not None, f"{name}: an octet every 0.1 s keeps the connection")
            check(ended > 1.5, f"{name}: ended after {ended:.2f} s of 2")
            equal(answer.data, b"", f"{name}: what a slow caller gets")
            equal(read_answer(silent).data, b"", f"{name}: what a silent caller gets")
        node.wait("reject", count=2, service=name, reason="line_timeout")
        serves(node)
    node.stop()


@case()
def full_services(world):
    """A full service drops the oldest that has not said its line; one address has its share at most (3.2)."""
    limits = {f"{name}Connections": 4 for name in SERVICES} | {
        f"{name}ConnectionsPerAddress": 2 for name in SERVICES}
    node = world.node({"good": b"content"}, **limits)
    for name, (service, _) in SERVICES.items():
        host = loopback_host()
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(dial(node.address(service), host)) for _ in range(2)]
            node.until("two callers", lambda key=f"{name}Callers": node.status()[key] == 2)
            equal(exchange(node.address(service), source=host).end, RESET, "the third of one address")
            node.wait("reject", service=name, reason="limit")
            idle += [stack.enter_context(dial(node.address(service))) for _ in range(2)]
            node.until("four callers", lambda key=f"{name}Callers": node.status()[key] == 4)
            # The next one has its answer, and the oldest has made room for it.
            serves(node)
            equal(read_answer(idle[0]).end, RESET, "the end of the oldest")
            # The youngest is still there and is answered.
            idle[3].sendall(b"good\n")
            answer = read_answer(idle[3])
            equal(answer.end, FIN, "the end of the answer to the youngest")
        node.until("nobody", lambda key=f"{name}Callers": node.status()[key] == 0)
    serves(node)
    node.stop()


@case(seconds=90)
def full_uploads(world):
    """So many uploads at once, so many that wait in their order, and behind them the system's queue (6.1); one of which
    nothing is taken is given up with a reset (3.2)."""
    node = world.node(
        {"good": b"content", "big": octets(1 << 20) * 64}, maxUploads=2, maxWaitingUploads=1, downloadConnections=3,
        uploadStallSeconds=5)
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(dial(node.address(DOWNLOAD), receive_buffer=65536)) for _ in range(2)]
        for sock in greedy:
            sock.sendall(b"big\n")
        node.wait("upload_start", count=2, name="big")
        waiting = stack.enter_context(dial(node.address(DOWNLOAD)))
        waiting.sendall(b"good\n")
        node.until("one that waits", lambda: node.status()["uploadsWaiting"] == 1)
        # Nobody is accepted any more: the system holds this one and its line.
        queued = stack.enter_context(dial(node.address(DOWNLOAD)))
        queued.sendall(b"good\n")
        equal(len(node.of("upload_start")), 2, "uploads")
        equal(read_answer(waiting, seconds=40), (b"content", FIN), "the answer to the one that waited")
        equal(read_answer(queued, seconds=40), (b"content", FIN), "the answer to the one in the queue")
        node.wait("upload_abort", count=2, name="big", reason="stalled")
        for sock in greedy:
            equal(read_answer(sock).end, RESET, "the end of an upload of which nothing was taken")
    serves(node)
    node.stop()


@case(seconds=90)
def crowds(world):
    """Two thousand callers that say nothing, half a line, or end with a reset, at all three ports: no descriptor and
    little memory stays behind, and an honest caller has its answers meanwhile (12)."""
    node = world.node({"good": b"content"}, lineTimeoutSeconds=3)
    serves(node)
    before, memory = node.descriptors(), node.memory()
    with contextlib.ExitStack() as stack:
        for number in range(2000):
            service = (LIST, QUERY, DOWNLOAD)[number % 3]
            sock = stack.enter_context(dial(node.address(service), loopback_host()))
            with contextlib.suppress(ConnectionError):
                if number % 5 == 1:
                    sock.sendall(b"half a line")
                if number % 5 == 2:
                    reset(sock)
                if number % 5 == 3:
                    sock.sendall(b"good\n")
            if number % 500 == 250:
                serves(node)
    serves(node)
    settled(node, before)
    grown = node.grown(memory)
    check(grown < 64 << 20, f"the crowd took {grown >> 20} MiB")
    node.stop()


@case()
def unread_answers(world):
    """A caller that asks for much and reads nothing holds its own answer only, and not for ever (3.2)."""
    names = {f"{number:05}" + "x" * 200: b"" for number in range(4000)}
    node = world.node({"good": b"content", **names})
    before, memory = node.descriptors(), node.memory()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(dial(node.address(QUERY), loopback_host(), receive_buffer=4096))
            sock.sendall(b"\n")
        node.wait("query_in", count=100)
        serves(node)
    settled(node, before)
    grown = node.grown(memory)
    check(grown < 192 << 20, f"100 unread answers of 0.8 MiB took {grown >> 20} MiB")
    node.stop()


@case()
def kept_out(world):
    """peerDeny wins over peerAllow, and counts for callers, for announcements and for hearsay (4.5)."""
    node = world.home()
    bad, good = loopback_host(), loopback_host()
    node.configure({"peerAllow": ["127.0.0.0/8"], "peerDeny": [f"{bad}/32"]}, {})
    node.put("good", b"content")
    node.start()
    for name, (service, _) in SERVICES.items():
        equal(exchange(node.address(service), b"good\n", source=bad).data, b"", f"{name}: what is told")
        node.wait("reject", service=name, reason="scope")
    answer = node.list(f"{bad}:7990\n".encode(), source=good)
    equal(answer.lines, [], "the list with somebody who is kept out")
    # Port numbers below 1024 are believed of a caller itself only (4.5).
    equal(node.list(b"127.0.0.1:80\n", source=good).lines, [], "a well-known port of another host")
    serves(node)
    node.stop()


@case(seconds=90)
def broken_off(world):
    """Ends of all kinds while an answer is looked for or sent: the node goes on (3.1)."""
    node = world.node({"good": b"content", "big": octets(1 << 20) * 16})
    before = node.descriptors()
    for round_ in range(12):
        for service, line in ((LIST, b"\n"), (QUERY, b"\n"), (DOWNLOAD, b"big\n"), (QUERY, b"//p2x/1/stat/big\n")):
            sock = dial(node.address(service))
            sock.sendall(line)
            if round_ % 3 == 0:
                reset(sock)
            elif round_ % 3 == 1:
                read_answer(sock, most=1)
                reset(sock)
            else:
                sock.close()
    settled(node, before)
    serves(node)
    node.stop()
