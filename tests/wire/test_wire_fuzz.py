"""Round trips, garbage and flipped bits."""

import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import BOOT, UPTIME_HIGH_MS, UTC, UTC_HIGH_S, UTC_LOW_S, WireError, crypto, frame, messages, stream
from wire import frame_gateway as gateway
from wire.channels import CHANNELS
from wire.profiles import ITEMS_MAX, Profile, decode_profile
from wire.settings import SETTINGS

pytestmark = pytest.mark.fuzz
KEYS = crypto.subkeys(bytes(range(16)))
U32 = st.integers(0, 2**32 - 1)

PROFILES = st.builds(
    Profile,
    st.lists(
        st.tuples(st.integers(1, len(CHANNELS)), st.integers(0, 15)), min_size=1, max_size=ITEMS_MAX, unique=True
    ).map(tuple),
    st.integers(1, 86400),
    U32,
    st.integers(0, 255),
)
TIMES = st.one_of(
    st.none(),
    st.tuples(st.just(UTC), st.integers(UTC_LOW_S, UTC_HIGH_S)),
    st.tuples(st.just(BOOT), st.integers(0, 65535), st.integers(0, UPTIME_HIGH_MS)),
)
ONE_SETTING = st.sampled_from(SETTINGS).flatmap(
    lambda row: st.tuples(st.just(row.id), st.integers(0, row.instances - 1), st.integers(row.low, row.high))
)
OWN: dict[Any, Any] = {
    messages._TIME: TIMES,
    messages._TOTALS: st.builds(messages.Totals, *[U32] * 6),
    messages._IDS: st.lists(U32, max_size=messages.PROFILES_MAX).map(tuple),
    messages._PROFILE: PROFILES,
    messages._SETTINGS: st.lists(ONE_SETTING, max_size=messages.SETTINGS_MAX).map(tuple),
}


@st.composite
def any_message(draw: st.DrawFn) -> Any:
    """Any message that the tables allow."""
    _, cls, fields = draw(st.sampled_from(messages.TABLE))
    if cls is messages.SetSetting:
        setting = draw(st.sampled_from(SETTINGS))
        instance = draw(st.integers(0, setting.instances - 1))
        return cls(setting.id, instance, draw(st.integers(setting.low, setting.high)))
    values: list[Any] = []
    for spec in fields:
        if spec is messages._WINDOW:
            bits = draw(st.integers(0, 2**64 - 1))
            values += [draw(U32) if bits else 0, bits]
        elif spec in OWN:
            values.append(draw(OWN[spec]))
        else:
            number = st.integers(spec[1], spec[2])
            values.append(draw(st.one_of(st.none(), number) if len(spec) > 3 else number))
    return cls(*values)


@given(any_message())
def test_every_message_comes_back(message: Any) -> None:
    code, payload = messages.encode(message)
    assert messages.decode(code, payload) == message
    assert len(payload) <= 222


@given(PROFILES)
def test_every_profile_comes_back(profile: Profile) -> None:
    assert decode_profile(profile.encode()) == profile
    assert decode_profile(profile.encode()).id == profile.id


@given(st.integers(0, 40), st.binary(max_size=230))
def test_no_payload_makes_the_decoder_fail_otherwise(code: int, payload: bytes) -> None:
    try:
        message = messages.decode(code, payload)
    except WireError:
        return
    assert messages.encode(message) == (code, payload)  # one encoding only


@given(any_message(), st.sampled_from([frame.SERIAL, frame.LORA]), st.integers(0, 65535), U32, U32)
def test_every_message_travels(message: Any, link: int, address: int, counter: int, incarnation: int) -> None:
    code, payload = messages.encode(message)
    if code < frame.DOWNLINK:
        sent = bytes(frame.seal_uplink(KEYS, link, address, counter, code, payload))
        header = gateway.parse_uplink_header(sent)
        assert isinstance(header, gateway.UplinkHeader)
        assert (header.type, header.address, header.version) == (code, address, frame.VERSION)
        full = header.counter if header.full else gateway.guess_counter(header.counter, max(counter - 30000, 0))
        assert full == counter
        assert gateway.open_uplink(KEYS, link, sent, full) == payload
        around = 11 if code == frame.HELLO else 9
        assert len(sent) - len(payload) == around + (0 if link == frame.LORA else 4)
    else:
        sent = gateway.seal_downlink(KEYS, link, address, 7, incarnation, 3, counter, code, payload)
        got = frame.open_downlink(KEYS, link, sent, [counter ^ 0x10000, counter][1:], address)
        assert got == frame.Downlink(code, address, 7, incarnation, 3, counter, payload)
        tag = 4 if link == frame.LORA and code < frame.STRONG else 8
        assert len(sent) - len(payload) == 15 + tag


@given(st.binary(max_size=300), U32)
def test_no_bytes_make_a_frame_layer_raise(data: bytes, counter: int) -> None:
    for link in (frame.SERIAL, frame.LORA):
        assert isinstance(frame.open_downlink(KEYS, link, data, range(64), 5), str)
        assert gateway.open_uplink(KEYS, link, data, counter) is None
    gateway.parse_uplink_header(data)


@given(st.integers(0, 65535), U32)
def test_guess_counter_is_the_nearest(low: int, highest: int) -> None:
    guess = gateway.guess_counter(low, highest)
    assert guess & 0xFFFF == low
    assert 0 <= guess < 2**32
    others = [guess - 65536, guess + 65536]
    assert all(abs(guess - highest) <= abs(other - highest) for other in others if 0 <= other < 2**32)


def _flips(data: bytes) -> list[bytes]:
    return [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for at in range(len(data)) for bit in range(8)]


def test_a_flipped_bit_is_never_accepted() -> None:
    for link in (frame.SERIAL, frame.LORA):
        for code, size in ((messages.HELLO, 20), (messages.GAP, 15), (messages.RECORDS, 40)):
            sent = bytes(frame.seal_uplink(KEYS, link, 5, 0xABCDEF, code, bytes(size)))
            assert gateway.open_uplink(KEYS, link, sent, 0xABCDEF) == bytes(size)
            for flipped in _flips(sent):
                header = gateway.parse_uplink_header(flipped)
                if isinstance(header, str):
                    continue
                full = header.counter if header.full else gateway.guess_counter(header.counter, 0xABCDE0)
                for counter in {full, 0xABCDEF}:
                    assert gateway.open_uplink(KEYS, link, flipped, counter) is None
        for code in (messages.ACK, messages.COMMAND):
            sent = gateway.seal_downlink(KEYS, link, 5, 1, 2, 3, 0xABCDEF, code, bytes(13))
            assert not isinstance(frame.open_downlink(KEYS, link, sent, [0xABCDEF], 5), str)
            for flipped in _flips(sent):
                # whatever else is recent, and whatever node it reaches
                recent = [0xABCDEF ^ 1 << bit for bit in range(32)] + [0xABCDEF]
                assert isinstance(frame.open_downlink(KEYS, link, flipped, recent), str)


def test_a_flipped_bit_in_the_stream_delivers_nothing_new() -> None:
    rng = random.Random(7)
    for _ in range(20):
        frames = [b"\xa3" + rng.randbytes(rng.randrange(1, 30)) for _ in range(3)]
        frames[1] += bytes((0, 1, 2, 3, 4, 0x7D, 0x7E))
        carried = b"".join(bytes(stream.encode(one)) for one in frames)
        for flipped in _flips(carried):
            parser = stream.Parser()
            got = [data for kind, data in parser.feed(flipped + b"\x7e") if kind == "frame"]
            assert len(got) >= 2
            for data in got:
                assert data in frames


FRAMES = st.binary(min_size=1, max_size=535).map(lambda data: bytes([data[0] | 0x80]) + data[1:])
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from([b"\x7e", b"\x7d", b"\x7d\x7e", b"\x7e\x7d", b"\xa3", b"\x00", b"text\n"]), max_size=60
    ).map(b"".join),
    st.tuples(st.binary(max_size=3), st.integers(1000, 9000)).map(lambda pair: b"\x7e\xa3" + pair[0] * pair[1]),
)


PIECES = st.one_of(st.integers(1, 40), st.integers(500, 5000))  # as a driver gives them, and as a loaded host does


@given(st.lists(GARBAGE, max_size=4), FRAMES, st.lists(PIECES, max_size=20))
def test_no_bytes_stop_the_next_frame(garbage: list[bytes], data: bytes, cuts: list[int]) -> None:
    parser = stream.Parser()
    whole = b"".join(garbage) + bytes(stream.encode(data))
    got = []
    at = 0
    for cut in [*cuts, len(whole)]:
        got += parser.feed(whole[at : at + cut])
        at += cut
        assert len(parser._held) <= 2 * (stream.FRAME_MAX + 2)
    assert got[-1] == ("frame", data)
    assert all(reason in ("short", "long", "noise", "escape", "fcs") for reason in parser.dropped)


@pytest.mark.parametrize("rest", [b"\xff", b"y", b"\xc3\xa9"])
def test_what_follows_a_line_in_one_piece_is_under_the_cap_too(rest: bytes) -> None:
    parser = stream.Parser()
    got = parser.feed(b"log\n" + rest * 60_000)
    assert got[0] == ("text", b"log\n")
    assert len(parser._held) <= 2 * (stream.FRAME_MAX + 2)
    assert parser.feed(bytes(stream.encode(b"\xa3frame")))[-1] == ("frame", b"\xa3frame")


@given(st.lists(FRAMES, max_size=5), st.integers(1, 7))
def test_pieces_do_not_matter(frames: list[bytes], size: int) -> None:
    whole = b"log\n".join(bytes(stream.encode(data)) for data in frames)
    parser, pieces = stream.Parser(), stream.Parser()
    got = []
    for at in range(0, len(whole), size):
        got += pieces.feed(whole[at : at + size])
    assert got == parser.feed(whole)
    assert [data for kind, data in got if kind == "frame"] == frames
    assert not pieces.dropped


@given(st.lists(st.text(alphabet=string.printable.replace("~", "").replace("\x0b", "").replace("\x0c", ""))))
def test_text_between_frames_is_kept(logs: list[str]) -> None:
    parser = stream.Parser()
    carried = bytes(stream.encode(b"\xa3frame"))
    whole = b"".join(log.encode() + carried for log in logs)
    got = parser.feed(whole)
    assert b"".join(data for kind, data in got if kind == "text") == "".join(logs).encode()
    assert not parser.dropped


@given(st.binary(max_size=400))
def test_both_check_sequences_agree(data: bytes) -> None:
    assert stream.fcs16(data) == _nibble_fcs16(data)


def _nibble_fcs16(data: bytes) -> int:
    """Bit by bit, from the polynomial: x**16 + x**12 + x**5 + 1, reflected."""
    fcs = 0xFFFF
    for byte in data:
        fcs ^= byte
        for _ in range(8):
            fcs = fcs >> 1 ^ (0x8408 if fcs & 1 else 0)
    return fcs ^ 0xFFFF


def test_a_hundred_thousand_downlinks_hold_no_byte_that_interrupts_a_board() -> None:
    """0x00-0x04 never, so that no frame is Ctrl-A to Ctrl-D for the REPL that shares the port."""
    rng = random.Random(3)
    forbidden = bytes(range(5))
    for turn in range(100_000):
        data = b"\xb0" + rng.randbytes(14 + turn % 24)
        carried = stream.encode(data)
        assert len(carried.translate(None, forbidden)) == len(carried)
    for data in (bytes(535), bytes(range(5)) * 100, b"\x7e\x7d" * 200):
        assert not set(stream.encode(data)) & set(forbidden)
