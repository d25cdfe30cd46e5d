#!/usr/bin/env python3
"""A peer as a student of 2009 would have made it (bepeer.md section 0): message code around Python's stock HTTP server,
which answers HTTP/1.0, closes after each file, knows no ranges and no extension, and serves what is below its folder.

    bepeer_old.py serve --folder PATH --address HOST [--name NAME] [--message-port N] [--http-port N]
                        [--join HOST[:PORT]] [--layout named|bare] [--literal] [--single] [--seconds S]
    bepeer_old.py self-test

`serve` prints a JSON line per event and obeys lines on its standard input: `join HOST[:PORT]`, `update NAME`,
`quit`. It finds out by itself what was changed in its folder, and tells its peers of it (--scan S; 0: never).

--layout: whether the folder name is part of a URL (`named`: the HTTP server was started in the folder above) or not.
--literal: after an update it sends FilesToGet to all of its peers as the page says, also back to where it came from.
--single: the HTTP server of 2009, one caller after the other.
"""
import argparse
import functools
import http.client
import http.server
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time

from bepeer_wire import (
    CONFIRM, HTTP_PORT, MESSAGE_PORT, OFFER, REPORT, REQUEST, Decoder, Violation, confirm, digest_of, offer,
    path_refusal, report, request, target_of)
from sockets import Wrong

WAIT = 20.0


class Files(http.server.SimpleHTTPRequestHandler):
    """The stock handler; only its log goes elsewhere."""

    def log_message(self, *_):
        self.server.heard.append((self.client_address[0], self.command, self.path))


class OldPeer:
    """Both roles, a thread per connection. What happens is in `events`, and `wait` waits for it."""

    def __init__(self, folder, host, name=None, message_port=MESSAGE_PORT, http_port=HTTP_PORT, layout="named",
                 literal=False, single=False, scan=0.0, tell=None):
        self.folder, self.host, self.layout, self.literal, self.tell = folder, host, layout, literal, tell
        self.name = name or os.path.basename(folder)
        self.port = message_port
        self.is_single_file = os.path.isfile(folder)
        self.events, self.more = [], threading.Condition()
        self.lock = threading.RLock()         # the folder and all that follows
        self.ports, self.trusted = {}, set()  # by IP: where it listens; who has shown that it has the files
        self.offers, self.asked, self.reported = {}, set(), set()
        self.known = {}
        self.links = {}                       # IP: the connection on which we spoke last
        self.closing = threading.Event()
        self.files_server = self.start_files(http_port, single)
        self.http_port = self.files_server.server_address[1]
        self.listener = socket.create_server((host, message_port), backlog=64)
        self.known = self.versions()
        threading.Thread(target=self.accept, daemon=True).start()
        if scan:
            threading.Thread(target=self.watch, args=(scan,), daemon=True).start()

    def start_files(self, port, single):
        place = os.path.dirname(self.folder) if self.layout == "named" or self.is_single_file else self.folder
        kind = http.server.HTTPServer if single else http.server.ThreadingHTTPServer
        server = kind((self.host, port), functools.partial(Files, directory=place))
        server.heard = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def requests(self):
        """What others asked of the file server: (IP, method, target)."""
        return list(self.files_server.heard)

    def close(self):
        self.closing.set()
        self.files_server.shutdown()
        self.files_server.server_close()
        for sock in [self.listener, *self.links.values()]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    # --- events ----------------------------------------------------------------------------------------------

    def event(self, name, /, **fields):
        record = {"event": name} | fields
        with self.more:
            self.events.append(record)
            self.more.notify_all()
        if self.tell:
            self.tell(record)

    def of(self, name, /, **fields):
        with self.more:
            return [record for record in self.events
                    if record["event"] == name and all(record.get(key) == value for key, value in fields.items())]

    def wait(self, name, /, count=1, seconds=WAIT, **fields):
        """The `count`th event of that name with these fields."""
        def found():
            return self.of(name, **fields)[count - 1:count]
        return self.wait_for(f"{name} {fields}", found, seconds)[0]

    def wait_files(self, name, *files, seconds=WAIT):
        """Waits until events of that name have had all of these files, in one or in several."""
        for file in files:
            self.wait_for(f"{name} of {file}", lambda file=file: [
                record for record in self.of(name) if file in record["files"]], seconds)

    def wait_for(self, what, condition, seconds=WAIT):
        until = time.monotonic() + seconds
        with self.more:
            while not (found := condition()):
                if not self.more.wait(max(0, until - time.monotonic())):
                    last = "\n".join(map(str, self.events[-10:]))
                    raise Wrong(f"old peer {self.host}: no {what} within {seconds} s:\n{last}")
            return found

    # --- the folder ------------------------------------------------------------------------------------------

    def path(self, name):
        return self.folder if self.is_single_file else os.path.join(self.folder, name)

    def names(self):
        if self.is_single_file:
            return [self.name]
        found = []
        for place, folders, names in os.walk(self.folder):
            folders[:] = [folder for folder in folders if folder != ".bepeer"]
            for name in names:
                path = os.path.relpath(os.path.join(place, name), self.folder)
                if not path_refusal(os.fsencode(path)) and not name.endswith(".fetching"):
                    found.append(path)
        return sorted(found)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def versions(self):
        with self.lock:
            return {name: digest_of(self.read(name)) for name in self.names()}

    def store(self, name, data):
        with self.lock:
            path = self.path(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".fetching", "wb") as file:
                file.write(data)
            os.replace(path + ".fetching", path)
            self.known[name] = digest_of(data)

    def update(self, *contents, **named):
        """Changes files and tells all peers of it, and only of it."""
        changed = dict(contents) | named
        for name, data in changed.items():
            self.store(name, data)
        self.announce(changed)

    def watch(self, seconds):
        """Finds what somebody else has changed; what it finds it tells when the next look finds it again."""
        waiting = {}
        while not self.closing.wait(seconds):
            try:
                now = self.versions()
            except OSError:
                continue    # somebody is at it
            with self.lock:
                fresh = {name: digest for name, digest in now.items() if self.known.get(name) != digest}
                ready = [name for name in fresh if waiting.get(name) == fresh[name]]
                self.known |= {name: fresh[name] for name in ready}
            waiting = fresh
            if ready:
                self.event("changed", files=ready)
                self.announce(ready)

    def announce(self, names, without=()):
        for ip in sorted(self.trusted - set(without)):
            self.offer(ip, sorted(names))

    def offer(self, ip, names, link=None):
        """Sends FilesToGet, and remembers what was offered."""
        with self.lock:
            self.offers.setdefault(ip, {}).update({name: digest_of(self.read(name)) for name in names})
        self.send(ip, offer(self.name, *names, port=self.http_port), link)

    # --- messages --------------------------------------------------------------------------------------------

    def accept(self):
        while True:
            try:
                sock, address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock, address[0]), daemon=True).start()

    def connect(self, ip, port=None):
        if port:
            self.ports[ip] = port
        sock = socket.create_connection((ip, self.ports.get(ip, MESSAGE_PORT)), WAIT, source_address=(self.host, 0))
        threading.Thread(target=self.serve, args=(sock, ip), daemon=True).start()
        return sock

    def join(self, ip, port=None):
        self.asked.add(ip)
        self.send(ip, request(self.name), self.connect(ip, port))

    def send(self, ip, message, link=None):
        """On the connection that is there, else on a new one to the other's message port."""
        for sock in (link, self.links.get(ip)):
            try:
                if sock is not None and sock.fileno() >= 0:
                    sock.sendall(message.bytes)
                    break
            except OSError:
                continue
        else:
            try:
                self.connect(ip).sendall(message.bytes)
            except OSError as error:
                self.event("unreachable", peer=ip, error=str(error))
                return
        self.event("sent", type=message.type, peer=ip, files=list(message.files))

    def serve(self, sock, ip):
        sock.settimeout(300)
        self.links[ip] = sock
        decoder = Decoder()
        try:
            with sock:
                while data := sock.recv(65536):
                    for message in decoder.feed(data):
                        self.event("received", type=message.type, peer=ip, files=list(message.files))
                        if not self.handle(message, ip, sock):
                            return
        except Violation as violation:
            self.event("nonsense", peer=ip, reason=violation.reason)
        except OSError:
            pass
        finally:
            if self.links.get(ip) is sock:
                del self.links[ip]
            self.event("closed", peer=ip)

    def handle(self, message, ip, link):
        """False: the connection ends."""
        if message.name != self.name:
            self.event("unknown", peer=ip, name=message.name)
            return message.type != REQUEST
        if message.type == REQUEST:
            self.offer(ip, self.names(), link)
        elif message.type == OFFER:
            self.get(message, ip, link)
        elif message.type == REPORT:
            self.confirm(message, ip, link)
        elif message.type == CONFIRM and ip in self.reported:
            self.trust(ip)
            self.event("confirmed", peer=ip, files=list(message.files))
        return True

    def get(self, message, ip, link):
        if ip not in self.asked | self.trusted or message.protocol != "HTTP":
            self.event("ignored", type=OFFER, peer=ip)
            return
        have, changed = [], []
        for name in message.files:
            data = self.fetch(ip, message.port, name)
            if data is None:
                continue
            have.append(name)
            with self.lock:
                if not os.path.isfile(self.path(name)) or self.read(name) != data:
                    self.store(name, data)
                    changed.append(name)
        self.event("fetched", peer=ip, files=have, changed=changed)
        if have or not message.files:
            self.reported.add(ip)
            self.send(ip, report(self.name, *have, port=self.http_port), link)
        if changed:
            self.announce(changed, without=() if self.literal else (ip,))

    def fetch(self, ip, port, name):
        """A file from another peer; None: it is not to be had."""
        target = target_of(self.name, name) if self.layout == "named" and not self.is_single_file else target_of(name)
        caller = http.client.HTTPConnection(ip, port, timeout=60, source_address=(self.host, 0))
        try:
            caller.request("GET", target)
            answer = caller.getresponse()
            data = answer.read()
            if answer.status == 200:
                return data
            self.event("not_fetched", peer=ip, name=name, status=answer.status)
        except (OSError, http.client.HTTPException) as error:
            self.event("not_fetched", peer=ip, name=name, error=repr(error))
        finally:
            caller.close()
        return None

    def confirm(self, message, ip, link):
        """Step 13: what was offered there must be there as it was here."""
        offered, good, bad = self.offers.get(ip, {}), [], []
        for name in message.files:
            if name in offered:
                data = self.fetch(ip, message.port, name)
                (good if data is not None and digest_of(data) == offered[name] else bad).append(name)
        for name in bad:
            self.event("wrong", peer=ip, name=name)
        if bad:
            self.offer(ip, bad, link)
        elif good or (ip in self.offers and not offered):
            self.send(ip, confirm(self.name, *good, port=self.http_port), link)
            self.trust(ip)
            self.event("confirms", peer=ip, files=good, versions=[offered[name] for name in good])

    def trust(self, ip):
        with self.lock:
            is_new = ip not in self.trusted
            self.trusted.add(ip)
        if is_new:
            self.event("peer", peer=ip)


# --- as a program --------------------------------------------------------------------------------------------


def split(address):
    host, _, port = address.partition(":")
    return host, int(port) if port else None


def serve(options):
    lock = threading.Lock()

    def tell(record):
        with lock:
            print(json.dumps(record, ensure_ascii=False), flush=True)

    peer = OldPeer(
        os.path.abspath(options.folder), options.address, options.name, options.message_port, options.http_port,
        options.layout, options.literal, options.single, options.scan, tell)
    peer.event("listening", address=peer.address, httpPort=peer.http_port, folder=peer.name, files=len(peer.names()))
    ending = threading.Timer(options.seconds, os._exit, (0,))
    ending.daemon = True
    ending.start()
    if options.join:
        peer.join(*split(options.join))
    for line in sys.stdin:
        command, _, rest = line.rstrip("\n").partition(" ")
        if command == "join":
            peer.join(*split(rest))
        elif command == "update":
            peer.known[rest] = digest_of(peer.read(rest))
            peer.announce([rest])
        elif command == "quit":
            break
    else:
        threading.Event().wait()    # the end of the input is not ours
    peer.close()
    return 0


def self_test():
    """Two old peers replicate to each other, with names that are not plain, in every layout and habit."""
    place = tempfile.mkdtemp(prefix="bepeer-old-")
    first = {"File1": b"one\n", "sub/a b.txt": b"x" * 300_000, "résumé #1 100%.pdf": b"?", "empty": b""}
    number = 0
    try:
        for layout in ("named", "bare"):
            for literal in (False, True):
                for single in (False, True):
                    number += 1
                    a, b = (os.path.join(place, f"{number}{side}", "00-MainDocuments") for side in "ab")
                    for folder in (a, b):
                        os.makedirs(folder)
                    make = functools.partial(OldPeer, layout=layout, literal=literal, single=single)
                    owner, joiner = make(a, f"127.9.{number}.1", scan=0.1), make(b, f"127.9.{number}.2")
                    for name, data in first.items():
                        owner.store(name, data)
                    joiner.join(owner.host, owner.port)
                    owner.wait("peer", peer=joiner.host)
                    joiner.wait("peer", peer=owner.host)
                    assert owner.versions() == joiner.versions() != {}, "the folders differ"
                    joiner.update(("File1", b"two\n"))
                    joiner.wait("confirms", files=["File1"])
                    assert owner.read("File1") == b"two\n", "an update of the joiner"
                    with open(owner.path("sub/new"), "wb") as file:
                        file.write(b"three\n")
                    owner.wait("confirms", files=["sub/new"])
                    assert joiner.read("sub/new") == b"three\n", "an update of the owner"
                    time.sleep(0.3)
                    sent = [event for peer in (owner, joiner) for event in peer.of("sent", type=OFFER)]
                    assert len(sent) == (5 if literal else 3), sent
                    owner.close()
                    joiner.close()
                    print(f"layout {layout}, literal {literal}, single {single}: ok")
    finally:
        shutil.rmtree(place)
    return 0


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["serve", "self-test"])
    parser.add_argument("--folder")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--name")
    parser.add_argument("--message-port", type=int, default=MESSAGE_PORT)
    parser.add_argument("--http-port", type=int, default=HTTP_PORT)
    parser.add_argument("--join", metavar="HOST[:PORT]")
    parser.add_argument("--layout", choices=["named", "bare"], default="named")
    parser.add_argument("--literal", action="store_true")
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--scan", type=float, default=1.0, metavar="S")
    parser.add_argument("--seconds", type=float, default=240, help="its life is bounded")
    options = parser.parse_args(arguments)
    if options.command == "self-test":
        return self_test()
    if not options.folder:
        parser.error("--folder")
    return serve(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
