"""Cases for particle sensors on a serial line and for the NO2 cell: worked bytes and captures of the fact sheets, and what
can be wrong with them. See write_driver_vectors."""

import math
import struct
from fractions import Fraction

# --- SPS30 over UART -------------------------------------------------------------------------------------------------

# Captured answers (worked examples 3 and 4), as they stood on the line.
SPS30_1 = (
    "7E 00 03 00 28 40 A7 83 20 41 17 77 BB 41 4A 5F 83 41 54 8D DD 41 D2 83 3E 42 7D 33 FC 85 42 26 17 22 42 29 A4 D9 "
    "42 2A 29 BC 3F 55 B7 E7 9E 7E"
)
SPS30_2 = (
    "7E 00 03 00 28 40 B9 C6 7F 41 03 6C 8B 41 1E 4A E2 41 23 AA 92 42 0C 5B 7C 42 2E FD BA 42 38 CA B3 42 3A B2 C9 "
    "42 3A FD E9 3F 4A 10 25 D6 7E"
)
SPS30_VALUES_1 = [5.2348, 9.4667, 12.6483, 13.2846, 26.3141, 36.9966, 41.5226, 42.4110, 42.5408, 0.8348]
NOT_NOW = "7E 00 7D 31 43 00 AB 7E"  # worked example 5
VENDOR = "7E 7D 5E 7D 5D 7D 31 03 12 7D 33 14 B7 7E"  # worked example 7


def hexed(text: str) -> str:
    return bytes.fromhex(text.replace(" ", "")).hex()


def unstuffed(line: str) -> str:
    """What a frame holds from its command on, without length and checksum."""
    raw = bytes.fromhex(line.replace(" ", ""))[1:-1]
    for plain, stuffed in ((0x7E, 0x5E), (0x11, 0x31), (0x13, 0x33), (0x7D, 0x5D)):
        raw = raw.replace(bytes((0x7D, stuffed)), bytes((plain,)))
    return (raw[1:3] + raw[4:-1]).hex()


def bytewise(text: str) -> list[str]:
    return [f"{byte:02x}" for byte in bytes.fromhex(text.replace(" ", ""))]


def damaged(text: str, place: int, value: int | None = None) -> str:
    """A byte lost, or another one in its place."""
    raw = bytes.fromhex(text.replace(" ", ""))
    return (raw[:place] + (b"" if value is None else bytes((value,))) + raw[place + 1 :]).hex()


def stream(do: str, pieces: list[str], frames: list[str], dropped: int, reason: str, note: str = "") -> dict:
    return {"do": do, "with": [pieces], "gives": [frames, dropped, reason], "note": note}


def sps30_values(line: str) -> list[int]:
    """Exact rounding of the singles that a captured answer holds."""
    singles = struct.unpack(">10f", bytes.fromhex(unstuffed(line))[2:])
    return [
        math.floor(Fraction(value) * (10000 if at == 9 else 100) + Fraction(1, 2)) for at, value in enumerate(singles)
    ]


def sps30_uart() -> list[dict]:
    one, two = unstuffed(SPS30_1), unstuffed(SPS30_2)
    assert [round(value, 4) for value in struct.unpack(">10f", bytes.fromhex(one)[2:])] == SPS30_VALUES_1
    commands = [
        ([0x00, "0103"], "7E 00 00 02 01 03 F9 7E"), ([0x00, "0105"], "7E 00 00 02 01 05 F7 7E"),
        ([0x01], "7E 00 01 00 FE 7E"), ([0x03], "7E 00 03 00 FC 7E"), ([0x10], "7E 00 10 00 EF 7E"),
        ([0x11], "7E 00 7D 31 00 EE 7E"), ([0x56], "7E 00 56 00 A9 7E"), ([0x80, "00"], "7E 00 80 01 00 7D 5E 7E"),
        ([0x80, "0000093A80"], "7E 00 80 05 00 00 09 3A 80 B7 7E"), ([0xD0, "03"], "7E 00 D0 01 03 2B 7E"),
        ([0xD1], "7E 00 D1 00 2E 7E"), ([0xD2, "00"], "7E 00 D2 01 00 2C 7E"), ([0xD3], "7E 00 D3 00 2C 7E"),
    ]  # fmt: skip
    do = "sps30_stream"
    return [
        *({"do": "sps30_frame", "with": given, "gives": hexed(line), "note": "fact sheet"} for given, line in commands),
        {"do": "sps30_uart", "with": [[SPS30_1 + SPS30_2]], "gives": [sps30_values(SPS30_1), sps30_values(SPS30_2)],
         "note": "worked examples 3 and 4"},
        stream(do, [SPS30_1], [one], 0, "no answer", "worked example 3"),
        stream(do, bytewise(SPS30_1), [one], 0, "no answer", "byte by byte"),
        stream(do, [SPS30_1, SPS30_2], [one, two], 0, "no answer", "the end of one is not the start of the next"),
        stream(do, [SPS30_1[:-2] + SPS30_2], [one, two], 0, "no answer", "one mark ends a frame and begins the next"),
        stream(do, [NOT_NOW], ["1143"], 0, "no answer", "worked example 5: not allowed now"),
        stream(do, ["7E 00 03 00 00 FC 7E"], ["0300"], 0, "no answer", "nothing new since the last read"),
        stream(do, ["7E 00 00 00 00 FF 7E"], ["0000"], 0, "no answer", "worked example 7: all zero"),
        stream(do, ["7E 00 00 00 00 FE 7E"], [], 1, "bad checksum", "worked example 7"),
        stream(do, [VENDOR], ["7d11121314"], 0, "no answer", "worked example 7: everything stuffed"),
        stream(do, ["7E 7E 7E" + NOT_NOW], ["1143"], 0, "no answer", "empty frames"),
        stream(do, ["FF 00 43" + NOT_NOW], ["1143"], 1, "byte stream shifted", "noise before"),
        stream(do, [damaged(SPS30_1, 20) + SPS30_2], [two], 1, "bad checksum", "a byte lost"),
        stream(do, [damaged(SPS30_1, 44, 0x57) + SPS30_2], [two], 1, "bad checksum", "a bit flipped"),
        stream(do, [damaged(SPS30_1, 0) + SPS30_2], [two], 1, "byte stream shifted", "the first mark lost"),
        stream(do, [damaged(SPS30_1, 47) + SPS30_2], [one, two], 0, "no answer", "the last mark lost: one is enough"),
        stream(do, ["7E 00 03 00 28 D4 7E" + SPS30_2], [two], 1, "byte stream shifted", "length and content disagree"),
        stream(do, ["7E 00 03 FC 7E" + SPS30_2], [two], 1, "byte stream shifted", "too short"),
        stream(do, ["7E" + "00" * 120, NOT_NOW], ["1143"], 2, "byte stream shifted", "a frame that never ends"),
    ]  # fmt: skip


# --- SDS011 ----------------------------------------------------------------------------------------------------------

SDS_1 = "AA C0 06 00 06 00 58 D9 3D AB"  # captured
SDS_2 = "AA C0 09 00 09 00 58 D9 43 AB"  # captured
SDS_MANUAL = "AA C0 D4 04 3A 0A A1 60 1D AB"
SDS_ASLEEP = "AA C5 06 01 00 00 A1 60 08 AB"
SDS_INSIDE = "AA C0 AA C0 AB AA 58 D9 F0 AB"  # head and tail as data: 170+192+171+170+88+217 = 1008


def sds011() -> list[dict]:
    one, two, manual = (hexed(frame)[2:-4] for frame in (SDS_1, SDS_2, SDS_MANUAL))
    commands = [
        ([2, 1, 0], "AA B4 02 01 00" + "00" * 10 + "FF FF 01 AB"), ([2, 1, 1], "AA B4 02 01 01" + "00" * 10 + "FF FF 02 AB"),
        ([4], "AA B4 04" + "00" * 12 + "FF FF 02 AB"), ([6, 1, 0], "AA B4 06 01 00" + "00" * 10 + "FF FF 05 AB"),
        ([6, 1, 1], "AA B4 06 01 01" + "00" * 10 + "FF FF 06 AB"), ([8, 1, 5], "AA B4 08 01 05" + "00" * 10 + "FF FF 0C AB"),
    ]  # fmt: skip
    do = "sds011_stream"
    return [
        *({"do": "sds011_command", "with": given, "gives": hexed(line), "note": "examples 3, 4"} for given, line in commands),
        {"do": "sds011_report", "with": [one], "gives": [60, 60], "note": "example 1: 0.6 / 0.6"},
        {"do": "sds011_report", "with": [two], "gives": [90, 90], "note": "example 2: 0.9 / 0.9"},
        {"do": "sds011_report", "with": [manual], "gives": [12360, 26180], "note": "example 5: 123.6 / 261.8"},
        {"do": "sds011_report", "with": ["C0 0F27 0F27 A160"], "gives": [99990, 99990], "note": "999.9, its highest"},
        {"do": "sds011_report", "with": ["C0 0000 1027 A160"], "gives": None, "note": "1000.0"},
        {"do": "sds011_report", "with": ["C0 0700 0600 A160"], "gives": None, "note": "more fine dust than dust"},
        stream(do, [SDS_1 + SDS_2], [one, two], 0, "no answer"),
        stream(do, bytewise(SDS_MANUAL), [manual], 0, "no answer", "byte by byte"),
        stream(do, [SDS_ASLEEP], ["c5060100" + "00a160"], 0, "no answer", "example 6"),
        stream(do, [SDS_INSIDE + SDS_1], [hexed(SDS_INSIDE)[2:-4], one], 0, "no answer", "marks as data"),
        stream(do, [damaged(SDS_1, 8, 0x3C) + SDS_2], [two], 2, "bad checksum", "wrong checksum"),
        stream(do, [damaged(SDS_MANUAL, 3, 0x05) + SDS_2], [two], 2, "bad checksum", "a bit flipped"),
        stream(do, [damaged(SDS_1, 4) + SDS_2], [two], 2, "byte stream shifted", "a byte lost: the next one is delivered"),
        stream(do, [damaged(SDS_1, 0) + SDS_2], [two], 1, "byte stream shifted", "the head lost"),
        stream(do, [damaged(SDS_1, 9) + SDS_2], [two], 2, "byte stream shifted", "the tail lost"),
        stream(do, ["AA AA" + SDS_1], [one], 2, "byte stream shifted", "heads without a frame"),
        stream(do, ["FF 00 C0 AB" + SDS_1], [one], 1, "byte stream shifted", "noise before"),
        stream(do, ["AA C1" + SDS_1], [one], 2, "byte stream shifted", "no kind that it sends"),
        stream(do, [SDS_1[:14]], [], 0, "no answer", "the rest is still to come"),
    ]  # fmt: skip


# --- PMS5003 ---------------------------------------------------------------------------------------------------------

PMS_HEAD = "42 4D 00 1C "
PMS_1 = PMS_HEAD + "00 00 00 08 00 08 00 00 00 08 00 08 00 D2 00 46 00 2D 00 1E 00 00 00 00 97 00 02 C5"  # captured
PMS_2 = PMS_HEAD + "00 00 00 07 00 07 00 00 00 07 00 07 00 BD 00 3F 00 2A 00 1B 00 00 00 00 97 00 02 9F"  # captured
PMS_3 = PMS_HEAD + "00 00 00 05 00 05 00 00 00 05 00 05 00 8A 00 2E 00 17 00 0F 00 00 00 00 97 00 02 34"  # captured
PMS_ASLEEP, PMS_PASSIVE = "42 4D 00 04 E4 00 01 77", "42 4D 00 04 E1 00 01 74"


def pms_frame(*words: int) -> str:
    """What the parser hands on: low byte of the length, twelve words, version and error."""
    return (b"\x1c" + struct.pack(">12H", *words) + b"\x97\x00").hex()


def pms5003() -> list[dict]:
    one, two, three = (hexed(frame)[6:-4] for frame in (PMS_1, PMS_2, PMS_3))
    do = "pms5003_stream"
    commands = [([0xE1, 0], "42 4D E1 00 00 01 70"), ([0xE1, 1], "42 4D E1 00 01 01 71"), ([0xE2], "42 4D E2 00 00 01 71"),
                ([0xE4, 0], "42 4D E4 00 00 01 73"), ([0xE4, 1], "42 4D E4 00 01 01 74")]  # fmt: skip
    dirty = pms_frame(60, 90, 120, 40, 60, 80, 900, 400, 150, 40, 9, 2)
    return [
        *({"do": "pms5003_command", "with": given, "gives": hexed(line), "note": "fact sheet"} for given, line in commands),
        {"do": "pms5003_data", "with": [one, 1], "gives": [0, 800, 800, 140, 165, 180, 210], "note": "example 1"},
        {"do": "pms5003_data", "with": [two, 1], "gives": [0, 700, 700, 126, 147, 162, 189], "note": "example 2"},
        {"do": "pms5003_data", "with": [three, 0], "gives": [0, 500, 500, 92, 115, 123, 138], "note": "example 3"},
        {"do": "pms5003_data", "with": [dirty, 1], "gives": [4000, 6000, 8000, 500, 750, 860, 898], "note": "atmospheric"},
        {"do": "pms5003_data", "with": [dirty, 0], "gives": [6000, 9000, 12000, 500, 750, 860, 898], "note": "CF=1"},
        {"do": "pms5003_data", "with": [pms_frame(6, 5, 7, 1, 2, 3, 6, 5, 4, 3, 2, 1), 1],
         "gives": [100, 200, 300, 1, 2, 3, 5], "note": "the other columns are not judged"},
        {"do": "pms5003_data", "with": [pms_frame(6, 5, 7, 1, 2, 3, 6, 5, 4, 3, 2, 1), 0], "gives": None, "note": "PM2.5 < PM1"},
        {"do": "pms5003_data", "with": [pms_frame(1, 2, 3, 1, 3, 2, 6, 5, 4, 3, 2, 1), 1], "gives": None, "note": "PM10 < PM2.5"},
        {"do": "pms5003_data", "with": [pms_frame(1, 2, 3, 1, 2, 3, 6, 5, 4, 3, 1, 2), 1], "gives": None,
         "note": "more above 10 um than above 5"},
        {"do": "pms5003_data", "with": [dirty[:-2] + "02", 1], "raises": "chip reports a fault", "note": "error byte 2"},
        stream(do, [PMS_1 + PMS_2 + PMS_3], [one, two, three], 0, "no answer"),
        stream(do, bytewise(PMS_1), [one], 0, "no answer", "byte by byte"),
        stream(do, [PMS_PASSIVE + PMS_ASLEEP + PMS_1], ["04e100", "04e400", one], 0, "no answer", "answers before data"),
        stream(do, [damaged(PMS_1, 31, 0xC4) + PMS_2], [two], 2, "bad checksum", "wrong checksum"),
        stream(do, [damaged(PMS_1, 7, 0x09) + PMS_2], [two], 2, "bad checksum", "a bit flipped"),
        stream(do, [damaged(PMS_1, 9) + PMS_2], [two], 2, "bad checksum", "a byte lost: the next one is delivered"),
        stream(do, [damaged(PMS_1, 0) + PMS_2], [two], 1, "byte stream shifted", "the head lost"),
        stream(do, [damaged(PMS_1, 3, 0x24) + PMS_2], [two], 2, "byte stream shifted", "a PMS5003ST's length"),
        stream(do, [damaged(PMS_1, 2, 0x01) + PMS_2], [two], 2, "byte stream shifted", "absurd length"),
        stream(do, ["42 42 4D 42" + PMS_1], [one], 4, "byte stream shifted", "heads without a frame"),
        stream(do, [PMS_1[:60]], [], 0, "no answer", "the rest is still to come"),
    ]  # fmt: skip


# --- ADS1115 and its cell --------------------------------------------------------------------------------------------

B43F, A43F = 0, 1
TABLE = {
    B43F: [1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5],
    A43F: [0.8, 0.8, 1.0, 1.2, 1.6, 1.8, 1.9, 2.5, 3.6],
}


def ads1115_no2() -> list[dict]:
    cases = [
        {"do": "ads1115_config", "with": [4, 4096, 4], "gives": 0xC383, "note": "example 1: A0, 128 a second"},
        {"do": "ads1115_config", "with": [5, 4096, 4], "gives": 0xD383, "note": "example 1: A1"},
        {"do": "ads1115_config", "with": [6, 4096, 4], "gives": 0xE383, "note": "example 1: A2"},
        {"do": "ads1115_config", "with": [0, 2048, 4], "gives": 0x8583, "note": "example 1: A0-A1, as after reset"},
        {"do": "ads1115_config", "with": [4, 2048], "gives": 0xC503, "note": "A0, 8 a second"},
        {"do": "ads1115_config", "with": [4, 3300], "raises": "ValueError", "note": "no range of this chip"},
        {"do": "ads1115_microvolts", "with": ["4000", 4096], "gives": 2048000, "note": "example 2"},
        {"do": "ads1115_microvolts", "with": ["FFFF", 4096], "gives": -125, "note": "example 2"},
        {"do": "ads1115_microvolts", "with": ["0A3D", 2048], "gives": 163813, "note": "example 2: 0.1638125 V"},
        {"do": "ads1115_microvolts", "with": ["8000", 2048], "gives": None, "note": "example 2: the lower end"},
        {"do": "ads1115_microvolts", "with": ["7FFF", 2048], "gives": None, "note": "example 3: the upper end"},
        {"do": "ads1115_microvolts", "with": ["7FFE", 6144], "gives": 6143625, "note": "187.5 uV each"},
        {"do": "ads1115_microvolts", "with": ["8001", 1024], "gives": -1023969, "note": "31.25 uV each"},
    ]
    for cell, row in TABLE.items():
        for column, factor in enumerate(row):
            cases.append({"do": "no2_factor", "with": [cell, -3000 + 1000 * column], "gives": round(factor * 1000)})
        cases.append(
            {"do": "no2_factor", "with": [cell, -4000], "gives": round(row[0] * 1000), "note": "below the table"}
        )
        cases.append({"do": "no2_factor", "with": [cell, 6000], "gives": round(row[-1] * 1000), "note": "above it"})
    cases += [
        {"do": "no2_factor", "with": [B43F, 2500], "gives": 500, "note": "between columns"},
        {"do": "no2_factor", "with": [B43F, 4500], "gives": -650, "note": "between columns, below zero"},
        {"do": "no2_factor", "with": [A43F, -501], "gives": 1099, "note": "between columns, downwards"},
    ]
    worked = [(2000, 309, 20000, 13000, "39.48"), (2500, 309, 20000, 13000, "43.69"), (0, 309, 20000, 13000, "10.03")]
    for cdeg, sensitivity, we, ae, ppb in worked:
        exact = Fraction(we * 1000 - {2000: 600, 2500: 500, 0: 1300}[cdeg] * ae, sensitivity * 1000)
        assert f"{float(exact):.2f}" == ppb  # what the fact sheet says
        gives = math.floor(exact * 100 + Fraction(1, 2))
        cases.append(
            {"do": "no2_ppb", "with": [B43F, cdeg, sensitivity, we, ae], "gives": gives, "note": f"worked: {ppb} ppb"}
        )
    cases += [
        {
            "do": "no2_ppb",
            "with": [B43F, 2000, -309, -20000, -13000],
            "gives": 3948,
            "note": "a card with a negative sign",
        },
        {"do": "no2_ppb", "with": [B43F, 2000, 309, -20000, 0], "gives": -6472, "note": "below zero: -64.725 ppb"},
        {"do": "no2_ppb", "with": [B43F, 2000, 309, 0, 0], "gives": 0},
        {
            "do": "no2_ppb",
            "with": [A43F, 5000, 200, 1500000, -200000],
            "gives": 1110000,
            "note": "far beyond 31 bits in between",
        },
    ]
    return cases
