"""One-third octave bands: what they let through, 32 bits, the same bits on every interpreter."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware.dsp import octaves as module
from firmware.dsp.meter import PART, RATE_HZ
from firmware.dsp.octaves import BANDS, Bands
from tests.fakes.chip_meter import AT_94_DB, amplitude_of, sine, steady, words
from tests.fakes.chip_octaves import BLOCK, feed, octave_kernels, run_block
from tests.fakes.octaves_model import FULL_SCALE, highest, signals
from tests.firmware.interpreter import run_script
from tests.firmware.run_octaves import kept
from wire import channels

pytestmark = pytest.mark.slow
FIRST = channels.id_of("lzeq_25")


def hertz(number: float) -> float:
    """Centre of a band, base 2."""
    return float(1000 * 2 ** ((number - 16) / 3))


def tone_levels(
    frequency: float, level_db: float = 94, response: str = "flat", duration_s: float = 0.25
) -> list[float]:
    """What all bands show of a tone, once they have settled; -inf for nothing at all."""
    bands = Bands(response)
    half = round(duration_s * RATE_HZ / BLOCK) * BLOCK
    tone = sine(frequency, amplitude_of(level_db), (2 * half + 1) / RATE_HZ)
    feed(bands, tone[:half])
    bands.clear()
    feed(bands, tone[half:])
    return [-math.inf if level is None else level / 100 for level in bands.levels_cdb()]


def test_a_band_a_channel() -> None:
    """The names are nominal frequencies; the band's centre lies where its channel says."""
    for number in range(BANDS):
        name = channels.by_id(FIRST + number).name.removeprefix("lzeq_").replace("_", ".")
        assert hertz(number) == pytest.approx(float(name), rel=0.03)


@pytest.mark.parametrize("number", [13, 27, 28])
def test_a_tone_is_in_its_band(number: int) -> None:
    levels = tone_levels(hertz(number))
    assert levels[number] == pytest.approx(94, abs=0.3)
    for other, level in enumerate(levels):
        away = abs(other - number)
        if away == 1:
            assert level < 94 - 13
        elif away == 2:
            assert level < 94 - 28
        elif away > 2:
            assert level < 94 - 37


def test_a_tone_between_two_bands_is_halved() -> None:
    levels = tone_levels(hertz(16.5))
    assert levels[16] == pytest.approx(91, abs=0.3)
    assert levels[17] == pytest.approx(91, abs=0.3)


def test_low_bands() -> None:
    """Of 25 Hz and 31.5 Hz a second has few periods, and nine halvings lie before them."""
    assert tone_levels(hertz(0), duration_s=0.6)[0] == pytest.approx(94, abs=0.5)


def test_white_noise_rises_by_a_decibel_a_band_and_adds_up() -> None:
    noise = np.random.default_rng(2).normal(0, 50_000, RATE_HZ)
    levels = [level / 100 for level in feed(Bands(), noise).levels_cdb() if level is not None]
    density_db = 94 + 20 * math.log10(50_000 / (AT_94_DB / math.sqrt(2))) - 10 * math.log10(RATE_HZ / 2)
    for number in range(16, BANDS):  # below, a second of noise is not enough
        width = hertz(number) * (2 ** (1 / 6) - 2 ** (-1 / 6))
        assert levels[number] == pytest.approx(density_db + 10 * math.log10(width), abs=1)


@pytest.mark.parametrize("response", ["ics43434"])
def test_the_microphones_response_is_taken_out_as_the_meter_does(response: str) -> None:
    for number in (10, 28):
        whole = steady(hertz(number), amplitude_of(80), 0.25, 0.25, response).level_cdb("lzeq")
        assert whole is not None
        assert tone_levels(hertz(number), 80, response)[number] == pytest.approx(whole / 100, abs=0.5)


def test_the_offset_moves_every_band() -> None:
    noise = np.random.default_rng(3).normal(0, 50_000, 20 * BLOCK)
    plain, moved = feed(Bands(), noise).levels_cdb(), feed(Bands(offset_cdb=-70), noise).levels_cdb()
    assert [level + 70 for level in moved if level is not None] == plain


def test_nothing_has_no_level() -> None:
    assert Bands().levels_cdb() == [None] * BANDS


# --- 32 bits, and the same ones ---------------------------------------------------------------------------------------


def test_bounds() -> None:
    """L1 norm of every product and state, through all halvings, times what a sample can be."""
    for signal in signals():
        assert highest(signal) < signal.limit, signal.name


def test_energies_of_a_block_fit() -> None:
    output = int(1.6 * FULL_SCALE)
    assert BLOCK * (output >> 10) ** 2 < 1 << 31
    assert BLOCK * (output >> 10) * 1023 < 1 << 31


def loud(length: int) -> np.ndarray:
    """Full-scale noise, a square in each octave, a constant: what drives bands and halvings far."""
    pieces = [np.random.default_rng(4).integers(-(1 << 23), 1 << 23, length)]
    for octave in range(10):
        period = 3 << octave
        pieces.append(np.where(np.arange(length) % period < period // 2, (1 << 23) - 1, -(1 << 23)))
    pieces += [np.full(length, (1 << 23) - 1), np.full(length, -(1 << 23))]
    return np.concatenate(pieces)


def test_32_bits_give_what_64_give(tmp_path: Path) -> None:
    samples = loud(4 * BLOCK)
    path = tmp_path / "samples"
    path.write_bytes(words(samples).tobytes())
    assert run_script("tests/firmware/run_octaves.py", str(path)) == [" ".join(map(str, kept(feed(Bands(), samples))))]


class NoPause:
    """A clock for `Bands.feed`."""

    pauses = 0

    async def sleep_ms(self, ms: int) -> None:
        assert ms == 0
        self.pauses += 1


def test_the_same_bits() -> None:
    """The chip's code and the plain reading of the source, through `Bands.feed`, which lets others have their turn."""
    chip, plain, clock = Bands(), Bands(), NoPause()
    samples = words(np.random.default_rng(5).integers(-(1 << 23), 1 << 23, 3 * BLOCK))
    for size in (BLOCK, BLOCK // 2, PART, BLOCK // 2):
        block = samples[:size].tobytes()
        run_block(chip, block, octave_kernels())
        asyncio.run(plain.feed(block, size, clock))
        assert kept(chip) == kept(plain)
    assert clock.pauses >= 6


def test_any_division_into_blocks_gives_the_same_bits() -> None:
    samples = np.random.default_rng(6).integers(-(1 << 23), 1 << 23, 6 * BLOCK)
    ends = [kept(feed(Bands(), samples, block=block)) for block in (PART, BLOCK // 2, BLOCK)]
    assert ends[1:] == ends[:-1]


def test_a_product_too_wide_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison notices: with two bits more from the receiver the halving by 393 leaves 32 bits."""
    from tests.fakes import chip_octaves

    source = chip_octaves.SOURCE.replace("* 393) >> 9", "* 393 * 4) >> 11")
    scope: dict[str, Any] = {"__name__": "broken"}
    exec(compile(source, "broken", "exec"), scope)
    monkeypatch.setattr(chip_octaves, "SOURCE", source)
    broken, right = Bands(), scope["Bands"]()
    block = words(loud(BLOCK))[: 4 * BLOCK]
    for at in range(0, len(block), BLOCK):
        run_block(broken, block[at : at + BLOCK].tobytes(), octave_kernels())
        asyncio.run(right.feed(block[at : at + BLOCK].tobytes(), BLOCK, NoPause()))
    assert kept(broken) != kept(right)
    assert module.halve is not scope["halve"]
