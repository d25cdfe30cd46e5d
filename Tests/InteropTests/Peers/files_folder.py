"""What may lie in a shared folder, and what becomes of it meanwhile (sections 5.1, 6.1 and 12)."""
import contextlib
import ctypes
import os
import random
import signal
import socket
import threading
import time

from cases import case
from files_node import Sharer
from files_wire import FIN, LATE, Wrong, answering, check, equal
from world import octets


def odd_files(node, secret):
    """Everything that is not shared, and what it is called."""
    names = []

    def add(name, make):
        make(os.fsencode(node.folder) + b"/" + name)
        names.append(name)

    add(b"link", lambda path: os.symlink(secret, path))
    add(b"inner-link", lambda path: os.symlink("good", path))
    add(b"dangling", lambda path: os.symlink("/nowhere", path))
    add(b"fifo", os.mkfifo)
    add(b"folder", os.mkdir)
    add(b"socket", lambda path: socket.socket(socket.AF_UNIX).bind(os.fsdecode(path)))
    for name in (b".hidden", b"..odd", b"lf\nin it", b"cr\rin it", b"\x1b[2J", b"del\x7f", b"\xff\xfe", b"half\xc3"):
        add(name, lambda path: open(path, "wb").write(b"secret") and None)
    with open(os.path.join(node.folder, "folder", "inside"), "wb") as file:
        file.write(b"secret")
    return names


@case()
def odd_entries(world):
    """Links, FIFOs, sockets, folders, hidden names, names with control characters and names that are no UTF-8 are
    neither told nor sent, and do not stop the node; `../` and absolute names lead nowhere (5.1, 6.1)."""
    secret = os.path.join(world.folder, "secret")
    with open(secret, "wb") as file:
        file.write(b"secret")
    node = world.home()
    node.put("good", b"content")
    names = odd_files(node, secret)
    node.start()
    equal(node.names(), [b"good"], "all that is shared")
    equal(node.query(b"//p2x/1/find/\n").data.count(b"\n"), 2, "lines of find, the banner included")
    outside = [
        b"../secret", b"../../secret", secret.encode(), b"/" + secret.encode(), b"./good", b"folder/inside",
        b"folder/../good", b".", b"..", b"/", b"good/", b"//good", b"good\x00", b"/proc/self/environ",
        b".peernode/partial", b"%2e%2e%2fsecret", b"..\\secret"]
    for name in names + outside:
        for line in (name, b"//p2x/1/range/0-/" + name):
            answer = node.fetch(line + b"\n")
            equal(tuple(answer), (b"", FIN), f"the answer to {line}")
        equal(node.query(b"//p2x/1/stat/" + name + b"\n").data.count(b"\n"), 1, f"lines of stat of {name}")
    told = [line["why"] for line in node.of("share_skipped")]
    equal(len(told), len(names), "names that are told of, each once")
    equal(set(told), {"link", "special", "folder", "hidden", "control_character", "not_utf8"}, "why they are not shared")
    for line in node.lines:
        check(not any(octet < 0x20 or octet == 0x7f for octet in line["raw"].rstrip(b"\n")), f"raw: {line['raw']}")
    equal(node.fetch(b"good\n").data, b"content", "what is shared")
    node.stop()


@case()
def subfolders(world):
    """With `recursive`: relative names with `/`, queries compare the last component, hidden folders and links to
    folders are not entered (5.1)."""
    node = world.home({"recursive": True})
    os.makedirs(node.path("sub/deep"))
    os.makedirs(node.path(".hidden/deep"))
    for name in ("top.txt", "sub/in.txt", "sub/deep/down.txt", ".hidden/deep/secret.txt"):
        with open(node.path(name), "wb") as file:
            file.write(name.encode())
    os.symlink(node.path(".hidden"), node.path("way"))
    node.start()
    equal(node.names(), [b"sub/deep/down.txt", b"sub/in.txt", b"top.txt"], "all")
    equal(node.names(b"sub"), [], "a folder's name")
    equal(node.names(b"down"), [b"sub/deep/down.txt"], "a last component")
    equal(node.fetch(b"sub/deep/down.txt\n").data, b"sub/deep/down.txt", "a file below")
    for name in (
            b"sub/../top.txt", b"way/deep/secret.txt", b".hidden/deep/secret.txt", b"sub//in.txt", b"sub", b"down.txt"):
        equal(tuple(node.fetch(name + b"\n")), (b"", FIN), f"the answer to {name}")
    # A folder that becomes a link after it was indexed is not followed.
    os.rename(node.path("sub"), node.path(".sub"))
    os.symlink(world.folder, node.path("sub"))
    with open(os.path.join(world.folder, "in.txt"), "wb") as file:
        file.write(b"secret")
    answer = node.fetch(b"sub/in.txt\n")
    equal(answer.data, b"", "through a link in place of a folder")
    node.stop()


@case()
def swapped_links(world):
    """A name that turns into a link, a FIFO or a folder and back between index and open: what comes is the file, or
    nothing (6.1)."""
    secret = os.path.join(world.folder, "secret")
    with open(secret, "wb") as file:
        file.write(b"secret" * 10)
    node = world.node({"name": b"content"})
    over = threading.Event()

    def swap():
        path = node.path("name")
        choices = random.Random(3)
        while not over.is_set():
            kind = choices.randrange(4)
            with contextlib.suppress(OSError):
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                if kind == 0:
                    os.symlink(secret, path + ".new")
                elif kind == 1:
                    os.mkfifo(path + ".new")
                elif kind == 2:
                    os.unlink(path)
                    os.mkdir(path)
                    continue
                else:
                    with open(path + ".new", "wb") as file:
                        file.write(b"content")
                os.rename(path + ".new", path)

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    seen = set()
    try:
        for number in range(1500):
            answer = node.fetch(b"name\n" if number % 2 else b"//p2x/1/range/0-/name\n")
            seen.add(answer)
            check(answer.data in (b"", b"content"), f"got {answer}")
            check(answer.end != LATE, "no end: a FIFO was opened for waiting")
    finally:
        over.set()
        thread.join()
    equal(node.status()["uploads"], 0, "uploads that hang")
    if os.path.isdir(node.path("name")) and not os.path.islink(node.path("name")):
        os.rmdir(node.path("name"))
    node.put("name", b"content")
    node.until("the file again", lambda: node.fetch(b"name\n").data == b"content")
    node.stop()
    return f"{len(seen)} kinds of answers"


@case(seconds=120)
def many_odd_names(world):
    """Ten thousand names that are not shared beside a few that are: those few are told, the log stays readable, and no
    memory is lost when all of them change (5.1)."""
    node = world.home()
    for number in range(2500):
        for name in (b"c\x01%d", b"\xff%d", b".%d", b"\n%d"):
            with open(os.fsencode(node.folder) + b"/" + name % number, "wb"):
                pass
    node.put("good", b"content")
    node.start()
    equal(node.names(), [b"good"], "all that is shared")
    before = node.memory()
    for round_ in range(3):
        for name in os.listdir(os.fsencode(node.folder)):
            if b"\x01" in name:
                os.rename(os.fsencode(node.folder) + b"/" + name, os.fsencode(node.folder) + b"/" + name + b"x")
        node.put(f"new {round_}", b"x")
        node.shows(f"new {round_}")
    equal(node.fetch(b"good\n").data, b"content", "what is shared")
    skipped = sum(1 for line in node.lines if line["event"] == "share_skipped")
    check(skipped < 20_000, f"{skipped} lines of what is not shared")
    check(node.grown(before) < 64 << 20, f"{node.grown(before) >> 20} MiB for changes")
    node.stop()
    return f"{skipped} lines"


def show_within(node, action, name, limit, is_there=True):
    """The seconds from a change to the query that shows it."""
    action()
    begin = time.monotonic()
    while (name.encode() in node.names(name.encode())) != is_there:
        if time.monotonic() - begin > limit:
            raise Wrong(f"{name} {'is not' if is_there else 'is still'} told after {limit} s")
        time.sleep(0.02)
    return time.monotonic() - begin


@case(seconds=400)
def changes(world):
    """What comes into the folder, what goes and what gets another name shows in queries soon (--within), also when so
    much happens at once that the watch loses track (5.1)."""
    count = world.options.files
    node = world.home()
    for number in range(count):
        with open(node.path(f"file {number:06}"), "wb"):
            pass
    node.start(seconds=120)
    equal(node.status()["sharedFiles"], count, "files in the index")
    limit, slowest = world.options.within, 0.0
    for number in range(3):
        for action, name, is_there in (
                (lambda n=number: node.put(f"new {n}", b"x"), f"new {number}", True),
                (lambda n=number: os.rename(node.path(f"new {n}"), node.path(f"other {n}")), f"other {number}", True),
                (lambda n=number: os.remove(node.path(f"other {n}")), f"other {number}", False)):
            slowest = max(slowest, show_within(node, action, name, limit, is_there))
    # More changes than the system keeps for a watch, while nobody reads them: the node is stopped meanwhile.
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        changes_ = int(file.read()) // 2 + 1000
    node.process.send_signal(signal.SIGSTOP)
    with open(node.path("file 000000"), "wb") as file:
        for number in range(changes_):
            os.utime(node.path(f"file {number % 10:06}"), (number, number))
            os.utime(node.path(f"file {number % 10 + 10:06}"), (number, number))
        file.write(b"x")
    node.put("burst", b"x")
    os.remove(node.path("file 000001"))
    node.process.send_signal(signal.SIGCONT)
    slowest = max(slowest, show_within(node, lambda: None, "burst", limit))
    slowest = max(slowest, show_within(node, lambda: None, "file 000001", limit, False))
    # And the watch works again.
    slowest = max(slowest, show_within(node, lambda: node.put("after", b"x"), "after", limit))
    node.stop()
    return f"{count} files, {slowest:.2f} s at most"


class Disk:
    """A file system of 16 MiB in memory, seen by this process and those that it starts only."""

    NEWNS, PRIVATE, RECURSIVE = 0x20000, 1 << 18, 1 << 14

    def __init__(self, path):
        self.libc, self.path = ctypes.CDLL(None, use_errno=True), path.encode()
        os.mkdir(path)
        self.call(self.libc.unshare, self.NEWNS)
        self.call(self.libc.mount, b"none", b"/", None, self.PRIVATE | self.RECURSIVE, None)
        self.call(self.libc.mount, b"none", self.path, b"tmpfs", 0, b"size=16m")

    @staticmethod
    def call(function, *arguments):
        arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
        if function(*arguments):
            raise OSError(ctypes.get_errno(), f"{function.__name__}{arguments}: needs root")

    def close(self):
        self.libc.umount2(self.path, 2)


@case()
def full_disk(world):
    """A disk that fills in the middle of a download fails that download, with `minFreeBytes` 0 too; nothing of it is
    left, the node goes on, and with room again the next download succeeds (6.2). Needs root."""
    disk = world.own(Disk(os.path.join(world.folder, "disk")))
    data = octets(1 << 20) * 24
    peer = world.peer(download=answering(data))
    small = world.peer(download=answering(data[:1 << 20]))
    node = world.own(Sharer(
        world.options.program, world.place(), {"minFreeBytes": 0, "extensions": False},
        folder=os.path.join(disk.path.decode(), "shared")))
    node.put("good", b"content")
    node.start()

    def ballast(size):
        with open(os.path.join(disk.path.decode(), "ballast"), "wb") as file:
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, size)

    equal(node.refusal(name="big", peer=peer.identity), "disk_full", "24 MiB on a disk of 16")
    node.until("no part", lambda: not node.leftovers())
    ballast(15 << 20)
    equal(node.refusal(name="other", peer=small.identity), "disk_full", "1 MiB where there is less")
    node.until("no part", lambda: not node.leftovers())
    equal(node.fetch(b"good\n").data, b"content", "what is shared")
    ballast(1)
    equal(node.download(name="small", peer=small.identity)["bytes"], 1 << 20, "a file for which there is room")
    check(node.content("small") == data[:1 << 20], "the file differs")
    equal({name for name in os.listdir(node.folder)}, {"good", "small", ".peernode"}, "the folder")
    node.stop()


@case()
def reserved_space(world):
    """Below `minFreeBytes` a download fails as disk full before an octet is asked for (6.2)."""
    peer = world.peer(download=answering(b"x" * 1000))
    space = os.statvfs(world.folder)
    node = world.node({}, extensions=False, minFreeBytes=space.f_bavail * space.f_frsize * 2)
    equal(node.refusal(name="file", peer=peer.identity), "disk_full", "a download")
    equal([line for service, line in peer.requests if service == "download"], [], "what was asked for")
    equal(node.leftovers(), [], "parts")
    node.stop()
