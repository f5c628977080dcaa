"""Which profiles a board runs: those of board.json under the present settings."""

import binascii

from wire import channels
from wire.profiles import Profile, distinct
from wire.settings import by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Settings that change what a value means: a record made under others names another profile.
CALIBRATION = ("direction_flip", "min_count", "mic_offset_cdb", "temperature_offset_cdeg", "speed_angle_deg")


def item(name: str) -> "tuple[int, int]":
    """(channel id, instance) of `pm2_5` or `pm2_5:1`."""
    base, _, instance = name.partition(":")
    return channels.id_of(base), int(instance or 0)


def calibration(get: "Callable[[str, int], int]") -> int:
    """0 while every calibration setting has its default, else a number that names the set."""
    text = ""
    for name in CALIBRATION:
        setting = by_name(name)
        for instance in range(setting.instances):
            value = get(name, instance)
            if value != setting.default:
                text += "%s.%d=%d " % (name, instance, value)
    return binascii.crc32(text.encode()) if text else 0


def wanted(board: dict, get: "Callable[[str, int], int]") -> "list[Profile]":
    """The board's profiles in the order of board.json, version 0, under the values that `get(name, instance)` gives."""
    found = []
    for entry in board["profiles"]:
        window_s = get("window_s", entry["window_setting"])
        found.append(Profile(tuple([item(name) for name in entry["items"]]), window_s, calibration(get)))
    return found


def same(one: Profile, other: Profile) -> bool:
    """Whether two profiles differ in nothing but their version."""
    return (one.items, one.window_s, one.calibration) == (other.items, other.window_s, other.calibration)


def fresh(profile: Profile, stored: dict) -> Profile:
    """`profile` with a version that makes its short and its id differ from those of all profiles that the life
    `stored` ever had: a record names its profile by the short alone. ValueError when all are used."""
    taken = set(binascii.unhexlify(stored.get("used", "")))
    for entry in stored["grids"]:
        taken.add(short_of(entry[0]))
    return distinct(profile, taken)


def short_of(descriptor: str) -> int:
    """What records carry of the profile with this descriptor (hex)."""
    from wire.profiles import decode_profile

    return decode_profile(bytes.fromhex(descriptor)).short
