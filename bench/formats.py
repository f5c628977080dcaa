"""What others would send for the same readings: small encoders of JSON, SenML-CBOR and CayenneLPP.

A reading is a name, a sequence number, a time in unix s and ten values, as in the frames of Steiger. Numbers lose
no resolution.
"""

import json
import struct
from collections.abc import Sequence

from bench.series import DECIMALS

NODE = "bo-0421"

# Short names, to be fair to formats that send them.
NAMES = ("pm2_5", "pm10", "co2", "temp", "hum", "press", "laeq", "lafmax", "veh", "speed")

UNITS = ("ug/m3", "ug/m3", "ppm", "Cel", "%RH", "hPa", "dB", "dB", "", "km/h")

# CayenneLPP's types by resolution: analog input (0.01 signed, 2 bytes), luminosity (1 unsigned, 2 bytes), digital
# input (1 unsigned, 1 byte), barometer (0.1 unsigned, 2 bytes). Its temperature (0.1) and humidity (0.5) would lose.
_ANALOG, _LUMINOSITY, _DIGITAL, _BAROMETER, _UNIX_TIME = 2, 101, 0, 115, 133
_LPP_TYPES = (_ANALOG, _ANALOG, _LUMINOSITY, _ANALOG, _ANALOG, _BAROMETER, _ANALOG, _ANALOG, _DIGITAL, _ANALOG)


def _scaled(values: Sequence[int]) -> list[float | int]:
    return [value if places == 0 else value / 10**places for value, places in zip(values, DECIMALS, strict=True)]


def json_line(seq: int, time_s: int, values: Sequence[int]) -> bytes:
    """One compact JSON object."""
    reading: dict[str, object] = {"id": NODE, "seq": seq, "ts": time_s}
    reading.update(zip(NAMES, _scaled(values), strict=True))
    return json.dumps(reading, separators=(",", ":")).encode()


def json_batch(readings: Sequence[tuple[int, int, Sequence[int]]]) -> bytes:
    """A JSON array of them."""
    return b"[" + b",".join(json_line(*reading) for reading in readings) + b"]"


def cbor(item: object) -> bytes:
    """RFC 8949, the shortest form of each item, floats in half, single or double precision as it is enough.

    Decimal fractions are not exact in binary: single precision, which gives them back when printed, counts as enough.
    """
    if isinstance(item, int):
        return _cbor_head(0, item) if item >= 0 else _cbor_head(1, -1 - item)
    if isinstance(item, float):
        if struct.unpack(">e", struct.pack(">e", item))[0] == item:
            return b"\xf9" + struct.pack(">e", item)
        return b"\xfa" + struct.pack(">f", item)
    if isinstance(item, str):
        return _cbor_head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return _cbor_head(4, len(item)) + b"".join(cbor(each) for each in item)
    if isinstance(item, dict):
        return _cbor_head(5, len(item)) + b"".join(cbor(key) + cbor(value) for key, value in item.items())
    raise TypeError(type(item).__name__)


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | code]) + number.to_bytes(width, "big")
    raise ValueError(number)


_BASE_NAME, _BASE_TIME, _NAME, _UNIT, _VALUE, _TIME = -2, -3, 0, 1, 2, 6  # RFC 8428, table 4


def senml_cbor(readings: Sequence[tuple[int, int, Sequence[int]]], units: bool = True) -> bytes:
    """A SenML pack in CBOR (RFC 8428) with base name and base time; the sequence number is a record of its own."""
    pack: list[dict[int, object]] = []
    base_s = readings[0][1]
    for seq, time_s, values in readings:
        names = ("seq", *NAMES)
        for name, unit, value in zip(names, ("", *UNITS), (seq, *_scaled(values)), strict=True):
            record: dict[int, object] = {}
            if not pack:
                record[_BASE_NAME] = NODE + ":"
                record[_BASE_TIME] = base_s
            record[_NAME] = name
            if unit and units:
                record[_UNIT] = unit
            if time_s != base_s:
                record[_TIME] = time_s - base_s
            record[_VALUE] = value
            pack.append(record)
    return cbor(pack)


def cayenne_lpp(time_s: int, values: Sequence[int]) -> bytes:
    """CayenneLPP: channel, type, value; the sequence number is LoRaWAN's frame counter."""
    out = bytearray(struct.pack(">BBI", 0, _UNIX_TIME, time_s))
    for channel, (kind, places, value) in enumerate(zip(_LPP_TYPES, DECIMALS, values, strict=True), 1):
        if kind == _ANALOG:
            out += struct.pack(">BBh", channel, kind, value * 10 ** (2 - places))
        elif kind == _DIGITAL:
            out += struct.pack(">BBB", channel, kind, value)
        else:
            out += struct.pack(">BBH", channel, kind, value)
    return bytes(out)
