#!/usr/bin/env python3
"""A client of the Gossip API that behaves like the one of the course's test kit, its weaknesses included.

    gossip_course_client.py -d HOST -p PORT -a
    gossip_course_client.py -d HOST -p PORT -n [--invalid] [--count N] [--seconds S]

-a announces the same eight octets "deadbeef" (type 1337, TTL 4) in one write and closes at once.
-n subscribes to 1337 and reads each NOTIFICATION with exactly two recv calls and no loop (four octets of header, then
the rest), so it stumbles over a message that arrives in pieces. One line for each: message ID, type, data in hex; and
a VALIDATION in answer. It ends after --count notifications or --seconds; status 1 when fewer than --count came.
"""
import argparse
import socket
import struct
import sys
import time

ANNOUNCE, NOTIFY, NOTIFICATION, VALIDATION = 500, 501, 502, 503
DATA_TYPE, TTL, DATA = 1337, 4, b"deadbeef"


def announce(sock):
    sock.send(struct.pack(">HHBBH", 8 + len(DATA), ANNOUNCE, TTL, 0, DATA_TYPE) + DATA)


def read_notification(sock):
    """(message ID, type, data) by two calls, as the course's client does it."""
    header = sock.recv(4)
    if not header:
        raise EOFError("closed by the node")
    if len(header) != 4:
        raise ValueError(f"header in pieces: {header.hex()}")
    size, number = struct.unpack(">HH", header)
    if number != NOTIFICATION or size < 8:
        raise ValueError(f"type {number}, size {size}")
    body = sock.recv(size - 4)
    if len(body) != size - 4:
        raise ValueError(f"{len(body)} of {size - 4} octets in one read")
    message_id, data_type = struct.unpack(">HH", body[:4])
    return message_id, data_type, body[4:]


def subscribe(sock, options):
    """The number of notifications that came in time."""
    end = time.monotonic() + options.seconds
    sock.send(struct.pack(">HHHH", 8, NOTIFY, 0, DATA_TYPE))
    got = 0
    while got < options.count:
        left = end - time.monotonic()
        if left <= 0:
            break
        sock.settimeout(left)
        try:
            message_id, data_type, data = read_notification(sock)
        except TimeoutError:
            break
        print(message_id, data_type, data.hex(), flush=True)
        sock.send(struct.pack(">HHHH", 8, VALIDATION, message_id, 0 if options.invalid else 1))
        got += 1
    return got


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-d", "--destination", default="127.0.0.1", metavar="HOST")
    parser.add_argument("-p", "--port", type=int, default=7001)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-a", "--announce", action="store_true")
    mode.add_argument("-n", "--notify", action="store_true")
    parser.add_argument("--invalid", action="store_true", help="answer V=0")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    try:
        with socket.create_connection((options.destination, options.port), timeout=options.seconds) as sock:
            if options.announce:
                announce(sock)
                return 0
            got = subscribe(sock, options)
    except (OSError, EOFError, ValueError) as error:
        print(f"failed: {error}", flush=True)
        return 1
    if got < options.count:
        print(f"failed: {got} of {options.count} notifications", flush=True)
    return 0 if got >= options.count else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
