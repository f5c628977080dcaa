"""Block results are what the meter's loop leaves of the same sound; and the loop that asks for them fits the product."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from boards import load_board
from firmware.dsp.meter import PART, Meter
from tools import firmware_build
from tools.errors import SteigerError
from tools.sim.chips.i2s_mic import ICS43434
from tools.sim.devices import Attached
from tools.sim.world import World
from tools.week import block_slot
from tools.week.block_slot import BLOCKS, STATE
from tools.week.blocks import STREET_C_DB, Blocks

pytestmark = pytest.mark.slow  # some seconds together, beside the path that the soak walks
START_S = 1_772_578_800
SAMPLES = 752 * BLOCKS


class FakeBoard:
    """As much of a board as receives a microphone."""

    stalled = False

    def __init__(self, chip: ICS43434) -> None:
        self.time = SimpleNamespace(now_us=0)
        self.chips = [Attached("i2s0", "ics43434", chip)]
        self.i2s: dict[int, Any] = {}
        self.answer: Any = None

    def world_us(self) -> int:
        return START_S * 1_000_000 + self.time.now_us

    def carry_out(self, op: int, how: Any) -> None:
        assert op == block_slot.ASK
        self.answer = how

    def block(self, meter: Meter) -> None:
        """Half a second of sound as a result."""
        self.time.now_us += 2_000_000
        assert len(self.i2s[0].read(4 * 752)) == 4 * 752
        pairs, data = self.answer(0, SAMPLES, bytes(meter.state))
        meter.state[:] = array("i", data[: 4 * STATE])
        for at in range(pairs):
            place, count = array("H", data[4 * STATE + 4 * at : 4 * STATE + 4 * at + 4])
            meter.histogram.bins[place] += count
        meter.samples += SAMPLES


def microphone(**params: Any) -> tuple[ICS43434, FakeBoard]:
    chip = ICS43434(World(5, START_S), 3, **params)
    board = FakeBoard(chip)
    Blocks(board)  # type: ignore[arg-type]
    board.i2s[0].open(48_000, 16384)
    return chip, board


def level(meter: Meter, name: str) -> float:
    found = meter.level_cdb(name)
    assert found is not None
    return found / 100


@pytest.mark.parametrize("level_db", [35.0, 60.0, 90.0])
def test_levels_are_those_of_the_sound(level_db: float) -> None:
    """After two seconds F and S have forgotten how it began."""
    _, board = microphone(level_db=level_db)
    meter = Meter()
    for _ in range(4):
        board.block(meter)
    meter.clear()
    board.block(meter)
    heard_db = level_db if level_db > 40 else 36.0  # with the microphone's own noise
    assert abs(level(meter, "laeq") - heard_db) < 0.3
    assert abs(level(meter, "lafmax") - heard_db) < 0.3
    assert abs(level(meter, "lafmin") - heard_db) < 0.3
    assert abs(level(meter, "lasmax") - heard_db) < 1.5
    assert abs(level(meter, "lceq") - heard_db - STREET_C_DB) < 0.5
    bins = meter.histogram.bins
    assert sum(bins) == SAMPLES // PART
    assert abs(max(range(len(bins)), key=lambda place: bins[place]) / 2 - heard_db) <= 0.5


def test_a_quarter_of_a_second_sample_by_sample_comes_to_the_same() -> None:
    """From a standing start: the time weighting rises alike."""
    chip, board = microphone(level_db=70.0)
    exact = Meter()
    samples = 256 * PART
    exact.feed(chip.frames(48_000, samples, board.world_us()), samples)
    told = Meter()
    board.block(told)
    assert abs(level(exact, "laeq") - level(told, "laeq")) < 0.5
    assert abs(level(exact, "lceq") - level(told, "lceq")) < 1.5
    assert abs(level(exact, "lcpeak") - level(told, "lcpeak")) < 3.0


@pytest.mark.parametrize("fault", ["silence", "stuck", "all_ones", "swapped_channel", "open_line"])
def test_no_sound_is_constant(fault: str) -> None:
    chip, board = microphone(level_db=60.0)
    chip.switch(fault)
    meter = Meter()
    board.block(meter)
    assert meter.constant_samples * 2 > SAMPLES
    assert meter.peak < 16 or fault in ("stuck", "open_line")


def test_gaps_cost_their_share_and_too_much_clips() -> None:
    chip, board = microphone(level_db=85.0)
    chip.switch("gaps")
    meter = Meter()
    board.block(meter)
    assert 0.01 < meter.constant_samples / SAMPLES < 0.02
    chip.switch("gaps", False)
    chip.switch("clipping")
    meter.clear()
    board.block(meter)
    assert meter.peak >= (1 << 23) - (1 << 16)
    assert level(meter, "lafmax") > 116


def test_the_slot_differs_from_the_product_in_the_loop_alone() -> None:
    sources = firmware_build.source_files(load_board("noise-v1"), "sim")
    changed = block_slot.changed(sources)
    differ = {name for name in sources if changed[name] != sources[name]}
    assert differ == {block_slot.METER, block_slot.DRIVER, block_slot.CARE}
    for name in (block_slot.DRIVER, block_slot.CARE):
        before, after = sources[name].splitlines(), changed[name].splitlines()
        assert len(before) == len(after)
        assert sum(one != other for one, other in zip(before, after, strict=True)) <= 2
    assert b"class Meter" in changed[block_slot.METER] and b"ptr32(samples)" not in changed[block_slot.METER]


def test_a_product_that_changed_is_no_longer_changed_silently() -> None:
    sources = firmware_build.source_files(load_board("noise-v1"), "sim")
    sources[block_slot.DRIVER] = sources[block_slot.DRIVER].replace(b"const(500)", b"const(600)")
    with pytest.raises(SteigerError, match="is not there once"):
        block_slot.changed(sources)
