"""A foreign peer that a case leads by the hand: it says what the case says, and tells what it was told.

    peer = Peer("127.1.2.3")
    link = peer.dial(node.message_address)
    link.send(request("00-MainDocuments"))
    offer = link.expect(OFFER)
    peer.files.contents["/00-MainDocuments/File1"] = b"one\\n"      # what its file server serves
    peer.files.requests                                             # what it was asked
"""
import contextlib
import http.client
import json
import queue
import socket
import threading
import time

from bepeer_wire import (
    CONFIRM, EXTENSION, HTTP_PORT, MESSAGE_PORT, OFFER, REPORT, REQUEST, Decoder, Violation, confirm, digest_of, entry,
    manifest, offer, report, request, target_of)
from sockets import WAIT, Server, Wrong


class Link:
    """A connection of messages. A thread reads, so that nothing that comes is lost."""

    def __init__(self, sock, peer, address):
        self.sock, self.peer, self.address = sock, peer, address
        self.seen, self.end, self.more = [], None, threading.Condition()
        self.taken = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        decoder, end = Decoder(), "fin"
        try:
            while data := self.sock.recv(65536):
                messages = decoder.feed(data)
                with self.more:
                    self.seen += messages
                    self.more.notify_all()
                self.peer.hear(self, messages)
            if decoder.is_inside:
                end = "cut"
        except Violation as violation:
            end = f"the node sends nonsense: {violation.reason}"
        except OSError:
            end = "reset"
        with self.more:
            self.end = end
            self.more.notify_all()

    def send(self, *messages):
        self.write(b"".join(message.bytes for message in messages))

    def write(self, data, pause=0.0, piece=None):
        """Octets as they are; with `piece` so many at a time."""
        for start in range(0, len(data), piece or max(1, len(data))):
            self.sock.sendall(data[start:start + (piece or len(data))])
            if pause:
                time.sleep(pause)

    def next(self, seconds=WAIT):
        """The next message that nobody has taken; None: the connection has ended."""
        until = time.monotonic() + seconds
        with self.more:
            while self.taken == len(self.seen) and self.end is None:
                if not self.more.wait(max(0, until - time.monotonic())):
                    raise Wrong(f"{self.name}: nothing within {seconds} s, seen: {self.seen}")
            if self.taken == len(self.seen):
                return None
            self.taken += 1
            return self.seen[self.taken - 1]

    def expect(self, kind, *files, name=None, seconds=WAIT):
        """The next message is of that type, and names these files (when any are named)."""
        message = self.next(seconds)
        if message is None or message.type != kind or (files and message.files != files) or (
                name and message.name != name):
            raise Wrong(f"{self.name}: got {message or self.end}, expected {kind} {files or ''}")
        return message

    def closed(self, seconds=WAIT):
        """The node ends the connection without another message."""
        until = time.monotonic() + seconds
        with self.more:
            while self.end is None:
                if not self.more.wait(max(0, until - time.monotonic())):
                    raise Wrong(f"{self.name}: still open after {seconds} s, seen {self.seen}")
            if self.taken < len(self.seen):
                raise Wrong(f"{self.name}: {self.seen[self.taken:]} before the end")
        return self.end

    @property
    def name(self):
        return f"{self.peer.host} with {self.address}"

    @property
    def pending(self):
        with self.more:
            return self.seen[self.taken:]

    def finish(self):
        """Our side ends, the other may still speak."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Request:
    """What a file server was asked."""

    def __init__(self, ip, method, target, version, headers):
        self.ip, self.method, self.target, self.version, self.headers = ip, method, target, version, headers
        self.time = time.monotonic()

    def __repr__(self):
        return f"{self.ip} {self.method} {self.target} {self.headers.get('range', '')}".rstrip()


class FileServer:
    """An HTTP server of our own. `contents`: octets by target, or a function of (sock, request) that answers by itself
    and gives True when the connection may go on."""

    def __init__(self, host, port, old=True):
        self.is_old = old           # HTTP/1.0, no ranges, no ETag
        self.contents, self.requests, self.more = {}, [], threading.Condition()
        self.modified = "Fri, 13 Feb 2009 23:31:30 GMT"
        self.headers = {}           # target: more header lines
        self.server = Server((host, port), self.serve)

    def close(self):
        self.server.close()

    def serve(self, sock, address):
        stream = sock.makefile("rb")
        while head := self.read_head(stream, address[0]):
            with self.more:
                self.requests.append(head)
                self.more.notify_all()
            if not self.answer(sock, head) or self.is_old or head.headers.get("connection", "").lower() == "close":
                return

    @staticmethod
    def read_head(stream, ip):
        words = stream.readline(65536).decode("latin-1").split()
        headers = {}
        while (line := stream.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return Request(ip, *words[:2], words[2] if len(words) > 2 else "", headers) if len(words) > 1 else None

    def answer(self, sock, head):
        content = self.contents.get(head.target.partition("?")[0])
        if callable(content):
            return content(sock, head)
        if content is None:
            sock.sendall(self.head("404 Not Found", 0))
            return True
        tag = f'"{digest_of(content)[:16]}"'
        more = [f"Last-Modified: {self.modified}", *self.headers.get(head.target, ())]
        first, status = 0, "200 OK"
        if not self.is_old:
            more += [f"ETag: {tag}", "Accept-Ranges: bytes"]
            asked = head.headers.get("range", "")
            if asked.startswith("bytes=") and asked.endswith("-") and head.headers.get("if-range", tag) == tag:
                first, status = int(asked[6:-1]), "206 Partial Content"
                more.append(f"Content-Range: bytes {first}-{len(content) - 1}/{len(content)}")
        body = b"" if head.method == "HEAD" else content[first:]
        sock.sendall(self.head(status, len(content) - first, *more) + body)
        return True

    def head(self, status, length, *more):
        lines = [f"HTTP/1.{0 if self.is_old else 1} {status}"]
        lines += [] if length is None else [f"Content-Length: {length}"]
        return ("\r\n".join([*lines, *more]) + "\r\n\r\n").encode()

    def asked(self, target, method=None):
        with self.more:
            return [one for one in self.requests if one.target == target and method in (None, one.method)]

    def wait(self, target, count=1, seconds=WAIT, method=None):
        """The `count`th request for a target."""
        until = time.monotonic() + seconds
        with self.more:
            while len(found := self.asked(target, method)) < count:
                if not self.more.wait(max(0, until - time.monotonic())):
                    raise Wrong(f"no {count}. request for {target} within {seconds} s, only {self.requests[-8:]}")
            return found[count - 1]


class Peer:
    """Message server, message client and file server on one address. `old=False`: HTTP/1.1 with ranges."""

    def __init__(self, host, port=MESSAGE_PORT, http_port=HTTP_PORT, old=True, listening=True):
        self.host, self.port, self.http_port = host, port, http_port
        self.links, self.arrived, self.messages, self.lock = [], queue.Queue(), [], threading.Lock()
        self.files = FileServer(host, http_port, old)
        self.server = Server((host, port), self.arrive) if listening else None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def close(self):
        for thing in (self.server, self.files, *self.links):
            if thing:
                thing.close()

    def arrive(self, sock, address):
        sock.settimeout(None)       # the node may have nothing to say for long; the case has its limit
        link = Link(sock, self, address)
        self.links.append(link)
        self.arrived.put(link)
        with link.more:
            while link.end is None:
                link.more.wait()

    def hear(self, link, messages):
        """All messages of all links, in order."""
        with self.lock:
            self.messages += [(time.monotonic(), link, message) for message in messages]

    def got(self, kind, since=0.0):
        with self.lock:
            return [message for moment, _, message in self.messages if message.type == kind and moment >= since]

    def dial(self, address):
        sock = socket.socket()
        sock.settimeout(WAIT)
        sock.bind((self.host, 0))
        sock.connect(address)
        sock.settimeout(None)
        link = Link(sock, self, address)
        self.links.append(link)
        return link

    def take(self, seconds=WAIT):
        """The next connection that somebody opened to us."""
        try:
            return self.arrived.get(timeout=seconds)
        except queue.Empty:
            raise Wrong(f"{self.host}: nobody calls within {seconds} s") from None

    def await_message(self, kind, *files, since=0.0, seconds=WAIT, count=1):
        """A message of that type (and with these files, in any order) on any connection: its link and itself."""
        until = time.monotonic() + seconds
        while True:
            with self.lock:
                found = [
                    (link, message) for moment, link, message in self.messages
                    if message.type == kind and moment >= since
                    and (not files or sorted(message.files) == sorted(files))]
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > until:
                raise Wrong(f"{self.host}: no {kind} {files} within {seconds} s, "
                            f"only {[message for _, _, message in self.messages[-6:]]}")
            time.sleep(0.02)

    # --- files -----------------------------------------------------------------------------------------------

    def share(self, folder, **files):
        self.share_all(folder, files)

    def share_all(self, folder, files):
        for name, data in files.items():
            self.files.contents[target_of(folder, name)] = data

    def get(self, node, target, method="GET", **headers):
        """A whole answer of the node's file server: (status, headers in lower case, body)."""
        return http_get(node.http_address, target, method, self.host, **headers)

    # --- what a well-behaved old peer does -------------------------------------------------------------------

    def become_trusted(self, node, name=None, files=None, folder_files=None):
        """Asks, fetches all, serves it back and is confirmed. The files that it now has; the link stays open."""
        name = name or node.shares[0]["name"]
        link = self.link = self.dial(node.message_address)
        link.send(request(name))
        offered = link.expect(OFFER, name=name)
        self.fetch_all(node, name, offered)
        link.send(report(name, *offered.files, port=self.http_port))
        link.expect(CONFIRM)
        return self.files.contents

    def fetch_all(self, node, name, offered):
        for path in offered.files:
            target = target_of(name, path)
            status, _, body = http_get((node.host, offered.port), target, "GET", self.host)
            if status != 200:
                raise Wrong(f"{target}: {status}")
            self.files.contents[target] = body

    def update(self, name, files, link=None):
        """Offers files that we serve, and answers what follows: the node reports, and we confirm."""
        since = time.monotonic()
        self.share_all(name, files)
        link = link or self.link
        link.send(offer(name, *files, port=self.http_port))
        where, _ = self.await_message(REPORT, *files, since=since)
        where.send(confirm(name, *files, port=self.http_port))
        return where

    def serve_join(self, name, files, seconds=WAIT):
        """As owner: takes the node's request, offers these files, and confirms what it reports. The connection."""
        link = self.link = self.take(seconds)
        link.expect(REQUEST, name=name)
        self.share_all(name, files)
        link.send(offer(name, *files, port=self.http_port))
        where, _ = self.await_message(REPORT, *files)
        where.send(confirm(name, *files, port=self.http_port))
        self.link = where
        return where


def http_get(address, target, method="GET", source=None, body=None, **headers):
    caller = http.client.HTTPConnection(*address, timeout=WAIT, source_address=(source or "127.0.0.1", 0))
    try:
        caller.putrequest(method, target, skip_accept_encoding=True)
        for key, value in headers.items():
            caller.putheader(key.replace("_", "-"), value)
        if body is not None:
            caller.putheader("Content-Length", str(len(body)))
        caller.endheaders(body)
        answer = caller.getresponse()
        data = answer.read()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, data
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(f"{method} {target}: {error!r}") from None
    finally:
        caller.close()


def extension(peer, folder, node_id="00112233445566aa", files=None, entries=None, sequence=None):
    """Makes a peer speak the extension: hello, manifest, hashes. `files`: contents by path."""
    peer.files.is_old = False
    files = files or {}
    peer.share_all(folder, files)
    if entries is None:
        entries = [entry(path, data, 1_700_000_000_000, {node_id: 1}, number + 1)
                   for number, (path, data) in enumerate(files.items())]
    sequence = sequence if sequence is not None else max([one["q"] for one in entries], default=0)
    hello = {"bepeer": 1, "node": node_id, "messagePort": peer.port, "features": ["manifest", "hash"]}
    peer.files.contents[f"{EXTENSION}/hello"] = json.dumps(hello).encode()
    peer.files.contents[f"{EXTENSION}/f{target_of(folder)}/manifest"] = manifest(folder, node_id, sequence, entries)
    for path, data in files.items():
        peer.files.headers[target_of(folder, path)] = [f"BePeer-Hash: sha-256={digest_of(data)}"]
