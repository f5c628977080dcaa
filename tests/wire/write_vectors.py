"""Writes tests/vectors/wire_*.json. Run by hand, after the tables have grown, and read the difference before committing:
what was there must still be there, byte for byte. (`test_vectors.py` refuses a change of the frozen files' beginning.)
"""

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.wire.run_vectors import DO, outcome, plain
from wire import BOOT, UTC, frame, messages, quality, stream
from wire.airtime import airtime_us
from wire.channels import CHANNELS
from wire.duty import BLOCK_US, Spent
from wire.frame import LORA, SERIAL
from wire.profiles import Profile
from wire.regions import band_of
from wire.settings import SETTINGS

VECTORS = Path(__file__).parents[1] / "vectors"
KEY = "000102030405060708090a0b0c0d0e0f"
T = 1_760_000_040
TOTALS = messages.Totals(1000, 990, 4, 3, 2, 1)
AIR = Profile(((2, 0), (4, 0), (11, 0), (12, 0), (13, 0)), 60, 0x01020304, 7)

# RFC 3610, section 8, packet vectors: (number, key, nonce, header, payload, sealed), those with M = 8
_K1 = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
_K2 = "d7828d13b2b0bdc325a76236df93cc6b"
RFC3610 = (
    (
        1,
        _K1,
        "00000003020100a0a1a2a3a4a5",
        "0001020304050607",
        bytes(range(8, 31)).hex(),
        "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0",
    ),
    (
        2,
        _K1,
        "00000004030201a0a1a2a3a4a5",
        "0001020304050607",
        bytes(range(8, 32)).hex(),
        "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916",
    ),
    (
        3,
        _K1,
        "00000005040302a0a1a2a3a4a5",
        "0001020304050607",
        bytes(range(8, 33)).hex(),
        "51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5",
    ),
    (
        4,
        _K1,
        "00000006050403a0a1a2a3a4a5",
        "000102030405060708090a0b",
        bytes(range(12, 31)).hex(),
        "a28c6865939a9a79faaa5c4c2a9d4a91cdac8c96c861b9c9e61ef1",
    ),
    (
        5,
        _K1,
        "00000007060504a0a1a2a3a4a5",
        "000102030405060708090a0b",
        bytes(range(12, 32)).hex(),
        "dcf1fb7b5d9e23fb9d4e131253658ad86ebdca3e51e83f077d9c2d93",
    ),
    (
        6,
        _K1,
        "00000008070605a0a1a2a3a4a5",
        "000102030405060708090a0b",
        bytes(range(12, 33)).hex(),
        "6fc1b011f006568b5171a42d953d469b2570a4bd87405a0443ac91cb94",
    ),
    (
        13,
        _K2,
        "00412b4ea9cdbe3c9696766cfa",
        "0be1a88bace018b1",
        "08e8cf97d820ea258460e96ad9cf5289054d895ceac47c",
        "4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8e78cf7cb0cddd7b3",
    ),
)

MESSAGES = (
    ("after a boot, no clock yet", messages.Hello(3, 4200, 1, 1, 0x000100, 0, 17, 42, TOTALS, (AIR.id,))),
    (
        "every field at its top",
        messages.Hello(
            65535,
            2**40 - 2,
            5,
            255,
            2**24 - 1,
            1,
            2**32 - 1,
            2**32 - 1,
            messages.Totals(*[2**32 - 1] * 6),
            (0, 1, 2, 2**32 - 1),
        ),
    ),
    ("no profile", messages.Hello(0, 0, 0, 0, 0, 0, 0, 0, messages.Totals(*[0] * 6), ())),
    ("three windows while the node was off", messages.Gap(40, 3, messages.OFF, AIR.short, (UTC, T))),
    ("refused before the clock was set", messages.Gap(43, 1, messages.REFUSED, 255, (BOOT, 3, 60_000))),
    ("leased, never used", messages.Gap(44, 20, messages.VOID, 0, None)),
    (
        "hourly",
        messages.Health(
            64, (UTC, T), 3, 3_600_000, 1, TOTALS, 42, 4970, 2345, 61_000, 20_000, 380, None, None, 1200, 1190, 2, 0
        ),
    ),
    (
        "nothing known",
        messages.Health(0, (BOOT, 0, 0), 0, 0, 0, TOTALS, 0, None, None, None, None, None, None, None, 0, 0, 0, 0),
    ),
    (
        "radio, lowest",
        messages.Health(
            1,
            (BOOT, 65535, 2**40 - 2),
            1,
            2**31,
            5,
            TOTALS,
            1,
            0,
            -32767,
            0,
            0,
            0,
            -32767,
            -127,
            2**31,
            2**32 - 1,
            1,
            65535,
        ),
    ),
    ("clock stepped back", messages.Event(65, (UTC, T), messages.CLOCK_STEPPED, -2)),
    ("an event of the future", messages.Event(2**32 - 1, (BOOT, 1, 1), 255, 2**31 - 1)),
    ("in force", messages.DescriptorMsg(29_333_334, 0, AIR)),
    ("one item", messages.DescriptorMsg(0, 5, Profile(((46, 15),), 86400, 2**32 - 1, 255))),
    ("as set", messages.SettingValue(1, 0, 60, 1)),
    ("refused", messages.SettingValue(13, 3, -301, 0)),
    ("done", messages.CommandResult(7, messages.DONE, 0)),
    ("failed", messages.CommandResult(2**32 - 1, messages.FAILED, -(2**31))),
    ("all below", messages.Ack(42, 0, 0)),
    ("a window of 64", messages.Ack(42, 70_000, 2**63 + 1)),
    ("one above", messages.Ack(0, 1, 1)),
    ("time", messages.TimeMsg(1_760_000_000_123, 8)),
    ("ack and time", messages.AckTime(1_760_000_000_123, 65535, 42, 44, 0b101)),
    ("which profile is this?", messages.DescriptorRequest(AIR.short)),
    ("again, please", messages.Backfill(17, 3)),
    ("what is set?", messages.GetSetting(1, 3)),
    ("window of 10 s", messages.SetSetting(1, 0, 10)),
    ("end of the grid", messages.SetSetting(7, 0, 4_102_444_800)),
    ("self test", messages.Command(9, messages.SELF_TEST, 0, T + 300)),
    (
        "slot 0: item (2, 0), slope 0.87, offset -12",
        messages.Calibrate(0x1F2E3D4C, ((21, 0, 32), (22, 0, 8700), (23, 0, -12), (25, 0, 0xFFFFFFFF))),
    ),
    ("nothing but its number", messages.Calibrate(0, ())),
    ("at SF10, least power, from now on", messages.Rate(10, -9, 1, 0)),
    ("every field at its top", messages.Rate(12, 22, 65535, 65535)),
    ("the budget is spent for a minute", messages.Event(66, (UTC, T), messages.DUTY_SPENT, 60)),
)

CANNOT_ENCODE = (
    ("Gap", [0, 0, 1, 0, None], "no window"),
    ("Gap", [2**32, 1, 1, 0, None], "seq has 32 bits"),
    ("Gap", [0, 1, 6, 0, None], "unknown cause"),
    ("Gap", [0, 1, 1, 0, [UTC, 0]], "1970"),
    ("Gap", [0, 1, 1, 0, [UTC, 1_577_836_799]], "before 2020"),
    ("Gap", [0, 1, 1, 0, [3, 5]], "unknown kind of time"),
    ("Gap", [0, 1, 1, 0, [BOOT, 65536, 5]], "boot number has 16 bits"),
    ("Event", [0, [UTC, T], 0, 0], "no event"),
    ("Event", [0, [UTC, T], 256, 0], "code has 8 bits"),
    ("Event", [0, [UTC, T], 1, 2**31], "argument has 32 bits"),
    ("Event", [0, [UTC, T], 1, "door"], "text"),
    ("Ack", [0, 1, 2**64], "65 bits"),
    ("Ack", [None, 0, 0], "not optional"),
    ("TimeMsg", [1_760_000_000, 0], "seconds, not milliseconds"),
    ("SetSetting", [1, 0, 0], "window of 0 s"),
    ("SetSetting", [1, 4, 60], "no such instance"),
    ("SetSetting", [99, 0, 60], "no such setting"),
    ("Command", [1, 1, 0, 0], "no expiry"),
    ("Hello", [0, 0, 0, 0, 0, 0, 0, 0, [0, 0, 0, 0, 0], []], "five totals"),
    ("Hello", [0, 0, 0, 0, 0, 0, 0, 0, [0] * 6, [1] * 5], "five profiles"),
    ("Rate", [6, 14, 1, 0], "SF6 needs an implicit header"),
    ("Rate", [9, 23, 1, 0], "more than a radio gives"),
    ("Rate", [9, 14, 0, 0], "no channel"),
)

CANNOT_DECODE = (
    (0, "", "type 0"),
    (9, "00", "unknown uplink type"),
    (31, "00", "unknown downlink type"),
    (messages.ACK, "0000000000000001", "base without a bit"),
    (messages.ACK, "00000000000000010100", "last byte without a bit"),
    (messages.ACK, "0000000000000001" + "ff" * 9, "nine bytes of bits"),
    (messages.GAP, "0000000000000001010300", "fits"),
    (messages.GAP, "0000000000000001010303", "kind of time 3"),
    (messages.GAP, "000000000000000001030168e77828", "no window"),
    (messages.EVENT, "00000001015e0be0ff0300000000", "one second before 2020"),
    (messages.SET_SETTING, "01000000000000", "window of 0 s"),
    (messages.SET_SETTING, "ff00000000003c", "no such setting"),
    (messages.DESCRIPTOR, "00000000000000000100003c00000000020200", "second item cut off"),
    (messages.DESCRIPTOR, "00000000000000000100003c000000000202000200", "an item twice"),
    (messages.DESCRIPTOR, "00000000000000000100003c0000000000", "no item"),
    (messages.DESCRIPTOR, "00000000000000000100003c0000000001fe00", "unknown channel"),
    (messages.DESCRIPTOR, "00000000000000000100003c00000000010210", "instance 16"),
    (messages.RATE, "0d0e00010000", "SF13"),
    (messages.RATE, "09f600010000", "-10 dBm"),
    (messages.RATE, "090e00000000", "no channel"),
)


def _case(note: str, do: str, *args: Any) -> dict[str, Any]:
    values = [plain(arg) for arg in args]
    return {"note": note, "do": do, "with": values, "gives": outcome(DO[do], *values)}


def _messages() -> list[dict[str, Any]]:
    cases = []
    for note, message in MESSAGES:
        code, payload = messages.encode(message)
        name = type(message).__name__
        cases.append(_case(note, "encode_message", name, message))
        cases.append(_case(note, "decode_message", code, payload))
        cases.append(_case("one byte less", "decode_message", code, payload[:-1]))
        cases.append(_case("one byte more", "decode_message", code, payload + b"\0"))
    cases += [_case(note, "encode_message", name, values) for name, values, note in CANNOT_ENCODE]
    cases += [_case(note, "decode_message", code, payload) for code, payload, note in CANNOT_DECODE]
    return cases


def _profiles() -> list[dict[str, Any]]:
    good = (AIR, Profile(((46, 15),), 86400, 2**32 - 1, 255), Profile(tuple((i + 1, 0) for i in range(32)), 1))
    cases = []
    for profile in good:
        cases.append(_case("", "profile", profile.items, profile.window_s, profile.calibration, profile.version))
        cases.append(_case("", "decode_profile", profile.encode()))
    for note, items, window_s, calibration, version in (
        ("no item", [], 60, 0, 0),
        ("twice", [[2, 0], [2, 0]], 60, 0, 0),
        ("37 items", [[i + 1, 0] for i in range(37)], 60, 0, 0),
        ("window of 0 s", [[2, 0]], 0, 0, 0),
        ("more than a day", [[2, 0]], 86401, 0, 0),
        ("version 256", [[2, 0]], 60, 0, 256),
    ):
        cases.append(_case(note, "profile", items, window_s, calibration, version))
    return cases


def _crypto() -> list[dict[str, Any]]:
    cases = [_case("number of the life", "life", KEY)]
    for label in ("steiger up tag4\0", "steiger up tag8\0", "steiger dn tag4\0", "steiger dn tag8\0"):
        cases.append(_case("subkey " + label[:-1], "subkey_ecb", KEY, label.encode()))
    for number, key, nonce, header, payload, sealed in RFC3610:
        note = f"RFC 3610 packet vector {number}"
        cases.append({"note": note, "do": "ccm_seal", "with": [key, nonce, header, payload, 8], "gives": sealed})
        cases.append({"note": note, "do": "ccm_open", "with": [key, nonce, header, sealed, 8], "gives": payload})
        for place in (0, len(sealed) // 2 - 1):
            broken = bytearray.fromhex(sealed)
            broken[place] ^= 1
            cases.append(_case("one bit wrong", "ccm_open", key, nonce, header, broken, 8))
    cases.append(_case("shorter than a tag", "ccm_open", KEY, "00" * 13, "", "000000", 4))
    for size in (0, 1, 15, 16, 17, 32, 222):
        data = bytes(i * 7 & 255 for i in range(size))
        for aad in (0, 1, 13, 14, 15, 30):
            cases.append(
                _case(f"{size} and {aad} bytes", "ccm_seal", KEY, bytes(range(13)), bytes(range(aad)), data, 4)
            )
    return cases


def _frames() -> list[dict[str, Any]]:
    gap = messages.encode(messages.Gap(40, 3, messages.OFF, 9, (UTC, T)))
    hello = messages.encode(MESSAGES[0][1])
    ack = messages.encode(messages.Ack(42, 44, 5))
    setting = messages.encode(messages.SetSetting(1, 0, 10))
    cases = []
    for link in (SERIAL, LORA):
        for code, payload in (gap, hello):
            sealed = outcome(DO["seal_uplink"], KEY, link, 0x1234, 0x00ABCDEF, code, plain(payload))
            cases.append(_case("", "seal_uplink", KEY, link, 0x1234, 0x00ABCDEF, code, payload))
            cases.append(_case("", "parse_uplink_header", sealed))
            cases.append(_case("", "open_uplink", KEY, link, sealed, 0x00ABCDEF))
            cases.append(_case("another high half", "open_uplink", KEY, link, sealed, 0x01ABCDEF))
            cases.append(_case("the other link", "open_uplink", KEY, 1 - link, sealed, 0x00ABCDEF))
            cases.append(_case("another key", "open_uplink", "ff" * 16, link, sealed, 0x00ABCDEF))
        for code, payload in (ack, setting):
            head = (KEY, link, 0x1234, 7, 0xDEADBEEF, 5, 0x00ABCDEF, code)
            sealed = outcome(DO["seal_downlink"], *head, plain(payload))
            cases.append(_case("", "seal_downlink", *head, payload))
            for note, recent, address in (
                ("", [0x00ABCDEE, 0x00ABCDEF], 0x1234),
                ("address not looked at", [0x00ABCDEF], None),
                ("nothing to answer", [], 0x1234),
                ("answers nothing recent", [0x00ABCDEE], 0x1234),
                ("answers another high half", [0x01ABCDEF], 0x1234),
                ("for another node", [0x00ABCDEF], 0x1235),
            ):
                cases.append(_case(note, "open_downlink", KEY, link, sealed, recent, address))
            cases.append(_case("cut off", "open_downlink", KEY, link, sealed[:44], [0x00ABCDEF], 0x1234))
            cases.append(_case("another key", "open_downlink", "ff" * 16, link, sealed, [0x00ABCDEF], 0x1234))
            other = f"{int(sealed[:2], 16) ^ 0x60:02x}" + sealed[2:]
            cases.append(_case("wire version 2", "open_downlink", KEY, link, other, [0x00ABCDEF], 0x1234))
    cases.append(_case("an uplink", "open_downlink", KEY, SERIAL, "a3" + "00" * 30, [0], 0))
    cases.append(_case("empty", "open_downlink", KEY, SERIAL, "", [0], 0))
    for note, data in (
        ("empty", ""),
        ("wire version 2", "c3000000000000000000"),
        ("text", "41000000000000000000"),
        ("type 0", "a0000000000000000000"),
        ("a downlink", "b0" + "00" * 30),
        ("shorter than header and tag", "a30000000000000a"),
    ):
        cases.append(_case(note, "parse_uplink_header", data))
    for note, link, address, counter, code, size in (
        ("longest over LoRa", LORA, 1, 1, 3, 222),
        ("too long for LoRa", LORA, 1, 1, 3, 223),
        ("too long for serial", SERIAL, 1, 1, 3, 513),
        ("address has 16 bits", SERIAL, 65536, 1, 3, 1),
        ("counter has 32 bits", SERIAL, 1, 2**32, 3, 1),
        ("not an uplink", SERIAL, 1, 1, 16, 1),
    ):
        cases.append(_case(note, "seal_uplink", KEY, link, address, counter, code, bytes(size)))
    return cases


def _stream() -> list[dict[str, Any]]:
    cases = [_case("RFC 1662's check", "fcs16", b"123456789"), _case("", "fcs16", b"")]
    plain_frame = b"\xa3\x12\x34hello"
    nasty = b"\xa3\x00\x01\x02\x03\x04\x05\x7d\x7e\x11\x13\xff"
    carried = bytes(stream.encode(plain_frame))
    escaped = bytes(stream.encode(nasty))
    for data in (plain_frame, nasty, b"\xa3"):
        cases.append(_case("", "encode_stream", data))
    broken = carried[:4] + bytes([carried[4] ^ 4]) + carried[5:]
    long_frame = bytes(stream.encode(b"\xa3" * 535))
    too_long = bytes(stream.encode(b"\xa3" * 536))
    for note, chunks in (
        ("one frame", [carried]),
        ("byte by byte", [bytes([byte]) for byte in escaped]),
        ("one flag between two", [carried[:-1] + escaped]),
        ("text around", [b"boot\r\n" + carried + b"log: x = {1}\n" + escaped + b"rest"]),
        ("a piece of text waits for its line end", [b"lo", b"g\nnext"]),
        ("text until the flag", [b"no line end", carried]),
        ("text beyond ASCII", ["über 5 µg\n".encode(), b"a\n" + "ärger".encode() + carried]),
        ("a bit wrong", [broken, carried]),
        ("garbage that ends in a flag", [b"\x90\x91\x92\x7e" + carried]),
        ("garbage that ends in an escape", [b"\x90\x91\x92\x7d" + carried]),
        ("garbage that begins with both", [b"\x7e\x7d\x7e\x7d\x7d" + carried]),
        ("binary where text stands", [b"\x10\x11\x12" + carried]),
        ("a line of it", [b"\x10\x11\n" + carried]),
        ("escape of nothing", [b"\x7e\xa3\x7d\x7d\x5e\x01\x02\x7e" + carried]),
        ("too short", [b"\x7e\xa3\xa3\x7e\x7e\xa3\x7e" + carried]),
        ("flags alone", [b"\x7e" * 5]),
        ("opening flag lost", [carried[1:] + carried]),
        ("closing flag lost", [carried[:-1], carried]),
        ("longest frame", [long_frame]),
        ("one byte too long", [too_long + carried]),
        ("much too long, in pieces", [b"\x7e" + b"\xa3" * 600, b"\xa3" * 600, b"\xa3" * 9000, b"\x7e" + carried]),
        ("cut by a reset", [carried[:5], b"ets Jul 29 2019\r\n", b"\x7e", carried]),
        ("the longest piece of text", [b"x" * 511, b"yz", b"\n"]),
    ):
        cases.append(_case(note, "parse_stream", [chunk.hex() for chunk in chunks]))
    return cases


def _duty() -> list[dict[str, Any]]:
    """An account that is used as fast as it allows, kept and read again, aged; times beyond 31 bits."""
    cases = []
    for note, freq_hz, length, sf, pause_s in (
        ("1 %", 868_100_000, 40, 9, 100),
        ("10 %", 869_525_000, 231, 8, 20),
        ("0.1 %", 868_800_000, 20, 7, 100),
    ):
        band, draw, now_s, model = band_of(freq_hz), Random(note), T + 1_000_000_000, Spent()
        steps: list[list[Any]] = []
        for turn in range(60):
            airtime = min(airtime_us(draw.randrange(12, length + 1), sf) * 9, BLOCK_US)
            steps.append(["wait_s", freq_hz, airtime, now_s])
            now_s += model.wait_s(freq_hz, airtime, now_s) + draw.randrange(1, pause_s)
            steps += [["free_us", band, now_s], ["spend", band, airtime, now_s]]
            model.spend(band, airtime, now_s)
            if turn % 13 == 12:
                kept = model.dump(turn, now_s, now_s)
                steps += [["dump", turn, now_s, now_s], ["load", kept.hex(), now_s + 5, bool(turn & 1)]]
                model.load(kept, now_s + 5, bool(turn & 1))
        steps += [
            ["age", now_s, 1800],
            ["free_us", band, now_s],
            ["spend_all", now_s],
            ["wait_s", freq_hz, 41_216, now_s],
        ]
        cases.append(_case(note, "duty", steps))
    cases.append(_case("no sub-band", "duty", [["wait_s", 868_650_000, 1_000, 0]]))
    return cases


def _write(name: str, about: str, cases: list[dict[str, Any]]) -> None:
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    (VECTORS / name).write_text(f'{{"about": {json.dumps(about)},\n "cases": [\n  {lines}\n]}}\n')


def main() -> None:
    """Write all files."""
    VECTORS.mkdir(exist_ok=True)
    _write("wire_messages.json", "messages and their payloads; what cannot be encoded or decoded", _messages())
    _write("wire_profiles.json", "profiles, their descriptors, ids and shorts", _profiles())
    _write("wire_crypto.json", "subkeys, RFC 3610, CCM with 4-byte tags", _crypto())
    _write("wire_frames.json", "frames of both directions; what is refused and why", _frames())
    _write("wire_stream.json", "frames in the byte stream; what the parser delivers and drops", _stream())
    _write("wire_duty.json", "what a transmitter spent of its duty cycle, and how long it waits", _duty())
    tables = {
        "channels": [plain(row) for row in CHANNELS],
        "settings": [plain(row) for row in SETTINGS],
        "types": [[row[0], row[1].__name__] for row in messages.TABLE],
        "reasons": list(quality.REASON_NAMES),
        "version": frame.VERSION,
    }
    rows = ",\n".join(
        f" {json.dumps(name)}: "
        + (json.dumps(value) if isinstance(value, int) else "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]")
        for name, value in tables.items()
    )
    (VECTORS / "wire_tables.json").write_text("{\n" + rows + "\n}\n")


if __name__ == "__main__":
    main()
