"""Writes tests/vectors/records.json. What is in the file never changes within a wire version; cases are added here.

python tests/wire/renew_records_vectors.py
"""

import json
from pathlib import Path
from typing import Any

from tests.wire import records_cases
from tests.wire import run_vectors as vectors
from wire import BOOT, UTC
from wire.channels import by_name
from wire.profiles import Profile
from wire.records import Record, encode_records

FILE = Path(__file__).parents[1] / "vectors" / "records.json"


def good_frames() -> list[tuple[str, Any, list[Any], int | None, int | None]]:
    """(note, profile, records, now_s, hello_seq)"""

    def declared(window_s: int, *names: str) -> Profile:
        return Profile(tuple((by_name(name).id, 0) for name in names), window_s)

    ten = declared(
        60,
        *("pm2_5", "pm10", "co2", "temperature", "humidity", "pressure", "laeq", "lafmax", "vehicles", "speed_mean"),
    )
    usual = (123, 187, 441, 1532, 664, 10094, 561, 702, 14, 463)
    night = (98, 140, 455, 812, 801, 10094, 448, 552, 1, None)
    end = 1_760_000_040
    rows = [
        Record(
            65530 + at,
            (UTC, end + 60 * at),
            100,
            (
                123 + at % 3,
                187 + at,
                441 - at,
                1532 + 3 * at,
                664,
                10094,
                561 + 7 * at % 13,
                702 - at,
                14 + at % 4,
                463,
            ),
            None,
        )
        for at in range(10)
    ]
    air = declared(5, "pm2_5", "pm10", "temperature")
    boot = (BOOT, 7, 65_000)
    return [
        ("a usual single record", ten, [Record(1234, (UTC, end), 100, usual, None)], end + 1, 1200),
        ("its sender has no clock and had no answer", ten, [Record(1234, (UTC, end), 100, usual, None)], None, None),
        (
            "one vehicle: its mean speed is missing at the cost of a bit",
            ten,
            [Record(1, (UTC, end), 100, night, None)],
            end,
            0,
        ),
        ("no vehicle and a speed of 0", ten, [Record(1, (UTC, end), 100, (*usual[:8], 0, 0), None)], end, 0),
        ("ten records, seq passes 65535", ten, rows, end + 600, 65000),
        (
            "missing values and flags",
            ten,
            [
                Record(5, (UTC, end), 100, (None, *usual[1:]), None),
                Record(6, (UTC, end + 60), 100, (None, *usual[1:]), None),
                Record(7, (UTC, end + 120), 73, usual, (3, 1, 1, 4, 1, 1, 1, 1, 1, 1)),
                Record(8, (UTC, end + 180), 0, (None,) * 10, (2,) * 10),
            ],
            end + 200,
            5,
        ),
        (
            "outside the channels' ranges",
            air,
            [Record(9, (UTC, end), 100, (-1, 2147483647, -2147483648), None)],
            end,
            9,
        ),
        (
            "gaps in seq and time, backwards too",
            air,
            [
                Record(3, (UTC, end), 100, (10, 12, -500), None),
                Record(9, (UTC, end + 50), 100, (11, 13, -501), None),
                Record(10, (UTC, end + 45), 100, (11, 13, -502), None),
                Record(4294967295, (UTC, 2_000_000_000), 100, (11, 13, -502), None),
            ],
            end + 60,
            3,
        ),
        ("last window closed early", air, [Record(3, (UTC, end + 2), 60, (10, 12, -500), None)], end + 2, 0),
        (
            "without a clock, then with one",
            air,
            [
                Record(0, boot, 100, (10, 12, -500), None),
                Record(1, (BOOT, 7, 70_000), 100, (10, 12, -500), None),
                Record(2, (BOOT, 7, 75_003), 100, (10, 12, -499), None),
                Record(3, (BOOT, 8, 5_000), 100, (10, 12, -499), None),
                Record(4, (UTC, end), 100, (10, 12, -498), None),
            ],
            end + 1,
            0,
        ),
        (
            "the highest of everything",
            air,
            [Record(0xFFFFFFFF, (BOOT, 65535, 0xFFFFFFFFFE), 100, (0, 0, 0), None)],
            end,
            0,
        ),
        ("older than low bits reach", ten, [Record(60000, (UTC, end), 100, usual, None)], end + 57345 * 60, 100000),
        (
            "64 records",
            air,
            [Record(at, (UTC, end + 5 * at), 100, (50 + at % 5, 80, 1000 - at), None) for at in range(64)],
            end,
            0,
        ),
    ]


def reasoned_frames() -> list[tuple[str, Any, list[Any], int | None, int | None]]:
    """Flags with a reason: flag + 16 * reason."""
    names = ("pm1", "pm2_5", "pm4", "pm10", "temperature", "humidity", "pressure")
    air = Profile(tuple((by_name(name).id, 0) for name in names), 60)
    end = 1_760_000_040
    usual = (80, 123, 150, 187, 412, 871, 10094)
    return [
        ("one item is suspect, and why", air, [Record(5, (UTC, end), 100, usual, (1, 1, 1, 1, 35, 1, 1))], end, 5),
        (
            "humid air: one mark for the four that follow each other",
            air,
            [
                Record(5, (UTC, end), 100, usual, (115, 115, 115, 115, 1, 1, 1)),
                Record(6, (UTC, end + 60), 100, usual, (115, 115, 115, 115, 1, 1, 1)),
                Record(7, (UTC, end + 120), 100, usual, None),
            ],
            end + 130,
            5,
        ),
        (
            "every flag that has reasons, with a value and without, the first reason and the last",
            air,
            [
                Record(5, (UTC, end), 60, usual, (18, 19, 20, 25, 242, 244, 249)),
                Record(6, (UTC, end + 60), 60, (None,) * 7, (18, 19, 20, 25, 25, 25, 249)),
                Record(7, (UTC, end + 120), 60, (None, *usual[1:]), (89, 89, 9, 3, 67, 67, 67)),
                Record(8, (UTC, end + 180), 60, usual, (67,) * 7),
            ],
            end + 200,
            5,
        ),
    ]


def bad_payloads() -> list[tuple[str, str, int, int]]:
    """(note, payload, next_seq, now_s) for the profile (temperature 0) of 60 s, whose `short` is put in front."""
    plain = "0" + "0" + "0000000000000101" + "0110001010011001"  # single, usual, seq 5, window
    value = "1" + "0" * 11
    return [
        ("nothing", "", 0, 1_760_000_000),
        ("head alone", "0", 0, 1_760_000_000),
        ("no value", plain, 5, 1_760_000_000),
        ("cut off within a value", plain + "1000", 5, 1_760_000_000),
        ("a byte too many", plain + value + "00" + "00000000", 5, 1_760_000_000),
        ("filling is not zero", plain + value + "01", 5, 1_760_000_000),
        ("65 records", "1" + "111111" + "0" + "0" * 200, 5, 1_760_000_000),
        ("seq below 0", "0" + "0" + "1" * 16 + "0" * 16 + value, 5, 1_760_000_000),
        ("seq above 32 bits", "1" + "000000" + "1" + "1000000" + "0" + "1" * 32 + "0" * 16, 5, 1_760_000_000),
        ("before 2020", "0" + "1" + "010000" + "0" * 16 + "0" * 32 + value, 5, 1_760_000_000),
        ("after 2100", "0" + "1" + "010000" + "0" * 16 + "1" * 32 + value, 5, 1_760_000_000),
        ("no such uptime", "0" + "1" + "011000" + "0" * 16 + "1" * 56 + value, 5, 1_760_000_000),
        ("coverage 101", "0" + "1" + "000010" + plain[2:] + "1" + "1100101" + value, 5, 1_760_000_000),
        ("a number of 40 zeros", plain + "0" * 40 + "1" * 60, 5, 1_760_000_000),
        ("a value above 32 bits", plain + "0" * 30 + "1" * 60, 5, 1_760_000_000),
    ]


def cases() -> list[dict[str, Any]]:
    """All of them, in the form of run_vectors."""
    out: list[dict[str, Any]] = []

    def add(note: str, verb: str, *given: Any) -> Any:
        plain = [vectors.plain(each) for each in given]
        gives = vectors.outcome(vectors.DO[verb], *plain)
        out.append({"note": note, "do": verb, "with": plain, "gives": gives})
        return gives

    def both_ways(note: str, declared: Any, rows: list[Any], now_s: int | None, hello_seq: int | None) -> None:
        payload = add(note, "encode_records", declared, rows, now_s, hello_seq)
        add(note, "decode_records", payload, declared, (hello_seq or 0) + 300, (now_s or 1_800_000_000) + 2)
        add(note, "peek_records", payload, None)

    frames = good_frames()
    for frame in frames:
        both_ways(*frame)
    dice = records_cases.Dice(7)
    for at in range(12):
        declared, rows, now_s, hello_seq = records_cases.frame(dice)
        both_ways(f"random {at}", declared, rows[:6], now_s, hello_seq)
    row = Record(1, (UTC, 1_760_000_040), 100, (1000,), None)
    single = Profile(((by_name("temperature").id, 0),), 60)
    for note, rows in (
        ("no record", []),
        ("65 records", [row._replace(seq=at) for at in range(65)]),
        ("seqs do not rise", [row, row]),
        ("seq above 32 bits", [row._replace(seq=1 << 32)]),
        ("coverage", [row._replace(coverage=101)]),
        ("a value too many", [row._replace(values=(1, 2))]),
        ("a flag too few", [row._replace(flags=())]),
        ("no such flag", [row._replace(flags=(16,))]),
        ("a value of 33 bits", [row._replace(values=(1 << 31,))]),
        ("before 2020", [row._replace(time=(UTC, 1))]),
        ("no such kind of time", [row._replace(time=(0, 1))]),
    ):
        add(note, "encode_records", single, rows, 1_760_000_040, 0)
    for note, bits, next_seq, now_s in bad_payloads():
        bits = f"{single.short:08b}{bits}" if bits else ""
        bits += "0" * (-len(bits) % 8)
        payload = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
        add(note, "decode_records", payload, single, next_seq, now_s)
    whole = encode_records(single, [row], None, None)
    add("another profile", "decode_records", whole, Profile(single.items, 61), 0, 0)
    add("cut off", "peek_records", whole[:2], None)
    for frame in reasoned_frames():
        both_ways(*frame)
    for flag in (16, 17, 22, 31, 256 + 19):
        add("no flag that has reasons", "encode_records", single, [row._replace(flags=(flag,))], 1_760_000_040, 0)
    odd = "0" + "1" + "000001" + "0000000000000101" + "0110001010011001" + "1"
    for note, bits in (("reason 0", "111101100001"), ("more items than there are", "1111011011101")):
        bits = f"{single.short:08b}{odd}{bits}1" + "0" * 11
        bits += "0" * (-len(bits) % 8)
        payload = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
        add(note, "decode_records", payload, single, 5, 1_760_000_000)
    dice = records_cases.Dice(11)
    for at in range(1):
        declared, rows, now_s, hello_seq = records_cases.frame(dice, reasons=True)
        both_ways(f"random {at}, with reasons", declared, rows[:6], now_s, hello_seq)
    return out


def text(given: list[dict[str, Any]]) -> str:
    """One case a line."""
    lines = ",\n".join("  " + json.dumps(case) for case in given)
    return '{"about": "records payloads, see tests/wire/run_vectors.py", "cases": [\n' + lines + "\n]}\n"


def renew() -> None:
    """Writes the file."""
    FILE.write_text(text(cases()))
