"""What is said before a chunk goes (ppsp.md sections 2 to 7): a node that shares, and callers led by the hand."""
import random
import time

import ppsp_vectors
import ppsp_wire as wire
from sockets import Wrong, check, equal
from ppsp_content import Swarm
from ppsp_merkle import BLAKE2B, SHA1, SHA256
from ppsp_world import case, octets, settle

QUERY = {wire.DATA_AVAIL_QUERY: None}
# Each query, and what answers it.
PAIRS = {
    wire.DATA_AVAIL_QUERY: (None, wire.DATA_AVAILABILITY), wire.PROPERTY_QUERY: (None, wire.PROPERTY_PROVISION),
    wire.PEERLIST_QUERY: (wire.PeerQuery(), wire.PEERLIST_PROVISION),
    wire.TRANSPORT_PARAMETER: (None, wire.TRANSPORT_PARAMETER)}
NOTHING = wire.Availability(wire.NONE)


def sharing(world, size=300_000, chunk_size=1024, function=SHA256, **settings):
    """A node with one content: the node, and the swarm."""
    node = world.node(**settings)
    return node, node.add(octets(size), chunk_size, function)


def still_answers(link, swarm, peer=None):
    """The connection is as good as before. `peer`: who we have said to be on it."""
    number = random.getrandbits(64)
    answer = link.said(wire.encode(wire.Message(wire.REQUEST, number, peer or link.peer.id, swarm.id, QUERY)), number)
    equal((answer.code, answer.swarm), (0, swarm.id), "the answer to a request after it")
    return answer


@case("Each method alone; one provision per query; nothing that was not asked for (2, 8.1)")
def methods_alone(world):
    """Without a query the answer has no methods; a provision alone is accepted; the header is the one of section 3."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    for code, (body, answered) in PAIRS.items():
        answer = link.ask(swarm.id, {code: body})
        equal((answer.code, set(answer.methods)), (0, {answered}), f"what answers {wire.METHOD_NAMES[code]}")
        equal((answer.swarm, len(answer.peer)), (swarm.id, 32), "swarm and peer ID")
    for methods in ({wire.DATA_AVAILABILITY: NOTHING}, {wire.PROPERTY_PROVISION: {wire.SOFTWARE: "x"}}):
        answer = link.ask(swarm.id, methods)
        equal((answer.code, answer.methods), (0, {}), f"what answers {methods}")
    answer = link.ask(swarm.id, {wire.TRANSPORT_MANDATORY: swarm.transport()})
    equal((answer.code, set(answer.methods)), (0, {wire.TRANSPORT_MANDATORY}), "what answers TRANSPORT_MANDATORY")
    node.stop()


@case("The first arrow: all six in one REQUEST; map, properties, peers and transport in one answer (8.1)")
def first_arrow(world):
    """ALL with base 0 and the number of chunks; chunk size, content length; the asker is in no list of peers."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    answer = link.ask(swarm.id, {
        wire.DATA_AVAILABILITY: NOTHING, wire.PROPERTY_PROVISION: {wire.SOFTWARE: "x", wire.NONCE_CODE: bytes(32)},
        wire.TRANSPORT_PARAMETER: [swarm.transport()], **{code: body for code, (body, _) in PAIRS.items()
                                                          if code != wire.TRANSPORT_PARAMETER}})
    equal((answer.code, set(answer.methods)), (0, {answered for _, answered in PAIRS.values()}), "the answer")
    body = answer.methods[wire.DATA_AVAILABILITY]
    equal((body.format, body.flags, body.chunk_size, body.base, body.count), (wire.ALL, 0, 1024, 0, 293), "the map")
    equal(answer.methods[wire.PEERLIST_PROVISION] or [], [], "peers")
    entry, = answer.methods[wire.TRANSPORT_PARAMETER]
    equal((entry.id, entry.get(wire.CHUNK_SIZE), entry.get(wire.HASH, 2), entry.get(wire.LENGTH, 300_000)),
          (wire.TCP, 1024, SHA256, 300_000), "the transport")
    check(len(answer.methods[wire.PROPERTY_PROVISION].get(wire.NONCE_CODE, b"")) == 32, "no nonce (10.2)")
    node.stop()


@case("Unknown swarm: OBJECT NOT FOUND, and the connection stays open (4, 7)")
def unknown_swarm(world):
    """No methods, the request's transaction ID and swarm ID, the sender's own peer ID; of 20, 32 and 64 octets."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    for size in (20, 32, 64, 1, 1024):
        root = octets(size)
        for methods in (QUERY, {wire.PEERLIST_QUERY: wire.PeerQuery()}, {wire.TRANSPORT_PARAMETER: None}):
            answer = link.ask(root, methods)
            equal((answer.code, answer.methods, answer.swarm), (wire.NOT_FOUND, {}, root), "the answer")
    still_answers(link, swarm)
    node.stop()


@case("Every reject vector of control and transfer, against a running node (13, control-reject, transfer-reject)", 240)
def reject_vectors(world):
    """The response code; then the end after 1 and 2, and the connection open after 3. RESPONSE, ADVERTISE and TRANSFER
    that are wrong end the connection; nothing is said to RESPONSE and TRANSFER."""
    node, swarm = sharing(world)
    vectors = ppsp_vectors.load(world.options.vectors, "control-reject")
    for vector in vectors:
        try:
            reject(world, node, swarm, vector)
        except Wrong as error:
            raise Wrong(f"{vector['id']} {vector['name']}: {error}") from None
    for vector in ppsp_vectors.load(world.options.vectors, "transfer-reject"):
        caller = world.caller()
        link = caller.dial(node.content_address)
        begin(link, swarm, int(vector["hex"][16:32], 16))
        link.write(bytes.fromhex(vector["hex"]))
        try:
            link.closed()
        except Wrong as error:
            raise Wrong(f"{vector['id']} {vector['name']}: {error}") from None
        equal((link.stray, link.arrived), ([], []), f"{vector['id']} {vector['name']}: what is said to it")
    node.is_alive()
    still_answers(world.caller().dial(node.content_address), swarm)
    node.stop()
    return f"{len(vectors)} and 8 vectors"


def reject(world, node, swarm, vector):
    data = bytes.fromhex(vector["hex"])
    link = world.caller().dial(node.content_address)
    kind, number = (data[1], int.from_bytes(data[8:16], "big")) if data else (0, 0)
    if vector["expect"] == "incomplete":
        link.write(data)
        settle(0.3)
        equal((link.end, link.stray), (None, []), "what is said to half a message")
        return
    code = wire.RESPONSES.index(vector["error"])
    if kind in (wire.RESPONSE, wire.ADVERTISE):
        link.write(data)
        link.closed()
        check(not link.stray or kind == wire.ADVERTISE and link.stray[0].code == code, f"answer {link.stray}")
        return
    link.write(data)
    node.until("an answer", lambda: link.stray or link.end, 20)
    check(link.stray, f"no answer, {link.state}")
    answer = link.stray[0]
    equal((answer.code, answer.methods, len(answer.peer)), (code, {}, 32), "the answer")
    check(answer.transaction in (number, 0) if code in (1, 2) else answer.transaction == number, f"{answer}")
    check(answer.swarm in (b"", data[20 + data[16]:][:int.from_bytes(data[18:20], "big")]), f"swarm of {answer}")
    if code in (wire.SYNTAX, wire.VERSION_REFUSED):
        link.closed()
    else:
        still_answers(link, swarm, data[20:52])


def begin(link, swarm, number, **options):
    """A transfer under this ID, by the mandatory transport."""
    session = link.session(number, swarm, **options)
    answer = link.said(wire.encode(link.message(
        wire.REQUEST, swarm.id, {wire.TRANSPORT_MANDATORY: swarm.transport()}, number)), number)
    equal(answer.code, 0, "the answer to TRANSPORT_MANDATORY")
    return session


@case("Every good vector of control, against a running node (13, control-ok)", 120)
def good_vectors(world):
    """A REQUEST for what is not there: OBJECT NOT FOUND; a RESPONSE to nothing is dropped; the connection goes on."""
    node, swarm = sharing(world)
    for vector in ppsp_vectors.load(world.options.vectors, "control-ok"):
        data, peer = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["fields"]["peer_id"])
        link = world.caller().dial(node.content_address)
        if vector["fields"]["type"] == "REQUEST":
            answer = link.said(data, int(vector["fields"]["transaction_id"], 16))
            equal((answer.code, answer.swarm.hex()), (wire.NOT_FOUND, vector["fields"]["swarm_id"]), vector["id"])
        else:
            link.write(data)
        still_answers(link, swarm, peer)
        codes = {one.code for one in link.stray}
        has_offer = any("TRANSPORT" in one["method"] for one in vector["fields"]["methods"])
        check(not codes or has_offer and vector["fields"]["type"] == "ADVERTISE" and codes <= {
            wire.FORBIDDEN, wire.NOT_FOUND}, f"{vector['id']}: it is answered with {codes}")
    node.stop()


@case("Messages split at every byte, and joined (13, stream)", 120)
def octet_by_octet(world):
    """A request cut at each place, octet by octet, and many in one piece: each is answered in its turn."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    data = wire.encode(link.message(wire.REQUEST, swarm.id, PAIRS_ASKED, 7))
    number = 0
    for cut in range(1, len(data)):
        number += 1
        message = data[:8] + number.to_bytes(8, "big") + data[16:]
        link.write(message, piece=cut)
        node.until("an answer", lambda: len(link.stray) == number)
        equal((link.stray[-1].code, link.stray[-1].transaction), (0, number), f"the answer to one cut at {cut}")
        # No more than the limit of requests per second allows (10.1).
        time.sleep(0.06)
    link = world.caller().dial(node.content_address)
    link.write(wire.encode(link.message(wire.REQUEST, swarm.id, PAIRS_ASKED, 1)), piece=1, pause=0.001)
    node.until("an answer", lambda: link.stray)
    link = world.caller().dial(node.content_address)
    numbers = [random.getrandbits(63) for _ in range(30)]
    link.write(b"".join(wire.encode(link.message(wire.REQUEST, swarm.id, QUERY, number)) for number in numbers))
    node.until("30 answers", lambda: len(link.stray) == 30)
    equal(sorted(one.transaction for one in link.stray), sorted(numbers), "transaction IDs")
    for vector in ppsp_vectors.load(world.options.vectors, "stream"):
        stream_vector(world, node, swarm, vector)
    node.stop()


PAIRS_ASKED = {code: body for code, (body, _) in PAIRS.items()}


def stream_vector(world, node, swarm, vector):
    """Its segments, with one peer ID for all its messages: on a connection it must not change (3, rule 8)."""
    link = world.caller().dial(node.content_address)
    data = bytearray(bytes.fromhex("".join(vector["segments"])))
    first, at = bytes(data[20:52]), 0
    for length in vector["message_lengths"]:
        data[at + 20:at + 52] = first
        at += length
    at = 0
    for segment in vector["segments"]:
        link.write(bytes(data[at:at + len(segment) // 2]))
        at += len(segment) // 2
        time.sleep(0.002)
    node.until("two answers", lambda: len(link.stray) == 2)
    equal({one.code for one in link.stray}, {wire.NOT_FOUND}, f"{vector['id']}: the answers")
    still_answers(link, swarm, first)


@case("An unknown message type is skipped by its content length, an unknown method refused; both go on (3, 7)")
def skipped(world):
    """MESSAGE NOT SUPPORTED; in ADVERTISE an unknown method is skipped; unknown codes of bodies are skipped."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    for kind in (0, 5, 0x80, 0xFF):
        content = link.peer.id + swarm.id + octets(100_000, kind)
        answer = link.said(wire.HEAD.pack(1, kind, 3, 0, len(content), 77 + kind, 32, 0, 32) + content, 77 + kind)
        equal(answer.code, wire.NOT_SUPPORTED, f"the answer to type {kind}")
        still_answers(link, swarm)
    unknown = wire.ENTRY.pack(0x55, 0x80, 0, 3) + b"abc"
    content = link.peer.id + swarm.id + unknown
    answer = link.said(wire.HEAD.pack(1, wire.REQUEST, 1, 0, len(content), 5, 32, 0, 32) + content, 5)
    equal(answer.code, wire.NOT_SUPPORTED, "the answer to an unknown method")
    link.write(wire.HEAD.pack(1, wire.ADVERTISE, 1, 0, len(content), 6, 32, 0, 32) + content)
    still_answers(link, swarm)
    answer = link.ask(swarm.id, {wire.PROPERTY_PROVISION: {0x7777: b"?", 0x0002: 5}, wire.TRANSPORT_PARAMETER: [
        wire.Transport(0x4242, {99: b"x"}), swarm.transport(values={200: b"y"})]})
    equal((answer.code, [one.id for one in answer.methods.get(wire.TRANSPORT_PARAMETER, ())]), (0, [wire.TCP]),
          "the answer to an offer with unknown codes")
    equal(link.stray, [], "answers to ADVERTISE")
    node.stop()


@case("Flags and reserved fields are ignored on receipt (3)")
def ignored_fields(world):
    """Set in the header and in the method's entry; the order of methods is free."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    data = bytearray(wire.encode(link.message(wire.REQUEST, swarm.id, PAIRS_ASKED, 9)))
    data[17] = 0xFF
    data[85], data[86], data[87] = data[85] | 0x7F, 0xFF, 0xFF
    answer = link.said(bytes(data), 9)
    equal(answer.code, 0, "the answer")
    parts = [wire.encode_method(code, body) for code, body in reversed(list(PAIRS_ASKED.items()))]
    content = link.peer.id + swarm.id + b"".join(parts)
    answer = link.said(wire.HEAD.pack(1, 1, len(parts), 0, len(content), 10, 32, 0, 32) + content, 10)
    equal((answer.code, len(answer.methods)), (0, 4), "the answer to methods in descending order")
    node.stop()


@case("The peer ID does not change on a connection, and is not the receiver's own (3, rule 8)")
def same_peer(world):
    """Another one ends the connection; so does the node's own."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    own = still_answers(link, swarm).peer
    link.write(wire.encode(wire.Message(wire.REQUEST, 1, octets(32), swarm.id, QUERY)))
    link.closed()
    link = world.caller().dial(node.content_address)
    link.write(wire.encode(wire.Message(wire.REQUEST, 1, own, swarm.id, QUERY)))
    link.closed()
    equal([one for one in link.stray if one.code == 0], [], "answers to oneself")
    node.stop()


@case("Two swarms on one connection, and concurrent transactions (3, rule 6)")
def two_swarms(world):
    """Requests for both at once; each answer names its swarm; what is unknown beside them changes nothing."""
    node, first = sharing(world)
    second = node.add(octets(70_000, 2), 16384, SHA1)
    link = world.caller().dial(node.content_address)
    asked = [(root, link.start(root, QUERY)) for _ in range(4) for root in (first.id, second.id, bytes(32))]
    for root, number in reversed(asked):
        answer = link.answer(number)
        equal((answer.swarm, answer.code), (root, wire.NOT_FOUND if root == bytes(32) else 0), "an answer")
        if answer.code == 0:
            body = answer.methods[wire.DATA_AVAILABILITY]
            equal((body.count, body.chunk_size), (293, 1024) if root == first.id else (5, 16384), "the map")
    node.stop()


@case("Negotiation: the listed entries that it supports, in its order, else TRANSPORT_MANDATORY (6, negotiation)")
def negotiation(world):
    """Only what was offered; unknown ones are skipped; no body asks for the whole list; a swarm that is the same."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    expected = {(2, 1): (1,), (2,): None, (99, 2, 1): (1,), (1,): (1,), (99,): None, (3, 4, 1): (1,)}
    for offered, found in expected.items():
        equal(offer(link, swarm, offered), found, f"the answer to {offered} of a node with TCP only")
    node.stop()
    node = world.home(has_udp=True, has_http=True).start()
    swarm = node.add(octets(300_000), 1024)
    link = world.caller().dial(node.content_address)
    answer = link.ask(swarm.id, {wire.TRANSPORT_PARAMETER: None})
    order = [one.id for one in answer.methods[wire.TRANSPORT_PARAMETER]]
    equal(sorted(order), [1, 2, 3], "the whole list")
    for offered in ((2, 1), (1, 2), (3, 1), (3,), (2, 99), (1, 2, 3), (3, 2, 1)):
        equal(offer(link, swarm, offered), tuple(one for one in order if one in offered), f"the answer to {offered}")
    equal(offer(link, swarm, (98, 99)), None, "the answer to nothing in common")
    for one in answer.methods[wire.TRANSPORT_PARAMETER]:
        equal((one.get(wire.CHUNK_SIZE), one.get(wire.HASH, 2), one.get(wire.INTEGRITY_METHOD, 1)), (1024, 2, 1),
              f"parameters of {one}")
        place = {2: one.get(wire.WHERE, ()) and tuple(one.get(wire.WHERE)),
                 3: one.get(wire.URL, "")[:len(f"http://{node.host}:")]}.get(one.id)
        equal(place, {2: (*node.udp_address, wire.PPSPP), 3: f"http://{node.host}:"}.get(one.id), f"place of {one}")
    node.stop()
    return f"its order {order}"


def offer(link, swarm, offered):
    """IDs that answer an offer; None: TRANSPORT_MANDATORY."""
    listed = [swarm.transport(number) if number in (1, 2, 3) else wire.Transport(number) for number in offered]
    answer = link.ask(swarm.id, {wire.TRANSPORT_PARAMETER: listed})
    equal(answer.code, 0, f"the answer to {offered}")
    time.sleep(0.05)
    if wire.TRANSPORT_MANDATORY in answer.methods:
        equal(answer.methods[wire.TRANSPORT_MANDATORY].id, 1, "the mandatory transport")
        return None
    return tuple(one.id for one in answer.methods[wire.TRANSPORT_PARAMETER])


@case("Swarm-defining parameters that differ: OBJECT NOT FOUND (6, rule 4)")
def other_metadata(world):
    """Chunk size, hash function, integrity method; in TRANSPORT_PARAMETER and _MANDATORY."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    for values in ({wire.CHUNK_SIZE: 2048}, {wire.HASH: BLAKE2B}, {wire.INTEGRITY_METHOD: 3}):
        entry = swarm.transport(values=values)
        for methods in ({wire.TRANSPORT_PARAMETER: [entry]}, {wire.TRANSPORT_MANDATORY: entry}):
            answer = link.ask(swarm.id, methods)
            equal((answer.code, answer.methods), (wire.NOT_FOUND, {}), f"the answer to {values}")
    still_answers(link, swarm)
    node.stop()


@case("Peer lists: at most what is asked for, never the asker, nobody unheard, by families and flags (5)", 90)
def peer_lists(world):
    """Who has told of its listener and its map is listed; SUCCESSFUL without a body when there is nobody."""
    node, swarm = sharing(world)
    seeder, starter = world.peer(), world.peer()
    seeder.swarms[swarm.id] = swarm
    part = Swarm(None, 1024, root=swarm.id)
    starter.swarms[swarm.id] = part
    links = {}
    for peer in (seeder, starter):
        links[peer] = link = peer.dial(node.content_address)
        answer = link.ask(swarm.id, {
            wire.DATA_AVAILABILITY: peer.map_of(peer.swarms[swarm.id]), wire.PEERLIST_QUERY: wire.PeerQuery(),
            wire.PROPERTY_PROVISION: {wire.LISTEN: wire.Address(peer.host, peer.port)}})
        check(peer.id not in listed(answer), "the asker is listed")
    asker = world.caller().dial(node.content_address)

    def found(query):
        return listed(asker.ask(swarm.id, {wire.PEERLIST_QUERY: query}))
    node.until("both peers in its list", lambda: set(found(wire.PeerQuery())) >= {seeder.id, starter.id}
               or time.sleep(0.3), 30)
    entry = found(wire.PeerQuery())[seeder.id]
    check(wire.Address(seeder.host, seeder.port) in entry.addresses and entry.age <= 60, f"{entry}")
    equal([bool(one.flags & wire.COMPLETE) for one in (entry, found(wire.PeerQuery())[starter.id])], [True, False],
          "the flag of who is complete")
    equal(len(found(wire.PeerQuery(1))), 1, "peers when one is asked for")
    time.sleep(0.3)
    equal(set(found(wire.PeerQuery(0, 0, 1))), {seeder.id}, "complete peers")
    equal(found(wire.PeerQuery(0, 2)), {}, "peers with IPv6")
    equal(set(found(wire.PeerQuery(0, 1, 0, 200))), {seeder.id}, "peers with chunk 200 or later")
    links[seeder].close()
    node.stop()


def listed(answer):
    """Entry by peer ID."""
    equal(answer.code, 0, "the answer to PEERLIST_QUERY")
    return {one.peer: one for one in answer.methods[wire.PEERLIST_PROVISION] or ()}
