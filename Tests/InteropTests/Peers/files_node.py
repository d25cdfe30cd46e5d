"""A real node with the section `files`, and its callers."""
import os

from files_wire import DOWNLOAD, LIST, QUERY, WAIT, Wrong, exchange, loopback_host, loopback_port
from node import Node, Refused


class Sharer(Node):
    """A node that shares a folder."""

    def __init__(self, program, place, files=None, sections=None, host=None, port=None, folder=None):
        super().__init__(program, place)
        self.host, self.port = host or loopback_host(), port or loopback_port()
        self.folder = folder or os.path.join(place, "shared")
        os.makedirs(self.folder, exist_ok=True)
        self.configure(files, sections)

    def configure(self, files=None, sections=None):
        self.write_settings(
            files={"listen": self.identity, "folder": self.folder, **(files or {})}, **(sections or {}))

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def address(self, service):
        return self.host, self.port + service

    def start(self, listening=True, seconds=WAIT):
        super().start()
        if listening:
            for name in ("admin", "files.list", "files.query", "files.download"):
                self.wait("listening", listener=name)
            self.until("its index", lambda: self.status()["indexed"], seconds)
        return self

    # --- its operator ----------------------------------------------------------------------------------------

    def status(self):
        return self.admin("files.status")[0]

    def search(self, text, **arguments):
        """Matches, failures, and the sums of a search."""
        rows = self.admin("files.search", text=text, **arguments)
        found = [row for row in rows if "number" in row]
        return found, [row for row in rows if "failed" in row and "asked" not in row], rows[-1]

    def download(self, **arguments):
        """The last row of a download."""
        return self.admin("files.download", **arguments)[-1]

    def refusal(self, **arguments):
        """Why a download fails."""
        try:
            found = self.download(**arguments)
        except Refused as error:
            return str(error).partition(":")[0]
        raise Wrong(f"{arguments} was downloaded: {found}")

    # --- its callers and its files ---------------------------------------------------------------------------

    def list(self, *writes, **options):
        return exchange(self.address(LIST), *writes, **options)

    def query(self, *writes, **options):
        return exchange(self.address(QUERY), *writes, **options)

    def fetch(self, *writes, **options):
        return exchange(self.address(DOWNLOAD), *writes, **options)

    def names(self, text=b""):
        return self.query(text + b"\n").lines

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, data):
        """A file that appears whole."""
        with open(self.path(".new"), "wb") as file:
            file.write(data)
        os.rename(self.path(".new"), self.path(name))

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def shows(self, name, seconds=WAIT):
        """Waits until a query gives the name."""
        self.until(f"answer with {name}", lambda: name.encode() in self.names(name.encode()), seconds)

    def leftovers(self):
        """Files of downloads that have not come whole."""
        place = self.path(".peernode/partial")
        return os.listdir(place) if os.path.isdir(place) else []
