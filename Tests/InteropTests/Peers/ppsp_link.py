"""A connection of PPSP (ppsp.md sections 3, 7 and 9.2). A case may lead it by the hand, or leave it to its peer.

    link = peer.dial(node.content_address)
    answer = link.ask(swarm, {wire.DATA_AVAIL_QUERY: None})         # its RESPONSE
    link.send_chunks(transaction, chunks.request(0, 3))
"""
import collections
import contextlib
import random
import socket
import threading
import time
import traceback

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import WAIT, Wrong
from ppsp_transfer import Session

ROOM = 256 << 10        # octets that are made ready at a time


class Link:
    """A connection with one thread that reads and one that writes, so that nothing that comes is lost."""

    def __init__(self, sock, peer, address, is_ours):
        self.sock, self.peer, self.address, self.is_ours = sock, peer, address, is_ours
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.more, self.writing = threading.Condition(), threading.Lock()
        self.seen, self.taken, self.answers, self.end = [], 0, {}, None
        self.is_closed = False
        self.violation, self.keep_alives, self.stray = None, 0, []
        self.sessions, self.offers = {}, {}
        self.remote_id, self.properties, self.maps = None, {}, {}
        self.nonce, self.their_nonce, self.admitted = random.randbytes(32), None, set()
        self.outbox = collections.deque()
        self.opened_at = self.sent_at = self.heard_at = time.monotonic()
        self.is_partial = False
        self.received = 0
        self.arrived = []                   # chunk messages, for who leads by the hand
        for run in (self.read, self.run_writer):
            threading.Thread(target=run, daemon=True).start()

    # --- what comes ------------------------------------------------------------------------------------------

    def read(self):
        decoder, end = wire.Decoder(), "fin"
        try:
            while data := self.sock.recv(ROOM):
                self.heard_at = time.monotonic()
                self.received += len(data)
                for message in decoder.feed(data):
                    self.hear(message)
                self.is_partial = bool(decoder.tail)
                self.peer.heard(self)
            end = "cut" if decoder.tail else "fin"
        except (wire.Violation, chunks.Unreadable) as violation:
            for message in getattr(violation, "before", ()):
                if isinstance(message, wire.Message):
                    self.hear(message)
            self.violation, end = violation, f"the other side sends nonsense: {violation}"
            self.peer.refuse(self, violation)
            self.close()
        except OSError:
            end = "reset"
        except Exception as error:
            self.peer.failures.append(traceback.format_exc())
            end = f"our own failure: {error!r}"
            self.close()
        with self.more:
            self.end = end
            self.more.notify_all()
        self.peer.lost(self)

    def hear(self, message):
        if isinstance(message, wire.Transfer):
            return self.hear_transfer(message)
        if isinstance(message, wire.Unknown):
            return self.peer.hear_unknown(self, message)
        if self.remote_id not in (None, message.peer):
            raise wire.bad("another peer ID than before")
        self.remote_id = message.peer
        if message.is_keep_alive:
            self.keep_alives += 1
            return None
        provided = message.methods.get(wire.PROPERTY_PROVISION) or {}
        self.properties |= provided
        self.their_nonce = provided.get(wire.NONCE_CODE, self.their_nonce)
        if message.kind == wire.RESPONSE:
            self.peer.hear_answer(self, message)
        with self.more:
            if message.kind == wire.RESPONSE and message.transaction in self.answers:
                self.answers[message.transaction].append(message)
            elif message.kind == wire.RESPONSE:
                self.stray.append(message)
            elif self.peer.keeps_messages:
                self.seen.append(message)
            self.more.notify_all()
        if message.kind != wire.RESPONSE:
            self.peer.hear(self, message)
        return None

    def hear_transfer(self, message):
        session = self.sessions.get(message.transaction)
        if session is None:
            raise wire.bad(f"unknown transfer {message.transaction:016x}")
        found = chunks.decode_transfer(
            message.payload, message.count, session.addressing, session.swarm.hash_size)
        if self.peer.is_automatic:
            self.peer.hear_chunks(session, found)
            return
        with self.more:
            self.arrived += [one._replace(data=bytes(one.data)) for one in found]
            self.more.notify_all()

    # --- what goes -------------------------------------------------------------------------------------------

    def write(self, data, pause=0.0, piece=None):
        """Octets as they are, at once; with `piece` so many at a time."""
        with self.writing:
            for start in range(0, len(data), piece or max(1, len(data))):
                self.sock.sendall(data[start:start + (piece or len(data))])
                self.sent_at = time.monotonic()
                if pause:
                    time.sleep(pause)

    def post(self, data):
        """Octets that the writer sends when it can."""
        with self.more:
            self.outbox.append(data)
            self.more.notify_all()

    def wake(self):
        with self.more:
            self.more.notify_all()

    def run_writer(self):
        with contextlib.suppress(OSError):
            while batch := self.next_batch():
                parts = [part if isinstance(part, bytes) else self.peer.frame(*part) for part in batch]
                data = b"".join(parts)
                self.peer.pour(self, data)
                for part in batch:
                    if not isinstance(part, bytes):
                        part[0].counts["sent"] += 1

    def next_batch(self):
        """Octets, and chunks that are to be made octets; None: the end."""
        with self.more:
            while self.end is None:
                batch, size = list(self.outbox), 0
                self.outbox.clear()
                for session in self.sessions.values():
                    while size < ROOM and (chunk := session.next_chunk()) is not None:
                        batch.append((session, chunk))
                        size += session.swarm.chunk_size
                if batch:
                    return batch
                self.more.wait()
        return None

    # --- for who leads by the hand ---------------------------------------------------------------------------

    def send(self, *messages):
        self.write(b"".join(wire.encode(message) for message in messages))

    def message(self, kind, swarm, methods, transaction=None, code=0):
        transaction = random.getrandbits(64) if transaction is None else transaction
        return wire.Message(kind, transaction, self.peer.id, swarm, methods, code)

    def start(self, swarm, methods, kind=wire.REQUEST, transaction=None):
        """Sends a REQUEST or an ADVERTISE; its transaction ID."""
        message = self.message(kind, swarm, methods, transaction)
        with self.more:
            self.answers[message.transaction] = collections.deque()
        self.post(wire.encode(message))
        return message.transaction

    def answer(self, transaction, seconds=WAIT):
        """The RESPONSE with that transaction ID."""
        with self.more:
            self.more.wait_for(lambda: self.answers[transaction] or self.end, seconds)
            if not self.answers[transaction]:
                raise Wrong(f"{self.name}: no answer within {seconds} s, {self.state}")
            return self.answers[transaction].popleft()

    def said(self, data, transaction, seconds=WAIT):
        """The RESPONSE to octets of our making."""
        self.answers.setdefault(transaction, collections.deque())
        self.write(data)
        return self.answer(transaction, seconds)

    def ask(self, swarm, methods, seconds=WAIT):
        return self.answer(self.start(swarm, methods), seconds)

    def next(self, seconds=WAIT):
        """The next REQUEST or ADVERTISE that nobody has taken; None: the connection has ended."""
        with self.more:
            if not self.more.wait_for(lambda: self.taken < len(self.seen) or self.end, seconds):
                raise Wrong(f"{self.name}: nothing within {seconds} s, {self.state}")
            if self.taken == len(self.seen):
                return None
            self.taken += 1
            return self.seen[self.taken - 1]

    def expect(self, kind, *methods, seconds=WAIT):
        """The next message that is no answer has this type and these methods."""
        message = self.next(seconds)
        if message is None or message.kind != kind or not set(methods) <= set(message.methods):
            raise Wrong(f"{self.name}: got {message or self.end}, expected {wire.KINDS[kind]} {methods}")
        return message

    def closed(self, seconds=WAIT):
        """Waits until the other side ends the connection; how."""
        with self.more:
            if not self.more.wait_for(lambda: self.end, seconds):
                raise Wrong(f"{self.name}: still open after {seconds} s, {self.state}")
        return self.end

    def session(self, number, swarm, is_ours=True, **options):
        self.sessions[number] = Session(self, number, swarm, is_ours, **options)
        return self.sessions[number]

    def send_chunks(self, number, *messages, addressing=chunks.RANGES64):
        self.write(wire.transfer(number, *(chunks.encode_chunk(one, addressing) for one in messages)))

    def await_chunk(self, *kinds, seconds=WAIT, since=0):
        """The first chunk message of these types from index `since`; its index and itself."""
        def found():
            return next(((at, one) for at, one in enumerate(self.arrived) if at >= since and one.type in kinds), None)
        with self.more:
            if not self.more.wait_for(lambda: found() or self.end, seconds) or not found():
                names = [chunks.TYPES[kind] for kind in kinds]
                raise Wrong(f"{self.name}: no {names} within {seconds} s, {self.state}")
            return found()

    @property
    def name(self):
        return f"{self.peer.host} with {self.address}"

    @property
    def state(self):
        return f"end {self.end}, seen {self.seen[-3:]}, stray {self.stray[-2:]}, chunks {self.arrived[-3:]}"

    def finish(self):
        """Our side ends, the other may still speak."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.is_closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.wake()
