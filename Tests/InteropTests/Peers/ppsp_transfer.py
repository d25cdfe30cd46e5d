"""What goes over a connection under a transfer ID: chunk messages, both ways (ppsp.md section 9)."""
import collections
import struct
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from ppsp_content import Ranges
from ppsp_merkle import FALSE, MISSING, OK

DEFAULT_WINDOW = 1 << 20
FALSE_CHUNK, UNASKED = 50, 20       # ban scores (8.1, 8.2)
MAX_PENDING = 128


class Session:
    """What goes over one connection under one transfer ID (9.1)."""

    def __init__(self, link, number, swarm, is_ours, window=DEFAULT_WINDOW, addressing=chunks.RANGES64):
        self.link, self.number, self.swarm, self.is_ours = link, number, swarm, is_ours
        self.window, self.addressing = window, addressing
        self.remote = Ranges()              # what the other side has
        self.sent = set()                   # nodes that the other side has from us
        self.wanted = {}                    # chunks that it wants, in order
        self.asked, self.outstanding = set(), {}    # what we want; chunk: since when
        self.pending = {}                   # hash by node, until the next DATA
        self.fetch = None
        self.is_choked = self.is_choking = False
        self.is_late = False                # it owes us an answer for too long
        self.takes_push = False             # we have accepted what comes unasked
        self.pushing, self.in_flight = None, set()
        self.unhad = []                     # proved, and not told to this side
        self.counts, self.asked_of_us = collections.Counter(), 0

    def forget_requests(self):
        lost = list(self.outstanding)
        self.outstanding.clear()
        return lost

    def next_chunk(self):
        """What the writer sends next: a chunk that is asked for, or one to be pushed; None: nothing now."""
        if self.is_choking:
            return None
        if self.wanted:
            chunk = next(iter(self.wanted))
            del self.wanted[chunk]
            return chunk
        room = max(1, self.window // self.swarm.chunk_size)
        while self.pushing and not self.is_choked and len(self.in_flight) < room:
            chunk = self.pushing.popleft()
            if chunk not in self.remote:
                self.in_flight.add(chunk)
                return chunk
        return None


class Transfers:
    """What a peer does with chunk messages."""

    def hear_chunks(self, session, found):
        link = session.link
        for one in found:
            if link.is_closed:
                return
            if one.type == chunks.DATA:
                self.hear_data(session, one)
            elif one.type == chunks.INTEGRITY:
                node = (one.last - one.first + 1).bit_length() - 1, one.first // (one.last - one.first + 1)
                session.pending[node] = one.value
                if len(session.pending) > MAX_PENDING:
                    self.punish(link, UNASKED, "hash_flood")
                    session.pending.clear()
            else:
                with link.more:
                    self.hear_signal(session, one)
                    link.more.notify_all()
                if one.type == chunks.UNCHOKE and session.fetch:
                    session.fetch.fill(session)
                if one.type == chunks.CHOKE and session.fetch:
                    session.fetch.give_back(session.forget_requests())

    def hear_signal(self, session, one):
        kind = one.type
        session.counts[chunks.TYPES[kind]] += 1
        if kind == chunks.REQUEST:
            session.asked_of_us += one.last - one.first + 1
            for chunk in range(one.first, min(one.last + 1, one.first + (session.swarm.count or 0))):
                if self.serves(session.swarm, chunk):
                    session.wanted[chunk] = None
        elif kind == chunks.CANCEL:
            for chunk in [chunk for chunk in session.wanted if one.first <= chunk <= one.last]:
                del session.wanted[chunk]
        elif kind == chunks.HAVE:
            session.remote.add(one.first, one.last)
            session.in_flight -= {chunk for chunk in session.in_flight if one.first <= chunk <= one.last}
        elif kind == chunks.CHOKE:
            session.is_choked = True
        elif kind == chunks.UNCHOKE:
            session.is_choked = False

    def serves(self, swarm, chunk):
        return swarm.has(chunk)

    def hear_data(self, session, one):
        chunk, link, swarm = one.first, session.link, session.swarm
        if chunk not in session.asked and not session.takes_push:
            self.punish(link, UNASKED, "unasked", chunk)
            link.close()
            return
        since = session.outstanding.pop(chunk, None)
        pending, session.pending = session.pending, {}
        session.counts["received"] += 1
        session.is_late = False
        found = swarm.take(chunk, one.data, pending)
        if found in (FALSE, MISSING):
            # On a stream the hashes come first, so that what lacks them is as false (9.3).
            if session.fetch and since is not None:
                session.fetch.give_back([chunk])
            self.punish(link, FALSE_CHUNK, "false_chunk", f"{chunk} {found}")
            return
        session.remote.add(chunk, chunk)
        session.unhad.append(chunk)
        if found == OK:
            session.counts["kept"] += 1
            if session.fetch:
                session.fetch.got(session, chunk)

    def tell(self, session):
        fresh, session.unhad = session.unhad, []
        self.say(session, *(chunks.have(*pair) for pair in joined(fresh)))

    def say(self, session, *messages):
        for start in range(0, len(messages), 200):
            session.link.post(wire.transfer(session.number, *(
                chunks.encode_chunk(one, session.addressing) for one in messages[start:start + 200])))

    def choke(self, session, yes=True):
        session.is_choking = yes
        with session.link.more:
            if yes:
                session.wanted.clear()
        self.say(session, chunks.Chunk(chunks.CHOKE if yes else chunks.UNCHOKE))

    def frame(self, session, chunk):
        """The TRANSFER with a chunk and the hashes that the other side lacks."""
        hashes = self.hashes(session, chunk)
        return self.framed(session, chunk, hashes, session.swarm.chunk(chunk))

    def hashes(self, session, chunk):
        proofs, sent, needed = session.swarm.proofs, session.sent, []
        layer, offset = 0, chunk
        while (layer, offset) not in sent and (layer, offset) not in proofs.peaks:
            sent.add((layer, offset))
            if (layer, offset ^ 1) not in sent:
                needed.append((layer, offset ^ 1))
            layer, offset = layer + 1, offset >> 1
        sent.update(needed)
        needed.reverse()
        if not session.counts["peaks"]:
            session.counts["peaks"] = 1
            needed[:0] = proofs.peaks
            sent.update(proofs.peaks)
        return [(node, proofs[node]) for node in needed]

    def framed(self, session, chunk, hashes, data):
        spec = chunks.SPECS[session.addressing]
        parts = [b"\x04" + spec.pack(offset << layer, ((offset + 1) << layer) - 1) + value
                 for (layer, offset), value in hashes]
        stamp = struct.pack(">Q", time.time_ns() // 1000)
        return wire.transfer(session.number, *parts, b"".join((b"\x01", spec.pack(chunk, chunk), stamp, data)))

    def pour(self, link, data):
        link.write(data)


def start_push(session, ranges):
    with session.link.more:
        have = ranges or wire.ranges_of(bytes(session.swarm.flags))
        session.pushing = collections.deque(chunk for first, last in have for chunk in range(first, last + 1))
        session.link.more.notify_all()


def joined(numbers):
    """Chunks as ranges."""
    found = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
