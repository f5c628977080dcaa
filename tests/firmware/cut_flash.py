# Runs under MicroPython: a flash for littlefs that counts, and whose power can be cut before any program or erase.
import vfs

BLOCK = 4096


class Cut(BaseException):
    """The power goes."""


class Flash:
    """A RAM block device with a fuse: `left` programs and erases until the power goes; the torn one is half done."""

    def __init__(self, blocks):
        self.data = bytearray(BLOCK * blocks)
        self.view = memoryview(self.data)
        self.left = -1
        self.kept = None  # what the cells held at the cut: what comes later only lets open files be closed
        self.forget()

    def forget(self):
        """Count from here on."""
        self.programs = 0
        self.erases = [0] * (len(self.data) // BLOCK)

    def count(self):
        return self.programs + sum(self.erases)

    def _step(self):
        if self.left == 0:
            self.left = -1
            self.kept = bytes(self.data)
            raise Cut
        self.left -= 1

    def readblocks(self, number, buf, offset=0):
        start = number * BLOCK + offset
        buf[:] = self.view[start : start + len(buf)]

    def writeblocks(self, number, buf, offset=None):
        start = number * BLOCK + (offset or 0)
        if self.left == 0:
            half = len(buf) // 2
            self.data[start : start + half] = buf[:half]
        self._step()
        self.programs += 1
        self.data[start : start + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.erases)
        if op == 5:
            return BLOCK
        if op == 6:
            if self.left == 0:
                for i in range(arg * BLOCK, arg * BLOCK + BLOCK, 7):
                    self.data[i] = 0x5A
            self._step()
            self.erases[arg] += 1
            for i in range(arg * BLOCK, (arg + 1) * BLOCK):
                self.data[i] = 0xFF
        return 0


def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
