"""When a flag is due and when it may come: by the written definition of its test in docs/quality.md, not by the product's
constants. The limits are read from that page; `DUE` are the words of its table "When a flag is due"."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs" / "quality.md"

HUMID_PCT = 80.0
HUMID_DOUBT_PCT = 1.0
RANGE_DOUBT = {"temperature": 0.2}  # of what a chip measures beside the truth; else a share of the limit
RANGE_DOUBT_SHARE = 0.03
RATE_DOUBT_SHARE = 0.15
STUCK_READINGS = 120  # of an SPS30 and a BME280 that repeat themselves
STATUS_READINGS = 30  # between two looks at a status word
FAN_S = 30.0  # SPS30 data sheet: until the first valid value at the lowest concentrations
WIND_DUE_DB = -2.0  # wind over all other sound, as the A-weighted energy of a window
WIND_FELT_DB = -8.0  # from here on it lifts LAeq by 0.6 dB
VEHICLES_UNSEEN = 60
VEHICLES_TURNED = 20  # of bicycles and of those that hide each other a radar sees half

DUE = {
    "range": f"the true mean of the window lies beyond the limit by {RANGE_DOUBT_SHARE:.0%} (temperature: "
    f"{RANGE_DOUBT['temperature']} K)",
    "spike": "in the window in which a single reading was disturbed",
    "flat_line": f"after the time of the limit, or {STUCK_READINGS} readings and one more of a chip that is stuck (here 2 s"
    " each), for every value from then on until the fault goes",
    "rate_of_change": f"the true means of two windows differ by {RATE_DOUBT_SHARE:.0%} more than the limit and its share:"
    " so at a step only, not behind it, and only if enough of the step lies in one window",
    "warm_up": f"the fan has run for less than {FAN_S:.0f} s in more than two readings of the window",
    "sensor_status": f"{STATUS_READINGS} readings and one more after the fault began, until it goes",
    "humidity": f"the true relative humidity of the window is above {HUMID_PCT + HUMID_DOUBT_PCT:.0f} %",
    "wind": f"the wind's own dB(A) are above {WIND_DUE_DB:.0f} dB beside those of all other sound".replace("-", "−"),
    "blocked": f"{VEHICLES_UNSEEN} vehicles have really passed a blind counter unseen",
    "contradiction": f"{VEHICLES_TURNED} vehicles have passed a radar that is mounted the wrong way round",
    "overload": "the sound is beyond the microphone's linear range, in every whole window",
    "underrange": "the sound is below the microphone's own noise, in every whole window",
    "samples_lost": "the line drops samples, in every whole window",
    "calibration": "there is no passport, it has expired, or the correction's input is missing",
}


class Limits(NamedTuple):
    """Of a value of a window of a minute, in the channel's unit; the share of its level that is added to the rate."""

    low: float
    high: float
    rate: float
    share: float
    flat_line_s: float


@functools.cache
def limits(name: str) -> Limits:
    """The line of docs/quality.md's table that names the channel."""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("−", "-") for cell in line.strip("|").split("|")]
        if len(cells) == 7 and f"`{name}`" in cells[0]:
            low, high = re.match(r"(-?\d+)–(\d+)", cells[1]).groups()  # type: ignore[union-attr]
            return Limits(
                float(low), float(high), float(cells[4].split("/")[0]),
                float(cells[3].split()[0]) / 100 if cells[3] != "–" else 0.0, 60 * float(cells[5].split()[0]),
            )  # fmt: skip
    raise LookupError(f"no limits of {name} in {DOCS.name}")


# Kinds of fault of which the definition of their test leaves some untold, and which.
UNTOLD = {
    "drift temperature": "one that stays below the upper limit is within the range",
    "step pm": "a window's edge may split it so that neither mean changes by the limit and its share",
    "wind, faint": "it lifts LAeq by 0.6 to 2 dB only, and beneath a street LCeq − LAeq stays below 20 dB",
}
