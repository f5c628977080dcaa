"""A town's plan and a capacity curve as pictures: SVG, made here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from tools import svg_map
from tools.sim.radio.city import Result
from tools.svg_map import EAR, INK, page, step_m, text

WIDTH, HEIGHT = 900, 760
_EDGE = 60
_PALE = "#e4e4e4"
GOOD, FAIR = 0.999, 0.95


def colour(in_time: float) -> str:
    """Of a node, by the share of its records that were in time."""
    return svg_map.GOOD if in_time >= GOOD else svg_map.FAIR if in_time >= FAIR else svg_map.BAD


def town(result: Result, words: Mapping[str, str], title: str, summary: Sequence[str]) -> str:
    """Where the nodes stand, how well they are heard and by whom; true to scale."""
    places = [node.place for node in result.nodes] + [place for _, _, place in result.ears]
    low_x, high_x = min(p.x_m for p in places), max(p.x_m for p in places)
    low_y, high_y = min(p.y_m for p in places), max(p.y_m for p in places)
    span = max(high_x - low_x, (high_y - low_y) * (WIDTH - 2 * _EDGE) / (HEIGHT - 230), 100.0)
    scale = (WIDTH - 2 * _EDGE) / span
    middle = (low_x + high_x) / 2, (low_y + high_y) / 2
    centre = WIDTH / 2, 120 + (HEIGHT - 230) / 2

    def at(x_m: float, y_m: float) -> tuple[float, float]:
        return centre[0] + (x_m - middle[0]) * scale, centre[1] - (y_m - middle[1]) * scale

    parts = [text(_EDGE, 34, title, size=18)]
    parts += [text(_EDGE, 56 + 17 * row, line, size=13) for row, line in enumerate(summary[:3])]
    ears = {name: place for name, _, place in result.ears}
    for node in result.nodes:
        (x, y), (to_x, to_y) = at(node.place.x_m, node.place.y_m), at(ears[node.ear].x_m, ears[node.ear].y_m)
        parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{_PALE}" stroke-width="1"/>'
        )
    for node in result.nodes:
        x, y = at(node.place.x_m, node.place.y_m)
        hint = escape(f"{node.name}: SF{node.sf}, {node.margin_db:+.0f} dB, {node.in_time * 100:.2f} %")
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + (node.sf - 7) * 0.7:.1f}" fill="{colour(node.in_time)}">'
            f"<title>{hint}</title></circle>"
        )
    for name, kind, place in result.ears:
        x, y = at(place.x_m, place.y_m)
        parts.append(f'<path d="M{x:.1f},{y - 11:.1f}l9,18h-18z" fill="{EAR}"><title>{escape(kind)}</title></path>')
        parts.append(text(x + 13, y + 4, name, colour=EAR))
    metres = step_m(span)
    foot = HEIGHT - 40
    parts.append(f'<path d="M{_EDGE},{foot}h{metres * scale:.1f}" stroke="{INK}" stroke-width="2"/>')
    parts.append(text(_EDGE, foot - 8, f"{metres:g} {words['m']}"))
    for place_x, (shade, word) in zip(
        (380, 540, 700),
        ((svg_map.GOOD, "legend_good"), (svg_map.FAIR, "legend_fair"), (svg_map.BAD, "legend_bad")),
        strict=True,
    ):
        parts.append(f'<circle cx="{place_x}" cy="{foot - 4}" r="6" fill="{shade}"/>')
        parts.append(text(place_x + 12, foot, words[word]))
    return page(parts, WIDTH, HEIGHT, title)


class Curve:
    """One line of a plot: `points` are (x, y) with x rising; a theory is dashed."""

    def __init__(self, name: str, points: Sequence[tuple[float, float]], shade: str, dashed: bool = False) -> None:
        self.name = name
        self.points = points
        self.shade = shade
        self.dashed = dashed


def curves(title: str, x_name: str, y_name: str, lines: Sequence[Curve], wanted: float) -> str:
    """Shares against numbers of nodes: x logarithmic, y from 0 to 1 so that the last per cent is seen (1 - y logarithmic);
    `wanted`: the share that is asked for."""
    width, height, left, top, w, h = 860, 520, 90, 60, 560, 390
    xs = [x for line in lines for x, _ in line.points]
    low, high = math.log10(min(xs)), math.log10(max(xs))
    worst, best = 0.5, 0.9999  # shares at the bottom and the top

    def at(x: float, y: float) -> tuple[float, float]:
        lost = min(1 - worst, max(1 - best, 1 - y))
        down = math.log10(lost / (1 - best)) / math.log10((1 - worst) / (1 - best))
        return left + w * (math.log10(x) - low) / ((high - low) or 1), top + h * down

    parts = [text(left, 30, title, size=16)]
    for share in (0.5, 0.9, 0.99, 0.999, 0.9999):
        y = at(min(xs), share)[1]
        shade = svg_map.BAD if share == wanted else _PALE
        parts.append(f'<path d="M{left},{y:.1f}h{w}" stroke="{shade}"/>')
        parts.append(text(left - 8, y + 4, f"{share * 100:g} %", "end"))
    for x in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000):
        if min(xs) <= x <= max(xs):
            place = at(x, best)[0]
            parts.append(f'<path d="M{place:.1f},{top}v{h}" stroke="{_PALE}"/>')
            parts.append(text(place, top + h + 18, str(x), "middle"))
    for number, line in enumerate(lines):
        path = "L".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in line.points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path d="M{path}" fill="none" stroke="{line.shade}" stroke-width="2"{dashes}/>')
        y_legend = top + 14 + 20 * number
        parts.append(f'<path d="M{left + w + 14},{y_legend - 4}h22" stroke="{line.shade}" stroke-width="2"{dashes}/>')
        parts.append(text(left + w + 42, y_legend, line.name))
    parts.append(text(left + w / 2, top + h + 42, x_name, "middle"))
    parts.append(text(left - 70, top - 14, y_name))
    return page(parts, width, height, title)
