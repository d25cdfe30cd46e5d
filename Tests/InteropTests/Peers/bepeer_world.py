"""What the cases of bepeer_check stand on: real nodes with the section `replication`, foreign peers, folders."""
import contextlib
import functools
import json
import os
import shutil

import world
from bepeer_old import OldPeer
from bepeer_peer import Peer
from bepeer_wire import HTTP_PORT, MESSAGE_PORT, digest_of
from node import Node
from sockets import WAIT, Wrong, loopback_host

NAME = "00-MainDocuments"
QUIET = 2.0         # a file is announced after it was quiet for so long (6.2); the debounce is the same (decision 29)


class Replica(Node):
    """A node that replicates. Its folders are in its place, under their names; `start` may be called again."""

    def __init__(self, program, place, folders=None, sections=None, host=None, **settings):
        self.shares = folders or [{"name": NAME}]
        for share in self.shares:
            share.setdefault("path", os.path.join(place, "folders", share["name"]))
            if not os.path.exists(share["path"]):
                os.makedirs(share["path"])
        super().__init__(program, place)
        self.past = []
        self.host, self.port, self.http_port = host or loopback_host(), MESSAGE_PORT, HTTP_PORT
        self.folder = self.shares[0]["path"]
        replication = {
            "messageAddress": self.messages, "httpAddress": f"{self.host}:{self.http_port}", "folders": self.shares,
            **settings}
        self.write_settings(replication=replication, **(sections or {}))

    @property
    def messages(self):
        return f"{self.host}:{self.port}"

    @property
    def message_address(self):
        return self.host, self.port

    @property
    def http_address(self):
        return self.host, self.http_port

    def start(self, listening=True, seconds=WAIT):
        self.past += self.lines    # of its earlier lives
        super().start()
        if listening:
            for port in (self.port, self.http_port):
                self.wait("listening", address=f"{self.host}:{port}", seconds=seconds)
            self.wait("scan_done", count=len(self.shares), seconds=seconds)
        return self

    # --- its log ---------------------------------------------------------------------------------------------

    def rejected(self, reasons, host=None, seconds=WAIT):
        """Waits for a line `reject` with one of the reasons, of that source."""
        reasons = (reasons,) if isinstance(reasons, str) else reasons
        return self.until(f"reject {reasons} of {host}", lambda: next((
            line for line in self.of("reject", cat="replication")
            if line.get("reason") in reasons and names(line, host)), None), seconds)

    def about(self, event, host, seconds=WAIT, count=1, **fields):
        """Waits for a line of that event which names that host in one of its fields."""
        return self.until(f"{event} of {host} {fields}", lambda: next(
            iter([line for line in self.of(event, **fields) if names(line, host)][count - 1:]), None), seconds)

    def told(self, event, host=None):
        return [line for line in self.of(event) if host is None or names(line, host)]

    # --- its folders -----------------------------------------------------------------------------------------

    def path(self, name, share=0):
        return os.path.join(self.shares[share]["path"], name)

    def put(self, name, data, share=0, mtime=None):
        """A file that appears whole."""
        path = self.path(name, share)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        hidden = os.path.join(self.place, "being-written")
        with open(hidden, "wb") as file:
            file.write(data)
        if mtime is not None:
            os.utime(hidden, (mtime, mtime))
        os.rename(hidden, path)

    def content(self, name, share=0):
        """None: there is no such file."""
        try:
            with open(self.path(name, share), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def tree(self, share=0):
        return tree(self.shares[share]["path"])

    def has(self, name, data, seconds=WAIT, share=0):
        """Waits for a content of a file."""
        self.until(f"content of {name}", lambda: self.content(name, share) == data, seconds)

    def has_tree(self, expected, seconds=WAIT, share=0):
        def equal_now():
            with contextlib.suppress(OSError):
                return self.tree(share) == expected
        try:
            self.until("tree", equal_now, seconds)
        except Wrong:
            found = self.tree(share)
            raise Wrong(f"after {seconds} s: too many {sorted(set(found) - set(expected))[:9]}, missing "
                        f"{sorted(set(expected) - set(found))[:9]}, different "
                        f"{[name for name in found if expected.get(name, found[name]) != found[name]][:9]}") from None

    def trash(self, share=0):
        """Contents of its trash: path without the time, hash."""
        found = set()
        for name, digest in tree(os.path.join(self.shares[share]["path"], ".bepeer/trash"), hidden=True).items():
            found.add((name.partition("/")[2], digest))
        return found

    def parts(self, share=0):
        place = self.path(".bepeer/part", share)
        return sorted(os.listdir(place)) if os.path.isdir(place) else []

    def copies(self, share=0):
        return sorted(name for name in self.tree(share) if ".sync-conflict-" in name)

    # --- its operator ----------------------------------------------------------------------------------------

    def join(self, peer, name, path):
        """`replicate join`, in the form of the program's text (FOLDER@HOST:PORT INTO), else in that of the brief."""
        done = self.command("replicate", "join", f"{name}@{peer}", path, "--no-wait")
        if done.returncode == 64:
            done = self.command("replicate", "join", peer, name, path)
        if done.returncode:
            raise Wrong(f"replicate join: {done.returncode} {done.stdout}{done.stderr}")
        return done


def names(line, host):
    """Whether a line of the log names this host: as a field, or with a port."""
    if host is None:
        return True
    return any(isinstance(value, str) and (value == host or value.startswith(host + ":"))
               for key, value in line.items() if key not in ("msg", "raw"))


def tree(folder, hidden=False):
    """Path: hash of all files of a folder; what is the node's own (`.bepeer*`) is left out."""
    if os.path.isfile(folder):
        with open(folder, "rb") as file:
            return {os.path.basename(folder): digest_of(file.read())}
    found = {}
    for place, folders, files in os.walk(folder):
        if place == folder and not hidden:
            folders[:] = [name for name in folders if not name.startswith(".bepeer")]
            files = [name for name in files if not name.startswith(".bepeer")]
        for name in files:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = digest_of(file.read())
    return found


class World(world.World):
    def __init__(self, options):
        super().__init__(options)
        pairs = (text.partition("=") for text in getattr(options, "set", ()))
        self.settings = {key: json.loads(value) for key, _, value in pairs}     # for every node

    def home(self, files=None, share=None, folders=None, **settings):
        """A node that is not started; `share` has more keys of its one folder."""
        folders = folders or [{"name": NAME, **(share or {})}]
        settings = self.settings | settings
        home = self.own(Replica(self.options.program, self.place(), folders, **settings))
        for name, data in (files or {}).items():
            home.put(name, data)
        return home

    def node(self, files=None, share=None, **settings):
        """A node with one folder that has these files, and whose scan is done."""
        return self.home(files, share, **settings).start()

    def peer(self, host=None, **options):
        return self.own(Peer(host or loopback_host(), **options))

    def old(self, files=None, name=NAME, **options):
        """An old peer with a folder of its own."""
        folder = os.path.join(self.place(), name)
        os.mkdir(folder)
        peer = self.own(OldPeer(folder, loopback_host(), **options))
        for path, data in (files or {}).items():
            peer.store(path, data)
        return peer

    def joined(self, node, files=None, **options):
        """A foreign peer that the node trusts: it has asked, fetched, reported and was confirmed."""
        peer = self.peer(**options)
        peer.become_trusted(node, files=files)
        return peer

    def member(self, files, share=None, settings=None, **options):
        """A node that has joined our folder with these files: the node, and the peer that is its owner."""
        peer = self.peer(**options)
        node = self.home(share={"peers": [peer.address], **(share or {})}, **(settings or {})).start()
        peer.serve_join(NAME, files)
        node.about("trusted", peer.host)
        return node, peer

    def pair(self, files, **more):
        """Two real nodes with one folder: the second has joined the first, and each trusts the other."""
        first = self.node(files)
        second = self.home(share={"peers": [first.messages], **more}).start()
        first.about("trusted", second.host)
        second.about("trusted", first.host)
        second.has_tree(first.tree())
        return first, second

    @functools.cached_property
    def curl(self):
        return shutil.which("curl")
