"""What README, field guide and the boards' pages quote is what the code prints."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from tests.tools.messages_in_source import all_texts
from tools.decode import _EVENTS, TYPES
from tools.german import GERMAN

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/field-guide.md", "docs/calibration.md", "boards/bme280-v1/README.md", "boards/air-v1/README.md",
         "boards/air-v2/README.md",
         "boards/noise-v1/README.md", "boards/noise-v2/README.md", "boards/traffic-v1/README.md",
         "boards/street-v1/README.md", "docs/lora-gateway.md",
         *(f"boards/{name}{role}/README.md" for name in ("heltec-v3", "t3-s3", "tbeam", "xiao-wio")
           for role in ("", "-bridge")))  # fmt: skip
SEEN = (
    "you see",
    "when not",
    "in the log",
    "in the log, or there",
    "it says",
    "zu sehen ist",
)  # heads of the columns that quote
# Values, of formats in the source and as numbers in a page.
VALUE = re.compile(r"\{[^{}]*\}|(0x)?%-?[0-9]*[sdxrg]|\b0x[0-9a-f]+|\b[0-9]+\b|…")


@functools.cache
def printed() -> tuple[str, ...]:
    """What can be printed, with `…` for each value."""
    texts = all_texts("tools", "gateway", "firmware", "wire") | set(GERMAN.values()) | set(TYPES.values())
    texts |= {str(name) for name in _EVENTS.values()}
    return tuple(VALUE.sub("…", text) for text in texts)


def is_printed(quote: str) -> bool:
    """Whether one of our texts holds the quote, word for word between the values; what stands before and behind a `: ` may
    be two texts, a sentence and its cause."""
    pieces = [re.escape(piece.strip()) for piece in VALUE.sub("…", quote).split("…") if piece.strip(" ,.()")]
    pattern = re.compile(r"(?<!\w)" + r"\W.*?".join(pieces) + r"(?!\w)", re.DOTALL)
    if any(pattern.search(text) for text in printed()):
        return True
    head, colon, rest = quote.partition(": ")
    return bool(colon) and is_printed(head) and is_printed(rest)


def quotes(page: str) -> list[str]:
    """The quotations of a page: what stands in backticks in a column of what is seen."""
    found = []
    column = None
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            column = None
        elif column is None:
            column = next((index for index, cell in enumerate(cells) if cell in SEEN), -1)
        elif column >= 0:
            found += [quote for quote in re.findall("`([^`]+)`", cells[column]) if not quote.startswith("steiger ")]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_is_quoted_is_printed(page: str) -> None:
    said = quotes(page)
    assert said or page.startswith("boards/"), page
    assert [quote for quote in said if not is_printed(quote)] == []


def test_a_wrong_quote_is_seen() -> None:
    for wrong in (
        "the port is busy",
        "permission denied",
        "the port is blocked",
        "nodes are off",
        "no answer: BMX280 at 0x76",
    ):
        assert not is_printed(wrong), wrong
