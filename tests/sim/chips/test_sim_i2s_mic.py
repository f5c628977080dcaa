"""The simulated microphones alone: bytes, levels, start-up, and what their stream costs."""

import math
import struct
import sys
from typing import Any

import numpy as np
import pytest

from tools.sim.chips import create
from tools.sim.chips.i2s_mic import I2SMicrophone, a_weighting_db, response_db
from tools.sim.world import World

START_S = 1_768_200_000 + 7 * 3600
T0 = START_S * 1_000_000
RATE = 48_000


def mic(name: str = "ics43434", **params: Any) -> I2SMicrophone:
    chip = create(name, World(7, START_S), 1, **params)
    assert isinstance(chip, I2SMicrophone)
    chip.open(T0, RATE)
    return chip


def samples(stream: bytes) -> np.ndarray:
    """24-bit samples; checks that they are left-justified."""
    words = np.frombuffer(stream, dtype="<i4")
    assert not (words & 0xFF).any()
    return (words >> 8).astype(float)


def rms_db(values: np.ndarray) -> float:
    """Unweighted level by the fact sheet: RMS 297286 is 94 dB."""
    return 94 + 20 * math.log10(math.sqrt(float(np.mean((values - values.mean()) ** 2))) / 297286.27)


def a_level_db(chip: I2SMicrophone, values: np.ndarray) -> float:
    """A-weighted level as an ideal meter would find it that knows the microphone's response (by Fourier)."""
    power = np.abs(np.fft.rfft(values - values.mean())) ** 2 / len(values) ** 2 * 2
    total = 0.0
    for k in range(1, len(power)):
        hertz = k * RATE / len(values)
        if power[k] > 0 and hertz > 10:
            total += power[k] * 10 ** ((a_weighting_db(hertz) - response_db(chip.model, hertz)) / 10)
    return 94 + 10 * math.log10(total) - 20 * math.log10(297286.27)


@pytest.mark.parametrize(
    ("hertz", "db"),
    [(31.623, -39.4), (63.096, -26.2), (125.893, -16.1), (3981.07, 1.0), (7943.28, -1.1), (12589.3, -4.3)],
)
def test_a_weighting_agrees_with_the_table(hertz: float, db: float) -> None:
    assert a_weighting_db(hertz) == pytest.approx(db, abs=0.06)


@pytest.mark.parametrize(("hertz", "db"), [(440, -4.095), (50, -30.271), (10_000, -2.491), (1000, 0.0)])
def test_a_weighting_worked_examples(hertz: float, db: float) -> None:
    assert a_weighting_db(hertz) == pytest.approx(db, abs=0.001)


def test_tone_of_94_db_has_the_worked_peak_bytes() -> None:
    chip = mic(tone=(1000, 94.0), dc=0)
    stream = chip.frames(RATE, 480, T0)
    assert stream[12 * 4 : 13 * 4] == bytes.fromhex("004A6A06")
    assert stream[36 * 4 : 37 * 4] == bytes.fromhex("00B695F9")
    assert rms_db(samples(chip.frames(RATE, RATE, T0))) == pytest.approx(94.0, abs=0.01)


@pytest.mark.parametrize("level", [44.5, 58.52, 80.0, 120.0])
def test_tone_levels(level: float) -> None:
    values = samples(mic(tone=(1000, level), dc=0).frames(RATE, RATE, T0))
    assert rms_db(values) == pytest.approx(level, abs=0.02)


def test_tone_is_seamless_and_follows_the_response() -> None:
    chip = mic("inmp441", tone=(63, 90.0))
    values = samples(chip.frames(2 * RATE - 2400, 4800, T0))
    assert np.abs(np.diff(values)).max() < 1.01 * 2 * math.pi * 63 / RATE * 420426.27 * 10 ** ((-4 - 3.5) / 20)
    assert rms_db(samples(chip.frames(RATE, RATE, T0))) == pytest.approx(90.0 - 3.5, abs=0.02)


def test_full_scale_clips_and_never_wraps() -> None:
    values = samples(mic(tone=(1000, 130.0)).frames(RATE, RATE, T0))
    assert values.max() == 2**23 - 1
    assert values.min() == -(2**23)
    assert np.abs(np.diff(values)).max() < 2**23


@pytest.mark.parametrize("name", ["ics43434", "inmp441"])
@pytest.mark.parametrize("level", [45.0, 65.0, 85.0])
def test_noise_has_the_a_weighted_level(name: str, level: float) -> None:
    chip = mic(name, level_db=level)
    found = a_level_db(chip, samples(chip.frames(RATE, 1 << 15, T0)))
    with_own_noise = 10 * math.log10(10 ** (level / 10) + 10 ** (chip.model.noise_dba / 10))
    assert found == pytest.approx(with_own_noise, abs=0.3)


def test_stillness_is_the_own_noise() -> None:
    chip = mic("inmp441", level_db=0.0)
    assert a_level_db(chip, samples(chip.frames(RATE, 1 << 15, T0))) == pytest.approx(33.0, abs=0.3)


def test_street_is_heard_as_the_world_says() -> None:
    """LAeq of 20 s of stream (weights of a whole loop) against the world's own integration."""
    chip = mic()
    flat = mic(level_db=60.0)
    reference = samples(flat.frames(RATE, 1 << 15, T0))
    at_60 = float(np.mean((reference - reference.mean()) ** 2))
    values = samples(chip.frames(RATE, 20 * RATE, T0))
    found = 60.0 + 10 * math.log10(float(np.mean((values - values.mean()) ** 2)) / at_60)
    laeq, _ = chip.world.sound_truth(T0 + 1_000_000, T0 + 21_000_000)
    assert found == pytest.approx(laeq, abs=0.4)


def test_level_moves_with_pass_bys() -> None:
    chip = mic()
    vehicle = max(chip.world.vehicles(T0 + 5_000_000, T0 + 120_000_000), key=lambda v: v.level_db)
    beside = (vehicle.pass_us - T0) * RATE // 1_000_000
    near = rms_db(samples(chip.frames(beside - 12000, 24000, T0)))
    quiet = min(rms_db(samples(chip.frames(n * RATE, RATE, T0))) for n in range(5, 120, 5))
    assert near > quiet + 8


def test_inmp441_is_silent_for_85_ms_and_settles() -> None:
    chip = mic("inmp441", level_db=60.0)
    values = samples(chip.frames(0, RATE, T0))
    assert not values[:4096].any()
    assert values[4096:4200].any()
    assert abs(values[4096 : 4096 + 480].mean()) > 20_000  # the offset comes from far away
    assert values[RATE // 2 :].mean() == pytest.approx(chip.dc, abs=600)
    chip.open(T0 + 5_000_000, RATE)
    assert not any(chip.frames(0, 4096, T0 + 5_000_000))


def test_ics43434_is_silent_for_its_clocks() -> None:
    stream = mic(level_db=90.0).frames(0, 200, T0)
    assert not any(stream[: 70 * 4])
    assert any(stream[70 * 4 :])


def test_frames_depend_on_their_number_alone() -> None:
    chip = mic()
    whole = chip.frames(0, 600 * 256, T0)
    other = mic()
    pieces = b"".join(other.frames(n * 256, 256, T0) for n in range(600))
    assert pieces == whole
    assert len(whole) == 600 * 256 * 4
    assert other.frames(RATE, 100, T0) == whole[RATE * 4 : RATE * 4 + 400]


def test_without_open_the_first_call_fixes_the_start() -> None:
    chip = create("ics43434", World(7, START_S), 1)
    assert isinstance(chip, I2SMicrophone)
    assert chip.frames(RATE, 4800, T0 + 1_000_000) == mic().frames(RATE, 4800, T0)


@pytest.mark.parametrize(
    ("timing", "top", "bottom"),
    [
        ("standard", "00406A06", "008095F9"),
        ("late", "00203503", "00C0CA7C"),  # behind a zero
        ("early", "0080D40C", "00002BF3"),  # without its sign
    ],
)
def test_sph0645_gives_18_bits_as_a_receiver_finds_them(timing: str, top: str, bottom: str) -> None:
    """The worked peaks of 94 dB, +-420426, cut to 18 bits: +420416 and -420480."""
    chip = mic("sph0645", tone=(1000, 94.0), dc=0, timing=timing)
    stream = chip.frames(RATE, 480, T0)
    assert stream[12 * 4 : 13 * 4] == bytes.fromhex(top)
    assert stream[36 * 4 : 37 * 4] == bytes.fromhex(bottom)


def test_sph0645_alone() -> None:
    """Late by itself; a large offset that creeps in; silent for its first 50 ms."""
    chip = mic("sph0645", level_db=60.0)
    words = np.frombuffer(chip.frames(0, 2 * RATE, T0), dtype="<u4")
    assert not (words & 0x80001FFF).any()
    assert (words & 0x2000).any()
    values = (words << np.uint32(1)).astype("<u4").view("<i4") >> 8
    assert not values[:2400].any()
    assert values[2400:2600].any()
    assert values[RATE:].mean() == pytest.approx(-230_400, abs=700)
    assert a_level_db(chip, values[RATE : RATE + (1 << 15)].astype(float)) == pytest.approx(60.0, abs=0.3)


@pytest.mark.parametrize("name", ["ics43434", "inmp441", "sph0645"])
def test_one_slot_is_driven(name: str) -> None:
    left, right = mic(name), mic(name, slot="right")
    sound = left.frames(RATE, 480, T0)
    assert any(sound)
    assert right.frames(RATE, 480, T0, slot="right") == sound
    assert not any(left.frames(RATE, 480, T0, slot="right"))
    left.switch("swapped_channel")
    assert not any(left.frames(RATE, 480, T0))
    assert left.frames(RATE, 480, T0, slot="right") == sound


def test_an_open_line_follows_the_mains() -> None:
    chip = mic(faults=["open_line"])
    words = np.frombuffer(chip.frames(RATE, RATE, T0), dtype="<u4")
    assert chip.frames(RATE, RATE, T0, slot="right") == words.tobytes()
    odd = (words != 0) & (words != 0xFFFFFFFF)
    assert odd.sum() <= 100  # where it turns, twice a period
    assert (words == 0).sum() == pytest.approx(RATE / 2, rel=0.01)


@pytest.mark.parametrize("fault", ["silence", "swapped_channel"])
def test_dead_line_gives_zeros(fault: str) -> None:
    chip = mic(faults=[fault])
    assert not any(chip.frames(RATE, 4800, T0))
    chip.switch(fault, False)
    assert any(chip.frames(2 * RATE, 4800, T0))


def test_other_slot_and_no_supply_give_zeros() -> None:
    assert not any(mic(slot="right").frames(RATE, 4800, T0))
    chip = mic()
    chip.power_off()
    assert not any(chip.frames(RATE, 4800, T0))


def test_stuck_and_hanging_lines() -> None:
    chip = mic(faults=["stuck"])
    assert len(set(struct.unpack("<480i", chip.frames(RATE, 480, T0)))) == 1
    assert mic(faults=["all_ones"]).frames(RATE, 10, T0) == b"\xff" * 40


def test_byte_shift_makes_words_of_two_samples() -> None:
    sound = mic().frames(RATE, 481, T0)
    chip = mic(faults=["byte_shift"])
    assert chip.frames(RATE, 480, T0) == sound[1 : 1 + 480 * 4]


def test_gaps_late_start_and_clipping() -> None:
    values = samples(mic(faults=["gaps"]).frames(RATE, 2 * RATE, T0))
    assert not values[:720].any()
    assert values[720:].any()
    assert int((values == 0).sum()) >= 2 * 720
    late = mic(faults=["late_answer"])
    assert not any(late.frames(0, 3 * RATE, T0))
    assert any(late.frames(3 * RATE, RATE, T0))
    loud = mic(level_db=85.0, faults=["clipping"])
    assert samples(loud.frames(RATE, RATE, T0)).max() == 2**23 - 1


def calls_of(chip: I2SMicrophone, seconds: int) -> int:
    """Python and C calls for a stretch of stream fetched as the receiver's DMA does, 256 frames at a time."""
    count = 0

    def counted(_frame: object, _event: str, _argument: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        for first in range(RATE, RATE * (1 + seconds), 256):
            chip.frames(first, 256, T0)
    finally:
        sys.setprofile(before)
    return count


def test_stream_costs_no_python_per_sample() -> None:
    """Less than a call in five samples (calls and returns, Python and C): no per-sample work, 48 kHz is cheap."""
    chip = mic()
    calls_of(chip, 10)  # the loops of these levels are made once
    assert calls_of(chip, 10) < 10 * RATE / 5
