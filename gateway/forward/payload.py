"""The JSON of the MQTT sink, `steiger.records.v1` (docs/mqtt.md): built from stored rows alone.

The same batch gives the same bytes each time, so that a repeat can be told by eye: nothing of the moment of sending,
of the key file or of the configuration is in it but the gateway's id. Values are decimal numbers of the channel's own
resolution, made from integers: there is no NaN to send.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import lru_cache
from operator import getitem
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gateway.models import KIND_NAMES, RECORD, TIME_STATES, Batch, Channel, ProfileInfo, Record
from wire.quality import GOOD, flag_name, reason_name

SCHEMA = "steiger.records.v1"
WRITTEN_MAX = 512  # texts kept of a channel's values: 0.1 MB, and more than an hour brings of most

Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$", description="UTC")]
Life = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}$")]


class Value(msgspec.Struct, forbid_unknown_fields=True):
    """One quantity: value (null: missing) and unit (UCUM)."""

    v: float | None
    u: str


class Quality(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Why a value is not good, in words."""

    flag: Annotated[str, Meta(pattern=r"^[a-z_]+[0-9]*$", description="not_evaluated, suspect, bad, missing")]
    reason: (
        Annotated[str, Meta(pattern=r"^[a-z_]+[0-9]*$", description="docs/quality.md; absent: none known")] | None
    ) = None


class Heard(msgspec.Struct, forbid_unknown_fields=True):
    """How one ear of the gateway received it over LoRa."""

    ear: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="its name in the gateway's configuration")]
    mhz: float
    sf: Annotated[int, Meta(ge=5, le=12, description="spreading factor")]
    rssi_dbm: int
    snr_db: float


class Counted(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Events between two neighbouring values of a total; each is told once."""

    name: Annotated[str, Meta(pattern=r"^[a-z_]+[a-z0-9_]*$", description="the quantity whose values differ by it")]
    since: Annotated[Time, Meta(description="end of the window of the earlier value")]
    until: Annotated[Time, Meta(description="end of the window of the later value")]
    v: Annotated[int, Meta(ge=0)]
    restarted: Annotated[
        bool, Meta(description="the board began to count anew in between: v is what it counted since then")
    ] = False
    quality: Annotated[Quality | None, Meta(description="of the later value, where that is not good")] = None


class RecordJson(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of a node's outbox. `id` is unique for ever and the same in every repeat: key by it."""

    id: Annotated[str, Meta(pattern=r"^\d{1,5}-[0-9a-f]{8}-\d{1,10}$")]
    node: Annotated[int, Meta(ge=1, le=65535, description="address of the board")]
    life: Life
    seq: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    kind: Literal["record", "gap", "health", "event"]
    start: Annotated[Time, Meta(description="observation begins; fixed at the node")]
    end: Annotated[Time, Meta(description="observation ends")]
    bound_s: Annotated[float, Meta(ge=0, description="the true times differ from start and end by at most this")]
    time_source: Literal["clock", "anchor", "neighbours"]
    received: Annotated[Time, Meta(description="the gateway stored it")]
    coverage: Annotated[int, Meta(ge=0, le=100, description="per cent of the window that was measured")]
    values: dict[str, Value]
    flags: Annotated[dict[str, int], Meta(description="quality where it is not good: 2 3 4 9, QARTOD")] = {}
    quality: Annotated[dict[str, Quality], Meta(description="the same in words, with the reason")] = {}
    profile: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}$", description="what is measured, and its calibration")] = ""
    calibration: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{8}$", description="what made these values: docs/calibration.md; absent: none")
    ] = ""
    detail: Annotated[dict[str, int], Meta(description="integers of a gap, health or event entry")] = {}
    heard: Annotated[
        list[Heard], Meta(description="who received it over LoRa, the best one first; absent: it came over a wire")
    ] = []
    differences: Annotated[
        list[Counted], Meta(description="what became certain with this entry of events between two totals")
    ] = []


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    """One message: at least one record."""

    schema: Literal["steiger.records.v1"]
    gateway: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    batch: Annotated[int, Meta(ge=1, description="rises with each batch of this gateway; a repeat has the same")]
    records: Annotated[list[RecordJson], Meta(min_length=1)]


_decoder = msgspec.json.Decoder(Payload)


def decode(payload: bytes) -> Payload:
    """Strict reading, as a consumer could do it; msgspec.ValidationError on anything that the schema does not name."""
    return _decoder.decode(payload)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a message; `records.schema.json` beside this file holds it (a test compares)."""
    schema = msgspec.json.schema(Payload)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:steiger:records:v1",
        "title": SCHEMA,
        **schema,
    }


def encode(gateway: str, batch: Batch, max_bytes: int) -> Iterator[bytes]:
    """The messages of a batch: one, unless it is larger than `max_bytes` (the batch was cut under another setting)."""
    head = f'{{"schema":"{SCHEMA}","gateway":"{gateway}","batch":{batch.id},"records":['.encode()
    parts: list[bytes] = []
    size = len(head) + 2
    for record in batch.records:
        text = encode_record(record).encode()
        if parts and size + len(text) > max_bytes:
            yield head + b",".join(parts) + b"]}"
            parts, size = [], len(head) + 2
        parts.append(text)
        size += len(text) + 1
    if parts:
        yield head + b",".join(parts) + b"]}"


def encode_record(record: Record) -> str:
    """One record as JSON; LookupError if the store did not give its profile along."""
    begin, node = _identity(record.life_info.node, record.life_info.life)
    seq, end_ms = record.seq, record.end_ms
    profile = record.profile
    head = (
        f'{begin}{seq}{node}{seq},"kind":"{KIND_NAMES[record.kind_code]}",'
        f'"start":"{iso(record.start_ms)}","end":"{iso(end_ms)}",'
        f'"bound_s":{_seconds(record.bound_ms)},"time_source":"{TIME_STATES[record.time_code]}",'
        f'"received":"{iso(record.received_ms)}","coverage":{record.coverage},"values":{{'
    )
    if record.kind_code != RECORD:
        named = _named(profile) if profile is not None else ""
        detail = json.dumps(record.detail or {}, separators=(",", ":"))
        return f'{head}}}{named},"detail":{detail}{_heard(record)}{_counted(record)}}}'
    if profile is None:  # to send it without its values would be to lose them
        raise LookupError(f"record {record.id} has no profile")
    values = record.values
    form = _forms.get(profile.row)
    if form is None or form.profile is not profile:  # hashing the whole profile would cost as much as the record
        form = _form(profile)
    if record.flags is None and len(values) == len(form.values):
        try:  # the usual case: nothing missing, all good; dividing None raises TypeError
            text = ",".join(map(getitem, form.values, values))  # type: ignore[arg-type]
            return f"{head}{text}}}{form.named}{_heard(record)}{_counted(record)}}}"
        except TypeError:
            pass
    return f"{head}{_values(record, profile)}{form.named}{_heard(record)}{_counted(record)}}}"


@lru_cache(maxsize=1024)
def _identity(node: int, life: int) -> tuple[str, str]:
    """What a record begins with up to its seq, and what stands between that and the seq once more."""
    return f'{{"id":"{node}-{life:08x}-', f'","node":{node},"life":"{life:08x}","seq":'


def _heard(record: Record) -> str:
    """Who received it over LoRa; nothing for what came over a wire."""
    if record.receptions is None:
        return ""
    parts = [
        f'{{"ear":"{one.ear}","mhz":{one.freq_hz / 1e6:g},"sf":{one.sf},"rssi_dbm":{one.rssi_dbm},"snr_db":{one.snr_db}}}'
        for one in record.heard
    ]
    return f',"heard":[{",".join(parts)}]'


def _counted(record: Record) -> str:
    """Differences of totals; nothing where none became certain."""
    if record.differences is None:
        return ""
    parts = [
        f'{{"name":"{one.name}","since":"{iso(one.since_ms)}","until":"{iso(one.until_ms)}","v":{one.events}'
        + (',"restarted":true' if one.restarted else "")
        + (f',"quality":{_words(one.quality)}}}' if one.quality != GOOD else "}")
        for one in record.counted
    ]
    return f',"differences":[{",".join(parts)}]'


def _named(profile: ProfileInfo) -> str:
    """The profile, and what calibrated it."""
    if not profile.calibration:
        return f',"profile":"{profile.id:08x}"'
    return f',"profile":"{profile.id:08x}","calibration":"{profile.calibration:08x}"'


@lru_cache(maxsize=1024)  # windows of many nodes end together, and where one ends the next begins
def iso(ms: int) -> str:
    """UTC, ISO 8601; milliseconds only where there are any."""
    minute, rest = divmod(ms, 60_000)
    if rest % 1000:
        return f"{_minute(minute)}{rest // 1000:02d}.{rest % 1000:03d}Z"
    return f"{_minute(minute)}{rest // 1000:02d}Z"


@lru_cache(maxsize=1024)  # for moments of receipt, of which each is another
def _minute(minute: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(minute * 60))


@lru_cache(maxsize=1024)
def _seconds(ms: int) -> str:
    return repr(ms / 1000)


class _Written(dict[int, str]):
    """`"name":{"v":12.3,"u":"ug/m3"}` of one channel by its raw value, as often as it is asked for: what is measured repeats
    itself, in a town from node to node and on one node from minute to minute. `%.1f` of raw/10 is exact: the quotient's
    error is far below."""

    def __init__(self, channel: Channel) -> None:
        self._form = f'"{channel.name}":{{"v":%.{channel.decimals}f,"u":"{channel.unit.replace("%", "%%")}"}}'
        self._scale = 10**channel.decimals
        self._shown = channel.shown

    def __missing__(self, raw: int) -> str:
        text: str = self._form % (self._shown(raw) / self._scale)
        if len(self) >= WRITTEN_MAX:
            self.clear()
        self[raw] = text
        return text


class _Form(NamedTuple):
    """How the records of one profile are written."""

    profile: ProfileInfo
    values: tuple[_Written, ...]
    named: str  # the profile itself


_forms: dict[int, _Form] = {}  # by row of the store; as many as profiles
_written: dict[Channel, _Written] = {}  # as many as channels: profiles of the same kind share them


def _form(profile: ProfileInfo) -> _Form:
    values = tuple([_written.setdefault(channel, _Written(channel)) for channel in profile.channels])
    form = _forms[profile.row] = _Form(profile, values, _named(profile))
    return form


def _words(quality: int) -> str:
    """A quality as JSON."""
    reason = f',"reason":"{reason_name(quality)}"' if quality > 15 else ""
    return f'{{"flag":"{flag_name(quality)}"{reason}}}'


def _values(record: Record, profile: ProfileInfo) -> str:
    """Values where some are missing or not good, to the brace behind them, the flags, and both in words."""
    parts, flags, words = [], [], []
    for index, (channel, raw) in enumerate(zip(profile.channels, record.values, strict=True)):
        value = "null" if raw is None else f"{channel.shown(raw) / 10**channel.decimals:.{channel.decimals}f}"
        parts.append(f'"{channel.name}":{{"v":{value},"u":"{channel.unit}"}}')
        quality = record.quality(index)
        if quality != GOOD:
            flags.append(f'"{channel.name}":{quality & 15}')
            words.append(f'"{channel.name}":{_words(quality)}')
    told = f',"flags":{{{",".join(flags)}}},"quality":{{{",".join(words)}}}' if flags else ""
    return ",".join(parts) + "}" + told
