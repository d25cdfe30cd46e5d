"""What the node makes of answers to its own HTTP requests (bepeer.md sections 2.3, 5.1 and 5.3; vectors fetch)."""
import os
import socket
import threading
import time

from bepeer_peer import extension
from bepeer_wire import OFFER, REPORT, confirm, digest_of, offer, target_of
from bepeer_world import NAME
from cases import case
from sockets import Server, check, equal, loopback_host
from world import octets, settle

TARGET = f"/{NAME}/new"


def member(world, **options):
    """A node that has joined our folder of one file; the next file is `new`."""
    return world.member({"File1": b"one\n"}, **options)


def offer_new(peer, content):
    """Offers `new`, which our file server answers with `content`. The moment."""
    peer.files.contents[TARGET] = content
    since = time.monotonic()
    peer.link.send(offer(NAME, "new"))
    return since


def reported(peer, since, seconds=20.0):
    where, _ = peer.await_message(REPORT, "new", since=since, seconds=seconds)
    where.send(confirm(NAME, "new"))


def never_comes(node, peer, since, what):
    """What cannot be trusted is neither in the folder nor reported."""
    equal([message for message in peer.got(REPORT, since) if "new" in message.files], [], f"reports of {what}")
    equal(node.content("new"), None, f"the file of {what}")


def raw(head, body=b"", then=True):
    """An answer as it is; then the connection goes on (True), ends (False) or is reset (None)."""
    def answer(sock, _):
        sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + body)
        if then is None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        return bool(then)
    return answer


@case("HTTP redirects are not followed: connections to the source only (2.3, bp-fetch-01)", 90)
def redirects(world):
    """Not even to another port of the same address; the name fails after its retries."""
    calls = []
    host = loopback_host()
    for port in (7010, 8080):
        world.own(Server((host, port), lambda sock, address: calls.append(address)))
    node, peer = member(world)
    world.own(Server((peer.host, 8080), lambda sock, address: calls.append(address)))
    names, since = [], time.monotonic()
    for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "300 Multiple"):
        for place in (f"http://{host}:7010/x", f"http://{peer.host}:8080{TARGET}", f"//{host}:8080/x", "/elsewhere"):
            names.append(f"new {len(names)}")
            peer.files.contents[target_of(NAME, names[-1])] = raw(
                [f"HTTP/1.1 {status}", f"Location: {place}", "Content-Length: 3"], b"abc")
    peer.link.send(offer(NAME, *names))
    for name in names:
        peer.files.wait(target_of(NAME, name), 3, 40)      # it was tried again after 1 and 10 s
    equal(sorted(node.tree()), ["File1"], "the folder")
    equal(peer.got(REPORT, since), [], "reports")
    equal(calls, [], "connections elsewhere")
    equal(peer.files.asked("/elsewhere"), [], "requests for the other name")
    node.stop()


@case("Length check: a short body is no file, the part is kept for resume (5.3, bp-fetch-02, bp-fetch-06)", 90)
def resumed(world):
    """A body that is cut; the next try asks for the rest with Range and If-Range, and 206 is appended."""
    for size, cut in ((1000, 400), (3 << 20, 1_234_567)):
        node, peer = member(world, old=False)
        data, asked = octets(size), []

        def answer(sock, head, data=data, asked=asked, cut=cut):
            if head.method == "HEAD":
                return raw(["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", 'ETag: "a"'])(sock, head)
            asked.append(head.headers)
            tags = ['ETag: "a"', "Accept-Ranges: bytes"]
            if len(asked) == 1:
                return raw(["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", *tags], data[:cut], False)(sock, head)
            first = int(head.headers.get("range", "bytes=0-").partition("=")[2].rstrip("-"))
            status = ["HTTP/1.1 206 Partial Content", f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}"]
            return raw([*(status if first else ["HTTP/1.1 200 OK"]), f"Content-Length: {len(data) - first}", *tags],
                       data[first:])(sock, head)
        since = offer_new(peer, answer)
        reported(peer, since)
        check(node.content("new") == data, "the resumed file differs")
        equal((asked[1].get("range"), asked[1].get("if-range")), (f"bytes={cut}-", '"a"'), "the second request")
        equal(node.parts(), [], "parts that are left")
        node.stop()


@case("200 to a Range: start again; 206 that does not fit is not appended (5.3, bp-fetch-03)", 120)
def not_resumed(world):
    """A server without ranges, one whose file is another by now, and ones that answer what was not asked."""
    data, other = octets(100_000), octets(90_000, 2)

    def second(kind, first):
        size = len(data)
        tags = ['ETag: "a"', "Accept-Ranges: bytes"]
        return {
            "200": (["HTTP/1.1 200 OK", f"Content-Length: {len(other)}", 'ETag: "b"'], other),
            "another start": (["HTTP/1.1 206 P", f"Content-Range: bytes 0-{size - 1}/{size}", f"Content-Length: {size}",
                               *tags], data),
            "another size": (["HTTP/1.1 206 P", f"Content-Range: bytes {first}-{first + 9}/{first + 10}",
                              "Content-Length: 10", *tags], b"x" * 10),
            "another tag": (["HTTP/1.1 206 P", f"Content-Range: bytes {first}-{size - 1}/{size}",
                             f"Content-Length: {size - first}", 'ETag: "c"'], b"y" * (size - first)),
            "no Content-Range": (["HTTP/1.1 206 P", f"Content-Length: {size - first}", *tags], data[first:]),
            "416": (["HTTP/1.1 416 R", f"Content-Range: bytes */{size}", "Content-Length: 0"], b""),
        }[kind]
    for kind in ("200", "another start", "another size", "another tag", "no Content-Range", "416"):
        node, peer = member(world, old=False)
        count = []

        def answer(sock, head, kind=kind, count=count):
            if head.method == "HEAD":
                return raw(["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", 'ETag: "a"'])(sock, head)
            count.append(head)
            if len(count) == 1:
                lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", 'ETag: "a"']
                return raw(lines, data[:40_000], False)(sock, head)
            if "range" in head.headers:
                first = int(head.headers["range"].partition("=")[2].rstrip("-"))
                lines, body = second(kind, first)
                return raw(lines, body)(sock, head)
            return raw(["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", 'ETag: "a"'], data)(sock, head)
        since = offer_new(peer, answer)
        wanted = other if kind == "200" else data
        node.until(f"{kind}: the file", lambda node=node: node.content("new") is not None, 30)
        check(node.content("new") == wanted, f"{kind}: the file is wrong, {len(node.content('new'))} octets")
        reported(peer, since)
        node.stop()


@case("Other Content-Encoding, endless heads, wrong lengths: failure, and the next name goes on (5.3)", 120)
def broken_answers(world):
    """Accept-Encoding is identity; what is no HTTP is no file; what is too large for the disk waits for room."""
    huge = 1 << 62
    answers = {
        "gzip": raw(["HTTP/1.1 200 OK", "Content-Encoding: gzip", "Content-Length: 3"], b"abc"),
        "404": raw(["HTTP/1.1 404 Not Found", "Content-Length: 3"], b"abc"),
        "500": raw(["HTTP/1.1 500 Oops", "Content-Length: 3"], b"abc"),
        "no HTTP": raw(["SSH-2.0-OpenSSH_9.2"], b"abc", False),
        "nothing": raw([""], b"", False),
        "reset": raw(["HTTP/1.1 200 OK", "Content-Length: 1000"], b"x" * 10, None),
        "endless head": raw(["HTTP/1.1 200 OK", *["X: " + "y" * 1000] * 2000, "Content-Length: 1"], b"x", False),
        "two lengths": raw(["HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4"], b"abc", False),
        "negative": raw(["HTTP/1.1 200 OK", "Content-Length: -1"], b"abc", False),
        "no number": raw(["HTTP/1.1 200 OK", "Content-Length: 3x"], b"abc", False),
        "too large": raw(["HTTP/1.1 200 OK", f"Content-Length: {huge}"], b"x" * 100_000, False),
        "unasked 206": raw(["HTTP/1.1 206 P", "Content-Range: bytes 1-3/4", "Content-Length: 3"], b"abc"),
        "304": raw(["HTTP/1.1 304 Not Modified"]),
        "204": raw(["HTTP/1.1 204 No Content"]),
    }
    node, peer = member(world)
    contents = {f"bad {kind}": answer for kind, answer in answers.items()}
    for name, answer in contents.items():
        peer.files.contents[target_of(NAME, name)] = answer
    peer.share(NAME, good=b"good")
    peer.link.send(offer(NAME, *contents, "good"))
    node.has("good", b"good")
    for name in contents:
        peer.files.wait(target_of(NAME, name), 1 if name == "bad too large" else 2, 40)
    node.wait("disk_full", path="bad too large")
    settle(2)
    equal(sorted(node.tree()), ["File1", "good"], "the folder")
    for one in peer.files.requests:
        check(one.headers.get("accept-encoding", "identity") == "identity", f"{one}: {one.headers}")
    equal([part for part in node.parts() if os.path.getsize(node.path(f".bepeer/part/{part}")) > 1 << 20], [], "parts")
    # It still works, whatever waits to be tried again.
    node.put("own", b"own")
    peer.await_message(OFFER, "own", seconds=90)
    node.stop()


@case("Without Content-Length: accepted on orderly close; more than was announced is not taken (5.3)")
def odd_lengths(world):
    """An answer that ends with its connection is a file; what follows the announced length is nothing."""
    node, peer = member(world)
    since = offer_new(peer, raw(["HTTP/1.0 200 OK"], b"until the end", False))
    reported(peer, since)
    node.has("new", b"until the end")
    since = offer_new(peer, raw(["HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close"], b"five!and more", False))
    reported(peer, since)
    node.has("new", b"five!")
    since = offer_new(peer, raw(["HTTP/1.1 200 OK", "Content-Length: 0"]))
    reported(peer, since)
    node.has("new", b"")
    node.stop()


@case("On 404 for the first file of a peer the URL without the folder is tried once and remembered (5.1, bp-fetch-11)")
def other_layout(world):
    """A file server that was started in the folder itself."""
    peer = world.peer()
    node = world.home(share={"peers": [peer.address]}).start()
    files = {f"file {number}": octets(100, number) for number in range(10)}
    for name, data in files.items():
        peer.files.contents[target_of(name)] = data
    link = peer.take()
    link.expect("BePeerRequest")
    link.send(offer(NAME, *files))
    where, _ = peer.await_message(REPORT, *files)
    where.send(confirm(NAME, *files))
    equal(node.tree(), {name: digest_of(data) for name, data in files.items()}, "the files")
    # Files that were asked for at once may each have found out; then it is known.
    wrong = [one for one in peer.files.requests if one.target.startswith(f"/{NAME}/")]
    check(len(wrong) <= 16, f"{len(wrong)} requests with the folder")
    peer.files.contents["/new"] = b"new"
    before = len(wrong)
    peer.link = where
    where.send(offer(NAME, "new"))
    peer.await_message(REPORT, "new")
    wrong = [one for one in peer.files.requests if one.target.startswith(f"/{NAME}/")]
    equal(len(wrong), before, "requests with the folder, later")
    node.stop()


@case("Manifest and content disagree: thrown away, retried, then failed (bp-fetch-08)", 90)
def wrong_hash(world):
    """An extended peer whose bytes are not those of its manifest, and then are."""
    peer = world.peer(old=False)
    extension(peer, NAME, files={"File1": b"one\n"})
    node = world.home(share={"peers": [peer.address]}).start()
    peer.serve_join(NAME, {"File1": b"one\n"})
    node.about("trusted", peer.host)
    extension(peer, NAME, files={"File1": b"one\n", "new": b"right"})
    peer.files.contents[TARGET] = b"wrong"
    since = time.monotonic()
    peer.link.send(offer(NAME, "new"))
    peer.files.wait(TARGET, 3, 40)
    never_comes(node, peer, since, "another content")
    peer.files.contents[TARGET] = b"right"
    peer.link.send(offer(NAME, "new"))
    node.has("new", b"right", 90)
    node.stop()


@case("Needs free space >= size + minFreeBytes, else postponed: disk_full, the folder serves on (5.3, bp-fetch-12)")
def disk_full(world):
    """The reserve is larger than the disk."""
    peer = world.peer()
    node = world.home({"own": b"own"}, share={"peers": [peer.address]}, minFreeBytes=1 << 60).start()
    link = peer.take()
    link.expect("BePeerRequest")
    peer.share(NAME, new=octets(100_000))
    link.send(offer(NAME, "new"))
    node.wait("disk_full")
    never_comes(node, peer, 0.0, "a full disk")
    other = world.peer()
    other.become_trusted(node)
    equal(other.files.contents[f"/{NAME}/own"], b"own", "what is served")
    node.stop()


@case("A killed node: the file is not in the folder, after the restart it is resumed (bp-scenario-23)", 90)
def killed_in_the_middle(world):
    """SIGKILL while a file is half there; the same server, with ranges and without."""
    for is_old in (False, True):
        node, peer = member(world, old=is_old)
        data, may_go_on, half = octets(8 << 20), threading.Event(), 5 << 20

        def answer(sock, head, data=data, may_go_on=may_go_on, half=half, is_old=is_old):
            first = 0
            lines = ["HTTP/1.0 200 OK" if is_old else "HTTP/1.1 200 OK", f"Last-Modified: {peer.files.modified}"]
            if not is_old:
                lines += ['ETag: "e"', "Accept-Ranges: bytes"]
                if "range" in head.headers:
                    first = int(head.headers["range"].partition("=")[2].rstrip("-"))
                    lines[0] = "HTTP/1.1 206 Partial"
                    lines.append(f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}")
            sock.sendall(("\r\n".join([*lines, f"Content-Length: {len(data) - first}"]) + "\r\n\r\n").encode())
            if head.method == "HEAD":
                return True
            if not may_go_on.is_set():
                sock.sendall(data[first:half])
                may_go_on.wait(60)
            else:
                sock.sendall(data[first:])
            return True
        offer_new(peer, answer)
        node.until("the part", lambda node=node: [part for part in node.parts() if os.path.getsize(
            node.path(f".bepeer/part/{part}")) > 4 << 20], 30)
        node.kill()
        equal(node.content("new"), None, "the file when it was killed")
        may_go_on.set()
        before = len(peer.files.asked(TARGET, "GET"))
        node.start()
        link = peer.take(30)
        link.expect("BePeerRequest")
        link.send(offer(NAME, "File1", "new"))
        where, _ = peer.await_message(REPORT, "File1", "new", seconds=30)
        where.send(confirm(NAME, "File1", "new"))
        check(node.content("new") == data, "the file after the restart")
        again = peer.files.asked(TARGET, "GET")[before]
        if not is_old:
            check(again.headers.get("range", "").startswith("bytes="), f"from the beginning: {again.headers}")
            equal(again.headers.get("if-range"), '"e"', "If-Range")
        equal(node.parts(), [], "parts that are left")
        node.stop()


@case("A name that failed is retried 3 times (1 s, 10 s, 60 s) before it is left out (3.1)", 240, slow=True)
def retries(world):
    """A name that fails is tried four times in all; the others are reported, this one is left out."""
    node, peer = member(world)
    peer.share(NAME, good=b"good")
    peer.files.contents[TARGET] = raw(["HTTP/1.1 200 OK", "Content-Length: 9"], b"short", False)
    since = time.monotonic()
    peer.link.send(offer(NAME, "good", "new"))
    _, message = peer.await_message(REPORT, since=since, seconds=150)
    times = [one.time - since for one in peer.files.asked(TARGET, "GET")]
    check("new" not in message.files, f"{message}")
    never_comes(node, peer, since, "a short body")
    check(len(times) == 4 and times[2] - times[1] > 8 and times[3] - times[2] > 50, f"tries after {times}")
    node.stop()
    return str([round(moment, 1) for moment in times])


@case("Stall: 60 s without a byte (5.3)", 150, slow=True)
def stalls(world):
    """A server that stops in the middle: the node gives up after a minute and asks again."""
    node, peer = member(world)
    released = threading.Event()
    world.opened.append(Closing(released))

    def stall(sock, _):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshor")
        released.wait(120)
        return False
    offer_new(peer, stall)
    first = peer.files.wait(TARGET)
    second = peer.files.wait(TARGET, 2, 100)
    check(55 < second.time - first.time < 75, f"asked again after {second.time - first.time:.1f} s")
    released.set()
    node.stop()


class Closing:
    """Lets a server's thread go at the end of a case."""

    def __init__(self, event):
        self.close = event.set


@case("Files are fetched from the address the message came from, and from nowhere else (2.3)")
def only_the_source(world):
    """The port is what line 3 says, also when nobody is there; another host of ours has no call."""
    calls = []
    host = loopback_host()
    world.own(Server((host, 7010), lambda sock, address: calls.append(address)))
    node, peer = member(world)
    since = time.monotonic()
    peer.link.send(offer(NAME, "new", port=9))
    settle(2)
    never_comes(node, peer, since, "a port without a server")
    equal(calls, [], "calls elsewhere")
    for one in peer.files.requests:
        equal(one.ip, node.host, f"whence {one}")
    node.stop()
