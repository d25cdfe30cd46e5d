"""How bepeer_model fetches, compares and puts files into its folder."""
import contextlib
import datetime
import email.utils
import hashlib
import http.client
import json
import os
import re
import shutil
import threading
import time

import bepeer_wire as wire

RETRIES = (1, 10, 60)


def open_beneath(folder, path, flags=os.O_RDONLY | os.O_NONBLOCK, make=False):
    """Opens each component without following links."""
    *folders, name = path.split("/")
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for one in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(one, dir_fd=place)
            below = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=place)
    finally:
        os.close(place)


def parent_of(folder, path, make=True):
    """A descriptor of the folder of a path, and the last component."""
    *folders, name = path.split("/")
    if not folders:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY), name
    if make:
        with contextlib.suppress(FileNotFoundError):    # the last component
            os.close(open_beneath(folder, path, os.O_PATH, make=True))
    return open_beneath(folder, "/".join(folders), os.O_RDONLY | os.O_DIRECTORY), name


def replace(folder, source, path):
    """Moves a file over a path, without following links; None takes the path away. What was there goes to the trash."""
    if folder.is_file:
        os.replace(source, folder.path)
        return
    with contextlib.suppress(FileNotFoundError):
        place, name = parent_of(folder.path, path, make=source is not None)
        try:
            keep(folder, path, place, name)
            if source:
                os.rename(source, name, dst_dir_fd=place)
            else:
                os.unlink(name, dir_fd=place)
        finally:
            os.close(place)


def keep(folder, path, place, name):
    if not folder.model.trash_days:
        return
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S.%f")
    target = os.path.join(folder.path, ".bepeer/trash", now, path)
    with contextlib.suppress(FileNotFoundError):
        if os.path.islink(os.path.join(folder.path, path)):
            raise OSError("a link")
        os.stat(name, dir_fd=place, follow_symlinks=False)
        os.makedirs(os.path.dirname(target))
        os.link(name, target, src_dir_fd=place, follow_symlinks=False)


class Ignore:
    """Patterns of .bepeerignore (6.2): the first match wins."""

    def __init__(self, folder):
        self.rules = []
        with contextlib.suppress(OSError), open(os.path.join(folder, ".bepeerignore"), encoding="utf-8") as file:
            for line in file.read().split("\n"):
                if line and not line.startswith("//"):
                    negates, text = line.startswith("!"), line.removeprefix("!")
                    self.rules.append((self.pattern(text.removeprefix("/"), text.startswith("/")), not negates))

    @staticmethod
    def pattern(text, is_anchored):
        parts = re.split(r"(\*\*|\*|\?|\[[^\]]*\])", text)
        special = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
        body = "".join(special.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)
        return re.compile(("" if is_anchored else "(.*/)?") + body)

    def matches(self, path):
        return next((ignores for pattern, ignores in self.rules if pattern.fullmatch(path)), False)


class Fetcher:
    """What one FilesToGet leads to."""

    def __init__(self, folder, ip, message, link):
        self.folder, self.ip, self.port, self.message, self.link = folder, ip, message.port, message, link
        self.model = folder.model
        self.changed, self.own, self.log = [], [], folder.log

    # --- HTTP ------------------------------------------------------------------------------------------------

    def get(self, target, **headers):
        caller = http.client.HTTPConnection(self.ip, self.port, timeout=60, source_address=(self.model.host, 0))
        caller.request("GET", target, headers={key.replace("_", "-"): value for key, value in headers.items()})
        return caller, caller.getresponse()

    def small(self, target):
        """The body of a 200; None."""
        try:
            caller, answer = self.get(target)
            with contextlib.closing(caller):
                return answer.read() if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None

    def target(self, name):
        layout = self.model.extended.setdefault(("layout", self.ip, self.folder.name), "named")
        if layout == "bare" or self.folder.is_file:
            return wire.target_of(name)
        return wire.target_of(self.folder.name, name)

    def content(self, name):
        """The hash of what the peer serves; nothing is stored. None: nothing."""
        try:
            caller, answer = self.open(name)
            with contextlib.closing(caller):
                digest = hashlib.sha256()
                if answer.status != 200:
                    return None
                while data := answer.read(1 << 18):
                    digest.update(data)
                return None if answer.length else digest.hexdigest()
        except (OSError, http.client.HTTPException):
            return None

    def open(self, name, **headers):
        caller, answer = self.get(self.target(name), **headers)
        key = "layout", self.ip, self.folder.name
        known = self.model.extended
        if answer.status == 404 and known.get(key) == "named" and ("tried", *key) not in known:
            known["tried", *key] = True
            caller.close()
            caller, answer = self.get(wire.target_of(name), **headers)
            if answer.status == 200:
                self.model.extended[key] = "bare"
        elif answer.status == 200:
            self.model.extended["tried", *key] = True
        return caller, answer

    def fetch_all(self, wanted):
        """All names with their hashes, or None; what fails comes again after all others, 1, 10 and 60 s later."""
        for pause in (0, *RETRIES):
            time.sleep(pause if wanted else 0)
            for name, digest in list(wanted.items()):
                if found := self.fetch(name, digest):
                    del wanted[name]
                    yield name, found

    def fetch(self, name, wanted=None):
        """A part file with the content, its time and hash."""
        number = wire.digest_of(f"{self.ip} {name}".encode())[:16]
        part = os.path.join(self.folder.path, f".bepeer/part/{number}.part")
        if self.folder.is_file:
            part = self.folder.path + ".part"
        if found := self.attempt(name, part, wanted):
            return found
        self.log("fetch_failed", folder=self.folder.name, peer=self.ip, path=name)
        return None

    def attempt(self, name, part, wanted):
        have, note = 0, part + ".note"
        headers = {}
        with contextlib.suppress(OSError, ValueError):
            with open(note, encoding="utf-8") as file:
                tag, total = json.load(file)
            have = os.path.getsize(part)
            headers = {"Range": f"bytes={have}-", "If_Range": tag} if 0 < have < total else {}
        try:
            caller, answer = self.open(name, **headers)
            with contextlib.closing(caller):
                return self.receive(name, part, answer, wanted, have if headers else 0, headers)
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def receive(self, name, part, answer, wanted, have, headers):
        fits = answer.status == 206 and headers and re.fullmatch(
            rf"bytes {have}-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        total = int(answer.headers.get("Content-Length", 0) or 0) + (have if fits else 0)
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        lengths = answer.headers.get_all("Content-Length") or []
        if fits:
            with open(part + ".note", encoding="utf-8") as file:
                fits = json.load(file) == [tag, int(fits[2])] and int(fits[1]) + 1 == int(fits[2])
        if (not fits and answer.status != 200) or answer.headers.get("Content-Encoding", "identity") != "identity" or (
                lengths and (len(lengths) > 1 or not re.fullmatch(r"\d{1,17}", lengths[0]))):
            with contextlib.suppress(OSError):
                os.unlink(part + ".note")
            return None
        room = os.statvfs(self.folder.path)
        if total + self.model.free > room.f_bavail * room.f_frsize:
            self.log("disk_full", folder=self.folder.name, path=name)
            return None
        with open(part + ".note", "w", encoding="utf-8") as file:
            json.dump([tag, total], file)
        with open(part, "ab" if fits else "wb", buffering=0) as file:
            count = have if fits else 0
            while True:
                try:
                    data = answer.read1(1 << 18)
                except http.client.IncompleteRead as error:
                    data = error.partial
                if not data:
                    break
                file.write(data)
                count += len(data)
        if lengths and count != total:
            return None
        with open(part, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.unlink(part + ".note")
        told = answer.headers.get("BePeer-Hash", f"sha-256={digest}")
        if told != f"sha-256={digest}" or wanted not in (None, digest):
            os.unlink(part)
            return None
        when = answer.headers.get("Last-Modified")
        mtime = int(email.utils.parsedate_to_datetime(when).timestamp()) if when else int(time.time())
        self.log("fetch_done", folder=self.folder.name, path=name, bytes=count - (have if fits else 0), ms=1,
                 resumed=bool(fits))
        return part, mtime * 10**9, digest

    # --- what is made of it ----------------------------------------------------------------------------------

    def run(self):
        names = list(self.message.files)
        entries = self.manifest()
        have = []
        if entries is not None:
            # First what comes, then what goes (4.4).
            for pause in (0, *RETRIES):
                time.sleep(pause if entries else 0)
                for one in sorted(entries, key=lambda one: bool(one.get("d"))):
                    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
                        if self.merge(one):
                            entries.remove(one)
                            local = self.folder.index.get(one["p"], {})
                            have += [one["p"]] if one["p"] in names and local.get("h") == one["h"] else []
        else:
            have = [name for name, found in self.fetch_all(dict.fromkeys(names)) if self.compare(name, *found)]
        self.folder.save()
        if have or not names:
            self.folder.report(self.ip, have, self.link)
        names = [path for path in self.changed if path in self.folder.names()]
        if self.changed:
            self.log("change", folder=self.folder.name, names=self.changed)
            self.folder.announce(names, True, without=self.ip)
            # What is of our making goes also to where this came from.
            own = [name for name in self.own if name in names]
            if own and self.folder.mode != "receiveonly":
                self.folder.pending.setdefault(self.ip, set()).update(own)

    def is_extended(self):
        key = self.ip, self.port
        if key not in self.model.extended:
            hello = self.small(f"{wire.EXTENSION}/hello")
            self.model.extended[key] = hello is not None and b'"bepeer"' in hello
        return self.model.extended[key]

    def has_moved_on(self, path, offered):
        """Whether the peer has a later version than the offered one, as far as it says: then it is no liar."""
        return any(one["p"] == path and wire.compared(offered, one["v"]) in ("older", "concurrent")
                   for one in self.manifest() or ())

    def manifest(self):
        if not self.is_extended():
            return None
        data = self.small(f"{wire.EXTENSION}/f{wire.target_of(self.folder.name)}/manifest")
        try:
            entries = []
            for line in wire.read_manifest(data or b"")[1]:
                counts, size = line["v"].values(), line["s"]
                if all(0 < count < 1 << 63 for count in counts) and 0 <= size < 1 << 60 and isinstance(line["m"], int):
                    entries.append(line)
            return entries
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []

    def current(self, path):
        """The entry of a path after a look at the disk, so that no edit is overlooked."""
        with contextlib.suppress(OSError):
            info = os.lstat(self.folder.file_path(path))
            one = self.folder.index.get(path)
            if one is None or one.get("d") or (one["s"], one["ns"], one["ino"]) != (
                    info.st_size, info.st_mtime_ns, info.st_ino):
                if self.folder.take(path, info):
                    self.changed.append(path)
                    self.own.append(path)
        return self.folder.index.get(path)

    def merge(self, remote):
        """One entry of a manifest. Whether we hold that version now."""
        path, folder = remote["p"], self.folder
        with folder.lock:
            local = self.current(path)
            order = wire.compared(local["v"] if local else {}, remote["v"])
            if order in ("equal", "newer"):
                return True
            both = wire.merged(local["v"] if local else {}, remote["v"])
            is_here = local is not None and not local.get("d")
            if is_here and not remote.get("d") and local["h"] == remote["h"] and local.get("t") == remote.get("t"):
                if order == "older" or local["v"] != both:
                    folder.bump(path, both, x=remote.get("x"))
                return True
            if remote.get("d"):
                if is_here and order == "concurrent":
                    folder.bump(path, both)     # the edit wins
                elif is_here:
                    if local.get("t") == "dir":
                        with contextlib.suppress(OSError):
                            os.rmdir(folder.file_path(path))
                    else:
                        replace(folder, None, path)
                    folder.bump(path, both, d=True)
                    self.changed.append(path)
                else:
                    folder.bump(path, both, d=True, h=remote["h"])
                return True
            if remote.get("t") == "dir":
                os.makedirs(folder.file_path(path), exist_ok=True)
                folder.bump(path, both, t="dir", s=0, m=0, h="", ino=0, ns=0, d=None)
                return True
        return self.bring(path, remote, both, order == "concurrent" and is_here)

    def local_copy(self, digest):
        for path, one in self.folder.index.items():
            if one["h"] == digest and not one.get("d") and one.get("t") != "dir" and os.path.isfile(
                    self.folder.file_path(path)):
                part = os.path.join(self.folder.path, f".bepeer/part/copy-{threading.get_ident()}.part")
                shutil.copyfile(self.folder.file_path(path), part)
                with open(part, "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                        return part
        return None

    def bring(self, path, remote, versions, is_conflict):
        part = self.local_copy(remote["h"])
        if not part:
            found = self.fetch(path, remote["h"])
            if not found:
                return False
            part = found[0]
        with self.folder.lock:
            before = self.folder.index.get(path, {}).get("v", {})
            local = self.current(path)
            if local and local["v"] != before or wire.compared(local["v"] if local else {}, remote["v"]) == "equal":
                return self.merge(remote)      # it has changed meanwhile
            if is_conflict:
                self.conflict(path, part, remote["m"] * 10**6, remote["h"], versions)
            else:
                self.put(path, part, remote["m"] * 10**6, remote["h"], versions, remote.get("x"))
            return True

    def put(self, path, part, mtime_ns, digest, versions=None, executable=None):
        os.utime(part, ns=(mtime_ns, mtime_ns))
        os.chmod(part, 0o755 if executable else 0o644)
        replace(self.folder, part, path)
        info = os.lstat(self.folder.file_path(path))
        self.folder.bump(path, versions, s=info.st_size, m=info.st_mtime_ns // 10**6, ns=info.st_mtime_ns, h=digest,
                         ino=info.st_ino, d=None, t=None, x=executable or None)
        self.changed.append(path)

    def conflict(self, path, part, mtime_ns, digest, versions):
        local = self.folder.index[path]
        mine = {"mtime": local["m"] // 1000, "hash": local["h"]}
        theirs = {"mtime": mtime_ns // 10**9, "hash": digest}
        is_mine = wire.winner(mine, theirs) == "local" and self.folder.mode != "receiveonly"
        loser = theirs if is_mine else mine
        copy = wire.conflict_name(path, loser["mtime"], loser["hash"])
        if not wire.is_conflict_name(path) and self.folder.index.get(copy, {}).get("h") != loser["hash"]:
            if is_mine:
                shutil.copyfile(part, part + "2")
            else:
                shutil.copyfile(self.folder.file_path(path), part + "2")
                with open(part + "2", "rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != loser["hash"]:
                        raise OSError("edited at this moment")
            self.put(copy, part + "2", loser["mtime"] * 10**9, loser["hash"])
            self.own.append(copy)
            self.log("conflict", folder=self.folder.name, path=path, kept=copy)
        if is_mine:
            os.unlink(part)
            self.folder.bump(path, versions)
            self.changed.append(path)
            self.own.append(path)
        else:
            self.put(path, part, mtime_ns, digest, versions)

    def compare(self, path, part, mtime_ns, digest):
        """A name offered by an old peer. Whether we hold that version now."""
        folder = self.folder
        with folder.lock, contextlib.suppress(OSError):
            agreed = folder.agreed.get((self.ip, path))
            local = self.current(path)
            folder.agreed[self.ip, path] = digest
            if local and local["h"] == digest:
                os.unlink(part)    # also when it was deleted here
                return not local.get("d")
            if folder.is_file or local is None or local.get("d") or local["h"] == agreed or agreed is None and not (
                    folder.trusted.get(self.ip)):
                self.put(path, part, mtime_ns, digest)
            else:
                self.conflict(path, part, mtime_ns, digest, None)
            return folder.index[path]["h"] == digest
        return False
