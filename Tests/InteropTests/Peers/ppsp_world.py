"""What the cases of ppsp_check stand on: real nodes with the section `content`, foreign peers, contents.

Names of the node's settings, commands and events that no text fixes are in the tables here and nowhere else.
"""
import contextlib
import json
import os
import re
import subprocess

import ppsp_vectors
import world
from cases import case      # noqa: F401 (the cases take it from here)
from node import Node, die_with_parent
from ppsp_content import Swarm
from ppsp_http import RangeServer
from ppsp_lies import Liar
from ppsp_merkle import BLAKE2B, SHA1, SHA256
from ppsp_peer import Peer
from ppsp_udp import UDPPeer
from ppsp_wire import PORT
from sockets import WAIT, Wrong, loopback_host
from world import octets, settle      # noqa: F401

SECTION = "content"
UDP_PORT, HTTP_PORT = PORT + 1, PORT + 2
KEYS = {
    # program.md
    "listen": "listen", "udp": "udpAddress", "http": "httpAddress", "folder": "folder", "peers": "peers",
    "push": "acceptPush", "slots": "uploadSlots",
    # ppspp-rfc7574.md section 9, in camelCase
    "omit": "omitChunkSizeOption",
    # of the node: pushes of contents that nobody here has asked for, and peer IDs that alone are served and asked
    "new": "acceptNewContent", "allow": "allow",
}
ADD, FETCH, LIST, DROP = ("content", "add"), ("content", "fetch"), ("content", "list"), ("content", "remove")
PUSH = ("content", "push")                  # SWARM PEER
CHUNK_SIZE, HASH = "--chunk-size", "--hash"
HASH_NAMES = {SHA1: "sha1", SHA256: "sha256", BLAKE2B: "blake2b256"}
BANS = (("banned", "prefix"), ("peer_banned", "peer"))      # events, and the field that says who
LISTENING = "listening"


TAKES_PUSH = {"push": True, "new": True}


def closed(*peers):
    """Settings of a node that is for these peers only, who have to prove who they are."""
    return {"allow": [peer.id.hex() for peer in peers]}


class ContentNode(Node):
    """A node that shares contents. `start` may be called again. Settings have the names of the table above."""

    def __init__(self, program, place, host=None, has_udp=False, has_http=False, sections=None, **settings):
        self.settings, self.sections, self.has_udp, self.has_http = settings, sections or {}, has_udp, has_http
        self.files = 0
        super().__init__(program, place)
        self.host, self.port, self.folder = host or loopback_host(), PORT, os.path.join(place, "content")
        os.makedirs(self.folder, exist_ok=True)
        self.configure()

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def configure(self):
        own = {"listen": self.identity, "folder": self.folder} | self.settings
        if self.has_udp:
            own["udp"] = f"{self.host}:{UDP_PORT}"
        if self.has_http:
            own["http"] = f"{self.host}:{HTTP_PORT}"
        self.write_settings(**{SECTION: {KEYS.get(name, name): value for name, value in own.items()}}, **self.sections)

    def change(self, **settings):
        """Other settings, from its next start on."""
        self.settings |= settings
        self.configure()
        return self

    @property
    def content_address(self):
        return self.host, self.port

    @property
    def udp_address(self):
        return self.host, UDP_PORT

    def start(self, listening=True, seconds=WAIT):
        super().start()
        if listening:
            ports = [self.port, *[UDP_PORT] * self.has_udp, *[HTTP_PORT] * self.has_http]
            for port in ports:
                self.wait(LISTENING, address=f"{self.host}:{port}", seconds=seconds)
            self.wait(LISTENING, listener="admin", seconds=seconds)
        return self

    # --- its commands ----------------------------------------------------------------------------------------

    def words(self, *words):
        return [self.program, *words, "--config", os.path.join(self.place, "peernode.json")]

    def command(self, *words, seconds=60, status=0, text=True):
        """The real command against the running node: what it writes. Wrong: another exit status than expected."""
        done = subprocess.run(self.words(*words), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds,
                              check=False)
        if status is not None and done.returncode != status:
            raise Wrong(f"{' '.join(words)}: status {done.returncode}, not {status}: "
                        f"{done.stdout[-300:].decode(errors='replace')}{done.stderr[-500:].decode(errors='replace')}")
        return done.stdout.decode(errors="replace") if text else done.stdout

    def file(self, data):
        """A file outside of its folders."""
        self.files += 1
        path = os.path.join(self.place, f"file-{self.files}")
        with open(path, "wb") as file:
            file.write(data)
        return path

    def add(self, data, chunk_size=None, function=None, seconds=120):
        """Shares a content; the swarm ID that the command prints, which has to be ours."""
        expected = Swarm(data, chunk_size or 16384, SHA256 if function is None else function)
        words = [self.file(data)]
        words += [CHUNK_SIZE, str(chunk_size)] if chunk_size else []
        words += [HASH, HASH_NAMES[function]] if function is not None else []
        found = re.findall(r"\b[0-9a-f]{40,64}\b", self.command(*ADD, *words, seconds=seconds))
        if found != [expected.id.hex()]:
            raise Wrong(f"content add prints {found}, the Merkle root is {expected.id.hex()}")
        return expected

    def fetch(self, root, address=None, seconds=120):
        """Fetches to the end; the content."""
        into = os.path.join(self.place, f"into-{root.hex()[:8]}")
        self.command(*FETCH, where(root, address), into, seconds=seconds)
        return self.fetched(into)

    @staticmethod
    def fetched(into):
        if os.path.isdir(into):
            into = os.path.join(into, *os.listdir(into)[:1])
        with open(into, "rb") as file:
            return file.read()

    def push(self, root, address):
        """Offers a content to a peer."""
        self.command(*PUSH, root.hex(), f"{address[0]}:{address[1]}", status=None)

    def begin(self, root, address=None):
        """A fetch that goes on: its process, and where the content comes."""
        into = os.path.join(self.place, f"into-{root.hex()[:8]}")
        process = subprocess.Popen(
            self.words(*FETCH, where(root, address), into), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        return Fetching(process, into)

    # --- what it has done ------------------------------------------------------------------------------------

    def bans(self, peer):
        """Its lines about bans of a foreign peer: of its address, or of its ID."""
        return [line for event, field in BANS for line in self.of(event)
                if str(line.get(field, "")).split("/")[0] in (peer.host, peer.id.hex())]

    def has_banned(self, peer, seconds=WAIT):
        """Waits until it bans this peer."""
        return self.until(f"ban of {peer.name}", lambda: self.bans(peer), seconds)

    def has_not_banned(self, peer):
        if found := self.bans(peer):
            raise Wrong(f"{peer.name} is banned: {found[0]['raw'].decode()}")

    def is_alive(self):
        if self.process.poll() is not None:
            raise Wrong(f"the node has ended by itself: {self.process.returncode} {''.join(self.complaints)[-2000:]}")


class Fetching:
    """A `content fetch` under way."""

    def __init__(self, process, into):
        self.process, self.into = process, into

    def wait(self, seconds=120):
        """The content, when the command has ended well."""
        try:
            _, words = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Wrong(f"a fetch goes on after {seconds} s") from None
        if self.process.returncode:
            raise Wrong(f"content fetch: status {self.process.returncode} {words[-500:].decode(errors='replace')}")
        return ContentNode.fetched(self.into)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


def where(root, address):
    """What `content fetch` is told: SWARM or SWARM@HOST:PORT."""
    return root.hex() if address is None else f"{root.hex()}@{address[0]}:{address[1]}"


class World(world.World):
    def __init__(self, options):
        super().__init__(options)
        pairs = (text.partition("=") for text in options.set)
        self.settings = {key: json.loads(value) for key, _, value in pairs}     # for every node

    def home(self, **settings):
        """A node that is not started."""
        settings = dict(self.settings) | settings
        return self.own(ContentNode(self.options.program, self.place(), **settings))

    def node(self, **settings):
        return self.home(**settings).start()

    def peer(self, host=None, **options):
        return self.own(Peer(host or loopback_host(), **options))

    def caller(self, **options):
        """A peer that a case leads by the hand."""
        return self.peer(is_automatic=False, listening=False, **options)

    def liar(self, host=None, **options):
        return self.own(Liar(host or loopback_host(), **options))

    def udp(self, host=None, **options):
        return self.own(UDPPeer(host or loopback_host(), **options))

    def web(self, host=None, **options):
        return self.own(RangeServer(host or loopback_host(), **options))

    def begin(self, node, root, address=None):
        return self.own(node.begin(root, address))

    def close(self):
        failures = [text for thing in self.opened for text in getattr(thing, "failures", ())]
        super().close()
        if failures:
            # A foreign peer that breaks would otherwise look like a node that is wrong.
            print("our own failure:", failures[0])

    def vector_octets(self, *groups):
        """What the vectors of these groups have as hex."""
        return [vector["hex"] for group in groups for vector in ppsp_vectors.load(self.options.vectors, group)]

    @property
    def size(self):
        """Octets of a big content."""
        return self.options.bytes or (256 << 20 if self.options.slow else 16 << 20)


@contextlib.contextmanager
def refusing(what):
    """Something that has to fail."""
    try:
        yield
    except (Wrong, OSError):
        return
    raise Wrong(f"{what}, although it should not be possible")
