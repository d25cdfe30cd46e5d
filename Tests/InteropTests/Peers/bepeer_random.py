#!/usr/bin/env python3
"""Seeded random operations on the folders of N real nodes: nothing that was ever settled may be lost.

A version is *settled* when it lay unchanged in the folder of a node for a second, also while the node was away. When
all is quiet, all folders must be equal, and each settled version must be in a folder, under its name or as a conflict
copy, or in the `.bepeer/trash` of some node; but for those that an operation undid where no other node had them.

    bepeer_random.py --program PATH [--nodes N] [--topology line|ring|mesh|star] [--operations N] [--seed N]
                     [--rounds N] [--old]
    bepeer_random.py --folders A,B,C --start COMMAND --stop COMMAND [--settle S] ...

The second form drives nodes that somebody else has configured: {n} in a command is the number of the node, from 0.
--old adds an old peer (bepeer_old), which joins the first node and edits too; then nothing is deleted.
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
from bepeer_world import World, tree
from sockets import Wrong

NAMES = ("a", "b.txt", "c.tar.gz", ".d", "é f", "g#1%", "notes.md", "x")
FOLDERS = ("", "sub/", "sub/deep/", "o ther/")


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


class Place:
    """A folder and how its node is started and stopped. An old peer has no trash and knows no deletes."""

    def __init__(self, folder, start=None, stop=None, is_old=False):
        self.folder, self.start, self.stop, self.is_old = folder, start, stop, is_old


class Driver:
    """Operations on places, and what is known of their versions.

    With an old peer among them nothing is deleted or renamed, and each old peer has a folder of its own to write in:
    of two edits at once one is lost there, and the other side is not told.
    """

    def __init__(self, places, seed, settle=7.0, patience=120.0, say=lambda text: None):
        self.places, self.chance, self.settle, self.patience = places, random.Random(seed), settle, patience
        self.say, self.count, self.trail = say, 0, []
        self.settled, self.undone = {}, set()      # digest: (name, node); digests that were undone by hand
        self.has_old = any(place.is_old for place in places)

    # --- operations ------------------------------------------------------------------------------------------

    def content(self):
        self.count += 1
        size = self.chance.choice((0, 1, 20, 20, 500, 70_000))
        return b"version %d of %d\n" % (self.count, self.chance.getrandbits(60)) + self.chance.randbytes(size)

    def own_folder(self, place):
        return f"old {self.places.index(place)}/"

    def files(self, place):
        """What an operation may touch."""
        return sorted(
            name for name in self.look(place) if not wire.is_conflict_name(name)
            and (name.startswith(self.own_folder(place)) if place.is_old else not name.startswith("old ")))

    def operate(self, place):
        kinds = ["create"] * 3 + ["edit"] * 4 + ["append"] * 2
        if not self.has_old:
            kinds += ["rename"] * 2 + ["delete", "mkdir"]
        kind, files = self.chance.choice(kinds), self.files(place)
        folder = self.own_folder(place) if place.is_old else self.chance.choice(FOLDERS)
        name = folder + self.chance.choice(NAMES)
        before = self.look(place)
        try:
            name = self.change(place, kind, name, files and self.chance.choice(files))
        except OSError as error:    # the node was faster
            name = f"{name}: {error}"
        self.trail.append(f"{self.places.index(place)}: {kind} {name}")
        self.forget(place, before)

    def change(self, place, kind, name, old):
        def path(name):
            return os.path.join(place.folder, name)
        if kind == "mkdir":
            name = f"{os.path.dirname(name)}/dir {self.chance.randint(1, 3)}".lstrip("/")
            os.makedirs(path(name), exist_ok=True)
        elif kind == "create" or not old:
            self.write(path(name), self.content())
        elif kind == "rename":
            if not os.path.lexists(path(name)):
                os.makedirs(os.path.dirname(path(name)), exist_ok=True)
                os.rename(path(old), path(name))
            return f"{old} -> {name}"
        elif kind == "delete":
            os.unlink(path(old))
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

    @staticmethod
    def look(place):
        while True:
            with contextlib.suppress(OSError):
                return tree(place.folder)
            time.sleep(0.05)

    def trees(self):
        return [self.look(place) for place in self.places]

    def note(self, before, after):
        """What lay in a node's folder at both looks was settled there, also when the node was away."""
        for number, (first, second) in enumerate(zip(before, after)):
            if not self.places[number].is_old:
                for name, digest in second.items():
                    if first.get(name) == digest:
                        self.settled.setdefault(digest, (name, number))

    def kept(self, without=None):
        """Digests of all that can be had at the nodes."""
        found = set()
        for place in self.places:
            if not place.is_old:
                found |= set(tree(os.path.join(place.folder, ".bepeer/trash"), hidden=True).values())
                found |= set(self.look(place).values()) if place is not without else set()
        return found

    def forget(self, place, before):
        """What an operation of ours overwrote or deleted where nobody else had it is gone by our own hand."""
        gone = set(before.values()) - set(self.look(place).values())
        if gone:
            self.undone |= gone - self.kept(without=place)

    def wait(self, seconds):
        before = self.trees()
        time.sleep(seconds)
        if seconds >= 1:
            self.note(before, self.trees())

    def quiet(self):
        """Waits until all folders are equal and stay so."""
        until, since, last = time.monotonic() + self.patience, None, None
        while True:
            now = self.trees()
            if now == last and all(one == now[0] for one in now):
                since = since or time.monotonic()
                if time.monotonic() - since > self.settle:
                    self.note(now, now)
                    return now[0]
            else:
                since = None
            if time.monotonic() > until:
                raise Lost(self.difference(now))
            last = now
            time.sleep(0.3)

    def difference(self, trees):
        lines = [f"folders differ or move after {self.patience:g} s"]
        for name in sorted({name for one in trees for name in one}):
            found = [one.get(name, "-")[:7] for one in trees]
            if len(set(found)) > 1:
                lines.append(f"  {name}: {' '.join(found)}")
        return "\n".join(lines[:30] + self.trail[-30:])

    def check(self):
        """Each settled version is somewhere. Their number."""
        kept = self.kept()
        lost = [(digest, *where) for digest, where in self.settled.items() if digest not in kept | self.undone]
        if lost:
            lines = [f"  {name} {digest[:7]}, settled at node {number}" for digest, name, number in lost]
            raise Lost("\n".join([f"{len(lost)} settled versions are lost:", *lines[:20], *self.trail[-40:]]))
        return len(self.settled)

    # --- a run -----------------------------------------------------------------------------------------------

    def run(self, operations, rounds=3):
        final, kept = {}, 0
        for number in range(rounds):
            away = [place for place in self.places if place.stop and self.chance.random() < 0.4]
            if len(away) == len(self.places):
                away.pop()
            for place in away:
                place.stop()
            for _ in range(operations // rounds):
                self.operate(self.chance.choice(self.places))
                if self.chance.random() < 0.3:
                    self.wait(self.chance.choice((0.1, 1.0, 4.5)))
            self.wait(self.settle)
            for place in away:
                place.start()
            final = self.quiet()
            kept = self.check()
            self.say(f"round {number + 1}: {len(final)} files equal in {len(self.places)} folders, {kept} settled "
                     f"versions, {len(self.undone)} undone by hand, {len(away)} nodes were away")
        copies = sum(wire.is_conflict_name(name) for name in final)
        return f"{self.count} versions, {kept} settled, {len(final)} files, {copies} conflict copies"


# --- real nodes ----------------------------------------------------------------------------------------------


class Network:
    """N real nodes of a world of cases, joined as the topology says."""

    def __init__(self, world, count, topology, files):
        self.world, self.files, self.nodes = world, files, []
        links = links_of(count, topology)
        for number in range(count):
            owners = [self.nodes[owner].messages for joiner, owner in links if joiner == number]
            self.nodes.append(world.home(files if number == 0 else {}, share={"peers": owners}))
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

    def run(self, seed, operations, say=lambda text: None, rounds=3, settle=7.0, patience=120.0, more=()):
        places = [Place(node.folder, node.start, node.stop) for node in self.nodes] + list(more)
        driver = Driver(places, seed, settle, patience, say)
        try:
            return driver.run(operations, rounds)
        except Lost as lost:
            raise Wrong(f"seed {seed}: {lost}\n{self.troubles()}") from None

    def troubles(self):
        """What the nodes complained of, and what they did last."""
        lines = []
        for number, node in enumerate(self.nodes):
            lines.append(f"node {number}, {node.host}:")
            for event in ("untrusted", "verify_bad", "folder_stopped", "reject", "disk_full"):
                lines += [f"  {line.get('raw', b'').decode().rstrip()}" for line in node.of(event)[-4:]]
            lines += [f"  {line.get('raw', b'').decode().rstrip()}" for line in node.lines[-6:]]
        return "\n".join(lines)


def with_program(options, say):
    world = World(options)
    try:
        network = Network(world, options.nodes, options.topology, {"File1": b"one\n", "File2": b"two\n"})
        network.start()
        more = []
        if options.old:
            more.append(old_place(world, network.nodes[0]))
        summary = network.run(options.seed, options.operations, say, options.rounds, more=more)
        network.stop()
        return summary
    finally:
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
    parser.add_argument("--settle", type=float, default=7.0)
    parser.add_argument("--patience", type=float, default=120.0)
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
