"""Profile: the ordered list of (channel, instance) that a board reports in one window length.

Descriptor, big endian: version u8 | window_s u24 | calibration u32 | items u8 | items * (channel u8, instance u8).
`id` is the first four bytes of the descriptor's SHA-256, `short` its last byte, which is what a record carries.
"""

import hashlib

from wire import WireError
from wire.channels import CHANNEL_COUNT

ITEMS_MAX = 36  # a descriptor must fit into one LoRa frame
INSTANCE_MAX = 15
WINDOW_MAX_S = 86400
_HEAD = 9


class Profile:
    """Immutable by convention. `calibration` names the set of calibration constants in force; `version` is bumped
    whenever anything about the profile changes that its other fields do not show, or to free a `short`.

    ValueError if a field is out of range, an item is named twice, or a channel does not exist.
    """

    def __init__(  # seldom
        self, items: tuple[tuple[int, int], ...], window_s: int, calibration: int = 0, version: int = 0
    ) -> None:
        items = tuple([(channel, instance) for channel, instance in items])
        if not 1 <= len(items) <= ITEMS_MAX or len(set(items)) != len(items):
            raise ValueError("items")
        for channel, instance in items:
            if not 1 <= channel <= CHANNEL_COUNT or not 0 <= instance <= INSTANCE_MAX:
                raise ValueError("item")
        if not 1 <= window_s <= WINDOW_MAX_S or not 0 <= calibration <= 0xFFFFFFFF or not 0 <= version <= 255:
            raise ValueError("profile")
        self.items = items
        self.window_s = window_s
        self.calibration = calibration
        self.version = version
        digest = hashlib.sha256(self.encode()).digest()
        self.id = int.from_bytes(digest[:4], "big")
        self.short = digest[3]
        self.plan: tuple[tuple[int, ...], ...] | None = None  # made by wire.values at first use

    def encode(self) -> bytes:  # seldom
        """The descriptor."""
        out = bytearray(_HEAD + 2 * len(self.items))
        out[0] = self.version
        out[1:4] = self.window_s.to_bytes(3, "big")
        out[4:8] = self.calibration.to_bytes(4, "big")
        out[8] = len(self.items)
        at = _HEAD
        for channel, instance in self.items:
            out[at] = channel
            out[at + 1] = instance
            at += 2
        return bytes(out)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:  # seldom
        return "Profile(items=%r, window_s=%d, calibration=%d, version=%d)" % (
            self.items,
            self.window_s,
            self.calibration,
            self.version,
        )


def decode_profile(descriptor: bytes) -> Profile:  # seldom
    """The profile of a descriptor; WireError `short`, `long` or `range`."""
    if len(descriptor) < _HEAD or len(descriptor) < _HEAD + 2 * descriptor[8]:
        raise WireError("short")
    if len(descriptor) > _HEAD + 2 * descriptor[8]:
        raise WireError("long")
    items = []
    for at in range(_HEAD, len(descriptor), 2):
        items.append((descriptor[at], descriptor[at + 1]))
    try:
        return Profile(
            tuple(items),
            int.from_bytes(descriptor[1:4], "big"),
            int.from_bytes(descriptor[4:8], "big"),
            descriptor[0],
        )
    except ValueError:
        raise WireError("range")


def distinct(profile: Profile, taken: set[int]) -> Profile:
    """`profile`, with the next version whose `short` is not in `taken`: the shorts of the profiles whose records a
    node still holds must differ, else a change of settings would reinterpret what is queued."""
    for step in range(256):
        candidate = Profile(profile.items, profile.window_s, profile.calibration, (profile.version + step) & 255)
        if candidate.short not in taken:
            return candidate
    raise ValueError("short")
