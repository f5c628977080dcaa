# Runs under MicroPython: for each line "full|brief <path>" on stdin it mounts that flash image, never writing, and prints
# the files that lie outside the program's slots as "<path> <size> <hex>"; of segments, when brief, no content. The last
# line is "ok" or "error <text>". Started by reader.py.
import binascii
import os
import sys

import vfs

BLOCK = 4096


class Image:
    def __init__(self, path):
        self._file = open(path, "rb")  # noqa: SIM115
        self._blocks = os.stat(path)[6] // BLOCK

    def readblocks(self, number, buf, offset=0):
        self._file.seek(number * BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, number, buf, offset=0):
        return -30  # EROFS

    def ioctl(self, op, argument):
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            return -30
        if op == 2:
            self._file.close()
        return 0


def walk(folder, brief):
    for entry in os.ilistdir(folder):
        path = folder + "/" + entry[0]
        if entry[1] & 0x4000:
            if entry[0] not in ("a", "b"):
                print(path[3:] + "/", 0, "")
                walk(path, brief)
            continue
        if entry[0].endswith((".py", ".py.new")):
            continue
        size = os.stat(path)[6]
        content = b""
        if not (brief and path.endswith(".seg")):
            with open(path, "rb") as f:
                content = f.read()
        print(path[3:], size, binascii.hexlify(content).decode())


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            break
        how, path = line.strip().split(" ", 1)
        try:
            vfs.mount(vfs.VfsLfs2(Image(path)), "/i")
            try:
                walk("/i", how == "brief")
            finally:
                vfs.umount("/i")
            print("ok")
        except OSError as error:
            print("error", error)


main()
