"""What a board knows about itself: address, key, lives, values. Two copies in flash, bound to the chip.

`settings.a` and `settings.b`, written one after the other and read back:
    4 bytes "SSt1" | u32 version | u32 length | payload: JSON | u32 crc32 of what precedes      (little endian)
The readable copy with the higher version counts. Payload:
    {"uid": hex, "address", "key": hex, "provisioned_s", "grids": [[hex descriptor, slot, first, ended] …],
     "values": {"health_s": 3600, "window_s.0": 60 …}, "pending": {"min_count": 5 …}, "used": hex, "previous":
     [{"address", "key", "provisioned_s", "until_s", "grids"} …], "dropped": [life as 8 hex digits …]}
`pending` are values that take over, together with a new profile, when a window ends: what is in force and the profile
that records name never differ, whenever a boot comes between. `used` are the shorts of profiles that are forgotten:
they never come again in this life. `dropped` are lives that were replaced before they ran. All three may be missing.
`grids` are the profiles that a life has run: `slot` is the place in board.json, `first` and `ended` are the window
indices where its grid begins and where it ended (exclusive; 0 = runs). Times are unix UTC in s.

The provisioning tool calls `provision(json)` on the board; nothing else makes a key valid.
"""

import binascii
import json
import os
import struct

from wire import crypto

_MAGIC = b"SSt1"
_HEAD = 12
_PIECE = 128  # read back at once
COPIES = ("/settings.a", "/settings.b")
GRIDS_MAX = 12  # profiles remembered per life: as many changes of window as may wait for a gateway


class NeedsProvisioning(Exception):
    """No usable settings: the board transmits nothing. The text says why, for the technician."""


def encode(version: int, payload: dict) -> bytes:  # seldom
    body = json.dumps(payload).encode()  # the largest text on a board: no more copies of it than needed
    head = _MAGIC + struct.pack("<II", version, len(body))
    return b"".join((head, body, struct.pack("<I", binascii.crc32(body, binascii.crc32(head)))))


def decode(data: bytes) -> "tuple[int, dict] | None":  # seldom
    """(version, payload), None if anything about the copy is wrong."""
    if len(data) < _HEAD + 4 or data[:4] != _MAGIC:
        return None
    version, length = struct.unpack("<II", data[4:_HEAD])
    end = _HEAD + length
    if len(data) != end + 4 or struct.unpack("<I", data[end:])[0] != binascii.crc32(data[:end]):
        return None
    try:
        payload = json.loads(data[_HEAD:end].decode())
    except ValueError:
        return None
    return (version, payload) if isinstance(payload, dict) else None


def _read(path: str) -> "tuple[int, dict] | None":  # seldom
    try:
        with open(path, "rb") as f:
            return decode(f.read())
    except OSError:
        return None


def life_of(key: bytes) -> int:  # seldom
    """The life that a key begins: u32."""
    return crypto.subkeys(key).life


def stem(root: str, kind: str, life: int) -> str:
    """Path of a life's lease or outbox: `lease-0badcafe`."""
    return "%s/%s-%08x" % (root, kind, life)


class Settings:
    """The valid copy, its values by name, and how to change them."""

    def __init__(self, root: str, payload: dict, version: int) -> None:  # seldom
        from wire.settings import SETTINGS  # the whole table is needed when something is set

        self._defaults = {setting.name: setting.default for setting in SETTINGS}
        self._several = tuple([setting.name for setting in SETTINGS if setting.instances > 1])
        self._root = root
        self.payload = payload
        self.version = version
        self.repaired = False  # one copy was unreadable or older and was written anew

    def key(self, name: str, instance: int) -> str:
        """What a value is kept under."""
        return "%s.%d" % (name, instance) if name in self._several else name

    def get(self, name: str, instance: int = 0) -> int:
        """Value of a setting of wire/settings.py that is in force, its default if it was never set."""
        return int(self.payload["values"].get(self.key(name, instance), self._defaults[name]))

    def wanted(self, name: str, instance: int = 0) -> int:  # seldom
        """The value that was set last, in force or pending."""
        return int(self.payload.get("pending", {}).get(self.key(name, instance), self.get(name, instance)))

    def values(self, later: bool) -> "dict[str, int]":  # seldom
        """All that were set, by name: those in force, or `later`, as they will be when what is pending has taken over."""
        values = dict(self.payload["values"])
        if later:
            values.update(self.payload.get("pending", {}))
        return values

    def put(self, name: str, instance: int, value: int, later: bool = False) -> bool:  # seldom
        """Set and store; False if the table does not permit it. Both copies hold it when this returns True. `later`:
        pending until `take_over`. OSError: flash refused, and nothing has changed."""
        from wire.settings import by_name, permits

        setting = by_name(name)
        if not setting.writable or not permits(setting.id, instance, value):
            return False
        before = self.payload["values"], self.payload.get("pending", {})
        values, pending = dict(before[0]), dict(before[1])
        pending.pop(self.key(name, instance), None)
        if later and value == self.get(name, instance):
            pass  # nothing is to change any more
        elif later:
            pending[self.key(name, instance)] = value
        else:
            values[self.key(name, instance)] = value
        self.payload["values"], self.payload["pending"] = values, pending
        self.store_or(before)
        return True

    def take_over(self) -> None:  # seldom
        """What is pending is in force, together with what else was changed in the payload; stored. OSError: the values
        are as before."""
        before = self.payload["values"], self.payload.get("pending", {})
        self.payload["values"], self.payload["pending"] = dict(before[0]), {}
        self.payload["values"].update(before[1])
        self.store_or(before)

    def store_or(self, before: "tuple[dict, dict]") -> None:  # seldom
        """Store; OSError or MemoryError, with `before` as values and pending, if flash does not keep them or the heap has no
        room for their text."""
        try:
            self.store()
        except (OSError, MemoryError):
            self.payload["values"], self.payload["pending"] = before
            raise

    def store(self) -> None:  # seldom
        """Write both copies, one after the other, each read back; OSError if flash does not keep them."""
        self.version += 1
        data = encode(self.version, self.payload)
        for copy in COPIES:
            with open(self._root + copy, "wb") as f:
                f.write(data)
            with open(self._root + copy, "rb") as f:
                at = 0
                while at < len(data):
                    if f.read(_PIECE) != data[at : at + _PIECE]:
                        raise OSError(5)
                    at += _PIECE
                if f.read(1):
                    raise OSError(5)

    def forget_previous(self, life: int) -> None:  # seldom
        """A previous life is drained: its key goes."""
        self.payload["previous"] = [p for p in self.payload["previous"] if life_of(bytes.fromhex(p["key"])) != life]
        self.store()


def newest(root: str) -> "tuple[int, dict] | None":  # seldom
    """(version, payload) of the copy that counts, None if neither is readable."""
    copies = [copy for copy in (_read(root + COPIES[0]), _read(root + COPIES[1])) if copy is not None]
    copies.sort(key=lambda copy: copy[0])
    return copies[-1] if copies else None


def load(root: str, uid: bytes) -> Settings:  # seldom
    """The board's settings; NeedsProvisioning if none is readable or they belong to another chip. A copy that is
    unreadable or older is written anew."""
    found = newest(root)
    if found is None:
        there = COPIES[0][1:] in os.listdir(root or "/")
        raise NeedsProvisioning("settings unreadable, both copies" if there else "no settings yet")
    version, payload = found
    if payload.get("uid") != binascii.hexlify(uid).decode():
        raise NeedsProvisioning("settings of another chip: copied or moved flash")
    settings = Settings(root, payload, version)
    if _read(root + COPIES[0]) != _read(root + COPIES[1]):
        settings.store()
        settings.repaired = True
    return settings


def provision(text: str, uid: "bytes | None" = None, root: "str | None" = None) -> str:  # seldom
    """Begin a new life from JSON {"address", "key", "provisioned_s", "values"?}: called over mpremote.

    The present life moves to `previous` (its `until_s` is the new one's beginning) and goes on draining under its own
    key. Returns a line for the technician without the key; ValueError says what is wrong and leaves everything as it
    was.
    """
    from firmware.provisioning import provision as begin

    if uid is None:
        from firmware import hal

        uid = hal.unique_id()
    return begin(text, uid, os.getcwd().rstrip("/") if root is None else root)
