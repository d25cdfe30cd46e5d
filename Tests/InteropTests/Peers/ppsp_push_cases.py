"""PUSH between a node and foreign peers (ppsp.md section 8.2), and swarms that ask who one is (10.2)."""
import threading

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import Wrong, check, equal
from ppsp_cases import QUERY, sharing, still_answers
from ppsp_content import Swarm
from ppsp_fetch import certify
from ppsp_keys import Identity, is_certified
from ppsp_merkle import BLAKE2B, SHA256
from ppsp_world import TAKES_PUSH, case, closed, octets, refusing, settle


def pushed(world, node, size, chunk_size=16384, function=SHA256, peer=None):
    """A foreign peer that offers a content: itself, its connection, the swarm, and the answer."""
    peer = peer or world.peer()
    swarm = peer.share(octets(size), chunk_size, function)
    link = peer.dial(node.content_address)
    number = peer.push(link, swarm)
    return peer, link, swarm, link.answer(number)


@case("PUSH accepted: RESPONSE with the transport, and what is pushed is proved and kept (8.2)", 180)
def push_accepted(world):
    """Less than a chunk, some, a big one; HAVE for what came; then the node serves it."""
    node = world.node(**TAKES_PUSH)
    for size, chunk_size, function in ((1, 16384, SHA256), (100_000, 1024, BLAKE2B), (20_000_001, 65536, SHA256)):
        peer, link, swarm, answer = pushed(world, node, size, chunk_size, function)
        equal((answer.code, set(answer.methods) <= {wire.TRANSPORT_PARAMETER, wire.TRANSPORT_MANDATORY}), (0, True),
              f"the answer to PUSH: {answer}")
        session, = link.sessions.values()
        node.until("HAVE of all chunks", lambda: len(session.remote) == swarm.count, 60)
        other = world.peer()
        check(other.fetch(swarm.id, [node.content_address]) == swarm.content, "what the node serves differs")
    node.stop()


@case("PUSH refused: MESSAGE FORBIDDEN, and the connection stays for PULL (7, 8.2)")
def push_refused(world):
    """acceptPush is off: also for what the node wants, and has from nobody. What it has never heard of may as well be
    OBJECT NOT FOUND."""
    node, mine = sharing(world, push=False)
    peer, link, swarm, answer = pushed(world, node, 100_000)
    equal((answer.methods, answer.swarm), ({}, swarm.id), "the answer to PUSH")
    check(answer.code in (wire.FORBIDDEN, wire.NOT_FOUND), f"the answer to PUSH: {answer}")
    wanted = Swarm(octets(200_000, 4), 16384)
    world.begin(node, wanted.id)
    settle(1)
    peer.swarms[wanted.id] = wanted
    answer = link.answer(peer.push(link, wanted))
    equal((answer.code, answer.methods, answer.swarm), (wire.FORBIDDEN, {}, wanted.id), "the answer to PUSH")
    still_answers(link, mine)
    check(not [one for one in link.sessions.values() if one.is_ours], "a transfer")
    node.stop()


@case("ADVERTISE without a transport updates tables and is not answered (8.2)")
def advertise_only(world):
    """Known and unknown swarms; with every kind of map; keep-alives, too."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    for root in (swarm.id, octets(32, 9)):
        for body in (wire.Availability(wire.NONE), wire.Availability(wire.ALL, 0, 1024, 0, 293),
                     wire.Availability(wire.BITMAP, 1, 1024, 8, 3, ((8, 8), (10, 10))),
                     wire.Availability(wire.RANGES, 3, 0, 0, 293, ((3, 5),))):
            link.start(root, {wire.DATA_AVAILABILITY: body, wire.PEERLIST_PROVISION: None}, wire.ADVERTISE)
    link.send(wire.keep_alive(link.peer.id), wire.keep_alive(link.peer.id))
    still_answers(link, swarm)
    equal([one for one in link.answers.values() if one], [], "answers to ADVERTISE")
    equal(link.stray, [], "stray answers")
    node.stop()


@case("PUSH by the node: an ADVERTISE with map, properties and transport; then chunks, ascending (8.2)", 120)
def push_by_node(world):
    """To a configured peer that takes PUSH: everything, each chunk once, within its window."""
    taker = world.peer(accepts_push=True)
    node = world.node()
    swarm = node.add(octets(5_000_000), 16384)
    node.push(swarm.id, taker.address)
    link = taker.take()
    node.until("an offer", lambda: [one for one in link.seen if one.kind == wire.ADVERTISE and one.methods], 20)
    offer = next(one for one in link.seen if one.kind == wire.ADVERTISE and one.methods)
    check(wire.DATA_AVAILABILITY in offer.methods and {wire.TRANSPORT_PARAMETER, wire.TRANSPORT_MANDATORY} & set(
        offer.methods), f"the offer has {list(offer.methods)}")
    node.until("the swarm", lambda: swarm.id in taker.swarms, 20)
    check(taker.swarms[swarm.id].wait(60), "what is pushed is not complete")
    check(taker.swarms[swarm.id].content == swarm.content, "the content differs")
    session = link.sessions[offer.transaction]
    equal((session.counts["received"], taker.events), (swarm.count, []), "chunks, and what was wrong")
    node.stop()


@case("PUSH unanswered or refused: no DATA (8.2, D15)", 90)
def push_unanswered(world):
    """Who says nothing to the offer gets none for 20 s; who says MESSAGE FORBIDDEN may still be asked by PULL."""
    mute, refusing_peer = world.liar(is_mute=True), world.peer(accepts_push=False)
    # A liar that is mute answers no REQUEST; an offer it would answer: so it does not hear at all.
    mute.is_automatic = False
    node = world.node()
    swarm = node.add(octets(1_000_000), 16384)
    pushes = [threading.Thread(target=node.push, args=(swarm.id, peer.address)) for peer in (mute, refusing_peer)]
    for push in pushes:
        push.start()
    links = [peer.take() for peer in (mute, refusing_peer)]
    for link in links:
        node.until("an offer", lambda link=link: [one for one in link.seen if wire.DATA_AVAILABILITY in one.methods])
    settle(20)
    for link in links:
        check(link.received < 20_000, f"{link.received} octets came from it")
        equal((link.violation, link.end), (None, None), "the connection")
    node.stop()
    for push in pushes:
        push.join()


@case("PUSH within the receiver's window; CHOKE stops it, UNCHOKE resumes, HAVE skips (8.2)", 120)
def push_choked(world):
    """A receiver with a window of 64 KiB that tells no HAVE gets four chunks of 16 KiB, and no more until it does."""
    taker = world.peer(is_automatic=False)
    node = world.node()
    swarm = node.add(octets(1_000_000), 16384)
    threading.Thread(target=node.push, args=(swarm.id, taker.address), daemon=True).start()
    link = taker.take()
    offer = link.expect(wire.ADVERTISE, wire.DATA_AVAILABILITY)
    session = link.session(offer.transaction, swarm, is_ours=False)
    link.send(link.message(wire.RESPONSE, swarm.id, {
        wire.TRANSPORT_PARAMETER: [swarm.transport(values={wire.WINDOW: 65536})]}, offer.transaction))

    def came():
        return [one.first for one in link.arrived if one.type == chunks.DATA]
    node.until("four chunks", lambda: len(came()) >= 4)
    settle(1)
    equal(came(), [0, 1, 2, 3], "chunks within the window")
    link.send_chunks(session.number, chunks.have(8, 11), chunks.have(0, 3))
    node.until("four more chunks", lambda: len(came()) >= 8)
    settle(0.5)
    equal(came()[4:], [4, 5, 6, 7], "the next chunks")
    link.send_chunks(session.number, chunks.Chunk(chunks.CHOKE), chunks.have(4, 7))
    settle(1)
    equal(len(came()), 8, "chunks while it is choked")
    link.send_chunks(session.number, chunks.Chunk(chunks.UNCHOKE))
    node.until("more", lambda: len(came()) >= 12)
    equal(came()[8:12], [12, 13, 14, 15], "chunks after UNCHOKE, without those of HAVE")
    node.stop()


# --- authentication (10.2) -----------------------------------------------------------------------------------


@case("A closed swarm: AUTHENTICATION REQUIRED, then nonce, certificates, and the content (7, 10.2)", 120)
def closed_swarm(world):
    """Only who proves to be on the list; who is not on it gets nothing, also when he proves who he is."""
    content = octets(2_000_000)
    member, stranger = world.peer(), world.peer()
    node = world.node(**closed(member))
    swarm = node.add(content, 16384)
    link = world.caller().dial(node.content_address)
    for methods in (QUERY, {wire.PEERLIST_QUERY: wire.PeerQuery()}, {wire.TRANSPORT_PARAMETER: None}):
        answer = link.ask(swarm.id, methods)
        equal((answer.code, answer.methods), (wire.AUTHENTICATE, {}), "the answer to a stranger")
    check(member.fetch(swarm.id, [node.content_address]) == content, "the content differs")
    with refusing("a peer that is not on the list has the content"):
        stranger.fetch(swarm.id, [node.content_address], 5)
    node.stop()


@case("Certificates that are false, of others, for others or old prove nothing (10.1, 10.2)", 90)
def false_certificates(world):
    """Each part of the chain counts: key, ID, nonce, swarm; a certificate of an earlier connection is a replay. Who
    sends such a thing is refused or cut off; each try is one of another member."""
    members = [world.caller() for _ in range(11)]
    node = world.node(**closed(*members))
    swarm = node.add(octets(100_000), 16384)
    first, *others = members
    link, before, theirs = nonce_of(first, node, swarm.id)
    good = first.identity.certificate(theirs, before, swarm.id)
    link.close()
    false = (
        lambda own, nonce: bytes(97), lambda own, nonce: b"", lambda own, nonce: good,
        lambda own, nonce: flipped(own.certificate(theirs, nonce, swarm.id), 96),
        lambda own, nonce: flipped(own.certificate(theirs, nonce, swarm.id), 0),
        lambda own, nonce: own.certificate(theirs, nonce, swarm.id)[:50],
        lambda own, nonce: Identity().certificate(theirs, nonce, swarm.id),
        lambda own, nonce: own.certificate(theirs, bytes(32), swarm.id),
        lambda own, nonce: own.certificate(theirs, nonce, bytes(32)),
        lambda own, nonce: own.certificate(own.id, nonce, swarm.id))
    for number, (member, make) in enumerate(zip([*others, first], [*false, lambda own, nonce: good])):
        link, nonce, _ = nonce_of(member, node, swarm.id)
        check(nonce != before, "the nonce is the one of another connection")
        codes = tried(node, link, swarm.id, make(member.identity, nonce))
        check(codes <= {wire.AUTHENTICATE, wire.FORBIDDEN}, f"{codes} for false certificate {number}")
    link = world.caller(identity=others[0].identity).dial(node.content_address)
    certify(link, swarm.id)
    still_answers(link, swarm)
    node.stop()


@case("Who borrows a peer ID cannot have its owner banned (10.1, 10.2)", 60)
def borrowed_id(world):
    """Ten false certificates under a member's ID, from other addresses: a peer ID is a claim until it is proved."""
    member = world.peer()
    node = world.node(**closed(member))
    swarm = node.add(octets(100_000), 16384)
    for _ in range(10):
        thief = world.caller(identity=member.identity)
        try:
            link, _, _ = nonce_of(thief, node, swarm.id)
            tried(node, link, swarm.id, bytes(97))
        except (OSError, Wrong):
            break
    check(member.fetch(swarm.id, [node.content_address], 20) == swarm.content, "the content differs")
    node.stop()


def nonce_of(caller, node, root):
    """A connection on which the node has proved itself: it, the nonce for our certificate, the node's peer ID."""
    link = caller.dial(node.content_address)
    answer = link.ask(root, {wire.PROPERTY_PROVISION: {wire.NONCE_CODE: link.nonce}, wire.PROPERTY_QUERY: None})
    equal(answer.code, 0, "the answer to a nonce")
    found = answer.methods[wire.PROPERTY_PROVISION]
    check(is_certified(found[wire.CERTIFICATE], answer.peer, caller.id, link.nonce, root), "its certificate is false")
    return link, found[wire.NONCE_CODE], answer.peer


def tried(node, link, root, value):
    """The response codes to a certificate and a query."""
    link.start(root, {wire.PROPERTY_PROVISION: {wire.CERTIFICATE: value}, **QUERY}, transaction=7)
    node.until("an answer or the end", lambda: link.answers[7] or link.end)
    link.close()
    return {one.code for one in link.answers[7]}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@case("The node proves who it is to a peer that demands it, and asks that of the peer (10.2)", 120)
def proves_itself(world):
    """By PULL from a closed swarm, whose owner lets in only the node; the wrong node gets nothing."""
    probe = world.node()
    peer = world.peer()
    swarm = peer.share(octets(2_000_000), 16384, closed=True)
    link = world.caller().dial(probe.content_address)
    swarm.admitted = {link.ask(bytes(32), QUERY).peer}
    check(probe.fetch(swarm.id, peer.address) == swarm.content, "the content differs")
    equal(peer.has_noted("bad_certificate"), [], "certificates that prove nothing")
    stranger = world.node()
    fetch = world.begin(stranger, swarm.id, peer.address)
    settle(6)
    check(fetch.process.poll() != 0, "a node that is not on the list has the content")
    sent = sum(one.counts["sent"] for each in peer.links for one in each.sessions.values()
               if each.address[0] == stranger.host)
    equal(sent, 0, "chunks that were sent to it")
    probe.stop()
    stranger.stop()
