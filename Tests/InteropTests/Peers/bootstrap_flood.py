#!/usr/bin/env python3
"""A flood of INIT from sources that never answer, as a bootstrap server sees it from spoofed addresses.

    bootstrap_flood.py --server IP:PORT [--pid PID] [--seconds S] [--rate N] [--sources N] [--claim]

Sends --rate INITs a second, each from the next of --sources addresses, spread over 127.2.0.0 to 127.15.255.255. One
socket can do that: it names the source of each datagram (IP_PKTINFO), and all that is answered to any of them comes
back to it. It asks for as many peers as there can be and echoes no ID; with --claim each INIT names an ID at random.

Octets are those of the wire, with the headers of IPv4 and UDP (28). With --pid the resident memory of that process is
read ten times a second; what counts is how much it grows after the first second.

Events, one JSON object a line: `flooding` after 1, 3, 5 ... seconds; `figures` at the end; `failed`. Status 0; 1 when
the server said what is no POPULATE; 64 usage; 69 address in use.
"""
import argparse
import math
import random
import signal
import socket
import struct
import sys
import time

from bootstrap_client import Malformed, decode_populate, emit, encode_init, endpoint, positive

HEADERS = 20 + 8                        # IPv4, UDP
FIRST, HOSTS = 0x7F020000, 14 << 16     # 127.2.0.0 and so on: no other test has an address there for long
STEP = 0x9E3779B1                       # coprime to HOSTS, so that neighbours in time are far apart in space
DEGREE = 65535
IP_PKTINFO = 8                          # of Linux; Python names it since 3.12 only
TICK_SECONDS = 0.002
SAMPLE_SECONDS = 0.1
TELL_SECONDS = 2.0
LATE_SECONDS = 0.5                      # for the last answers


def open_socket():
    """Bound to every address of this machine's own network, and to no other."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("0.0.0.0", 0))
    sock.setblocking(False)
    return sock


def source(number):
    """What tells the system to send from the address with this number."""
    address = struct.pack("!I", FIRST + number * STEP % HOSTS)
    return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I", 0) + address + bytes(4))]


def resident(pid):
    """KiB in memory; 0: the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0


class Memory:
    """The resident memory of the server after the first second: at its beginning, and at most."""

    def __init__(self, pid):
        self.pid, self.first, self.most, self.last = pid, None, 0, 0
        self.start = resident(pid) if pid else 0

    def sample(self):
        if not self.pid:
            return
        self.last = resident(self.pid)
        self.first = self.last if self.first is None else self.first
        self.most = max(self.most, self.last)

    def figures(self):
        if not self.pid:
            return {}
        return {"rss_before_kib": self.start, "rss_first_kib": self.first, "rss_most_kib": self.most,
                "rss_last_kib": self.last, "rss_growth_kib": self.most - (self.first or 0)}


class Flood:
    def __init__(self, options):
        self.options, self.sock = options, open_socket()
        self.inits, self.unsent, self.answers, self.entries = 0, 0, 0, 0
        self.received, self.largest, self.strange = 0, 0, 0
        self.arrivals = []    # (time, octets of the wire) of each look at the socket
        self.memory = Memory(options.pid)

    def run(self):
        start = time.monotonic()
        end, sample, tell = start + self.options.seconds, start + 1, start + 1
        while (now := time.monotonic()) < end:
            due = int((now - start) * self.options.rate) - self.inits - self.unsent
            for _ in range(min(due, self.options.rate // 10)):    # what is late by more is not made up at once
                self.ask()
            self.unsent += max(0, due - self.options.rate // 10)
            self.read()
            if now >= sample:
                self.memory.sample()
                sample += SAMPLE_SECONDS
            if now >= tell:
                emit("flooding", seconds=round(tell - start), inits=self.inits, answers=self.answers)
                tell += TELL_SECONDS
            time.sleep(TICK_SECONDS)
        took = time.monotonic() - start
        end = time.monotonic() + LATE_SECONDS
        while time.monotonic() < end:
            self.read()
            time.sleep(TICK_SECONDS)
        self.memory.sample()
        self.tell(took)
        return 1 if self.strange else 0

    def ask(self):
        reserved = random.randint(1, 65534) if self.options.claim else 0
        try:
            number = (self.inits + self.unsent) % self.options.sources
            self.sock.sendmsg([encode_init(DEGREE, reserved)], source(number), 0, self.options.server)
            self.inits += 1
        except OSError:    # no room: the network lost it
            self.unsent += 1

    def read(self):
        octets = 0
        while True:
            try:
                data, sender = self.sock.recvfrom(65536)
            except BlockingIOError:
                break
            except OSError:    # nobody was there to take a datagram
                continue
            octets += HEADERS + len(data)
            self.largest = max(self.largest, HEADERS + len(data))
            try:
                if sender != self.options.server:
                    raise Malformed("not the server")
                self.entries += len(decode_populate(data)[1])
                self.answers += 1
            except Malformed:
                self.strange += 1
        self.received += octets
        if octets:
            self.arrivals.append((time.monotonic(), octets))

    def most_in_a_second(self):
        """The most octets that came within one second, wherever that begins."""
        most, sum_, first = 0, 0, 0
        for moment, octets in self.arrivals:
            sum_ += octets
            while self.arrivals[first][0] <= moment - 1:
                sum_ -= self.arrivals[first][1]
                first += 1
            most = max(most, sum_)
        return most

    def tell(self, seconds):
        octets = (HEADERS + 8) * self.inits
        emit("figures", seconds=round(seconds, 3), inits=self.inits, unsent=self.unsent, answers=self.answers,
             inits_per_second=round(self.inits / seconds), answers_per_second=round(self.answers / seconds),
             octets_sent=octets, octets_received=self.received, entries=self.entries,
             amplification=round(self.received / max(1, octets), 4),
             largest_amplification=round(self.largest / (HEADERS + 8), 4),
             octets_per_second=round(self.received / seconds), most_in_a_second=self.most_in_a_second(),
             strange=self.strange, **self.memory.figures())


# --- command line --------------------------------------------------------------------------------------------

def count(text):
    value = int(text)
    if not 0 < value <= HOSTS:
        raise argparse.ArgumentTypeError(f"1 to {HOSTS}")
    return value


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=endpoint, required=True, metavar="IP:PORT")
    parser.add_argument("--pid", type=int, default=0, help="the server's process")
    parser.add_argument("--seconds", type=positive, default=6.0)
    parser.add_argument("--rate", type=count, default=10_000, help="INITs a second")
    parser.add_argument("--sources", type=count, default=200_000, help="addresses that they come from")
    parser.add_argument("--claim", action="store_true", help="each names an ID at random as its own")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    signal.alarm(math.ceil(options.seconds) + 10)    # the end, whatever happens
    try:
        return Flood(options).run()
    except OSError as error:
        emit("failed", detail=error.strerror)
        return 69


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
