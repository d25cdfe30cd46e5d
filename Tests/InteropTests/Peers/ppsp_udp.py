"""A foreign peer over UDP (ppspp-rfc7574.md), with the habits of libswift or strictly as the RFC has it.

    seeder = UDPPeer("127.1.2.3", habits=LIBSWIFT)
    swarm = seeder.share(content, 1024, SHA1)
    leecher = UDPPeer("127.1.2.4", weather=Weather(loss=0.05))
    leecher.fetch(Swarm(None, 1024, SHA1, root=swarm.id), seeder.address)
"""
import collections
import contextlib
import random
import select
import socket
import threading
import time
import traceback
from typing import NamedTuple

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import Wrong
from ppsp_content import Swarm
from ppsp_merkle import FALSE, MISSING, OK, SHA1, SHA256, peaks, range_of, subtrees
from ppsp_udp_channel import Channel, Weather

HANDSHAKE_TRIES = (1.0, 2.0, 4.0)
REPEAT = 1.0            # libswift repeats its answer so often while the third datagram lacks (9)
SILENCE = 180.0
MAX_UNPROVED = 256      # channels that others have opened and not gone on with
LARGEST = 1400          # octets of hashes and a chunk of 1 KiB in one datagram


class Habits(NamedTuple):
    functions: tuple = (SHA1, SHA256)
    tells_chunk_size: bool = True       # option 9
    drops_chunk_size: bool = False      # a handshake with option 9 is one with an unknown option
    needs_chunk_size: bool = False
    hashes_apart: bool = False          # in an earlier datagram than the chunk
    trusts_delivery: bool = False       # hashes once sent are not sent again until the chunk is late
    peaks_unasked: bool = False
    ranges_in_ack: bool = False         # else single chunks
    asks_for_peers: bool = False
    omits_after: int = 99               # tries with option 9, then without


LIBSWIFT = Habits((SHA1,), False, True, False, True, True, True, False, True)
STRICT = Habits(needs_chunk_size=True, ranges_in_ack=True)


class UDPPeer:
    """`lies`: "corrupt" (false chunks), "lacks" (says to have all, sends nothing), "false-hashes"."""

    def __init__(self, host, port=wire.PORT, habits=STRICT, weather=None, lies=(), loses_third=0):
        self.host, self.port, self.habits, self.lies = host, port, habits, set(lies)
        self.weather = weather or Weather()
        self.loses_third = loses_third      # so many third datagrams never leave
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        self.sock.bind((host, port))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.swarms, self.channels, self.lock = {}, {}, threading.RLock()
        self.events, self.failures, self.counts = [], [], collections.Counter()
        self.is_closed = False
        self.late = []                      # datagrams that the weather holds back
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def address(self):
        return self.host, self.port

    def share(self, content, chunk_size=1024, function=SHA256):
        swarm = content if isinstance(content, Swarm) else Swarm(content, chunk_size, function)
        self.swarms[swarm.id] = swarm
        return swarm

    def close(self):
        with self.lock:
            for channel in list(self.channels.values()):
                self.end(channel)
            self.is_closed = True
        self.sock.close()

    def note(self, event, detail=""):
        self.events.append((event, str(detail)))

    # --- fetching --------------------------------------------------------------------------------------------

    def open(self, swarm, address):
        """A channel that begins with our handshake."""
        self.swarms[swarm.id] = swarm
        with self.lock:
            channel = self.channel(swarm, address, is_ours=True)
            self.send_opening(channel)
        return channel

    def fetch(self, swarm, addresses, seconds=60):
        """The content. Wrong: it did not come in time."""
        opened = [self.open(swarm, address) for address in addresses]
        if not swarm.wait(seconds):
            raise Wrong(f"{self.host}: {sum(swarm.flags or b'')} of {swarm.count} chunks within {seconds} s, "
                        f"{self.events[-5:]} {dict(self.counts)} {opened} {self.failures[:1]}")
        return swarm.content

    def channel(self, swarm, address, is_ours):
        number = random.randint(1, 0xFFFFFFFF)
        # One channel for an address and a swarm, the new one in place of the old (9, rule 5).
        for old in [one for one in self.channels.values() if (one.swarm, one.address) == (swarm, address)]:
            del self.channels[old.number]
        if not is_ours:
            unproved = [one for one in self.channels.values() if not one.is_proved and not one.is_ours]
            for old in unproved[:-MAX_UNPROVED]:
                del self.channels[old.number]
        self.channels[number] = Channel(number, swarm, address, is_ours)
        return self.channels[number]

    # --- the loop --------------------------------------------------------------------------------------------

    def run(self):
        ticked = 0.0
        while not self.is_closed:
            try:
                ready, _, _ = select.select([self.sock], [], [], 0.01)
                with self.lock:
                    self.receive_all(64 if ready else 0)
            except (OSError, ValueError):
                return
            except Exception:
                self.failures.append(traceback.format_exc())
            now = time.monotonic()
            with self.lock, contextlib.suppress(OSError):
                held, self.late = self.late, []
                for data, address in held:
                    self.sock.sendto(data, address)
                for channel in list(self.channels.values()):
                    self.flush(channel)
                    if now - ticked > 0.02:
                        self.look_after(channel, now)
            ticked = now if now - ticked > 0.02 else ticked

    def receive_all(self, most):
        """What has come; then what follows from all of it, so that an answer tells of many chunks."""
        touched = {}
        with contextlib.suppress(BlockingIOError):
            for _ in range(most):
                if channel := self.receive(*self.sock.recvfrom(65536)):
                    touched[channel.number] = channel
        for channel in touched.values():
            self.tell(channel)
            if channel.is_proved:
                self.ask(channel, time.monotonic())

    def look_after(self, channel, now):
        """What time brings: handshakes, chunks and requests again; death."""
        if now - channel.heard_at > SILENCE:
            del self.channels[channel.number]
        elif channel.remote is None and channel.is_ours:
            if now >= channel.again_at and channel.tries < len(HANDSHAKE_TRIES):
                self.send_opening(channel)
        elif not channel.is_proved and now >= channel.again_at and channel.tries < 10:
            self.send_answer(channel)
        elif channel.is_proved:
            for chunk in channel.timed_out(now):
                self.send_chunk(channel, chunk, again=True)
            self.ask(channel, now)

    def send(self, channel, *messages, address=None):
        data = chunks.encode_datagram(channel.remote or 0, messages, channel.addressing)
        self.put(data, address or channel.address)

    def put(self, data, address):
        self.counts["datagrams"] += 1
        with contextlib.suppress(BlockingIOError):
            for fate in self.weather.fates():
                if fate == "late":
                    self.late.append((data, address))
                else:
                    self.sock.sendto(data, address)

    # --- handshakes (2, 3) -----------------------------------------------------------------------------------

    def options(self, swarm, tells_chunk_size=True):
        options = {chunks.VERSION: 1, chunks.MINIMUM: 1, chunks.METHOD: 1, chunks.HASH: swarm.function,
                   chunks.ADDRESSING: chunks.RANGES32}
        if self.habits.tells_chunk_size and tells_chunk_size:
            options[chunks.CHUNK_SIZE] = swarm.chunk_size
        return options

    def send_opening(self, channel):
        channel.again_at = time.monotonic() + HANDSHAKE_TRIES[min(channel.tries, len(HANDSHAKE_TRIES) - 1)]
        channel.tries += 1
        options = self.options(channel.swarm, channel.tries <= self.habits.omits_after) | {
            chunks.SWARM: channel.swarm.id}
        self.send(channel, chunks.Handshake(channel.number, options), *self.haves(channel.swarm))

    def send_answer(self, channel):
        channel.again_at = time.monotonic() + REPEAT
        channel.tries += 1
        options = self.options(channel.swarm, channel.has_chunk_size)
        self.send(channel, chunks.Handshake(channel.number, options), *self.haves(channel.swarm))

    def haves(self, swarm):
        """What is there as whole subtrees, and not too much for a handshake."""
        if "lacks" in self.lies and swarm.count:
            return [chunks.have(*range_of(*node)) for node in peaks(swarm.count)]
        return [chunks.have(*range_of(*node)) for first, last in wire.ranges_of(bytes(swarm.flags or b""))
                for node in subtrees(first, last)][:32]

    def receive(self, data, address):
        number = int.from_bytes(data[:4], "big")
        channel = self.channels.get(number)
        if number == 0:
            self.receive_opening(data, address)
            return None
        if channel is None or channel.address != address:
            self.counts["unknown channel"] += 1
            return None
        channel.heard_at = time.monotonic()
        swarm = channel.swarm
        try:
            found = chunks.decode_datagram(data, channel.addressing, swarm.hash_size, swarm.chunk_size).messages
        except chunks.Unreadable as error:
            self.note("unreadable", error)
            found = error.before
        for one in found:
            if one.type == chunks.HANDSHAKE:
                if one.channel == 0:
                    self.note("closed by the other side")
                    self.channels.pop(number, None)
                    return None
                if not self.receive_answer(channel, one):
                    return None
            else:
                if not channel.is_proved and not channel.is_ours:
                    self.prove(channel)
                self.hear(channel, one)
        if not found and not channel.is_ours:
            self.prove(channel)
        return channel

    def receive_opening(self, data, address):
        try:
            one, *more = chunks.decode_datagram(data).messages
        except (chunks.Unreadable, ValueError) as error:
            self.note("unreadable", error)
            return
        if one.type != chunks.HANDSHAKE:
            return
        if one.channel == 0:
            for channel in [one for one in self.channels.values() if one.address == address and one.remote is None]:
                self.note("refused", address)
                del self.channels[channel.number]
            return
        swarm = self.swarms.get(one.get(chunks.SWARM))
        if self.habits.drops_chunk_size and chunks.CHUNK_SIZE in one.options:
            self.counts["dropped for option 9"] += 1
            return
        if swarm is None or self.habits.needs_chunk_size and chunks.CHUNK_SIZE not in one.options:
            self.counts["dropped"] += 1
            return
        if not self.agrees(swarm, one) or one.get(chunks.HASH, SHA256) not in self.habits.functions:
            self.put(chunks.closing(0), address)
            return
        old = next((each for each in self.channels.values() if (each.address, each.remote, each.swarm) == (
            address, one.channel, swarm)), None)
        channel = old or self.channel(swarm, address, is_ours=False)
        channel.remote, channel.addressing = one.channel, one.get(chunks.ADDRESSING, chunks.RANGES32)
        channel.has_chunk_size = chunks.CHUNK_SIZE in one.options
        for each in more:
            self.hear(channel, each)
        self.send_answer(channel)

    @staticmethod
    def agrees(swarm, one):
        return (one.get(chunks.HASH, SHA256) == swarm.function and one.get(chunks.METHOD, 1) == 1
                and one.get(chunks.CHUNK_SIZE, swarm.chunk_size) == swarm.chunk_size
                and one.get(chunks.ADDRESSING, chunks.RANGES32) in (chunks.RANGES32, chunks.RANGES64))

    def receive_answer(self, channel, one):
        """Whether we go on. A repeated one says that our third datagram was lost."""
        if not channel.is_ours:
            self.send_answer(channel)
            return True
        if self.habits.needs_chunk_size and chunks.CHUNK_SIZE not in one.options or not self.agrees(channel.swarm, one):
            self.note("no agreement", one.options)
            channel.remote = one.channel
            self.end(channel)
            return False
        self.counts["answers"] += 1
        channel.remote, channel.is_proved = one.channel, True
        channel.forget_requests()
        if self.loses_third:
            self.loses_third -= 1
            channel.quiet_until = time.monotonic() + 0.5
        return True

    def prove(self, channel):
        """The source has shown that it gets what we send: now it may have more than handshakes."""
        channel.is_proved = True
        if self.habits.peaks_unasked and channel.swarm.count:
            self.send(channel, *self.peaks(channel.swarm))

    def end(self, channel):
        """Closes a channel (2)."""
        if channel.remote is not None:
            self.put(chunks.closing(channel.remote), channel.address)
        self.channels.pop(channel.number, None)

    # --- messages (4) ----------------------------------------------------------------------------------------

    def hear(self, channel, one):
        kind, swarm = one.type, channel.swarm
        self.counts[one.name] += 1
        if kind == chunks.DATA:
            self.hear_data(channel, one)
        elif kind == chunks.INTEGRITY:
            width = one.last - one.first + 1
            channel.keep_hash((width.bit_length() - 1, one.first // width), one.value)
        elif kind == chunks.HAVE:
            channel.remote_has.add(one.first, one.last)
            channel.arrived(one.first, one.last, swarm)
        elif kind == chunks.ACK:
            channel.arrived(one.first, one.last, swarm)
        elif kind == chunks.REQUEST and "lacks" not in self.lies:
            for chunk in range(one.first, min(one.last + 1, one.first + (swarm.count or 0))):
                if swarm.has(chunk):
                    channel.wanted[chunk] = None
        elif kind == chunks.CANCEL:
            for chunk in [chunk for chunk in channel.wanted if one.first <= chunk <= one.last]:
                del channel.wanted[chunk]
        elif kind == chunks.CHOKE:
            channel.is_choked = True
            channel.forget_requests()
        elif kind == chunks.UNCHOKE:
            channel.is_choked = False

    def hear_data(self, channel, one):
        swarm, chunk = channel.swarm, one.first
        found = swarm.take(chunk, one.data, channel.pending)
        if found == FALSE:
            self.note("false_chunk", f"{channel.address} {chunk}")
            self.end(channel)
        elif found == MISSING:
            self.counts["unverifiable"] += 1
        else:
            channel.outstanding.pop(chunk, None)
            delay = max(0, time.time_ns() // 1000 - one.value) & 0xFFFFFFFFFFFFFFFF
            channel.unacked.append((chunk, delay))
            if found == OK:
                self.counts["kept"] += 1

    def tell(self, channel):
        """HAVE first, then ACK, as libswift does."""
        if not channel.unacked or channel.number not in self.channels:
            return
        unacked, channel.unacked = channel.unacked, []
        flags, messages = channel.swarm.flags, []
        told = set()
        for chunk, delay in unacked:
            end = flags.find(0, chunk)
            first, last = flags.rfind(0, 0, chunk) + 1, (end if end >= 0 else len(flags)) - 1
            if (first, last) not in told:
                messages.append(chunks.have(first, last))
                told.add((first, last))
            spec = (first, last) if self.habits.ranges_in_ack else (chunk, chunk)
            messages.append(chunks.Chunk(chunks.ACK, *spec, delay))
        for start in range(0, len(messages), 60):
            part = messages[start:start + 60]
            self.send(channel, *(one for one in part if one.type == chunks.HAVE),
                      *(one for one in part if one.type == chunks.ACK))

    def ask(self, channel, now):
        if not channel.is_ours and not channel.remote_has.firsts or now < channel.quiet_until:
            return
        ranges = channel.next_requests(now, self.channels.values())
        if ranges:
            pex = [chunks.Chunk(chunks.PEX_REQ)] if self.habits.asks_for_peers and not channel.swarm.flags else []
            self.send(channel, *(chunks.request(*pair) for pair in ranges), *pex)

    # --- serving ---------------------------------------------------------------------------------------------

    def flush(self, channel):
        while channel.is_proved and not channel.is_choking and channel.wanted and channel.has_room():
            chunk = next(iter(channel.wanted))
            del channel.wanted[chunk]
            self.send_chunk(channel, chunk)

    def peaks(self, swarm):
        return [chunks.integrity(*range_of(*node), swarm.proofs[node]) for node in swarm.proofs.peaks]

    def send_chunk(self, channel, chunk, again=False):
        swarm = channel.swarm
        skips = channel.sent if self.habits.trusts_delivery and not again else channel.known
        hashes = [chunks.integrity(*range_of(*node), self.hash_of(swarm, node))
                  for node in channel.hashes_for(chunk, skips)]
        data = bytes(swarm.chunk(chunk))
        if "corrupt" in self.lies:
            data = data[:-1] + bytes([data[-1] ^ 1])
        one = chunks.data_of(chunk, time.time_ns() // 1000, data)
        size = sum(9 + len(each.value) for each in hashes) + len(data) + 21
        if hashes and (self.habits.hashes_apart or size > max(LARGEST, swarm.chunk_size + 300)):
            self.send(channel, *hashes)
            hashes = []
        self.send(channel, *hashes, one)
        channel.sent_chunk(chunk)

    def hash_of(self, swarm, node):
        value = swarm.proofs[node]
        return bytes([value[0] ^ 1]) + value[1:] if "false-hashes" in self.lies else value
