#!/usr/bin/env python3
"""Seeded random operations on the folders of N real nodes: nothing that was ever settled may be lost.

A version is *settled* when it lay unchanged in the folder of a node for half of its quiet time (2 s, 6.2), also while
the node was away. When
nobody has anything left to do, all folders must be equal, and each settled version must be in a folder, under its name
or as a conflict copy, or in the `.bepeer/trash` of some node; but for those that an operation undid where no other node
had them. Nodes are stopped, killed and started again between the operations.

    bepeer_random.py --program PATH [--nodes N] [--topology line|ring|mesh|star] [--operations N] [--seed N]
                     [--rounds N] [--off N ...] [--old] [--set KEY=JSON ...]
    bepeer_random.py --folders A,B,C --start COMMAND --stop COMMAND [--settle S] ...

The second form drives nodes that somebody else has configured: {n} in a command is the number of the node, from 0.
--off: that node, from 0, speaks the old protocol only. Deletes do not reach it, and its own go nowhere: then folders
may differ by what was deleted, and by nothing else. --old adds an old peer (bepeer_old), which joins the first node
and edits too; then nothing is deleted.
"""
import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time

import bepeer_wire as wire
from bepeer_world import QUIET, World
from node import Refused
from sockets import Wrong

NAMES = ("a", "b.txt", "c.tar.gz", ".d", "é f", "g#1%", "notes.md", "x")
FOLDERS = ("", "sub/", "sub/deep/", "o ther/")
STEPS = {"stop": 0.015, "kill": 0.015, "start": 0.06}   # how likely, for each operation


class Lost(Exception):
    """What is not as the text has it."""


def links_of(count, topology):
    """Pairs (joiner, owner): whom a node asks."""
    if topology == "mesh":
        return [(later, earlier) for later in range(count) for earlier in range(later)]
    if topology == "star":
        return [(later, 0) for later in range(1, count)]
    links = [(later, later - 1) for later in range(1, count)]
    return links + ([(count - 1, 0)] if topology == "ring" and count > 2 else [])


class Looker:
    """What lies in folders. A file that has not changed since the last look is not read again."""

    def __init__(self):
        self.known = {}

    def tree(self, folder):
        """Path: hash of all files, path with a slash: None of all folders in which nothing is; nothing of .bepeer*."""
        return self.walk(folder, lambda name: not name.startswith(".bepeer"))

    def trash(self, folder):
        return self.walk(os.path.join(folder, ".bepeer/trash"), lambda name: True)

    def walk(self, top, takes, under=""):
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(top, under)) as entries:
            for entry in entries:
                path = under + entry.name
                if not under and not takes(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below = self.walk(top, takes, path + "/")
                    found |= below or {path + "/": None}
                elif entry.is_file(follow_symlinks=False) and (digest := self.digest(entry.path)):
                    found[path] = digest
        return found

    def digest(self, path):
        try:
            mark, digest = self.known.get(path, (None, None))
            if mark is None or self.mark(os.stat(path)) != mark:
                with open(path, "rb") as file:
                    mark, digest = self.mark(os.fstat(file.fileno())), wire.digest_of(file.read())
                self.known[path] = mark, digest
            return digest
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    @staticmethod
    def mark(facts):
        return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


class Place:
    """A folder and how its node is started and stopped.

    An old peer has no trash and is never away. `told` is false for a node of ours that speaks the old protocol only.
    `rest` tells what the node still has to do, nothing when it has nothing; None: it cannot be asked.
    """

    def __init__(self, folder, start=None, stop=None, kill=None, is_old=False, told=True, rest=None):
        self.folder, self.start, self.stop, self.kill = folder, start, stop, kill
        self.is_old, self.told, self.rest = is_old, told and not is_old, rest
        self.is_away = False


class Driver:
    """Operations on places, and what is known of their versions.

    With an old peer among them nothing is deleted or renamed, and each old peer has a folder of its own to write in:
    of two edits at once one is lost there, and the other side is not told.
    """

    def __init__(self, places, seed, settle=7.0, patience=240.0, say=lambda text: None, quiet=QUIET):
        self.places, self.chance, self.settle, self.patience = places, random.Random(seed), settle, patience
        self.quiet_time = quiet
        self.say, self.count, self.trail, self.looker = say, 0, [], Looker()
        self.settled, self.undone = {}, set()      # digest: (name, node); digests that were undone by hand
        self.deleted = set()                       # names that somebody has deleted or renamed
        self.has_old = any(place.is_old for place in places)
        self.is_told = all(place.told for place in places)
        self.ends = {"stop": 0, "kill": 0}

    # --- operations ------------------------------------------------------------------------------------------

    def content(self):
        self.count += 1
        size = self.chance.choice((0, 1, 20, 20, 500, 70_000, 400_000))
        return b"version %d of %d\n" % (self.count, self.chance.getrandbits(60)) + self.chance.randbytes(size)

    def own_folder(self, place):
        return f"old {self.places.index(place)}/"

    def files(self, place):
        """What an operation may touch: conflict copies too, since people edit them."""
        return sorted(
            name for name, digest in self.look(place).items() if digest
            and (name.startswith(self.own_folder(place)) if place.is_old else not name.startswith("old ")))

    def operate(self, place):
        kinds = ["create"] * 3 + ["edit"] * 4 + ["append"] * 2
        if not self.has_old:
            kinds += ["rename"] * 2 + ["delete"] * 2 + ["mkdir", "rmdir"]
        kind, files = self.chance.choice(kinds), self.files(place)
        folder = self.own_folder(place) if place.is_old else self.chance.choice(FOLDERS)
        name = folder + self.chance.choice(NAMES)
        old = self.chance.choice(files) if files else None
        # What is at these names goes by our own hand; what else goes meanwhile is the node's doing.
        touched = {one: self.looker.digest(os.path.join(place.folder, one)) for one in (name, old) if one}
        try:
            name = self.change(place, kind, name, old)
        except OSError as error:    # the node was faster
            name = f"{name}: {error}"
        self.trail.append(f"{time.time() % 10000:.3f} {self.places.index(place)}: {kind} {name}")
        gone = {digest for one, digest in touched.items()
                if digest and self.looker.digest(os.path.join(place.folder, one)) != digest}
        self.undone |= gone and gone - self.kept()

    def change(self, place, kind, name, old):
        def path(name):
            return os.path.join(place.folder, name)
        if kind == "mkdir":
            name = f"{os.path.dirname(name)}/dir {self.chance.randint(1, 3)}".lstrip("/")
            os.makedirs(path(name), exist_ok=True)
        elif kind == "rmdir":
            empty = sorted(name for name, digest in self.look(place).items() if digest is None)
            if empty:
                name = self.chance.choice(empty)
                os.rmdir(path(name))
                self.deleted.add(name)
        elif kind == "create" or not old:
            self.write(path(name), self.content())
        elif kind == "rename":
            if not os.path.lexists(path(name)):
                os.makedirs(os.path.dirname(path(name)), exist_ok=True)
                os.rename(path(old), path(name))
                self.deleted.add(old)
            return f"{old} -> {name}"
        elif kind == "delete":
            os.unlink(path(old))
            self.deleted.add(old)
            return old
        elif kind == "append":
            with open(path(old), "ab") as file:
                file.write(self.content())
            return old
        else:
            self.write(path(old), self.content())
            return old
        return name

    @staticmethod
    def write(path, data):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + "~new", "wb") as file:
            file.write(data)
        os.rename(path + "~new", path)

    # --- versions --------------------------------------------------------------------------------------------

    def look(self, place):
        return self.looker.tree(place.folder)

    def trees(self):
        return [self.look(place) for place in self.places]

    def note(self, before, after):
        """What lay in a node's folder at both looks was settled there, also when the node was away."""
        for number, (first, second) in enumerate(zip(before, after)):
            if not self.places[number].is_old:
                for name, digest in second.items():
                    if digest and first.get(name) == digest:
                        self.settled.setdefault(digest, (name, number))

    def kept(self):
        """Digests of all that can be had at the nodes."""
        found = set()
        for place in self.places:
            if not place.is_old:
                found |= set(self.looker.trash(place.folder).values()) | set(self.look(place).values())
        return found

    def wait(self, seconds):
        before = self.trees()
        time.sleep(seconds)
        if seconds >= self.quiet_time / 2:
            self.note(before, self.trees())

    def quiet(self):
        """Waits until nobody has anything to do, all folders are equal, and both stay so."""
        until, since, last, rest = time.monotonic() + self.patience, None, None, []
        while True:
            now = self.trees()
            rest = [text for place in self.places if place.rest for text in place.rest()]
            if now == last and not rest and not self.difference(now):
                since = since or time.monotonic()
                if time.monotonic() - since > self.settle:
                    self.note(now, now)
                    return now[0]
            else:
                since = None
            if time.monotonic() > until:
                raise Lost("\n".join([
                    f"folders differ or nodes work after {self.patience:g} s", *self.difference(now)[:30], *rest[:10],
                    *self.trail[-30:]]))
            last = now
            time.sleep(0.3)

    def difference(self, trees):
        """Where folders are not equal, a line each. What was deleted may still be where only old messages reach."""
        lines = []
        for name in sorted({name for one in trees for name in one}):
            if name.endswith("/") and (self.has_old or not self.is_told):
                continue
            found = [one.get(name, "-") for one in trees]
            if len(set(found)) == 1 or self.may_differ(name, found):
                continue
            lines.append(f"  {name}: {' '.join(digest and digest[:7] or '/' for digest in found)}")
        return lines

    def may_differ(self, name, found):
        if self.is_told or len(set(found) - {"-"}) > 1:
            return False
        # All who tell each other of deletes have it, or none of them; the oldest of many copies is deleted by nodes.
        told = {digest for digest, place in zip(found, self.places) if place.told}
        return len(told) == 1 and (name in self.deleted or wire.is_conflict_name(name))

    def check(self):
        """Each settled version is somewhere. Their number."""
        kept = self.kept()
        lost = [(digest, *where) for digest, where in self.settled.items() if digest not in kept | self.undone]
        if lost:
            lines = [f"  {name} {digest[:7]}, settled at node {number}" for digest, name, number in lost]
            raise Lost("\n".join([f"{len(lost)} settled versions are lost:", *lines[:20], *self.trail[-60:]]))
        return len(self.settled)

    # --- a run -----------------------------------------------------------------------------------------------

    def come_and_go(self):
        """Now and then a node ends, in order or not, or comes back; at least one is always there."""
        for kind, chance in STEPS.items():
            if self.chance.random() >= chance:
                continue
            some = [place for place in self.places if place.stop and place.is_away == (kind == "start")]
            if not some or kind != "start" and len(some) < 2:
                continue
            place = self.chance.choice(some)
            if kind == "start":
                place.start()
            else:
                (place.stop if kind == "stop" or not place.kill else place.kill)()
                self.ends[kind] += 1
            place.is_away = kind != "start"
            self.trail.append(f"{time.time() % 10000:.3f} {self.places.index(place)}: {kind}")

    def run(self, operations, rounds=3):
        final, kept = {}, 0
        for number in range(rounds):
            for _ in range(operations // rounds):
                self.come_and_go()
                self.operate(self.chance.choice(self.places))
                if self.chance.random() < 0.3:
                    self.wait(self.chance.choice((0.05, 0.5, 2.25)) * self.quiet_time)
            self.wait(self.quiet_time / 2)
            for place in self.places:
                if place.is_away:
                    place.start()
                    place.is_away = False
            began = time.monotonic()
            final = self.quiet()
            kept = self.check()
            self.say(f"round {number + 1}: {len(final)} files equal in {len(self.places)} folders after "
                     f"{time.monotonic() - began:.0f} s, {kept} settled versions, {len(self.undone)} undone by hand, "
                     f"nodes were stopped {self.ends['stop']} times and killed {self.ends['kill']} times")
        copies = sum(wire.is_conflict_name(name) for name in final)
        return (f"{operations} operations, {self.count} versions, {kept} settled, {len(self.undone)} undone by hand, "
                f"{len(final)} files, {copies} conflict copies, {self.ends['stop']} stops, {self.ends['kill']} kills")


# --- real nodes ----------------------------------------------------------------------------------------------


class Network:
    """N real nodes of a world of cases, joined as the topology says."""

    def __init__(self, world, count, topology, files, off=(), **settings):
        self.world, self.files, self.nodes, self.off = world, files, [], off
        self.quiet = settings.get("quietSeconds", QUIET)
        links = links_of(count, topology)
        for number in range(count):
            owners = [self.nodes[owner].messages for joiner, owner in links if joiner == number]
            more = settings | ({"extensions": False} if number in off else {})
            self.nodes.append(world.home(files if number == 0 else {}, share={"peers": owners}, **more))
        self.links = links

    def start(self):
        """Starts one after the other, and waits until all trust whom they shall."""
        try:
            self.start_all()
        except Wrong as error:
            raise Wrong(f"{error}\n{self.troubles()}") from None

    def start_all(self):
        for number, node in enumerate(self.nodes):
            node.start()
            for joiner, owner in self.links:
                if joiner == number:
                    node.about("trusted", self.nodes[owner].host, 40)
                    self.nodes[owner].about("trusted", node.host, 40)
            node.has_tree(self.nodes[0].tree(), 40)

    def stop(self):
        for node in self.nodes:
            node.stop()

    def rest(self, node):
        """What a node has still to do, by its own word: files to look at and to fetch, peers that wait for something.

        Peers that are not there wait for nothing."""
        try:
            rows = node.admin("replication.status")
        except (OSError, Refused) as error:
            return [f"{node.host}: {error}"]
        lines = []
        for row in rows:
            if "peer" in row:
                work = row["state"] == "trusted" and (row["offered"] or row["pending"] or not row["reachable"])
            else:
                work = row["state"] != "ready" or row["changing"] or row["missing"]
            if work:
                lines.append(f"  {node.host}: {row}")
        return lines

    def run(self, seed, operations, say=lambda text: None, rounds=3, settle=None, patience=240.0, more=()):
        places = [
            Place(node.folder, node.start, node.stop, node.kill, told=number not in self.off,
                  rest=lambda node=node: self.rest(node))
            for number, node in enumerate(self.nodes)] + list(more)
        driver = Driver(places, seed, 2 * self.quiet if settle is None else settle, patience, say, self.quiet)
        try:
            return driver.run(operations, rounds)
        except Lost as lost:
            raise Wrong(f"seed {seed}: {lost}\n{self.troubles()}") from None

    def write_logs(self, folder):
        """All that the nodes have said, for whom wants to know."""
        os.makedirs(folder, exist_ok=True)
        for number, node in enumerate(self.nodes):
            with open(os.path.join(folder, f"{number} {node.host}.log"), "wb") as file:
                file.writelines(line["raw"] for line in node.past + node.lines if b'"cat":"admin"' not in line.get(
                    "raw", b'"cat":"admin"'))

    def troubles(self):
        """What the nodes complained of, and what they did last."""
        lines = []
        for number, node in enumerate(self.nodes):
            lines.append(f"node {number}, {node.host}:")
            for event in ("untrusted", "verify_bad", "folder_stopped", "disk_full", "fetch_failed", "fetch_retry"):
                lines += [f"  {line.get('raw', b'').decode().rstrip()}" for line in node.of(event)[-4:]]
            own = [line for line in node.lines if line.get("cat") == "replication"]
            lines += [f"  {line.get('raw', b'').decode().rstrip()}" for line in own[-12:]]
        return "\n".join(lines)


def with_program(options, say):
    world = World(options)
    network = Network(
        world, options.nodes, options.topology, {"File1": b"one\n", "File2": b"two\n"}, options.off)
    try:
        network.start()
        more = []
        if options.old:
            more.append(old_place(world, network.nodes[0]))
        summary = network.run(
            options.seed, options.operations, say, options.rounds, options.settle, options.patience, more)
        network.stop()
        return summary
    finally:
        if options.logs:
            network.write_logs(options.logs)
        world.close()


def old_place(world, node):
    """An old peer that has joined a node. It is never away."""
    peer = world.old(scan=0.3)
    peer.join(node.host, node.port)
    peer.wait("peer", peer=node.host)
    return Place(peer.folder, is_old=True)


def with_commands(options, say):
    def run(command, number):
        return lambda: subprocess.run(command.replace("{n}", str(number)), shell=True, check=True, timeout=60)
    places = [Place(os.path.abspath(folder), run(options.start, number), run(options.stop, number))
              for number, folder in enumerate(options.folders.split(","))]
    driver = Driver(places, options.seed, options.settle, options.patience, say)
    for place in places:
        place.start()
    try:
        driver.quiet()
        return driver.run(options.operations, options.rounds)
    finally:
        for place in places:
            place.stop()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="the peernode to be started")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--topology", choices=["line", "ring", "mesh", "star"], default="mesh")
    parser.add_argument("--operations", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--folders", help="of nodes that others have configured, with commas between them")
    parser.add_argument("--start", help="command that starts node {n} and returns when it is up")
    parser.add_argument("--stop", help="command that stops node {n} and returns when it is down")
    parser.add_argument("--off", type=int, nargs="*", default=[], help="nodes that speak the old protocol only")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="for every node")
    parser.add_argument("--logs", metavar="FOLDER", help="keeps what the nodes said")
    parser.add_argument("--settle", type=float, default=7.0, help="seconds for which nothing may move at the end")
    parser.add_argument("--patience", type=float, default=240.0, help="seconds that it may take to be equal")
    options = parser.parse_args(arguments)
    if not options.program and not (options.folders and options.start and options.stop):
        parser.error("--program, or --folders, --start and --stop")
    options.program = options.program and (shutil.which(options.program) or os.path.abspath(options.program))
    try:
        summary = (with_program if options.program else with_commands)(options, lambda text: print(text, flush=True))
    except (Lost, Wrong) as error:
        print(f"seed {options.seed}: {error}")
        return 1
    print(f"seed {options.seed}: ok, {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
