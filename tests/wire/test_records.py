"""The records codec: everything comes back, garbage gives WireError and nothing else, low bits stay unambiguous."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire import records_cases
from wire import BOOT, UPTIME_HIGH_MS, UTC, UTC_HIGH_S, UTC_LOW_S, WireError, records_gateway
from wire.bits import BitReader, BitWriter, _bit_length, bit_length
from wire.channels import CHANNELS, TOTAL, by_id, by_name, id_of
from wire.profiles import ITEMS_MAX, Profile
from wire.quality import GOOD, HUMIDITY, SUSPECT
from wire.records import RECORDS_MAX, Record, encode_records
from wire.records_gateway import decode_records, peek_records, resolve_seq
from wire.values import VALUE_HIGH, VALUE_LOW, Adaption, fold, plan, unfold

TEN = Profile(
    tuple(
        (by_name(name).id, 0)
        for name in (
            *("pm2_5", "pm10", "co2", "temperature", "humidity"),
            *("pressure", "laeq", "lafmax", "vehicles", "speed_mean"),
        )
    ),
    60,
)
END_S = 1_760_000_040
USUAL = (123, 187, 441, 1532, 664, 10094, 561, 702, 14, 463)

item = st.tuples(st.integers(1, len(CHANNELS)), st.integers(0, 15))
profiles = st.builds(
    Profile,
    st.lists(item, min_size=1, max_size=ITEMS_MAX, unique=True).map(tuple),
    st.sampled_from((1, 5, 60, 61, 3600, 86400)),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 255),
)
value = st.one_of(st.none(), st.integers(-50, 2000), st.integers(VALUE_LOW, VALUE_HIGH))
time = st.one_of(
    st.tuples(st.just(UTC), st.integers(UTC_LOW_S, UTC_HIGH_S)),
    st.tuples(st.just(UTC), st.integers(UTC_LOW_S // 86400 + 1, UTC_HIGH_S // 86400).map(lambda day: day * 86400)),
    st.tuples(st.just(BOOT), st.integers(0, 0xFFFF), st.integers(0, UPTIME_HIGH_MS)),
)


def reason_of(attempt: Callable[[], None]) -> str:
    """Why the input was refused; empty if it was not."""
    try:
        attempt()
    except WireError as error:
        return error.reason
    return ""


def in_bounds(decoded: list[Any]) -> None:
    assert len(decoded) <= RECORDS_MAX
    for record in decoded:
        if isinstance(record, Record):
            assert all(each is None or VALUE_LOW <= each <= VALUE_HIGH for each in record.values)
            assert 0 <= record.coverage <= 100
            assert 0 <= record.seq <= 0xFFFFFFFF


@st.composite
def frames(draw: st.DrawFn) -> tuple[Profile, list[Record]]:
    profile = draw(profiles)
    count = len(profile.items)
    steps = draw(st.lists(st.one_of(st.just(1), st.integers(1, 1 << 20)), min_size=1, max_size=12))
    moment = draw(time)
    seq = draw(st.integers(0, 0xFFFFFFFF - sum(steps)))
    out = []
    for step in steps:
        values = draw(st.tuples(*[value] * count))
        flags = draw(
            st.one_of(
                st.none(), st.tuples(*[st.sampled_from((1, 1, 2, 3, 4, 9, 0, 15, 115, 115, 18, 244, 249))] * count)
            )
        )
        if flags == tuple(9 if each is None else 1 for each in values):
            flags = None
        coverage = draw(st.one_of(st.just(100), st.integers(0, 100)))
        out.append(Record(seq, moment, coverage, values, flags))
        seq += step
        kind = draw(st.integers(0, 3))
        unit = profile.window_s * (1 if moment[0] == UTC else 1000)
        later = moment[:-1] + (moment[-1] + unit * kind,)
        if kind == 3 or later[-1] > (UTC_HIGH_S if moment[0] == UTC else UPTIME_HIGH_MS):
            later = draw(time)
        moment = later
    return profile, out


@given(frames(), st.one_of(st.none(), st.integers(UTC_LOW_S, UTC_HIGH_S)), st.booleans(), st.integers(0, 16383))
def test_everything_comes_back(
    frame: tuple[Profile, list[Record]], now_s: int | None, said_hello: bool, behind: int
) -> None:
    profile, given_records = frame
    hello_seq = max(given_records[0].seq - behind, 0) if said_hello else None
    payload = encode_records(profile, given_records, now_s, hello_seq)
    next_seq = (hello_seq or 0) + behind
    assert decode_records(payload, profile, next_seq, now_s or 0) == given_records
    head = peek_records(payload, next_seq)
    assert head == (profile.short, tuple(record.seq for record in given_records), True)
    low = peek_records(payload)
    assert {(seq - other) % 65536 for seq, other in zip(low.seqs, head.seqs, strict=True)} == {0}
    assert low.exact == (low.seqs == head.seqs and payload[1] != 0) or low.seqs == head.seqs


@given(st.binary(max_size=300), profiles, st.integers(0, 0xFFFFFFFF), st.integers(0, UTC_HIGH_S))
@example(b"", TEN, 0, 0)
@example(b"\x00" * 300, TEN, 0, 0)
@example(b"\xff" * 300, TEN, 0, 0)
def test_garbage_gives_nothing_but_wire_errors(data: bytes, profile: Profile, next_seq: int, now_s: int) -> None:
    payload = bytes([profile.short]) + data
    for attempt in (
        lambda: list(peek_records(payload, next_seq).seqs),
        lambda: list(peek_records(data).seqs),
        lambda: decode_records(payload, profile, next_seq, now_s),
    ):
        assert reason_of(lambda attempt=attempt: in_bounds(attempt())) in ("", "short", "long", "range", "profile")


@given(st.binary(min_size=20, max_size=80), st.integers(0, 4095))
def test_garbage_behind_a_good_head(data: bytes, now_s: int) -> None:
    """A head that fits leads the reader as deep as it goes."""
    whole = encode_records(TEN, [Record(5, (UTC, END_S), 100, USUAL, None)] * 1, END_S, 0)
    batch = encode_records(TEN, [Record(5 + at, (UTC, END_S + 60 * at), 100, USUAL, None) for at in range(9)], END_S, 0)
    for head in (whole[:6], batch[:6]):
        reason = reason_of(lambda head=head: in_bounds(decode_records(head + data, TEN, 5, END_S + now_s)))
        assert reason in ("", "short", "long", "range")


@st.composite
def usual_frames(draw: st.DrawFn) -> tuple[Profile, Record, bytes]:
    """One record, every value there and in its channel's range, in the grid of minutes."""
    items = draw(st.lists(item, min_size=1, max_size=ITEMS_MAX, unique=True))
    profile = Profile(tuple(items), 60)
    ranges = [(by_id(channel).low, by_id(channel).high) for channel, _ in items]
    values = tuple(
        draw(st.integers(low, min(high, low + draw(st.sampled_from((5, 1000, high)))))) for low, high in ranges
    )
    record = Record(draw(st.integers(0, 16383)), (UTC, END_S), 100, values, None)
    return profile, record, encode_records(profile, [record], END_S, 0)


def outcome(attempt: Callable[[], object]) -> object:
    try:
        return attempt()
    except WireError:
        return None


@given(st.binary(min_size=1, max_size=60), profiles, st.booleans())
def test_the_fast_way_to_the_values_is_the_long_way(data: bytes, profile: Profile, wide: bool) -> None:
    items = plan(profile)

    def long_way() -> object:
        bits = BitReader(data)
        values, flags = records_gateway._take_values(bits, items, Adaption(items), None, wide)
        bits.finish()
        return values if flags is None else flags

    number = int.from_bytes(data, "big")
    fast = outcome(lambda: records_gateway._take_first(number, 8 * len(data), items, wide))
    assert fast == outcome(long_way)


@given(st.integers(0, 63), st.binary(max_size=60), profiles, st.integers(0, 0xFFFFFFFF), st.integers(0, UTC_HIGH_S))
@example(0, bytes(4), TEN, 0, UTC_HIGH_S)
@example(63, b"\xff" * 40, TEN, 0xFFFFFFFF, UTC_HIGH_S)
def test_the_fast_way_for_usual_frames_is_the_long_way(
    second: int, data: bytes, profile: Profile, next_seq: int, now_s: int
) -> None:
    payload = bytes((profile.short, second)) + data
    fast = outcome(lambda: decode_records(payload, profile, next_seq, now_s))
    assert fast == outcome(lambda: records_gateway._decode_any(payload, profile, next_seq, now_s))


@given(usual_frames(), st.integers(0, 3), st.integers(0, 7))
def test_the_fast_way_for_good_frames_is_the_long_way(frame: tuple[Any, ...], more: int, bit: int) -> None:
    """As they are, and with one bit of the last bytes turned."""
    profile, record, payload = frame
    assert payload[1] < 64
    assert decode_records(payload, profile, record.seq, END_S) == [record]
    broken = bytearray(payload)
    broken[-1 - more] ^= 1 << bit
    fast = outcome(lambda: decode_records(bytes(broken), profile, record.seq, END_S))
    assert fast == outcome(lambda: records_gateway._decode_any(bytes(broken), profile, record.seq, END_S))


def test_every_beginning_of_a_frame_is_too_short() -> None:
    rows = [Record(5 + at, (UTC, END_S + 61 * at), 100 - at, USUAL, None) for at in range(5)]
    payload = encode_records(TEN, rows)
    for size in range(len(payload)):
        with pytest.raises(WireError, match="short"):
            decode_records(payload[:size], TEN, 0, 0)
    for more in (b"\x00", b"\x01"):
        with pytest.raises(WireError, match="long"):
            decode_records(payload + more, TEN, 0, 0)


def test_every_filling_bit_is_looked_at() -> None:
    writer = BitWriter()
    writer.put(1, 1)
    payload = writer.finish()
    for filling in range(1, 128):
        reader = BitReader(bytes([payload[0] | filling]))
        reader.take(1)
        with pytest.raises(WireError, match="long"):
            reader.finish()


def test_seeded_frames_come_back() -> None:
    dice = records_cases.Dice(4)
    for _ in range(500):
        assert records_cases.check(dice)[1] is None


@given(st.integers(0, 0xFFFFFFFF - 40000), st.integers(0, 16383), st.integers(-32768, 16383))
def test_low_bits_of_seq_are_unambiguous(hello_seq: int, heard: int, distance: int) -> None:
    """Whatever a receiver knows between the sender's last hello and 16384 later, every seq that is sent as low bits
    is taken for what it is."""
    seq = hello_seq + distance
    if seq >= 0:
        assert resolve_seq(seq & 0xFFFF, hello_seq + heard) == seq


@pytest.mark.parametrize(
    ("seq", "hello_seq", "exact"),
    [
        (100_000, 100_000, False),
        (116_383, 100_000, False),
        (116_384, 100_000, True),
        (67_232, 100_000, False),
        (67_231, 100_000, True),
        (100_000, None, True),
    ],
)
def test_seq_travels_whole_where_low_bits_could_fail(seq: int, hello_seq: int | None, exact: bool) -> None:
    payload = encode_records(TEN, [Record(seq, (UTC, END_S), 100, USUAL, None)], END_S, hello_seq)
    assert peek_records(payload).exact is exact


@given(st.integers(-70_000, 70_000), st.integers(-2000, 2000), st.sampled_from((1, 5, 60)))
@example(57344, 0, 60)
@example(57345, 0, 60)
@example(-2047, 0, 60)
@example(-2048, 0, 60)
def test_windows_are_unambiguous_for_clocks_that_differ(age: int, differ: int, window_s: int) -> None:
    profile = Profile(((11, 0),), window_s)
    now_s = 1_800_000_000
    row = Record(1, (UTC, now_s - age * window_s), 100, (1000,), None)
    assert decode_records(encode_records(profile, [row], now_s, 0), profile, 1, now_s + differ * window_s) == [row]


def test_usual_flags_and_missing_flags_are_no_flags() -> None:
    values = (None, *USUAL[1:])
    payload = encode_records(TEN, [Record(1, (UTC, END_S), 100, values, (9, *[1] * 9))], END_S, 0)
    assert payload == encode_records(TEN, [Record(1, (UTC, END_S), 100, values, None)], END_S, 0)
    assert decode_records(payload, TEN, 1, END_S)[0].flags is None


def test_a_reason_costs_little_and_its_repeats_a_bit() -> None:
    """Humid air makes everything that a particle sensor gives suspect, for hours."""
    air = Profile(tuple((id_of(name), 0) for name in ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "humidity")), 60)
    values = (80, 123, 150, 187, 600, 871)
    flags = (*[SUSPECT | HUMIDITY << 4] * 5, GOOD)

    def size(count: int, flags: tuple[int, ...] | None) -> int:
        rows = [Record(at, (UTC, END_S + 60 * at), 100, values, flags) for at in range(count)]
        return len(encode_records(air, rows, END_S, 0))

    assert size(1, flags) - size(1, None) <= 4
    assert size(16, flags) - size(16, None) <= 6


def test_a_speed_that_privacy_forbids_costs_one_bit() -> None:
    few = (*USUAL[:8], 2, None)
    row = Record(1, (UTC, END_S), 100, few, None)
    payload = encode_records(TEN, [row], END_S, 0)
    assert decode_records(payload, TEN, 1, END_S) == [row]
    assert len(payload) < len(encode_records(TEN, [row._replace(values=USUAL)], END_S, 0))


def test_a_sensor_that_fails_for_a_whole_batch_costs_three_bytes_at_most() -> None:
    usual = [Record(at, (UTC, END_S + 60 * at), 100, USUAL, None) for at in range(10)]
    broken = [row._replace(values=(None, *USUAL[1:])) for row in usual]
    assert len(encode_records(TEN, broken, END_S, 0)) <= len(encode_records(TEN, usual, END_S, 0)) + 3


def test_same_bits_in_another_instance_are_another_partner() -> None:
    """laeq of microphone 0 says nothing of lafmax of microphone 1."""
    apart = Profile(((by_name("laeq").id, 0), (by_name("lafmax").id, 1)), 60)
    assert [each[5] for each in plan(apart)] == [-1, -1]
    reverse = Profile(((by_name("lafmax").id, 0), (by_name("laeq").id, 0)), 60)
    assert [each[5] for each in plan(reverse)] == [-1, -1]


@given(st.integers(0, (1 << 33) - 1), st.integers(0, 24), st.integers(0, 255), st.integers(0, 8))
def test_numbers(number: int, k: int, before: int, width: int) -> None:
    writer = BitWriter()
    writer.put(before & (1 << width) - 1, width)
    writer.number(number, k)
    writer.put(1, 1)
    data = writer.finish()
    reader = BitReader(data)
    assert reader.take(width) == before & (1 << width) - 1
    assert reader.number(k) == number
    assert reader.take(1) == 1
    reader.finish()
    assert bit_length(number) == _bit_length(number)


@given(st.integers(VALUE_LOW, VALUE_HIGH), st.integers(VALUE_LOW - 1000, VALUE_HIGH), st.integers(VALUE_LOW, 0))
def test_folding(wanted: int, p: int, floor: int) -> None:
    if wanted >= floor:
        u = fold(wanted, p, floor)
        assert 0 <= u < 1 << 33
        assert unfold(u, p, floor) == wanted


def test_columns_of_the_codec() -> None:
    for channel in CHANNELS:
        assert 0 <= channel.mode <= 4
        assert channel.low <= channel.centre <= channel.high
        assert 0 <= channel.width <= (24 if channel.kind == TOTAL else 16)
        assert 0 <= channel.step <= 255
        assert channel.partner == 0 or CHANNELS[channel.partner - 1].name != channel.name
        assert (channel.mode == 4) == bool(channel.min_count and channel.partner)
