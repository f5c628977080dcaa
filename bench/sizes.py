"""Bytes and time on air of a reading: Steiger beside what others would send, and what decoding costs."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import formats, series
from bench.airtime import frames_airtime_ms
from wire import UTC
from wire.channels import by_name
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.records_gateway import decode_records

FRAMING = 9  # LoRa: version and type 1, address 2, counter 2, tag 4 (tests/wire holds the frame to it)
LORAWAN = 13  # header, port and integrity code
LORA_MAX = 255  # what one LoRa frame can carry; LoRaWAN at SF7 in Europe: 222 of application payload
LORAWAN_MAX = 222
BATCH = 10
OTHER_SEEDS = 20
SFS = (7, 9, 12)

Readings = list[tuple[int, int, tuple[int, ...]]]  # seq, unix s of the end, raw values


def profile() -> Profile:
    """The ten channels as a node would declare them."""
    return Profile(tuple((by_name(name).id, 0) for name in series.CHANNELS), series.WINDOW_S)


def records(seed: int = series.DEFAULT_SEED, days: int = 7) -> list[Record]:
    """The series as records of a node that has been running for a while."""
    return [
        Record(40_000 + at, (UTC, series.START_S + (at + 1) * series.WINDOW_S), 100, values, None)
        for at, values in enumerate(series.make(days, seed))
    ]


def payloads(given: Sequence[Record], size: int) -> list[bytes]:
    """Records in frames of `size`, each encoded when its last window closes, by a node that said hello at the start."""
    declared = profile()
    return [
        encode_records(declared, list(given[at : at + size]), given[at + size - 1].time[1], given[0].seq)
        for at in range(0, len(given) - size + 1, size)
    ]


def with_missing(given: Sequence[Record]) -> list[Record]:
    """The same with a gas sensor that fails every third hour, and one suspect value in each hour."""
    out = []
    for at, record in enumerate(given):
        values = list(record.values)
        flags = [1] * len(values)
        if at // 60 % 3 == 2:
            values[2] = None
            flags[2] = 9
        elif at % 60 == 17:
            flags[0] = 3
        coverage = 100 if at % 60 != 18 else 93
        out.append(
            Record(record.seq, record.time, coverage, tuple(values), None if set(flags) == {1} else tuple(flags))
        )
    return out


def cost_us(call: Callable[[], object], count: int) -> float:
    """Best of five, microseconds for each of `count` things that one call does."""
    best = 1e9
    for _ in range(5):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best / count * 1e6


@dataclass
class Row:
    """One line of the table; sizes are frames on air of one reading, and of ten."""

    name: str
    single: list[int]
    batch: list[int] | None

    def cells(self) -> list[str]:
        """Bytes and times on air, per reading."""
        out = [self.name, f"{sum(self.single):.0f}"]
        out.append(" / ".join(f"{frames_airtime_ms(self.single, sf):.0f}" for sf in SFS))
        if self.batch is None:
            return [*out, "–", "–"]
        out.append(f"{sum(self.batch) / BATCH:.1f}")
        out.append(" / ".join(f"{frames_airtime_ms(self.batch, sf) / BATCH:.0f}" for sf in SFS))
        return out


def split(size: int, most: int, framing: int) -> list[int]:
    """Frames on air that carry `size` bytes, at most `most` of them in each."""
    full, rest = divmod(size, most)
    return [most + framing] * full + ([rest + framing] if rest else [])


def mean(values: Sequence[int]) -> int:
    """Rounded to whole bytes, as a frame has them."""
    return round(statistics.fmean(values))


def others(given: Sequence[Record]) -> list[Row]:
    """What others would send for the first day's readings."""
    readings: Readings = [(record.seq, record.time[1], record.values) for record in given[:1440]]
    batches = [readings[at : at + BATCH] for at in range(0, len(readings), BATCH)]
    lpp = len(formats.cayenne_lpp(*readings[0][1:]))
    lpp_batch = LORAWAN_MAX // lpp  # whole readings only
    lpp_frames = [lpp_batch * lpp + LORAWAN] * (BATCH // lpp_batch)
    if BATCH % lpp_batch:
        lpp_frames.append(BATCH % lpp_batch * lpp + LORAWAN)
    return [
        Row(
            "JSON",
            split(mean([len(formats.json_line(*each)) for each in readings]), LORA_MAX, 0),
            split(mean([len(formats.json_batch(each)) for each in batches]), LORA_MAX, 0),
        ),
        Row(
            "SenML-CBOR",
            split(mean([len(formats.senml_cbor([each])) for each in readings]), LORA_MAX, 0),
            split(mean([len(formats.senml_cbor(each)) for each in batches]), LORA_MAX, 0),
        ),
        Row(
            "SenML-CBOR without units",
            split(mean([len(formats.senml_cbor([each], units=False)) for each in readings]), LORA_MAX, 0),
            split(mean([len(formats.senml_cbor(each, units=False)) for each in batches]), LORA_MAX, 0),
        ),
        Row("CayenneLPP in LoRaWAN", [lpp + LORAWAN], lpp_frames),
    ]


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    given = records()
    declared = profile()
    single = [len(payload) + FRAMING for payload in payloads(given, 1)]
    batch = [len(payload) + FRAMING for payload in payloads(given, BATCH)]
    seeds = [
        statistics.fmean(len(payload) + FRAMING for payload in payloads(records(seed), BATCH)) / BATCH
        for seed in range(1, OTHER_SEEDS + 1)
    ]
    broken = with_missing(given)
    broken_single = [len(payload) + FRAMING for payload in payloads(broken, 1)]
    broken_batch = [len(payload) + FRAMING for payload in payloads(broken, BATCH)]
    day = given[:1440]
    singles = list(zip(payloads(day, 1), day, strict=True))
    tens = list(zip(payloads(day, BATCH), day[BATCH - 1 :: BATCH], strict=True))
    figures = {
        "wire.single_bytes": statistics.fmean(single),
        "wire.single_max_bytes": max(single),
        "wire.batch10_bytes": statistics.fmean(batch) / BATCH,
        "wire.batch10_worst_seed_bytes": max(seeds),
        "wire.single_missing_bytes": statistics.fmean(broken_single),
        "wire.single_missing_max_bytes": max(broken_single),
        "wire.batch10_missing_bytes": statistics.fmean(broken_batch) / BATCH,
        "wire.decode_us": cost_us(
            lambda: [decode_records(payload, declared, one.seq, one.time[1]) for payload, one in singles], len(singles)
        ),
        "wire.decode_batch10_us": cost_us(
            lambda: [decode_records(payload, declared, last.seq, last.time[1]) for payload, last in tens], len(day)
        ),
        "wire.encode_us": cost_us(lambda: payloads(day, 1), len(day)),
    }
    rows = [Row("Steiger", [mean(single)], [mean(batch)]), *others(given)]
    table = [["format", "single B", "air ms SF7/9/12", "ten: B each", "air ms each SF7/9/12"]]
    table += [row.cells() for row in rows]
    # Measured elsewhere with the same series: protobuf telemetry in its own encrypted packets, one reading a packet.
    table.append(["Meshtastic telemetry", "130", "267 / 884 / 6414", "130", "–"])
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.append("")
    lines.append(
        f"Steiger: single mean {figures['wire.single_bytes']:.2f}, most {max(single)}; ten"
        f" {figures['wire.batch10_bytes']:.2f}, worst of {OTHER_SEEDS} other seeds {max(seeds):.2f}; with a failing"
        f" sensor and flags {figures['wire.single_missing_bytes']:.2f}, most {max(broken_single)}, and"
        f" {figures['wire.batch10_missing_bytes']:.2f}; frame, seq, time, coverage, encryption and tag included."
    )
    lines.append(
        f"One reading: encode {figures['wire.encode_us']:.1f} µs, decode {figures['wire.decode_us']:.1f} µs alone,"
        f" {figures['wire.decode_batch10_us']:.1f} µs in ten (this CPython, payload only)."
    )
    return figures, lines
