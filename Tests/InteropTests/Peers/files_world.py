"""What the cases of files_check stand on: nodes that share a folder, and foreign peers."""
import world
from files_node import Sharer
from files_wire import FakePeer


class World(world.World):
    def home(self, files=None, sections=None, **options):
        """A node that is not started."""
        return self.own(Sharer(self.options.program, self.place(), files, sections, **options))

    def node(self, shared=None, **files):
        """A node that shares these files, and whose index has them."""
        home = self.home(files)
        for name, data in (shared or {}).items():
            home.put(name, data)
        return home.start()

    def peer(self, **services):
        return self.own(FakePeer(**services))
