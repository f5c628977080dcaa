"""The sound level meter against IEC 61672-1:2013 class 1: A and C weighting, tone bursts, level linearity.

Tones go as samples of 24 bits through the meter's machine code (rv32imc, emulated): the processing chain with its
sampling, microphone excluded. What it should show comes from tests/fakes/iec61672.py, floats with scipy from the standard's
pole frequencies.
"""

import math

import numpy as np

from firmware.dsp.meter import Meter
from tests.fakes import iec61672
from tests.fakes.chip_meter import amplitude_of, feed, sine, steady
from tests.firmware.run_meter import RESPONSES

LEVEL_DB = 104  # of the tones for the weightings
RANGES = (
    (1000, 30, 119),
    (8000, 30, 119),
    (31.5, 70, 119),
)  # Hz, lowest and highest level of the tone at the microphone
REFERENCE_DB = 94
LINEAR_DB = 0.8
OFFSETS = (0, 11, 23, 46)  # samples by which a burst begins within a part

TARGETS = {
    "slm.weighting_margin_db": (">=", 0),
    "slm.toneburst_margin_db": (">=", 0),
    "slm.linearity_db": ("<=", iec61672.LINEARITY_DB),
    "slm.step_db": ("<=", iec61672.STEP_DB),
    "slm.linear_range_db": (">=", 80),
}


def margin(deviation: float, above: float, below: float) -> float:
    """How far inside its limits a deviation is."""
    return min(above - deviation, below + deviation)


def limits(above: float, below: float) -> str:
    """As the standard prints them."""
    return f"±{above:.1f}" if above == below else f"+{above:.1f}/−{'∞' if math.isinf(below) else f'{below:.1f}'}"


def weightings() -> tuple[float, list[str]]:
    """(smallest margin, table): every nominal frequency."""
    smallest = math.inf
    lines = [
        f"{'Hz':>7} {'limits':>10} {'A target':>9} {'measured':>9} {'C target':>9} {'measured':>9} {'Z measured':>10}"
    ]
    for nominal, above, below in iec61672.CLASS_1:
        exact = iec61672.exact_hz(nominal)
        meter = steady(exact, amplitude_of(LEVEL_DB))
        cells = []
        for name, level in (("A", meter.level_cdb("laeq")), ("C", meter.level_cdb("lceq"))):
            assert level is not None
            target, measured = iec61672.weighting_db(name, exact), level / 100 - LEVEL_DB
            smallest = min(smallest, margin(measured - target, above, below))
            cells += [f"{target:9.2f}", f"{measured:9.2f}"]
        cells.append(f"{(meter.level_cdb('lzeq') or 0) / 100 - LEVEL_DB:10.2f}")
        lines.append(f"{nominal:7} {limits(above, below):>10} {' '.join(cells)}")
    return smallest, lines


def bursts() -> tuple[float, list[str]]:
    """(smallest margin, table): 4 kHz bursts at 100 dB, the worst of a few places within a part."""
    smallest = math.inf
    lines = [f"{'ms':>7} {'limits':>10} {'F target':>9} {'measured':>9} {'S target':>9} {'measured':>9}"]
    steady_db = 100 + iec61672.weighting_db("A", iec61672.BURST_HZ)
    for burst_ms, *_, above, below in iec61672.BURSTS:
        targets = {name: iec61672.burst_db(name, burst_ms) for name in "FS"}
        worst: dict[str, tuple[float, float]] = {}
        for offset in OFFSETS:
            samples = sine(iec61672.BURST_HZ, amplitude_of(100), 0.2 + burst_ms / 1000)
            begin = 2400 + offset
            samples[:begin] = 0
            samples[begin + int(burst_ms * 48) :] = 0
            meter = feed(Meter(), samples)
            for name, level in (("F", meter.level_cdb("lafmax")), ("S", meter.level_cdb("lasmax"))):
                assert level is not None
                measured = level / 100 - steady_db
                found = margin(measured - targets[name], above, below)
                worst[name] = min(worst.get(name, (math.inf, 0.0)), (found, measured))
        judged = "F" if burst_ms < 2 else "FS"  # the standard has no S below 2 ms
        smallest = min(smallest, *(worst[name][0] for name in judged))
        cells = [
            f"{targets[name]:9.2f} {worst[name][1]:9.2f}" if name in judged else f"{'–':>9} {'–':>9}" for name in "FS"
        ]
        lines.append(f"{burst_ms:7} {limits(above, below):>10} {' '.join(cells)}")
    return smallest, lines


def linearity() -> tuple[float, float, float, list[str]]:
    """(worst deviation, worst 1 dB step, smallest range, table): LAeq of steady tones in steps of 1 dB, down from the top."""
    deviation = step = 0.0
    span = math.inf
    lines = [f"{'Hz':>7} {'A levels':>16} {'range':>7} {'deviation':>10} {'1 dB step':>10}   limits ±0.8 and ±0.3"]
    for hertz, low, high in RANGES:
        weight = iec61672.weighting_db("A", hertz)
        errors = []
        for level_db in range(low, high + 1):
            level = steady(hertz, amplitude_of(level_db), 0.4, 0.4).level_cdb("laeq")
            assert level is not None
            errors.append(level / 100 - level_db)
        reference = errors[REFERENCE_DB - low]
        own = max(abs(error - reference) for error in errors)
        own_step = float(np.abs(np.diff(errors)).max())
        deviation, step = max(deviation, own), max(step, own_step)
        if hertz == 1000:  # where the standard states the range; tones that A weakens begin nearer to the noise
            span = _widest([error - reference for error in errors], REFERENCE_DB - low)
        levels = f"{low + weight:.1f} … {high + weight:.1f}"
        lines.append(f"{hertz:7} {levels:>16} {high - low:7} {own:10.2f} {own_step:10.2f}")
    return deviation, step, span, lines


def _widest(errors: list[float], reference: int) -> int:
    """dB around the reference level without a gap in which the deviation stays within LINEAR_DB; steps of 1 dB."""
    first = last = reference
    while first > 0 and abs(errors[first - 1]) <= LINEAR_DB:
        first -= 1
    while last + 1 < len(errors) and abs(errors[last + 1]) <= LINEAR_DB:
        last += 1
    return last - first


def responses() -> list[str]:
    """Table: what the correction for each microphone adds, relative to 1 kHz."""
    columns = (10, 20, 31.5, 63, 125, 1000, 4000, 8000, 12500, 16000)
    lines = ["correction, dB  " + " ".join(f"{nominal:>6}" for nominal in columns) + "  Hz"]
    for name in RESPONSES:
        cells = []
        for nominal in columns:
            level = steady(iec61672.exact_hz(nominal), amplitude_of(80), 0.5, response=name).level_cdb("lzeq")
            assert level is not None
            cells.append(f"{level / 100 - 80:6.2f}")
        lines.append(f"{name:16}" + " ".join(cells))
    return lines


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the tables)."""
    weighting_margin, weighting_lines = weightings()
    burst_margin, burst_lines = bursts()
    deviation, step, span, linearity_lines = linearity()
    figures = {
        "slm.weighting_margin_db": weighting_margin,
        "slm.toneburst_margin_db": burst_margin,
        "slm.linearity_db": deviation,
        "slm.step_db": step,
        "slm.linear_range_db": span,
    }
    return figures, [*weighting_lines, "", *burst_lines, "", *linearity_lines, "", *responses()]
