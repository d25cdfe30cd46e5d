#!/usr/bin/env python3
"""A peer of the dialect `authors-2017` (gossip section 9), as touchy as the program of the seed's authors.

    gossip_authors.py --serve HOST:PORT
    gossip_authors.py --listen HOST:PORT [--bootstrap HOST:PORT] [--dial HOST[:PORT]]... [--max-connections N]
                      [--announce TTL:TYPE:TEXT]... [--interval S] [--seconds S] [--until-items N]

--serve is the bootstrap server: a HELLO by UDP is answered with the PEER LIST of every address seen since the start,
shuffled, the asker included; who asks is known by the datagram's source. --listen is a peer: it asks the server, dials
who is on its list, sends HELLO on every new connection at once, a PEER LIST each --interval, and items as ANNOUNCE.
Peers are named by IPv4 address alone, so all of them use one port.

It reads at most one message per readable event. Where the original then spins for ever, this one fails loudly: event
`coalesced` and status 1. The same for what its signed fields cannot hold: event `refused` (a size above 32767, a TTL
above 127). An item is passed on to the other neighbours with TTL - 1 (0 stays 0, 1 stops); it keeps no seen set.

Events, one JSON object a line: listening, hello, peer_list, connected, dial_failed, link_up, full, item, announced,
coalesced, refused, closed, done. Status 0; 1 after a loud failure or fewer items than --until-items; 64 usage; 69
address in use.
"""
import argparse
import ipaddress
import json
import math
import random
import select
import signal
import socket
import struct
import sys
import time

from gossip_wire import name_of, one_port, parse_address

ANNOUNCE, HELLO, PEER_LIST = 500, 504, 505
PACE_SECONDS = 0.05    # between two messages on a link: two that arrive together are the reader's end
DIAL_SECONDS = 2.0
ASK_SECONDS = 1.0      # between two HELLOs to a server that does not answer


class Loud(Exception):
    """What the original does not survive."""

    def __init__(self, event, why):
        super().__init__(why)
        self.event = event


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


# --- wire ----------------------------------------------------------------------------------------------------

def encode_hello(host):
    return struct.pack("!HH", 8, HELLO) + ipaddress.IPv4Address(host).packed


def encode_peer_list(hosts):
    body = b"".join(ipaddress.IPv4Address(host).packed for host in hosts)
    return struct.pack("!HHH", 6 + len(body), PEER_LIST, len(hosts)) + body


def encode_item(ttl, data_type, data, reserved=0):
    return struct.pack("!HHBBH", 8 + len(data), ANNOUNCE, ttl, reserved, data_type) + data


def decode(data):
    """(type, value): an address, a list of them, or (TTL, reserved, type, data); its fields are signed."""
    size, number = struct.unpack_from("!hH", data)
    if size != len(data):
        raise Loud("refused", f"size {size} of {len(data)} octets")
    if number == HELLO and size == 8:
        return number, str(ipaddress.IPv4Address(data[4:]))
    if number == PEER_LIST and size >= 6 and size == 6 + 4 * struct.unpack_from("!H", data, 4)[0]:
        return number, [str(ipaddress.IPv4Address(data[i:i + 4])) for i in range(6, size, 4)]
    if number == ANNOUNCE and size >= 8:
        ttl, reserved, data_type = struct.unpack_from("!bBH", data, 4)
        if ttl < 0:
            raise Loud("refused", f"TTL {ttl}")
        return number, (ttl, reserved, data_type, data[8:])
    raise Loud("refused", f"type {number}, size {size}")


# --- bootstrap server ----------------------------------------------------------------------------------------

def serve(options):
    sock, seen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []
    sock.bind(options.serve)
    emit("listening", address=name_of(sock.getsockname()), role="server")
    end = time.monotonic() + options.seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        data, source = sock.recvfrom(65536)
        try:
            number, value = decode(data)
            if number != HELLO:
                raise Loud("refused", f"type {number} by UDP")
        except (Loud, struct.error) as error:
            emit("refused", address=name_of(source), detail=str(error))
            return 1
        if source[0] not in seen:
            seen.append(source[0])
        hosts = random.sample(seen, len(seen))
        sock.sendto(encode_peer_list(hosts), source)
        emit("hello", address=name_of(source), body=value, transport="udp", answered=hosts)
    emit("done")
    return 0


# --- peer ----------------------------------------------------------------------------------------------------

class Link:
    def __init__(self, sock, host):
        self.sock, self.host, self.buffer, self.queue = sock, host, b"", []
        self.hello, self.next_write = None, 0.0

    def read(self):
        """The message that this readable event brought, or None when it is not complete; EOFError."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data
        if len(self.buffer) < 4:
            return None
        size = struct.unpack_from("!h", self.buffer)[0]
        if size < 4:
            raise Loud("refused", f"size {size}")
        if len(self.buffer) < size:
            return None
        if len(self.buffer) > size:
            raise Loud("coalesced", f"{len(self.buffer)} octets in hand, the first message has {size}")
        data, self.buffer = self.buffer, b""
        return decode(data)

    def write(self, now):
        """One message, when it is its time."""
        if self.queue and now >= self.next_write:
            self.sock.settimeout(DIAL_SECONDS)
            self.sock.sendall(self.queue.pop(0))
            self.next_write = now + PACE_SECONDS


class Peer:
    def __init__(self, options):
        self.options = options
        self.listener, self.udp = one_port(*options.listen)
        self.host, self.port = self.listener.getsockname()[:2]
        self.links, self.heard, self.items = [], {}, 0
        now = time.monotonic()
        self.end, self.next_list = now + options.seconds, now + options.interval
        self.next_ask = now if options.bootstrap else math.inf
        self.to_announce = list(options.announce)
        emit("listening", address=f"{self.host}:{self.port}", role="peer")
        for host, port in options.dial:
            self.dial(host, port or self.port)

    def run(self):
        while (now := time.monotonic()) < self.end:
            if self.options.until_items and self.items >= self.options.until_items:
                break
            self.tick(now)
            due = [self.end, self.next_list, self.next_ask]
            due += [link.next_write for link in self.links if link.queue]
            sources = [self.listener, self.udp, *(link.sock for link in self.links)]
            ready = select.select(sources, [], [], max(0.0, min(due) - now))[0]
            if self.listener in ready:
                self.accept()
            if self.udp in ready:
                self.answered()
            for link in [link for link in self.links if link.sock in ready]:
                self.readable(link)
        emit("done", items=self.items)
        return 0 if self.items >= self.options.until_items else 1

    def tick(self, now):
        if now >= self.next_ask:
            self.udp.sendto(encode_hello(self.host), self.options.bootstrap)
            self.next_ask = now + ASK_SECONDS
        if now >= self.next_list:
            self.next_list = now + self.options.interval
            hosts = list(dict.fromkeys([link.host for link in self.links] + sum(self.heard.values(), [])))
            for link in self.links:    # the receiver is in it, too
                link.queue.append(encode_peer_list(hosts))
        for link in list(self.links):
            try:
                link.write(now)
            except OSError as error:
                self.drop(link, str(error))

    # --- connections -----------------------------------------------------------------------------------------

    def dial(self, host, port):
        if host == self.host or host in [link.host for link in self.links]:
            return
        if len(self.links) >= self.options.max_connections:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(DIAL_SECONDS)
        try:
            sock.bind((self.host, 0))
            sock.connect((host, port))
        except OSError as error:
            sock.close()
            emit("dial_failed", address=f"{host}:{port}", detail=str(error))
            return
        self.add(sock, host, "outbound")

    def accept(self):
        sock, (host, port) = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.links) >= self.options.max_connections:
            emit("full", address=f"{host}:{port}")
            sock.close()
            return
        self.add(sock, host, "inbound")

    def add(self, sock, host, direction):
        link = Link(sock, host)
        self.links.append(link)
        emit("connected", address=host, direction=direction)
        link.queue.append(encode_hello(self.host))

    def drop(self, link, reason):
        emit("closed", address=link.host, reason=reason, unfinished=len(link.buffer))
        self.links.remove(link)
        self.heard.pop(link.host, None)
        link.sock.close()

    # --- messages --------------------------------------------------------------------------------------------

    def answered(self):
        data, source = self.udp.recvfrom(65536)
        number, hosts = decode(data)
        if number != PEER_LIST or source != self.options.bootstrap:
            raise Loud("refused", f"type {number} by UDP from {name_of(source)}")
        self.next_ask = math.inf
        emit("peer_list", address=name_of(source), hosts=hosts, transport="udp")
        for host in hosts:
            self.dial(host, self.port)

    def readable(self, link):
        try:
            found = link.read()
        except EOFError:
            return self.drop(link, "eof")
        except OSError as error:
            return self.drop(link, str(error))
        if found is None:
            return
        number, value = found
        if link.hello is None and number != HELLO:
            raise Loud("refused", f"type {number} before HELLO")
        if number == HELLO:
            link.hello = value
            emit("link_up", address=link.host, body=value)
            self.announce(link)
        elif number == PEER_LIST:
            self.heard[link.host] = value
            emit("peer_list", address=link.host, hosts=value, transport="tcp")
        else:
            self.item(link, *value)

    def announce(self, link):
        """The items of the command line go out on the first link that is up."""
        for ttl, data_type, text in self.to_announce:
            link.queue.append(encode_item(ttl, data_type, text.encode()))
            emit("announced", address=link.host, ttl=ttl, type=data_type, hex=text.encode().hex())
        self.to_announce = []

    def item(self, link, ttl, reserved, data_type, data):
        self.items += 1
        emit("item", address=link.host, ttl=ttl, reserved=reserved, type=data_type, octets=len(data),
             hex=data[:64].hex())
        if ttl == 1 or self.options.keep:
            return
        for other in self.links:
            if other is not link and other.hello:
                other.queue.append(encode_item(max(0, ttl - 1), data_type, data, reserved))


# --- command line --------------------------------------------------------------------------------------------

def to_dial(text):
    host, colon, port = text.partition(":")
    return str(ipaddress.IPv4Address(host)), int(port) if colon else 0


def announced(text):
    ttl, data_type, data = text.split(":", 2)
    if not (0 <= int(ttl) <= 127 and 0 <= int(data_type) <= 65535):
        raise ValueError(text)
    return int(ttl), int(data_type), data


def positive(text):
    value = float(text)
    if not 0 < value <= 3600:
        raise ValueError(text)
    return value


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--serve", type=parse_address, metavar="HOST:PORT")
    role.add_argument("--listen", type=parse_address, metavar="HOST:PORT")
    parser.add_argument("--bootstrap", type=parse_address, metavar="HOST:PORT")
    parser.add_argument("--dial", type=to_dial, action="append", default=[], metavar="HOST[:PORT]")
    parser.add_argument("--max-connections", type=int, default=30)
    parser.add_argument("--announce", type=announced, action="append", default=[], metavar="TTL:TYPE:TEXT")
    parser.add_argument("--keep", action="store_true", help="pass nothing on")
    parser.add_argument("--interval", type=positive, default=10.0, help="between two PEER LISTs")
    parser.add_argument("--seconds", type=positive, default=20.0, help="life of this process")
    parser.add_argument("--until-items", type=int, default=0, help="end when that many items have come")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    signal.alarm(math.ceil(options.seconds) + 10)    # the end, whatever happens
    try:
        return serve(options) if options.serve else Peer(options).run()
    except Loud as error:
        emit(error.event, detail=str(error))
        return 1
    except OSError as error:
        emit("failed", detail=error.strerror)
        return 69


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
