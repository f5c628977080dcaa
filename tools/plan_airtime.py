"""What a board costs on the air at each spreading factor: its records really encoded, the law, one gateway, a battery.

Values are drawn from what the records codec expects of each channel (its usual level, change and partner, wire/channels.py):
they are neither easier nor harder than that. Bytes and airtime are exact for these values; capacity and battery are estimates.
"""

from __future__ import annotations

import math
import random
import statistics
from typing import Any, NamedTuple

from boards import Board
from boards.radio import OnAir
from wire import UTC, channels
from wire.airtime import airtime_us
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.regions import UPLINKS_HZ, band_of, duty_permille, frame_limit, power_limit_dbm
from wire.totals import total

SFS = (7, 8, 9, 10, 11, 12)
FRAME = 9  # LoRa: version and type 1, address 2, counter 2, tag 4
HEALTH_BYTES = 63 + FRAME  # one an hour
ANSWER_BYTES = 34  # an acknowledgement with time
RECORDS = 240  # encoded for each figure
BATCH_MAX = 20
START_S = 1_790_000_100 // 300 * 300
SEED = 5
EVENTS_A_MINUTE = 6.0
MARK = 22  # of totals: any but 0 costs the same

# Pure ALOHA: of frames that begin at random within a load of G Erlang a share of exp(-2 G) meets no other one.
GOOD_LOSS, FULL_LOSS = 0.05, 0.10  # frames lost: what to plan for, and where the next gateway is due

# Battery: mW, data sheets, typical values; a converter is left out.
CELL_V = 3.7
USABLE = 0.85
MCU_MW = 165.0  # 50 mA at 3.3 V, radio of the chip off
MCU_ASLEEP_MW = 0.1
LISTEN_MW = 18.0
TX_MW = {14: 300.0, 22: 390.0}  # by transmitter power, dBm
SENSOR_MW = {
    "sps30": 275.0, "sps30_uart": 275.0, "sen5x": 330.0, "sen66": 290.0, "scd41": 50.0, "sds011": 365.0, "pms5003": 400.0,
    "bme280": 0.1, "sht4x": 0.1, "ads1115_no2": 5.0, "i2s_mic": 5.0, "ld2451": 535.0, "ops243a": 1750.0, "tfluna": 350.0,
}  # fmt: skip


class Rate(NamedTuple):
    """At one spreading factor. Bytes are those of whole frames; of several profiles the sum of one interval's frames."""

    sf: int
    bytes: float  # one record, mean
    bytes_max: int
    airtime_ms: float  # the same
    batch: int  # records that fit into one frame
    batch_bytes: int
    batch_airtime_ms: float  # of a record in such a frame
    duty_percent: float  # of an hour, health included
    records_per_hour: int  # what the law leaves room for, one in a frame
    batch_records_per_hour: int  # as above, in full frames: how fast a backlog goes
    lawful: bool
    nodes_one_channel: int  # with GOOD_LOSS
    nodes_eight_channels: int
    next_one_channel: int  # with FULL_LOSS: from there on another gateway is due
    next_eight_channels: int


class Plan(NamedTuple):
    board: str
    interval_s: int
    profiles: int
    channels: int
    on_air: bool
    power_dbm: int
    rates: list[Rate]
    battery_mah: float
    battery_days: float | None  # None: nothing is known of some sensor
    load_mw: float
    unknown: list[str]  # sensors of which no supply is known


def profiles_of(board: Board, interval_s: int) -> list[Profile]:
    """The board's profiles with windows of this length."""
    found = []
    for entry in board.profiles:
        items = []
        for name in entry.items:
            base, _, instance = name.partition(":")
            items.append((channels.id_of(base), int(instance or 0)))
        found.append(Profile(tuple(items), interval_s))
    return found


def records_of(profile: Profile, count: int, seed: int) -> list[Record]:
    """Windows one after the other, complete and without a flag."""
    draw = random.Random(seed)
    rows = {item: channels.by_id(item[0]) for item in profile.items}
    level = {item: float(row.centre + draw.gauss(0, (1 << row.width) / 4)) for item, row in rows.items()}
    events = EVENTS_A_MINUTE * profile.window_s / 60
    out = []
    for at in range(count):
        values: list[int] = []
        seen: dict[int, float] = {}
        for item, row in rows.items():
            if row.kind == channels.COUNT:
                mean = max(level[item], events / (1 if row.mode == channels.EVENTS else 15))
                value = max(0.0, draw.gauss(mean, math.sqrt(mean)))
            elif row.kind == channels.TOTAL:
                counted = seen.get(row.partner, max(0.0, draw.gauss(events, math.sqrt(events))))
                level[item] = abs(level[item]) + round(counted)
                value = total(MARK, int(level[item]))
            elif row.partner in seen and row.mode != channels.SAMPLE:
                value = seen[row.partner] + row.lead + draw.gauss(0, row.step)
            else:
                level[item] += (row.centre - level[item]) * 0.02 + draw.gauss(0, row.step * 0.3)
                value = level[item] + draw.gauss(0, row.step * 0.8)
            seen[item[0]] = value
            values.append(max(row.low, min(row.high, round(value))))
        time = (UTC, START_S // profile.window_s * profile.window_s + (at + 1) * profile.window_s)
        out.append(Record(40_000 + at, time, 100, tuple(values), None))
    return out


def _payload(profile: Profile, records: list[Record]) -> int:
    return len(encode_records(profile, records, records[-1].time[1], 40_000)) + FRAME


def _fullest(profile: Profile, records: list[Record], sf: int) -> tuple[int, int]:
    """(records, bytes) of the fullest frame."""
    count = 1
    while count < min(BATCH_MAX, len(records)) and _payload(profile, records[: count + 1]) <= frame_limit(sf):
        count += 1
    return count, _payload(profile, records[:count])


def rate(profiles: list[Profile], given: list[list[Record]], sf: int, ask_every: int) -> Rate:
    """All profiles of one node at this spreading factor."""
    interval_s = profiles[0].window_s
    sizes = [
        [_payload(profile, [record]) for record in records] for profile, records in zip(profiles, given, strict=True)
    ]
    times_us = [[airtime_us(size, sf) for size in one] for one in sizes]
    interval_us = sum(statistics.fmean(one) for one in times_us)
    counts = [_fullest(profile, records, sf) for profile, records in zip(profiles, given, strict=True)]
    batch, batch_bytes = counts[0]
    batch_us = airtime_us(batch_bytes, sf)
    hour_us = interval_us * 3600 / interval_s + airtime_us(HEALTH_BYTES, sf)
    budget_us = duty_permille(band_of(UPLINKS_HZ[0])) * 3_600_000
    # an ear is deaf while it answers, and an answer is in the air for others as long
    answers_us = len(profiles) * 3600 / interval_s / ask_every * airtime_us(ANSWER_BYTES, sf)
    load = (hour_us + answers_us) / 3.6e9

    def nodes(loss: float) -> float:
        return -math.log(1 - loss) / 2 / load

    answers_most = duty_permille(4) * 3_600_000 / answers_us
    return Rate(
        sf=sf,
        bytes=sum(statistics.fmean(one) for one in sizes),
        bytes_max=sum(max(one) for one in sizes),
        airtime_ms=interval_us / 1000,
        batch=batch,
        batch_bytes=batch_bytes,
        batch_airtime_ms=batch_us / 1000 / batch,
        duty_percent=100 * hour_us / 3.6e9,
        records_per_hour=int(budget_us // (interval_us / len(profiles))),
        batch_records_per_hour=int(budget_us // batch_us) * batch,
        lawful=hour_us <= budget_us and max(max(one) for one in sizes) <= frame_limit(sf),
        nodes_one_channel=int(min(nodes(GOOD_LOSS), answers_most)),
        nodes_eight_channels=int(min(8 * nodes(GOOD_LOSS), answers_most)),
        next_one_channel=int(min(nodes(FULL_LOSS), answers_most)) + 1,
        next_eight_channels=int(min(8 * nodes(FULL_LOSS), answers_most)) + 1,
    )


def _load_mw(board: Board, interval_s: int, awake_s: int, at: Rate, power_dbm: int) -> tuple[float, list[str]]:
    drivers = [str(type(sensor).__struct_config__.tag) for sensor in board.sensors]
    unknown = sorted({driver for driver in drivers if driver not in SENSOR_MW})
    awake = min(1.0, awake_s / interval_s) if board.power == "sleep" else 1.0
    on_air = at.duty_percent / 100
    tx_mw = TX_MW[14] if power_dbm <= 14 else TX_MW[22]
    steady = (MCU_MW + sum(SENSOR_MW.get(driver, 0.0) for driver in drivers)) * awake
    return steady + MCU_ASLEEP_MW * (1 - awake) + on_air * (tx_mw + LISTEN_MW), unknown


def plan(
    board: Board, interval_s: int, ask_every: int = 2, battery_mah: float = 10_000.0, awake_s: int = 45, sf: int = 9
) -> Plan:
    """`sf`: at which the battery is reckoned; `awake_s`: what a sleeping board is awake in each interval."""
    profiles = profiles_of(board, interval_s)
    given = [records_of(profile, RECORDS, SEED + number) for number, profile in enumerate(profiles)]
    rates = [rate(profiles, given, each, ask_every) for each in SFS]
    link: Any = board.link
    gain_cdbi = round(100 * (link.antenna_gain_dbi - link.cable_loss_db)) if isinstance(link, OnAir) else 215
    power_dbm = min(14, power_limit_dbm(UPLINKS_HZ[0], gain_cdbi))
    load_mw, unknown = _load_mw(board, interval_s, awake_s, rates[SFS.index(sf)], power_dbm)
    days = None if unknown else battery_mah * CELL_V * USABLE / load_mw / 24
    return Plan(
        board.name, interval_s, len(profiles), sum(len(profile.items) for profile in profiles), isinstance(link, OnAir),
        power_dbm, rates, battery_mah, days, load_mw, unknown,
    )  # fmt: skip
