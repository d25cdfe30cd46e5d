"""Limits and deadlines of a node that shares (ppsp.md sections 7, 8 and 10.1)."""
import time

import ppsp_wire as wire
from sockets import Wrong, check, equal
from ppsp_cases import QUERY, sharing, still_answers
from ppsp_world import case, octets, settle


@case("More than 20 control requests per second, after 40: TEMPORARILY OVERLOADED, and open (10.1)")
def overloaded(world):
    """300 at once; the first ones are served, the later ones refused, and after some seconds it serves again."""
    node, swarm = sharing(world)
    link = world.caller().dial(node.content_address)
    numbers = [link.start(swarm.id, QUERY) for _ in range(300)]
    codes = [link.answer(number).code for number in numbers]
    equal(set(codes), {0, wire.OVERLOADED}, "response codes")
    check(39 <= codes.count(0) <= 90, f"{codes.count(0)} of 300 were served")
    settle(3)
    still_answers(link, swarm)
    node.stop()
    return f"{codes.count(0)} of 300 served"


@case("What is not there to be read is said: INTERNAL ERROR, or nothing of it (7, code 5)")
def file_gone(world):
    """The file of a content is cut while the node runs: no false chunk, and the node goes on. Who keeps a copy of his
    own may serve it."""
    node, swarm = sharing(world)
    other = node.add(octets(50_000, 3))
    with open(node.place + "/file-1", "r+b") as file:
        file.truncate(1000)
    peer = world.peer()
    try:
        check(peer.fetch(swarm.id, [node.content_address], 5) == swarm.content, "what is served differs")
    except Wrong:
        check(not peer.swarms.get(swarm.id) or not peer.swarms[swarm.id].is_complete, "it is complete")
    equal(peer.has_noted("false_chunk"), [], "false chunks")
    link = world.caller().dial(node.content_address)
    answer = link.ask(swarm.id, QUERY)
    check(answer.code in (0, wire.INTERNAL, wire.NOT_FOUND), f"{answer}")
    equal(world.peer().fetch(other.id, [node.content_address]), other.content, "another content")
    node.stop()
    return wire.RESPONSES[answer.code]


@case("Keep-alive after 60 s without a word; dead after 180 s (8)", 420, slow=True)
def long_silence(world):
    """Who says nothing gets keep-alives, two of them, and is closed after 180 s; who sends keep-alives stays."""
    node, swarm = sharing(world)
    silent = world.caller(keep_alive=10_000, silence=10_000).dial(node.content_address)
    lively = world.caller(keep_alive=50, silence=10_000).dial(node.content_address)
    for link in (silent, lively):
        still_answers(link, swarm)
    started = time.monotonic()
    node.until("a keep-alive", lambda: silent.keep_alives, 90)
    first = time.monotonic() - started
    check(58 <= first <= 70, f"the first keep-alive after {first:.1f} s")
    silent.closed(200)
    ended = time.monotonic() - started
    check(178 <= ended <= 200, f"closed after {ended:.1f} s")
    check(silent.keep_alives in (2, 3), f"{silent.keep_alives} keep-alives")
    settle(200 - ended + 5)
    still_answers(lively, swarm)
    node.stop()
    return f"{first:.1f} s, {ended:.1f} s"


@case("No first message within 10 s, or a partial one without progress for 30 s: closed (7, 8, 10.1)", 150, slow=True)
def slow_senders(world):
    """Nothing; half a message; an octet every 5 s goes on."""
    node, swarm = sharing(world)
    started = time.monotonic()
    nothing, half, slow = (world.caller().dial(node.content_address) for _ in range(3))
    still_answers(half, swarm)
    still_answers(slow, swarm)
    data = wire.encode(half.message(wire.REQUEST, swarm.id, QUERY, 1))
    half.write(data[:50])
    slow.write(data[:20] + slow.peer.id[:10])
    nothing.closed(30)
    check(9 <= time.monotonic() - started <= 20, f"closed after {time.monotonic() - started:.1f} s")
    for octet in slow.peer.id[10:19]:
        slow.write(bytes([octet]))
        settle(5)
    check(half.end is not None, "half a message is waited for")
    slow.write(slow.peer.id[19:] + data[52:])
    node.until("an answer to the slow one", lambda: [one for one in slow.stray if one.code == 0])
    node.stop()
