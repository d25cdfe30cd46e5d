"""The cases of gossip_check that the vector file describes: malformed, streams, ttl, and scenarios made of steps."""
import json
import re
import select
import time

import gossip_authors as authors
from gossip_api import Client, Wrong
from gossip_cases import FREE
from gossip_wire import (
    Announce, Connect, Disconnect, Entry, Init, Malformed, Neighbors, Notification, Notify, Populate, Validation,
    decode, seen_key)
from gossip_world import CASES, ONE, TWO, case

GAP_SECONDS = 0.002      # between chunks, so that most of them are segments of their own
QUIET_SECONDS = 0.7      # in which an answer that is not due would come


def chosen(world, group):
    """The entries of a group; all of them, or the one named on the command line."""
    _, _, single = world.options.case.partition("/")
    found = [entry for entry in world.vectors[group] if single in ("", entry["name"])]
    if not found:
        raise Wrong(f"no entry {single!r} among {group}")
    return found


def octets(entry):
    if "hex" in entry:
        return bytes.fromhex(entry["hex"])
    return bytes.fromhex(entry["hex_head"]) + bytes.fromhex(entry["fill"]["octet"]) * entry["fill"]["count"]


def each(entries, run):
    """Runs all of them and tells of all that failed."""
    failed = []
    for entry in entries:
        try:
            run(entry)
        except Wrong as error:
            failed.append(f"{entry['name']}: {error}")
    if failed:
        raise Wrong("\n".join(failed))


# --- malformed -----------------------------------------------------------------------------------------------

@case(FREE + "; with --bootstrap also its entries", 120)
def malformed(world):
    """Sections 3.10, 5.7, 6.3: what is malformed closes the connection, or is ignored, and touches no other one."""
    witness = world.subscriber(1337)
    entries = chosen(world, "malformed")
    if not world.bootstrap:
        left = [entry for entry in entries if entry["channel"] != "bootstrap-udp"]
        print(f"without --bootstrap: {len(entries) - len(left)} of {len(entries)} entries left out")
        entries = left
    each(entries, lambda entry: CHANNELS[entry["channel"]](world, entry, octets(entry)))
    witness.subscribe(helper=world.helper())


def malformed_api(world, entry, data):
    client = world.client()
    client.send_octets(data)
    if entry["expect"] == "close":
        client.expect_close()
        if data[2:4] not in [bytes([1, number]) for number in (0xF4, 0xF5, 0xF7)]:    # judged at four octets
            client = world.client()
            client.send_octets(data[:4])
            client.expect_close()
    elif entry["expect"] == "ignore":
        client.subscribe(helper=world.helper())
    elif entry["expect"] == "discard":
        client.sock.shutdown(1)
        if select.select([client.sock], [], [], 2.0)[0]:    # whether the node closes then is its own affair
            client.expect_close()
    else:
        raise Wrong(f"expectation {entry['expect']!r} is unknown")


def malformed_udp(world, entry, data, server=False):
    if entry["expect"] != "drop":
        raise Wrong(f"expectation {entry['expect']!r} is unknown")
    peer = world.peer()
    peer.send_udp(data, world.bootstrap if server else world.p2p)
    peer.expect_silence(QUIET_SECONDS)
    if server:    # it still answers who asks properly
        peer.id = peer.init(world.bootstrap, 0).id
        peer.send_udp(Disconnect(peer.id), world.bootstrap)
    else:
        peer.connect(world.p2p)
    peer.close()


def malformed_tcp(world, entry, data):
    fresh = "fresh link" in entry["why"]
    peer = world.peer(int.from_bytes(data[4:6], "big") if fresh else 4711)
    link = peer.ask(world.p2p)
    link.expect_greeting()
    if not fresh:
        link.greet()
        world.settle(link)
    link.send_octets(data)
    if entry["expect"] == "close":
        link.expect_close(disconnect=False)
    elif entry["expect"] == "ignore-entry":
        world.reaches(link)
    elif entry["expect"] == "accept":
        world.settle(link)
        control = world.link()
        told = world.link().heard[0][1].entries
        if peer.endpoint in [each.endpoint for each in told]:
            raise Wrong(f"passed on without an own entry: {told}")
        if control.peer.public_entry not in told:
            raise Wrong(f"{control.peer.public_entry} is not passed on: {told}")
    else:
        raise Wrong(f"expectation {entry['expect']!r} is unknown")
    link.close()
    peer.close()


CHANNELS = {"api": malformed_api, "p2p-udp": malformed_udp, "p2p-tcp": malformed_tcp,
            "bootstrap-udp": lambda world, entry, data: malformed_udp(world, entry, data, server=True)}


# --- streams and TTL -----------------------------------------------------------------------------------------

@case(ONE, 60)
def streams(world):
    """Section 1: any segmentation; 3.9: "all complete messages received before FIN are carried out ... a partial
    message at the end is discarded"."""
    each(chosen(world, "streams"), lambda entry: stream(world, entry))


def stream(world, entry):
    if "message" in entry:
        whole, size = octets(entry["message"]), entry["chunk_octets"]
        chunks, messages = [whole[i:i + size] for i in range(0, len(whole), size)], [decode(whole)]
    else:
        chunks, messages = ([bytes.fromhex(text) for text in entry[key]] for key in ("chunks", "messages"))
        messages = [decode(data) for data in messages]
    types = {found.data_type for found in messages if isinstance(found, (Announce, Notify))}
    watcher, client = world.subscriber(*types), world.client()
    for chunk in chunks:
        client.send_octets(chunk)
        time.sleep(GAP_SECONDS)
    if entry["end"] == "eof":
        client.sock.shutdown(1)
    for found in messages:
        if isinstance(found, Announce):
            watcher.expect(found.data_type, found.data)
    watcher.expect_nothing(0.3)
    if entry["end"] == "open":
        for found in messages:
            if isinstance(found, Notify):
                data = world.data("stream")
                world.helper().send(Announce(4, found.data_type, data))
                client.expect(found.data_type, data)
        client.subscribe(helper=world.helper())
    client.close()
    watcher.close()


@case(FREE, 60)
def ttl(world):
    """Section 4.3: "1 = stop; 0 = forward with 0; otherwise forward with TTL - 1"; 3.2: announced here, "forwarded to
    the peers at once, TTL unchanged"."""
    subscriber, links = world.subscriber(1337), [world.link(), world.link()]
    each(chosen(world, "ttl"), lambda entry: hop(world, entry, subscriber, *links))


def hop(world, entry, subscriber, first, second):
    data = world.data(entry["name"])
    item = Announce(entry["ttl_in"], 1337, data)
    if entry["received_from"] == "api":
        world.client().send(item)
        for link in (first, second):    # at once: the subscriber has not answered yet
            link.expect_item(1337, data, ttl=entry["ttl_out"])
        subscriber.expect(1337, data)
        return
    first.send(item)
    found = subscriber.expect(1337, data)
    second.expect_no_item(0.1)    # not before the verdict
    subscriber.send(Validation(found.message_id, True))
    if entry["forward_after_valid"]:
        second.expect_item(1337, data, ttl=entry["ttl_out"])
    else:
        second.expect_no_item(QUIET_SECONDS)
    first.expect_no_item(0.1)


# --- scenarios made of steps ---------------------------------------------------------------------------------

def play(world, scenario):
    """A, B, C are clients, peer1 and peer2 neighbours; who expects a notification has subscribed before."""
    steps, actors, known, sent = scenario["steps"], {}, {}, {}
    for name in dict.fromkeys(step[0] for step in steps if step[0] != "node"):
        node = 1 if name.endswith("@remote") else 0
        if name.startswith("peer"):
            actors[name] = world.link()
            continue
        own = {int(text.split()[1]) for who, _, text in steps if who == name and str(text).startswith("notify")}
        needs = {int(found[1]) for who, _, text in steps if who == name
                 and (found := re.match(r"notification id=\w+ (\d+)", str(text)))}
        actors[name] = world.subscriber(*(needs - own), node=node) if needs - own else world.client(node)
        if node:
            reach(world, actors[name])
    for name, action, text in steps:
        step(world, actors.get(name), action, text, known, sent)


def reach(world, remote):
    """Waits until an item that is announced at the first node comes to this client of the second."""
    kind = 0xE000
    remote.subscribe(kind, helper=world.helper(1))
    for _ in range(60):
        world.helper().send(Announce(1, kind, world.data("reach")))
        if found := remote.next(0.5):
            while found:
                remote.send(Validation(found.message_id, True))
                found = remote.next(0.2)
            return
    raise Wrong("the two nodes are no neighbours")


def step(world, actor, action, text, known, sent):
    words, quoted = str(text).split(), re.search(r'"(.*)"$', str(text))
    data = sent.setdefault(quoted[1], world.data(quoted[1])) if quoted else None
    match (words[0], action):
        case (_, "expect-nothing"):
            (actor.expect_nothing if isinstance(actor, Client) else actor.expect_no_item)(text / 1000)
        case (_, "close"):
            actor.close()
        case (_, "alive"):
            world.subscriber(1337)
        case ("notify", "send"):
            actor.subscribe(int(words[1]), helper=world.helper(actor.node))
        case ("announce" | "item", "send"):
            actor.send(Announce(int(words[1].removeprefix("ttl=")), int(words[2]), data))
        case ("validation", "send"):
            actor.send(Validation(known[words[1]], words[2] == "1"))
        case ("item", "expect"):
            actor.expect_item(int(words[2]), data, ttl=int(words[1].removeprefix("ttl=")))
        case ("notification", "expect"):
            known[words[1].removeprefix("id=")] = actor.expect(int(words[2]), data).message_id
        case _:
            raise Wrong(f"step {action} {text!r} is unknown")


# --- our own encoder and decoder -----------------------------------------------------------------------------

def expected(entry):
    """The message that the fields of a vector describe."""
    fields = dict(entry["fields"])
    data = fields.pop("data", "")
    data = bytes.fromhex(data) if isinstance(data, str) else bytes.fromhex(data["octet"]) * data["count"]
    peers = tuple(Entry(peer["id"], peer["address"], peer["port"]) for peer in fields.pop("peers", ()))
    kind = {500: Announce, 501: Notify, 502: Notification, 503: Validation, 510: Init, 511: Populate, 512: Connect,
            513: Disconnect, 514: Neighbors}[entry["type"]]
    if kind is Announce:
        return Announce(fields["ttl"], fields["data_type"], data, fields.get("salt", fields.get("reserved", 0)))
    if kind is Notification:
        return Notification(fields["message_id"], fields["data_type"], data)
    if kind in (Populate, Neighbors):
        return kind(fields["id"], peers, fields["reserved"])
    return kind(**fields)


def malformed_for_us(entry):
    """Whether one message alone is refused by its octets, whatever the channel."""
    return any(entry["why"].startswith(start) for start in ("size", "unknown", "too short", "no header", "datagram")) \
        or re.search("must be", entry["why"])


@case("no node")
def vectors(world):
    """Sections 1, 2, 4.2 and 5: every message of the file is read and written alike, what is malformed is refused."""
    messages = [entry for entry in world.vectors["messages"] if entry["channel"] != "compat-authors-2017"]
    for entry in messages:
        data, message = octets(entry), expected(entry)
        if decode(data) != message or message.encode() != data or len(data) != entry["size"]:
            raise Wrong(f"{entry['name']}: {decode(data)}, expected {message}")
    keys, wrong = world.vectors["dedupe_keys"], list(filter(malformed_for_us, world.vectors["malformed"]))
    for entry in keys:
        if seen_key(entry["salt"], entry["data_type"], bytes.fromhex(entry["data"])).hex() != entry["key"]:
            raise Wrong(f"{entry['name']}: another key")
    for entry in wrong:
        try:
            raise Wrong(f"{entry['name']}: read as {decode(octets(entry))}")
        except Malformed:
            pass
    theirs = [entry for entry in world.vectors["messages"] if entry["channel"] == "compat-authors-2017"]
    for entry in theirs:
        hello, data = "source_ip" in entry["fields"], octets(entry)
        value = entry["fields"]["source_ip" if hello else "peers"]
        encoded = (authors.encode_hello if hello else authors.encode_peer_list)(value)
        if encoded != data or authors.decode(data) != (entry["type"], value):
            raise Wrong(f"{entry['name']}: {authors.decode(data)}, expected {value}")
    for name, group in (("messages", messages), ("of authors-2017", theirs), ("keys", keys), ("malformed", wrong)):
        print(f"{name}: {len(group)} ok")
    if not (messages and theirs and keys and wrong):
        raise Wrong("a group without entries")


def load(path):
    """The vector file; a scenario without a function of its own is played step by step."""
    if not path:
        return None
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    for scenario in found["scenarios"]:
        if scenario["name"] not in CASES:
            remote = any("@remote" in entry[0] for entry in scenario["steps"])

            def run(world, scenario=scenario):
                play(world, scenario)
            run.__doc__ = f"Scenario of the vector file: {scenario['note']}."
            case(TWO if remote else FREE, 30, scenario["name"])(run)
    return found
