"""A sound level meter in the street: all its levels against the world's truth; then a calibrator is put on its microphone."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

import boards
from boards import load_board
from tests.e2e.test_noise_sensors import stored
from tests.fakes.iec61672 import weighting_db
from tests.fakes.street import Street
from tests.sim.running import START_S
from tests.sim.test_conductor import whole
from tools.errors import SteigerError
from tools.mic_calibrator import microphone_offset
from tools.sim.interpreter import find
from wire.channels import CHANNELS

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]
WINDOW_S = 5
ITEMS = load_board("noise-v1").profiles[0].items


def test_levels_of_a_street_and_of_a_calibrator(tmp_path: Path) -> None:
    with Street(tmp_path, "noise-v1", window_s=WINDOW_S) as street:
        conductor = street.conductor
        chip = street.node.board.chips[0].chip
        chip.gain_db = -1.4  # this microphone is not the typical one
        gateway = street.start_gateway()
        street.power_on()
        conductor.run(31)
        records = stored(tmp_path, START_S + 10)
        assert len(records) >= 3
        for record in records:
            assert None not in record.values
            levels = dict(zip(ITEMS, [value / 10 for value in record.values], strict=True))  # type: ignore[operator]
            truth_db, fast_db = conductor.world.sound_truth(record.start_ms * 1000, record.end_ms * 1000)
            assert levels["laeq"] == pytest.approx(truth_db - 1.4, abs=1.0)
            assert -2.5 < levels["lafmax"] - fast_db < 2.5, "noise goes up and down by itself"
            rising = ("lafmin", "laf95", "laf90", "laf50", "laf10", "lafmax")
            ordered = [levels[name] for name in rising]
            assert all(low <= high + 0.3 for low, high in pairwise(ordered)), levels
            assert levels["lafmax"] < levels["lcpeak"]
            assert levels["laf50"] < levels["lasmax"], "it may remember a louder moment before the window"
            assert levels["lceq"] > levels["laeq"] + 2, "traffic has low tones"

        ask = partial(microphone_offset, gateway.ask, 1, sleep=conductor.run, said=lambda text: None)
        with pytest.raises(SteigerError, match=r"level moves|other sound|not one of 1 kHz|more than 6 dB"):
            ask()  # the street is no calibrator
        chip.sound((1000.0, 94.0))
        conductor.run(2)
        offset = ask()
        assert offset == pytest.approx(140, abs=3)
        assert gateway.ask("set-setting", node=1, name="mic_offset_cdb.0", value=offset, timeout_s=30)["ok"]
        began_s = conductor.now_s
        conductor.run(4 * WINDOW_S)
        laeq = [record.values[ITEMS.index("laeq")] for record in stored(tmp_path, began_s + WINDOW_S)]
        assert laeq and all(level == pytest.approx(940, abs=1) for level in laeq)
        with pytest.raises(SteigerError, match="did not begin to listen"):
            microphone_offset(gateway.ask, 1, 3, sleep=conductor.run, said=lambda text: None)
        assert gateway.ask("drain", timeout_s=60)
        conductor.run(WINDOW_S)
        whole(gateway.ask("ledger"))


def test_bands_of_a_street_add_up_to_its_level(tmp_path: Path) -> None:
    """The option: a profile of its own with 29 bands. With the A weighting of their centres they are LAeq again."""
    names = [channel.name for channel in CHANNELS if channel.name.startswith("lzeq_")]
    text = (Path(boards.__file__).parent / "noise-v1" / "board.toml").read_text()
    text = text.replace('bus = "i2s0"\n', 'bus = "i2s0"\nparams = { third_octaves = true }\n', 1)
    text = text.replace(
        "window_setting = 0", f"window_setting = 0\n\n[[profiles]]\nitems = {json.dumps(names)}\nwindow_setting = 1"
    )
    board = tmp_path / "bands.toml"
    board.write_text(text)
    with Street(tmp_path, board, window_s=10, **{"window_s.1": 10}) as street:
        street.start_gateway()
        street.power_on()
        street.conductor.run(42)
        assert not street.trouble()
        records = stored(tmp_path, START_S + 10)
        bands = {record.start_ms: record.values for record in records if len(record.values) == len(names)}
        levels = {record.start_ms: record.values for record in records if len(record.values) == len(ITEMS)}
        assert len(bands) >= 2
        for start_ms, values in bands.items():
            energy = 0.0
            for at, value in enumerate(values):
                assert value is not None
                weight = weighting_db("A", 1000 * 2 ** ((at - 16) / 3))
                energy += 10 ** ((value / 10 + weight) / 10)
            laeq = levels[start_ms][ITEMS.index("laeq")]
            assert laeq is not None
            assert 10 * math.log10(energy) == pytest.approx(laeq / 10, abs=0.7)
