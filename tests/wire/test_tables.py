"""What the tables promise: ranges everywhere, no place for text, names that people can use."""

import binascii
import re
from collections import Counter
from itertools import pairwise

import pytest

from wire import WireError, calibration, channels, messages, messages_gateway, names, settings
from wire.channel_table import TABLE
from wire.frame import DOWNLINK, HELLO, PAYLOAD_MAX, STRONG
from wire.profiles import ITEMS_MAX, Profile, distinct

# A layout of its own is allowed to these six and to nothing else; each is made of ranged integers (tests below).
OWN_LAYOUT = {messages._TIME, messages._TOTALS, messages._IDS, messages._PROFILE, messages._WINDOW, messages._SETTINGS}
SAMPLES = {
    messages._TIME: [None, (1, 1_760_000_000), (2, 65535, 2**40 - 2)],
    messages._TOTALS: [(2**32 - 1,) * 6],
    messages._IDS: [(), (2**32 - 1,) * messages.PROFILES_MAX],
    messages._PROFILE: [Profile(tuple((1 + i, 0) for i in range(ITEMS_MAX)), 60)],
    messages._SETTINGS: [((25, 0, 2**32 - 1),) * messages.SETTINGS_MAX],
}


def test_every_field_is_a_ranged_integer_or_one_of_six_known_layouts() -> None:
    for _, cls, fields in messages.TABLE:
        for spec in fields:
            if spec in OWN_LAYOUT:
                continue
            size, low, high = spec[:3]
            assert all(isinstance(part, int) for part in spec), cls
            assert 1 <= size <= 6
            assert low <= high
            room = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if low < 0 else (0, (1 << 8 * size) - 1)
            spare = 1 if len(spec) > 3 else 0  # None travels just outside the range
            assert low >= room[0] + (spare if low < 0 else 0)
            assert high <= room[1] - (spare if low >= 0 else 0)


def test_no_message_takes_text_or_bytes_anywhere() -> None:
    for _, cls, fields in messages.TABLE:
        width = sum(2 if spec is messages._WINDOW else 1 for spec in fields)
        assert width == len(cls._fields), cls
        for place in range(width):
            for foreign in ("text", b"\x00\x01", bytearray(4), 1.5, [b"x"], ["text"] * 6):
                values: list[object] = [_good(cls, name) for name in cls._fields]
                values[place] = foreign
                with pytest.raises((ValueError, TypeError)):
                    messages.encode(cls(*values))


def _good(cls: type, name: str) -> object:
    return {
        "time": None,
        "totals": (0,) * 6,
        "profile_ids": (),
        "profile": Profile(((1, 0),), 60),
        "settings": ((25, 0, 1),),
        "unix_ms": 1_760_000_000_000,
        "expiry_s": 1_760_000_000,
        "value": 60 if cls is messages.SetSetting else 0,
        "instance": 0,
    }.get(name, 1)


def test_own_layouts_are_no_longer_than_declared_and_hold_integers_only() -> None:
    for spec, samples in SAMPLES.items():
        for sample in samples:
            out = bytearray()
            messages._encoder(spec[0])(out, sample)
            assert len(out) <= spec[1]
    out = bytearray()
    messages_gateway.PUT["window"](out, 2**32 - 1, 2**64 - 1)
    assert len(out) <= messages._WINDOW[1]


def test_every_message_fits_into_one_lora_frame() -> None:
    for _, cls, fields in messages.TABLE:
        longest = sum(spec[1] if spec in OWN_LAYOUT else spec[0] for spec in fields)
        assert longest <= min(PAYLOAD_MAX), cls


def test_types_are_unique_and_on_the_right_side() -> None:
    codes = [row[0] for row in messages.TABLE] + [messages.RECORDS, messages.RECORDS_ASK]
    assert Counter(codes).most_common(1)[0][1] == 1
    assert messages.HELLO == HELLO
    up = {messages.Hello, messages.Gap, messages.Health, messages.Event}
    up |= {messages.DescriptorMsg, messages.SettingValue, messages.CommandResult}
    for code, cls, _ in messages.TABLE:
        assert 0 < code < 32
        assert (code < DOWNLINK) == (cls in up)
    strong = {messages.GetSetting, messages.SetSetting, messages.Command, messages.Calibrate, messages.Rate}
    assert {row[1] for row in messages.TABLE if row[0] >= STRONG} == strong


def test_names_name_every_number() -> None:
    for table, prefix in (
        (names.CAUSES, ("OFF", "NOT_SAMPLED", "REFUSED", "OVERWRITTEN", "VOID")),
        (
            names.COMMANDS,
            (
                "RESTART",
                "SELF_TEST",
                "IDENTIFY",
                "FAN_CLEAN",
                "SEND_HEALTH",
                "CALIBRATE_MIC",
                "MIC_OFFSET",
                "RANGE_TEST",
            ),
        ),
    ):
        assert [getattr(messages, name) for name in prefix] == list(range(1, len(table) + 1))
        assert tuple(name.lower() for name in prefix) == table
    for place, name in enumerate(names.EVENTS):
        assert getattr(messages, name.upper()) == place + 1
    for place, name in enumerate(names.MIC_REASONS):
        assert getattr(messages, f"MIC_{name.upper()}") == place + 1
    for place, name in enumerate(names.RESULTS):
        assert getattr(messages, name.upper()) == place
    assert set(names.MESSAGES) == {row[0] for row in messages.TABLE} | {messages.RECORDS, messages.RECORDS_ASK}


def test_channels_make_sense() -> None:
    assert len({channel.name for channel in channels.CHANNELS}) == len(channels.CHANNELS) < 255
    assert TABLE.count("\n") - 1 == channels.CHANNEL_COUNT
    for channel in channels.CHANNELS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", channel.name)
        assert channels.by_name(channel.name) is channel
        assert channels.by_id(channel.id) is channel
        assert channel.low < channel.high < 2**30  # a small integer on an ESP32
        assert 0 <= channel.decimals <= 3
        assert 0 <= channel.kind < len(channels.KINDS)
    for wrong in (0, -1, len(channels.CHANNELS) + 1):
        with pytest.raises(KeyError):
            channels.by_id(wrong)
    for unknown in (
        "number_plate",
        "0_5",
        "vehicles_30_36kmh_approach",
        "vehicles_kmh_approach",
        "vehicles_0_5_kmh_approach",
    ):
        with pytest.raises(KeyError):
            channels.by_name(unknown)


def test_a_family_of_channels_stands_in_one_line_of_the_table() -> None:
    bins = [channel for channel in channels.CHANNELS if re.fullmatch(r"vehicles_\d+_\d+kmh_depart", channel.name)]
    assert [channel.name for channel in bins[:2]] == ["vehicles_0_5kmh_depart", "vehicles_5_10kmh_depart"]
    edges = [tuple(int(edge) for edge in re.findall(r"\d+", channel.name)) for channel in bins]
    assert edges == [*[(low, low + 5) for low in range(0, 75, 5)], (75, 300)]
    assert {channel[2:] for channel in bins} == {bins[0][2:]}, "they differ in nothing but their names"
    assert channels.by_id(bins[-1].id + 1).name == "occupancy_approach"


def test_privacy_rule_of_speeds_and_levels() -> None:
    for channel in channels.CHANNELS:
        if channel.unit == "km/h" or "kmh" in channel.name or channel.name.startswith(("headway", "occupancy_")):
            assert channel.min_count >= 3
            assert channel.min_window_s >= 5
        if channel.unit == "dB":
            assert channel.min_window_s >= 1
        if channel.name.startswith("lzeq_"):
            assert channel.min_window_s >= 10, "thirty levels a second would be speech"


def test_one_third_octave_bands_are_a_family() -> None:
    """29 bands from 25 Hz to 16 kHz share one row's columns; their ids and names rise with the frequency."""
    bands = [channel for channel in channels.CHANNELS if channel.name.startswith("lzeq_")]
    hertz = [float(channel.name.removeprefix("lzeq_").replace("_", ".")) for channel in bands]
    assert len(bands) == 29
    for number, nominal in zip(range(-16, 13), hertz, strict=True):
        assert nominal == pytest.approx(1000 * 10 ** (number / 10), rel=0.03)
    first = bands[0]
    for below, band in pairwise(bands):
        assert band.id == below.id + 1
        assert channels.id_of(band.name) == band.id
        assert band == first._replace(id=band.id, name=band.name)


def test_settings_make_sense() -> None:
    for setting in settings.SETTINGS:
        assert settings.by_id(setting.id) is setting
        assert settings.by_name(setting.name) is setting
        assert setting.low <= setting.default <= setting.high
        assert 1 <= setting.instances <= 16
        assert settings.permits(setting.id, setting.instances - 1, setting.high)
        assert not settings.permits(setting.id, setting.instances, setting.high)
        assert not settings.permits(setting.id, 0, setting.high + 1)
        assert not settings.permits(setting.id, 0, setting.low - 1)
    assert not settings.permits(0, 0, 0)
    with pytest.raises(KeyError):
        settings.by_id(len(settings.SETTINGS) + 1)
    with pytest.raises(KeyError):
        settings.by_name("password")


def test_a_calibrations_number_names_every_setting_of_it_and_no_other() -> None:
    number = calibration.calibration
    assert number({}) == number({"min_count": 3, "window_s.0": 10, "health_s": 60}) == 0
    assert number({"min_count": 5, "direction_flip.1": 1}) == binascii.crc32(b"direction_flip.1=1 min_count.0=5 ")
    named = {
        f"{row.name}.0" if row.instances > 1 else row.name
        for row in settings.SETTINGS
        if calibration.calibration(_one(row))
    }
    assert {name.partition(".")[0] for name in named} == set(calibration.CALIBRATION)
    numbers = [number({f"cal_offset.{slot}": 1}) for slot in range(16)] + [number({"cal_offset.1": -1})]
    assert len(set(numbers)) == 17
    mixed = {"cal_slope.10": 9, "passport": 7, "cal_slope.2": 8}
    assert number(mixed) == number(dict(reversed(mixed.items())))


def _one(row: settings.Setting) -> dict[str, int]:
    value = row.high if row.high != row.default else row.low
    return {f"{row.name}.0" if row.instances > 1 else row.name: value}


def test_a_calibration_for_radio_is_refused_when_it_is_too_long_or_not_permitted() -> None:
    one = (settings.by_name("cal_offset").id, 3, -5)
    assert messages.decode(*messages.encode(messages.Calibrate(1, (one,) * 30))) == messages.Calibrate(1, (one,) * 30)
    for wrong in ((one,) * 31, ((21, 0, 4096),), ((21, 16, 1),), ((99, 0, 1),), ((21, 0),), 5, ((None, 0, 1),)):
        with pytest.raises((ValueError, TypeError)):
            messages.encode(messages.Calibrate(1, wrong))
    good = bytes(messages.encode(messages.Calibrate(1, (one,)))[1])
    for payload in (good[:-1], good + b"\0", good[:4] + b"\x63" + good[5:], good[:6] + b"\x7f" + good[7:]):
        with pytest.raises(WireError):
            messages.decode(messages.CALIBRATE, payload)


def test_profiles_in_use_at_once_have_different_shorts() -> None:
    profile = Profile(((2, 0),), 60)
    assert distinct(profile, set()) == profile
    other = distinct(profile, {profile.short})
    assert other.short != profile.short
    assert other.id != profile.id
    assert other.items == profile.items
    with pytest.raises(ValueError, match="short"):
        distinct(profile, set(range(256)))
