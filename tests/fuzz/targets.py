"""What is fuzzed: everything that takes bytes from a wire, a flash or a file that somebody may have spoiled.

A target is a function of bytes. It returns for whatever is refused in the declared way, and raises AssertionError for a
broken promise; any other exception is one as well.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from firmware import leases, settings
from firmware.outbox import entries
from firmware.outbox.log import Outbox
from firmware.tasks import commands
from gateway import config, keys
from wire import BOOT, UTC, WireError, crypto, frame, frame_gateway, messages, stream
from wire.profiles import Profile, decode_profile
from wire.records import RECORDS_MAX, Record, encode_records
from wire.records_gateway import decode_records, peek_records
from wire.values import VALUE_HIGH, VALUE_LOW

KEY = bytes(range(16))
KEYS = crypto.subkeys(KEY)
PROFILE = Profile(((2, 0), (4, 0), (11, 0), (12, 0), (13, 0)), 60)
AT_S = 1_800_000_000
NEXT_SEQ = 1_000
ADDRESS = 5
COUNTER = 0xABCDEF
HEARD = tuple(range(COUNTER - 30, COUNTER + 1))  # counters of the uplinks that may be answered


class Target(NamedTuple):
    name: str
    corpus: Sequence[bytes]
    run: Callable[[bytes], None]
    runs: int  # in CI
    words: Sequence[bytes] = ()


# -- wire --------------------------------------------------------------------------------------------------------------


def some_messages() -> list[tuple[int, bytes]]:
    """One of each type, as payloads."""
    totals = messages.Totals(100, 90, 5, 3, 2, 1)
    made = [
        messages.Hello(7, 1234, 1, 1, 256, 1, 3, 90, totals, (PROFILE.id, 77)),
        messages.Gap(10, 5, messages.OFF, PROFILE.short, (UTC, AT_S)),
        messages.Gap(10, 5, messages.VOID, 0, None),
        messages.Health(
            9, (BOOT, 7, 1000), 7, 1234, 1, totals, 3, 3300, 2150, 60000, 40000, 100, None, None, 50, 40, 0, 0
        ),
        messages.Event(9, (UTC, AT_S), messages.SAFE_MODE, -3),
        messages.DescriptorMsg(3, 0, PROFILE),
        messages.SettingValue(1, 0, 60, 1),
        messages.CommandResult(77, messages.DONE, 0),
        messages.Ack(17, 20, 0b1011),
        messages.AckTime(AT_S * 1000, 20, 17, 0, 0),
        messages.TimeMsg(AT_S * 1000, 20),
        messages.DescriptorRequest(5),
        messages.Backfill(10, 100),
        messages.SetSetting(1, 0, 30),
        messages.GetSetting(1, 0),
        messages.Command(77, messages.IDENTIFY, 5, AT_S),
        messages.Rate(9, 14, 1, 30),
    ]
    return [messages.encode(message) for message in made]


def some_records() -> list[bytes]:
    """Payloads: single and in batches, with holes, flags, without a clock."""
    usual = (123, 187, 1532, 664, 10094)
    flags = (1, 1, 3, 1, 1)
    made = [
        [Record(1_000, (UTC, AT_S), 100, usual, None)],
        [Record(1_000 + i, (UTC, AT_S + 60 * i), 100, tuple(v + i for v in usual), None) for i in range(16)],
        [Record(990 + 3 * i, (UTC, AT_S + 60 * i), 90 + i, (None, *usual[1:]), None) for i in range(5)],
        [Record(1_000 + i, (BOOT, 7, 60_000 * (i + 1)), 100, usual, flags) for i in range(3)],
    ]
    return [bytes(encode_records(PROFILE, records, AT_S, hello)) for records in made for hello in (None, 900)]


def some_uplinks() -> list[bytes]:
    payloads = [(code, data) for code, data in some_messages() if code < frame.DOWNLINK]
    payloads += [(messages.RECORDS, data) for data in some_records()]
    payloads += [(messages.RECORDS_ASK, data) for data in some_records()[:1]]
    return [
        bytes(frame.seal_uplink(KEYS, frame.SERIAL, ADDRESS, COUNTER - at, code, data))
        for at, (code, data) in enumerate(payloads)
    ]


def some_downlinks() -> list[bytes]:
    return [
        frame_gateway.seal_downlink(KEYS, frame.SERIAL, ADDRESS, 1, 7, at, COUNTER - at, code, bytes(data))
        for at, (code, data) in enumerate(some_messages())
        if code >= frame.DOWNLINK
    ]


UPLINKS, DOWNLINKS = some_uplinks(), some_downlinks()
_genuine = frozenset(UPLINKS + DOWNLINKS)
_next = bytes(stream.encode(UPLINKS[0]))


def parse_stream(data: bytes) -> None:
    """No bytes raise, hold memory or stop the frame that comes after them."""
    parser = stream.Parser()
    got = []
    pieces = random.Random(len(data))
    at = 0
    while at < len(data):
        size = pieces.choice((1, 7, 64, 4096))
        got += parser.feed(data[at : at + size])
        at += size
        assert len(parser._held) <= 2 * (stream.FRAME_MAX + 2), "memory has a cap"
    got += parser.feed(_next)
    assert got[-1] == ("frame", UPLINKS[0]), "the next frame is delivered"
    for kind, content in got:
        if kind == "frame":
            assert 0 < len(content) <= stream.FRAME_MAX and content[0] & 0x80
        else:
            content.decode()
    assert set(parser.dropped) <= {"short", "long", "noise", "escape", "fcs"}


def open_uplink(data: bytes) -> None:
    """Nothing is authentic but what was sealed, under no counter."""
    header = frame_gateway.parse_uplink_header(data)
    if isinstance(header, str):
        assert header in ("short", "version", "type")
        assert frame_gateway.open_uplink(KEYS, frame.SERIAL, data, COUNTER) is None
        return
    low = header.counter if header.full else frame_gateway.guess_counter(header.counter, COUNTER)
    for counter in {low, COUNTER, low ^ 0x10000, header.counter}:
        for link in (frame.SERIAL, frame.LORA):
            assert frame_gateway.open_uplink(KEYS, link, data, counter) is None or data in _genuine


def open_downlink(data: bytes) -> None:
    """Nothing is authentic but what was sealed, whatever the node sent last."""
    for link in (frame.SERIAL, frame.LORA):
        got = frame.open_downlink(KEYS, link, data, HEARD, ADDRESS)
        if isinstance(got, str):
            assert got in ("version", "type", "short", "address", "answer", "tag")
        else:
            assert data in _genuine and (link == frame.SERIAL or got.type >= frame.STRONG)


def refusal(attempt: Callable[[], object], kind: type[Exception]) -> Any:
    """The declared error that `attempt` ended with, or None; any other goes on its way."""
    try:
        attempt()
    except kind as error:
        return error
    return None


def decode_message(data: bytes) -> None:
    """WireError, or a message that has this one encoding."""
    if not data:
        return
    code, payload = data[0] & 31, data[1:]
    error = refusal(lambda: messages.decode(code, payload), WireError)
    assert error is None or error.reason
    if error is None:
        assert messages.encode(messages.decode(code, payload)) == (code, payload)


def decode_batch(data: bytes) -> None:
    """WireError, or records within the tables' bounds; the head alone says the same seqs."""
    error = refusal(lambda: decode_records(data, PROFILE, NEXT_SEQ, AT_S), WireError)
    if error is not None:
        assert error.reason in ("short", "long", "range", "profile")
        return
    found = decode_records(data, PROFILE, NEXT_SEQ, AT_S)
    assert 0 < len(found) <= RECORDS_MAX
    assert peek_records(data, NEXT_SEQ) == (PROFILE.short, tuple(record.seq for record in found), True)
    before = -1
    for record in found:
        assert before < record.seq < 1 << 32
        before = record.seq
        assert 0 <= record.coverage <= 100
        assert len(record.values) == len(PROFILE.items)
        assert all(value is None or VALUE_LOW <= value <= VALUE_HIGH for value in record.values)
    again = encode_records(PROFILE, found, AT_S, None)  # the node's half can say it
    assert decode_records(bytes(again), PROFILE, NEXT_SEQ, AT_S) == found


def decode_descriptor(data: bytes) -> None:
    """WireError, or a profile that has this one encoding."""
    error = refusal(lambda: decode_profile(data), WireError)
    assert error is None or error.reason
    if error is None:
        assert decode_profile(data).encode() == data


# -- the node's flash --------------------------------------------------------------------------------------------------


def _plenty(path: str) -> tuple[int, int]:
    return 500, 512


def _segment() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        leases.Leases.create(folder + "/lease")
        outbox = Outbox(folder + "/outbox", KEYS.life, leases.Leases(folder + "/lease"), 10**6, _plenty)
        outbox.put([(entries.GRID, entries.struct.pack("<BIII", 5, 60, AT_S // 60, 0))])
        for at in range(8):
            body = entries.record_body(at, 5, (UTC, AT_S + 60 * at), 100, (1, None, 3 + at), None)
            outbox.put([(entries.RECORD, body)])
        outbox.put([(entries.GAP, entries.gap_body(8, 3, messages.NOT_SAMPLED, 5, 0, (UTC, AT_S)))])
        outbox.acknowledge(2, 4, 5)
        outbox.put([(entries.EVENT, entries.list_body(11, (BOOT, 1, 5), [1, -1]))])
        outbox.close()
        return Path(folder, "outbox/00000000.seg").read_bytes()


def open_outbox(data: bytes) -> None:
    """A segment of any bytes: the board boots, seals, and finds what it sealed; a seq never goes back."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/outbox")
        Path(folder, "outbox/00000003.seg").write_bytes(data)
        for copy in (".a", ".b"):
            Path(folder, "lease" + copy).write_bytes(leases.encode(64, 64))
        outbox = Outbox(folder + "/outbox", KEYS.life, leases.Leases(folder + "/lease"), 10**6, _plenty)
        seq = outbox.state.next_seq
        assert seq >= 64
        body = entries.record_body(seq, 5, (UTC, AT_S), 100, (7,), None)
        outbox.put([(entries.RECORD, body)])
        outbox.acknowledge(0, seq, 1)
        outbox.close()
        again = Outbox(folder + "/outbox", KEYS.life, leases.Leases(folder + "/lease"), 10**6, _plenty)
        found = [b for n, _, _ in again.segments for kind, b, _, _ in again.entries(n) if kind == entries.RECORD]
        assert body in found
        assert again.state.next_seq > seq
        again.close()


_settings = settings.encode(3, {"uid": "aa", "address": 7, "key": KEY.hex(), "values": {}, "grids": [], "previous": []})
_lease = leases.encode(64, 640)
_commands = commands._MAGIC + commands.struct.pack("<IBII", 5, 2, 77, 78)
_commands += commands.struct.pack("<I", commands.binascii.crc32(_commands))


def decode_flash_files(data: bytes) -> None:
    """Nothing but what was written is taken from the small files."""
    if settings.decode(data) is not None:
        assert data == _settings
    if leases.decode(data) is not None:
        assert data == _lease
    if commands._decode(data) is not None:
        assert data == _commands


# -- the gateway's files -----------------------------------------------------------------------------------------------

CONFIG = b"""\
[gateway]
id = "gw-1"
number = 1
data_dir = "data"
keys = "keys.json"
log_level = "info"

[[serial]]
port = "/dev/ttyUSB0"
baudrate = 921600

[spool]
max_mb = 64
max_days = 30

[mqtt]
url = ["mqtt://127.0.0.1:1883", "mqtt://[::1]:1884"]
topic_prefix = "city/air"
username = "city"
password_file = "mqtt.pass"
batch_wait_s = 0.5

[metrics]
listen = "127.0.0.1:9105"
"""
CONFIG_WORDS = (
    b"[", b"[[", b"]]", b"{", b"}", b'"', b"'''", b'"""', b"=", b".", b"\n", b"#", b"~", b"~nobody-there/", b"\\u0000",
    b"-1", b"1e400", b"nan", b"inf", b"99999999999999999999999", b"true", b"1979-05-27", b"[[serial]]\n", b"[mqtt]\n",
    b"port = ", b"password = ", b"key_file = ", b"url = ", b"mqtts://", b"mqtt://u:p@h", b"://[", b"%00", b"[" * 600,
    b"a." * 600, b"{a=" * 300, b"\xc3\xa9", b"\xff", b"\r", b"0x", b"[gateway]\n",
    b'data_dir = "~nobody-there/x"\n', b'port = "\\u0000"\n', b"x = " + b"[" * 3000 + b"\n", b'keys = ""\n', b"number = 1.5\n",
    b'url = "mqtt://[::1"\n', b'url = "mqtt://h:99999"\n', b'listen = "a:99999"\n', b"[[spool]]\n", b"serial = 3\n", b"[serial]\n",
    b"a" + b".a" * 1500 + b" = 1\n",
)  # fmt: skip

_folder = tempfile.TemporaryDirectory(prefix="steiger-fuzz-")


def load_config(data: bytes) -> None:
    """A configuration, or every problem with its line."""
    path = Path(_folder.name, "gateway.toml")
    path.write_bytes(data)
    error = refusal(lambda: config.load(path), config.ConfigError)
    if error is not None:
        assert error.problems and all(str(path) in problem for problem in error.problems)
        assert error.exit_code == 2 and str(error)
        return
    found = config.load(path)
    assert found.gateway.data_dir.is_absolute() and found.gateway.keys.is_absolute()
    assert found.mqtt is None or found.mqtt.brokers


def _key_file() -> bytes:
    path = Path(_folder.name, "made.json")
    for number in range(3):
        life = keys.Life(
            address=7 + number % 2, key=bytes([number + 1] * 16), board="air-v1", provisioned_s=AT_S + number,
            profiles=(PROFILE.encode().hex(),),
        )  # fmt: skip
        keys.add_life(path, life)
    return path.read_bytes()


KEY_WORDS = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"-1", b"0", b"65536", b"1e999", b"18446744073709551615",
    b"99999999999999999999999", b'"lives"', b'"version"', b'"until_s": ', b'"address": ', b'"key": ', b"\\ud800",
    b"\xff", b"[" * 700, b'{"a":' * 500, b"\\u0000",
)  # fmt: skip


def load_keys(data: bytes) -> None:
    """Lives that the store can hold, or what is wrong and what to do; never a key in the text."""
    path = Path(_folder.name, "keys.json")
    path.touch(0o600)
    path.write_bytes(data)
    error = refusal(lambda: keys.load_keys(path), keys.KeyFileError)
    if error is not None:
        assert error.exit_code == 2
        assert not any(bytes([n + 1] * 16).hex() in str(error) for n in range(3)), "a key in a message"
        return
    for life in keys.load_keys(path):
        assert 0 < life.address < 1 << 16 and len(life.key) == 16
        assert 0 <= life.provisioned_s < 1 << 63 and 0 <= life.until_s < 1 << 63, "more than a database takes"


_stream = b"steiger: a log\n" + b"".join(bytes(stream.encode(data)) for data in UPLINKS[:3]) + b"text\n"

TARGETS = (
    Target("stream", [_stream, *(bytes(stream.encode(data)) for data in DOWNLINKS)], parse_stream, 6_000),
    Target("uplink frame", UPLINKS, open_uplink, 6_000),
    Target("downlink frame", DOWNLINKS, open_downlink, 6_000),
    Target("message", [bytes([code]) + bytes(data) for code, data in some_messages()], decode_message, 15_000),
    Target("records", some_records(), decode_batch, 5_000),
    Target("descriptor", [PROFILE.encode(), Profile(((2, 0),), 3600, 7, 3).encode()], decode_descriptor, 15_000),
    Target("outbox segment", [_segment()], open_outbox, 1_000),
    Target("flash files", [_settings, _lease, _commands], decode_flash_files, 10_000),
    Target("configuration", [CONFIG], load_config, 2_000, CONFIG_WORDS),
    Target("key file", [_key_file()], load_keys, 2_000, KEY_WORDS),
)
