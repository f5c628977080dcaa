"""The slot pointer and the count of starts that boot.py and main.py keep on the board's root.

Formats: see firmware/board/boot.py. Both files there stay as they were provisioned; this module changes with the slot.
"""

import binascii
import os

COPIES = ("/slot.a", "/slot.b")
FELL_BACK = "/fell-back"
BOOTS = ("/boots.a", "/boots.b")
NOTE = "/provisioning"  # what a provisioning that was begun has to do: firmware/provisioning.py


def save_line(path: str, text: str) -> None:  # seldom
    """One line with its CRC, as boot.py reads it."""
    with open(path, "wb") as f:
        f.write(b"%s %08x\n" % (text.encode(), binascii.crc32(text.encode())))


def read_pointer(root: str) -> "tuple[str, bool, int] | None":  # seldom
    """(slot, confirmed, version) of the newest readable copy."""
    best = None
    for copy in COPIES:
        try:
            with open(root + copy, "rb") as f:
                text, crc = f.read(80).strip().rsplit(b" ", 1)
            if int(crc, 16) != binascii.crc32(text):
                continue
            slot, confirmed, version = text.decode().split(" ")
            if best is None or int(version) > best[2]:
                best = (slot, confirmed == "1", int(version))
        except (OSError, ValueError):
            continue
    return best


def write_pointer(root: str, slot: str, confirmed: bool) -> None:  # seldom
    """Both copies, one after the other, one version further; the starts of another program do not count for it."""
    known = read_pointer(root)
    text = "%s %d %d" % (slot, confirmed, known[2] + 1 if known else 1)
    for copy in COPIES:
        save_line(root + copy, text)
    with open(root + "/attempts", "w") as f:
        f.write("0")


def confirm(root: str) -> None:  # seldom
    """The running slot has proved itself: data was acknowledged, or it lived long enough."""
    known = read_pointer(root)
    if known and not known[1]:
        write_pointer(root, known[0], True)
    try:
        with open(root + "/attempts") as f:
            if f.read() == "0":
                return
    except OSError:
        return
    with open(root + "/attempts", "w") as f:
        f.write("0")


def fell_back(root: str) -> bool:  # seldom
    """Whether boot.py has left a slot that did not prove itself, since the last `fall_told`."""
    try:
        os.stat(root + FELL_BACK)
        return True
    except OSError:
        return False


def fall_told(root: str) -> None:  # seldom
    """The event lies in the outbox."""
    os.remove(root + FELL_BACK)


def interrupted(root: str) -> bool:  # seldom
    """Whether a provisioning was begun and not finished: `provisioning.finish` looks what is left to do."""
    return NOTE[1:] in os.listdir(root or "/")


def new_boot(root: str) -> int:  # seldom
    """Count a boot that boot.py took for the same one: a wake from deep sleep that remembers nothing."""
    boots = (boot_id(root) + 1) & 0xFFFF
    for copy in BOOTS:
        save_line(root + copy, "%d" % boots)
    return boots


def boot_id(root: str) -> int:  # seldom
    """The number that boot.py gave to this boot; 0 when it never ran. Of two copies the one that the other comes before
    counts, also where the number begins anew."""
    boots = None
    for copy in BOOTS:
        try:
            with open(root + copy, "rb") as f:
                text, crc = f.read(80).strip().rsplit(b" ", 1)
            if int(crc, 16) == binascii.crc32(text) and (boots is None or (int(text) - boots) & 0xFFFF < 0x8000):
                boots = int(text)
        except (OSError, ValueError):
            continue
    return boots or 0
