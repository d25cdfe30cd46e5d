"""Big contents with a liar among the sources, and swarms of real nodes, some of which are killed (done means)."""
import hashlib
import mmap
import os
import random
import re
import time

import ppsp_wire as wire
from sockets import Wrong, check, equal
from ppsp_content import Swarm
from ppsp_http_cases import http_peer
from ppsp_merkle import SHA256, Tree
from ppsp_pull_cases import SAVED, map_of
from ppsp_push_cases import pushed
from ppsp_udp import STRICT
from ppsp_udp_cases import udp_only
from ppsp_world import ADD, BANS, CHUNK_SIZE, FETCH, TAKES_PUSH, case, closed, octets, settle, where

CHUNK = 16384


def big(world):
    return Swarm(octets(1 << 20) * (world.size >> 20) + b"x", CHUNK)


def rate(world, started):
    took = time.monotonic() - started
    return f"{world.size >> 20} MiB in {took:.1f} s, {world.size / took / 1e6:.0f} MB/s"


@case("A big content by PULL from three sources, of which one lies (done means)", 300)
def big_pull(world):
    """16 MiB; with --slow 256 MiB. The liar is banned, the content byte-identical; then the node serves it."""
    swarm = big(world)
    liar, *honest = world.liar(corrupt="some"), *slow_peers(world, 2)
    for peer in (liar, *honest):
        peer.swarms[swarm.id] = swarm
    node = world.node(peers=[peer.name for peer in (liar, *honest)])
    found = without(world, node, swarm, liar, honest)
    started = time.monotonic()
    check(world.peer().fetch(swarm.id, [node.content_address], 250) == swarm.content, "what the node serves")
    node.stop()
    return f"fetched {found}, served {rate(world, started)}"


def slow_peers(world, count, **options):
    """Peers that say what is right, slowly, so that whoever lies beside them is asked for enough."""
    return [world.liar(drip=1_000_000, **options) for _ in range(count)]


def without(world, node, swarm, liar, honest):
    """Fetches all, at full speed when the liar is banned: two lies are needed for that. The rate."""
    started = time.monotonic()
    fetch = world.begin(node, swarm.id)
    node.has_banned(liar)
    for peer in honest:
        peer.drip = None
    check(fetch.wait(250) == swarm.content, "the content differs")
    for peer in honest:
        node.has_not_banned(peer)
    return rate(world, started)


@case("A big content by PUSH, to the node from two, of which one lies (done means)", 300)
def big_push(world):
    """Both push at once; what is false is not kept, who lies is banned, the rest comes from the other."""
    node = world.node(**TAKES_PUSH)
    swarm = big(world)
    liar, honest = world.liar(corrupt="some"), world.peer()
    started = time.monotonic()
    links = []
    for peer in (liar, honest):
        peer.swarms[swarm.id] = swarm
        link = peer.dial(node.content_address)
        number = peer.push(link, swarm)
        equal(link.answer(number).code, 0, "the answer to PUSH")
        links.append(link)
        if peer is liar:
            # The faster one would leave nothing for it to lie about.
            node.wait("chunk_refused", peer=liar.id.hex())
    session, = links[1].sessions.values()
    node.until("HAVE of all chunks", lambda: len(session.remote) == swarm.count, 250)
    found = rate(world, started)
    node.has_banned(liar)
    node.has_not_banned(honest)
    check(world.peer().fetch(swarm.id, [node.content_address], 250) == swarm.content, "what the node serves")
    node.stop()
    return found


@case("A big content by HTTP, with a server that lies (done means)", 300)
def big_http(world):
    """Two servers; the content is byte-identical, and so is what a client gets of the node afterwards."""
    swarm = big(world)
    false, _ = http_peer(world, swarm, lies=["corrupt"])
    good, web = http_peer(world, swarm)
    node = world.home(has_http=True, peers=[false.name, good.name]).start()
    started = time.monotonic()
    check(node.fetch(swarm.id, seconds=250) == swarm.content, "the content differs")
    check(web.requests, "nothing was asked by HTTP")
    node.stop()
    return rate(world, started)


@case("A big content in a closed swarm, with a liar who is a member (done means, 10.2)", 300)
def big_closed(world):
    """The node is let in by both, finds out who lies, and lets in only members itself."""
    swarm = big(world)
    member = world.peer()
    liar, honest = world.liar(corrupt="some", demands=True), *slow_peers(world, 1, demands=True)
    for peer in (liar, honest):
        peer.swarms[swarm.id] = swarm
    node = world.node(peers=[liar.name, honest.name], **closed(member, liar, honest))
    found = without(world, node, swarm, liar, [honest])
    answer = world.caller().dial(node.content_address).ask(swarm.id, {wire.DATA_AVAIL_QUERY: None})
    equal(answer.code, wire.AUTHENTICATE, "the answer to a stranger")
    check(member.fetch(swarm.id, [node.content_address], 250) == swarm.content, "what a member is served")
    node.stop()
    return found


@case("A big content over UDP, with a liar over TCP (9.6)", 300)
def big_udp(world):
    """A quarter of the size, since a foreign peer in Python is slow; chunks of 8 KiB."""
    swarm = Swarm(octets(1 << 20) * max(1, world.size >> 22), 8192)
    peer, udp = udp_only(world, swarm, STRICT)
    liar = world.liar(corrupt="all")
    liar.swarms[swarm.id] = swarm
    node = world.home(has_udp=True, peers=[peer.name, liar.name]).start()
    started = time.monotonic()
    check(node.fetch(swarm.id, seconds=250) == swarm.content, "the content differs")
    took = time.monotonic() - started
    node.has_not_banned(peer)
    node.stop()
    return f"{len(swarm.content) / took / 1e6:.0f} MB/s"


@case("One seed and eight fetchers, three of them killed and started again: all complete, each resumes (done means)",
      420)
def nine_nodes(world):
    """Nine processes. Each knows two others; uploads are slow, so that there is time, and they help each other.
    Who is killed has SIGKILL, and after its start it has what it had: it is asked for its map before and after."""
    size = max(16 << 20, world.size // 8)
    limits = {"limits": {"uploadBytesPerSecond": size // 16}}
    seed = world.node(slots=8, sections=limits)
    swarm = seed.add(octets(1 << 20) * (size >> 20) + b"end", CHUNK)
    fetchers = [world.home(sections=limits) for _ in range(8)]
    for number, node in enumerate(fetchers):
        others = [fetchers[(number + 1) % 8], fetchers[(number + 3) % 8]]
        node.change(peers=[seed.identity] * (number % 2 == 0) + [one.identity for one in others]).start()
    started = time.monotonic()
    fetches = [world.begin(node, swarm.id) for node in fetchers]
    victims, befores = random.Random(5).sample(range(8), 3), []
    for number in victims:
        node = fetchers[number]
        had = node.until(
            f"a part in fetcher {number}", lambda node=node: part_of(world, node, swarm) or settle(0.2), 60)
        settle(SAVED)
        fetches[number].close()
        node.kill()
        befores.append(had)
    settle(0.5)
    for number, had in zip(victims, befores):
        node = fetchers[number].start()
        node.until(f"state of fetcher {number} with what it had", lambda node=node, had=had: keeps(
            map_of(world, node, swarm), had) or settle(0.2), 3)
        fetches[number] = world.begin(node, swarm.id)
    for number, fetch in enumerate(fetches):
        try:
            check(fetch.wait(300) == swarm.content, f"the content of fetcher {number} differs")
        except Wrong as error:
            words = "".join(fetchers[number].complaints)[-1500:]
            raise Wrong(f"fetcher {number} of {victims} killed: {error} {words}") from None
    took = time.monotonic() - started
    for node in (seed, *fetchers):
        bans = [line for event, _ in BANS for line in node.of(event)]
        check(not bans, f"{node.host} bans one of them: {bans[:1]}")
        node.stop()
    return f"{size >> 20} MiB in {took:.1f} s, killed with {[len(had) for had in befores]} of {swarm.count} chunks"


@case("A content of more than 4 GiB, from node to node (13)", 900, slow=True)
def gigabytes(world):
    """4 GiB and five octets, most of them zero; both files have the same digest."""
    seed, node = world.node(), world.node()
    path, size = os.path.join(seed.place, "big"), (4 << 30) + 5
    with open(path, "wb") as file:
        file.truncate(size)
        for at in (0, 1 << 30, (1 << 31) - 7, (1 << 32) - 3):
            file.seek(at)
            file.write(octets(8, at))
    root = re.search(r"[0-9a-f]{64}", seed.command(*ADD, path, CHUNK_SIZE, str(1 << 20), seconds=300))[0]
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        equal(root, Tree(content, 1 << 20, SHA256).root.hex(), "the swarm ID")
    into, started = os.path.join(node.place, "fetched"), time.monotonic()
    node.command(*FETCH, where(bytes.fromhex(root), seed.content_address), into, seconds=500)
    took = time.monotonic() - started
    with open(path, "rb") as one, open(into, "rb") as other:
        equal(*(hashlib.file_digest(file, "sha256").hexdigest() for file in (one, other)), "digests")
    seed.stop()
    node.stop()
    return f"{size / took / 1e6:.0f} MB/s"


def keeps(now, before):
    return all(chunk in now for first, last in before for chunk in range(first, last + 1))


def part_of(world, node, swarm):
    """The map of a node that has a tenth, and not all; what is complete is as good."""
    found = map_of(world, node, swarm)
    return found if len(found) > swarm.count // 10 else None


@case("A node that is pushed to tells the others, which fetch from it (8, 8.2)", 120)
def relay(world):
    """A foreign peer pushes to the first node; a second, which knows only the first, completes from it meanwhile."""
    first = world.node(**TAKES_PUSH)
    second = world.node(peers=[first.identity])
    peer, link, swarm, answer = pushed(world, first, 8_000_000)
    equal(answer.code, 0, "the answer to PUSH")
    fetch = world.begin(second, swarm.id)
    check(fetch.wait(90) == swarm.content, "the content differs")
    first.stop()
    second.stop()
