"""How a decoded frame reads in a terminal: one line a record, the rest in one line a frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.decode import pretty_unit
from tools.monitor_words import WORDS, quality_words, reason

_SHOWN_BEFORE = {
    "ok", "kind", "direction", "type", "node", "bytes", "life", "board", "counter", "records", "answers", "reason",
}  # fmt: skip


def frame_lines(item: dict[str, Any], lang: str = "en") -> Iterator[str]:
    """Lines for one decoded frame, without the time of receipt."""
    arrow = "→" if item.get("direction") == "down" else " "
    head = f"{arrow} node {item['node']:<5} {item['type']:<14}" if "node" in item else "  frame"
    if not item["ok"]:
        why = reason(item["reason"], lang)
        yield f"{head} {WORDS[lang]['not_opened'].format(bytes=item.get('bytes', 0), reason=why)}"
        return
    if item.get("records"):
        for record in item["records"]:
            values = f"{value_text(record['values'])}{_extra(record, lang)}"
            yield f"{head} seq {record['seq']:<6} {_short_time(record['end'])}  {values}"
        return
    if "seqs" in item and item.get("records") is None:
        seqs = item["seqs"]
        yield f"{head} seq {seqs[0]}–{seqs[-1]} ({WORDS[lang]['no_profile'].format(profile=item['profile'])})"
        return
    rest = "  ".join(f"{name} {_plain(value)}" for name, value in item.items() if name not in _SHOWN_BEFORE)
    yield f"{head} {rest}"


def value_text(values: dict[str, dict[str, Any]]) -> str:
    """`temperature 21.43 °C  humidity –`"""
    parts = []
    for name, value in values.items():
        shown = "–" if value["v"] is None else f"{value['v']} {pretty_unit(value['u'])}".rstrip()
        parts.append(f"{name} {shown}")
    return "  ".join(parts)


def _extra(record: dict[str, Any], lang: str) -> str:
    coverage = record["coverage"]
    out = "" if coverage == 100 else f"  {WORDS[lang]['coverage'].format(percent=coverage)}"
    if record["quality"]:
        told: dict[str, list[str]] = {}  # what is wrong -> with which quantities
        for name, quality in record["quality"].items():
            told.setdefault(quality_words(quality["flag"], quality.get("reason", ""), lang), []).append(name)
        out += "  " + "; ".join(f"{words}: {', '.join(names)}" for words, names in told.items())
    return out


def _short_time(text: str | None) -> str:
    return text[11:19] if text and "T" in text else str(text)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k}={v}" for k, v in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)
