"""What holds for every simulated chip: it is found by name, documents its faults, and repeats itself for a seed."""

import hashlib
from typing import Any

import pytest

from tools.sim.chips import CHIPS, Chip, Nack, chip_class, create
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MEASURING = sorted(set(CHIPS) - {"sx1262", "sx1276", "axp"})  # radios and power chips have tests of their own
EVERYWHERE = {"silence", "stuck", "byte_shift", "late_answer"}
# Chips that are asked by commands: what starts them, what asks for values, bytes of these, when they are fetched.
ASKED = {
    "sps30": ("00100300AC", "0300", 60, 500_000),
    "sen5x": ("0021", "03C4", 24, 500_000),
    "sen66": ("0021", "0300", 27, 500_000),
    "scd41": ("21B1", "EC05", 9, 500_000),
    "sht4x": ("94", "FD", 6, 10_000),
}


def session(name: str, seed: int, *, faults: tuple[str, ...] = (), site: int = 0) -> str:
    """A digest of what a chip says in a minute (a microphone: in twelve seconds), refusals included."""
    chip: Any = create(name, World(7, START_S), seed, faults=faults, site=site)
    said = hashlib.sha256()
    for second in range(12 if hasattr(chip, "frames") else 60):
        now = T0 + second * 1_000_000
        said.update(b"|")
        try:
            if name == "sps30-uart":
                chip.receive(bytes.fromhex("7E 00 00 02 01 03 F9 7E" if second == 0 else "7E 00 03 00 FC 7E"), now)
                said.update(chip.output(now + 20_000))
            elif name == "ads1115-no2":
                chip.write(bytes.fromhex("01 85 03"), now)
                chip.write(b"\x00", now + 200_000)
                said.update(chip.read(2, now + 200_000))
            elif hasattr(chip, "frames"):
                said.update(chip.frames(second * 48_000, 4_800, now))
            elif hasattr(chip, "output"):
                said.update(chip.output(now))
            elif name == "dnms":
                for command, size in ((2, 27), (3, 0), (4, 3), (5, 18)):
                    chip.write(bytes((0, command)), now + command * 100_000)
                    said.update(chip.read(size, now + command * 100_000))
            elif name in ASKED:
                start, ask, size, after_us = ASKED[name]
                chip.write(bytes.fromhex(ask if second else start), now)
                said.update(chip.read(size, now + after_us))
            else:
                chip.write(b"\xf2\x01\xf4\x25", now)
                chip.write(b"\xf7", now + 20_000)
                said.update(chip.read(8, now + 20_000))
        except Nack as refusal:
            said.update(refusal.reason.encode())
    return said.hexdigest()


@pytest.mark.parametrize("name", MEASURING)
def test_same_seed_twice_is_the_same_bytes(name: str) -> None:
    assert session(name, 3) == session(name, 3)
    assert len({session(name, 3), session(name, 4), session(name, 3, site=1)}) == 3


@pytest.mark.parametrize("name", MEASURING)
def test_every_documented_fault_changes_what_is_heard(name: str) -> None:
    sound = session(name, 3)
    # These show in answers that a minute of plain reading does not ask for.
    elsewhere = {"no_new_data", "blank_calibration", "bus_held", "deaf", "no_answers", "wrong_chip"}
    if name in ("ld2451", "ops243a", "tfluna"):
        elsewhere.add("late_answer")
    if name == "tfluna":
        elsewhere.add("brown_out")  # it has its maker's settings already
    for fault in sorted(set(chip_class(name).FAULTS) - elsewhere):
        assert session(name, 3, faults=(fault,)) != sound, fault


@pytest.mark.parametrize("name", MEASURING)
def test_faults_are_named_and_checked(name: str) -> None:
    chip = create(name, World(7, START_S), 1)
    assert set(chip.FAULTS) >= EVERYWHERE
    assert all(chip.FAULTS.values())
    chip.switch("silence")
    assert chip.faults == {"silence"}
    chip.switch("silence", False)
    assert not chip.faults
    with pytest.raises(ValueError, match=r"has no fault 'flood'; it has: .*silence"):
        chip.switch("flood")
    with pytest.raises(ValueError, match="flood"):
        create(name, World(7, START_S), 1, faults=("flood",))


@pytest.mark.parametrize("name", sorted(CHIPS))
def test_every_chip_has_faults_and_says_what_they_are(name: str) -> None:
    faults = chip_class(name).FAULTS
    assert faults and all(faults.values())


def test_unknown_chip() -> None:
    with pytest.raises(KeyError):
        create("hal9000", World(7, START_S), 1)
    assert issubclass(chip_class("bme280"), Chip)
