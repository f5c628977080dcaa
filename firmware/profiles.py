"""Which profiles a board runs: those of board.json under the present settings."""

import binascii

from wire import channels
from wire.profiles import Profile, distinct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.settings import Settings


def item(name: str) -> "tuple[int, int]":
    """(channel id, instance) of `pm2_5` or `pm2_5:1`."""
    base, _, instance = name.partition(":")
    return channels.id_of(base), int(instance or 0)


def wanted(board: dict, settings: "Settings", later: bool) -> "list[Profile]":
    """The board's profiles in the order of board.json, version 0, under the settings in force, or `later`, those that
    were set last."""
    from wire.calibration import calibration  # not needed where one profile takes over from another

    number = calibration(settings.values(later))
    get = settings.wanted if later else settings.get
    found = []
    for entry in board["profiles"]:
        window_s = get("window_s", entry["window_setting"])
        found.append(Profile(tuple([item(name) for name in entry["items"]]), window_s, number))
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
