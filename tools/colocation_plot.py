"""A co-location as a picture: before and after against the reference, and both over time. SVG, made here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from tools.colocation import Fit, Quality

WIDTH, HEIGHT = 960, 760
POINTS_MAX = 3000  # more would be a blot, and a large file
_WORDS = {
    "en": {
        "before": "before", "after": "after", "reference": "reference", "told": "{name}: R² {r2:.3f}, RMSE {rmse:.3g}, bias {bias:+.3g} {unit}",
        "span": "{count} intervals on {days} days",
    },
    "de": {
        "before": "vorher", "after": "nachher", "reference": "Referenz",
        "told": "{name}: R² {r2:.3f}, RMSE {rmse:.3g}, Abweichung {bias:+.3g} {unit}", "span": "{count} Intervalle an {days} Tagen",
    },
}  # fmt: skip
_BEFORE, _AFTER, _REFERENCE = "#b0543c", "#2f6f9f", "#222222"


class _Frame:
    """A rectangle with two axes."""

    def __init__(
        self, x: float, y: float, w: float, h: float, xs: tuple[float, float], ys: tuple[float, float]
    ) -> None:
        self.x, self.y, self.w, self.h = x, y, w, h
        self._xs, self._ys = xs, ys

    def at(self, x: float, y: float) -> tuple[float, float]:
        (low_x, high_x), (low_y, high_y) = self._xs, self._ys
        return (
            self.x + self.w * (x - low_x) / ((high_x - low_x) or 1),
            self.y + self.h * (1 - (y - low_y) / ((high_y - low_y) or 1)),
        )

    def dots(self, xs: Sequence[float], ys: Sequence[float], colour: str) -> str:
        places = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places)
        return f'<g fill="{colour}" fill-opacity="0.5">{marks}</g>'

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, gap: float) -> str:
        """Broken where x goes on by more than `gap`: nothing is drawn where nothing was measured."""
        parts, last = [], None
        for x, y in zip(xs, ys, strict=True):
            px, py = self.at(x, y)
            parts.append(f"{'L' if last is not None and x - last <= gap else 'M'}{px:.1f},{py:.1f}")
            last = x
        return f'<path d="{"".join(parts)}" fill="none" stroke="{colour}" stroke-width="1"/>'

    def axes(self, title: str, x_name: str, y_name: str, x_marks: Sequence[tuple[float, str]]) -> str:
        low, high = self._ys
        out = [f'<rect x="{self.x}" y="{self.y}" width="{self.w}" height="{self.h}" fill="none" stroke="#999"/>']
        for part in range(5):
            value = low + (high - low) * part / 4
            y = self.at(self._xs[0], value)[1]
            out.append(f'<line x1="{self.x}" x2="{self.x + self.w}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
            out.append(_text(self.x - 6, y + 4, f"{value:.4g}", "end"))
        for value, word in x_marks:
            out.append(_text(self.at(value, low)[0], self.y + self.h + 16, word, "middle"))
        out.append(_text(self.x, self.y - 10, title, "start", bold=True))
        out.append(_text(self.x + self.w / 2, self.y + self.h + 34, x_name, "middle"))
        out.append(_text(self.x - 48, self.y - 10, y_name, "start"))
        return "".join(out)


def _text(x: float, y: float, text: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def svg(fit: Fit, item: str, unit: str, decimals: int, interval_s: int, title: str, lang: str = "en") -> str:
    """The whole picture."""
    words = _WORDS[lang]

    def told(name: str, quality: Quality) -> str:
        return words["told"].format(name=words[name], r2=quality.r2, rmse=quality.rmse, bias=quality.bias, unit=unit)

    every = max(1, -(-len(fit.pairs) // POINTS_MAX))
    pairs = fit.pairs[::every]
    ends = [float(pair.end_s) for pair in pairs]
    reference = [pair.reference for pair in pairs]
    before, after = fit.raw()[::every], fit.corrected(decimals)[::every]
    low, high = min(*reference, *before, *after), max(*reference, *before, *after)
    low, high = min(low, 0.0), high + 0.05 * (high - low)
    span = (low, high)
    marks = [(low + (high - low) * part / 4, f"{low + (high - low) * part / 4:.4g}") for part in range(5)]
    left = _Frame(70, 70, 370, 330, span, span)
    right = _Frame(550, 70, 370, 330, span, span)
    below = _Frame(70, 480, 850, 210, (ends[0], ends[-1]), span)
    days = [ends[0] + (ends[-1] - ends[0]) * part / 5 for part in range(6)]
    dates = [(moment, time.strftime("%Y-%m-%d", time.gmtime(moment))) for moment in days]
    one_to_one = [low, high]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(70, 28, title, "start", bold=True),
    ]
    for frame, values, colour, head in (
        (left, before, _BEFORE, told("before", fit.before)),
        (right, after, _AFTER, told("after", fit.after)),
    ):
        parts.append(frame.axes(head, f"{words['reference']}, {unit}", item, marks))
        parts.append(frame.line(one_to_one, one_to_one, "#999", high - low + 1))
        parts.append(frame.dots(reference, values, colour))
    parts.append(below.axes(words["span"].format(count=len(fit.pairs), days=fit.days), "UTC", "", dates))
    for values, colour in ((before, _BEFORE), (reference, _REFERENCE), (after, _AFTER)):
        parts.append(below.line(ends, values, colour, 1.5 * interval_s * every))
    for place, (word, colour) in enumerate((("before", _BEFORE), ("reference", _REFERENCE), ("after", _AFTER))):
        parts.append(f'<g fill="{colour}">{_text(640 + 100 * place, 470, words[word], "start", bold=True)}</g>')
    return "".join(parts) + "</svg>\n"
