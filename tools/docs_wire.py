"""Writes docs/wire-protocol.md from the tables of wire/ and from the vectors; `--check` only compares.

The prose lies in docs/wire-protocol.in.md; a line `{{name}}` there is replaced by the section of that name below.
"""

import json
import sys
from pathlib import Path
from typing import Any

import wire
from wire import (
    bits,
    channels,
    crypto,
    frame,
    messages,
    messages_gateway,
    names,
    quality,
    records,
    records_gateway,
    settings,
    settings_list,
    values,
)
from wire.profiles import Profile, decode_profile

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "wire-protocol.in.md"
TARGET = ROOT / "docs" / "wire-protocol.md"
VECTORS = ROOT / "tests" / "vectors"

# What each field of a message means. A field without a line here stops the generator.
FIELDS = {
    "address": "node address",
    "after_s": "s after the receipt of this from which on it holds",
    "arg": "argument of the code",
    "base": "with `bits`: seq of bit 0",
    "bits": "seqs above `cum` that are stored",
    "boot": "number of this boot, modulo 65536",
    "cause": "see causes",
    "channels": "mask of the region's uplink channels, bit 0 the first",
    "clock_synced": "1: the node knows the time",
    "code": "see the codes of this message",
    "command_id": "id of the command",
    "count": "how many seqs",
    "cum": "all seqs below this one are stored",
    "ended": "first window index without it; 0: it holds",
    "expiry_s": "unix s after which the command must not run",
    "firmware": "major, minor, patch: one byte each",
    "first": "first seq to send again",
    "first_seq": "first seq without a record",
    "first_window": "first window index with it; 0: from before the clock was set",
    "frames_answered": "uplinks that were answered, this boot",
    "frames_refused": "downlinks that were refused, this boot",
    "frames_sent": "uplinks, this boot",
    "free_blocks": "free flash blocks",
    "free_heap": "bytes",
    "held_ms": "ms from the receipt of the uplink that this answers to the sending of this",
    "id": "id of the setting or of the command",
    "instance": "which one, for settings with several",
    "largest_block": "largest free piece of the heap, bytes",
    "next_seq": "seq that the next entry will get",
    "ok": "1: the value holds; 0: it was refused and this one still holds",
    "number": "of the calibration that shall be in force then, see settings",
    "power_dbm": "of the transmitter",
    "oldest_seq": "oldest seq that the node still holds unacknowledged; `next_seq` if none",
    "profile": "descriptor, see profiles",
    "profile_ids": "ids of the profiles that run",
    "profile_short": "`short` of the profile",
    "reset_cause": "see reset causes",
    "rssi_dbm": "of the last downlink, radio only",
    "seq": "own seq, from the same series as records",
    "sf": "spreading factor",
    "settings": "those that change; the others stay",
    "snr_db": "of the last downlink, radio only",
    "supply_mv": "mV",
    "task_restarts": "tasks that died and were restarted, this boot",
    "temperature_cdeg": "of the board, 0.01 °C",
    "time": "see layouts",
    "totals": "windows since the beginning of the life",
    "unix_ms": "the gateway's clock at the sending of this, unix ms",
    "uptime_ms": "ms since boot, at the sealing of this",
    "value": "value of the setting, or detail of the result",
    "wire_version": "highest wire version that the node speaks",
}

# The layouts that are not one integer, and who encodes them: their docstrings say what they are.
LAYOUTS = (messages._TIME, messages._TOTALS, messages._IDS, messages._PROFILE, messages._WINDOW, messages._SETTINGS)
ENCODERS: dict[str, Any] = {**messages.PUT, **messages_gateway.PUT, **settings_list.PUT}
FIRST_RECORD = (("profile", 8), ("batch", 1), ("odd", 1), ("seq", 16), ("window's index", 16))


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())["cases"]
    return cases


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _spaced(text: str) -> str:
    return " ".join(text[at : at + 2] for at in range(0, len(text), 2))


def _doc(subject: Any) -> str:
    """A docstring as a block: what reads well in the source reads well here."""
    text = subject.__doc__.strip("\n")
    return "```text\n" + "\n".join(line.removeprefix("    ") for line in text.splitlines()) + "\n```"


def _message_rows(cls: Any, fields: tuple[Any, ...]) -> list[tuple[str, str, str, str]]:
    rows = []
    place = 0
    for spec in fields:
        name = cls._fields[place]
        if spec in LAYOUTS:
            second = len(spec) > 2
            shown = f"`{name}`, `{cls._fields[place + 1]}`" if second else f"`{name}`"
            meaning = FIELDS[cls._fields[place + 1]] if second else FIELDS[name]
            rows.append((shown, f"≤ {spec[1]}", spec[0], meaning))
            place += 1 if second else 0
        else:
            spread = f"{spec[1]} … {spec[2]}" + (" or none" if len(spec) > 3 else "")
            rows.append((f"`{name}`", str(spec[0]), spread, FIELDS[name]))
        place += 1
    return rows


def section_types() -> str:
    """All types with their codes and directions."""
    rows = [(messages.RECORDS, "records", "up"), (messages.RECORDS_ASK, "records_ask", "up")]
    for code, _, _ in messages.TABLE:
        rows.append((code, names.MESSAGES[code], "up" if code < frame.DOWNLINK else "down"))
    marked = [
        (code, name, way, 8 if code >= frame.STRONG else "4 over LoRa, 8 over serial")
        for code, name, way in sorted(rows)
    ]
    return _table(("type", "message", "way", "tag bytes"), marked)


def section_messages() -> str:
    """A table and worked bytes for each message."""
    good = [case for case in _cases("wire_messages.json") if case["do"] == "encode_message"]
    parts = []
    for code, cls, fields in messages.TABLE:
        parts.append(f"### {code} {names.MESSAGES[code].replace('_', ' ')}\n")
        parts.append(_table(("field", "bytes", "range or layout", "meaning"), _message_rows(cls, fields)) + "\n")
        for case in good:
            if case["with"][0] == cls.__name__ and case["gives"] != "ValueError":
                fields_shown = ", ".join(
                    f"{name} {json.dumps(value)}" for name, value in zip(cls._fields, case["with"][1], strict=True)
                )
                parts.append(f"*{case['note']}*: {fields_shown}\n\n    {_spaced(case['gives'][1]) or '(nothing)'}\n")
    return "\n".join(parts).rstrip()


def section_layouts() -> str:
    """The layouts that are not one integer."""
    rows = []
    for name, most, *_ in LAYOUTS:
        text = " ".join((ENCODERS[name].__doc__ or "").split())
        rows.append((name, f"≤ {most}", text.replace("|", "·")))
    return _table(("layout", "bytes", "what it is"), rows)


def section_codes() -> str:
    """The numbers that have names."""
    parts = []
    for title, table, first in (
        ("Causes of a gap", names.CAUSES, 1),
        ("Events", names.EVENTS, 1),
        ("Commands", names.COMMANDS, 1),
        ("Results of a command", names.RESULTS, 0),
        ("Reset causes", names.RESET_CAUSES, 0),
    ):
        listed = ", ".join(f"{place + first} {name}" for place, name in enumerate(table))
        parts.append(f"**{title}**: {listed}.")
    return "\n\n".join(parts)


def section_channels() -> str:
    """The channel table, with what the records codec needs of it."""
    rows = []
    for channel in channels.CHANNELS:
        rule = f"{channel.min_count or '–'} / {channel.min_window_s or '–'}"
        partner = channels.by_id(channel.partner).name if channel.partner else "–"
        rows.append(
            (channel.id, channel.name, f"`{channel.unit}`", channel.decimals, channel.low, channel.high)
            + (channels.KINDS[channel.kind], rule, channels.MODES[channel.mode].upper(), channel.centre)
            + (channel.width, channel.step, partner, channel.lead)
        )
    head = ("id", "name", "unit", "decimals", "low", "high", "kind", "min count / window s")
    return _table((*head, "mode", "centre", "width", "step", "partner", "lead"), rows)


def section_settings() -> str:
    """The settings table."""
    rows = [
        (
            row.id,
            row.name,
            row.low,
            row.high,
            row.default,
            f"`{row.unit}`",
            "yes" if row.writable else "no",
            row.instances,
        )
        for row in settings.SETTINGS
    ]
    return _table(("id", "name", "low", "high", "default", "unit", "by downlink", "instances"), rows)


def section_subkeys() -> str:
    """Labels and worked subkeys."""
    cases = {case["note"]: case for case in _cases("wire_crypto.json")}
    life = cases["number of the life"]
    rows = [("first 4 bytes: the life", "`steiger life` and four zero bytes", f"`{life['gives']:08x}`")]
    for which, text in (("up tag4", "uplink, 4-byte tag"), ("up tag8", "uplink, 8-byte tag")) + (
        ("dn tag4", "downlink, 4-byte tag"),
        ("dn tag8", "downlink, 8-byte tag"),
    ):
        case = cases[f"subkey steiger {which}"]
        rows.append((text, f"`steiger {which}` and one zero byte", f"`{case['gives']}`"))
    return f"With K = `{life['with'][0]}`:\n\n" + _table(("for", "label (16 bytes)", "AES(K, label)"), rows)


def section_frames() -> str:
    """Worked frames, field by field."""
    parts = []
    for case in _cases("wire_frames.json"):
        if case["note"] or case["do"] not in ("seal_uplink", "seal_downlink"):
            continue
        link = ("serial", "LoRa")[case["with"][1]]
        sent = case["gives"]
        if case["do"] == "seal_uplink":
            _, _, address, counter, code, payload = case["with"]
            head = frame.HELLO_HEAD if code == frame.HELLO else frame.UPLINK_HEAD
            tag = crypto.TAG_LEN[crypto.UP4 if link == "LoRa" else crypto.UP8]
            nonce, aad = frame.uplink_nonce(address, counter).hex(), sent[: 2 * head]
            title = f"{names.MESSAGES[code]} over {link}: address {address:#06x}, counter {counter:#010x}"
        else:
            _, _, address, gateway_id, incarnation, counter, answered, code, payload = case["with"]
            head = frame.DOWNLINK_HEAD
            tag = 4 if link == "LoRa" and code < frame.STRONG else 8
            nonce, aad = sent[:26], sent[: 2 * head] + f"{answered:08x}"
            title = (
                f"{names.MESSAGES[code]} over {link}: address {address:#06x}, gateway {gateway_id}, incarnation"
                f" {incarnation:#010x}, counter {counter}, answers {answered:#010x}"
            )
        rows = [
            ("nonce", _spaced(nonce)),
            ("associated data", _spaced(aad)),
            ("payload", _spaced(payload)),
            ("header", _spaced(sent[: 2 * head])),
            ("cipher text", _spaced(sent[2 * head : -2 * tag])),
            ("tag", _spaced(sent[-2 * tag :])),
        ]
        lines = "\n".join(f"    {name:16}{value}" for name, value in rows)
        parts.append(f"*{title}*\n\n{lines}")
    return "\n\n".join(parts)


def section_stream() -> str:
    """What a parser delivers and drops."""
    rows = []
    for case in _cases("wire_stream.json"):
        if case["do"] == "encode_stream":
            parts = f"frame `{_spaced(case['with'][0])}`", f"`{_spaced(case['gives'])}`"
            rows.append(("on the line", *parts))
        elif case["do"] == "parse_stream" and sum(map(len, case["with"][0])) < 90:
            given = " then ".join(f"`{_spaced(chunk)}`" for chunk in case["with"][0])
            got = "; ".join(f"{kind} `{_spaced(data)}`" for kind, data in case["gives"][0])
            lost = ", ".join(f"{count} {reason}" for reason, count in case["gives"][1])
            rows.append((case["note"], given, got + (f"; dropped: {lost}" if lost else "") or "nothing"))
    return _table(("case", "given", "comes out"), rows)


def section_profiles() -> str:
    """Worked descriptors."""
    rows = []
    for case in _cases("wire_profiles.json"):
        if case["do"] == "profile" and case["gives"] != "ValueError" and len(case["with"][0]) < 10:
            items, window_s, calibration, version = case["with"]
            descriptor, number, short = case["gives"]
            shown = ", ".join(f"{channels.by_id(channel).name}.{instance}" for channel, instance in items)
            rows.append((shown, window_s, calibration, version, f"`{_spaced(descriptor)}`", f"`{number:08x}`", short))
    return _table(("items", "window s", "calibration", "version", "descriptor", "id", "short"), rows)


class _Written(bits.BitWriter):
    """A writer whose bits can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def put(self, value: int, width: int) -> None:
        """As in BitWriter."""
        if width:
            self.text += f"{value & (1 << width) - 1:0{width}b}"


def _worked_record(payload: bytes, profile: Profile, record: records.Record) -> str:
    """The bits of a single usual record, field by field."""
    line = "".join(f"{byte:08b}" for byte in payload)
    rows: list[tuple[Any, ...]] = []
    at = 0
    for name, width in FIRST_RECORD:
        field = line[at : at + width]
        rows.append((name, f"`{field}`", "", "", "", int(field, 2)))
        at += width
    items = values.plan(profile)
    adaption = values.Adaption(items)
    for place, (channel, _) in enumerate(profile.items):
        p, k = adaption.expect(place, record.values)
        u = values.fold(record.values[place], p, items[place][1])
        adaption.learn(place, record.values[place], u)
        written = _Written()
        written.number(u, k)
        assert line.startswith(written.text, at), "the worked record is not the one of the vector"
        rows.append((channels.by_id(channel).name, f"`{written.text}`", p, k, u, record.values[place]))
        at += len(written.text)
    assert set(line[at:]) <= {"0"}
    rows.append(("filling", f"`{line[at:]}`", "", "", "", ""))
    return _table(("field", "bits", "p", "k", "u", "value"), rows)


def section_records() -> str:
    """The layout, and one payload bit by bit."""
    case = next(case for case in _cases("records.json") if case["do"] == "decode_records")
    payload, described, next_seq, now_s = case["with"]
    profile = decode_profile(bytes.fromhex(described["profile"]))
    [record] = records_gateway.decode_records(bytes.fromhex(payload), profile, next_seq, now_s)
    return (
        f"{_doc(records)}\n\n### Numbers\n\n{_doc(bits)}\n\n### Values\n\n{_doc(values)}\n\n### Worked: {case['note']}\n\n"
        f"Profile `{_spaced(described['profile'])}`, the receiver's next seq {next_seq}, its clock {now_s}. Payload:\n\n"
        f"    {_spaced(payload)}\n\n{_worked_record(bytes.fromhex(payload), profile, record)}\n\n"
        f"So: seq {record.seq}, window that ends at {record.time[1]} (unix s), coverage {record.coverage} %, every value\n"
        "good. More payloads, batches, missing values and flags, and all that must be refused: `tests/vectors/records.json`."
    )


def section_qualities() -> str:
    """Why a value is not good."""
    source = (ROOT / "wire" / "quality.py").read_text().partition("\nRANGE = ")[2].partition("\n\n")[0]
    rows = []
    for line in f"RANGE = {source}".splitlines():
        number, _, meaning = line.partition(" = ")[2].partition("  # ")
        rows.append((int(number), quality.REASON_NAMES[int(number)], meaning))
    assert [row[0] for row in rows] == list(range(1, len(quality.REASON_NAMES)))
    return _table(("reason", "name", "meaning"), rows)


def section_reasons() -> str:
    """Why input is dropped."""
    source = (ROOT / "wire" / "__init__.py").read_text().partition("REASONS = (")[2].partition("\n)")[0]
    rows = []
    for line in source.strip().splitlines():
        reason, _, meaning = line.strip().partition(",  # ")
        rows.append((reason.strip('"'), meaning))
    assert [row[0] for row in rows] == list(wire.REASONS)
    return _table(("reason", "meaning"), rows)


SECTIONS = {name.removeprefix("section_"): value for name, value in globals().items() if name.startswith("section_")}


def generate() -> str:
    """The whole page."""
    lines = []
    for line in SOURCE.read_text().splitlines():
        name = line.removeprefix("{{").removesuffix("}}")
        lines.append(SECTIONS[name]() if line == "{{" + name + "}}" else line)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """0, or 1 if `--check` finds the page stale."""
    page = generate()
    if "--check" in arguments:
        if not TARGET.exists() or TARGET.read_text() != page:
            print("error: docs/wire-protocol.md is stale — wire/ or its vectors have changed. Run: make docs")
            return 1
        return 0
    TARGET.write_text(page)
    print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
