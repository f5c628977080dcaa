"""What the tables promise: ranges everywhere, no place for text, names that people can use."""

import re
from collections import Counter

import pytest

from wire import channels, messages, messages_gateway, names, settings
from wire.frame import DOWNLINK, HELLO, PAYLOAD_MAX, STRONG
from wire.profiles import ITEMS_MAX, Profile, distinct

# A layout of its own is allowed to these five and to nothing else; each is made of ranged integers (tests below).
OWN_LAYOUT = {messages._TIME, messages._TOTALS, messages._IDS, messages._PROFILE, messages._WINDOW}
SAMPLES = {
    messages._TIME: [None, (1, 1_760_000_000), (2, 65535, 2**40 - 2)],
    messages._TOTALS: [(2**32 - 1,) * 6],
    messages._IDS: [(), (2**32 - 1,) * messages.PROFILES_MAX],
    messages._PROFILE: [Profile(tuple((1 + i, 0) for i in range(ITEMS_MAX)), 60)],
}


def test_every_field_is_a_ranged_integer_or_one_of_five_known_layouts() -> None:
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
        "unix_ms": 1_760_000_000_000,
        "expiry_s": 1_760_000_000,
        "value": 60 if cls is messages.SetSetting else 0,
        "instance": 0,
    }.get(name, 1)


def test_own_layouts_are_no_longer_than_declared_and_hold_integers_only() -> None:
    for spec, samples in SAMPLES.items():
        for sample in samples:
            out = bytearray()
            messages.PUT[spec[0]](out, sample)
            assert len(out) <= spec[1]
    out = bytearray()
    messages_gateway.PUT["window"](out, 2**32 - 1, 2**64 - 1)
    assert len(out) <= messages._WINDOW[1]


def test_every_message_fits_into_one_lora_frame() -> None:
    for _, cls, fields in messages.TABLE:
        longest = sum(spec[1] if spec in OWN_LAYOUT else spec[0] for spec in fields)
        assert longest <= min(PAYLOAD_MAX), cls


def test_types_are_unique_and_on_the_right_side() -> None:
    codes = [row[0] for row in messages.TABLE] + [messages.RECORDS]
    assert Counter(codes).most_common(1)[0][1] == 1
    assert messages.HELLO == HELLO
    up = {messages.Hello, messages.Gap, messages.Health, messages.Event}
    up |= {messages.DescriptorMsg, messages.SettingValue, messages.CommandResult}
    for code, cls, _ in messages.TABLE:
        assert 0 < code < 32
        assert (code < DOWNLINK) == (cls in up)
    strong = {messages.GetSetting, messages.SetSetting, messages.Command}
    assert {row[1] for row in messages.TABLE if row[0] >= STRONG} == strong


def test_names_name_every_number() -> None:
    for table, prefix in (
        (names.CAUSES, ("OFF", "NOT_SAMPLED", "REFUSED", "OVERWRITTEN", "VOID")),
        (names.COMMANDS, ("RESTART", "SELF_TEST", "IDENTIFY", "FAN_CLEAN", "SEND_HEALTH")),
    ):
        assert [getattr(messages, name) for name in prefix] == list(range(1, len(table) + 1))
        assert tuple(name.lower() for name in prefix) == table
    for place, name in enumerate(names.EVENTS):
        assert getattr(messages, name.upper()) == place + 1
    for place, name in enumerate(names.RESULTS):
        assert getattr(messages, name.upper()) == place
    assert set(names.MESSAGES) == {row[0] for row in messages.TABLE} | {messages.RECORDS}


def test_channels_make_sense() -> None:
    assert len({channel.name for channel in channels.CHANNELS}) == len(channels.CHANNELS) < 255
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


def test_profiles_in_use_at_once_have_different_shorts() -> None:
    profile = Profile(((2, 0),), 60)
    assert distinct(profile, set()) == profile
    other = distinct(profile, {profile.short})
    assert other.short != profile.short
    assert other.id != profile.id
    assert other.items == profile.items
    with pytest.raises(ValueError, match="short"):
        distinct(profile, set(range(256)))
