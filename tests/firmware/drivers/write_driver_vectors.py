"""Writes tests/vectors/drivers/*.json.

Bytes and values come from the fact sheets and datasheets (each case says which); what an integer rounds to is worked
out here with Python's fractions, never with the drivers themselves.
"""

import json
import math
import struct
from fractions import Fraction
from pathlib import Path

from tests.firmware.drivers import air_vectors, lane_vectors, radio_vectors

FOLDER = Path(__file__).parents[2] / "vectors" / "drivers"

# --- Sensirion ---------------------------------------------------------------------------------------------------

CAPTURE_1 = (
    "40A78320 411777BB 414A5F83 41548DDD 41D2833E 4213FC85 42261722 4229A4D9 422A29BC 3F55B7E7"  # UART, unstuffed
)
CAPTURE_2 = "40B9C67F 41036C8B 411E4AE2 4123AA92 420C5B7C 422EFDBA 4238CAB3 423AB2C9 423AFDE9 3F4A1025"
I2C_60 = (
    "3F 80 D0 00 00 81 40 20 8E 00 00 81 40 70 F0 00 00 81 40 90 31 00 00 81 40 A8 4D 00 00 81 41 20 7A 00 00 81 "
    "41 48 78 00 00 81 41 4C BC 00 00 81 41 50 82 00 00 81 3F 00 AA 00 00 81"
)


def floats_of(words: str) -> list[float]:
    return [struct.unpack(">f", bytes.fromhex(word))[0] for word in words.split()]


def rounded(value: float, scale: int) -> int:
    return math.floor(Fraction(value) * scale + Fraction(1, 2))


def pm_values(values: list[float]) -> list[int]:
    return [rounded(value, 10000 if at == 9 else 100) for at, value in enumerate(values)]


def slow_crc8(data: bytes) -> int:
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def i2c_answer(payload: bytes) -> str:
    return b"".join(
        payload[at : at + 2] + bytes([slow_crc8(payload[at : at + 2])]) for at in range(0, len(payload), 2)
    ).hex()


def floats(*values: float) -> bytes:
    return b"".join(struct.pack(">f", value) for value in values)


def sensirion() -> list[dict]:
    cases = [
        {"do": "crc8", "with": [data], "gives": int(crc, 16), "note": "fact sheet: shared primitives"}
        for data, crc in (
            ("BEEF", "92"), ("", "FF"), ("0000", "81"), ("FFFF", "AC"), ("7FFF", "8F"), ("DEAD", "98"), ("0001", "B0"),
        )
    ]  # fmt: skip
    cases += [
        {"do": "with_crc", "with": [0x0010, "0300"], "gives": "00100300ac", "note": "SPS30 worked example 1, float"},
        {"do": "with_crc", "with": [0x0010, "0500"], "gives": "00100500f6", "note": "SPS30 worked example 1, uint16"},
        {"do": "with_crc", "with": [0x8004, "00093A80"], "gives": "80040009093a80a7", "note": "SPS30 worked example 2"},
        {"do": "with_crc", "with": [0x8004, "00000000"], "gives": "8004000081000081", "note": "SPS30 worked example 2"},
        {"do": "with_crc", "with": [0x0104], "gives": "0104", "note": "a command alone has no checksum"},
        {"do": "words", "with": ["BEEF92"], "gives": "beef"},
        {"do": "words", "with": ["BEEF93"], "gives": None, "note": "wrong checksum"},
        {"do": "words", "with": ["BEEF92 0001B1"], "gives": None, "note": "wrong checksum of the second word"},
        {"do": "words", "with": ["BEEF"], "gives": None, "note": "no whole words"},
        {"do": "words", "with": [""], "gives": ""},
    ]
    for value, scale in ((1.0, 100), (0.005, 100), (0.0049, 100), (2.5, 10000), (-2.5, 100), (16777216.0, 1), (1e-30, 100),
                         (0.0, 100), (655.35, 100), (1e9, 100)):  # fmt: skip
        single = struct.unpack(">f", struct.pack(">f", value))[0]
        exact = Fraction(abs(single)) * scale + Fraction(1, 2)
        gives = math.floor(exact) * (-1 if single < 0 else 1)
        cases.append(
            {"do": "scaled_float", "with": [struct.pack(">f", value).hex(), scale], "gives": gives, "note": f"{value}"}
        )
    for word in ("7F800000", "FF800000", "7FC00000", "7F000000"):
        cases.append(
            {"do": "scaled_float", "with": [word, 100], "gives": None, "note": "infinite, no number, or absurd"}
        )
    return cases


def sps30() -> list[dict]:
    good = bytes.fromhex(I2C_60.replace(" ", ""))
    flipped = bytearray(good)
    flipped[31] ^= 0x10
    cases = [
        {"do": "sps30_i2c", "with": [I2C_60, True], "note": "worked example 6",
         "gives": [100, 250, 375, 450, 525, 1000, 1250, 1275, 1300, 5000]},
        {"do": "sps30_i2c", "with": [flipped.hex(), True], "gives": None, "note": "one bit flipped"},
        {"do": "sps30_i2c", "with": [good[:-1].hex(), True], "gives": None, "note": "a byte short"},
        {"do": "sps30_floats", "with": [CAPTURE_1], "gives": pm_values(floats_of(CAPTURE_1)), "note": "worked example 3"},
        {"do": "sps30_floats", "with": [CAPTURE_2], "gives": pm_values(floats_of(CAPTURE_2)), "note": "worked example 4"},
        {"do": "sps30_floats", "with": [bytes(40).hex()], "gives": [0] * 10, "note": "perfectly clean air"},
        {"do": "sps30_floats", "with": [floats(5, 4, 6, 7, 1, 2, 3, 4, 5, 0.5).hex()], "gives": None, "note": "PM2.5 < PM1"},
        {"do": "sps30_floats", "with": [floats(1, 2, 3, 4, 1, 2, 3, 4, 3.9, 0.5).hex()], "gives": None, "note": "NC10 < NC4"},
        {"do": "sps30_floats", "with": [floats(-1, 2, 3, 4, 1, 2, 3, 4, 5, 0.5).hex()], "gives": None, "note": "negative"},
        {"do": "sps30_floats", "with": [floats(1, 2, 3, math.inf, 1, 2, 3, 4, 5, 0.5).hex()], "gives": None, "note": "infinite"},
        {"do": "sps30_i2c", "with": [i2c_answer(struct.pack(">10H", 5, 9, 12, 13, 26, 36, 41, 42, 42, 834)), False],
         "gives": [500, 900, 1200, 1300, 2600, 3600, 4100, 4200, 4200, 8340], "note": "uint16 mode: size in nm"},
        {"do": "sps30_i2c", "with": [i2c_answer(struct.pack(">10H", 9, 5, 12, 13, 26, 36, 41, 42, 42, 834)), False],
         "gives": None, "note": "uint16 mode, impossible order"},
    ]  # fmt: skip
    written = [5.2348, 9.4667, 12.6483, 13.2846, 26.3141, 36.9966, 41.5226, 42.4110, 42.5408, 0.8348]
    assert [round(value, 4) for value in floats_of(CAPTURE_1)] == written  # what the fact sheet says
    return cases


# --- BME280 ------------------------------------------------------------------------------------------------------

CAL_A = "70 6B 43 67 18 FC 7D 8E 43 D6 D0 0B 27 0B 8C 00 F9 FF 8C 3C F8 C6 70 17 00 4B 6A 01 00 13 2B 03 1E"
CAL_B = "45 6F 6F 68 32 00 82 8F 75 D6 D0 0B 44 1B FC FF F9 FF AC 26 0A D8 BD 10 00 4B 72 01 00 13 21 03 1E"
NUMBERS_A = [27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000, 75, 362, 0, 315, 50, 30]
NUMBERS_B = [28485, 26735, 50, 36738, -10635, 3024, 6980, -4, -7, 9900, -10230, 4285, 75, 370, 0, 305, 50, 30]


def bme280() -> list[dict]:
    negative = bytes.fromhex(CAL_A.replace(" ", ""))[:29] + bytes([0xF3, 0x2B, 0xFE, 0xE2])  # E4 E5 E6 E7
    return [
        {"do": "bme280_calibration", "with": [CAL_A], "gives": NUMBERS_A, "note": "calibration A"},
        {"do": "bme280_calibration", "with": [CAL_B], "gives": NUMBERS_B, "note": "calibration B"},
        {"do": "bme280_calibration", "with": [negative.hex()], "note": "signs of H4, H5, H6: -13*16+11, -2*16+2, -30",
         "gives": NUMBERS_A[:15] + [-197, -30, -30]},
        {"do": "bme280_calibration", "with": ["00" * 33], "gives": None, "note": "bus fault"},
        {"do": "bme280_calibration", "with": ["FF" * 33], "gives": None, "note": "bus fault"},
        {"do": "bme280_data", "with": ["65 5A C0 7E ED 00 82 CA"], "gives": [415148, 519888, 33482], "note": "example 1"},
        {"do": "bme280_data", "with": ["80 00 00 80 00 00 80 00"], "gives": [None, None, None], "note": "all skipped"},
        {"do": "bme280", "with": [CAL_A, "65 5A C0 7E ED 00 82 CA"], "gives": [25080, 7360, 100653], "note": "example 1"},
        {"do": "bme280", "with": [CAL_A, "65 5A C0 7E ED 00 6D 60"], "gives": [25080, 4314, 100653], "note": "example 2"},
        {"do": "bme280", "with": [CAL_A, "5C C6 00 73 F7 80 9C 40"], "gives": [11000, 10000, 104426],
         "note": "example 3: 10.996 degC, RH clipped at 100"},
        {"do": "bme280", "with": [CAL_B, "50 91 00 83 D6 00 75 30"], "gives": [26850, 5918, 103486],
         "note": "example 4: 59.189 % in double, the integer form is 0.006 lower"},
        {"do": "bme280_raw", "with": [CAL_A, "65 5A C0 7E ED 00 6D 60"], "gives": [128422, 2508, 25767233, 44177],
         "note": "example 2: humidity 44177/1024; the pressure of example 1 is 100653.25390625 Pa"},
        {"do": "bme280", "with": [CAL_A, "80 00 00 7E ED 00 82 CA"], "raises": "stale", "note": "pressure skipped"},
        {"do": "bme280", "with": [CAL_A, "65 5A C0 7E ED 00 80 00"], "raises": "stale", "note": "humidity skipped"},
        {"do": "bme280", "with": [CAL_A, "65 5A C0 FF FF F0 82 CA"], "raises": "out of range", "note": "above 85 degC"},
        {"do": "bme280", "with": [CAL_A, "FF FF F0 7E ED 00 82 CA"], "raises": "out of range", "note": "below 300 hPa"},
    ]  # fmt: skip


# --- LD2451 ------------------------------------------------------------------------------------------------------

REPORT_3 = "F4F3F2F1 1100 03 01 8A28003C15 8A1E013C0F 765F003C0F F8F7F6F5"
IDLE = "F4F3F2F1 0000 F8F7F6F5"
REPORT_1 = "F4F3F2F1 0700 01 01 8032 01 310C F8F7F6F5"
TARGETS_3 = [[10, 40, 0, 60, 21], [10, 30, 1, 60, 15], [-10, 95, 0, 60, 15]]
TARGET_1 = [[0, 50, 1, 49, 12]]
ENABLE_ACK = "FDFCFBFA 0800 FF01 0000 0100 0000 04030201"


def ld2451() -> list[dict]:
    clean = [0, 0, 0, 0]
    bytewise = [f"{byte:02x}" for byte in bytes.fromhex(REPORT_3.replace(" ", ""))]
    return [
        {"do": "ld2451_report", "with": ["03018A28003C158A1E013C0F765F003C0F"], "gives": TARGETS_3, "note": "example 1"},
        {"do": "ld2451_report", "with": [""], "gives": [], "note": "example 2"},
        {"do": "ld2451_report", "with": ["0101803201310C"], "gives": TARGET_1, "note": "example 3"},
        {"do": "ld2451_report", "with": ["0201803201310C"], "gives": None, "note": "count does not fit the length"},
        {"do": "ld2451_report", "with": ["0101806501310C"], "gives": None, "note": "101 m"},
        {"do": "ld2451_report", "with": ["0101803202310C"], "gives": None, "note": "direction 2"},
        {"do": "ld2451_report", "with": ["0101803201FF0C"], "gives": None, "note": "255 km/h"},
        {"do": "ld2451_report", "with": ["0102803201310C"], "gives": None, "note": "alarm 2"},
        {"do": "ld2451_report", "with": ["01"], "gives": None, "note": "a byte alone"},
        {"do": "ld2451_command", "with": [0xFF, "0100"], "gives": "fdfcfbfa0400ff00010004030201", "note": "enable"},
        {"do": "ld2451_command", "with": [0xFE], "gives": "fdfcfbfa0200fe0004030201", "note": "end"},
        {"do": "ld2451_command", "with": [0x02, "64010502"], "gives": "fdfcfbfa060002006401050204030201", "note": "detection"},
        {"do": "ld2451_command", "with": [0x03, "02080000"], "gives": "fdfcfbfa060003000208000004030201", "note": "sensitivity"},
        {"do": "ld2451_command", "with": [0xA1, "0700"], "gives": "fdfcfbfa0400a100070004030201", "note": "baud rate"},
        {"do": "ld2451_ack", "with": ["FF01 0000 01000000"], "gives": [0xFF, 0, "01000000"]},
        {"do": "ld2451_ack", "with": ["1201 0000 64010502"], "gives": [0x12, 0, "64010502"]},
        {"do": "ld2451_ack", "with": ["A001 0000 5124 0101 10150524"], "gives": [0xA0, 0, "5124010110150524"]},
        {"do": "ld2451_ack", "with": ["0201 0100"], "gives": [2, 1, ""], "note": "refused"},
        {"do": "ld2451_ack", "with": ["FF00 0000"], "gives": None, "note": "a command, no answer"},
        {"do": "ld2451_stream", "with": [[REPORT_3]], "gives": [[["report", TARGETS_3]], clean]},
        {"do": "ld2451_stream", "with": [bytewise], "gives": [[["report", TARGETS_3]], clean], "note": "byte by byte"},
        {"do": "ld2451_stream", "with": [[IDLE + IDLE]], "gives": [[["report", []], ["report", []]], clean]},
        {"do": "ld2451_stream", "with": [[ENABLE_ACK + IDLE]],
         "gives": [[["ack", [0xFF, 0, "01000000"]], ["report", []]], clean]},
        {"do": "ld2451_stream", "with": [["F4F3F2F1 0701 01" + REPORT_1]], "gives": [[["report", TARGET_1]], [6, 1, 0, 0]],
         "note": "impossible length"},
        {"do": "ld2451_stream", "with": [["F4F3F2F1 0700 0101 8032 310C F8F7F6F5" + REPORT_1]],
         "gives": [[["report", TARGET_1]], [15, 0, 1, 0]], "note": "a byte lost: the next frame is delivered"},
        {"do": "ld2451_stream", "with": [["F4F3F2F1 0700 0101 8065 01310C F8F7F6F5" + REPORT_1]],
         "gives": [[["report", TARGET_1]], [0, 0, 0, 1]], "note": "101 m"},
        {"do": "ld2451_stream", "with": [["00FFF4F3" + REPORT_1]], "gives": [[["report", TARGET_1]], [4, 0, 0, 0]]},
        {"do": "ld2451_stream", "with": [["F4F3F2F1 0C00 0201 F8F7F6F501 F4F3F2F100 F8F7F6F5"]],
         "gives": [[], [0, 0, 0, 1]], "note": "footer and header patterns inside: by length it is one frame (and refused)"},
    ]  # fmt: skip


# --- DNMS --------------------------------------------------------------------------------------------------------

LEVELS = "42 52 CD 00 00 81 42 25 A2 00 00 81 42 89 23 80 00 A2"  # worked example 1
NAME = b"DNMS Version 5.9.1"


def dnms() -> list[dict]:
    def levels(*values: float) -> str:
        return floats(*values).hex()

    return [
        {"do": "dnms_i2c", "with": [LEVELS], "gives": [5250, 4125, 6875], "note": "worked example 1"},
        {"do": "dnms_i2c", "with": [LEVELS.replace("CD", "CC")], "gives": None, "note": "worked example 4: bad checksum"},
        {"do": "dnms_i2c", "with": [LEVELS[:-2] + "A3"], "gives": None, "note": "its last checksum"},
        {"do": "dnms_i2c", "with": [LEVELS[3:] + " FF"], "gives": None, "note": "a byte lost"},
        {"do": "dnms_levels", "with": ["00" * 12], "raises": "stale", "note": "handed out before"},
        {"do": "dnms_levels", "with": [levels(52.5, 52.5, 52.5)], "gives": [5250, 5250, 5250]},
        {"do": "dnms_levels", "with": [levels(119.994, 30.006, 139.99)], "gives": [11999, 3001, 13999], "note": "rounded"},
        {"do": "dnms_levels", "with": [levels(math.nan, 41.25, 68.75)], "raises": "out of range"},
        {"do": "dnms_levels", "with": [levels(math.inf, 41.25, math.inf)], "raises": "out of range"},
        {"do": "dnms_levels", "with": [levels(-3.0, -5.0, 68.75)], "raises": "out of range", "note": "negative"},
        {"do": "dnms_levels", "with": [levels(52.5, 0.0, 68.75)], "raises": "out of range", "note": "one of them zero"},
        {"do": "dnms_levels", "with": [levels(52.5, 53.0, 68.75)], "raises": "out of range", "note": "lowest above LAeq"},
        {"do": "dnms_levels", "with": [levels(70.0, 41.25, 68.75)], "raises": "out of range", "note": "highest below LAeq"},
        {"do": "dnms_levels", "with": [levels(52.5, 41.25, 141.0)], "raises": "out of range", "note": "louder than any microphone"},
        {"do": "dnms_bands", "with": [levels(42.5, 0.0, -12.345, 120.006)], "gives": [4250, 0, -1235, 12001],
         "note": "a band may lie below 0 dB"},
        {"do": "dnms_bands", "with": [levels(42.5, math.nan)], "raises": "out of range"},
        {"do": "dnms_bands", "with": [levels(42.5, -math.inf)], "raises": "out of range", "note": "level of nothing"},
        {"do": "dnms_bands", "with": [levels(42.5, 150.0)], "raises": "out of range"},
        {"do": "dnms_version", "with": [NAME.hex()], "gives": NAME.hex()},
        {"do": "dnms_version", "with": [b"DNMS 4.2".ljust(18, b"\0").hex()], "gives": b"DNMS 4.2".hex(), "note": "a shorter one"},
        {"do": "dnms_version", "with": [b"SPS30".ljust(18, b"\0").hex()], "raises": "wrong chip"},
        {"do": "dnms_version", "with": [b"DNMS\xff".ljust(18, b"\xff").hex()], "raises": "wrong chip", "note": "no text"},
        {"do": "dnms_version", "with": ["00" * 18], "raises": "wrong chip"},
    ]  # fmt: skip


# --- I2S microphones ---------------------------------------------------------------------------------------------

PEAKS = "004A6A06 00B695F9"  # +-420426, 94 dB
PEAKS_18 = "00406A06 008095F9"  # the same of 18 bits: +420416, -420480
LATE_18 = "00203503 00C0CA7C"  # one clock late, behind a zero
EARLY_18 = "0080D40C 00002BF3"  # one clock early: the sign is gone
ENDS = "00000080 FFFFFF7F FFFFFFFF 00000040 FFFFFFBF"  # where signs and carries are


def i2s_words() -> list[dict]:
    return [
        {"do": "i2s_samples", "with": [PEAKS, None, 0], "gives": [420426, -420426], "note": "worked bytes"},
        {"do": "i2s_samples", "with": ["00010000 00FFFFFF 00A08601", None, 0], "gives": [1, -1, 100000], "note": "worked bytes"},
        {"do": "i2s_samples", "with": ["004A6A06 00000000 00B695F9 00000000", 0, 0], "gives": [420426, -420426],
         "note": "both slots, the left one"},
        {"do": "i2s_samples", "with": ["00000000 004A6A06 00000000 00B695F9", 1, 0], "gives": [420426, -420426],
         "note": "both slots, the right one"},
        {"do": "i2s_samples", "with": ["004A6A06 00000000 00B695F9 00000000", 1, 0], "gives": [0, 0], "note": "swapped channel"},
        {"do": "i2s_samples", "with": [PEAKS_18, None, 0], "gives": [420416, -420480], "note": "SPH0645 in step"},
        {"do": "i2s_samples", "with": [LATE_18, None, 1], "gives": [420416, -420480], "note": "SPH0645 late"},
        {"do": "i2s_samples", "with": ["00203583 00C0CAFC", None, 1], "gives": [420416, -420480], "note": "late behind a one"},
        {"do": "i2s_samples", "with": [EARLY_18, None, -1], "gives": [420416, -420480], "note": "SPH0645 early"},
        {"do": "i2s_samples", "with": ["00000000 00203503 00000000 00C0CA7C", 1, 1], "gives": [420416, -420480],
         "note": "SPH0645 late in the right slot"},
        {"do": "i2s_samples", "with": ["01000080 0080D40C FFFFFF7F 00002BF3", 1, -1], "gives": [420416, -420480],
         "note": "SPH0645 early in the right slot, whatever the left one has"},
        {"do": "i2s_samples", "with": ["0080D40C 01000080 00002BF3 FFFFFF7F", 0, -1], "gives": [420416, -420480],
         "note": "SPH0645 early, the left one of both slots"},
        {"do": "i2s_samples", "with": [ENDS, None, 1], "gives": [0, -1, -1, -8388608, 8388607], "note": "ends, late"},
        {"do": "i2s_samples", "with": [ENDS, None, -1], "gives": [-4194304, 4194303, -1, 2097152, -2097153],
         "note": "ends, early"},
        {"do": "i2s_look", "with": [PEAKS], "gives": [0xFFFF, 0xFE00, 0]},
        {"do": "i2s_look", "with": ["00000000 00000000"], "gives": [0, 0, 0], "note": "pulled down, or the wrong slot"},
        {"do": "i2s_look", "with": ["FFFFFFFF FFFFFFFF"], "gives": [0xFFFF, 0xFFFF, 0], "note": "hangs high"},
        {"do": "i2s_look", "with": ["FF4A6A06 00B695F9"], "gives": [0xFFFF, 0xFEFF, 0], "note": "keeps its last state"},
        {"do": "i2s_look", "with": ["4A6A0600 B695F900"], "gives": [0x00FF, 0xFFFE, 2], "note": "lost a byte"},
        {"do": "i2s_look", "with": ["124A6A06 34B695F9 00010000"], "gives": [0xFFFF, 0xFF36, 2], "note": "open line"},
        {"do": "i2s_width", "with": [0xFFFF, 0xFE00], "gives": 23},
        {"do": "i2s_width", "with": [0xFFFF, 0xFFFF], "gives": 24, "note": "what is below 24 bits does not count"},
        {"do": "i2s_width", "with": [0xFFFF, 0xC000], "gives": 18, "note": "SPH0645 in step"},
        {"do": "i2s_width", "with": [0x7FFF, 0xE000], "gives": 19, "note": "SPH0645 late"},
        {"do": "i2s_width", "with": [0xFFFF, 0x8000], "gives": 17, "note": "SPH0645 early"},
        {"do": "i2s_width", "with": [0x8000, 0], "gives": 1},
        {"do": "i2s_width", "with": [0, 0x00FF], "gives": 0},
        {"do": "i2s_width", "with": [0, 0], "gives": 0, "note": "silence"},
        *[{"do": "i2s_lateness", "with": [found, bits], "gives": late}
          for found, bits, late in ((18, 18, 0), (19, 18, 1), (17, 18, -1), (24, 18, 0), (16, 18, 0), (23, 24, 0), (24, 24, 0))],
    ]  # fmt: skip


# --- Sensirion's other air sensors -------------------------------------------------------------------------------


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def flipped(raw: str, at: int) -> str:
    """One bit of an answer is wrong."""
    found = bytearray.fromhex(raw)
    found[at] ^= 4
    return found.hex()


def ticks(*values: int) -> str:
    return i2c_answer(b"".join((value & 0xFFFF).to_bytes(2, "big") for value in values))


def sen_values(pm: list[float], humidity: float, celsius: float, *more: float | None) -> list[int | None]:
    """As a fact sheet writes them -> as a driver gives them; `more`: indices, then CO2."""
    scales = (100, 100, 10)
    return (
        [round(value * 100) for value in pm]
        + [round(humidity * 100), round(celsius * 1000)]
        + [None if value is None else round(value * scale) for value, scale in zip(more, scales, strict=False)]
    )


SEN5X_2 = "00 2A DC 00 3A 9F 00 42 DE 00 47 2B 11 B9 2C 12 68 34 03 E8 D4 00 0A 5A"
SEN5X_4 = "00 07 16 00 0B 6B 00 0D CD 00 0E 9E 20 3A 43 FB 2E 1A 7F FF 8F 7F FF 8F"
SEN66_1 = "00 21 36 00 2F 29 00 37 D3 00 3C 39 10 1B 46 11 26 3B 03 F2 4C 00 0A 5A 02 64 27"
IDLE_8 = "FF FF AC " * 4 + "7F FF 8F " * 4


def sen5x() -> list[dict]:
    def case(raw: str, gives: object, note: str) -> dict:
        return {"do": "sen5x", "with": [raw.strip()], "gives": gives, "note": note}

    return [
        case(SEN5X_2, sen_values([4.2, 5.8, 6.6, 7.1], 45.37, 23.56, 100.0, 1.0), "worked example 2"),
        case(IDLE_8, [None] * 8, "worked example 3: not measuring"),
        case(SEN5X_4, sen_values([0.7, 1.1, 1.3, 1.4], 82.50, -6.17, None, None), "worked example 4: SEN54 in frost"),
        case(ticks(42, 42, 42, 42, -1337, -4242, 42, 42), sen_values([4.2] * 4, -13.37, -21.21, 4.2, 4.2),
             "worked example 1: the vendor's type tests"),
        case(ticks(42, 42, 0xFFFF, 42, 4537, 4712, 0x7FFF, 10),
             [420, 420, None, 420, 4537, 23560, None, 100], "single values unknown"),
        case(ticks(42, 58, 66, 71, 4537, 4712, 0, 0), [420, 580, 660, 710, 4537, 23560, None, None],
             "indices below 1: not yet"),
        case(ticks(0, 0, 0, 0, 0, 0, 10, 5000), [0, 0, 0, 0, 0, 0, 100, 50000], "perfectly clean, and an index at its end"),
        case(ticks(65534, 65534, 65534, 65534, 32766, -32768, 10, 10),
             [655340] * 4 + [32766, -163840, 100, 100], "ends of the types: the channel's range refuses them"),
        case(ticks(42, 41, 66, 71, 4537, 4712, 1000, 10), None, "PM2.5 < PM1"),
        case(ticks(42, 58, 0xFFFF, 57, 4537, 4712, 1000, 10), None, "PM10 < PM2.5, PM4 unknown"),
        case(flipped(SEN5X_2, 0), "bad checksum", "a bit of the first byte"),
        case(flipped(SEN5X_2, 23), "bad checksum", "a bit of the last checksum"),
        case(SEN5X_2[3:] + " FF", "bad checksum", "shifted by a byte"),
        case(SEN5X_2[:-3], "bad checksum", "a byte short"),
        {"do": "sen_text", "with": [b"SEN55".ljust(32, b"\0").hex()], "gives": "SEN55"},
        {"do": "sen_text", "with": ["00" * 32], "gives": ""},
        {"do": "sen_text", "with": ["53 45 4E 07"], "raises": "wrong chip"},
    ]  # fmt: skip


def sen66() -> list[dict]:
    def case(raw: str, gives: object, note: str) -> dict:
        return {"do": "sen66", "with": [raw.strip()], "gives": gives, "note": note}

    return [
        case(SEN66_1, sen_values([3.3, 4.7, 5.5, 6.0], 41.23, 21.95, 101.0, 1.0, 612), "worked example 1"),
        case(IDLE_8 + "FF FF AC", [None] * 9, "worked example 2: nothing measured"),
        case(ticks(33, 47, 55, 60, 4123, 4390, 1010, 10, 0xFFFF),
             [330, 470, 550, 600, 4123, 21950, 10100, 100, None], "CO2 unknown, the first seconds"),
        case(ticks(33, 47, 46, 60, 4123, 4390, 1010, 10, 612), None, "PM4 < PM2.5"),
        case(flipped(SEN66_1, 25), "bad checksum", "a bit of CO2"),
        case(SEN66_1[3:] + " FF", "bad checksum", "shifted by a byte"),
        {"do": "with_crc", "with": [0x0021], "gives": "0021", "note": "worked example 4"},
        {"do": "with_crc", "with": [0x6720, "03F5"], "gives": "672003f5db", "note": "worked example 4"},
    ]  # fmt: skip


def scd41_values(co2: int, temperature: int, humidity: int) -> list[int]:
    return [
        co2 * 10,
        half_up(Fraction(175000 * temperature, 65535)) - 45000,
        half_up(Fraction(10000 * humidity, 65535)),
    ]


def scd41() -> list[dict]:
    example = "01 F4 33 66 67 A2 5E B9 3C"
    cases = [
        {"do": "scd41", "with": [example], "gives": [5000, 25003, 3700], "note": "worked example 1"},
        {"do": "scd41", "with": [flipped(example, 4)], "gives": "bad checksum"},
        {"do": "scd41", "with": [example[3:] + " FF"], "gives": "bad checksum", "note": "shifted by a byte"},
        {"do": "scd41", "with": [ticks(0, 0x6667, 0x5EB9)], "gives": None, "note": "CO2 0: just after power-up"},
        {"do": "scd41", "with": [ticks(40001, 0x6667, 0x5EB9)], "gives": None, "note": "beyond 40000 ppm"},
        {
            "do": "scd41",
            "with": [ticks(0xFFFF, 0xFFFF, 0xFFFF)],
            "gives": None,
            "note": "only ones, with right checksums",
        },
    ]
    for words in (
        (1, 0, 0),
        (40000, 65535, 65535),
        (400, 13107, 6553),
        (432, 26214, 39321),
        (800, 24903, 32768),
        (433, 1, 3),
    ):
        cases.append({"do": "scd41", "with": [ticks(*words)], "gives": scd41_values(*words), "note": "by the formula"})
    assert scd41_values(0x01F4, 0x6667, 0x5EB9) == [5000, 25003, 3700]
    for arguments, command, raw in (
        ("07E6", 0x241D, "241D07E648"), ("03DB", 0xE000, "E00003DB42"), ("079E", 0x2427, "2427079E09"),
        ("01E0", 0x362F, "362F01E0B4"), ("0001", 0x2416, "24160001B0"), ("0000", 0x2416, "2416000081"),
    ):  # fmt: skip
        cases.append({"do": "with_crc", "with": [command, arguments], "gives": raw.lower(), "note": "worked example 2"})
    cases += [
        {"do": "scd41_offset", "with": [540], "gives": "07e6", "note": "worked example 2: 5.4 degC"},
        {"do": "scd41_offset", "with": [0], "gives": "0000"},
        {"do": "scd41_offset", "with": [400], "gives": "05da", "note": "what the chip comes with"},
        {"do": "words", "with": ["80 00 A2"], "gives": "8000", "note": "worked example 4: not ready"},
        {"do": "words", "with": ["80 06 04"], "gives": "8006", "note": "worked example 4: ready"},
    ]
    return cases


def sht4x() -> list[dict]:
    example = "66 66 93 80 00 A2"
    cases = [
        {"do": "sht4x", "with": [example], "gives": [25000, 5650], "note": "worked example 1: 56.501 %"},
        {"do": "sht4x", "with": ["5D 17 F2 9A E1 D2"], "gives": [18637, 6963], "note": "worked example 2: 69.626 %"},
        {
            "do": "sht4x",
            "with": ["FF FF AC FF FF AC"],
            "gives": [130000, 10000],
            "note": "worked example 3: 119 %, clipped",
        },
        {"do": "sht4x", "with": ["00 00 81 00 00 81"], "gives": [-45000, 0], "note": "worked example 3: -6 %, clipped"},
        {"do": "sht4x", "with": ["BE EF 92 BE EF 92"], "gives": [85523, 8723], "note": "worked example 4"},
        {"do": "sht4x", "with": ["BE EF 93 BE EF 92"], "gives": "bad checksum", "note": "worked example 5"},
        {"do": "sht4x", "with": ["BE EF 92 BE EF 93"], "gives": "bad checksum"},
        {"do": "sht4x", "with": [example[3:] + " FF"], "gives": "bad checksum", "note": "shifted by a byte"},
    ]
    for words in ((1, 3146), (24903, 32768), (13107, 55574), (60000, 55575), (40000, 3145)):
        temperature = half_up(Fraction(175000 * words[0], 65535)) - 45000
        percent = half_up(Fraction(12500 * words[1], 65535)) - 600
        cases.append({"do": "sht4x", "with": [ticks(*words)], "gives": [temperature, min(max(percent, 0), 10000)],
                      "note": "by the formula"})  # fmt: skip
    return cases


# --- levels ------------------------------------------------------------------------------------------------------


def level() -> list[dict]:
    cases = []
    for numerator, denominator in ((1, 1), (2, 1), (10, 1), (1, 10), (3, 7), (10**15, 47), (2**53, 48000), (1, 2**40)):
        gives = math.floor(1000 * math.log10(Fraction(numerator, denominator)) + 0.5)
        cases.append({"do": "centi_db", "with": [numerator, denominator], "gives": gives})
    cases.append({"do": "centi_db", "with": [0, 1], "raises": "ValueError"})
    cases.append({"do": "centi_db", "with": [1, 0], "raises": "ValueError"})
    cases.append({"do": "energy", "with": [0], "gives": 1 << 42})
    return cases


# --- windows -----------------------------------------------------------------------------------------------------


def window(note: str, items: list, steps: list, gives: list, window_ms: int = 60000, min_count: int = 3) -> dict:
    return {"do": "window", "with": [items, window_ms, min_count, steps], "gives": gives, "note": note}


def minute(channel: str, values: list[int], instance: int = 0) -> list:
    span = 60000 // len(values)
    return [["add", channel, instance, value, span] for value in values]


def aggregate() -> list[dict]:
    pm, hot, loud, top = ["pm2_5", 0], ["temperature", 1], ["laeq", 0], ["lafmax", 0]
    cars, mean, v85 = ["vehicles_approach", 0], ["speed_mean_approach", 0], ["speed_v85_approach", 0]
    speeds = [["add", name, 0, value, 1000] for value in (4000, 5000, 6300) for name in (mean[0], v85[0])]
    counts = minute("vehicles_approach", [1] * 3 + [0] * 57)
    return [
        window("one mean", [pm], minute("pm2_5", [1234] * 60), [[123], 100, None, None]),
        window("half a unit goes up", [pm], minute("pm2_5", [1235]), [[124], 100, None, None]),
        window("a mean of readings rounds once", [pm], minute("pm2_5", [1234, 1235, 1236]), [[124], 100, None, None]),
        window("below zero", [hot], minute("temperature", [-5, -14], 1), [[-1], 100, None, None]),
        window("weights are covered times", [pm], [["add", *pm, 1000, 45000], ["add", *pm, 2000, 15000]],
               [[125], 100, None, None]),
        window("energies, never levels", [loud], minute("laeq", [6000, 6000, 7000]), [[660], 100, None, None]),
        window("fact sheet: 59 x 50 and 80", [loud], minute("laeq", [5000] * 59 + [8000]), [[625], 100, None, None]),
        window("highest", [top], minute("lafmax", [6000, 7123, 5000]), [[712], 100, None, None]),
        window("lowest", [["lafmin", 0]], minute("lafmin", [6000, 7123, 5000]), [[500], 100, None, None]),
        window("lowest short level", [["laeq_min", 0]], minute("laeq_min", [6000, 7123, 5000]), [[500], 100, None, None]),
        window("highest short level", [["laeq_max", 0]], minute("laeq_max", [6000, 7123, 5000]), [[712], 100, None, None]),
        window("lowest of falling and rising", [["lafmin", 0]], minute("lafmin", [3000, 7123]), [[300], 100, None, None]),
        window("no vehicle is a count", [cars, mean, v85], minute("vehicles_approach", [0] * 60),
               [[0, None, None], 100, None, None]),
        window("three vehicles", [cars, mean, v85], counts + speeds, [[3, 510, 630], 100, None, None]),
        window("two vehicles have no speed", [cars, mean, v85], minute("vehicles_approach", [2]) + speeds[:4],
               [[2, None, None], 100, None, None]),
        window("the setting asks for five", [cars, mean, v85], counts + speeds, [[3, None, None], 100, None, None],
               min_count=5),
        window("a setting below the table's rule does not help", [cars, mean], minute("vehicles_approach", [2]) + speeds[:4],
               [[2, None], 100, None, None], min_count=1),
        window("too short for counts", [cars], [["add", *cars, 1, 1000]], [[None], 0, None, "not sampled"], 4000),
        window("edge of a window", [pm], [["add", *pm, 100, 1000]] * 59, [[10], 100, None, None]),
        window("a second missing beyond the edge", [pm], [["add", *pm, 100, 1000]] * 58, [[10], 96, None, None]),
        window("a refused second is no edge", [pm], [["add", *pm, 100, 1000]] * 59 + [["refuse", 2, 1000]],
               [[10], 98, None, None]),
        window("a missed second is no edge", [pm], [["add", *pm, 100, 1000]] * 59 + [["missed", 1000]],
               [[10], 98, None, None]),
        window("another sensor's loss does not matter", [pm, hot],
               [["add", *pm, 100, 1000]] * 60 + [["add", *hot, 20000, 1000]] * 30 + [["refuse", 1, 1000, [1]]] * 30,
               [[10, 2000], 50, None, None]),
        window("the worst channel with a value counts", [pm, hot], [["add", *pm, 100, 1000]] * 60,
               [[10, None], 100, None, None]),
        window("more than the window", [pm], [["add", *pm, 100, 1000]] * 61, [[10], 100, None, None]),
        window("nothing", [pm], [], [[None], 0, None, "not sampled"]),
        window("silent", [pm], [["refuse", 1, 1000]] * 60, [[None], 0, None, "not sampled"]),
        window("warming up", [pm], [["refuse", 5, 1000]] * 60, [[None], 0, None, "not sampled"]),
        window("stale", [pm], [["refuse", 3, 1000]] * 60, [[None], 0, None, "not sampled"]),
        window("bad checksums", [pm], [["refuse", 2, 1000]] * 60, [[None], 0, None, "refused"]),
        window("out of the channel's range", [pm], [["add", *pm, 655351, 1000]] * 60, [[None], 0, None, "refused"]),
        window("flagged bad", [pm], [["add", *pm, 100, 1000, 4]] * 60, [[None], 0, None, "refused"]),
        window("suspect", [pm, hot], [["add", *pm, 100, 30000], ["add", *pm, 100, 30000, 3], ["add", *hot, 0, 60000]],
               [[10, 0], 100, [3, 1], None]),
        window("suspect beside missing", [pm, hot], [["add", *pm, 100, 60000, 3]], [[10, None], 100, [3, 9], None]),
        window("other instances are not mixed", [hot], [["add", "temperature", 0, 20000, 60000]],
               [[None], 0, None, "not sampled"]),
        window("percentiles", [["laf10", 0], ["laf50", 0], ["laf90", 0], ["laf95", 0]],
               [["add", name, 0, 4000 + 10 * n, 600] for n in range(100) for name in ("laf10", "laf50", "laf90", "laf95")],
               [[489, 449, 409, 404], 100, None, None]),
        window("a sum", [["rain", 0]], minute("rain", [1, 0, 2]), [[3], 100, None, None]),
        *totals(cars),
    ]  # fmt: skip


def totals(cars: list) -> list[dict]:
    """A value is mark << 24 | events modulo 2**24; 63 << 24 | 0xFFFFFF is the largest small integer of 31 bits."""
    so_far, other = ["vehicles_total_approach", 0], ["vehicles_total_approach", 1]
    two, none = minute("vehicles_approach", [0, 2]), minute("vehicles_approach", [0, 0])
    lost = [["refuse", 2, 1000, [0]]]
    most = [["add", *cars, 65535, 200]] * 256
    top = 63 << 24
    return [
        window("a total beside its count", [cars, so_far], two, [[2, 2], 100, None, None]),
        window("a total before its count", [so_far, cars], two, [[2, 2], 100, None, None]),
        window("a total alone", [so_far], two, [[2], 100, None, None]),
        window("a total of which nothing is known", [so_far, other], two, [[2, None], 100, None, None]),
        window("a total whose sensor was refused", [so_far], lost * 60, [[None], 0, None, "refused"]),
        window("time that was lost is lost once", [cars, so_far], [["add", *cars, 1, 1000]] * 57 + lost * 2,
               [[57, 57], 96, None, None]),
        window("a suspect reading marks both", [so_far, cars], [["add", *cars, 0, 59000], ["add", *cars, 1, 1000, 0x53]],
               [[1, 1], 100, [0x53, 0x53], None]),
        windows("a total goes on over a window without a value", [cars, so_far], [[two, 2], [lost, 1], [none, 1], [two, 1]],
                [[[2, top + 4], None], [[None, None], None], [[0, top + 4], None], [[2, top + 6], None]], mark=63),
        windows("a total turns over behind the largest value", [so_far], [[most, 1], [[["add", *cars, 255, 60000]], 1],
                [[["add", *cars, 3, 60000]], 1]],
                [[[top + 0xFFFF00], None], [[top + 0xFFFFFF], None], [[top + 2], None]], mark=63),
    ]  # fmt: skip


# --- quality: flags with reasons, as firmware/quality.py finds them --------------------------------------------------


def windows(note: str, items: list, many: list, gives: list, window_ms: int = 60000, mark: int = 0) -> dict:
    return {"do": "windows", "with": [items, window_ms, many] + [mark] * bool(mark), "gives": gives, "note": note}


def every(channel: str, value: int, count: int, spread: int = 1) -> list:
    """Readings that scatter, as a live sensor's do."""
    return [["add", channel, 0, value + (spread if at % 2 else -spread), 60000 // count] for at in range(count)]


def quality() -> list[dict]:
    pm, hot, wet = ["pm2_5", 0], ["temperature", 0], ["humidity", 0]
    laeq, lceq, cars = ["laeq", 0], ["lceq", 0], ["vehicles", 0]

    def pm_minute(values: list[int]) -> list:
        return [["add", *pm, value, 60000 // len(values)] for value in values]

    calm = [1000, 1010, 990, 1000, 1010, 990]
    return [
        windows("all good", [pm, hot], [[pm_minute(calm) + every("temperature", 15000, 6), 3]], [[[100, 1500], None]]),
        windows("a spike within the window", [pm], [[pm_minute(calm), 2], [pm_minute([*calm[:3], 9000, *calm[:2]]), 1],
                [pm_minute(calm), 1]], [[[100], None], [[234], [35]], [[100], None]]),
        windows("a spike downwards", [hot], [[every("temperature", 15000, 4), 1], [minute("temperature", [15000, 15010, 12000,
                15005]), 1]], [[[1500], None], [[1425], [35]]]),
        windows("a spike at the end is known by one neighbour, and not told twice", [pm], [[pm_minute([*calm[:5], 9000]), 1],
                [pm_minute(calm), 1]], [[[234], [35]], [[100], None]]),
        windows("a spike at the beginning", [pm], [[pm_minute(calm), 1], [pm_minute([9000, *calm[:5]]), 1]],
                [[[100], None], [[234], [35]]]),
        windows("a step is no spike", [pm], [[pm_minute([1000, 1010, 1000, 6000, 6010, 6000]), 1]], [[[350], None]]),
        windows("a steep rise is no spike", [hot], [[minute("temperature", [15000, 17000, 19000, 19010]), 1]],
                [[[1750], None]]),
        windows("a share of the level is no spike", [pm], [[pm_minute([20000, 20100, 31000, 20000, 20100]), 1]],
                [[[2224], None]]),
        windows("one reading a window has no neighbours within it", [hot], [[minute("temperature", [15000]), 1],
                [minute("temperature", [16500]), 1]], [[[1500], None], [[1650], None]]),
        windows("flat for ten minutes, then bad", [hot], [[[["add", *hot, 15000, 300000]], 2],
                [[["add", *hot, 15000, 299999]], 1], [[["add", *hot, 15000, 1]], 1], [[["add", *hot, 15000, 300000]], 6],
                [every("temperature", 15000, 4), 1]],
                [[[1500], None], [[1500], None], [[1500], [51]], [[1500], [52]], [[1500], None]]),
        windows("flat until within the window", [hot], [[[["add", *hot, 15000, 300000]], 2],
                [[["add", *hot, 15000, 300000], ["add", *hot, 15010, 300000]], 1]], [[[1500], None], [[1501], [51]]]),
        windows("counts may be flat", [cars], [[[["add", *cars, 0, 3600000]], 3]], [[[0], None]]),
        windows("out of range", [hot], [[every("temperature", 45100, 4), 1]], [[[4510], [19]]]),
        windows("two vehicles a second", [cars], [[minute("vehicles", [2] * 60), 1]], [[[120], [19]]]),
        windows("too fast, and back", [hot], [[every("temperature", 15000, 4), 1], [every("temperature", 19000, 4), 2],
                [every("temperature", 15000, 4), 1]], [[[1500], None], [[1900], None], [[1500], [67]]]),
        windows("too fast, once", [hot], [[every("temperature", 15000, 4), 1], [every("temperature", 19000, 4), 1]],
                [[[1500], None], [[1900], [67]]]),
        windows("an hour may change more", [hot], [[every("temperature", 15000, 4), 1], [every("temperature", 19000, 4), 1]],
                [[[1500], None], [[1900], None]], 3600000),
        windows("after a window without values nothing is too fast", [hot, pm], [[every("temperature", 15000, 4), 1],
                [pm_minute(calm), 1], [every("temperature", 19000, 4), 1]],
                [[[1500, None], None], [[None, 100], None], [[1900, None], None]]),
        windows("humid air: particles, and nothing else", [pm, hot, wet], [[pm_minute(calm) + every("temperature", 15000, 4)
                + every("humidity", 8020, 4), 1]], [[[100, 1500, 802], [115, 1, 1]]]),
        windows("80 % is not humid", [pm, wet], [[pm_minute(calm) + every("humidity", 8000, 4), 1]], [[[100, 800], None]]),
        windows("wind on the microphone, in any order", [lceq, laeq], [[every("laeq", 5000, 4) + every("lceq", 6990, 4), 1],
                [every("laeq", 5000, 4) + every("lceq", 7020, 4), 1]], [[[699, 500], None], [[702, 500], [131, 131]]]),
        windows("wind by its speed", [laeq, ["wind_speed", 0]], [[every("laeq", 5000, 4) + every("wind_speed", 510, 4), 1]],
                [[[500, 51], [131, 1]]]),
        windows("warming up in a part of the window", [pm, hot], [[[["refuse", 5, 30000, [0]], *pm_minute(calm)[:3]]
                + every("temperature", 15000, 4), 1]], [[[100, 1500], [82, 1]]]),
        windows("missing, and why", [pm, hot], [[[["refuse", reason, 60000, [0]], *every("temperature", 15000, 4)], 1]
                for reason in (5, 10, 9, 4, 13, 1, 2)],
                [[[None, 1500], flags] for flags in ([89, 1], [105, 1], [57, 1], [25, 1], [153, 1], None, None)]),
        windows("the chip reported a fault in between", [pm], [[[["refuse", 10, 1000], *pm_minute(calm)], 1]],
                [[[100], [99]]]),
        windows("the driver's own word", [pm], [[[["add", *pm, 1000, 60000, 99]], 1]], [[[100], [99]]]),
        windows("the worst flag wins, of equal ones the first", [pm], [[[["add", *pm, 1000, 20000, 82], ["add", *pm, 1010,
                20000, 211], ["add", *pm, 1000, 20000, 99]], 1]], [[[100], [211]]]),
        windows("a counter that sees nothing, against its own habit", [cars], [[minute("vehicles", [15] * 4), 24],
                [minute("vehicles", [0] * 4), 1], [minute("vehicles", [0] * 4), 1], [minute("vehicles", [1] * 4), 1],
                [minute("vehicles", [0] * 4), 1]],
                [[[60], None], [[0], [147]], [[0], [147]], [[4], None], [[0], [147]]], 3600000),
        windows("a week without sight teaches nothing", [cars], [[[["add", *cars, 60, 3600000]], 24],
                [[["add", *cars, 0, 3600000]], 168], [[["add", *cars, 60, 3600000]], 1], [[["add", *cars, 0, 3600000]], 1]],
                [[[60], None], [[0], [147]], [[60], None], [[0], [147]]], 3600000),
        windows("counts that are suspect teach nothing", [cars], [[minute("vehicles", [2] * 4), 24],
                [[["add", *cars, 0, 3600000, 211]], 7], [minute("vehicles", [2] * 4), 17], [minute("vehicles", [0] * 4), 7],
                [minute("vehicles", [0] * 4), 1]],
                [[[8], None], [[0], [211]], [[8], None], [[0], None], [[0], [147]]], 3600000),
        windows("the first day there is no habit", [cars], [[minute("vehicles", [15] * 4), 12],
                [minute("vehicles", [0] * 4), 12]], [[[60], None], [[0], None]], 3600000),
        windows("a quiet hour is not blocked", [cars], [[minute("vehicles", [2] * 4), 24], [minute("vehicles", [0] * 4), 7],
                [minute("vehicles", [0] * 4), 1]], [[[8], None], [[0], None], [[0], [147]]], 3600000),
    ]  # fmt: skip


TABLES = {
    "sensirion": sensirion,
    "sps30": sps30,
    "bme280": bme280,
    "ld2451": ld2451,
    "dnms": dnms,
    "i2s_words": i2s_words,
    "sen5x": sen5x,
    "sen66": sen66,
    "scd41": scd41,
    "sht4x": sht4x,
    "sps30_uart": air_vectors.sps30_uart,
    "sds011": air_vectors.sds011,
    "pms5003": air_vectors.pms5003,
    "ads1115_no2": air_vectors.ads1115_no2,
    "ops243a": lane_vectors.ops243a,
    "tfluna": lane_vectors.tfluna,
    "sx1262": radio_vectors.sx1262,
    "sx1276": radio_vectors.sx1276,
    "level": level,
    "aggregate": aggregate,
    "quality": quality,
}


def text(name: str) -> str:
    lines = ",\n".join("  " + json.dumps(case) for case in TABLES[name]())
    return '{"cases": [\n' + lines + "\n]}\n"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        (FOLDER / f"{name}.json").write_text(text(name))


if __name__ == "__main__":
    main()
