"""What an SPS30, a BME280 and the air do to the windows of an air station that reads them every five seconds."""

from __future__ import annotations

import itertools
from typing import Any

from tools.sim.devices import HELD_ERRNOS
from tools.sim.weather import Air
from tools.week.fault import (
    GOOD,
    MISSING,
    NOT_SAMPLED,
    REFUSED,
    Fault,
    Outcome,
    gap,
    marks,
    record,
    switched,
    unplugged,
)
from tools.week.site import Site

PM = ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "typical_size")
MASS = PM[:4]
WEATHER = ("temperature", "humidity", "pressure")
HELD_S = 7 * 60  # between two moments at which a bus is held

PM_MISSING = record(marks(PM, MISSING))
WEATHER_MISSING = record(marks(WEATHER, MISSING))
STUCK_S = 121 * 5 + 60  # 120 readings alike, then a whole window
STATUS_S = 31 * 5 + 60  # the status word is asked for every 30 readings


def _pm(told: str) -> Outcome:
    return record(marks(PM, told))


def _hold(chip: str, name: str = "bus_held") -> Fault:
    """A chip that keeps SDA low is clocked free at the next transfer or the one after it: a reading or two are lost now and
    then. Told by turns as the older and the newer driver of the ESP32 port tell it."""
    told = marks(PM + WEATHER, GOOD)
    outcome = Outcome(told=told, coverage=(75, 100))

    def begin(site: Site) -> None:
        told = itertools.cycle(HELD_ERRNOS)

        def hold() -> None:
            site.held_buses_tell(next(told))
            site.chip(chip).switch(name)

        site.every(HELD_S, hold)

    def end(site: Site) -> None:
        site.rest()
        site.chip(chip).switch(name, False)

    return Fault(
        chip, name, "every seven minutes it holds SDA low until it is clocked free; costs readings", outcome, begin, end
    )


SPS30 = (
    switched("sps30", "bad_crc", "a checksum of each answer is wrong", PM_MISSING),
    switched("sps30", "silence", "nothing is acknowledged", PM_MISSING),
    switched("sps30", "byte_shift", "each answer lacks its first byte", PM_MISSING),
    switched("sps30", "stuck", "the same bits; refused after 120 readings", _pm("missing flat_line"), settles_s=STUCK_S),
    switched(
        "sps30", "late_answer", "commands take twenty times as long: the status word cannot be asked for, and without it no "
        "reading counts; asked every 30 readings", PM_MISSING, settles_s=STATUS_S,
    ),
    switched(
        "sps30", "no_new_data", "no reading is announced; begun anew every ten readings",
        record(marks(PM, MISSING, "missing warm_up"), MISSING, "missing warm_up"),
    ),
    switched("sps30", "dead_fan", "status FAN", _pm("missing sensor_status"), settles_s=STATUS_S),
    switched("sps30", "dead_laser", "status LASER", _pm("missing sensor_status"), settles_s=STATUS_S),
    switched("sps30", "slow_fan", "status SPEED", _pm("suspect sensor_status"), settles_s=STATUS_S, recovers_s=STATUS_S),
    unplugged("sps30", PM_MISSING),
    _hold("sps30"),
)  # fmt: skip

BME280 = (
    switched("bme280", "silence", "nothing is acknowledged", WEATHER_MISSING),
    switched("bme280", "byte_shift", "each answer lacks its first byte", WEATHER_MISSING),
    switched(
        "bme280", "stuck", "the same bits; refused after 120 readings", record(marks(WEATHER, "missing flat_line")),
        settles_s=STUCK_S,
    ),
    switched("bme280", "late_answer", "a conversion takes twenty times as long", WEATHER_MISSING),
    switched("bme280", "wrong_chip_id", "a BMP280 answers", WEATHER_MISSING),
    switched(
        "bme280", "blank_calibration", "plugged in with a calibration that reads FF", WEATHER_MISSING, replugged=True
    ),
    switched("bme280", "all_ff", "everything reads FF", WEATHER_MISSING),
    switched("bme280", "not_triggered", "old values without a conversion", WEATHER_MISSING),
    switched(
        "bme280", "wet", "after condensation: 100 %, which by itself is plausible; dust is doubted above 80 %",
        record(
            marks(PM, "suspect humidity") | marks(("humidity",), GOOD, "suspect flat_line", "bad flat_line"),
            "suspect humidity",
        ),
    ),
    switched(
        "bme280", "soaked", "the converter at its stop: a flat line after ten minutes, bad after forty",
        record(
            marks(PM, "suspect humidity") | marks(("humidity",), "suspect flat_line", "bad flat_line"),
            "suspect humidity", "bad flat_line",
        ),
        settles_s=STUCK_S,
    ),
    unplugged("bme280", WEATHER_MISSING),
    _hold("bme280"),
)  # fmt: skip


def _air(name: str, says: str, outcome: Outcome, change: object, **more: Any) -> Fault:
    def begin(site: Site) -> None:
        site.world.befalls = change  # type: ignore[assignment]

    def end(site: Site) -> None:
        site.world.befalls = None

    return Fault("air", name, says, outcome, begin, end, **more)


def _times(air: Air, factor: float) -> Air:
    """More dust of all sizes alike."""
    return Air(*(air[at] * (factor if at < 9 else 1.0) for at in range(len(air))))


def _dust(air: Air, time_s: float) -> Air:
    return _times(air, 2000.0 / air.pm1_ugm3)


def _insect(air: Air, time_s: float) -> Air:
    return _times(air, 400.0 / air.pm1_ugm3) if 30.0 <= time_s % 60.0 < 35.0 else air


def _loose(air: Air, time_s: float) -> Air:
    return air._replace(temperature_degc=air.temperature_degc + (12.0 if time_s % 120.0 < 60.0 else 0.0))


AIR = (
    _air("fog", "95 % relative humidity", record(marks(PM, "suspect humidity")),
         lambda air, time_s: air._replace(humidity_pct=95.0), also=("humidity",)),
    _air("sun_on_the_box", "50 K too hot", record(marks(("temperature",), "suspect range")),
         lambda air, time_s: air._replace(temperature_degc=air.temperature_degc + 50.0)),
    _air("dust_storm", "beyond the range of 1000 ug/m3, and more particles than a record can hold",
         record(marks(MASS, "suspect range") | marks(("nc0_5",), "missing range")), _dust, also=("typical_size",)),
    _air("insect", "one reading in each minute is 400 ug/m3",
         record(marks((*MASS, "nc0_5"), "suspect spike", GOOD), "suspect spike"), _insect),
    _air("loose_contact", "12 K more in every second minute",
         record(marks(("temperature",), "suspect rate_of_change", "suspect spike"), "suspect rate_of_change"), _loose),
)  # fmt: skip


def _both(name: str, says: str, outcome: Outcome, **more: Any) -> Fault:
    def begin(site: Site) -> None:
        for chip in ("sps30", "bme280"):
            site.chip(chip).switch(name)

    def end(site: Site) -> None:
        for chip in ("sps30", "bme280"):
            site.chip(chip).switch(name, False)

    return Fault("board", name, says, outcome, begin, end, **more)


def _cable() -> Fault:
    def begin(site: Site) -> None:
        site.unplug("sps30")
        site.unplug("bme280")

    def end(site: Site) -> None:
        site.plug("sps30")
        site.plug("bme280")

    return Fault("board", "unplugged", "the cable of both chips is off, and put on again", gap(NOT_SAMPLED), begin, end)


BOARD = (
    _cable(),
    _both("silence", "both chips are silent", gap(NOT_SAMPLED)),
    _both("stuck", "both chips stuck: readings there are, and all are refused", gap(REFUSED), settles_s=STUCK_S),
)

FAULTS = SPS30 + BME280 + AIR + BOARD
