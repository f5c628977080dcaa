"""Frames to readable objects, for the monitor and `steiger wire decode`: opens what the keys open, names why not.

It keeps no state but the highest counter and the profiles of each life, and refuses nothing: it looks, the gateway judges.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC as TIMEZONE_UTC
from datetime import datetime
from typing import Any

from gateway.keys import Life
from gateway.store.reader import profile_info
from wire import UTC, WireError, messages
from wire.crypto import Keys, subkeys
from wire.frame import DOWNLINK, LORA, SERIAL, Downlink, open_downlink
from wire.frame_gateway import UplinkHeader, guess_counter, open_uplink, parse_uplink_header
from wire.profiles import Profile, decode_profile
from wire.quality import GOOD, flag_name, reason_name
from wire.records_gateway import decode_records, peek_records
from wire.settings import by_id as setting_by_id

LINKS = {"serial": SERIAL, "lora": LORA}
# A listener that begins in the middle of a life knows the low 16 bits of the counter only; 256 guesses reach 16.7
# million frames, ten years at one frame in 20 s.
HIGH_GUESSES = 256

TYPES = {
    messages.HELLO: "hello",
    messages.RECORDS: "records",
    messages.RECORDS_ASK: "records, answer wanted",
    messages.GAP: "gap",
    messages.HEALTH: "health",
    messages.EVENT: "event",
    messages.DESCRIPTOR: "descriptor",
    messages.SETTING_VALUE: "setting value",
    messages.COMMAND_RESULT: "command result",
    messages.ACK: "ack",
    messages.TIME: "time",
    messages.ACK_TIME: "ack+time",
    messages.DESCRIPTOR_REQUEST: "descriptor request",
    messages.BACKFILL: "backfill",
    messages.GET_SETTING: "get setting",
    messages.SET_SETTING: "set setting",
    messages.COMMAND: "command",
    messages.RATE: "rate",
}
_CAUSES = {
    messages.OFF: "node off",
    messages.NOT_SAMPLED: "not sampled",
    messages.REFUSED: "refused by the sensor check",
    messages.OVERWRITTEN: "overwritten on the node",
    messages.VOID: "seq never used",
}
_EVENTS = {
    getattr(messages, name): name.lower().replace("_", " ")
    for name in (
        "DOOR_OPENED", "DOOR_CLOSED", "SUPPLY_LOST", "SUPPLY_BACK", "SELF_TEST_PASSED", "SELF_TEST_FAILED", "SENSOR_LOST",
        "SENSOR_BACK", "SAFE_MODE", "SLOT_FELL_BACK", "CLOCK_STEPPED", "TASK_RESTARTED", "SETTINGS_REPAIRED",
        "LEASE_REPAIRED", "SETTING_CHANGED", "OUTBOX_REPAIRED", "DUTY_SPENT", "RADIO_LOST", "RADIO_BACK",
    )
}  # fmt: skip
_PRETTY_UNITS = {"ug/m3": "µg/m³", "Cel": "°C", "[ppm]": "ppm", "[ppb]": "ppb", "1": "", "1/cm3": "1/cm³", "um": "µm"}


class Node:
    """One life as a listener knows it."""

    def __init__(self, life: Life) -> None:
        self.address = life.address
        self.life = life.life
        self.board = life.board
        self.keys: Keys = subkeys(life.key)
        self.highest: int | None = None
        self.next_seq = 0
        self.profiles: dict[int, Profile] = {}
        self.learn(life.profiles)

    def learn(self, descriptors: Iterable[str]) -> None:
        for descriptor in descriptors:
            try:
                profile = decode_profile(bytes.fromhex(descriptor))
            except (WireError, ValueError):
                continue
            self.profiles[profile.short] = profile


class Decoder:
    """Opens frames with the keys it has. `decode` never raises."""

    def __init__(self, lives: Iterable[Life], links: Sequence[int] = (SERIAL,)) -> None:
        self._links = tuple(links)
        self._nodes: dict[int, list[Node]] = {}
        for life in lives:  # the newest life of an address first: it is the likely one
            self._nodes.setdefault(life.address, []).insert(0, Node(life))

    def learn(self, life: str, descriptors: Iterable[str]) -> None:
        """Profiles of a life (hex) from elsewhere than its frames."""
        for nodes in self._nodes.values():
            for node in nodes:
                if f"{node.life:08x}" == life:
                    node.learn(descriptors)

    def decode(self, frame: bytes) -> dict[str, Any]:
        """{"ok", "direction", "type", "node", …}; without keys or with wrong ones `ok` is False and `reason` says why."""
        if frame and frame[0] >= 0x80 and frame[0] & 31 >= DOWNLINK:
            return self._decode_downlink(frame)
        header = parse_uplink_header(frame)
        if isinstance(header, str):
            return {"ok": False, "reason": header, "bytes": len(frame)}
        found: dict[str, Any] = {
            "ok": False,
            "direction": "up",
            "type": TYPES.get(header.type, f"type {header.type}"),
            "node": header.address,
            "bytes": len(frame),
        }
        if not self._nodes:
            return found | {"reason": "no keys"}
        if header.address not in self._nodes:
            return found | {"reason": "unknown node"}
        for node in self._nodes[header.address]:
            opened = self._open(node, header, frame)
            if opened is not None:
                counter, payload = opened
                found |= {"life": f"{node.life:08x}", "board": node.board, "counter": counter}
                return found | self._message(node, header.type, payload)
        return found | {"reason": "tag"}

    def _open(self, node: Node, header: UplinkHeader, frame: bytes) -> tuple[int, bytes] | None:
        if header.full:
            counters: Iterable[int] = (header.counter,)
        elif node.highest is not None:
            counters = (guess_counter(header.counter, node.highest),)
        else:
            counters = (high << 16 | header.counter for high in range(HIGH_GUESSES))
        for counter in counters:
            for link in self._links:
                payload = open_uplink(node.keys, link, frame, counter)
                if payload is not None:
                    node.highest = counter
                    return counter, payload
        return None

    def _message(self, node: Node, message_type: int, payload: bytes) -> dict[str, Any]:
        try:
            if message_type in (messages.RECORDS, messages.RECORDS_ASK):
                return self._records(node, payload)
            message = messages.decode(message_type, payload)
        except WireError as error:
            return {"ok": False, "reason": error.reason}
        if isinstance(message, messages.Hello):
            node.next_seq = message.next_seq
        elif isinstance(message, messages.DescriptorMsg):
            node.profiles[message.profile.short] = message.profile
        return {"ok": True, **_fields(message)}

    def _records(self, node: Node, payload: bytes) -> dict[str, Any]:
        head = peek_records(payload, node.next_seq or None)
        profile = node.profiles.get(head.profile_short)
        if profile is None:
            return {"ok": True, "seqs": list(head.seqs), "profile": f"{head.profile_short:02x}", "records": None}
        records = decode_records(payload, profile, node.next_seq, int(time.time()))
        node.next_seq = max(node.next_seq, records[-1].seq + 1)
        return {
            "ok": True,
            "records": [
                {
                    "seq": record.seq,
                    "end": time_text(record.time),
                    "coverage": record.coverage,
                    "values": _values(profile, record.values),
                    "flags": [quality & 15 for quality in record.flags] if record.flags else None,
                    "quality": _qualities(profile, record.flags) if record.flags else None,
                }
                for record in records
            ],
        }

    def _decode_downlink(self, frame: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {
            "ok": False,
            "direction": "down",
            "type": TYPES.get(frame[0] & 31, f"type {frame[0] & 31}"),
            "node": int.from_bytes(frame[1:3], "big"),
            "bytes": len(frame),
        }
        nodes = self._nodes.get(found["node"], [])
        reason = "no keys" if not self._nodes else "tag" if nodes else "unknown node"
        if len(frame) < 15:
            return found | {"reason": "short"}
        low = int.from_bytes(frame[13:15], "big")
        for node in nodes:
            if node.highest is not None:
                answered: Iterable[int] = (guess_counter(low, node.highest),)
            else:
                answered = (high << 16 | low for high in range(HIGH_GUESSES))
            for counter in answered:
                for link in self._links:
                    opened = open_downlink(node.keys, link, frame, (counter,))
                    if isinstance(opened, Downlink):
                        try:
                            fields = _fields(messages.decode(opened.type, opened.payload))
                        except WireError as error:
                            return found | {"reason": error.reason}
                        return found | {"ok": True, "life": f"{node.life:08x}", "answers": counter, **fields}
                    reason = opened
        return found | {"reason": reason}


def time_text(moment: tuple[int, ...] | None) -> str | None:
    """ISO 8601 UTC, or `boot 3 + 12.345 s` for a node without a clock."""
    if moment is None:
        return None
    if moment[0] == UTC:
        return datetime.fromtimestamp(moment[1], TIMEZONE_UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"boot {moment[1]} + {moment[2] / 1000:.3f} s"


def pretty_unit(unit: str) -> str:
    """A UCUM code as people write it."""
    return _PRETTY_UNITS.get(unit, unit)


def _values(profile: Profile, values: Sequence[int | None]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for channel, raw in zip(profile_info(0, profile).channels, values, strict=True):
        value: float | None = None if raw is None else channel.shown(raw)
        if value is not None and channel.decimals:
            value = round(value / 10**channel.decimals, channel.decimals)
        out[channel.name] = {"v": value, "u": channel.unit}
    return out


def _qualities(profile: Profile, flags: Sequence[int]) -> dict[str, dict[str, str]]:
    """{"pm2_5": {"flag": "suspect", "reason": "humidity"}} of those that are not good."""
    names = _values(profile, [None] * len(profile.items))
    return {
        name: {"flag": flag_name(quality)} | ({"reason": reason_name(quality)} if quality > 15 else {})
        for name, quality in zip(names, flags, strict=True)
        if quality != GOOD
    }


def _fields(message: Any) -> dict[str, Any]:
    """A message's fields, as JSON can hold them."""
    out: dict[str, Any] = {}
    for name, value in message._asdict().items():
        if isinstance(value, Profile):
            out["window_s"] = value.window_s
            out["channels"] = list(_values(value, [None] * len(value.items)))
        elif name == "time":
            out["end" if isinstance(message, messages.Gap) else "at"] = time_text(value)
        elif name == "cause":
            out[name] = _CAUSES.get(value, value)
        elif name == "code" and isinstance(message, messages.Event):
            out["event"] = _EVENTS.get(value, value)
        elif name == "profile_ids":
            out["profiles"] = [f"{number:08x}" for number in value]
        elif isinstance(value, messages.Totals):
            out[name] = value._asdict()
        elif name == "id" and isinstance(message, messages.SettingValue | messages.SetSetting | messages.GetSetting):
            try:
                out["setting"] = setting_by_id(value).name
            except KeyError:
                out["setting"] = value
        else:
            out[name] = value
    return out
