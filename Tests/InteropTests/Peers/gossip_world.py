"""What the cases of gossip_check stand on: the running node, and everything that a case has opened against it."""
import random
import time

from gossip_api import PROBES, WAIT, Client, Wrong, moment
from gossip_peer import Peer
from gossip_wire import Announce, Neighbors, Notify

CASES = {}          # name: (function, set-up, seconds that it may take)
ONE, TWO, THREE = "one node", "two nodes, neighbours", "three nodes, full mesh"
SERVER = "bootstrap server"


def case(needs, seconds=15, name=None):
    """Registers a function of the world as a case; its docstring quotes the section."""
    def register(function):
        CASES[name or function.__name__.replace("_", "-")] = function, needs, seconds
        return function
    return register


class World:
    def __init__(self, options, vectors):
        self.options, self.vectors = options, vectors
        self.api, self.p2p, self.bootstrap = options.api, options.p2p, options.bootstrap
        self.heartbeat, self.silence = options.heartbeat, options.silence or 3.5 * options.heartbeat
        self.opened, self.helpers = [], {}
        self.tag = random.randbytes(4).hex()

    def close(self):
        for thing in reversed(self.opened):
            thing.close()

    def own(self, thing):
        self.opened.append(thing)
        return thing

    # --- clients ---------------------------------------------------------------------------------------------

    def client(self, node=0):
        return self.own(Client(self.api[node], node))

    def helper(self, node=0):
        """A client that announces what clients and links are probed with."""
        if node not in self.helpers:
            self.helpers[node] = self.client(node)
        return self.helpers[node]

    def subscriber(self, *types, node=0):
        """A client of whose subscriptions the node surely knows."""
        client = self.client(node)
        client.subscribe(*types, helper=self.helper(node))
        return client

    def data(self, text="x"):
        """Data that no other run has sent: the node remembers items for two minutes."""
        return f"{text}#{self.tag}#{random.randbytes(4).hex()}".encode()

    # --- neighbours ------------------------------------------------------------------------------------------

    def peer(self, identity=None, host=None, port=0):
        return self.own(Peer(identity, host, port))

    def link(self, identity=None, entries=(), direct=False):
        """A neighbour of the node, and one that the node counts as such."""
        peer = self.peer(identity)
        link = peer.direct(self.p2p, entries) if direct else peer.connect(self.p2p, entries)
        self.settle(link)
        return link

    def settle(self, link, seconds=WAIT):
        """Returns when what is announced at the node reaches the link: then its NEIGHBORS has been read."""
        until, probe = moment(seconds), random.choice(PROBES)
        self.helper().send(Notify(probe))    # so that it is a known type, however section 2.2 is read
        while time.monotonic() < until:
            self.helper().send(Announce(1, probe, random.randbytes(8)))
            if link.expect_probe(probe, min(until, moment(0.05))):
                return
        raise Wrong(f"{link.name}: identified, but gets no item that is announced at the node")

    def offer(self, teller, peer):
        """Tells the node of a peer that it might want, and stays until it does."""
        teller.beat(0.8 * self.heartbeat)
        teller.send(Neighbors(teller.peer.id, (peer.public_entry,)))

    def reaches(self, link):
        """Items go both ways over the link."""
        data, kind = self.data("both"), random.randint(2000, 50000)
        subscriber = self.subscriber(kind)
        link.send(Announce(1, kind, data))
        subscriber.expect(kind, data)
        data = self.data("ways")
        self.helper().send(Announce(3, kind, data))
        link.expect_item(kind, data, ttl=3)
        subscriber.close()
