"""Our own peers on each other: what is to judge a node has to be right itself. No node is started."""
import ppsp_vectors
from sockets import Wrong, check, equal
from ppsp_content import Swarm
from ppsp_http import RangeServer, fetch
from ppsp_merkle import BLAKE2B, SHA1, SHA256
from ppsp_pull_cases import SHAPES, shaped
from ppsp_udp import LIBSWIFT, STRICT
from ppsp_udp_channel import Weather
from ppsp_world import case, octets, refusing

BIG = 3_000_000


@case("Our own peers: the vectors, both ways", 60)
def self_vectors(world):
    """Every vector of the file."""
    for vector in ppsp_vectors.load(world.options.vectors):
        for found, expected in ppsp_vectors.CHECKS[vector["group"]](vector):
            equal(found, expected, f"{vector['id']} {vector['name']}")


@case("Our own peers: PULL, from one and from several", 120)
def self_pull(world):
    """Each shape of a content; then three servers of which each has some of the chunks."""
    for shape in SHAPES:
        server, swarm = world.peer(), shaped(*shape)
        server.swarms[swarm.id] = swarm
        check(world.peer().fetch(swarm.id, [server.address]) == swarm.content, f"{shape} differ")
    peers = [world.peer() for _ in range(3)]
    swarm = Swarm(octets(BIG), 16384)
    for number, peer in enumerate(peers):
        part = peer.swarms[swarm.id] = Swarm(None, 16384, root=swarm.id)
        part.proofs = swarm.proofs
        part.make_room()
        for chunk in range(number, swarm.count, 3):
            part.take(chunk, swarm.chunk(chunk), {})
    check(world.peer().fetch(swarm.id, [peer.address for peer in peers]) == swarm.content, "parts differ")


@case("Our own peers: PUSH accepted and refused", 60)
def self_push(world):
    """Each shape of a content."""
    for shape in SHAPES:
        pusher, taker, swarm = world.peer(), world.peer(accepts_push=True), shaped(*shape)
        pusher.swarms[swarm.id] = swarm
        link = pusher.dial(taker.address)
        equal(link.answer(pusher.push(link, swarm)).code, 0, "the answer to PUSH")
        check(taker.swarms[swarm.id].wait(30) and taker.swarms[swarm.id].content == swarm.content, f"{shape} differ")
    link = pusher.dial(world.peer().address)
    equal(link.answer(pusher.push(link, swarm)).code, 6, "the answer of who takes no PUSH")


@case("Our own peers: each lie is found, and the content comes from another", 240)
def self_lies(world):
    """What is noted of the liar; with him alone the content does not come."""
    swarm = Swarm(octets(BIG), 16384)
    noted = {"corrupt": "false_chunk", "unasked": "unasked", "flood": "hash_flood"}
    lies = [("corrupt", how) for how in ("some", "all", "hashes", "peaks", "short")] + [
        ("unasked", 3), ("flood", 1000), ("lacks", range(50, 90)), ("drip", 20_000), *(
            ("map", form) for form in ("all", "bitmap", "ranges", "above")), *(
            (name, True) for name in ("too_long", "wrong_swarm", "wrong_transaction", "is_mute", "is_lazy"))]
    for name, value in lies:
        liar, honest, peer = world.liar(**{name: value}), world.peer(), world.peer()
        for one in (liar, honest):
            one.swarms[swarm.id] = swarm
        found = peer.fetch(swarm.id, [liar.address, honest.address], 40, patience=2, answer=2)
        check(found == swarm.content, f"{name} {value}: the content differs")
        equal([one for one in peer.events if one[1] == honest.host], [], f"{name} {value}: what the honest one did")
        alone = world.peer()
        if name != "map" and (name, value) != ("flood", 1000):
            with refusing(f"{name} {value}: all comes from the liar"):
                alone.fetch(swarm.id, [liar.address], 3, patience=1, answer=1)
        if name in noted and name != "flood":
            check(alone.has_noted(noted[name], liar.host), f"{name} {value}: not noted, but {alone.events[:5]}")


@case("Our own peers: closed swarms", 60)
def self_closed(world):
    """With a list and without; on both sides."""
    owner, member, stranger = world.peer(demands=True), world.peer(demands=True), world.peer()
    swarm = owner.share(octets(BIG), closed=True)
    check(stranger.fetch(swarm.id, [owner.address]) == swarm.content, "who proves its ID")
    swarm.admitted = {member.id}
    check(member.fetch(swarm.id, [owner.address]) == swarm.content, "a member")
    with refusing("a stranger has the content"):
        world.peer().fetch(swarm.id, [owner.address], 3)


@case("Our own peers: UDP in both habits, with bad weather, lost third datagrams and liars", 120)
def self_udp(world):
    """1 KiB and 8 KiB chunks, SHA-1 and SHA-256; who drops option 9 does not talk with who insists on it."""
    weather = Weather(0.05, 0.05, 0.05)
    for size, chunk_size, function, habits, more in (
            (12, 1024, SHA1, LIBSWIFT, {}), (7162, 1024, SHA1, LIBSWIFT, {}), (BIG, 1024, SHA1, LIBSWIFT, {}),
            (BIG, 8192, SHA1, LIBSWIFT, {}), (BIG, 1024, SHA256, STRICT, {}), (BIG, 16384, SHA256, STRICT, {}),
            (300_000, 1024, SHA1, LIBSWIFT, {"weather": weather}),
            (300_000, 1024, SHA256, STRICT, {"weather": weather}),
            (50_000, 1024, SHA1, LIBSWIFT, {"loses_third": 1}), (50_000, 1024, SHA256, STRICT, {"loses_third": 1})):
        server = world.udp(habits=habits, weather=more.get("weather"))
        swarm = server.share(octets(size), chunk_size, function)
        peer = world.udp(habits=habits, **more)
        found = peer.fetch(Swarm(None, chunk_size, function, root=swarm.id), [server.address])
        check(found == swarm.content, f"{size} octets differ")
    for lies, habits in ((["corrupt"], STRICT), (["lacks"], STRICT), (["false-hashes"], STRICT), ([], LIBSWIFT)):
        server = world.udp(habits=habits, lies=lies)
        swarm = server.share(octets(50_000), 1024, SHA1)
        with refusing(f"{lies or 'no agreement'}, and the content comes"):
            world.udp(habits=STRICT).fetch(Swarm(None, 1024, SHA1, root=swarm.id), [server.address], 3)


@case("Our own peers: HTTP with each hash function, and each lie", 60)
def self_http(world):
    """Both manners to list uncles."""
    for function in (SHA1, SHA256, BLAKE2B):
        for minimal in (False, True):
            for size in (1, 4096, 300_001):
                web = world.web(minimal=minimal)
                swarm = web.share(Swarm(octets(size), 1024, function))
                found = fetch(Swarm(None, 1024, function, root=swarm.id), web.url, chunks_at_a_time=37)
                check(found == swarm.content, f"{size} octets differ")
    for lie in ("corrupt", "false-hashes", "no-hashes", "whole", "short", "not-found"):
        web = world.own(RangeServer(world.peer(listening=False).host, lies=[lie]))
        swarm = web.share(Swarm(octets(100_000), 1024))
        try:
            fetch(Swarm(None, 1024, root=swarm.id), web.url)
        except Wrong:
            continue
        raise Wrong(f"{lie} is not found")
