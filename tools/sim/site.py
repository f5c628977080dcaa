"""A board description made real: world, chips, unique id, crystal, all from one seed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

from boards import Board as Description
from boards import BoardError, simulated_chips
from boards.radio import SerialLink
from tools.errors import UsageError
from tools.sim.chips import create
from tools.sim.chips.axp import AXP
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.devices import Attached
from tools.sim.world import World

UID_BYTES = 6  # an ESP32's unique id is its MAC address
DRIFT_PPM = 20  # crystals are off by at most so much, either way


def attach_chips(description: Description, world: World, seed: int, site: int = 0) -> list[Attached]:
    """The simulated twin's chips on the buses of the board, which stands at street `site` of the world."""
    try:
        chips = simulated_chips(description)
    except BoardError as error:
        raise UsageError(str(error), where=description.name) from None
    found = []
    for number, entry in enumerate(chips):
        bus = description.buses[entry.bus]
        kind = type(bus).__struct_config__.tag
        found.append(
            Attached(
                f"{kind}{bus.id}",
                entry.chip,
                create(entry.chip, world, seed * 16 + number, **{"site": site, **entry.params}),
            )
        )
    for power in (entry.chip for entry in found if isinstance(entry.chip, AXP)):
        power.loads = [entry.chip for entry in found if isinstance(entry.chip, RadioChip) and entry.chip.supply]
    return found


def antenna_gain_dbi(description: Description) -> float:
    """Of a board with a radio, its cable included; 0 without one."""
    if isinstance(description.link, SerialLink):
        return 0.0
    return float(description.link.antenna_gain_dbi - description.link.cable_loss_db)


def unique_id(flash: Path, seed: int) -> bytes:
    """The chip's id, kept beside the flash file and not in it; made when there is none."""
    path = flash.with_name(flash.name + ".uid")
    try:
        uid = bytes.fromhex(path.read_text())
        if len(uid) == UID_BYTES:
            return uid
    except (OSError, ValueError):
        pass
    uid = hashlib.sha256(f"steiger simulated chip {seed} {flash.name}".encode()).digest()[:UID_BYTES]
    path.write_text(uid.hex() + "\n")
    return uid


def drift_ppb(seed: int, name: str) -> int:
    """How much the board's crystal is fast, in parts per billion."""
    return Random(f"crystal {seed} {name}").randint(-DRIFT_PPM * 1000, DRIFT_PPM * 1000)
