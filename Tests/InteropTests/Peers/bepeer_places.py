"""Disks that are full or vanish, files that are got by hand, a share of one file (bepeer.md sections 1, 3.5, 4.4, 5.3)."""
import contextlib
import ctypes
import os
import time

from bepeer_old import OldPeer
from bepeer_wire import REPORT, REQUEST, confirm, digest_of, offer
from bepeer_world import NAME, QUIET
from cases import case
from sockets import check, equal, loopback_host
from world import octets, settle

TWO = {"File1": b"one\n", "File2": b"two\n"}
LATE = 75.0
NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000      # unshare(2)
REMOUNT, READ_ONLY, BIND, PRIVATE, RECURSIVE = 0x20, 0x1, 0x1000, 1 << 18, 0x4000    # mount(2)
DETACH = 2                                      # umount2(2)
LIBC = ctypes.CDLL(None, use_errno=True)


def called(status, what):
    if status:
        raise OSError(ctypes.get_errno(), what)


def mount(source, place, kind, flags=0, options=""):
    called(LIBC.mount(source.encode(), place.encode(), kind.encode(), flags, options.encode()), f"mount {place}")


def unmount(place, flags=0):
    called(LIBC.umount2(place.encode(), flags), f"umount {place}")


def own_mounts():
    """From now on this process, and what it starts, has mounts that nobody else sees. False: it may not have any."""
    user, group = os.getuid(), os.getgid()
    try:
        if LIBC.unshare(NEW_MOUNTS):
            called(LIBC.unshare(NEW_USER | NEW_MOUNTS), "unshare")
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(text)
        mount("none", "/", "", PRIVATE | RECURSIVE)
    except OSError:
        return False
    return True


NO_MOUNTS = "not tried: this system lets nobody mount anything"


@contextlib.contextmanager
def disk(place, size):
    """A disk of that size at a place, in memory."""
    os.makedirs(place, exist_ok=True)
    mount("none", place, "tmpfs", 0, f"size={size}")
    try:
        yield place
    finally:
        unmount(place, DETACH)


# --- disks that are full -------------------------------------------------------------------------------------


@case("The disk is full in the middle of a file: disk_full, nothing is half, the folder serves on, and later it comes (5.3)")
def disk_fills(world):
    """Somebody else fills the disk while a file comes. Two files that fit come all the same."""
    if not own_mounts():
        return NO_MOUNTS
    with disk(os.path.join(world.place(), NAME), "16m") as place:
        peer = world.peer()
        folders = [{"name": NAME, "path": place, "peers": [peer.address]}]
        node = world.home(folders=folders, minFreeBytes=0).start()
        peer.serve_join(NAME, TWO)
        node.about("trusted", peer.host)
        data, half = octets(8 << 20), 2 << 20

        def answer(sock, head):
            sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
            if head.method != "HEAD":
                sock.sendall(data[:half])
                # What has come is on the disk now, and there is room for half a mebioctet more.
                node.until("the part", lambda: parts(node) >= half - (256 << 10))
                fill(os.path.join(place, ".bepeer/filler"), 512 << 10)
                sock.sendall(data[half:])
            return True
        peer.files.contents[f"/{NAME}/big"] = answer
        peer.share(NAME, small=b"small\n")
        peer.link.send(offer(NAME, "big", "small"))
        node.wait("fetch_failed", why="disk_full", seconds=LATE)
        node.has("small", b"small\n")
        equal(node.content("big"), None, "the file that does not fit")
        other = world.peer()
        other.become_trusted(node)
        equal(other.files.contents[f"/{NAME}/File1"], TWO["File1"], "what is served")
        os.unlink(os.path.join(place, ".bepeer/filler"))
        peer.share(NAME, big=data)
        peer.link.send(offer(NAME, "big"))
        node.has("big", data, LATE)
        node.stop()


def parts(node):
    return sum(os.path.getsize(node.path(f".bepeer/part/{name}")) for name in node.parts())


def fill(path, room):
    """Fills the disk but for so many octets."""
    with open(path, "wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 << 10))
            file.flush()
    os.truncate(path, max(0, os.path.getsize(path) - room))


@case("A disk that is too small: what fits comes, the rest when there is room (5.3)", 150, slow=True)
def disk_grows(world):
    """Two nodes; the second one's disk takes two of four files, then it is made larger. Nothing is half meanwhile."""
    if not own_mounts():
        return NO_MOUNTS
    files = {f"file {number}": octets(4 << 20, number) for number in range(4)}
    first = world.node(files)
    with disk(os.path.join(world.place(), NAME), "12m") as place:
        folders = [{"name": NAME, "path": place, "peers": [first.messages]}]
        second = world.home(folders=folders, minFreeBytes=0).start()
        second.wait("disk_full", seconds=LATE)
        first.about("trusted", second.host, LATE)
        expected = first.tree()
        found = second.tree()
        check(found and all(expected[name] == digest for name, digest in found.items()), f"what has come: {found}")
        mount("none", place, "tmpfs", REMOUNT, "size=64m")
        second.has_tree(expected, 130)
        second.stop()
    first.stop()


# --- disks that vanish ---------------------------------------------------------------------------------------


@case("The folder's disk vanishes while the node runs: folder_stopped, no deletes; back, all goes on (4.4)", 240)
def disk_vanishes(world):
    """Few files, so that the guard of many does not help. The other edits and adds files meanwhile: nothing of that
    may be written where the disk was, and nothing may be missed when it is back."""
    if not own_mounts():
        return NO_MOUNTS
    first = world.node({f"file {number}": b"%d" % number for number in range(6)})
    real, place = world.place(), os.path.join(world.place(), NAME)
    os.mkdir(place)
    mount(real, place, "", BIND)
    folders = [{"name": NAME, "path": place, "peers": [first.messages]}]
    second = world.home(folders=folders).start()
    second.has_tree(first.tree())
    first.about("trusted", second.host)
    before = first.tree()
    unmount(place, DETACH)
    first.put("file 1", b"edited meanwhile")
    first.put("new", octets(400_000))
    second.wait("folder_stopped", seconds=LATE)
    settle(3 * QUIET)
    equal(set(first.tree()) - {"new"}, set(before), "files of the other")
    equal((first.of("delete"), second.of("delete")), ([], []), "deletes")
    equal([name for name in os.listdir(place) if not name.startswith(".")], [], "files where the disk was")
    mount(real, place, "", BIND)
    equal(second.command("replicate", "rescan").returncode, 0, "replicate rescan")    # else within a minute
    second.wait("folder_resumed", seconds=100)
    second.has_tree(first.tree(), LATE)
    equal((first.of("delete"), second.of("delete")), ([], []), "deletes")
    with open(second.path("from the second"), "wb") as file:    # another disk than that of the case
        file.write(b"x")
    first.has("from the second", b"x", LATE)
    first.stop()
    second.stop()
    unmount(place, DETACH)


@case("A folder that was left is given back: another node may have it (12)")
def left_to_another(world):
    """By `replicate leave`, while the node that has left it goes on."""
    owner, other = world.home(TWO, folders=[{"name": "other"}]).start(), world.node()
    place = os.path.join(world.place(), "other")
    other.join(owner.messages, "other", place)
    owner.about("trusted", other.host)
    folders = [{"name": "other", "path": place, "peers": [owner.messages]}]
    third = world.home(folders=folders).start(listening=False)
    third.wait("folder_stopped", why="locked")
    third.stop()
    equal(other.command("replicate", "leave", "other").returncode, 0, "replicate leave")
    third.start(listening=False)
    third.wait("folder_ready", folder="other", files=2)
    for node in (owner, other, third):
        node.stop()


# --- got by hand ---------------------------------------------------------------------------------------------


@case("The operator gets the files: `replicate confirm` reports those that are there, at once (3.5)")
def manual_by_command(world):
    """Three files over FTP, of which the operator has got two, in this moment. Before there was one, and when nothing
    is waited for, the command says so and its status is not 0."""
    peer = world.peer()
    node = world.home(share={"peers": [peer.address]}).start()
    refused = node.command("replicate", "confirm", NAME)
    check(refused.returncode and "waits for nothing" in refused.stderr + refused.stdout, f"the answer: {refused}")
    link = peer.take()
    link.expect(REQUEST)
    link.write(f"FilesToGet\n{NAME}\n21\nFTP\nFile1\nFile2\nFile3\n\n".encode())
    node.wait("manual", protocol="FTP")
    refused = node.command("replicate", "confirm", NAME)
    check(refused.returncode and "none of" in refused.stderr + refused.stdout, f"the answer without files: {refused}")
    for name, data in TWO.items():
        node.put(name, data)
    done = node.command("replicate", "confirm", NAME)
    equal(done.returncode, 0, f"replicate confirm: {done.stdout}{done.stderr}")
    where, told = peer.await_message(REPORT, "File1", "File2")
    equal(sorted(told.files), sorted(TWO), "what is reported")
    equal(peer.files.requests, [], "requests")
    where.send(confirm(NAME, *TWO))
    node.about("trusted", peer.host)
    equal(node.command("replicate", "status", NAME).returncode, 0, "replicate status")
    node.stop()


# --- one file ------------------------------------------------------------------------------------------------


@case("A share that is a single file, replaced by another of the same size by an old peer, and by us (1, 5.1)", 90)
def single_replaced(world):
    """The same size and, but for the last time, another second; and twice in one second."""
    path = os.path.join(world.place(), "notes.txt")
    with open(path, "wb") as file:
        file.write(b"v1\n")
    peer = world.own(OldPeer(path, loopback_host()))
    place = os.path.join(world.place(), "notes.txt")
    with open(place, "wb") as file:
        file.write(b"v1\n")
    node = world.home(folders=[{"name": "notes.txt", "path": place, "peers": [peer.address]}]).start()
    peer.wait("peer", peer=node.host, seconds=LATE)
    node.about("trusted", peer.host)

    def has(data):
        def same():
            with open(place, "rb") as file:
                return file.read() == data
        node.until(f"the content {data}", same, LATE)
    for data in (b"v2\n", b"v3\n"):
        peer.update(("notes.txt", data))
        has(data)
        peer.wait_for(f"confirmation of {data}", lambda data=data: [
            one for one in peer.of("confirms") if digest_of(data) in one["versions"]], LATE)
    # Twice with the same Last-Modified, which is too young to tell anything.
    now = int(time.time()) + 5
    for data in (b"v4\n", b"v5\n"):
        peer.store("notes.txt", data)
        os.utime(path, (now, now))
        peer.announce(["notes.txt"])
        has(data)
    with open(place + "~", "wb") as file:
        file.write(b"v6\n")
    os.rename(place + "~", place)
    peer.wait_for("our edit", lambda: peer.read("notes.txt") == b"v6\n", LATE)
    equal(os.path.exists(place) and os.path.isfile(place), True, "whether it is a file")
    node.stop()
