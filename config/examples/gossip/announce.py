#!/usr/bin/env python3
"""Announces one item to everybody who has subscribed to its type.

    announce.py HOST PORT TYPE [TEXT]      (without TEXT: the data is standard input)
"""
import socket
import struct
import sys

ANNOUNCE = 500
TTL = 0                 # how many hops the item may travel; 0: no limit
MOST_DATA = 65535 - 8   # the size field has 16 bits, and the message has 8 octets before the data


def announce(node, data_type, data):
    # size, message type, TTL, reserved, data type; then the data as it is
    header = struct.pack("!HHBBH", 8 + len(data), ANNOUNCE, TTL, 0, data_type)
    with socket.create_connection(node, timeout=10) as connection:
        connection.sendall(header + data)
        # There is no answer: spreading is best effort. Closing at once is allowed.


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    host, port, data_type = sys.argv[1:4]
    if not data_type.isdecimal() or int(data_type) > 65535:
        sys.exit("a type is 0 to 65535")
    data = sys.argv[4].encode() if len(sys.argv) == 5 else sys.stdin.buffer.read(MOST_DATA + 1)
    if len(data) > MOST_DATA:
        sys.exit(f"an item has at most {MOST_DATA} octets")
    try:
        announce((host, port), int(data_type), data)
    except OSError as error:
        sys.exit(f"{host}:{port}: {error}")


if __name__ == "__main__":
    main()
