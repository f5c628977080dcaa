"""Time on air of a record of ten channels, alone and in a batch, beside LoRaWAN with CayenneLPP and Meshtastic."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from bench import formats
from bench.sizes import BATCH, FRAMING, LORAWAN, payloads, profile, records, series
from wire.airtime import airtime_us
from wire.records import Record, encode_records
from wire.regions import frame_limit

SFS = (7, 9, 12)
LORAWAN_PAYLOAD = {7: 222, 9: 115, 12: 51}  # bytes of application payload that EU868 allows (RP002, DR5, DR3, DR0)
# Measured elsewhere with the same series: ms a reading at SF7, SF9, SF12; ten in frames of up to 222 bytes at each of them.
CAYENNE_MS = {7: (113, 76), 9: (370, 238), 12: (2630, 1738)}
MESHTASTIC_MS = {7: 267, 9: 884, 12: 6414}
SINGLE_MOST, BATCH_MOST = 0.63, 0.22
TARGETS = {
    name: ("<=", most)
    for sf in SFS
    for name, most in (
        (f"lora.airtime_share_single_sf{sf}", SINGLE_MOST),
        (f"lora.airtime_share_ten_sf{sf}", BATCH_MOST),
        (f"lora.airtime_share_sent_sf{sf}", BATCH_MOST),
    )
}


class Share(NamedTuple):
    """Milliseconds a record: ours, and the better one of the others."""

    ours: float
    better: float

    @property
    def share(self) -> float:
        return self.ours / self.better


def per_record_ms(sizes: Sequence[int], sf: int, count: int) -> float:
    """Frames of so many payload bytes that carry `count` records each."""
    return statistics.fmean(airtime_us(size + FRAMING, sf) for size in sizes) / 1000 / count


def as_sent_ms(given: Sequence[Record], sf: int) -> tuple[float, int]:
    """(ms a record, most records in one frame): batches of at most ten as full as the link lets them be at this rate."""
    declared, total_us, at, most = profile(), 0, 0, 0
    while at < len(given):
        count = min(BATCH, len(given) - at)
        while True:
            batch = list(given[at : at + count])
            size = len(encode_records(declared, batch, batch[-1].time[1], given[0].seq)) + FRAMING
            if size <= frame_limit(sf) or count == 1:
                break
            count -= 1
        total_us += airtime_us(size, sf)
        most = max(most, count)
        at += count
    return total_us / 1000 / len(given), most


def cayenne_as_sent_ms(reading: int, sf: int) -> float:
    """The same for readings of so many bytes in LoRaWAN."""
    count = max(1, min(BATCH, LORAWAN_PAYLOAD[sf] // reading))
    return airtime_us(count * reading + LORAWAN, sf) / 1000 / count


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    given = records(series.DEFAULT_SEED, 2)
    single = [len(payload) for payload in payloads(given, 1)]
    ten = [len(payload) for payload in payloads(given, BATCH)]
    reading = len(formats.cayenne_lpp(given[0].time[1], given[0].values))
    figures: dict[str, float] = {}
    lines = [
        "ms on air a record          SF7              SF9              SF12         Steiger in % of the better one"
    ]
    rows: dict[str, dict[int, Share]] = {"alone": {}, "ten in a frame": {}, "ten, as they may be sent": {}}
    fits = {}
    for sf in SFS:
        alone = Share(per_record_ms(single, sf, 1), min(CAYENNE_MS[sf][0], MESHTASTIC_MS[sf]))
        batch = Share(per_record_ms(ten, sf, BATCH), min(CAYENNE_MS[sf][1], MESHTASTIC_MS[sf]))
        sent_ms, fits[sf] = as_sent_ms(given, sf)
        sent = Share(sent_ms, min(cayenne_as_sent_ms(reading, sf), MESHTASTIC_MS[sf]))
        for row, share in zip(rows.values(), (alone, batch, sent), strict=True):
            row[sf] = share
        figures[f"lora.airtime_ms_sf{sf}"] = alone.ours
        figures[f"lora.airtime_ten_ms_sf{sf}"] = batch.ours
        figures[f"lora.airtime_sent_ms_sf{sf}"] = sent.ours
        figures[f"lora.airtime_share_single_sf{sf}"] = alone.share
        figures[f"lora.airtime_share_ten_sf{sf}"] = batch.share
        figures[f"lora.airtime_share_sent_sf{sf}"] = sent.share
    for name, row in rows.items():
        ours = "".join(f"{row[sf].ours:>8.1f} of {row[sf].better:<6.0f}" for sf in SFS)
        lines.append(f"{name:<25}{ours}  " + " / ".join(f"{100 * row[sf].share:.0f}" for sf in SFS))
    lines += [
        "",
        "Steiger's of LoRaWAN with CayenneLPP, which is the better one each time (Meshtastic: "
        + " / ".join(str(MESHTASTIC_MS[sf]) for sf in SFS)
        + " ms, one reading a packet).",
        "Ten in a frame: whatever the frame's length. As they may be sent: no frame longer than 3.6 s, "
        + ", ".join(f"{frame_limit(sf)} bytes at SF{sf} ({fits[sf]} records)" for sf in SFS)
        + "; LoRaWAN's payload in EU868 is "
        + ", ".join(f"{LORAWAN_PAYLOAD[sf]} bytes at SF{sf}" for sf in SFS)
        + ".",
    ]
    return figures, lines
