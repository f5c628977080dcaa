"""Every message as a declared table: type code, fields, and for each field its bytes and its range.

`encode` gives (type, payload), ValueError if a field is out of range; `decode` gives the message back, WireError if the
payload cannot be one. Integers are big endian, two's complement where the range goes below zero. There is no field of
free text or bytes. Records have a codec of their own, wire/records.py.
"""

from collections import namedtuple

from wire import BOOT, UPTIME_HIGH_MS, UTC, UTC_HIGH_S, UTC_LOW_S, WireError
from wire.profiles import INSTANCE_MAX, Profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A field is (bytes, low, high[, 1 if it may be None]), or (layout, most bytes[, 2 if it is two items of the message])
# for one of the layouts in PUT and TAKE. Here are the halves that a node needs; the others are in wire/messages_gateway.py.
# None travels as the number just outside the range: all ones, or for signed fields the lowest.
U8 = (1, 0, 0xFF)
_BOOL = (1, 0, 1)
_U16 = (2, 0, 0xFFFF)
U32 = (4, 0, 0xFFFFFFFF)
BOOT_NUMBER = (2, 0, 0xFFFF)  # number of the boot modulo 65536, as in records
_COUNT = (4, 1, 0xFFFFFFFF)
_U16_OR = (2, 0, 0xFFFE, 1)
_U24_OR = (3, 0, 0xFFFFFE, 1)
_I8_OR = (1, -127, 127, 1)
_I16_OR = (2, -32767, 32767, 1)
_I32 = (4, -0x80000000, 0x7FFFFFFF)
UPTIME_MS = (5, 0, UPTIME_HIGH_MS)
UTC_S = (4, UTC_LOW_S, UTC_HIGH_S)
_UTC_MS = (6, UTC_LOW_S * 1000, UTC_HIGH_S * 1000)
_CAUSE = (1, 1, 5)
_CODE = (1, 1, 0xFF)  # events, commands and results will grow: an older gateway stores what it cannot name yet
INSTANCE = (1, 0, INSTANCE_MAX)
SETTING_FIELD = (5, -0x8000000000, 0x7FFFFFFFFF)

PROFILES_MAX = 4  # profiles that a node runs at once
ACK_BITS = 64
SETTINGS_MAX = 30  # in one message: it must fit into one LoRa frame


def put(out: bytearray, spec: tuple[int, ...], value: "int | None") -> None:
    """Append one integer; ValueError if it is none or out of range."""
    if value is None and len(spec) > 3:
        value = spec[1] - 1 if spec[1] < 0 else spec[2] + 1
    elif not isinstance(value, int) or not spec[1] <= value <= spec[2]:
        raise ValueError("range")
    out.extend((value & (1 << 8 * spec[0]) - 1).to_bytes(spec[0], "big"))


def take(data: bytes, at: int, spec: tuple[int, ...]) -> "int | None":
    """The integer at this place; WireError if it is cut off or out of range."""
    end = at + spec[0]
    if end > len(data):
        raise WireError("short")
    value = int.from_bytes(data[at:end], "big")
    low = spec[1]
    if low < 0 and data[at] & 128:
        value -= 1 << 8 * spec[0]
    if not low <= value <= spec[2]:
        if len(spec) > 3 and value == (low - 1 if low < 0 else spec[2] + 1):
            return None
        raise WireError("range")
    return value


def _put_time(out: bytearray, time: "tuple[int, ...] | None") -> None:
    """00 (none), 01 | unix seconds u32, or 02 | boot u16 | milliseconds since boot u40."""
    if time is None:
        out.append(0)
    elif not isinstance(time, (tuple, list)):
        raise ValueError("time")
    elif len(time) == 2 and time[0] == UTC:
        out.append(UTC)
        put(out, UTC_S, time[1])
    elif len(time) == 3 and time[0] == BOOT:
        out.append(BOOT)
        put(out, BOOT_NUMBER, time[1])
        put(out, UPTIME_MS, time[2])
    else:
        raise ValueError("time")


def _put_totals(out: bytearray, totals: tuple[int, ...]) -> None:
    """Six u32: windows scheduled, sealed, and not delivered for cause off, not sampled, refused, overwritten."""
    if not isinstance(totals, (tuple, list)) or len(totals) != 6:
        raise ValueError("totals")
    for value in totals:
        put(out, U32, value)


def _put_ids(out: bytearray, ids: tuple[int, ...]) -> None:
    """Number of profiles u8, then the id of each, u32."""
    if not isinstance(ids, (tuple, list)) or len(ids) > PROFILES_MAX:
        raise ValueError("profiles")
    out.append(len(ids))
    for value in ids:
        put(out, U32, value)


def _put_profile(out: bytearray, profile: Profile) -> None:
    """The descriptor (wire/profiles.py), to the end of the payload."""
    if not isinstance(profile, Profile):
        raise ValueError("profile")
    out.extend(profile.encode())


def _take_window(data: bytes, at: int) -> "tuple[Any, int]":
    end = len(data)
    if at == end:
        return (0, 0), end
    base = take(data, at, U32)
    at += 4
    if not 1 <= end - at <= 8 or not data[end - 1]:  # one encoding only: the last byte holds the highest bit
        raise WireError("short" if end == at else "range")
    bits = 0
    while end > at:
        end -= 1
        bits = bits << 8 | data[end]
    return (base, bits), len(data)


PUT: "dict[str, Any]" = {"time": _put_time, "totals": _put_totals, "profile ids": _put_ids, "descriptor": _put_profile}
TAKE: "dict[str, Any]" = {"window": _take_window}


def _encoder(layout: str) -> "Any":
    """The function that encodes a layout; what is rare and the gateway's half are fetched when needed."""
    if layout in PUT:
        return PUT[layout]
    return _rare(layout).PUT[layout]


def _decoder(layout: str) -> "Any":
    """The function that decodes a layout."""
    if layout in TAKE:
        return TAKE[layout]
    return _rare(layout).TAKE[layout]


def _rare(layout: str) -> "Any":  # seldom
    """The module that knows a layout which is not here."""
    if layout == "settings":
        from wire import settings_list

        return settings_list
    from wire import messages_gateway

    return messages_gateway


_TIME = ("time", 8)
_TOTALS = ("totals", 24)
_IDS = ("profile ids", 1 + 4 * PROFILES_MAX)
_PROFILE = ("descriptor", 81)
_WINDOW = ("window", 12, 2)
_SETTINGS = ("settings", 7 * SETTINGS_MAX)

# Uplink. `totals` count windows, from 0 at the beginning of a life, and never fall.
Totals = namedtuple("Totals", "scheduled sealed off not_sampled refused overwritten")
# After each boot and after unanswered frames; its frame carries the full counter in clear. `uptime_ms` is that of its
# sealing: it ties boot times to the time of receipt. `firmware` is major << 16 | minor << 8 | patch.
Hello = namedtuple(
    "Hello", "boot uptime_ms reset_cause wire_version firmware clock_synced oldest_seq next_seq totals profile_ids"
)
# Windows first_seq .. first_seq + count - 1 hold no record. `time` is the end of the first one, as in a record.
Gap = namedtuple("Gap", "first_seq count cause profile_short time")
Health = namedtuple(
    "Health",
    "seq time boot uptime_ms reset_cause totals oldest_seq supply_mv temperature_cdeg free_heap "
    "largest_block free_blocks rssi_dbm snr_db frames_sent frames_answered frames_refused task_restarts",
)
Event = namedtuple("Event", "seq time code arg")
# `profile` held from window index `first_window` (0: from before the clock was set) until before `ended` (0: it holds).
DescriptorMsg = namedtuple("DescriptorMsg", "first_window ended profile")
SettingValue = namedtuple("SettingValue", "id instance value ok")
CommandResult = namedtuple("CommandResult", "command_id code value")

# Downlink. All seq below `cum` are stored, and base + i for each bit i that is set in `bits` (64 at most).
Ack = namedtuple("Ack", "cum base bits")
# The gateway's time when it sent this, and how long before that it received the uplink which this answers.
TimeMsg = namedtuple("TimeMsg", "unix_ms held_ms")
AckTime = namedtuple("AckTime", "unix_ms held_ms cum base bits")
DescriptorRequest = namedtuple("DescriptorRequest", "profile_short")
Backfill = namedtuple("Backfill", "first count")
GetSetting = namedtuple("GetSetting", "id instance")
SetSetting = namedtuple("SetSetting", "id instance value")
Command = namedtuple("Command", "id code arg expiry_s")
# All of these settings, or none of them: none if the calibration (wire/calibration.py) would not have this number then.
Calibrate = namedtuple("Calibrate", "number settings")
# Over LoRa, from `after_s` after its receipt on: `channels` is a mask of the region's uplink channels, as in lora_channels.
Rate = namedtuple("Rate", "sf power_dbm channels after_s")

HELLO = 1
RECORDS = 2
GAP = 3
HEALTH = 4
EVENT = 5
DESCRIPTOR = 6
SETTING_VALUE = 7
COMMAND_RESULT = 8
RECORDS_ASK = 9  # as RECORDS, and an answer is wanted: over LoRa none comes to a frame that does not ask
ACK = 16
TIME = 17
ACK_TIME = 18
DESCRIPTOR_REQUEST = 19
BACKFILL = 20
GET_SETTING = 22  # 22 and above have the 8-byte tag on every link (wire.frame.STRONG)
SET_SETTING = 23
COMMAND = 24
CALIBRATE = 25
RATE = 26

TABLE: "tuple[tuple[int, Any, tuple[Any, ...]], ...]" = (
    (
        HELLO,
        Hello,
        (BOOT_NUMBER, UPTIME_MS, U8, U8, (3, 0, 0xFFFFFF), _BOOL, U32, U32, _TOTALS, _IDS),
    ),
    (GAP, Gap, (U32, _COUNT, _CAUSE, U8, _TIME)),
    (
        HEALTH,
        Health,
        (U32, _TIME, BOOT_NUMBER, UPTIME_MS, U8, _TOTALS, U32, _U16_OR, _I16_OR, _U24_OR, _U24_OR, _U24_OR, _I16_OR)
        + (_I8_OR, U32, U32, U32, _U16),
    ),
    (EVENT, Event, (U32, _TIME, _CODE, _I32)),
    (DESCRIPTOR, DescriptorMsg, (U32, U32, _PROFILE)),
    (SETTING_VALUE, SettingValue, (U8, INSTANCE, SETTING_FIELD, _BOOL)),
    (COMMAND_RESULT, CommandResult, (U32, U8, _I32)),
    (ACK, Ack, (U32, _WINDOW)),
    (TIME, TimeMsg, (_UTC_MS, _U16)),
    (ACK_TIME, AckTime, (_UTC_MS, _U16, U32, _WINDOW)),
    (DESCRIPTOR_REQUEST, DescriptorRequest, (U8,)),
    (BACKFILL, Backfill, (U32, _COUNT)),
    (GET_SETTING, GetSetting, (U8, INSTANCE)),
    (SET_SETTING, SetSetting, (U8, INSTANCE, SETTING_FIELD)),
    (COMMAND, Command, (U32, _CODE, _I32, UTC_S)),
    (CALIBRATE, Calibrate, (U32, _SETTINGS)),
    (RATE, Rate, ((1, 7, 12), (1, -9, 22), (2, 1, 0xFFFF), _U16)),
)

# Causes of a gap. VOID: a seq that was leased and never given to a window; not scheduled, not in the ledger.
OFF = 1
NOT_SAMPLED = 2
REFUSED = 3
OVERWRITTEN = 4
VOID = 5

# Events; `arg` is the sensor's place on the board, the number of the task, the setting, or 0.
DOOR_OPENED = 1
DOOR_CLOSED = 2
SUPPLY_LOST = 3
SUPPLY_BACK = 4
SELF_TEST_PASSED = 5
SELF_TEST_FAILED = 6
SENSOR_LOST = 7
SENSOR_BACK = 8
SAFE_MODE = 9
SLOT_FELL_BACK = 10
CLOCK_STEPPED = 11  # arg: seconds, forwards positive
TASK_RESTARTED = 12
SETTINGS_REPAIRED = 13
LEASE_REPAIRED = 14
SETTING_CHANGED = 15
OUTBOX_REPAIRED = 16
DUTY_SPENT = 17  # the airtime that the law allows; arg: s until some comes free; records wait
RADIO_LOST = 18  # arg: error number; records wait
RADIO_BACK = 19

# Commands and what a node answers.
RESTART = 1
SELF_TEST = 2  # arg: sensor's place on the board
IDENTIFY = 3  # arg: seconds to blink
FAN_CLEAN = 4  # arg: sensor's place on the board
SEND_HEALTH = 5
CALIBRATE_MIC = 6  # arg: the same; a calibrator (94 dB, 1 kHz) sounds: listen for some seconds instead of measuring
MIC_OFFSET = 7  # arg: the same; what came of it: DONE with a value for mic_offset_cdb, or FAILED with a reason
RANGE_TEST = 8  # over LoRa: send numbered frames; arg: firmware/links/lora_range.py
DONE = 0
EXPIRED = 1
UNSUPPORTED = 2
FAILED = 3
NO_CLOCK = 4  # expiry cannot be judged
REPEATED = 5  # was run before; not run again
PROBE = 6  # one frame of a range test; value: number | sf << 8 | power in dBm + 10 << 16

# Why there is no value for mic_offset_cdb.
MIC_NOT_YET = 1  # not asked for since the sensor was started, or still listening
MIC_NO_SOUND = 2
MIC_SAMPLES_LOST = 3
MIC_OVERLOADED = 4
MIC_UNSTEADY = 5  # the level moves: not yet seated, or no calibrator
MIC_IMPURE = 6  # other sound beside the tone
MIC_NOT_1KHZ = 7
MIC_NOT_94_DB = 8  # more than 6 dB away: another level, or a broken microphone


def encode(message: "tuple[Any, ...]") -> "tuple[int, bytearray]":  # seldom
    """(type, payload) of any message but records; ValueError if a field is out of its range."""
    for row in TABLE:
        if isinstance(message, row[1]):
            break
    else:
        raise ValueError("type")
    code, _, fields = row
    out = bytearray()
    i = 0
    for spec in fields:
        if isinstance(spec[0], int):
            put(out, spec, message[i])
        elif len(spec) > 2:
            _encoder(spec[0])(out, message[i], message[i + 1])
            i += 1
        else:
            _encoder(spec[0])(out, message[i])
        i += 1
    if code == SET_SETTING and not _permits(message):
        raise ValueError("setting")
    return code, out


def decode(message_type: int, payload: bytes | bytearray) -> "Any":
    """The message of this type; WireError `type`, `short`, `long` or `range`."""
    for row in TABLE:
        if row[0] == message_type:
            break
    else:
        raise WireError("type")
    code, cls, fields = row
    payload = bytes(payload)
    at = 0
    values: "list[Any]" = []
    for spec in fields:
        if isinstance(spec[0], int):
            values.append(take(payload, at, spec))
            at += spec[0]
        else:
            value, at = _decoder(spec[0])(payload, at)
            if len(spec) > 2:
                values.extend(value)
            else:
                values.append(value)
    if at != len(payload):
        raise WireError("long")
    if code == SET_SETTING and not _permits(values):
        raise WireError("range")
    return cls(*values)


def _permits(values: "tuple[Any, ...] | list[Any]") -> bool:  # seldom
    from wire.settings import permits

    return permits(values[0], values[1], values[2])
