"""The judge of the duty cycle: looks at what was on the air in true time, and at nothing that a node says of itself.

Sub-bands and limits: EN 300 220-2 V3.2.1 for non-specific short range devices, 863 to 870 MHz. The limit holds for any
3,600 s, for each transmitter and sub-band.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from tools.sim.radio.ether import Transmission

HOUR_US = 3_600_000_000
DIPOLE_DBI = 2.15  # what e.r.p. is counted against
ERP_DBM = {"P": 27.0}  # 500 mW
ERP_USUAL_DBM = 14.0  # 25 mW
BANDS = (  # name, from and up to below (Hz), permille of any hour
    ("K", 863_000_000, 865_000_000, 1),
    ("L", 865_000_000, 868_000_000, 10),
    ("M", 868_000_000, 868_600_000, 10),
    ("N", 868_700_000, 869_200_000, 1),
    ("P", 869_400_000, 869_650_000, 100),
    ("Q", 869_700_000, 870_000_000, 10),
)
FORBIDDEN = "none"  # frequencies between the sub-bands: nothing of ours may be there


class Verdict(NamedTuple):
    """The worst hour of one transmitter in one sub-band. `share` 1.0: all that the law allows."""

    who: str
    band: str
    share: float
    airtime_us: int  # within the worst hour
    end_us: int  # of that hour


def band_of(freq_hz: int, bw_hz: int) -> str:
    """The sub-band in which all of the channel lies."""
    for name, low, high, _ in BANDS:
        if low <= freq_hz - bw_hz // 2 and freq_hz + bw_hz // 2 <= high:
            return name
    return FORBIDDEN


def limit_us(band: str) -> int:
    """Airtime in any hour."""
    return next((HOUR_US // 1000 * permille for name, _, _, permille in BANDS if name == band), 0)


def most_dbm(freq_hz: int, bw_hz: int, gain_dbi: float) -> int:
    """Highest power at the transmitter, in whole dBm as chips take it: the law counts what the antenna radiates."""
    erp_dbm = ERP_DBM.get(band_of(freq_hz, bw_hz), ERP_USUAL_DBM)
    return math.floor(round(erp_dbm + DIPOLE_DBI - gain_dbi, 6))


def worst_hour_us(spans: list[tuple[int, int]]) -> tuple[int, int]:
    """The most time on air within any hour, and the end of that hour. `spans`: begin and end, in order, not overlapping.

    An hour that has the most ends with the end of a transmission (or begins with the begin of one, which is the same count
    seen from the other side), so only those are looked at.
    """
    ends = [end for _, end in spans]
    total = [0]
    for begin, end in spans:
        total.append(total[-1] + end - begin)

    def before(instant_us: int) -> int:
        """Time on air up to an instant."""
        index = bisect_left(ends, instant_us)
        inside = max(0, instant_us - spans[index][0]) if index < len(spans) else 0
        return total[index] + inside

    worst = (0, 0)
    for begin, end in spans:
        for instant in (end, begin + HOUR_US):
            worst = max(worst, (before(instant) - before(instant - HOUR_US), instant))
    return worst


def judge(log: Iterable[Transmission]) -> list[Verdict]:
    """Every transmitter and sub-band, the worst first."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for line in log:
        spans.setdefault((line.who, band_of(line.freq_hz, line.bw_hz)), []).append((line.begin_us, line.end_us))
    verdicts = []
    for (who, band), found in spans.items():
        airtime_us, end_us = worst_hour_us(sorted(found))
        allowed_us = limit_us(band)
        verdicts.append(Verdict(who, band, airtime_us / allowed_us if allowed_us else float("inf"), airtime_us, end_us))
    return sorted(verdicts, key=lambda verdict: -verdict.share)
