"""Bad input (ppsp.md sections 8.1, 9.3 and 10.1): peers that lie beside one that does not, and floods."""
import random
import socket
import struct
import threading
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import Server, check, equal, loopback_host
from ppsp_cases import QUERY, begin, sharing, still_answers
from ppsp_content import Swarm
from ppsp_lies import unsolicited
from ppsp_merkle import SHA1
from ppsp_world import case, octets, settle

SOME = 64 << 20         # octets of memory that a flood may cost: far less than it sends or claims


def beside(world, size=3_000_000, chunk_size=16384, slow=400_000, **lies):
    """A node between a liar and an honest peer, which is slow so that the liar has its part: node, both, swarm."""
    swarm = Swarm(octets(size), chunk_size)
    liar, honest = world.liar(**lies), world.liar(drip=slow)
    for peer in (liar, honest):
        peer.swarms[swarm.id] = swarm
    return world.node(peers=[liar.name, honest.name]), liar, honest, swarm


def survives(world, seconds=100, **lies):
    """The content comes whole although one of two sources lies: node, liar, and how long it took."""
    node, liar, honest, swarm = beside(world, **lies)
    fetch = world.begin(node, swarm.id)
    node.until("a call to the liar", lambda: liar.links or not liar.arrived.empty(), 20)
    settle(1.5)
    honest.drip = None
    started = time.monotonic()
    check(fetch.wait(seconds) == swarm.content, "the content differs")
    node.has_not_banned(honest)
    return node, liar, time.monotonic() - started


@case("A peer that serves corrupt chunks: fetched again elsewhere, and it is banned (8.1, 10.1)", 300)
def corrupt(world):
    """Some, all, false uncles, false peaks, chunks that lack their end; the ban is of its address, the node goes on."""
    for how in ("some", "all", "hashes", "peaks", "short"):
        node, liar, _ = survives(world, corrupt=how)
        check(liar.told, f"{how}: the liar was not asked")
        node.has_banned(liar)
        check(liar.told <= 400, f"{how}: {liar.told} false chunks were taken")
        link = None
        try:
            link = world.caller(host=liar.host, identity=liar.identity).dial(node.content_address)
            link.write(wire.encode(link.message(wire.REQUEST, bytes(32), QUERY)))
            link.closed()
        except OSError:
            pass
        check(link is None or not [one for one in link.stray if one.code != wire.FORBIDDEN],
              "who is banned is answered")
        node.stop()


@case("A peer that claims chunks which it has not: they come from another, and it loses only its rank (10.1)", 150)
def claims(world):
    """It never sends chunks 20 to 80; it is not banned for that."""
    node, liar, _ = survives(world, lacks=range(20, 80))
    node.has_not_banned(liar)
    node.stop()


@case("A peer that answers nothing, or no request for a chunk, or very slowly: the content comes from another", 420)
def idle_peers(world):
    """Mute, lazy, 4,000 octets per second, another transaction ID, another swarm, 2 MiB + 1 octets."""
    for lies in ({"is_mute": True}, {"is_lazy": True}, {"drip": 4000}, {"wrong_transaction": True},
                 {"wrong_swarm": True}, {"too_long": True}):
        node, liar, _ = survives(world, **lies)
        node.is_alive()
        node.stop()


@case("DATA that nobody asked for: the connection ends, with a ban score (8.2, 10.1)", 150)
def unasked(world):
    """From who is asked by PULL, and from who has offered nothing; five times 20 are a ban; none of it is kept."""
    node, liar, _ = survives(world, unasked=3)
    node.stop()
    node, mine = sharing(world)
    swarm, host = Swarm(octets(100_000, 7), 1024), loopback_host()
    caller = world.caller(host=host)
    for _ in range(5):
        link = caller.dial(node.content_address)
        begin(link, mine, 5)
        link.write(unsolicited(5, mine, 3))
        link.closed()
        settle(0.2)
    node.has_banned(caller)
    link = world.caller().dial(node.content_address)
    link.write(unsolicited(6, swarm, 0))
    link.closed()
    equal(world.caller().dial(node.content_address).ask(swarm.id, QUERY).code, wire.NOT_FOUND, "the unasked swarm")
    node.stop()


@case("A flood of hashes without chunks: at most 128 are kept (9.3, 10.1)", 150)
def hash_floods(world):
    """100,000 in answer to a request for a chunk; two million by a caller; the memory does not grow with them."""
    node, liar, _ = survives(world, flood=100_000)
    node.stop()
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    begin(link, swarm, 8)
    before = node.memory()
    noise, number, sent = octets(1 << 20), 0, 0
    try:
        while sent < 100 << 20 and link.end is None:
            frame = wire.transfer(8, *(b"\x04" + struct.pack(">QQ", at, at) + noise[at % 1_000_000:at % 1_000_000 + 32]
                                       for at in range(number, number + 250)))
            link.write(frame)
            number, sent = number + 250, sent + len(frame)
    except OSError:
        pass
    check(node.grown(before) < SOME, f"{node.grown(before)} octets for {sent} of hashes")
    still_answers(world.caller().dial(node.content_address), swarm)
    node.stop()
    return f"{sent >> 20} MiB were taken"


@case("Huge maps: 2^63 chunks, 16 million bits, 130,000 ranges cost no more than their message (4, 10.1)", 240)
def huge_maps(world):
    """As answers, where the content still comes; as ADVERTISE again and again, for one swarm and for thousands."""
    for form in ("all", "bitmap", "ranges", "above"):
        node, _, _ = survives(world, map=form)
        node.is_alive()
        node.stop()
    node, swarm = sharing(world)
    liar = world.liar(map="ranges")
    big, all_of_it = liar.map_of(swarm), wire.Availability(wire.ALL, 1, 1024, 0, 1 << 63)
    before = node.memory()
    link = world.caller().dial(node.content_address)
    data = wire.encode(link.message(wire.ADVERTISE, swarm.id, {wire.DATA_AVAILABILITY: big}))
    try:
        for _ in range(100):
            link.write(data)
        for number in range(20_000):
            link.write(wire.encode(link.message(wire.ADVERTISE, random.Random(number).randbytes(32), {
                wire.DATA_AVAILABILITY: all_of_it})))
    except OSError:
        pass
    still_answers(world.caller().dial(node.content_address), swarm)
    check(node.grown(before) < SOME, f"{node.grown(before)} octets")
    node.stop()


@case("A content length of 2 MiB + 1 is refused before it is buffered (3, 13)")
def too_long(world):
    """By its header alone, in REQUEST, ADVERTISE and TRANSFER; 2 MiB are taken."""
    node, swarm = sharing(world)
    for kind in (wire.REQUEST, wire.ADVERTISE, wire.RESPONSE, wire.TRANSFER):
        link = world.caller().dial(node.content_address)
        if kind == wire.TRANSFER:
            begin(link, swarm, 3)
        link.write(wire.HEAD.pack(1, kind, 1, 0, wire.LIMIT + 1, 3, 0 if kind == wire.TRANSFER else 32, 0, 32))
        link.closed()
        equal([one.code for one in link.stray], [wire.SYNTAX] if kind == wire.REQUEST else [
            one.code for one in link.stray][:1], "what is said to it")
    link = world.caller().dial(node.content_address)
    size = wire.LIMIT - 32 - 32 - 8 - 4
    value = bytes(65535)
    items, code = b"", 0x1000
    while len(items) + len(value) + 4 <= size:
        items, code = items + code.to_bytes(2, "big") + b"\xff\xff" + value, code + 1
    rest = size - len(items) - 4
    items += code.to_bytes(2, "big") + rest.to_bytes(2, "big") + bytes(rest)
    body = (code - 0x1000 + 1).to_bytes(2, "big") + b"\0\0" + items
    content = link.peer.id + swarm.id + wire.ENTRY.pack(wire.PROPERTY_PROVISION, 0x80, 0, len(body)) + body
    equal(len(content), wire.LIMIT, "our own message")
    answer = link.said(wire.HEAD.pack(1, wire.REQUEST, 1, 0, len(content), 4, 32, 0, 32) + content, 4)
    equal(answer.code, 0, "the answer to a message of 2 MiB")
    node.stop()


@case("A list with 100 peers: at most 25 are taken, and not two of a /24 outside of test networks (10.1)", 90)
def crowd(world):
    """On loopback all of the 25 may be dialled, more than that never; the liar itself still serves."""
    called, lock = set(), threading.Lock()

    def note(sock, _):
        with lock:
            called.add(sock.getsockname()[0])
    listener = Server(("0.0.0.0", 6790), note)
    world.own(listener)
    liar = world.liar(crowd=100)
    original = liar.peers_for
    liar.peers_for = lambda *words: [one._replace(addresses=(one.addresses[0]._replace(port=6790),))
                                     for one in original(*words)]
    swarm = liar.share(octets(3_000_000), 16384)
    node = world.node()
    check(node.fetch(swarm.id, liar.address) == swarm.content, "the content differs")
    settle(3)
    asked = sum(wire.PEERLIST_QUERY in one.methods for link in liar.links for one in link.seen)
    check(len(called) <= 25 * max(1, asked), f"{len(called)} of 100 were dialled after {asked} lists")
    node.stop()
    return f"{len(called)} dialled"


@case("Noise, cut messages and connections by the hundred: the node goes on, and serves", 150)
def noise(world):
    """Random octets; good heads before random contents; good messages with one octet changed."""
    node, swarm = sharing(world)
    chance, before = random.Random(3), node.memory()
    good = [bytes.fromhex(text) for text in world.vector_octets("control-ok", "transfer-ok")]
    for number in range(300):
        sock = socket.socket()
        sock.settimeout(5)
        sock.bind((loopback_host(), 0))
        with sock:
            try:
                sock.connect(node.content_address)
                data = bytearray(chance.choice(good))
                kind = number % 3
                if kind == 0:
                    data = bytearray(chance.randbytes(chance.randint(1, 3000)))
                elif kind == 1:
                    data[20:] = chance.randbytes(len(data) - 20)
                else:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                sock.sendall(bytes(data))
                if number % 5:
                    sock.shutdown(socket.SHUT_WR)
                    sock.settimeout(0.2)
                    while sock.recv(65536):
                        pass
            except OSError:
                pass
    node.is_alive()
    check(node.grown(before) < SOME, f"{node.grown(before)} octets")
    check(world.peer().fetch(swarm.id, [node.content_address]) == swarm.content, "the content differs")
    node.stop()


@case("Requests for chunks without end, and a peer that does not read: bounded (9.5, 10.1)", 120)
def greedy(world):
    """2^63 chunks asked for in every frame; nothing is read; others are served meanwhile."""
    node, swarm = sharing(world, 16_000_000, 16384, function=SHA1)
    before = node.memory()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(5)
    sock.bind((loopback_host(), 0))
    world.own(sock)
    sock.connect(node.content_address)
    caller = world.caller()
    sock.sendall(wire.encode(wire.Message(wire.REQUEST, 4, caller.id, swarm.id, {
        wire.TRANSPORT_MANDATORY: swarm.transport()})))
    frame = wire.transfer(4, *[chunks.encode_chunk(chunks.request(0, (1 << 62) + at)) for at in range(200)])
    try:
        for _ in range(3000):
            sock.sendall(frame)
    except OSError:
        pass
    check(node.grown(before) < SOME, f"{node.grown(before)} octets")
    check(world.peer().fetch(swarm.id, [node.content_address]) == swarm.content, "the content differs")
    node.stop()
