"""What pictures of places share: colours, words, a scale; SVG, made here and without any network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

GOOD, FAIR, BAD = "#2e7d4f", "#d9a400", "#b5392f"
EAR, INK = "#1f4e79", "#222222"


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(words)}</text>'


def page(parts: Sequence[str], width: int, height: int, title: str) -> str:
    """The whole file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def step_m(span_m: float) -> float:
    """A round length, a fifth to a half of `span_m`."""
    base: float = 10.0 ** math.floor(math.log10(span_m / 2))
    return max(base * factor for factor in (1, 2, 5) if base * factor <= span_m / 2)
