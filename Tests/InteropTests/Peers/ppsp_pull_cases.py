"""PULL between a node and foreign peers (ppsp.md sections 8.1 and 9.1 to 9.4)."""
import os
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import Wrong, check, equal
from ppsp_cases import QUERY, begin, sharing, still_answers
from ppsp_content import Ranges, Swarm
from ppsp_fetch import Fetch
from ppsp_merkle import BLAKE2B, SHA1, SHA256, peaks, range_of, uncles
from ppsp_world import case, octets, settle

SAVED = 5.0     # seconds within which what is proved is durable
# Size, chunk size, hash function: less than a chunk, exactly some, one octet more, the smallest and the largest chunks.
SHAPES = (
    (1, 16384, SHA256), (16383, 16384, SHA256), (16384, 16384, SHA256), (16385, 16384, SHA256),
    (7162, 1024, SHA1), (4096, 512, SHA256), (153_600, 512, BLAKE2B), (3_000_001, 65536, BLAKE2B),
    (5_000_000, 1 << 20, SHA256), (2_097_152, 1024, SHA1), (6_400_000, None, None))


def shaped(size, chunk_size, function):
    return Swarm(octets(size), chunk_size or 16384, SHA256 if function is None else function)


@case("A foreign peer fetches by PULL, in random order (8.1, 9.3)", 240)
def pull(world):
    """Contents of less than a chunk, an exact multiple and more, of each hash; the swarm ID is the Merkle root."""
    node = world.node()
    for number, (size, chunk_size, function) in enumerate(SHAPES):
        data = octets(size)
        swarm = node.add(data, chunk_size, function)
        peer = world.peer()
        found = peer.fetch(swarm.id, [node.content_address], 60, order="random" if number % 2 else "ascending")
        check(found == data, f"{size} octets in chunks of {chunk_size} differ")
        equal(peer.events, [], "what was wrong")
    node.stop()


@case("A foreign peer serves by PULL: `content fetch SWARM@HOST:PORT` (8.1, program.md 1)", 300)
def serve(world):
    """The same contents the other way; only what a chunk needs is asked for, and each chunk once."""
    node = world.node()
    for shape in SHAPES:
        peer, swarm = world.peer(), shaped(*shape)
        peer.swarms[swarm.id] = swarm
        check(node.fetch(swarm.id, peer.address) == swarm.content, f"{shape} differ")
        sent = sum(session.counts["sent"] for link in peer.links for session in link.sessions.values())
        check(sent <= swarm.count + 16 + swarm.count // 50, f"{sent} chunks were sent, of {swarm.count}")
    node.stop()


@case("`content fetch` to standard output, in order (program.md 1)", 120)
def standard_output(world):
    """The octets and nothing else, although they come out of order; a big one through a pipe."""
    node, peer = world.node(), world.peer()
    swarm = peer.share(octets(20_000_000), 16384)
    found = node.command("content", "fetch", f"{swarm.id.hex()}@{peer.name}", "-", seconds=100, text=False)
    check(found == swarm.content, f"{len(found)} octets that differ")
    node.stop()


@case("`content list` and `content remove`; exit status 1 for no, 64 for usage, 69 without a node (program.md 1)", 120)
def commands(world):
    """What is there is listed; a removed swarm is OBJECT NOT FOUND; a fetch that nobody can serve is no for ever."""
    node, swarm = sharing(world)
    check(swarm.id.hex() in node.command("content", "list", "--json"), "content list does not name the swarm")
    link = world.caller().dial(node.content_address)
    still_answers(link, swarm)
    node.command("content", "remove", swarm.id.hex())
    link = world.caller().dial(node.content_address)
    equal(link.ask(swarm.id, QUERY).code, wire.NOT_FOUND, "the answer for what was removed")
    check(swarm.id.hex() not in node.command("content", "list", "--json"), "content list names what was removed")
    check(os.path.exists(node.place + "/file-1"), "the file itself was removed")
    for words, status in ((("content", "remove", swarm.id.hex()), 1), (("content", "fetch", "xyz"), 64),
                          (("content", "add",), 64), (("content", "add", "/no/such/file"), 74),
                          (("content", "add", node.file(b"")), 1), (("content", "add", "--hash", "md5", "x"), 64),
                          (("content", "add", "--chunk-size", "1000", node.file(b"x")), 64)):
        try:
            node.command(*words, status=status)
        except Wrong as error:
            # 66, 65 and 74 are all said of files by well-loved programs; what counts is that it is not 0.
            check("status 0" not in str(error), str(error))
    node.stop()
    node.command("content", "list", status=69)


@case("The first frames: all peaks left to right, then uncles highest first, each hash once (9.3)", 90)
def first_frames(world):
    """Of 300 chunks, one by one: with each comes what the receiver lacks, and the last message is DATA."""
    node, swarm = sharing(world, 153_600, 512)
    link = world.caller().dial(node.content_address)
    begin(link, swarm, 99)
    seen, at = set(), 0
    for chunk in (150, 151, 0, 299, 149, 150):
        link.send_chunks(99, chunks.request(chunk, chunk))
        end, data = link.await_chunk(chunks.DATA, since=at)
        hashes = [one for one in link.arrived[at:end] if one.type == chunks.INTEGRITY]
        equal((data.first, len(data.data)), (chunk, 512), "the chunk")
        expected = [*(peaks(300) if not seen else ()), *uncles(chunk, 300)]
        nodes = [(one.first, one.last) for one in hashes]
        check(not seen & set(nodes), f"hashes of {nodes} were sent before")
        order = [node for node in (range_of(*node) for node in expected) if node in nodes]
        equal(nodes, order, f"hashes with chunk {chunk}")
        for one in hashes:
            node_of = (one.last - one.first + 1).bit_length() - 1, one.first // (one.last - one.first + 1)
            equal(one.value.hex(), swarm.proofs[node_of].hex(), f"hash of {one.first}-{one.last}")
        check(seen or len(nodes) == len(expected), f"{len(nodes)} hashes with the first chunk, not {len(expected)}")
        seen, at = seen | set(nodes), end + 1
    link.send_chunks(99, chunks.request(0, 299))
    node.until("all chunks", lambda: len([one for one in link.arrived if one.type == chunks.DATA]) == 306)
    nodes = [(one.first, one.last) for one in link.arrived if one.type == chunks.INTEGRITY]
    equal(len(nodes), len(set(nodes)), "hashes that were sent, and different ones")
    node.stop()


@case("REQUEST in order, CANCEL, what is not there, and two transfers on a connection (9.1, 9.2)", 90)
def requests(world):
    """Chunks come in the order of requests; behind the end is nothing; a second transfer ID begins with its peaks."""
    node, swarm = sharing(world)
    other = node.add(octets(50_000, 2), 1024, SHA1)
    link = world.caller().dial(node.content_address)
    begin(link, swarm, 1)
    begin(link, other, 2)
    link.send_chunks(1, chunks.request(100, 109), chunks.request(5, 5), chunks.request(290, 1 << 62))
    link.send_chunks(2, chunks.request(0, 3))
    node.until("all chunks", lambda: len([one for one in link.arrived if one.type == chunks.DATA]) == 18)
    numbers = [one.first for one in link.arrived if one.type == chunks.DATA and one.first > 3]
    equal(numbers, [*range(100, 110), 5, 290, 291, 292], "chunks of the first swarm")
    equal([one.first for one in link.arrived if one.type == chunks.DATA and one.first <= 3], [0, 1, 2, 3],
          "chunks of the second swarm")
    for one in link.arrived:
        if one.type == chunks.DATA:
            where = other if one.first <= 3 else swarm
            check(one.data == bytes(where.chunk(one.first)), f"chunk {one.first} is another one")
    link.send_chunks(1, chunks.request(0, 292), chunks.cancel(0, 292), chunks.request(7, 7))
    node.until("chunk 7", lambda: [one for one in link.arrived[18:] if one.type == chunks.DATA and one.first == 7])
    still_answers(link, swarm)
    link.send_chunks(3, chunks.request(0, 0))
    link.closed()
    node.stop()


@case("ACK is ignored; HANDSHAKE, PEX and what is unknown end the connection; identifiers may be there (9.1, 9.2)", 60)
def other_messages(world):
    """A TRANSFER with peer ID and swarm ID; an empty REQUEST range is none; each wrong type on its own connection."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    begin(link, swarm, 1)
    content = link.peer.id + swarm.id + chunks.encode_chunk(chunks.Chunk(chunks.ACK, 0, 3, 17)) + chunks.encode_chunk(
        chunks.request(4, 4))
    link.write(wire.HEAD.pack(1, wire.TRANSFER, 2, 0, len(content), 1, 32, 0, 32) + content)
    equal(link.await_chunk(chunks.DATA)[1].first, 4, "the chunk")
    for data in (b"\x05" + bytes(6), b"\x06", b"\x0c" + bytes(18), b"\x0d" + bytes(2), b"\x0e", b"\xff",
                 b"\x08" + (9).to_bytes(8, "big") + (3).to_bytes(8, "big")):
        link = world.caller().dial(node.content_address)
        begin(link, swarm, 1)
        link.write(wire.transfer(1, data))
        link.closed()
    for count in (1, 3):
        link = world.caller().dial(node.content_address)
        begin(link, swarm, 1)
        content = 2 * chunks.encode_chunk(chunks.request(0, 0))
        link.write(wire.HEAD.pack(1, wire.TRANSFER, count, 0, len(content), 1, 0, 0, 0) + content)
        link.closed()
    node.stop()


@case("What is outstanding is bounded by the other side's request_window (6, 9.4)", 60)
def windows(world):
    """A peer with a window of 64 KiB that answers no request for a chunk is asked for four of 16 KiB."""
    node, peer = world.node(), world.liar(is_lazy=True)
    peer.window = 65536
    swarm = peer.share(octets(3_000_000), 16384)
    world.begin(node, swarm.id, peer.address)
    link = peer.take()
    node.until("a request", lambda: any(one.asked_of_us for one in link.sessions.values()))
    settle(3)
    session = next(one for one in link.sessions.values() if one.asked_of_us)
    check(1 <= session.asked_of_us <= 4, f"{session.asked_of_us} chunks are asked for")
    node.stop()


@case("`content fetch SWARM@PEERID` finds the address in the book (decision 31)", 60)
def by_peer_id(world):
    """Who has been connected before is found by the peer ID."""
    node, peer = world.node(), world.peer()
    first, second = peer.share(octets(100_000), 16384), peer.share(octets(100_000, 2), 16384)
    check(node.fetch(first.id, peer.address) == first.content, "the first content differs")
    found = node.command("content", "fetch", f"{second.id.hex()}@{peer.id.hex()}", "-", text=False)
    check(found == second.content, "the second content differs")
    node.stop()


@case("HAVE: what is proved is told, and what others tell is asked for (4, 8, 8.1)", 120)
def haves(world):
    """A peer that has nothing is watched; each chunk that it tells, by HAVE or ADVERTISE, is asked for; and a third
    one, which has nothing, is told of all by the node."""
    node = world.node()
    whole = Swarm(octets(100_000), 1024)
    peer = world.peer()
    part = peer.swarms[whole.id] = Swarm(None, 1024, root=whole.id)
    part.proofs = whole.proofs
    part.make_room()
    fetch = world.begin(node, whole.id, peer.address)
    link = peer.take()
    node.until("a transfer", lambda: list(link.sessions.values()), 20)
    session = list(link.sessions.values())[0]
    watcher = world.caller().dial(node.content_address)
    begin(watcher, whole, 5)
    settle(1)
    equal(session.counts["REQUEST"], 0, "requests for what nobody has")
    # While nothing is asked for, nothing has been selected; HAVE needs a transfer, ADVERTISE does not.
    for first, last, by_have in ((0, 0, False), (10, 39, True), (40, 40, False), (1, 9, True), (41, 97, True)):
        for chunk in range(first, last + 1):
            part.take(chunk, whole.chunk(chunk), {})
        part.fresh.clear()
        if by_have:
            peer.say(session, chunks.have(first, last))
        else:
            link.post(wire.encode(link.message(wire.ADVERTISE, whole.id, {wire.DATA_AVAILABILITY: wire.Availability(
                wire.RANGES, wire.UPDATE, 1024, 0, 98, ((first, last),))})))
        node.until(f"requests for {first}-{last}", lambda: session.counts["sent"] >= last - first + 1, 10)
    check(fetch.wait(30) == whole.content, "the content differs")
    node.until("HAVE of all chunks", lambda: len(told(watcher)) == 98, 10)
    node.stop()


def map_of(world, node, swarm):
    """What a node says to have now."""
    link = world.caller().dial(node.content_address)
    answer = link.ask(swarm.id, {wire.DATA_AVAIL_QUERY: None})
    link.close()
    found = Ranges()
    if answer.code == 0:
        found.apply(answer.methods[wire.DATA_AVAILABILITY])
    return found


def told(link):
    """What a node has told by HAVE and ADVERTISE."""
    found = Ranges((one.first, one.last) for one in link.arrived if one.type == chunks.HAVE)
    for one in link.seen:
        if one.kind == wire.ADVERTISE and wire.DATA_AVAILABILITY in one.methods:
            for pair in one.methods[wire.DATA_AVAILABILITY].ranges:
                found.add(*pair)
    return found


@case("Three foreign peers with a part each, and one node that has then all (8.1)", 120)
def parts(world):
    """Each chunk is asked of who has it; the swarm is complete, and then served by the node."""
    whole = Swarm(octets(3_000_000), 16384)
    peers = []
    for number in range(3):
        peer = world.peer()
        part = peer.swarms[whole.id] = Swarm(None, 16384, root=whole.id)
        part.proofs = whole.proofs
        part.make_room()
        for chunk in range(number, whole.count, 3):
            part.take(chunk, whole.chunk(chunk), {})
        peers.append(peer)
    node = world.node(peers=[peer.name for peer in peers])
    check(node.fetch(whole.id) == whole.content, "the content differs")
    for peer in peers:
        equal(peer.events, [], "what was wrong")
        sent = sum(session.counts["sent"] for link in peer.links for session in link.sessions.values())
        check(sent <= whole.count // 3 + 20, f"{sent} chunks of one peer")
    check(world.peer().fetch(whole.id, [node.content_address]) == whole.content, "what the node serves")
    node.stop()


@case("CHOKE voids what is asked for; nothing is asked until UNCHOKE (8.1, 9.2)", 120)
def choke(world):
    """The node is choked in the middle; then it asks again for what it did not get."""
    node, peer = world.node(), world.liar(drip=400_000)
    swarm = peer.share(octets(2_000_000), 16384)
    fetch = world.begin(node, swarm.id, peer.address)
    link = peer.take()
    node.until("some chunks", lambda: any(one.counts["sent"] > 5 for one in link.sessions.values()), 20)
    session = next(one for one in link.sessions.values() if one.counts["sent"])
    peer.choke(session)
    node.until("CHOKE on its way", lambda: not link.outbox, 20)
    settle(2)
    before = session.counts["REQUEST"]
    settle(3)
    equal(session.counts["REQUEST"], before, "requests while it is choked")
    check(not session.wanted or session.counts["sent"] < swarm.count, "all was sent before CHOKE")
    peer.drip = None
    session.wanted.clear()
    peer.choke(session, False)
    check(fetch.wait(60) == swarm.content, "the content differs")
    check(session.counts["REQUEST"] > before, "nothing is asked after UNCHOKE")
    node.stop()


@case("Upload slots: more peers than slots are choked, and all are served in the end (8, 9.4)", 180)
def upload_slots(world):
    """One slot, five peers, one of them alone at first: free slots are filled at once (decision 31)."""
    node, swarm = sharing(world, 8_000_000, 16384, slots=1)
    first = world.peer()
    started = time.monotonic()
    check(first.fetch(swarm.id, [node.content_address]) == swarm.content, "the content differs")
    check(time.monotonic() - started < 8, "a free slot is not filled at once")
    peers = [world.peer() for _ in range(5)]
    fetches = [Fetch(peer, swarm.id, patience=100) for peer in peers]
    for fetch in fetches:
        fetch.add(node.content_address)
    for fetch in fetches:
        check(fetch.wait(120) == swarm.content, "the content differs")
    choked = sum(session.counts["CHOKE"] for fetch in fetches for link in fetch.links
                 for session in link.sessions.values())
    node.stop()
    return f"{choked} times CHOKE"


@case("End game: the last chunks are asked of two peers, and CANCEL tells the slower one (9.4)", 120)
def end_game(world):
    """One of two peers is very slow; the content is there long before it has sent its part."""
    swarm = Swarm(octets(1_600_000), 16384)
    slow, fast = world.liar(drip=8_000), world.peer()
    for peer in (slow, fast):
        peer.swarms[swarm.id] = swarm
    node = world.node(peers=[slow.name, fast.name])
    started = time.monotonic()
    check(node.fetch(swarm.id, seconds=100) == swarm.content, "the content differs")
    took = time.monotonic() - started
    sessions = [session for link in slow.links for session in link.sessions.values()]
    cancelled = sum(session.counts["CANCEL"] + session.counts["HAVE"] for session in sessions)
    asked = sum(session.counts["REQUEST"] for session in sessions)
    check(not asked or cancelled, "who is asked in vain is not told")
    node.stop()
    return f"{took:.1f} s"


@case("Both ways on one connection: each side fetches what the other has (3, 8.1)", 120)
def both_ways(world):
    """The node's peer asks it for one content on the connection on which the node fetches another."""
    node, swarm = sharing(world, 2_000_000, 16384)
    peer = world.peer()
    other = peer.share(octets(2_500_000, 5), 16384)
    fetch = world.begin(node, other.id, peer.address)
    link = peer.take()
    back = Fetch(peer, swarm.id)
    back.over(link)
    check(back.wait(60) == swarm.content, "what the peer fetches")
    check(fetch.wait(60) == other.content, "what the node fetches")
    equal(peer.events, [], "what was wrong")
    node.stop()


@case("Killed and started again: it goes on where it was, and does not fetch again what it had (done means)", 180)
def resumes(world):
    """SIGKILL in the middle; after the start the rest is asked for, without a command."""
    node, peer = world.node(), world.liar(drip=300_000)
    swarm = peer.share(octets(6_000_000), 16384)
    world.begin(node, swarm.id, peer.address)
    peer.take()

    def sessions():
        return [one for link in list(peer.links) for one in list(link.sessions.values())]

    def had_now():
        settle(0.1)
        return len(map_of(world, node, swarm))
    node.until("a third", lambda: had_now() > swarm.count // 3, 60)
    # What it says to have is durable when the rows are committed: some seconds are enough for that.
    had, old = had_now(), sessions()
    settle(SAVED)
    node.kill()
    before = sum(one.counts["sent"] for one in old)
    peer.drip = None
    node.start()
    fetch = world.begin(node, swarm.id, peer.address)
    check(fetch.wait(60) == swarm.content, "the content differs")
    again = sum(one.counts["sent"] for one in sessions() if one not in old)
    check(again <= swarm.count - had + 100, f"{again} chunks were sent again, of {swarm.count}; it had {had}, {before}")
    node.stop()
    return f"{had} before, {again} after, of {swarm.count}"
