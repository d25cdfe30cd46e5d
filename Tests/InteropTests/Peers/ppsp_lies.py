"""A foreign peer that lies, in the ways that it is told (ppsp.md section 10.1).

    liar = Liar("127.1.2.3", corrupt="some")
    liar.share(content)
"""
import random
import struct
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from ppsp_peer import Peer

LAST = (1 << 63) - 1


class Liar(Peer):
    """What it does wrong, none by default:

    corrupt             "some" or "all": chunks with a false octet; "hashes": right chunks under false uncles;
                        "peaks": false peaks; "short": a chunk that lacks its end
    lacks               chunks that it says to have and never sends
    unasked             so many chunks that nobody asked for, as soon as there is a transfer
    flood               so many hashes without a chunk, in answer to the first request
    map                 "all": 2^63 chunks; "bitmap", "ranges": as much as a message holds; "above": behind the end
    too_long            its RESPONSE has a content of the limit and one octet more
    wrong_swarm         its RESPONSE names another swarm
    wrong_transaction   its RESPONSE has another transaction ID
    is_mute             it never answers a REQUEST
    is_lazy             it never answers requests for chunks
    drip                octets per second
    crowd               so many peers in its list
    """

    def __init__(self, host, *words, corrupt=None, lacks=(), unasked=0, flood=0, map=None, too_long=False,
                 wrong_swarm=False, wrong_transaction=False, is_mute=False, is_lazy=False, drip=None, crowd=0, **more):
        self.corrupt, self.lacks, self.unasked, self.flood, self.map = corrupt, set(lacks), unasked, flood, map
        self.too_long, self.wrong_swarm, self.wrong_transaction = too_long, wrong_swarm, wrong_transaction
        self.is_mute, self.is_lazy, self.drip, self.crowd = is_mute, is_lazy, drip, crowd
        self.told = 0           # lies about chunks
        super().__init__(host, *words, **more)

    # --- answers ---------------------------------------------------------------------------------------------

    def hear(self, link, message):
        if message.kind != wire.REQUEST or not self.is_automatic:
            super().hear(link, message)
        elif self.too_long:
            link.post(wire.HEAD.pack(
                wire.VERSION, wire.RESPONSE, 1, 0, wire.LIMIT + 1, message.transaction, 32, 0,
                len(message.swarm)) + self.id + message.swarm + bytes(64))
        elif self.wrong_swarm or self.wrong_transaction:
            code, methods = self.answer(link, message)
            swarm = bytes(len(message.swarm)) if self.wrong_swarm else message.swarm
            number = message.transaction ^ 1 if self.wrong_transaction else message.transaction
            link.post(wire.encode(link.message(wire.RESPONSE, swarm, methods, number, code)))
        elif not self.is_mute:
            super().hear(link, message)
            for session in list(link.sessions.values()):
                if self.unasked and session.number == message.transaction:
                    for chunk in range(min(self.unasked, session.swarm.count)):
                        link.post(self.frame(session, chunk))

    def map_of(self, swarm):
        size = swarm.chunk_size
        if self.map == "all":
            return wire.Availability(wire.ALL, 0, size, 0, LAST + 1)
        if self.map == "bitmap":
            count = 8 * (wire.LIMIT - 1024)
            return wire.Availability(wire.BITMAP, 0, size, 0, count, ((0, count - 1),))
        if self.map == "ranges":
            return wire.Availability(wire.RANGES, 0, size, 0, LAST, tuple(
                (4 * at, 4 * at + 1) for at in range((wire.LIMIT - 1024) // 16)))
        if self.map == "above":
            return wire.Availability(wire.ALL, 0, size, 0, swarm.count + 1000)
        return super().map_of(swarm)

    def peers_for(self, swarm, asker, query):
        if not self.crowd:
            return super().peers_for(swarm, asker, query)
        return [wire.Entry(random.randbytes(32), wire.COMPLETE, 0, (
            wire.Address(f"127.{16 + at % 100}.{at % 250}.{1 + at % 250}", wire.PORT),)) for at in range(self.crowd)]

    # --- chunks ----------------------------------------------------------------------------------------------

    def serves(self, swarm, chunk):
        return not self.is_lazy and chunk not in self.lacks and super().serves(swarm, chunk)

    def hear_signal(self, session, one):
        if one.type == chunks.REQUEST and self.flood:
            count, self.flood = self.flood, 0
            for start in range(0, count, 100):
                self.say(session, *(chunks.integrity(at, at, random.randbytes(session.swarm.hash_size))
                                    for at in range(start, min(start + 100, count))))
        super().hear_signal(session, one)

    def framed(self, session, chunk, hashes, data):
        if self.corrupt == "all" or self.corrupt == "some" and chunk % 3 == 1:
            self.told += 1
            data = bytes(data[:-1]) + bytes([data[-1] ^ 1])
        elif self.corrupt == "short":
            self.told += 1
            data = data[:-1]
        elif self.corrupt in ("hashes", "peaks") and hashes:
            self.told += 1
            at = 0 if self.corrupt == "peaks" else -1
            node, value = hashes[at]
            hashes[at] = node, bytes([value[0] ^ 1]) + value[1:]
        return super().framed(session, chunk, hashes, data)

    def pour(self, link, data):
        at = 0
        while (drip := self.drip) and at < len(data):
            piece = max(64, int(drip / 100))
            link.write(data[at:at + piece])
            at += piece
            time.sleep(piece / drip)
        super().pour(link, data[at:])


def unsolicited(session_number, swarm, chunk):
    """A TRANSFER with a whole chunk and all its hashes, as octets."""
    parts = [b"\x04" + struct.pack(">QQ", offset << layer, ((offset + 1) << layer) - 1) + swarm.proofs[layer, offset]
             for layer, offset in swarm.proofs.peaks]
    return wire.transfer(session_number, *parts, chunks.encode_chunk(
        chunks.data_of(chunk, 0, bytes(swarm.chunk(chunk)))))
