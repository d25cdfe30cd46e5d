#!/usr/bin/env python3
"""A small DDRP peer for interoperability tests: independent of the node, bounded in time, one JSON object a line.

    ddrp_peer.py --listen 127.0.0.2:9097 --dialect auto --seconds 10
    ddrp_peer.py --dial 127.0.0.2:9097 --bind 127.0.0.3 --dialect text --ask --script byte-by-byte

Every envelope that comes in is checked strictly: magic, clock (30 s), signature, body. It follows the
specification, never the node's sources. With --script it misbehaves, or does something odd but legal.

Scripts. A fault starts at the stage given by --at ("hello" its Hello, "ack" its HelloAck, "open" the first
message after it) and then spoils every envelope; bad-signature, bad-magic and oversize start at "open" and
stale at "hello" when --at is not given.
  byte-by-byte         each octet in its own segment, 2 ms apart
  coalesce             Ping and PeerReq follow at once, as initiator in one segment with the HelloAck
  silent               completes the handshake, then never sends anything
  no-ack               initiator: never sends HelloAck; responder: never answers the Hello
  bad-signature, bad-magic, oversize (announces a body of 262,145 octets, then is mute)
  stale                --skew seconds off; whole seconds are compared, so use 32 or more to be surely refused
  wrong-nonce          initiator: in the HelloAck; responder: in the Hello
  unknown-type         types 12 and 99 when the link opens, then goes on
  unsolicited-peerres  a PeerRes that nobody asked for when the link opens
  ping-with-body       every Ping carries seven octets
  close-after-hello    sends its Hello and closes
  update-req           asks for an update of the name "alphaname"

Events: listening, connected, accepted, dial_failed, hello, link_up, ping, peer_req, peer_res, update_req,
nil_update, message (any other), script, closed, done. Reasons of `closed`: eof, reset, malformed, bad_signature,
clock, timeout (they), script, self, duplicate, shutdown (we). Exit status 0; 64 usage; 69 address in use.
"""
import argparse
import errno
import json
import math
import os
import selectors
import signal
import socket
import sys
import time

import ddrp_keys as keys
import ddrp_wire as wire
from ddrp_link import SCRIPTS, STAGES, Link, refusal

MAX_SENT_PEERS = 127
RETRY_SECONDS = 0.25
LONGEST_LIFE = 3600


# --- command line --------------------------------------------------------------------------------------------

def endpoint(text):
    """("ip", port) of IP:PORT or [IPv6]:PORT."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not IP:PORT")
    host = host.strip("[]")
    try:
        wire.encode_ip(host)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    return host, int(port)


def offer(text):
    """An Entry of IP[:PORT]@HEXID; an IPv6 address with a port is in brackets."""
    place, _, identity = text.rpartition("@")
    bare = place.count(":") != 1 and not place.startswith("[") or ":" not in place
    host, port = (place, wire.STANDARD_PORT) if bare else endpoint(place)
    try:
        wire.encode_ip(host)
        identity = bytes.fromhex(identity)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    if len(identity) != 32:
        raise argparse.ArgumentTypeError("a peer ID has 64 hex digits")
    return wire.Entry(host, port, identity)


def secret(text):
    try:
        key = bytes.fromhex(text)
        keys.public_key(key)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    return key


def seconds(text):
    value = float(text)
    if not math.isfinite(value) or not 0 < value <= LONGEST_LIFE:
        raise argparse.ArgumentTypeError(f"between 0 and {LONGEST_LIFE}")
    return value


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=secret, default=None, help="private key, 64 hex digits; random without it")
    parser.add_argument("--listen", type=endpoint, metavar="IP:PORT", help="port 0: a free one")
    parser.add_argument("--dial", type=endpoint, metavar="IP:PORT", action="append", default=[])
    parser.add_argument("--bind", metavar="IP", help="source address of dialled connections")
    parser.add_argument("--retry", action="store_true", help="dial again every 0.25 s until connected")
    parser.add_argument("--dialect", choices=("reference", "text", "auto"), default="auto",
                        help="auto: sniffs as responder, speaks reference as initiator")
    parser.add_argument("--seconds", type=seconds, default=20.0, help="life of this process (20)")
    parser.add_argument("--ping", type=seconds, default=5.0, metavar="SECONDS")
    parser.add_argument("--timeout", type=seconds, default=30.0, help="longest silence of a peer (30)")
    parser.add_argument("--ask", action="store_true", help="send a PeerReq when a link opens")
    parser.add_argument("--offer", type=offer, action="append", default=[], metavar="IP[:PORT]@HEXID")
    parser.add_argument("--layout", choices=wire.PEER_LAYOUTS, help="of our PeerRes; the dialect's own without it")
    parser.add_argument("--standard-port", type=int, default=wire.STANDARD_PORT)
    parser.add_argument("--advertise-port", type=int, help="in a text Hello; the listener's without it")
    parser.add_argument("--agent", default="pyddrp/1", help="user agent")
    parser.add_argument("--allow-duplicates", action="store_true", help="keep a second link to the same peer ID")
    parser.add_argument("--script", choices=SCRIPTS)
    parser.add_argument("--at", choices=STAGES, help="first stage that a fault spoils")
    parser.add_argument("--skew", type=int, default=0, help="seconds added to the timestamps by --script stale")
    parser.add_argument("--exit-when-closed", action="store_true", help="end when the last link has closed")
    options = parser.parse_args(arguments)
    if not options.listen and not options.dial:
        parser.error("--listen or --dial is needed")
    options.key = options.key or keys.new_secret()
    return options


# --- the peer ------------------------------------------------------------------------------------------------

class Peer:
    def __init__(self, options):
        self.options = options
        self.id = keys.peer_id(keys.public_key(options.key))
        self.selector = selectors.DefaultSelector()
        self.links, self.known, self.redials = [], {}, []
        self.listener = None
        self.links_seen = 0
        self.stopping = False

    def emit(self, event, **fields):
        try:
            print(json.dumps({"event": event, **fields}), flush=True)
        except BrokenPipeError:    # whoever started us is gone
            os._exit(0)

    def name_of(self, address):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def first_dialect(self, role):
        dialect = self.options.dialect
        return wire.REFERENCE if role == "initiator" and dialect == "auto" else dialect

    def external(self):
        """Address and port of a text Hello: our listener, or "not reachable"."""
        host, port = self.listener.getsockname()[:2] if self.listener else ("0.0.0.0", 0)
        advertised = self.options.advertise_port
        return host, port if advertised is None else advertised

    # --- whom we know ----------------------------------------------------------------------------------------

    def refuses(self, link):
        """Why a proven peer is not kept: it is ourselves, or connected already (the first link stays)."""
        if link.shake.peer == self.id:
            return "self"
        others = [other for other in self.links if other is not link and other.up]
        if not self.options.allow_duplicates and any(other.shake.peer == link.shake.peer for other in others):
            return "duplicate"
        return None

    def know(self, link):
        """Notes where a peer listens: the address dialled, what its text Hello says, else the standard port."""
        host, port = link.sock.getpeername()[:2]
        if link.role == "responder":
            port = link.shake.theirs.get("external_port") or self.options.standard_port
        self.known[link.shake.peer] = wire.Entry(host, port, link.shake.peer)

    def offers(self, asker, dialect):
        """Entries for a PeerRes: those given by --offer as they are, then known peers on the standard port."""
        entries = {entry.id: entry for entry in self.known.values() if entry.port == self.options.standard_port}
        entries.update({entry.id: entry for entry in self.options.offer})
        return [entry for entry in entries.values() if entry.id != asker][:MAX_SENT_PEERS]

    # --- connections -----------------------------------------------------------------------------------------

    def listen(self, address):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.emit("listening", address=self.name_of(self.listener.getsockname()), id=self.id.hex())

    def accept(self):
        try:
            sock, address = self.listener.accept()
        except OSError:
            return
        self.add(sock, "responder", address, connected=True)

    def dial(self, address):
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            if self.options.bind:
                sock.bind((self.options.bind, 0))
            error = sock.connect_ex(address)
        except OSError as failure:
            error = failure.errno
        if error in (0, errno.EINPROGRESS):
            return self.add(sock, "initiator", address, connected=False)
        sock.close()
        self.emit("dial_failed", address=self.name_of(address), reason=refusal(error),
                  detail=errno.errorcode.get(error))
        self.dial_again(self.name_of(address))

    def dial_again(self, name):
        if self.options.retry and not self.stopping:
            self.redials.append((time.monotonic() + RETRY_SECONDS, endpoint(name)))

    def add(self, sock, role, address, connected):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, sock, role, self.name_of(address), connected)
        self.links.append(link)
        self.links_seen += 1
        self.selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, link)

    def forget(self, link):
        self.links.remove(link)
        self.selector.unregister(link.sock)
        link.sock.close()
        if not link.connected:
            self.dial_again(link.address)

    # --- the loop --------------------------------------------------------------------------------------------

    def run(self):
        end = time.monotonic() + self.options.seconds
        if self.options.listen:
            self.listen(self.options.listen)
        for address in self.options.dial:
            self.dial(address)
        while not self.stopping and time.monotonic() < end:
            self.turn(end)
            if self.options.exit_when_closed and self.links_seen and not self.links and not self.redials:
                break
        self.stopping = True
        for link in list(self.links):
            link.close("shutdown")
        self.emit("done")

    def turn(self, end):
        for link in self.links:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.wants_write() else 0)
            self.selector.modify(link.sock, events, link)
        due = min([end] + [link.due() for link in self.links] + [moment for moment, _ in self.redials])
        for key, events in self.selector.select(min(0.25, max(0.001, due - time.monotonic()))):
            if key.data is None:
                self.accept()
                continue
            link = key.data
            if events & selectors.EVENT_WRITE and not link.dead:
                link.writable()
            if events & selectors.EVENT_READ and not link.dead and link.connected:
                link.readable()
        now = time.monotonic()
        for link in list(self.links):
            link.tick(now)
        ready = [address for moment, address in self.redials if moment <= now]
        self.redials = [(moment, address) for moment, address in self.redials if moment > now]
        for address in ready:
            self.dial(address)


def main(arguments):
    try:
        options = parse_options(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    peer = Peer(options)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(options.seconds) + 10)    # the end, whatever the loop does
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(peer, "stopping", True))
    try:
        peer.run()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise
        peer.emit("failed", detail=os.strerror(error.errno))
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
