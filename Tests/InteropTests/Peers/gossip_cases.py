"""The cases of gossip_check that are written by hand, each with the section that it quotes."""
import random

from gossip_api import WAIT, Wrong
from gossip_peer import Refused
from gossip_wire import (
    NO_HOST, Announce, Connect, Disconnect, Entry, Extension, Init, Neighbors, Populate, Validation, loopback_host,
    name_of)
from gossip_world import ONE, SERVER, THREE, case

FREE = ONE + ", degree 4 or more"
SMALL = ONE + ", a small degree (2 to 8), no other neighbours"
CANDIDATES = FREE + ", on loopback"
LEARN = 40.0    # seconds: two looks at the overlay, CONNECT and its repetitions, and a slow machine


# --- the API -------------------------------------------------------------------------------------------------

@case(FREE)
def two_announces_in_one_segment(world):
    """Section 1: "a reader MUST accept any segmentation: several messages in one segment"; 3.8: "items announced on
    one connection leave in that order on every peer link, and notifications of one connection in order"."""
    subscriber, link, announcer = world.subscriber(1337), world.link(), world.client()
    pairs = [(world.data("first"), world.data("second")) for _ in range(10)]
    for pair in pairs:
        announcer.send(*(Announce(4, 1337, data) for data in pair))
    for pair in pairs:
        for data in pair:
            subscriber.expect(1337, data)
            link.expect_item(1337, data, ttl=4, salt=0)


@case(FREE)
def announce_and_close(world):
    """Section 3.9: "the course client announces and closes at once; that item must be spread"."""
    subscriber, link = world.subscriber(1337), world.link()
    for _ in range(20):
        data, announcer = world.data("gone"), world.client()
        announcer.send(Announce(4, 1337, data))
        announcer.close()
        subscriber.expect(1337, data)
        link.expect_item(1337, data, ttl=4)


@case(FREE)
def voter_closes(world):
    """Section 3.6: "a connection that closes is taken out" of the vote."""
    b, c = world.subscriber(1337), world.subscriber(1337)
    first, second, data = world.link(), world.link(), world.data("leaver")
    first.send(Announce(3, 1337, data))
    b.send(Validation(b.expect(1337, data).message_id, True))
    c.expect(1337, data)
    second.expect_no_item(0.5)
    c.close()
    second.expect_item(1337, data, ttl=2, seconds=3.0)


@case(FREE, 30)
def voter_silent(world):
    """Section 3.6: "after validation_timeout (5 s) the silent ones are taken out too; with no valid answer at all the
    item is dropped: silence is not consent"."""
    b, c = world.subscriber(1337), world.subscriber(1337)
    first, second, answered, mute = world.link(), world.link(), world.data("answered"), world.data("mute")
    first.send(Announce(3, 1337, mute), Announce(3, 1337, answered))
    b.expect(1337, mute)
    b.send(Validation(b.expect(1337, answered).message_id, True))
    c.expect(1337, mute)
    c.expect(1337, answered)
    second.expect_no_item(3.5)
    second.expect_item(1337, answered, ttl=2)
    second.expect_no_item(1.0)


@case(FREE)
def item_salt(world):
    """Section 4.2: "the origin sends 0, and for the k-th repetition of the same type and data it sends k"."""
    link, announcer, data = world.link(), world.client(), world.data("again")
    for k in range(4):
        announcer.send(Announce(4, 1337, data))
        link.expect_item(1337, data, ttl=4, salt=k)


@case(FREE)
def better_ttl(world):
    """Section 4.2: a seen copy "with a larger remaining TTL ... SHOULD be forwarded once more ... without a new
    notification"; the salt is "carried unchanged from hop to hop"."""
    b, data = world.subscriber(1337), world.data("better")
    first, second, third = world.link(), world.link(), world.link()
    first.send(Announce(2, 1337, data, 7))
    b.send(Validation(b.expect(1337, data).message_id, True))
    third.expect_item(1337, data, ttl=1, salt=7)
    second.expect_item(1337, data, ttl=1, salt=7)
    second.send(Announce(9, 1337, data, 7))
    third.expect_item(1337, data, ttl=8, salt=7)
    b.expect_nothing(0.5)


# --- links ---------------------------------------------------------------------------------------------------

@case(FREE)
def dial_back(world):
    """Section 5.5: D "opens TCP to the source address and port of the datagram and sends NEIGHBORS first"; then items
    go both ways. A CONNECT repeated meanwhile makes no second link."""
    peer = world.peer()
    link = peer.connect(world.p2p)
    own = link.heard[0][1].entries[0]
    if own.endpoint not in ((NO_HOST, world.p2p[1]), world.p2p):
        raise Wrong(f"the node's own entry is {own}")
    world.settle(link)
    peer.send_udp(Connect(peer.id), world.p2p)
    peer.expect_silence(1.0)
    world.reaches(link)


@case(FREE)
def direct_mode(world):
    """Section 5.6: "S opens TCP to D itself and sends CONNECT as the first message on it, then NEIGHBORS; D uses this
    link and does not dial back"."""
    link = world.link(direct=True)
    link.peer.expect_silence(1.0)
    world.reaches(link)


@case(CANDIDATES, LEARN + 20)
def node_connects(world):
    """Section 5.7: CONNECT goes to candidates that neighbours told of; 5.5: from the P2P port, and S takes the
    connection that comes back and answers with its own NEIGHBORS."""
    teller, peer = world.link(), world.peer()
    world.offer(teller, peer)
    link = peer.accept_connect(world.p2p, seconds=LEARN)
    world.settle(link)
    world.reaches(link)


@case(CANDIDATES, LEARN + 20)
def node_goes_direct(world):
    """Section 5.5: "repeats after 1 s and 3 s"; "nothing after 5 s: direct mode"."""
    teller, peer = world.link(), world.peer()
    world.offer(teller, peer)
    peer.await_connect(world.p2p, LEARN)
    peer.await_connect(world.p2p, 5.0)
    peer.await_connect(world.p2p, 5.0)
    link = peer.accept_direct(seconds=WAIT)
    world.settle(link)


@case(FREE)
def item_before_neighbors(world):
    """Section 5.7: "item before the first NEIGHBORS" closes the link without DISCONNECT."""
    for direct in (False, True):
        peer, subscriber, data = world.peer(), world.subscriber(1337), world.data("early")
        link = peer.dial(world.p2p) if direct else peer.ask(world.p2p)
        link.send(*([Connect(peer.id)] if direct else []), Announce(4, 1337, data))
        link.expect_close(disconnect=False)
        subscriber.expect_nothing(0.3)


@case(FREE, 30)
def wrong_greeting(world):
    """Section 5.5: D checks that "S's first NEIGHBORS carries the ID of the CONNECT. Wrong ID, wrong first message or
    nothing within 5 s: close"."""
    peer = world.peer(random.randint(1, 60000))
    link = peer.ask(world.p2p)
    link.send(Neighbors(peer.id + 1, (Entry(peer.id + 1, NO_HOST, peer.endpoint[1]),)))
    link.expect_close(4.0)
    peer = world.peer()
    link = peer.ask(world.p2p)
    link.send(Extension(517, b"?"))
    link.expect_close(4.0)
    world.peer().ask(world.p2p).expect_close(WAIT + 5)


@case(FREE)
def disconnect(world):
    """Section 5.5: "the receiver just closes. It is the last message of a link: anything after it is ignored"."""
    subscriber, link, data = world.subscriber(1337), world.link(), world.data("late")
    link.send(Disconnect(link.peer.id), Announce(4, 1337, data))
    link.expect_close(disconnect=False)
    subscriber.expect_nothing(0.5)
    if link.peer.public_entry in world.link().heard[0][1].entries:
        raise Wrong("a neighbour that said goodbye is still passed on")


def fill(world):
    """Neighbours until the node refuses one; (links, the refusal). The first one says that it knows the most."""
    links = []
    crowd = tuple(Entry(random.randint(1, 65534), loopback_host(), 6001) for _ in range(9))
    for number in range(40):
        peer = world.peer()
        try:
            link = peer.connect(world.p2p, crowd if number == 0 else crowd[:1])
        except Refused as refusal:
            if not links:
                raise Wrong("the node refuses the first neighbour") from None
            return links, refusal
        world.settle(link)
        links.append(link)
    raise Wrong("forty neighbours and still room: this case wants a small degree")


@case(SMALL)
def refusal(world):
    """Section 5.5: "if it has no room it answers DISCONNECT(ID D) by UDP"; 5.7: "neighbours never exceed degree"."""
    links, refused = fill(world)
    if refused.id != links[0].other:
        raise Wrong(f"refused by ID {refused.id}, the node has {links[0].other}")
    degree = world.options.degree
    if degree and len(links) != degree:
        raise Wrong(f"{len(links)} neighbours, degree {degree}")
    peer = world.peer()
    peer.send_udp(Connect(peer.id), world.p2p)
    peer.expect_udp(Disconnect, world.p2p)
    peer.expect_silence(1.0)
    link = world.peer().dial(world.p2p)    # the same in direct mode, and not lonely
    link.send(Connect(link.peer.id))
    link.greet((links[0].peer.public_entry,))
    link.expect_close()
    for link in links:
        world.settle(link)


@case(SMALL, 30)
def make_room(world):
    """Section 5.7: "a full node that is asked by a peer with no neighbours (its first NEIGHBORS has only its own
    entry) drops its best-connected neighbour". It is asked by UDP; refused there, the newcomer goes direct."""
    links, _ = fill(world)
    peer = world.peer()
    try:
        newcomer = peer.connect(world.p2p)
    except Refused:
        newcomer = peer.direct(world.p2p)
    links[0].expect_close(disconnect=True)
    world.settle(newcomer)
    for link in links[1:]:
        world.settle(link)


@case(CANDIDATES, 2 * LEARN + 20)
def simultaneous_connect(world):
    """Section 5.5: "both keep the one dialled by the peer with the lower ID and close the other with DISCONNECT once
    both are identified"."""
    for ours_is_lower in (True, False):
        teller = world.link()
        theirs = teller.other
        span = (1, theirs - 1) if ours_is_lower else (theirs + 1, 65534)
        if span[0] > span[1]:
            continue    # the node has the lowest or the highest ID there is
        peer = world.peer(random.randint(*span))
        world.offer(teller, peer)
        peer.await_connect(world.p2p, LEARN)
        peer.send_udp(Connect(peer.id), world.p2p)
        try:
            dialled_by_node = peer.accept(world.p2p, 3.0)
        except Wrong:
            if not ours_is_lower:
                raise
            dialled_by_node = None    # it knows already that ours is the one to keep
        dialled_by_us = peer.dial(world.p2p)
        dialled_by_us.greet()
        if dialled_by_node:
            dialled_by_node.expect_greeting()
            dialled_by_node.greet()
        keep, drop = dialled_by_us, dialled_by_node
        if not ours_is_lower:
            keep, drop = drop, keep
        if drop:
            drop.expect_close(disconnect=True)
        world.settle(keep)
        peer.close()
        teller.peer.close()


@case(FREE, 45)
def heartbeat(world):
    """Section 5.7: "NEIGHBORS heartbeat 10 s ± 10 %"; 5.5: "entries = the sender's present neighbours, the receiver
    left out"."""
    first, second = world.link(), world.link()
    limit = 1.1 * world.heartbeat + 0.5
    for link in (first, second):
        link.beat(0.8 * world.heartbeat)
    for _ in range(2):    # one of them may be that of a change
        found = second.expect_neighbors(limit)
    if first.peer.public_entry not in found.entries:
        raise Wrong(f"{first.peer.public_entry} is a neighbour, but not in {found}")
    if second.peer.endpoint in [entry.endpoint for entry in found.entries]:
        raise Wrong(f"the receiver is in {found}")
    if len(set(found.entries)) != len(found.entries) or len(found.entries) > 64:
        raise Wrong(f"the entries are {found.entries}")
    second.expect_neighbors(limit)


@case(ONE + " that has --serve as its bootstrap server, started within 5 s", 120)
def join_by_bootstrap(world):
    """Section 5.2: INIT with the degree, repeated until a POPULATE comes, then with the ID in `reserved`; 5.7: CONNECT
    to the candidates of the list, with the ID given."""
    server, peer = world.peer(host=world.options.serve[0], port=world.options.serve[1]), world.peer()
    identity = peer.id % 65534 + 1
    asked, sender = server.answer_init(identity, [peer.public_entry], 70.0)
    if sender != world.p2p or not asked.degree or asked.reserved:
        raise Wrong(f"{asked} from {name_of(sender)}")
    wanted, _ = peer.await_connect(world.p2p, LEARN)
    if wanted.id != identity:
        raise Wrong(f"CONNECT of ID {wanted.id}, given {identity}")
    link = peer.dial(world.p2p)
    link.greet()
    if link.expect_greeting().id != identity:
        raise Wrong(f"NEIGHBORS of ID {link.other}, given {identity}")
    world.settle(link)
    renewed, _ = server.expect_udp(Init, world.p2p, 80.0)
    if renewed.reserved != identity:
        raise Wrong(f"renewed with {renewed}, given {identity}")
    server.send_udp(Populate(identity), world.p2p)


# --- scenarios of the vector file that are no plain steps ---------------------------------------------------------

@case(THREE, 90)
def three_node_no_loop(world):
    """Section 4.2: "the layout has no item ID, and without one a full mesh loops": each subscriber gets each item
    once, and the announcer's none of its own."""
    nodes = range(len(world.api))
    if len(nodes) != 3:
        raise Wrong("this case wants three --api")
    subscribers = [world.subscriber(9, node=node) for node in nodes]
    for announcer in subscribers:    # TTL 1 reaches direct neighbours only: when it comes, the mesh stands
        others = [s for s in subscribers if s is not announcer]
        for _ in range(15):
            announcer.send(Announce(1, 9, world.data("mesh")))
            if all([s.next(2.0) for s in others]):
                break
        else:
            raise Wrong(f"node {subscribers.index(announcer) + 1} is not a neighbour of both others")
    for announcer in subscribers:
        wanted = [world.data("loop") for _ in range(20)]
        for data in wanted:
            announcer.send(Announce(0, 9, data))
        for s in (s for s in subscribers if s is not announcer):
            for data in wanted:
                s.send(Validation(s.expect(9, data).message_id, True))
    for s in subscribers:
        s.expect_nothing(1.0)


@case(FREE)
def connect_udp_dial_back(world):
    """Section 5.5, steps 1 to 4."""
    world.settle(world.peer().connect(world.p2p))


@case(FREE, 60)
def neighbor_timeout(world):
    """Section 5.7: "dead link 35 s without a complete message of any kind"; it ends with DISCONNECT (5.5)."""
    link = world.link()
    link.expect_no_item(world.silence - 1.5)
    link.expect_close(6.5, disconnect=True)


@case(SERVER)
def bootstrap_same_source_same_id(world):
    """Section 6.2: "the same source gets the same ID again as long as its entry lives"."""
    peer = world.peer()
    first, second = (peer.init(world.bootstrap, 3).id for _ in range(2))
    if first != second or first in (0, 65535):
        raise Wrong(f"ID {first}, then {second}")


@case(SERVER, 30)
def bootstrap_unvalidated_limit(world):
    """Section 6.3: "an unvalidated source gets at most 3 entries"; 6.2: validated by "an INIT whose `reserved` equals
    the ID just sent to that source"."""
    listed = [world.peer() for _ in range(50)]
    try:
        for peer in listed:
            peer.id = peer.init(world.bootstrap, 0).id
            peer.init(world.bootstrap, 0, peer.id)
        peer = world.peer()
        first = peer.init(world.bootstrap, 30)
        second = peer.init(world.bootstrap, 30, first.id)
        if len(first.entries) > 3 or len(second.entries) != 30 or second.id != first.id:
            raise Wrong(f"{len(first.entries)} entries, then {len(second.entries)}; ID {first.id}, then {second.id}")
        if len({entry.endpoint for entry in second.entries}) != 30:
            raise Wrong("an endpoint is listed twice")
    finally:
        for peer in listed:
            peer.send_udp(Disconnect(peer.id), world.bootstrap)


@case(SERVER)
def bootstrap_excludes_self(world):
    """Section 6.2: "never the asker"."""
    peer = world.peer()
    first = peer.init(world.bootstrap, 65535)
    for found in (first, peer.init(world.bootstrap, 65535, first.id), peer.init(world.bootstrap, 65535, first.id)):
        if peer.endpoint in [entry.endpoint for entry in found.entries]:
            raise Wrong(f"the asker is in {found}")
