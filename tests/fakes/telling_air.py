"""Air that tells the time: temperature and pressure are ramps of the world's clock, so that each record shows by its own
values when it was measured, whatever any clock of node or gateway said."""

from __future__ import annotations

from typing import NamedTuple

from gateway.models import Record
from tools.sim.weather import Air
from tools.sim.world import World

SAW_S = 1000.0  # pressure tells the place within such a stretch, temperature which stretch it is
LOW_HPA, SPAN_HPA = 350.0, 700.0
LOW_DEGC, SPAN_DEGC = -30.0, 105.0
MEASURE_MS = 650  # half the time between two samples, and 0.1 hPa = 0.15 s


class Measured(NamedTuple):
    """When a record's window really ended, and how well its values tell."""

    end_ms: int
    within_ms: int


def telling(world: World, lasts_s: float) -> None:
    """Give the world such air for `lasts_s` from its start."""
    true_air = world.air

    def air(time_s: float, site: int = 0) -> Air:
        since = min(max(time_s - world.start_s, 0.0), lasts_s)
        return true_air(time_s, site)._replace(
            temperature_degc=LOW_DEGC + SPAN_DEGC * since / lasts_s,
            pressure_hpa=LOW_HPA + SPAN_HPA * (since % SAW_S) / SAW_S,
        )

    world.air = air  # type: ignore[method-assign]


def measured(record: Record, start_s: int, lasts_s: float) -> Measured | None:
    """None where the values do not tell: missing, or measured over the edge of the saw."""
    assert record.profile is not None
    values = {c.name: (v, c.decimals) for c, v in zip(record.profile.channels, record.values, strict=True)}
    (degc, degc_decimals), (hpa, hpa_decimals) = values["temperature"], values["pressure"]
    if degc is None or hpa is None:
        return None
    coarse_s = (degc / 10**degc_decimals - LOW_DEGC) / SPAN_DEGC * lasts_s
    fine_s = (hpa / 10**hpa_decimals - LOW_HPA) / SPAN_HPA * SAW_S
    stretch = round((coarse_s - fine_s) / SAW_S)
    if abs(coarse_s - fine_s - stretch * SAW_S) > SAW_S / 4:
        return None
    length_ms = record.end_ms - record.start_ms
    middle_ms = start_s * 1000 + round((stretch * SAW_S + fine_s) * 1000)
    unseen_ms = length_ms * (100 - record.coverage) // 200  # the part that was measured may be the first or the last
    return Measured(middle_ms + length_ms // 2, MEASURE_MS + unseen_ms)
