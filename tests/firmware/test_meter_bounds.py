"""That 32 bits are enough: bounds of every signal and state for any input of 24 bits, and the inputs that come near them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firmware.dsp import meter as module
from firmware.dsp.meter import FULL_SCALE, PART, Meter
from tests.fakes.chip_meter import feed, words
from tests.fakes.meter_model import Signal, signals, worst_input
from tests.firmware.interpreter import run_script
from tests.firmware.run_meter import RESPONSES, kept

LONGEST = 160 * PART  # of a worst input: 0.16 s, the slowest state then has nine tenths of what it can ever have


@pytest.mark.parametrize("response", RESPONSES)
def test_bounds(response: str) -> None:
    """L1 norm of each impulse response times full scale: what the signal can reach at most."""
    for signal in signals(response):
        assert signal.highest() < signal.limit, f"{signal.name}: {signal.highest():.0f}"


def test_energies_of_a_part_fit() -> None:
    """Squares are of numbers below 2**24, in two halves of 12 bits."""
    assert PART * (1 << 12) ** 2 < 1 << 30


def worst_inputs(response: str) -> list[tuple[Signal, np.ndarray]]:
    """For every signal and state, the input that drives it furthest, both signs."""
    out = []
    for signal in signals(response):
        worst = worst_input(signal.response, LONGEST)
        out += [(signal, worst), (signal, -worst - 1)]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("response", RESPONSES)
def test_32_bits_give_what_64_give(response: str, tmp_path: Path) -> None:
    """Worst inputs in a row, on the chip's machine code and on a computer's: what wraps at 32 bits would differ."""
    inputs = np.concatenate([worst for _, worst in worst_inputs(response)])
    path = tmp_path / "samples"
    path.write_bytes(words(inputs).tobytes())
    lines = run_script("tests/firmware/run_meter.py", f"file:{path}:{response}", heap="16M")
    assert lines == [" ".join(map(str, kept(feed(Meter(RESPONSES[response]), inputs))))]


# --- The same source with integers that refuse to leave 32 bits ------------------------------------------------------


class Int32(int):
    """An integer that refuses to leave 32 bits."""


def _checked(name: str) -> Callable[..., object]:
    plain = getattr(int, name)

    def operate(self: int, other: int) -> object:
        value = plain(self, other)
        if value is NotImplemented:
            return value
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError(f"{name}({int(self)}, {int(other)}) = {value}")
        return Int32(value)

    return operate


for _name in ("add", "sub", "mul", "rshift", "lshift", "and", "or", "xor"):
    setattr(Int32, f"__{_name}__", _checked(f"__{_name}__"))
    setattr(Int32, f"__r{_name}__", _checked(f"__r{_name}__"))


class Pointer:
    """What ptr16 and ptr32 give, checked; what is kept must not be negative (a 64-bit viper reads it without sign)."""

    def __init__(self, items: "memoryview") -> None:
        self._items = items

    def __getitem__(self, at: int) -> Int32:
        return Int32(self._items[at])

    def __setitem__(self, at: int, value: int) -> None:
        assert 0 <= value < 1 << 31, f"state {at}: {value}"
        self._items[at] = int(value)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ptr16", lambda buffer: Pointer(memoryview(buffer).cast("B").cast("H")))
    monkeypatch.setattr(module, "ptr32", lambda buffer: Pointer(memoryview(buffer).cast("B").cast("i")))


def feed_checked(meter: Meter, samples: np.ndarray) -> None:
    meter.feed(words(samples).tobytes(), len(samples))


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize("response", RESPONSES)
def test_no_step_leaves_32_bits(response: str) -> None:
    """Behind what the chip's own code has been driven to by a worst input, that input's last milliseconds."""
    for signal, worst in worst_inputs(response):
        if "state" not in signal.name and "squared" not in signal.name:
            continue
        meter = feed(Meter(RESPONSES[response]), worst[: -2 * PART])
        feed_checked(meter, worst[-2 * PART :])


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize("value", [FULL_SCALE - 1, -FULL_SCALE], ids=["highest", "lowest"])
def test_extreme_constants_do_not_overflow(value: int) -> None:
    meter = feed(Meter(RESPONSES["ics43434"]), np.full(3000 * PART, value))
    feed_checked(meter, np.full(2 * PART, value))


@pytest.mark.usefixtures("checked")
def test_the_check_sees_an_overflow() -> None:
    meter = Meter()
    meter.state[26] = meter.state[16] = (1 << 31) - 1
    with pytest.raises((OverflowError, AssertionError)):
        feed_checked(meter, np.full(PART, FULL_SCALE - 1))
