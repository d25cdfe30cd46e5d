"""A scripted client of the Gossip API (sections 2 and 3), and what it shares with the scripted neighbour.

What comes is checked strictly, and `Wrong` says what differed. Everything has a deadline. Items of the types in
PROBES only ask whether the way is open: clients and links pass over them.

    client = Client(("127.0.0.1", 7001))
    client.subscribe(1337, helper=another)       # returns when the node knows of it
    found = client.expect(1337, b"data")
    client.send(Validation(found.message_id, True))
"""
import random
import threading
import time

from gossip_wire import (
    FROM_NODE_TO_CLIENT, Announce, Closed, Late, Malformed, Notification, Notify, Reader, Validation, dial,
    loopback_host, name_of, send_all)

WAIT = 10.0                      # for what has to come at once: long, since a busy machine is no fault of the node
PROBES = range(0xF000, 0xFF00)


class Wrong(Exception):
    """What differed from the text."""


def moment(seconds):
    return time.monotonic() + seconds


class Channel:
    """What links and clients have in common."""

    def __init__(self, sock, allowed, name):
        self.sock, self.name = sock, name
        self.reader = Reader(sock, allowed)
        self.lock = threading.Lock()

    def send(self, *messages):
        """All of them in one write."""
        self.send_octets(b"".join(message.encode() for message in messages))

    def send_octets(self, data):
        with self.lock:
            try:
                send_all(self.sock, data)
            except (Closed, Late) as error:
                raise Wrong(f"{self.name}: cannot write: {error or 'nothing is read'}") from None

    def read(self, until):
        """The next message; Late, Closed."""
        try:
            return self.reader.next(until)
        except Malformed as error:
            raise Wrong(f"{self.name}: malformed: {error}") from None

    def close(self):
        self.sock.close()


class Client(Channel):
    """A client of the API of a node."""

    def __init__(self, api, node=0):
        self.node = node         # which of several nodes of a case
        try:
            sock = dial(api, loopback_host() if api[0].startswith("127.") else None)
        except Closed as error:
            raise Wrong(f"API: {error}") from None
        super().__init__(sock, FROM_NODE_TO_CLIENT, f"client {name_of(sock.getsockname()[:2])}")
        self.waiting = []        # notifications that were read while something else was looked for

    def next(self, seconds=WAIT):
        """The next notification that is no probe, or None when the time is over."""
        if self.waiting:
            return self.waiting.pop(0)
        until = moment(seconds)
        while True:
            try:
                found = self.read(until)
            except Late:
                return None
            except Closed as error:
                raise Wrong(f"{self.name}: closed ({error})") from None
            if found.data_type not in PROBES:
                return found
            self.send(Validation(found.message_id, True))

    def expect(self, data_type, data, seconds=WAIT):
        """The notification of that item; its message ID is checked (section 3.5)."""
        found = self.next(seconds)
        if found is None:
            raise Wrong(f"{self.name}: no notification of {short(data)} within {seconds:.1f} s")
        if (found.data_type, found.data) != (data_type, data):
            raise Wrong(f"{self.name}: got {short(found)}, expected type {data_type}, {short(data)}")
        if not 1 <= found.message_id <= 65534:
            raise Wrong(f"{self.name}: message ID {found.message_id}")
        return found

    def expect_nothing(self, seconds):
        found = self.next(seconds)
        if found is not None:
            raise Wrong(f"{self.name}: got {short(found)}, expected nothing for {seconds} s")

    def expect_close(self, seconds=WAIT):
        """Closed without a word."""
        try:
            found = self.read(moment(seconds))
        except Late:
            raise Wrong(f"{self.name}: still open after {seconds:.1f} s") from None
        except Closed:
            return
        raise Wrong(f"{self.name}: got {short(found)}, expected the end")

    def subscribe(self, *types, helper=None, seconds=WAIT):
        """Subscribes; with a helper (another client of that node) it returns when the node knows of it: the probe's
        type is subscribed last, and what comes on one connection is carried out in order."""
        probe = random.choice(PROBES)
        self.send(*(Notify(number) for number in (*types, probe)))
        if not helper:
            return
        until = moment(seconds)
        while time.monotonic() < until:
            helper.send(Announce(1, probe, random.randbytes(8)))
            try:
                while True:
                    found = self.read(min(until, moment(0.05)))
                    self.send(Validation(found.message_id, True)) if found.data_type in PROBES else None
                    if found.data_type == probe:
                        return
                    if found.data_type not in PROBES:
                        self.waiting.append(found)
            except Late:
                continue
            except Closed as error:
                raise Wrong(f"{self.name}: closed ({error})") from None
        raise Wrong(f"{self.name}: subscribed, but not notified of what another client announces")


def short(value):
    """For messages: long data is cut."""
    if isinstance(value, (Announce, Notification)):
        cut = "" if len(value.data) <= 40 else f" (data cut, {len(value.data)} octets)"
        return str(value._replace(data=value.data[:40])) + cut
    if isinstance(value, bytes):
        return repr(value) if len(value) <= 40 else f"{value[:16]!r}… ({len(value)} octets)"
    return str(value)
