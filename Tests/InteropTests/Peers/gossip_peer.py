"""A scripted neighbour that speaks 510-514 (sections 4 to 6).

A `Peer` has one port number for UDP and TCP on an address of its own. It does only what it is told, so that a script
may misbehave; what comes is checked strictly, and `Wrong` says what differed. Everything has a deadline.

    peer = Peer()
    link = peer.connect(node)                    # UDP CONNECT, the node dials back, NEIGHBORS both ways
    link = peer.direct(node)                     # TCP, CONNECT, NEIGHBORS
    link = peer.accept_connect()                 # the node sends CONNECT, we dial back
    link.send(Announce(3, 1337, b"data"))
    link.expect_item(1337, b"other", ttl=2)
    link.expect_no_item(0.5)
"""
import random
import select
import threading
import time

from gossip_api import PROBES, WAIT, Channel, Wrong, moment, short
from gossip_wire import (
    CONNECT, NO_HOST, ON_LINK, Announce, Closed, Connect, Disconnect, Entry, Extension, Init, Late, Malformed,
    Neighbors, Populate, decode, dial, loopback_host, name_of, one_port, receive_datagram)

CONNECT_TIMES = (0, 1, 3)    # section 5.5: when CONNECT is sent and repeated


class Refused(Exception):
    """A UDP DISCONNECT; `.id` is the sender's."""

    def __init__(self, identity):
        super().__init__(f"refused by {identity}")
        self.id = identity


class Link(Channel):
    """The TCP connection with a neighbour. `ours`: we dialled it."""

    def __init__(self, peer, sock, ours):
        super().__init__(sock, ON_LINK, f"link of {peer.id} ({name_of(peer.endpoint)})")
        self.peer, self.ours = peer, ours
        self.other = None        # ID of the neighbour
        self.heard = []          # (moment, NEIGHBORS), oldest first
        peer.links.append(self)

    def greet(self, entries=()):
        """Our first NEIGHBORS: our own entry leads."""
        self.send(Neighbors(self.peer.id, (self.peer.entry, *entries)))

    def expect_greeting(self, seconds=WAIT):
        """The neighbour's first NEIGHBORS."""
        first = self.next(seconds)
        if not isinstance(first, Neighbors):
            raise Wrong(f"{self.name}: the first message is {first}, not NEIGHBORS")
        own = first.entries[:1]
        if not own or own[0].id != first.id or not own[0].port:
            raise Wrong(f"{self.name}: the first NEIGHBORS does not begin with the sender's own entry: {first}")
        return first

    def next(self, seconds=WAIT):
        """Any message; the ID of the neighbour may not change."""
        try:
            found = self.read(moment(seconds))
        except Late:
            raise Wrong(f"{self.name}: nothing within {seconds:.1f} s") from None
        except Closed as error:
            raise Wrong(f"{self.name}: closed ({error})") from None
        self.note(found)
        return found

    def note(self, found):
        if isinstance(found, Neighbors):
            self.heard.append((time.monotonic(), found))
        if isinstance(found, (Neighbors, Disconnect)):
            if self.other not in (None, found.id):
                raise Wrong(f"{self.name}: the ID changed from {self.other} to {found.id}")
            self.other = found.id

    def skipped(self, found):
        return isinstance(found, (Neighbors, Extension)) or isinstance(found, Announce) and found.data_type in PROBES

    def expect_item(self, data_type, data, ttl=None, salt=None, seconds=WAIT):
        until = moment(seconds)
        while True:
            found = self.next(max(0.001, until - time.monotonic()))
            if self.skipped(found):
                continue
            wanted = Announce(found.ttl if ttl is None else ttl, data_type, data,
                              found.salt if salt is None else salt) if isinstance(found, Announce) else "an item"
            if found != wanted:
                raise Wrong(f"{self.name}: got {short(found)}, expected {short(wanted)}")
            return found

    def expect_probe(self, data_type, until):
        """True when an item of that type came until then."""
        while True:
            try:
                found = self.read(until)
            except Late:
                return False
            except Closed as error:
                raise Wrong(f"{self.name}: closed ({error})") from None
            self.note(found)
            if isinstance(found, Announce) and found.data_type == data_type:
                return True
            if not self.skipped(found):
                raise Wrong(f"{self.name}: got {short(found)} while the way was probed")

    def expect_no_item(self, seconds):
        until = moment(seconds)
        while True:
            try:
                found = self.read(until)
            except Late:
                return
            except Closed as error:
                raise Wrong(f"{self.name}: closed ({error})") from None
            self.note(found)
            if not self.skipped(found):
                raise Wrong(f"{self.name}: got {short(found)}, expected nothing for {seconds} s")

    def expect_neighbors(self, seconds):
        """The next NEIGHBORS, whatever else comes."""
        until = moment(seconds)
        while True:
            found = self.next(max(0.001, until - time.monotonic()))
            if isinstance(found, Neighbors):
                return found

    def expect_close(self, seconds=WAIT, disconnect=None):
        """The end of the link; with DISCONNECT before it (True), without (False), or either (None)."""
        until, goodbye = moment(seconds), False
        while True:
            try:
                found = self.read(until)
            except Late:
                raise Wrong(f"{self.name}: still open after {seconds:.1f} s") from None
            except Closed:
                break
            self.note(found)
            if goodbye:
                raise Wrong(f"{self.name}: {short(found)} after DISCONNECT")
            goodbye = isinstance(found, Disconnect)
            if goodbye and disconnect is False:
                raise Wrong(f"{self.name}: DISCONNECT where it should close without")
        if disconnect and not goodbye:
            raise Wrong(f"{self.name}: closed without DISCONNECT")

    def beat(self, seconds=10.0):
        """A heartbeat in the background, until the link is closed."""
        def run():
            while True:
                time.sleep(seconds)
                try:
                    self.send(Neighbors(self.peer.id, ()))
                except (Wrong, OSError, ValueError):
                    return
        threading.Thread(target=run, daemon=True).start()


class Peer:
    """A neighbour with an ID and a P2P port of its own."""

    def __init__(self, identity=None, host=None, port=0):
        self.id = identity or random.randint(1, 65534)
        self.listener, self.udp = one_port(host or loopback_host(), port)
        self.endpoint = self.listener.getsockname()[:2]
        self.links = []

    @property
    def entry(self):
        """As it stands at the head of our first NEIGHBORS."""
        return Entry(self.id, NO_HOST, self.endpoint[1])

    @property
    def public_entry(self):
        """As others pass it on."""
        return Entry(self.id, *self.endpoint)

    def close(self):
        for link in self.links:
            link.close()
        self.listener.close()
        self.udp.close()

    # --- datagrams -------------------------------------------------------------------------------------------

    def send_udp(self, message, to):
        self.udp.sendto(message if isinstance(message, bytes) else message.encode(), to)

    def expect_udp(self, kind, sender=None, seconds=WAIT):
        """(message, sender) of the first datagram of that kind; any other one is wrong."""
        try:
            data, source = receive_datagram(self.udp, moment(seconds))
            found = decode(data)
        except Late:
            raise Wrong(f"{name_of(self.endpoint)}: no {kind.__name__} within {seconds:.1f} s") from None
        except Malformed as error:
            raise Wrong(f"{name_of(self.endpoint)}: malformed datagram: {error}") from None
        if not isinstance(found, kind) or sender not in (None, source):
            raise Wrong(f"{name_of(self.endpoint)}: got {found} from {name_of(source)}, expected {kind.__name__}")
        return found, source

    def expect_silence(self, seconds):
        """Neither a datagram nor a connection."""
        if select.select([self.udp, self.listener], [], [], seconds)[0]:
            raise Wrong(f"{name_of(self.endpoint)}: an answer where none is due")

    # --- links -----------------------------------------------------------------------------------------------

    def connect(self, node, entries=(), seconds=WAIT):
        """Asks by UDP, takes the connection that comes back, greets."""
        link = self.ask(node, seconds)
        link.expect_greeting()
        link.greet(entries)
        return link

    def ask(self, node, seconds=WAIT):
        """The dialled-back link, as yet without a word; Refused."""
        start, sent = time.monotonic(), 0
        while True:
            now = time.monotonic() - start
            if now >= seconds:
                raise Wrong(f"{name_of(node)} did not dial back to {name_of(self.endpoint)} within {seconds:.1f} s")
            if sent < len(CONNECT_TIMES) and now >= CONNECT_TIMES[sent]:
                self.send_udp(Connect(self.id), node)
                sent += 1
            due = CONNECT_TIMES[sent] if sent < len(CONNECT_TIMES) else seconds
            ready = select.select([self.listener, self.udp], [], [], max(0.001, min(due, seconds) - now))[0]
            if self.listener in ready:
                return self.accept(node)
            if self.udp in ready:
                raise Refused(self.expect_udp(Disconnect, node)[0].id)

    def accept(self, node=None, seconds=WAIT):
        """A connection that somebody dialled to us."""
        self.listener.settimeout(seconds)
        try:
            sock, source = self.listener.accept()
        except TimeoutError:
            raise Wrong(f"{name_of(self.endpoint)}: no connection within {seconds:.1f} s") from None
        if node and source[0] != node[0]:
            raise Wrong(f"connection from {source[0]}, not from {node[0]}")
        return Link(self, sock, ours=False)

    def dial(self, node):
        """A bare TCP connection, from our own address."""
        try:
            return Link(self, dial(node, self.endpoint[0]), ours=True)
        except Closed as error:
            raise Wrong(f"dial: {error}") from None

    def direct(self, node, entries=()):
        """Direct mode (section 5.6); both first NEIGHBORS are through when it returns."""
        link = self.dial(node)
        link.send(Connect(self.id))
        link.greet(entries)
        link.expect_greeting()
        return link

    def await_connect(self, node=None, seconds=WAIT):
        """(CONNECT, sender) of a node that wants us."""
        return self.expect_udp(Connect, node, seconds)

    def accept_connect(self, node=None, entries=(), seconds=WAIT):
        """Waits for CONNECT, dials back, greets."""
        wanted, sender = self.await_connect(node, seconds)
        link = self.dial(sender)
        link.greet(entries)
        first = link.expect_greeting()
        if first.id != wanted.id:
            raise Wrong(f"CONNECT says ID {wanted.id}, NEIGHBORS {first.id}")
        return link

    def accept_direct(self, entries=(), seconds=WAIT):
        """Waits for a connection in direct mode, greets."""
        link = self.accept(seconds=seconds)
        first = link.next()
        if not isinstance(first, Connect):
            raise Wrong(f"type {CONNECT} is to be first, not {first}")
        if link.expect_greeting().id != first.id:
            raise Wrong(f"CONNECT says ID {first.id}, NEIGHBORS {link.other}")
        link.greet(entries)
        return link

    # --- bootstrap -------------------------------------------------------------------------------------------

    def answer_init(self, identity, entries=(), seconds=WAIT):
        """As a server: answers one INIT; (INIT, sender)."""
        asked, sender = self.expect_udp(Init, None, seconds)
        self.send_udp(Populate(identity, tuple(entries)), sender)
        return asked, sender

    def init(self, server, degree, reserved=0, seconds=WAIT):
        """As a peer: asks, and again after 1 and 3 s; POPULATE."""
        until = moment(seconds)
        for pause in (1, 2, seconds):
            self.send_udp(Init(degree, reserved), server)
            if select.select([self.udp], [], [], max(0, min(pause, until - time.monotonic())))[0]:
                return self.expect_udp(Populate, server)[0]
        raise Wrong(f"{name_of(self.endpoint)}: no POPULATE within {seconds:.1f} s")
