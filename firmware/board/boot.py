# Steiger boot.py: counts boots and picks the program's slot. Written once at provisioning, never updated.
#
# /boots     "<boots> <crc32>"               boot id; two copies (/boots.a, /boots.b)
# /attempts  "<n>"                           starts of the program since the last that proved itself (kept by main.py)
# /fell-back "<slot>"                           the slot that was left; the program tells it and removes the file
# /slot.a/.b "<slot> <confirmed> <version> <crc32>"   which of /a and /b runs; two copies, the higher version counts
import binascii
import os
import sys

TRIES = 3  # starts that a new slot has to prove itself; then the other one runs again


def _load(path: str) -> "list[str] | None":
    """The fields of one line file, or None when it is missing or its CRC does not fit."""
    try:
        with open(path, "rb") as f:
            text, crc = f.read(80).strip().rsplit(b" ", 1)
        return text.decode().split(" ") if int(crc, 16) == binascii.crc32(text) else None
    except (OSError, ValueError):
        return None


def _save(path: str, text: str) -> None:
    with open(path, "wb") as f:
        f.write(b"%s %08x\n" % (text.encode(), binascii.crc32(text.encode())))


def _deep_sleep_wake() -> bool:
    try:
        import machine

        return bool(machine.reset_cause() == machine.DEEPSLEEP_RESET)
    except (ImportError, AttributeError):
        return False


def count_boot(root: str) -> int:
    """Boot id of this start: both copies are written, the later one counts, also where the number begins anew; a random
    one if both are unreadable."""
    known = [int(f[0]) for f in (_load(root + "/boots.a"), _load(root + "/boots.b")) if f]
    damaged = not known and "boots.a" in os.listdir(root or "/")
    boots = known[0] if known else (int.from_bytes(os.urandom(2), "big") if damaged else 0)
    if len(known) == 2 and (known[1] - boots) & 0xFFFF < 0x8000:
        boots = known[1]
    if not _deep_sleep_wake():
        boots = (boots + 1) & 0xFFFF  # a record has 16 bits for it
        _save(root + "/boots.a", "%d" % boots)
        _save(root + "/boots.b", "%d" % boots)
    return boots


def pick_slot(root: str) -> str:
    """Name of the slot to run: the pointer's, or the other one when a new slot did not prove itself."""
    pointers = [f for f in (_load(root + "/slot.a"), _load(root + "/slot.b")) if f and len(f) == 3]
    there = [s for s in ("a", "b") if s in os.listdir(root or "/")]
    if not pointers:
        return there[0] if there else "a"
    pointers.sort(key=lambda f: int(f[2]))
    slot, confirmed, version = pointers[-1]
    try:
        with open(root + "/attempts") as f:
            attempts = int(f.read())
    except (OSError, ValueError):
        attempts = 0
    other = "b" if slot == "a" else "a"
    if (slot not in there or (confirmed == "0" and attempts >= TRIES)) and other in there:
        for copy in ("/slot.a", "/slot.b"):
            _save(root + copy, "%s 1 %d" % (other, int(version) + 1))
        with open(root + "/attempts", "w") as f:
            f.write("0")
        with open(root + "/fell-back", "w") as f:
            f.write(slot)
        slot = other
    return slot


def run() -> None:
    root = os.getcwd().rstrip("/")
    boots = count_boot(root)
    slot = root + "/" + pick_slot(root)
    if slot not in sys.path:
        sys.path.insert(0, slot)
    print("steiger: boot %d, slot %s" % (boots, slot))


if __name__ == "__main__":
    run()
    del _load, _save, _deep_sleep_wake, count_boot, pick_slot, run  # the heap is the program's now, 2 KB of it
