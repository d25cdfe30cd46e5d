"""A foreign peer over PPSP-TCP: it serves what it has by PULL, takes and makes PUSH, and fetches from several servers.

    peer = Peer("127.1.2.3")
    swarm = peer.share(content, chunk_size=16384)          # is served from now on
    other.fetch(swarm.id, [peer.address])                  # the same content, proved

With `is_automatic=False` it only listens, and a case says what is said (see ppsp_link).
"""
import queue
import socket
import threading
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import WAIT, Server, Wrong
from ppsp_content import Ranges, Swarm
from ppsp_fetch import Fetch
from ppsp_keys import Identity, is_certified
from ppsp_link import Link
from ppsp_merkle import SHA256
from ppsp_transfer import DEFAULT_WINDOW, Transfers, joined, start_push

BAN = 100
SILENCE = 180.0
KEEP_ALIVE = 60.0
NAME = "foreign/1"


class Peer(Transfers):
    """`demands`: every swarm needs a certificate. `accepts_push`: swarms that are not known are taken, too."""

    def __init__(self, host, port=wire.PORT, is_automatic=True, listening=True, accepts_push=False, demands=False,
                 keep_alive=KEEP_ALIVE, silence=SILENCE, identity=None, transports=(wire.TCP,)):
        self.host, self.port, self.is_automatic = host, port, is_automatic
        self.accepts_push, self.demands = accepts_push, demands
        self.keep_alive, self.silence = keep_alive, silence
        self.identity = identity or Identity()
        self.transports = transports        # in our order
        self.entries = {}                   # (swarm ID, transport ID): more values of the entry
        self.window = DEFAULT_WINDOW
        self.swarms, self.links, self.arrived = {}, [], queue.Queue()
        self.failures = []                  # of our own
        self.scores, self.banned, self.events = {}, set(), []
        self.known = {}                     # (swarm ID, peer ID): Entry without age, when, its last chunk
        self.is_closed = threading.Event()
        self.server = Server((host, port), self.arrive) if listening else None
        threading.Thread(target=self.tick, daemon=True).start()

    @property
    def id(self):
        return self.identity.id

    @property
    def address(self):
        return self.host, self.port

    @property
    def name(self):
        return f"{self.host}:{self.port}"

    def close(self):
        self.is_closed.set()
        for thing in (self.server, *self.links):
            if thing:
                thing.close()

    keeps_messages = True           # of a connection, for who leads it by the hand

    # --- connections -----------------------------------------------------------------------------------------

    def arrive(self, sock, address):
        if address[0] in self.banned:
            return
        sock.settimeout(None)
        link = Link(sock, self, address, False)
        self.links.append(link)
        self.arrived.put(link)
        with link.more:
            link.more.wait_for(lambda: link.end)

    def take(self, seconds=WAIT):
        """The next connection that somebody opened to us."""
        try:
            return self.arrived.get(timeout=seconds)
        except queue.Empty:
            raise Wrong(f"{self.host}: nobody calls within {seconds} s") from None

    def dial(self, address, seconds=WAIT):
        sock = socket.socket()
        sock.settimeout(seconds)
        sock.bind((self.host, 0))
        sock.connect(address)
        sock.settimeout(None)
        link = Link(sock, self, address, True)
        self.links.append(link)
        return link

    def heard(self, link):
        """After each piece that came: what is proved is told at once, so that a window never stands still."""
        for session in list(link.sessions.values()):
            if session.unhad:
                self.tell(session)
            if session.fetch:
                session.fetch.fill(session)

    def lost(self, link):
        for session in list(link.sessions.values()):
            if session.fetch:
                session.fetch.drop(session)

    def tick(self):
        while not self.is_closed.wait(0.25):
            now = time.monotonic()
            for link in list(self.links):
                if link.end is not None:
                    self.links.remove(link)
                elif now - link.heard_at > self.silence:
                    self.note("silent", link)
                    link.close()
                elif now - link.sent_at > self.keep_alive:
                    link.post(wire.encode(wire.keep_alive(self.id)))
            for swarm in list(self.swarms.values()):
                self.spread(swarm)

    def spread(self, swarm):
        """What has become ours is told to all who share the swarm (8, batched)."""
        with swarm.lock:
            fresh, swarm.fresh = swarm.fresh, []
        if not fresh:
            return
        for link in list(self.links):
            for session in list(link.sessions.values()):
                if session.swarm is swarm:
                    self.say(session, *(chunks.have(*pair) for pair in joined(fresh)))

    def note(self, event, link, detail=""):
        self.events.append((event, link.address[0], str(detail)))

    def punish(self, link, points, event, detail=""):
        """Ban scores count by peer ID, and at 100 its address may not come back."""
        self.note(event, link, detail)
        score = self.scores[link.remote_id] = self.scores.get(link.remote_id, 0) + points
        if score >= BAN:
            self.banned.add(link.address[0])
            self.note("banned", link)
            link.close()

    def has_noted(self, event, host=None):
        return [one for one in list(self.events) if one[0] == event and host in (None, one[1])]

    # --- contents --------------------------------------------------------------------------------------------

    def share(self, content, chunk_size=16384, function=SHA256, closed=False):
        swarm = Swarm(content, chunk_size, function, closed=closed)
        self.swarms[swarm.id] = swarm
        return swarm

    def join(self, root, entry):
        """The swarm whose parameters somebody has told."""
        if root not in self.swarms:
            if entry.get(wire.CHUNK_SIZE) is None:
                raise Wrong(f"{entry} has no chunk size")
            self.swarms[root] = Swarm(
                None, entry.get(wire.CHUNK_SIZE), entry.get(wire.HASH, SHA256), root=root)
        return self.swarms[root]

    def fetch(self, root, addresses, seconds=60, **options):
        """The content of a swarm. Wrong: it did not come in time."""
        fetch = Fetch(self, root, **options)
        for address in addresses:
            fetch.add(address)
        return fetch.wait(seconds)

    # --- what is said to nonsense (7) ------------------------------------------------------------------------

    def hear_unknown(self, link, message):
        raise wire.bad(f"message of type {message.kind} that is not known")

    def refuse(self, link, violation):
        """The last word before the end."""

    # --- what is said to requests (8.1) ----------------------------------------------------------------------

    def hear(self, link, message):
        if not self.is_automatic:
            return
        if message.peer == self.id:
            link.close()
        elif message.kind == wire.REQUEST:
            code, methods = self.answer(link, message)
            link.post(wire.encode(link.message(
                wire.RESPONSE, message.swarm, methods if code == 0 else {}, message.transaction, code)))
        else:
            self.hear_advertise(link, message)

    def needs_proof(self, link, swarm):
        return (self.demands or swarm.closed) and swarm.id not in link.admitted

    def prove(self, link, message, swarm):
        """What an exchange of 10.2 needs: properties to be sent; None: there is none."""
        provided = message.methods.get(wire.PROPERTY_PROVISION) or {}
        value = provided.get(wire.CERTIFICATE)
        if value is not None and is_certified(value, message.peer, self.id, link.nonce, swarm.id):
            link.admitted.add(swarm.id)
        elif value is not None:
            self.note("bad_certificate", link)
        nonce = provided.get(wire.NONCE_CODE)
        if nonce is None:
            return None
        return {wire.NONCE_CODE: link.nonce, wire.CERTIFICATE: self.identity.certificate(
            message.peer, nonce, swarm.id)}

    def answer(self, link, message):
        """Response code, and methods."""
        swarm, asked = self.swarms.get(message.swarm), message.methods
        if swarm is None:
            return wire.NOT_FOUND, {}
        proof = self.prove(link, message, swarm)
        if self.needs_proof(link, swarm):
            alone = set(asked) <= {wire.PROPERTY_PROVISION, wire.PROPERTY_QUERY}
            return (wire.SUCCESSFUL, {wire.PROPERTY_PROVISION: proof}) if proof and alone else (wire.AUTHENTICATE, {})
        if swarm.admitted is not None and message.peer not in swarm.admitted:
            return wire.FORBIDDEN, {}
        methods = {}
        if wire.PROPERTY_QUERY in asked or proof and wire.PROPERTY_PROVISION in asked:
            methods[wire.PROPERTY_PROVISION] = self.properties(link) | (proof or {})
        if wire.DATA_AVAILABILITY in asked:
            link.maps.setdefault(swarm.id, Ranges()).apply(asked[wire.DATA_AVAILABILITY])
            self.learn_peer(link, message)
        if wire.DATA_AVAIL_QUERY in asked:
            methods[wire.DATA_AVAILABILITY] = self.map_of(swarm)
        if wire.PEERLIST_QUERY in asked:
            methods[wire.PEERLIST_PROVISION] = self.peers_for(swarm, message.peer, asked[wire.PEERLIST_QUERY])
        offers = {wire.TRANSPORT_PARAMETER, wire.TRANSPORT_MANDATORY} & set(asked)
        if offers:
            code, found = self.negotiate(link, message, swarm, *offers)
            if code:
                return code, {}
            methods |= found
        return wire.SUCCESSFUL, methods

    def negotiate(self, link, message, swarm, method):
        """What answers an offer (6); with it the transfer of that transaction begins."""
        body = message.methods[method]
        listed = body or [] if method == wire.TRANSPORT_PARAMETER else [body]
        if not all(swarm.matches(entry) for entry in listed):
            return wire.NOT_FOUND, {}
        mine = [self.entry(swarm, number) for number in self.transports]
        session = link.session(message.transaction, swarm, is_ours=False)
        session.remote = link.maps.get(swarm.id, session.remote)
        for entry in listed:
            if entry.id == wire.TCP:
                session.window = entry.get(wire.WINDOW, DEFAULT_WINDOW)
        if method == wire.TRANSPORT_MANDATORY:
            return 0, {wire.TRANSPORT_MANDATORY: self.entry(swarm, wire.TCP)}
        if body:
            offered = {entry.id for entry in body}
            mine = [entry for entry in mine if entry.id in offered]
        if not mine:
            return 0, {wire.TRANSPORT_MANDATORY: self.entry(swarm, wire.TCP)}
        return 0, {wire.TRANSPORT_PARAMETER: mine}

    def entry(self, swarm, number):
        values = {wire.WINDOW: self.window} if number == wire.TCP else {}
        return swarm.transport(number, values=values | self.entries.get((swarm.id, number), {}))

    def properties(self, link):
        found = {wire.SOFTWARE: NAME, wire.NONCE_CODE: link.nonce}
        if self.server:
            found[wire.LISTEN] = wire.Address(self.host, self.port)
        return found

    def map_of(self, swarm):
        return swarm.map() or wire.Availability(wire.NONE, 0, swarm.chunk_size, 0, swarm.count or 0)

    def learn_peer(self, link, message):
        where = link.properties.get(wire.LISTEN)
        if where is not None:
            body = message.methods[wire.DATA_AVAILABILITY]
            flags = wire.COMPLETE if body.format == wire.ALL and body.base == 0 else 0
            last = max(link.maps[message.swarm].lasts, default=-1)
            entry = wire.Entry(message.peer, flags, 0, (where,))
            self.known[message.swarm, message.peer] = entry, time.monotonic(), last

    def peers_for(self, swarm, asker, query):
        """Entries; None: the provision without a body."""
        now, most = time.monotonic(), min(query.most or 25, 25)
        found = [one._replace(age=int(now - when)) for (root, peer), (one, when, last) in list(self.known.items())
                 if root == swarm.id and peer != asker and now - when <= 60
                 and (not query.flags & 1 or one.flags & wire.COMPLETE) and (not query.chunk or last >= query.chunk)
                 and query.families in (0, 1, 3)]
        return found[:most] or None

    # --- PUSH (8.2) ------------------------------------------------------------------------------------------

    def hear_advertise(self, link, message):
        swarm, body = self.swarms.get(message.swarm), message.methods.get(wire.DATA_AVAILABILITY)
        if body is not None and (swarm or self.accepts_push):
            link.maps.setdefault(message.swarm, Ranges()).apply(body)
        for session in list(link.sessions.values()):
            if body is not None and session.swarm is swarm:
                session.remote = link.maps[message.swarm]
                if session.fetch:
                    session.fetch.fill(session)
        offers = {wire.TRANSPORT_PARAMETER, wire.TRANSPORT_MANDATORY} & set(message.methods)
        if swarm is not None:
            self.prove(link, message, swarm)
        if offers:
            code, methods = self.take_offer(link, message, swarm, *offers)
            link.post(wire.encode(link.message(
                wire.RESPONSE, message.swarm, methods, message.transaction, code)))

    def take_offer(self, link, message, swarm, method):
        if not self.accepts_push:
            return wire.FORBIDDEN, {}
        listed = message.methods[method] or [] if method == wire.TRANSPORT_PARAMETER else [message.methods[method]]
        entry = next((one for one in listed if one.id == wire.TCP), None)
        if swarm is None and entry is None:
            return wire.NOT_FOUND, {}
        swarm = swarm or self.join(message.swarm, entry)
        if self.needs_proof(link, swarm):
            return wire.AUTHENTICATE, {}
        code, methods = self.negotiate(link, message, swarm, method)
        if code == 0:
            link.sessions[message.transaction].takes_push = True
        return code, methods

    def push(self, link, swarm, ranges=None):
        """Offers what we have; the transaction, which is the transfer when the answer is yes."""
        methods = {wire.DATA_AVAILABILITY: self.map_of(swarm), wire.PEERLIST_PROVISION: None,
                   wire.PROPERTY_PROVISION: self.properties(link),
                   wire.TRANSPORT_PARAMETER: [self.entry(swarm, number) for number in self.transports]}
        message = link.message(wire.ADVERTISE, swarm.id, methods)
        link.offers[message.transaction] = (swarm, ranges)
        return link.start(swarm.id, methods, wire.ADVERTISE, message.transaction)

    def hear_answer(self, link, message):
        """Before anybody else: what follows an accepted offer may come in the same segment."""
        offer = link.offers.pop(message.transaction, None)
        if offer is None or message.code:
            return
        listed = message.methods.get(wire.TRANSPORT_PARAMETER) or [message.methods.get(wire.TRANSPORT_MANDATORY)]
        entry = next((one for one in listed if one is not None and one.id == wire.TCP), None)
        swarm, ranges = offer
        if swarm is None:
            if entry is None or entry.get(wire.CHUNK_SIZE) is None:
                return
            swarm = self.join(message.swarm, entry)
        session = link.session(message.transaction, swarm)
        session.window = entry.get(wire.WINDOW, DEFAULT_WINDOW) if entry else DEFAULT_WINDOW
        if ranges != "pull":
            start_push(session, ranges)
