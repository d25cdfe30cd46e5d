"""The node's file server, asked by raw sockets and by curl (bepeer.md sections 5.1, 5.2, 8 and 9)."""
import contextlib
import email
import email.utils
import hashlib
import json
import os
import socket
import subprocess
import time

import bepeer_vectors
from bepeer_caller import Caller, ask
from bepeer_peer import http_get
from bepeer_wire import (
    OFFER, block_size, components_of, digest_of, proof_of, quoted, range_of, read_manifest, request, target_of)
from bepeer_world import NAME
from cases import case
from sockets import FIN, LATE, RESET, Wrong, check, dial, equal, exchange, loopback_host, read_answer
from world import octets, settle

ONE = f"/{NAME}/File1"
FILES = {"File1": b"one\n", "File2": b"two\n" * 5}


@case("GET and HEAD; 405 for others; 404 for everything that is not a shared file (5.2, vectors http)")
def http_vectors(world):
    """The requests of the vectors as they are."""
    node, count = world.node(FILES), 0
    os.makedirs(node.path(".bepeer/part"), exist_ok=True)
    with open(node.path(".bepeer/part/x.part"), "wb") as file:
        file.write(b"secret")
    for vector in bepeer_vectors.load(world.options.vectors, "http"):
        if vector["id"] == "bp-http-16":
            continue    # a case of its own
        try:
            play(node, vector)
        except Wrong as error:
            raise Wrong(f"{vector['id']} {vector['name']}: {error}") from None
        count += 1
    node.stop()
    return f"{count} vectors"


def play(node, vector):
    expected, method = vector["expect"], vector["request"].partition(" ")[0]
    with Caller(node.http_address) as caller:
        with contextlib.suppress(ConnectionError):
            caller.send(vector["request"])
        statuses = expected.get("status", [])
        statuses = [statuses] if isinstance(statuses, int) else statuses
        answers = [caller.reply(method) for _ in statuses or [200]]
        check(None not in answers, f"the connection ended: {answers}")
        if statuses:
            equal([answer.status for answer in answers], statuses, "status")
        answer = answers[0]
        for name in expected.get("headers", ()):
            check(name.lower() in answer.headers, f"no {name}: {answer}")
        if "header" in expected:
            name, _, value = expected["header"].partition(": ")
            equal(answer.headers.get(name.lower()), value, name)
        if "json_has" in expected:
            found = json.loads(answer.body)
            equal([name for name in expected["json_has"] if name not in found], [], "missing in hello")
        if vector["id"] == "bp-http-08":
            equal([answer.body for answer in answers], [b"one\n", b"two\n" * 5], "bodies, in order")
        if expected.get("body") == "whole file":
            equal(answer.body, b"one\n", "the body")
        if expected.get("then") == "close":
            check(caller.ended() in (FIN, RESET), "the connection stays")


@case("Range: one range gives 206 and Content-Range, unsatisfiable 416, several or bad syntax 200 (5.2, vectors range)")
def range_vectors(world):
    """All range vectors, and every range of a small file against our own reading."""
    data = octets(1000)
    node = world.node({"File1": data, "ten": b"0123456789", "empty": b""})
    with Caller(node.http_address) as caller:
        for vector in bepeer_vectors.load(world.options.vectors, "range"):
            answer, expected = caller.get(ONE, f"Range: {vector['input']['range']}"), vector["expect"]
            equal(answer.status, expected["status"], vector["id"])
            equal(answer.headers.get("content-range"), expected.get("content_range"), f"{vector['id']} Content-Range")
            if "content_length" in expected:
                equal(len(answer.body), expected["content_length"], f"{vector['id']} length")
        texts = [f"bytes={first}-{last}" for first in ("", 0, 3, 9, 10, 99) for last in ("", 0, 3, 8, 9, 10, 99)]
        texts += ["bytes=", "bytes", "bytes=a-b", "bytes=0x1-2", "bytes=1-2x", "bytes=--1", "bytes=+1-2",
                  f"bytes={1 << 64}-", f"bytes=-{1 << 64}", f"bytes=0-{1 << 64}", "bytes=0-1,", "bytes=0-0,-1"]
        for text in texts:
            status, first, count = range_of(10, text)
            for method in ("GET", "HEAD"):
                answer = caller.get(f"/{NAME}/ten", f"Range: {text}", method=method)
                # RFC 9110: a range of HEAD may be ignored.
                check(answer.status == status or (method, answer.status) == ("HEAD", 200), f"{method} {text}: {answer}")
                if method == "GET" and status != 416:
                    equal(answer.body, b"0123456789"[first:first + count], f"{method} {text}")
        for text, status in (("bytes=0-", 416), ("bytes=-1", 416), ("bytes=5-2", 200)):
            check(caller.get(f"/{NAME}/empty", f"Range: {text}").status in (status, 200), f"{text} of an empty file")
    node.stop()


@case("Exactly one percent-decoding (5.2, vectors target)")
def target_vectors(world):
    """Files lie where the vectors' targets lead; what they refuse is 404."""
    files = dict(FILES)
    found = bepeer_vectors.load(world.options.vectors, "target")
    for vector in found:
        if components := vector["expect"]["components"]:
            path = "/".join(components[1:])
            files.setdefault(path, f"the file {path}".encode())
    node = world.node(files)
    with Caller(node.http_address) as caller:
        for vector in found:
            components = vector["expect"]["components"]
            answer = caller.get(vector["input"])
            if not components:
                # Without a slash it is no request target at all.
                statuses = (404,) if vector["input"].startswith("/") else (400, 404)
                check(answer and answer.status in statuses, f"{vector['id']} {vector['name']}: {answer}")
                if answer.status == 400:
                    break
                continue
            equal(answer.status, 200, f"{vector['id']} {vector['name']}")
            equal(answer.body, files["/".join(components[1:])], vector["id"])
    node.stop()
    return f"{len(found)} vectors"


@case("No directory listing, and nothing but what is in the index (5.2, 12)")
def private_files(world):
    """Ways out of the folder, folders themselves, the node's own files, ignored ones, links, FIFOs."""
    node = world.home({**FILES, "sub/inner": b"inner", "secret.tmp": b"secret"})
    secret = os.path.join(node.place, "secret")
    with open(secret, "wb") as file:
        file.write(b"secret")
    with open(node.path(".bepeerignore"), "w", encoding="utf-8") as file:
        file.write("*.tmp\n")
    os.symlink(secret, node.path("link"))
    os.symlink(node.place, node.path("door"))
    os.symlink("File1", node.path("inner-link"))
    os.mkfifo(node.path("fifo"))
    node.start()
    dots = ["..", "%2e%2e", "%2E.", ".%2e", "..%2f..", "%2e%2e%2f", "..;", "...", "..\\..", "..%5c..", "%c0%ae%c0%ae",
            "%252e%252e", "..%00", "%uff0e%uff0e", "．．"]
    targets = ["/", "//", "*", f"/{NAME}", f"/{NAME}/", f"/{NAME}/sub", f"/{NAME}/sub/", f"//{NAME}/File1",
               f"/{NAME}//File1", f"/{NAME}/./File1", f"/{NAME}/%2e/File1", f"/{NAME}/File1/",
               f"/{NAME}/File1/x", f"/{NAME}/file1",
               f"/{NAME}/File1%00", f"/{NAME}/File1%0a", f"/{NAME}/File1%20", f"/{NAME}/%46ile1%2F", f"/{NAME}%2FFile1",
               f"/{NAME}/.bepeer", f"/{NAME}/.bepeer/", f"/{NAME}/.bepeerignore", f"/{NAME}/.bepeer/lock", "/.bepeer",
               "/.bepeer/1", "/.bepeer/1/", "/.bepeer/1/f", f"/.bepeer/1/f/{NAME}", "/.bepeer/1/f/x/manifest",
               "/.bepeer/2/hello", f"/{NAME}/secret.tmp", f"/{NAME}/link", f"/{NAME}/door/secret",
               f"/{NAME}/inner-link", f"/{NAME}/fifo", "/etc/passwd", "/secret", "/peernode.json", f"/{NAME}/a%zz",
               f"/{NAME}/%", f"/{NAME}/%4"]
    names = ("secret", "../secret", "../../secret", "etc/passwd")
    targets += [f"/{NAME}/{way}/{name}" for way in dots for name in names]
    targets += [f"/{way}/secret" for way in dots]
    for target in targets:
        answer, _ = ask(node, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        check(answer and answer.status in (404, 400) and b"secret" not in answer.body, f"{target}: {answer}")
        if components_of(target) and target.isascii():
            equal(answer.status, 404, target)
    with Caller(node.http_address) as caller:
        for target in (f"/{NAME}/sub/inner", f"/{NAME}/%46%69le1", "/File1", "/sub/inner"):
            equal(caller.get(target).status, 200, target)
    node.stop()
    return f"{len(targets)} targets"


@case("Content-Length, Last-Modified, strong ETag, Accept-Ranges, Content-Type, nosniff, BePeer-Hash (5.2, 8.3)")
def file_headers(world):
    """Of GET and HEAD alike; the ETag follows the content."""
    node = world.node(FILES)
    os.utime(node.path("File1"), (1_700_000_000, 1_700_000_000))
    digest = digest_of(b"one\n")
    with Caller(node.http_address) as caller:
        def changed():
            return caller.get(ONE).headers.get("last-modified") == "Tue, 14 Nov 2023 22:13:20 GMT"
        node.until("the new time", changed)
        node.until("the hash", lambda: "bepeer-hash" in caller.get(ONE).headers)
        plain, head = caller.get(ONE), caller.get(ONE, method="HEAD")
        expected = {
            "content-length": "4", "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT", "etag": f'"b-{digest}"',
            "accept-ranges": "bytes", "content-type": "application/octet-stream", "x-content-type-options": "nosniff",
            "bepeer-hash": f"sha-256={digest}"}
        for answer in (plain, head):
            equal({name: answer.headers.get(name) for name in expected}, expected, f"headers of {answer}")
        equal((plain.body, head.body), (b"one\n", b""), "bodies")
        check("transfer-encoding" not in plain.headers, "a transfer encoding")
        node.put("File1", b"another\n")
        node.until("another tag", lambda: digest_of(b"another\n") in caller.get(ONE).headers.get("etag", ""))
        equal(caller.get(ONE).body, b"another\n", "the new content")
    node.stop()


@case("If-Range, If-None-Match (5.2)")
def conditions(world):
    """304 for what one has; 206 for the rest of what one has; everything when it has changed."""
    node = world.node(FILES)
    with Caller(node.http_address) as caller:
        node.until("the hash", lambda: '"b-' in caller.get(ONE).headers["etag"])
        tag, modified = (caller.get(ONE).headers[name] for name in ("etag", "last-modified"))
        earlier = email.utils.formatdate(0, usegmt=True)
        for headers, status, body in [
            ([f"If-None-Match: {tag}"], 304, b""), (["If-None-Match: *"], 304, b""),
            ([f'If-None-Match: "x", {tag} , "y"'], 304, b""), ([f"If-None-Match: W/{tag}"], 304, b""),
            (['If-None-Match: "other"'], 200, b"one\n"), ([f"If-None-Match: {tag}", "Range: bytes=1-"], 304, b""),
            ([f"If-Range: {tag}", "Range: bytes=1-"], 206, b"ne\n"),
            (['If-Range: "other"', "Range: bytes=1-"], 200, b"one\n"),
            ([f"If-Range: W/{tag}", "Range: bytes=1-"], 200, b"one\n"),
            ([f"If-Range: {modified}", "Range: bytes=1-"], 206, b"ne\n"),
            ([f"If-Range: {earlier}", "Range: bytes=1-"], 200, b"one\n"),
            (['If-Range: "other"', "Range: bytes=9-"], 200, b"one\n"),
            ([f"If-Range: {tag}"], 200, b"one\n"),
        ]:
            answer = caller.get(ONE, *headers)
            equal((answer.status, answer.body), (status, body), str(headers))
            if status == 304:
                equal(answer.headers.get("etag"), tag, "the tag of a 304")
    node.stop()


@case("Keep-alive, pipelining, HTTP/1.1 and 1.0 (5.2)")
def connections(world):
    """Many requests in one segment are answered in order; HTTP/1.0 and `close` end the connection."""
    files = {f"file {number:03}": octets(number * 37, number) for number in range(100)}
    node = world.node(files)
    with Caller(node.http_address) as caller:
        order = [(name, method) for name in files for method in ("GET", "HEAD", "GET")]
        data = "".join(f"{method} {target_of(NAME, name)} HTTP/1.1\r\nHost: x\r\n\r\n" for name, method in order)
        caller.send(data)
        for name, method in order:
            answer = caller.reply(method)
            expected = files[name] if method == "GET" else b""
            equal((answer.status, answer.body == expected), (200, True), f"{method} {name}")
            equal(answer.version, "HTTP/1.1", "the version")
        # In single octets.
        for octet in f"\r\nGET {target_of(NAME, 'file 001')} HTTP/1.1\r\nhOST:x\r\n\r\n".encode()[2:]:
            caller.send(bytes([octet]))
        equal(caller.reply().body, files["file 001"], "a request in single octets")
        answer = caller.get(target_of(NAME, "file 002"), "Connection: close")
        equal((answer.body, caller.ended()), (files["file 002"], FIN), "after Connection: close")
    target = target_of(NAME, "file 003")
    for data in (f"GET {target} HTTP/1.0\r\n\r\n", f"GET {target} HTTP/1.0\nHost: x\n\n"):
        with Caller(node.http_address) as caller:
            caller.send(data)
            answer = caller.reply()
            # Bare LF may be refused.
            check(answer.status == 200 or ("\r" not in data and answer.status == 400), f"{data!r}: {answer}")
            equal(caller.ended(), FIN, "the end of HTTP/1.0")
    with Caller(node.http_address) as caller:
        caller.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        caller.sock.shutdown(socket.SHUT_WR)
        equal(caller.reply().body, files["file 003"], "the answer to who has ended its side")
    node.stop()


@case("400 for a broken request, 414/431 for a line over 8 KiB or headers over 16 KiB, 405 for other methods (5.2)")
def broken_requests(world):
    """One status each, the connection ends behind a request that cannot be trusted, and the server goes on."""
    node = world.node(FILES)
    before, memory = node.descriptors(), node.memory()
    get = f"GET {ONE} HTTP/1.1\r\nHost: x\r\n"
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get"):
        answer, _ = ask(node, f"{method} {ONE} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        statuses = (405, 501, 400) if method in ("get", "PROPFIND") else (405,)
        check(answer and answer.status in statuses, f"{method}: {answer}")
    # The server's library takes a line that begins with NUL for an empty one: nobody answers, and nothing is served.
    equal(exchange(node.http_address, b"\x00\x01\x02\r\n\r\n", seconds=1).data, b"", "the answer to NUL")
    for body in ("Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", "Content-Length: 99999999\r\n\r\n",
                 "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
        for method in ("POST", "PUT", "DELETE"):
            answer, _ = ask(node, f"{method} {ONE} HTTP/1.1\r\nHost: x\r\n{body}")
            check(answer and answer.status == 405, f"{method} with {body!r}: {answer}")
    broken = [
        "GET\r\n\r\n", f"GET {ONE}\r\n\r\n", f"GET {ONE} HTTP/1.1 x\r\nHost: x\r\n\r\n",
        f"GET {ONE} HTTX/1.1\r\nHost: x\r\n\r\n", f"GET {ONE} HTTP/1.1\r\nno colon\r\n\r\n",
        f"GET {ONE} HTTP/1.1\r\nHost: x\r\nbad name: x\r\n\r\n", get + "Name : x\r\n\r\n",
        get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        get + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", get + "Content-Length: -1\r\n\r\n",
        get + "Content-Length: 0x5\r\n\r\nhello", get + "Content-Length: 99999999999999999999\r\n\r\n",
        get + "Transfer-Encoding: chunked, identity\r\n\r\n", get + "X: a\x00b\r\n\r\n",
        f"GET {ONE} x HTTP/1.1\r\n\r\n",
        get + "X: a\rb\r\n\r\n"]
    for data in broken:
        answer, is_over = ask(node, data)
        check(answer and answer.status in (400, 501, 505, 411, 413), f"{data[-60:]!r}: {answer}")
        check(is_over, f"{data[-60:]!r}: the connection stays, {answer}")
    for data, statuses in [
        (f"GET /{'a' * 8300} HTTP/1.1\r\nHost: x\r\n\r\n", (414,)), (f"GET /{'a' * (1 << 20)}", (414,)),
        (get + f"X: {'y' * 17_000}\r\n\r\n", (431,)), (get + "X: y\r\n" * 4000 + "\r\n", (431,)),
        (get + "X: " + "y" * (4 << 20), (431,))]:
        answer, is_over = None, True
        with contextlib.suppress(ConnectionError):
            answer, is_over = ask(node, data)
        check(answer is None and len(data) > 1 << 20 or answer.status in statuses, f"{data[:20]} …: {answer}")
        check(is_over, f"{data[:20]} …: the connection stays")
    with Caller(node.http_address) as caller:
        check(caller.get(f"/{NAME}/{'a' * 8000}").status in (404, 414), "a line of nearly 8 KiB")
    with Caller(node.http_address) as caller:
        equal(caller.get(ONE, "X: " + "y" * 7000, "Y: " + "y" * 8000).status, 200, "headers of nearly 16 KiB")
        # A body that nobody wants is not the next request.
        caller.send(get + "Content-Length: 4\r\n\r\nGET GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        first, second = caller.reply(), caller.reply()
        check(first.status in (200, 400, 413), f"a GET with a body: {first}")
        check(second is None or second.status == 404, f"behind a GET with a body: {second}")
    grown = node.grown(memory)
    check(grown < 64 << 20, f"broken requests took {grown >> 20} MiB")
    node.until(f"as few descriptors as before, {before}", lambda: node.descriptors() <= before, 30)
    node.stop()


@case("The body is exactly the announced length; if the file shrank under the reader, the connection is reset (5.2)")
def changing_files(world):
    """A file that is cut while it is sent is never silently short; one that grows is sent as it was announced."""
    size = 64 << 20
    node = world.node({"shrinks": octets(1 << 20) * 64, "grows": octets(1 << 20) * 64})
    for name in ("shrinks", "grows"):
        with dial(node.http_address, loopback_host(), receive_buffer=65536) as sock:
            sock.sendall(f"GET /{NAME}/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            start = read_answer(sock, most=100_000).data
            head = start.partition(b"\r\n\r\n")[0]
            check(f"Content-Length: {size}".encode().lower() in head.lower(), str(head))
            with open(node.path(name), "r+b") as file:
                file.truncate((4 << 20) + 1 if name == "shrinks" else 2 * size)
            rest = read_answer(sock, most=None if name == "shrinks" else size + len(head) + 4 - len(start))
            count = len(start) + len(rest.data) - len(head) - 4
            if name == "shrinks":
                equal(rest.end, RESET, f"the end after {count} octets")
                check(count < size, f"{count} octets of a file that was cut")
            else:
                equal(count, size, "octets of a file that grows")
                sock.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    equal(sock.recv(100), b"", "octets behind the announced length")
    node.stop()


@case("Our server answers /<path> as well if exactly one folder is shared; a single file is /<name> (5.1)")
def layouts(world):
    """With two folders only the long form; a folder that is one file has that one name."""
    two = world.home({"File1": b"one\n"}, folders=[{"name": NAME}, {"name": "other"}]).start()
    place = world.place()
    with open(os.path.join(place, "notes.txt"), "wb") as file:
        file.write(b"notes")
    single = world.home(folders=[{"name": "notes.txt", "path": os.path.join(place, "notes.txt")}]).start()
    one = world.node({"File1": b"one\n", f"{NAME}/inner": b"inner", "other/x": b"x"})
    for node, target, status, body in [
        (two, ONE, 200, b"one\n"), (two, "/File1", 404, None), (one, "/File1", 200, b"one\n"),
        (one, "/other/x", 200, b"x"),
        (one, f"/{NAME}/{NAME}/inner", 200, b"inner"), (one, "/none/File1", 404, None),
        (single, "/notes.txt", 200, b"notes"), (single, "/", 404, None), (single, "/.", 404, None)]:
        answer, _ = ask(node, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        check(answer.status == status and body in (None, answer.body), f"{target}: {answer}")
    for node in (two, single, one):
        node.stop()


@case("Folder content is served to admitted sources only (9, bp-http-16)")
def admission(world):
    """join: list. Others have 404 for every target of the folder, are not offered it, cannot tell that it is there."""
    inside, outside = "127.77.1.5", "127.78.1.5"
    node = world.node(FILES, share={"join": "list", "joinAllow": ["127.77.0.0/16"]})
    for target in (ONE, "/File1", f"/.bepeer/1/f/{NAME}/manifest"):
        statuses = [http_get(node.http_address, target, source=source)[0] for source in (inside, outside)]
        equal(statuses, [200, 404], target)
    link = world.peer(outside).dial(node.message_address)
    link.send(request(NAME))
    link.closed()
    node.rejected("not_admitted", outside)
    link = world.peer(inside).dial(node.message_address)
    link.send(request(NAME))
    link.expect(OFFER)
    closed = world.node(FILES, share={"join": "closed"})
    equal(http_get(closed.http_address, ONE, source=inside)[0], 404, "a closed folder")
    node.stop()
    closed.stop()


@case("Everything new lies under /.bepeer/1/: hello, manifest, hash, proof, blocks (8)")
def extension_answers(world):
    """What they say is right about the files, and hostile questions cost nothing."""
    big = octets(700_000)
    node = world.node({**FILES, "sub/größe #1": big, "empty": b""})
    base, folder = "/.bepeer/1", f"/.bepeer/1/f/{NAME}"
    source = loopback_host()

    def get(target, **options):
        return http_get(node.http_address, target, source=source, **options)
    hello = json.loads(get(f"{base}/hello")[2])
    equal((hello["bepeer"], hello["messagePort"], len(hello["node"])), (1, node.port, 16), f"hello {hello}")
    equal(get(f"{base}/hello", method="HEAD")[0], 200, "HEAD of hello")
    node.until("hashes of all", lambda: len(read_manifest(get(f"{folder}/manifest")[2])[1]) >= 4)
    head, entries = read_manifest(get(f"{folder}/manifest")[2])
    equal((head["folder"], head["node"]), (NAME, hello["node"]), "the head")
    found = {one["p"]: (one["s"], one["h"]) for one in entries if one.get("t") != "dir"}
    files = {**FILES, "sub/größe #1": big, "empty": b""}
    equal(found, {path: (len(data), digest_of(data)) for path, data in files.items()}, "the manifest")
    equal(max(one["q"] for one in entries), head["seq"], "the sequence")
    since = head["seq"]
    equal(read_manifest(get(f"{folder}/manifest?since={since}")[2])[1], [], "entries since the last")
    node.put("File1", b"changed\n")
    node.until("the change", lambda: [one["p"] for one in read_manifest(
        get(f"{folder}/manifest?since={since}")[2])[1]] == ["File1"])
    nonce = hashlib.sha256(b"x").digest()
    for path, data in (("sub/größe #1", big), ("File2", files["File2"]), ("empty", b"")):
        answer = json.loads(get(f"{folder}/proof{target_of(path)}?nonce={nonce.hex()}")[2])
        equal(answer["h"], proof_of(data, nonce), f"the proof of {path}")
        blocks = json.loads(get(f"{folder}/blocks{target_of(path)}")[2])
        size = block_size(len(data))
        equal((blocks["size"], blocks["block"]), (len(data), size), f"blocks of {path}")
        equal(blocks["h"], [digest_of(data[start:start + size]) for start in range(0, len(data), size)], "their hashes")
    for target in ("/proof/File2", "/proof/File2?nonce=00", f"/proof/File2?nonce={'zz' * 32}", "/proof/none?nonce=x",
                   f"/proof/..%2fx?nonce={'00' * 32}", "/blocks/none", "/blocks/", "/manifest/x", "/other"):
        check(get(folder + target)[0] in (400, 404), f"{target}: {get(folder + target)}")
    for target in ("?since=-1", "?since=x", f"?since={1 << 70}", "?since=", "?x=1"):
        check(get(f"{folder}/manifest{target}")[0] in (200, 400, 404), target)
    body = json.dumps({"ip": "203.0.113.9", "messagePort": 7009}).encode()
    check(get(f"{folder}/handle", method="POST", body=body)[0] in (403, 404), "handle from a stranger")
    node.stop()


@case("Idle keep-alive 60 s; request head within 30 s; write stall 60 s (5.2)", 150, slow=True)
def slow_callers(world):
    """The deadline of a head does not begin again with each octet (decision 30)."""
    node = world.node({**FILES, "big": octets(1 << 20) * 64})
    begin, ended = time.monotonic(), {}
    socks = {name: dial(node.http_address, loopback_host(), receive_buffer=4096) for name in (
        "silent", "drip", "idle", "stall")}
    socks["drip"].sendall(f"GET {ONE} HTTP/1.1\r\nHost: x\r\nX: ".encode())
    socks["idle"].sendall(f"GET {ONE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    socks["stall"].sendall(f"GET /{NAME}/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    settle()
    read_answer(socks["idle"], 0.5)
    before = node.descriptors()
    while len(ended) < 3 and time.monotonic() - begin < 100:
        with contextlib.suppress(OSError):
            socks["drip"].sendall(b"x")
        for name in ("silent", "drip", "idle"):
            if name not in ended and read_answer(socks[name], 0.3).end != LATE:
                ended[name] = time.monotonic() - begin
    for name, seconds in (("silent", 30), ("drip", 30), ("idle", 60)):
        took = ended.get(name, 999)
        in_time = took < seconds + 10 and (name == "silent" or took > seconds - 2)
        check(in_time, f"{name}: after {took:.1f} of {seconds} s")
    node.until("the end of the stalled", lambda: node.descriptors() <= before - 4, 40)
    node.stop()
    return str({name: round(took, 1) for name, took in ended.items()})


@case("64 connections, 16 per IP (5.2)")
def http_crowds(world):
    """The seventeenth of one source waits or is turned away; another source is served."""
    node = world.node(FILES, httpConnections=64, httpConnectionsPerAddress=16)
    host = loopback_host()
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            equal(stack.enter_context(Caller(node.http_address, host)).get(ONE).status, 200, "one of sixteen")
        with contextlib.suppress(ConnectionError, TimeoutError), Caller(node.http_address, host, 2) as caller:
            caller.send(f"GET {ONE} HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = caller.reply()
            check(answer is None or answer.status == 503, f"the seventeenth: {answer}")
        with Caller(node.http_address) as caller:
            equal(caller.get(ONE).status, 200, "another source")

    def has_room():
        # A connection above the limit is reset.
        with contextlib.suppress(Wrong):
            return http_get(node.http_address, ONE, source=host)[0] == 200
        return False
    node.until("room again", has_room)
    node.stop()


@case("curl fetches whole files, ranges and the rest of what it has (5.2)")
def curl(world):
    """What a person does with curl, when there is one."""
    if not world.curl:
        return "without curl"
    data = octets(3 << 20)
    node, host = world.node({**FILES, "sub/a b#1%.bin": data}), loopback_host()
    url = f"http://{node.host}:{node.http_port}"
    target = f"{url}/{NAME}/sub/{quoted('a b#1%.bin')}"

    def run(*words):
        return subprocess.run(
            [world.curl, "-sS", "--noproxy", "*", "--interface", host, "--max-time", "30", *words], capture_output=True,
            check=False, timeout=60)
    equal(run("--fail", target).stdout == data, True, "the whole file")
    equal(run("--fail", "-r", "10-19", target).stdout, data[10:20], "a range")
    place = os.path.join(world.place(), "file")
    with open(place, "wb") as file:
        file.write(data[:1_000_001])
    equal(run("--fail", "-C", "-", "-o", place, target).returncode, 0, "resuming")
    with open(place, "rb") as file:
        check(file.read() == data, "the resumed file differs")
    head = email.message_from_bytes(run("-I", target).stdout.partition(b"\r\n")[2])
    equal((head["Content-Length"], head["Accept-Ranges"]), (str(len(data)), "bytes"), "HEAD")
    for tag, size in ((head["ETag"], 10), (head["Last-Modified"], 10), ('"another"', len(data))):
        equal(len(run("--fail", "-r", "-10", "-H", f"If-Range: {tag}", target).stdout), size, f"If-Range: {tag}")
    equal(run("-0", "--fail", f"{url}{ONE}").stdout, b"one\n", "HTTP/1.0")
    equal(run("--fail", f"{url}{ONE}", f"{url}/{NAME}/File2").stdout, b"one\n" + b"two\n" * 5, "two at once")
    for words, status in [
            (["--path-as-is", f"{url}/{NAME}/../secret"], b"404"), (["-X", "POST", f"{url}{ONE}"], b"405"),
            (["-T", place, f"{url}/{NAME}/new"], b"405"), ([f"{url}/"], b"404")]:
        equal(run(*words, "-o", "/dev/null", "-w", "%{http_code}").stdout, status, str(words))
    node.stop()
