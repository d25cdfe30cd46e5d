#!/usr/bin/env python3
"""How much of a narrow line datagrams of RFC 7574 with LEDBAT take: alone, and beside TCP (ppspp-rfc7574.md 7).

    ppsp_bottleneck.py --program PEERNODE [--mbit 10] [--latency 100] [--seconds 20] [--control cubic]

Two network namespaces with a router between them, another namespace, whose token bucket filter narrows the line. (A
filter on the sender's own machine would not do: there the system lets TCP queue a few packets only.) Needs root; without
it nothing is done and the status is 77.
"""
import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HOSTS = ("10.77.0.1", "10.77.1.1")
ROUTER = ("10.77.0.2", "10.77.1.2")
PORT, TCP_PORT = 6778, 7000
ALONE, BESIDE = 0.90, 0.20          # shares of the line: at least, at most
SETTLED = 5                         # seconds until both flows are what they will be
OVERHEAD = (1024 + 21 + 41 + 28 + 14) / 1024      # message, an uncle, UDP and IP, Ethernet


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Line:
    """Two namespaces with a router between them."""

    def __init__(self, mbit, latency):
        self.names = [f"peernode-{os.getpid()}-{end}" for end in "abr"]
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        router = self.names[2]
        for end in (0, 1):
            run("ip", "link", "add", "own", "netns", self.names[end], "type", "veth", "peer", "name", f"to{end}",
                "netns", router)
            for name, device, host in ((self.names[end], "own", HOSTS[end]), (router, f"to{end}", ROUTER[end])):
                run("ip", "-n", name, "address", "add", f"{host}/24", "dev", device)
                run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", self.names[end], "route", "add", "default", "via", ROUTER[end])
        run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("tc", "-n", router, "qdisc", "add", "dev", "to1", "root", "tbf", "rate", f"{mbit}mbit",
            "burst", "10kb", "latency", f"{latency}ms")

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def inside(self, end, *words, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.names[end], *words], **options)


class Node:
    def __init__(self, line, end, program, place):
        self.program, self.place, self.config = program, place, os.path.join(place, "peernode.json")
        os.makedirs(place)
        address = f"{HOSTS[end]}:{PORT}"
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"dataDirectory": os.path.join(place, "data"), "log": {"format": "json"},
                       "content": {"listen": address, "udpAddress": address,
                                   "folder": os.path.join(place, "files")}}, file)
        self.process = line.inside(end, "timeout", "300", program, "run", "--config", self.config,
                                   stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.command("list")
                return
            time.sleep(0.1)
        raise SystemExit("a node does not start")

    def command(self, verb, *words):
        return run(self.program, "content", verb, "--config", self.config, *words)

    def octets(self, swarm):
        rows = [json.loads(row) for row in self.command("status", "--json", swarm).splitlines()]
        return rows[0]["bytes"], any(row.get("transport") == "udp" for row in rows)

    def close(self):
        self.process.terminate()
        self.process.wait()


RECEIVE = """
import socket, sys, time
door = socket.create_server(("{host}", {port}))
link, _ = door.accept()
count, told = 0, time.monotonic()
while data := link.recv(1 << 16):
    count += len(data)
    if time.monotonic() - told > 0.2:
        told = time.monotonic()
        print(count, flush=True)
"""
SEND = """
import socket, time
time.sleep(0.5)
link = socket.socket()
if b"{control}":
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"{control}")
link.connect(("{host}", {port}))
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    link.send(bytes(1 << 14))
"""


class Flow:
    """A bulk transfer over TCP."""

    def __init__(self, line, seconds, control):
        values = {"host": HOSTS[1], "port": TCP_PORT, "seconds": seconds, "control": control}
        self.count = 0
        self.receiver = line.inside(1, sys.executable, "-c", RECEIVE.format(**values), stdout=subprocess.PIPE)
        self.sender = line.inside(0, sys.executable, "-c", SEND.format(**values))
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for row in self.receiver.stdout:
            self.count = int(row)

    def close(self):
        for process in (self.sender, self.receiver):
            process.kill()
            process.wait()


def measure(node, swarm, flow, seconds):
    """Octets in a second of the content, and of the flow."""
    (first, _), other, since = node.octets(swarm), flow.count if flow else 0, time.monotonic()
    time.sleep(seconds)
    (last, is_udp), end = node.octets(swarm), time.monotonic()
    if not is_udp:
        raise SystemExit("the content does not come in datagrams")
    return (last - first) / (end - since), ((flow.count if flow else 0) - other) / (end - since)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--mbit", type=int, default=10)
    parser.add_argument("--latency", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--control", default="", help="of TCP: cubic, reno, bbr; the system's")
    options = parser.parse_args()
    if os.geteuid() or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
        print("network namespaces need root")
        return 77
    capacity = options.mbit * 125_000
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        line = stack.enter_context(contextlib.closing(Line(options.mbit, options.latency)))
        seed, taker = [
            stack.enter_context(contextlib.closing(Node(line, end, options.program, os.path.join(place, "ab"[end]))))
            for end in (0, 1)]
        path = os.path.join(place, "content")
        with open(path, "wb") as file:
            file.write(os.urandom(capacity * (3 * options.seconds + 30)))
        swarm = seed.command("add", "--quiet", "--chunk-size", "1024", path).split()[-1]
        taker.command("fetch", "--no-wait", "--quiet", f"{swarm}@{HOSTS[0]}", os.path.join(place, "copy"))
        time.sleep(SETTLED)
        alone, _ = measure(taker, swarm, None, options.seconds / 2)
        flow = stack.enter_context(contextlib.closing(Flow(line, options.seconds + 2 * SETTLED, options.control)))
        time.sleep(SETTLED + 0.5)
        beside, tcp = measure(taker, swarm, flow, options.seconds)
        flow.close()
        time.sleep(SETTLED)
        again, _ = measure(taker, swarm, None, options.seconds / 2)
    shares = [rate * OVERHEAD / capacity for rate in (alone, beside, again)]
    print(f"alone {shares[0]:.0%}, beside TCP {shares[1]:.0%} (TCP {tcp / capacity:.0%}), alone again {shares[2]:.0%}")
    return 0 if shares[0] >= ALONE and shares[1] <= BESIDE and shares[2] >= ALONE else 1


if __name__ == "__main__":
    sys.exit(main())
