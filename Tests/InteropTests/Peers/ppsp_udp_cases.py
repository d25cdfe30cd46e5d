"""PPSPP over UDP between a node and foreign peers (ppsp.md 9.6, ppspp-rfc7574.md)."""
import collections
import random
import socket
import time

import ppsp_chunks as chunks
import ppsp_vectors
import ppsp_wire as wire
from sockets import Wrong, check, equal, loopback_host
from ppsp_content import Swarm
from ppsp_hostile import SOME
from ppsp_merkle import BLAKE2B, SHA1, SHA256
from ppsp_udp import LIBSWIFT, STRICT, HANDSHAKE_TRIES
from ppsp_udp_channel import Weather
from ppsp_world import UDP_PORT, case, octets, settle

BAD = Weather(loss=0.05, reorder=0.05, duplicate=0.05)
SHAPES = ((12, 1024), (7162, 1024), (3_000_000, 1024), (4_000_000, 8192))


class Caller:
    """A socket that sends what it is told, and reads what comes."""

    def __init__(self, address, host=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host or loopback_host(), 0))
        self.sock.connect(address)

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.send(data)

    def next(self, seconds=3.0):
        """The next datagram; None: there is none in time."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def drained(self):
        """How many octets have come."""
        count = 0
        self.sock.setblocking(False)
        try:
            while True:
                count += len(self.sock.recv(65536))
        except (BlockingIOError, ConnectionRefusedError):
            return count

    def decoded(self, seconds=3.0, hash_size=20):
        data = self.next(seconds)
        if data is None:
            raise Wrong(f"no datagram within {seconds} s")
        return chunks.decode_datagram(data, chunks.RANGES32, hash_size)


def handshake(swarm, channel, with_size, **more):
    options = {chunks.VERSION: 1, chunks.MINIMUM: 1, chunks.SWARM: swarm.id, chunks.METHOD: 1,
               chunks.HASH: swarm.function, chunks.ADDRESSING: 2}
    if with_size:
        options[chunks.CHUNK_SIZE] = swarm.chunk_size
    return chunks.encode_datagram(0, [chunks.Handshake(channel, options | more.get("options", {}))])


def sharing(world, size=100_000, chunk_size=1024, function=SHA256, **settings):
    node = world.home(has_udp=True, **settings).start()
    return node, node.add(octets(size), chunk_size, function)


def udp_only(world, swarm, habits, weather=None, lies=(), **options):
    """A foreign peer that signals over TCP, and has the chunks over UDP only: both."""
    peer = world.peer(transports=(wire.UDP,))
    udp = world.udp(host=peer.host, habits=habits, weather=weather, lies=lies, **options)
    udp.share(swarm)
    peer.swarms[swarm.id] = swarm
    peer.entries[swarm.id, wire.UDP] = {wire.WHERE: wire.Address(udp.host, udp.port, wire.PPSPP)}
    return peer, udp


@case("libswift's habits fetch from the node: SHA-1, no option 9, 1 KiB and 8 KiB chunks (9)", 180)
def udp_pull_libswift(world):
    """Contents of one chunk, of the captured datagrams, and bigger ones."""
    node = world.home(has_udp=True).start()
    for size, chunk_size in SHAPES:
        data = ppsp_vectors.content(size) if size == 7162 else octets(size)
        swarm = node.add(data, chunk_size, SHA1)
        found = world.udp(habits=LIBSWIFT).fetch(Swarm(None, chunk_size, SHA1, root=swarm.id), [node.udp_address])
        check(found == data, f"{size} octets in chunks of {chunk_size} differ")
    node.stop()


@case("The RFC to the letter fetches from the node: SHA-256, option 9, larger chunks (2 to 4)", 120)
def udp_pull_strict(world):
    """The node's answer has option 9; acknowledgements are ranges."""
    node = world.home(has_udp=True).start()
    for size, chunk_size in ((1, 1024), (1_000_000, 1024), (4_000_000, 8192), (2_000_000, 16384)):
        swarm = node.add(octets(size), chunk_size, SHA256)
        found = world.udp(habits=STRICT).fetch(Swarm(None, chunk_size, root=swarm.id), [node.udp_address])
        check(found == swarm.content, f"{size} octets in chunks of {chunk_size} differ")
    node.stop()


@case("libswift's habits serve the node, which leaves option 9 away after two tries (9, rule 1)", 240)
def udp_serve_libswift(world):
    """Hashes in an earlier datagram than the chunk, peaks unasked; with omitChunkSizeOption there is no wait."""
    for settings in ({}, {"omit": True}):
        node = world.home(has_udp=True, **settings).start()
        for size, chunk_size in SHAPES if settings else SHAPES[1:2]:
            data = ppsp_vectors.content(size) if size == 7162 else octets(size)
            swarm = Swarm(data, chunk_size, SHA1)
            peer, udp = udp_only(world, swarm, LIBSWIFT)
            check(node.fetch(swarm.id, peer.address, 60) == data, f"{size} octets in chunks of {chunk_size} differ")
            equal(udp.events, [], "what was wrong")
            check(udp.counts["REQUEST"] > 0, "nothing came over UDP")
            equal(udp.counts["dropped for option 9"] > 0, not settings, "whether option 9 was tried")
        node.stop()


@case("The RFC to the letter serves the node (2 to 4)", 120)
def udp_serve_strict(world):
    """SHA-256 with option 9, at 1 KiB and 16 KiB."""
    node = world.home(has_udp=True).start()
    for size, chunk_size in ((1, 1024), (1_000_000, 1024), (3_000_000, 16384)):
        swarm = Swarm(octets(size), chunk_size)
        peer, udp = udp_only(world, swarm, STRICT)
        check(node.fetch(swarm.id, peer.address, 60) == swarm.content, f"{size} octets differ")
        check(udp.counts["REQUEST"] > 0, "nothing came over UDP")
        equal(udp.events, [], "what was wrong")
    node.stop()


@case("Loss, reordering and duplicates of 5 % each way: transient failures, then completion (5, 7)", 240)
def udp_weather(world):
    """In both habits, and both ways; who lost hashes is not punished."""
    for habits, function in ((LIBSWIFT, SHA1), (STRICT, SHA256)):
        node, swarm = sharing(world, 500_000, 1024, function, omit=habits is LIBSWIFT)
        other = Swarm(octets(500_000, 2), 1024, function)
        found = world.udp(habits=habits, weather=BAD).fetch(
            Swarm(None, 1024, function, root=swarm.id), [node.udp_address], 60)
        check(found == swarm.content, "what the foreign peer fetches")
        peer, udp = udp_only(world, other, habits, BAD)
        check(node.fetch(other.id, peer.address, 90) == other.content, "what the node fetches")
        node.has_not_banned(peer)
        node.stop()


@case("libswift's own datagrams, as they were captured, get what libswift gave (rfc7574-ok)", 60)
def udp_captured(world):
    """The initiating handshake, then REQUEST and PEX_REQ: handshake without option 9, HAVE, peaks, uncles and chunk."""
    node = world.home(has_udp=True).start()
    node.add(ppsp_vectors.content(7162), 1024, SHA1)
    by_name = {vector["name"]: vector for vector in ppsp_vectors.load(world.options.vectors, "rfc7574-ok")}
    caller = world.own(Caller(node.udp_address))
    caller.send(bytes.fromhex(by_name["7162-byte file: initiating handshake"]["hex"]))
    channel, (shake, *haves) = caller.decoded()
    equal((channel, shake.type), (0x758B10D1, chunks.HANDSHAKE), "whose channel, and what comes first")
    equal([shake.get(one) for one in (0, 3, 4, 6, 9)], [1, 1, 0, 2, None], "its options, none that libswift drops")
    check(shake.channel != 0, "its channel is 0")
    check(all(one.type in (chunks.HAVE, chunks.REQUEST) for one in haves), f"the second datagram has {haves}")
    data = bytes.fromhex(by_name["7162-byte file: request and PEX_REQ"]["hex"])
    caller.send(shake.channel.to_bytes(4, "big") + data[4:])
    expected = by_name["7162-byte file: three peaks, two uncles, data of chunk 0"]["fields"]["messages"]
    hashes, chunk = {}, None
    until = time.monotonic() + 10
    while chunk is None and time.monotonic() < until:
        for one in caller.decoded().messages:
            if one.type == chunks.INTEGRITY:
                hashes[one.first, one.last] = one.value.hex()
            if one.type == chunks.DATA:
                chunk = one
    equal(hashes, {(one["start"], one["end"]): one["hash"] for one in expected[:-1]}, "hashes")
    check(chunk is not None and bytes(chunk.data) == ppsp_vectors.content(1024), "the chunk differs")
    for vector in by_name.values():
        if vector["name"] not in ("7162-byte file: initiating handshake",):
            caller.send(bytes.fromhex(vector["hex"]))
    found = world.udp(habits=LIBSWIFT).fetch(
        Swarm(None, 1024, SHA1, root=bytes.fromhex("6c10ecf8cb119e55a401323c5f3fcf01f9c158b0")), [node.udp_address])
    check(found == ppsp_vectors.content(7162), "the content differs after all other vectors")
    node.stop()


@case("Datagrams that are wrong: the rest is discarded, nothing is said, the node goes on (rfc7574-reject, 1)", 60)
def udp_rejects(world):
    """Every reject vector to channel 0, and to a channel of ours; noise; an unknown swarm is answered by silence."""
    node, swarm = sharing(world)
    vectors = ppsp_vectors.load(world.options.vectors, "rfc7574-reject")
    for vector in vectors:
        caller = world.own(Caller(node.udp_address))
        caller.send(bytes.fromhex(vector["hex"]))
        equal(caller.next(0.3), None, f"{vector['id']} {vector['name']}: what is said to it")
        caller.send(handshake(swarm, 0x01020304, True))
        channel = caller.decoded().messages[0].channel.to_bytes(4, "big")
        caller.send(channel + bytes.fromhex(vector["hex"])[4:])
    caller = world.own(Caller(node.udp_address))
    caller.send(handshake(Swarm(b"nothing"), 5, True))
    equal(caller.next(1), None, "what is said to a handshake for an unknown swarm")
    for number in range(2000):
        caller.send(random.Random(number).randbytes(number % 600))
    node.is_alive()
    found = world.udp().fetch(Swarm(None, 1024, root=swarm.id), [node.udp_address])
    check(found == swarm.content, "the content differs")
    node.stop()


@case("No DATA before the third datagram, and none to forged channels (1, 2)", 90)
def udp_forged(world):
    """REQUEST in the first datagram gets no chunk; a third party that knows the channel is not the peer; nor the peer
    from another port."""
    node, swarm = sharing(world, 200_000)
    caller = world.own(Caller(node.udp_address))
    caller.send(handshake(swarm, 77, True) + chunks.encode_chunk(chunks.request(0, 9), 2))
    channel, messages = caller.decoded(hash_size=32)
    equal((channel, messages[0].channel != 0), (77, True), "the answer")
    seen, until = [], time.monotonic() + 2
    while time.monotonic() < until and (data := caller.next(0.5)):
        seen += chunks.decode_datagram(data, 2, 32).messages
    kinds = {one.type for one in [*messages, *seen]}
    check(not kinds & {chunks.DATA, chunks.INTEGRITY}, f"before the third datagram came {kinds}")
    number = messages[0].channel.to_bytes(4, "big")
    ask = number + chunks.encode_chunk(chunks.request(0, 0), 2)
    for host in (loopback_host(), caller.sock.getsockname()[0]):
        other = world.own(Caller(node.udp_address, host))
        other.send(ask)
        other.send(chunks.closing(int.from_bytes(number, "big")))
        other.send(number + chunks.encode_chunk(chunks.Chunk(chunks.CHOKE)))
        equal(other.next(0.7), None, f"what is said to {host} on a channel that is not its own")
    for guess in range(300):
        other.send(random.Random(guess).randbytes(4) + ask[4:])
    equal(other.next(0.5), None, "what is said to guessed channels")
    caller.send(ask)
    found, until = [], time.monotonic() + 5
    while chunks.DATA not in found and time.monotonic() < until:
        found += [one.type for one in caller.decoded(hash_size=32).messages]
    check(chunks.DATA in found, "the real peer gets nothing any more")
    node.stop()


@case("A flood of handshakes from many sources: no state before the source is proven, small answers (2)", 150)
def udp_handshake_flood(world):
    """60,000 handshakes, each from another source that never goes on; the answers have fewer than three times their
    octets; memory does not grow with them, nothing follows, and who is real is served meanwhile."""
    node, swarm = sharing(world, 3_000_000)
    before, sent, came, waiting, some = node.memory(), 0, 0, collections.deque(), []
    for number in range(60_000):
        caller = Caller(node.udp_address, f"127.{20 + number % 40}.{number % 250}.{1 + number % 200}")
        data = handshake(swarm, 1 + random.getrandbits(31), True)
        caller.send(data)
        sent += len(data)
        waiting.append(caller)
        if number < 20:
            some.append(world.own(Caller(node.udp_address)))
            some[-1].send(data)
        if number % 50 == 0:
            # A flood that the node can read: what the buffer of its socket drops, proves nothing.
            time.sleep(0.005)
        if len(waiting) > 200:
            caller = waiting.popleft()
            came += caller.drained()
            caller.close()
    for caller in waiting:
        caller.close()
    check(came <= 3 * sent, f"{came} octets for {sent}")
    check(node.grown(before) < SOME, f"{node.grown(before)} octets of memory")
    found = world.udp().fetch(Swarm(None, 1024, root=swarm.id), [node.udp_address])
    check(found == swarm.content, "the content differs")
    settle(5)
    late = [caller.drained() for caller in some]
    check(max(late) <= 8 * len(data), f"{max(late)} octets to a source that has sent {len(data)} and never goes on")
    node.stop()
    return f"{came} octets for {sent}"


@case("A lost third datagram, repeated handshakes, a new channel in place of an old one (9, rules 3 and 5)", 90)
def udp_third_lost(world):
    """The same handshake again is a duplicate, not an error; the answer is the same channel or a new one that works."""
    node, swarm = sharing(world, 500_000, 1024, SHA1)
    for habits in (LIBSWIFT, STRICT._replace(needs_chunk_size=False)):
        peer = world.udp(habits=habits, loses_third=1)
        found = peer.fetch(Swarm(None, 1024, SHA1, root=swarm.id), [node.udp_address])
        check(found == swarm.content, "the content differs")
        again = world.own(Caller(node.udp_address))
        data = handshake(swarm, 99, False)
        answers = []
        for _ in range(3):
            again.send(data)
            answers.append(again.decoded().messages[0].channel)
        again.send(answers[-1].to_bytes(4, "big") + chunks.encode_chunk(chunks.request(3, 3), 2))
        kinds = []
        while chunks.DATA not in kinds:
            kinds += [one.type for one in again.decoded().messages]
    node.stop()


@case("Close: a handshake with source channel 0 ends all sending; an unsupported hash gets a close (2, 9)")
def udp_close(world):
    """After the close the channel is unknown; a hash that is not the swarm's gets a close or silence."""
    node, swarm = sharing(world, 3_000_000)
    caller = world.own(Caller(node.udp_address))
    caller.send(handshake(swarm, 42, True))
    number = caller.decoded(hash_size=32).messages[0].channel
    ask = number.to_bytes(4, "big") + chunks.encode_chunk(chunks.request(0, 2000), 2)
    caller.send(ask)
    caller.decoded(hash_size=32)
    caller.send(chunks.closing(number))
    settle(1)
    while caller.next(0.01):
        pass
    caller.send(ask)
    equal(caller.next(2), None, "what comes after the close")
    other = world.own(Caller(node.udp_address))
    other.send(handshake(swarm, 43, True, options={chunks.HASH: SHA1}))
    check(other.next(1) in (None, chunks.closing(0), chunks.closing(43)), "what is said to another hash function")
    node.stop()


@case("No answer to three handshakes: back to PPSP-TCP (9.6)", 90)
def udp_fallback(world):
    """The peer names UDP first, at an address where nobody is; 1, 2 and 4 s later the chunks come over TCP."""
    node = world.home(has_udp=True).start()
    swarm = Swarm(octets(500_000), 1024)
    peer = world.peer(transports=(wire.UDP, wire.TCP))
    peer.swarms[swarm.id] = swarm
    peer.entries[swarm.id, wire.UDP] = {wire.WHERE: wire.Address(peer.host, UDP_PORT, wire.PPSPP)}
    silent = world.own(Caller(node.udp_address, peer.host))
    silent.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.sock.bind((peer.host, UDP_PORT))
    started = time.monotonic()
    check(node.fetch(swarm.id, peer.address, 60) == swarm.content, "the content differs")
    took = time.monotonic() - started
    tries = 0
    while silent.next(0.05):
        tries += 1
    check(not tries or took >= sum(HANDSHAKE_TRIES[:2]), f"{tries} tries in {took:.1f} s")
    node.stop()
    return f"{tries} handshakes, {took:.1f} s"


@case("Liars over UDP: false chunks, false hashes, nothing at all; the content comes from another (4, 5)", 180)
def udp_liars(world):
    """The honest one is there over TCP."""
    for lie in ("corrupt", "false-hashes", "lacks"):
        swarm = Swarm(octets(600_000), 1024)
        peer, udp = udp_only(world, swarm, STRICT, lies=[lie])
        honest = world.liar(drip=200_000)
        honest.swarms[swarm.id] = swarm
        node = world.home(has_udp=True, peers=[peer.name, honest.name]).start()
        fetch = world.begin(node, swarm.id)
        settle(2)
        honest.drip = None
        check(fetch.wait(90) == swarm.content, f"the content differs, with {lie}")
        node.has_not_banned(honest)
        node.stop()


@case("BLAKE2b-256 is for PPSP-TCP only: not offered over UDP (6)")
def udp_private_hash(world):
    """The list of a swarm with hash function 240 has no entry 2, and its handshake no agreement."""
    node = world.home(has_udp=True).start()
    swarm = node.add(octets(10_000), 1024, BLAKE2B)
    answer = world.caller().dial(node.content_address).ask(swarm.id, {wire.TRANSPORT_PARAMETER: None})
    check(wire.UDP not in [one.id for one in answer.methods[wire.TRANSPORT_PARAMETER]], "it is offered over UDP")
    node.stop()
