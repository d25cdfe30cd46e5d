"""Several real nodes (bepeer.md sections 4.1, 4.3, 4.4 and 8; vectors scenario)."""
import json
import os
import re
import shutil
import time

import bepeer_kills
from bepeer_peer import extension, http_get
from bepeer_random import Network
from bepeer_wire import EXTENSION, OFFER, conflict_name, digest_of, entry, offer, read_manifest, report
from bepeer_world import NAME, QUIET
from cases import case
from sockets import check, equal
from world import octets, settle

TWO = {"File1": b"one\n", "File2": b"two\n"}
LATE = 75.0     # an offer that is not answered holds the next one back for a minute (4.1)


def trees_equal(*nodes, seconds=LATE):
    """Waits until all folders are equal; gives the tree."""
    def same():
        try:
            first, *others = [node.tree() for node in nodes]
        except OSError:
            return None
        return (first,) if all(other == first for other in others) else None
    return nodes[0].until("equal folders", same, seconds)[0]


@case("A real node becomes a peer of a real node, and updates go both ways (3, 4)", 150)
def two_nodes(world):
    """New, edited, in subfolders, empty, many; nothing is left in .bepeer/part."""
    files = {**TWO, "sub/deep/x": b"x", "empty": b"", "big": octets(5 << 20)}
    files |= {f"many/{number:04}": octets(100, number) for number in range(500)}
    first, second = world.pair(files)
    for node, other, text in ((first, second, b"from the first"), (second, first, b"from the second")):
        node.put("File1", text)
        node.put(f"new/{text.decode()}", text)
        other.has("File1", text, LATE)
        other.has(f"new/{text.decode()}", text, LATE)
    trees_equal(first, second)
    # Whoever edits a file that he has just reported is no liar.
    equal((first.of("untrusted"), second.of("untrusted")), ([], []), "peers that are dropped")
    equal((first.copies(), second.copies(), first.parts(), second.parts()), ([], [], [], []), "copies and parts")
    equal(os.stat(first.path("big")).st_mtime_ns // 10**6, os.stat(second.path("big")).st_mtime_ns // 10**6, "mtime")
    second.stop()
    first.put("File2", b"while it was away")
    first.wait("change", count=len(first.of("change")) + 1, seconds=LATE)
    second.start()
    second.has("File2", b"while it was away", LATE)
    first.stop()
    second.stop()


@case("Only content changes go on: the flood dies out in a ring of five (4.1, bp-scenario-10)", 150)
def no_loop(world):
    """One edit: at most 6 FilesToGet, at most 2 per link, and then quiet."""
    network = Network(world, 5, "ring", {"File1": b"one\n"})
    network.start()
    before = [len(node.of("offer")) for node in network.nodes]
    network.nodes[0].put("File1", b"edited\n")
    for node in network.nodes:
        node.has("File1", b"edited\n", LATE)
    settle(3 * QUIET + 2)
    offers = [node.of("offer")[count:] for node, count in zip(network.nodes, before)]
    links = {}
    for node, lines in zip(network.nodes, offers):
        for line in lines:
            other = next((peer.host for peer in network.nodes if peer is not node and peer.host in str(line)), "?")
            link = tuple(sorted((node.host, other)))
            links[link] = links.get(link, 0) + 1
    count = sum(links.values())
    check(4 <= count <= 6 and max(links.values()) <= 2, f"{count} FilesToGet, {links}")
    settle(2 * QUIET)
    equal([len(node.of("offer")) - start for node, start in zip(network.nodes, before)],
          [len(lines) for lines in offers], "offers after that")
    network.stop()
    return f"{count} FilesToGet"


@case("Five in a full mesh all edit at once: quiet within a minute, each file over each link at most 3 times (4.1)", 180)
def all_at_once(world):
    """Each edits a file that all have, makes a new one, and deletes one. A file moves when it is fetched, and when it
    is read back; one who has nothing to do says so himself."""
    numbers = range(5)
    files = {f"{kind} {number}": octets(20_000, number) for kind in ("edited", "deleted") for number in numbers}
    network = Network(world, 5, "mesh", files)
    network.start()
    network.nodes[0].until("rest", lambda: not any(map(network.rest, network.nodes)), LATE)
    before = [len(node.lines) for node in network.nodes]
    began = time.monotonic()
    expected = {}
    for number, node in enumerate(network.nodes):
        for name in (f"edited {number}", f"new {number}"):
            expected[name] = octets(30_000 + number, number + 7)
            node.put(name, expected[name])
        os.unlink(node.path(f"deleted {number}"))
    trees = {name: digest_of(data) for name, data in expected.items()}
    network.nodes[0].until("equal folders, and rest", lambda: all(
        node.tree() == trees for node in network.nodes) and not any(map(network.rest, network.nodes)), 60)
    seconds = time.monotonic() - began
    moves = {}
    for node, count in zip(network.nodes, before):
        for line in node.lines[count:]:
            if line["event"] in ("fetch_start", "verify_start"):
                move = (line["path"], *sorted((node.host, line["peer"])))
                moves[move] = moves.get(move, 0) + 1
    most = max(moves.values())
    check(most <= 3, f"moves: {[move for move, count in moves.items() if count > 3]}")
    check(len({path for path, *_ in moves}) == len(expected), f"files that moved: {sorted(moves)}")
    equal([len(node.of("conflict")) for node in network.nodes], [0] * 5, "conflicts")
    network.stop()
    return f"quiet after {seconds:.1f} s, {sum(moves.values())} moves of {len(expected)} files over 10 links, at most {most}"


@case("Concurrent edits: the later mtime wins, the loser is kept beside it, once (4.3, bp-scenario-15)", 150)
def concurrent_edit(world):
    """Both nodes make the same copy with the name that the text has; equal contents are no conflict."""
    first, second = world.pair({**TWO, "dir/report.tar.gz": b"v1", "same": b"v1"})
    second.stop()
    changes = len(first.of("change"))
    now = int(time.time()) - 1000
    edits = {"File1": (b"of O\n", now + 5, b"of J\n", now + 9), "dir/report.tar.gz": (b"O", now + 9, b"J", now + 5),
             "same": (b"equal", now + 1, b"equal", now + 2)}
    for name, (ours, our_time, theirs, their_time) in edits.items():
        first.put(name, ours, mtime=our_time)
        second.put(name, theirs, mtime=their_time)
    first.wait("change", count=changes + 1, seconds=LATE)
    settle(2 * QUIET)
    second.start()
    copies = {
        conflict_name("File1", now + 5, digest_of(b"of O\n")): b"of O\n",
        conflict_name("dir/report.tar.gz", now + 5, digest_of(b"J")): b"J"}
    expected = {"File1": b"of J\n", "File2": b"two\n", "dir/report.tar.gz": b"O", "same": b"equal", **copies}
    for node in (first, second):
        node.has_tree({name: digest_of(data) for name, data in expected.items()}, LATE)
    check(first.of("conflict") or second.of("conflict"), "nobody tells of a conflict")
    settle(2 * QUIET)
    equal(sorted(first.copies()), sorted(copies), "copies")
    first.stop()
    second.stop()


@case("A conflict of a conflict copy makes no new copy (4.3)", 150)
def conflict_of_copy(world):
    """The copy is edited on both sides while apart: the later one stays, no copy of a copy."""
    name = conflict_name("File1", 1_700_000_000, digest_of(b"old"))
    first, second = world.pair({**TWO, name: b"old"})
    second.stop()
    changes = len(first.of("change"))
    now = int(time.time()) - 1000
    first.put(name, b"first", mtime=now)
    second.put(name, b"second", mtime=now + 7)
    first.wait("change", count=changes + 1, seconds=LATE)
    settle(QUIET)
    second.start()
    for node in (first, second):
        node.has(name, b"second", LATE)
        equal(node.copies(), [name], "copies")
    first.stop()
    second.stop()


@case("Edit against delete: the edit wins (4.3, bp-scenario-17)", 150)
def edit_beats_delete(world):
    """O deletes what J edits while apart; what nobody edits stays deleted."""
    first, second = world.pair(TWO)
    second.stop()
    os.unlink(first.path("File1"))
    os.unlink(first.path("File2"))
    first.wait("delete", seconds=LATE)
    settle(QUIET)
    second.put("File1", b"edited\n")
    second.start()
    for node in (first, second):
        node.has_tree({"File1": digest_of(b"edited\n")}, LATE)
    first.stop()
    second.stop()


@case("A delete from outside moves the file to .bepeer/trash, as does every overwrite (4.4)", 150)
def trash(world):
    """Deletes and overwrites reach the other node, and what was there is in its trash; trashDays: 0 switches it off."""
    for days in (None, 0):
        first = world.node({**TWO, "sub/File3": b"three\n"})
        share = {"peers": [first.messages]}
        second = world.home(share=share, **({} if days is None else {"trashDays": days})).start()
        second.has_tree(first.tree())
        first.about("trusted", second.host)
        os.unlink(first.path("sub/File3"))
        first.put("File1", b"edited\n")
        second.has_tree({"File1": digest_of(b"edited\n"), "File2": digest_of(b"two\n")}, LATE)
        expected = {("File1", digest_of(b"one\n")), ("sub/File3", digest_of(b"three\n"))}
        equal(second.trash(), expected if days is None else set(), f"trash with trashDays {days}")
        first.stop()
        second.stop()


@case("replicate status: files, octets, what is missing, rate, time left (program 1)", 120)
def progress(world):
    """While files come at the rate that the limits of either side allow: rows of folder and peer, and both tables."""
    files = {"big": octets(12 << 20), **{f"small {number}": octets(100, number) for number in range(20)}}
    total, rate = sum(map(len, files.values())), 2_000_000
    for limit in ("downloadBytesPerSecond", "uploadBytesPerSecond"):
        slow, free = {"limits": {limit: rate}}, {}
        owner = world.home(files, sections=free if limit[0] == "d" else slow).start()
        joiner = world.home(
            share={"peers": [owner.messages]}, sections=slow if limit[0] == "d" else free).start()

        def rows(joiner=joiner):
            done = joiner.command("replicate", "status", "--json")
            found = [json.loads(line) for line in done.stdout.splitlines()]
            return found if found and found[0].get("doneBytes", 0) > total // 2 else None
        folder, peer = joiner.until("half of it", rows, 40)
        for row in (folder, peer):
            equal((row["doneFiles"], row["ofFiles"], row["ofBytes"]), (20, 21, total), f"{limit}: {row}")
            check(0.6 * rate < row["bytesPerSecond"] < 1.3 * rate, f"{limit} {rate}: {row}")
            left = (total - row["doneBytes"]) / row["bytesPerSecond"]
            check(abs(row["secondsLeft"] - left) <= 1, f"time left: {row}")
        equal((folder["state"], folder["missing"], peer["peer"]), ("fetching", 1, owner.host), f"{limit}: {folder}")
        text = joiner.command("replicate", "status").stdout
        check("fetching: 20 of 21 files, " in text and " left\n" in text, text)
        check(re.search(r"fetching \d+ %", joiner.command("replicate", "list").stdout), "no share in the list")
        joiner.has("big", files["big"], 60)
        owner.about("trusted", joiner.host)
        check("ofFiles" not in json.loads(joiner.command("replicate", "list", "--json").stdout), "it is done")
        for node in (owner, joiner):
            node.stop()


@case(".bepeerignore is not replicated, unless syncIgnore is on (7); what is ignored later is not gone (6.2)", 150)
def ignore_file(world):
    """Where it is, what it names stays where it lies, here and there, and is not offered."""
    for is_on in (True, False):
        first = world.node({**TWO, "a.tmp": b"before"}, share={"syncIgnore": is_on})
        second = world.home(share={"peers": [first.messages], "syncIgnore": True}).start()
        second.has_tree(first.tree())
        first.about("trusted", second.host)
        first.put(".bepeerignore", b"*.tmp\n")
        first.put("last", b"last")
        second.has("last", b"last", LATE)
        first.put("b.tmp", b"after")
        first.put("very last", b"very last")
        second.has("very last", b"very last", LATE)
        settle(QUIET)
        equal(second.content(".bepeerignore"), b"*.tmp\n" if is_on else None, "the file itself")
        equal((second.content("a.tmp"), second.content("b.tmp")), (b"before", None), "what it names")
        for node in (first, second):
            equal(http_get(node.http_address, f"/{NAME}/a.tmp", source="127.0.0.1")[0],
                  404 if is_on or node is first else 200, f"a.tmp at {node.host}")
            equal(node.of("delete"), [], "deletes")
            node.stop()


@case("Empty folders: only with the extension (6.2)", 150)
def empty_folders(world):
    """They come and go between two nodes."""
    first, second = world.pair(TWO)
    os.makedirs(first.path("new/empty"))
    second.until("the folder", lambda: os.path.isdir(second.path("new/empty")), LATE)
    os.rmdir(first.path("new/empty"))
    second.until("no folder", lambda: not os.path.isdir(second.path("new/empty")), LATE)
    first.stop()
    second.stop()


@case("The executable bit is in the manifest (8.2)", 150)
def executable(world):
    """A script stays one."""
    first, second = world.pair(TWO)
    first.put("run.sh", b"#!/bin/sh\n")
    os.chmod(first.path("run.sh"), 0o755)
    second.has("run.sh", b"#!/bin/sh\n", LATE)
    second.until("the bit", lambda: os.access(second.path("run.sh"), os.X_OK) and os.stat(
        second.path("run.sh")).st_mode & 0o100, LATE)
    check(not os.stat(second.path("File1")).st_mode & 0o111, "File1 is executable")
    first.stop()
    second.stop()


@case("Mass-delete guard: without the folder marker nothing is propagated, folder_stopped (4.4, bp-scenario-18)", 240)
def unmounted(world):
    """The folder is empty and .bepeer is missing, while the node runs and at its start."""
    files = {f"file {number:03}": b"%d" % number for number in range(100)}
    for is_running in (True, False):
        first, second = world.pair(files)
        if not is_running:
            first.stop()
        offers = len(first.of("offer")) if is_running else 0
        away = first.folder + "-away"
        os.rename(first.folder, away)
        os.mkdir(first.folder)
        if not is_running:
            first.start(listening=False)
        first.wait("folder_stopped", seconds=90 if is_running else LATE)
        settle(2 * QUIET + 2)
        equal(len(second.tree()), 100, "files of the other")
        equal([line for line in first.of("offer")[offers:]], [], "offers of an empty folder")
        equal(first.of("delete"), [], "deletes")
        shutil.rmtree(away)
        first.stop()
        second.stop()


@case("Mass-delete guard: one scan finds more than half of at least 20 files gone (4.4)", 300)
def mass_delete(world):
    """16 of 30: stopped. 15 of 30, and all of 19: propagated."""
    for count, deleted, is_stopped in ((30, 16, True), (30, 15, False), (19, 19, False)):
        files = {f"file {number:03}": b"%d" % number for number in range(count)}
        first, second = world.pair(files)
        first.stop()    # so that one scan finds all
        for name in sorted(files)[:deleted]:
            os.unlink(first.path(name))
        first.start(listening=False)
        if is_stopped:
            first.wait("folder_stopped", seconds=LATE)
            settle(2 * QUIET + 2)
            equal(len(second.tree()), count, "files of the other")
        else:
            second.has_tree(first.tree(), LATE)
            equal(len(second.tree()), count - deleted, "files that are left")
            equal(len(second.trash()), deleted, "files in the trash")
            equal(first.of("folder_stopped"), [], f"stops after {deleted} of {count}")
        first.stop()
        second.stop()


@case("Rename: a new name whose hash exists locally is made by local copy, not by download (4.4, bp-scenario-26)", 150)
def rename(world):
    """A big file, and a whole folder; the server of the first node sends next to nothing."""
    files = {**TWO, **{f"old/{number}": octets(100_000, number) for number in range(10)}}
    first = world.home({**files, "big.bin": octets(1 << 20) * (world.options.bytes >> 20)}).start()
    second = world.home(share={"peers": [first.messages]}).start()
    second.has_tree(first.tree(), 90)
    first.about("trusted", second.host)
    fetched = len(second.of("fetch_done"))
    os.rename(first.path("big.bin"), first.path("big2.bin"))
    os.rename(first.path("old"), first.path("new"))
    second.has_tree(first.tree(), 90)
    amount = sum(int(line.get("bytes", 0)) for line in second.of("fetch_done")[fetched:])
    check(amount <= 65536, f"{amount} octets were fetched")
    first.stop()
    second.stop()


@case("Only changed blocks are fetched by Range, equal ones are copied locally (8.4)", 150)
def blocks(world):
    """One octet of a big file changes."""
    size = max(16 << 20, world.options.bytes)
    first = world.home({"big.bin": octets(1 << 20) * (size >> 20)}).start()
    second = world.home(share={"peers": [first.messages]}).start()
    second.has_tree(first.tree(), 90)
    first.about("trusted", second.host)
    fetched = len(second.of("fetch_done"))
    with open(first.path("big.bin"), "r+b") as file:
        file.seek(size // 2)
        file.write(b"changed")
    second.has_tree(first.tree(), 90)
    amount = sum(int(line.get("bytes", 0)) for line in second.of("fetch_done")[fetched:])
    check(amount <= 4 << 20, f"{amount} octets were fetched of {size}")
    first.stop()
    second.stop()
    return f"{amount} octets of {size}"


@case("Two joiners at once, and one that joins a joiner: a line of three (4.1)", 150)
def line(world):
    """A change at one end reaches the other, a delete too."""
    network = Network(world, 3, "line", TWO)
    network.start()
    first, _, last = network.nodes
    first.put("File1", b"from one end\n")
    last.has("File1", b"from one end\n", LATE)
    last.put("new", b"from the other\n")
    first.has("new", b"from the other\n", LATE)
    os.unlink(last.path("File2"))
    first.until("the delete", lambda: first.content("File2") is None, LATE)
    trees_equal(*network.nodes)
    network.stop()


def random_run(world, count, topology, off=(), rounds=1):
    """Few operations go with short quiet times, so that they take no minute; many with those of the text."""
    settings = {"quietSeconds": 0.4} if world.options.operations <= 200 else {}
    network = Network(world, count, topology, TWO, off, **settings)
    network.start()
    summary = network.run(
        world.options.seed, world.options.operations, rounds=max(rounds, world.options.operations // 250))
    network.stop()
    return summary


@case("Seeded random operations on a ring of five: trees equal, and no version that was settled is lost (4)", 420)
def random_ring(world):
    """bepeer_random: nodes are stopped, killed and started meanwhile; --operations and --seed make it longer."""
    return random_run(world, 5, "ring")


@case("Seeded random operations on a mesh of five (4)", 420)
def random_mesh(world):
    """The same where each tells each."""
    return random_run(world, 5, "mesh")


@case("Seeded random operations on a line of three (4)", 420)
def random_line(world):
    """The same, twice to the end, where what one end has goes through the middle."""
    return random_run(world, 3, "line", rounds=2)


@case("Seeded random operations; the owner of the folder speaks the old protocol only (4)", 420)
def random_old_owner(world):
    """What is deleted stays where only old messages reach; nothing else differs, and nothing is lost."""
    return random_run(world, 3 if world.options.operations <= 200 else 5, "ring", off=(0,))


@case("Seeded random operations; a joiner speaks the old protocol only (4)", 420)
def random_old_joiner(world):
    """The last of three, or of five in a long run."""
    count = 3 if world.options.operations <= 200 else 5
    return random_run(world, count, "ring", off=(count - 1,))


@case("SIGKILL at random moments of a replication, on either side: no file is ever half, both end equal (5.3, 6.1)", 420)
def kills(world):
    """bepeer_kills; --kills and --seed make it longer."""
    settings = {"quietSeconds": 0.4} if world.options.kills <= 10 else {}
    return bepeer_kills.run(world, world.options.kills, world.options.seed, **settings)


@case("Who edits what he has just reported is no liar: he has moved on from the offered version (3.2, 4.3)", 150)
def overtaken_report(world):
    """J fetches File2, reports it, and edits it before O looks: its manifest says so. O does not drop J, and takes the
    edit when it is offered. The text says this of O's edits only; without it a fast user parts two nodes."""
    node, peer, own = world.node(TWO), world.peer(old=False), "00112233445566aa"
    extension(peer, NAME, own, TWO, entries=[])
    peer.become_trusted(node)
    node.put("File2", b"edited by O\n")
    where, _ = peer.await_message(OFFER, "File2", seconds=LATE)
    _, entries = read_manifest(http_get(node.http_address, f"{EXTENSION}/f/{NAME}/manifest", source=peer.host)[2])
    now = int(time.time()) * 1000
    entries = [one if one["p"] != "File2" else entry(
        "File2", b"edited by J\n", now, one["v"] | {own: 1}, one["q"] + 1) for one in entries]
    extension(peer, NAME, own, {**TWO, "File2": b"edited by J\n"}, entries)
    where.send(report(NAME, "File2"))
    settle(5)
    equal(node.of("untrusted"), [], "peers that are dropped")
    where.send(offer(NAME, "File2"))
    node.has("File2", b"edited by J\n", LATE)
    equal(node.copies(), [], "conflict copies")
    node.stop()
