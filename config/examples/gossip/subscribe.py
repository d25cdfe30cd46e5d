#!/usr/bin/env python3
"""Prints every item of a type that anybody announces, and tells the node which of them are sound.

    subscribe.py HOST PORT TYPE
"""
import socket
import struct
import sys

NOTIFY, NOTIFICATION, VALIDATION = 501, 502, 503


def is_valid(data):
    """Yours to write: only items for which this is true are passed on to other nodes."""
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


def read_exactly(connection, count):
    """TCP keeps no message borders: one recv may bring less than a message, so read until it is complete."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            sys.exit("the node has closed the connection")
        data += part
    return data


def notifications(connection):
    """(message ID, data type, data), one after the other, for ever."""
    while True:
        size, message_type = struct.unpack("!HH", read_exactly(connection, 4))
        if size < 8 or message_type != NOTIFICATION:
            sys.exit(f"unexpected message: type {message_type}, size {size}")
        body = read_exactly(connection, size - 4)
        yield *struct.unpack("!HH", body[:4]), body[4:]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    host, port, data_type = sys.argv[1:4]
    if not data_type.isdecimal() or int(data_type) > 65535:
        sys.exit("a type is 0 to 65535")
    with socket.create_connection((host, port)) as connection:
        connection.sendall(struct.pack("!HHHH", 8, NOTIFY, 0, int(data_type)))
        for message_id, _, data in notifications(connection):
            valid = is_valid(data)
            # Answer soon: after 5 s of silence the node goes on without this answer.
            connection.sendall(struct.pack("!HHHH", 8, VALIDATION, message_id, int(valid)))
            print(data.decode(errors="replace") if valid else f"not valid: {data.hex()}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        sys.exit(f"{sys.argv[1]}:{sys.argv[2]}: {error}")
