"""Where a range test was made and what came of it, as a picture: SVG, true to scale, made here and without any network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tools.range_places import GOOD, NOT_HERE, WEAK, Place
from tools.range_words import say

WIDTH, HEIGHT, EDGE, HEAD, FOOT = 900, 760, 70, 70, 80
M_PER_DEG = 111_320.0
COLOURS = {GOOD: "#2e7d4f", WEAK: "#d9a400", NOT_HERE: "#b5392f"}
INK, EAR = "#222222", "#1f4e79"
SPAN_MIN_M = 50.0  # places that lie closer together


def _text(x: float, y: float, text: str, size: int = 12, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{escape(text)}</text>'


def step_m(span_m: float) -> float:
    """A round length, a fifth to a half of `span_m`."""
    base: float = 10.0 ** math.floor(math.log10(span_m / 2))
    return max(base * factor for factor in (1, 2, 5) if base * factor <= span_m / 2)


def picture(places: Sequence[Place], gateway: tuple[float, float] | None, lang: str) -> str:
    """Places with a position; north is up. `gateway`: degrees, if it is known."""
    known = [(place, place.lat, place.lon) for place in places if place.lat is not None and place.lon is not None]
    points = [(lat, lon) for _, lat, lon in known] + ([gateway] if gateway else [])
    north, south = max(lat for lat, _ in points), min(lat for lat, _ in points)
    first = points[0][1]
    lons = [first + (lon - first + 180) % 360 - 180 for _, lon in points]  # across the date line, too
    middle_lat, middle_lon = (north + south) / 2, (max(lons) + min(lons)) / 2
    narrow = math.cos(math.radians(middle_lat))
    wide_m, high_m = (max(lons) - min(lons)) * M_PER_DEG * narrow, (north - south) * M_PER_DEG
    wide, high = WIDTH - 2 * EDGE, HEIGHT - HEAD - FOOT - EDGE
    span_m = max(wide_m, high_m * wide / high, SPAN_MIN_M)
    scale = wide / span_m

    def at(lat: float, lon: float) -> tuple[float, float]:
        east_m = ((lon - middle_lon + 180) % 360 - 180) * M_PER_DEG * narrow
        return WIDTH / 2 + east_m * scale, HEAD + (HEIGHT - HEAD - FOOT) / 2 - (lat - middle_lat) * M_PER_DEG * scale

    title = say(lang, "map")
    parts = [_text(EDGE, 40, title, 18)]
    for place, lat, lon in known:
        x, y = at(lat, lon)
        best = place.best
        told = say(lang, place.verdict)
        if best is not None and best.snr_db is not None:
            told += f", SF{place.sf}" if place.sf else ""
            told += f", SNR {best.snr_db:+.1f} dB"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="{COLOURS[place.verdict]}">'
            f"<title>{escape(f'{place.name}: {told}')}</title></circle>"
        )
        parts.append(_text(x + 12, y + 4, place.name))
    if gateway:
        x, y = at(*gateway)
        parts.append(f'<path d="M{x:.1f},{y - 11:.1f}l9,18h-18z" fill="{EAR}"/>')
        parts.append(_text(x + 13, y + 4, "Gateway", colour=EAR))
    bar_m, foot = step_m(span_m), HEIGHT - 40
    parts.append(f'<path d="M{EDGE},{foot}h{bar_m * scale:.1f}" stroke="{INK}" stroke-width="2"/>')
    parts.append(_text(EDGE, foot - 8, f"{bar_m:g} m" if bar_m < 1000 else f"{bar_m / 1000:g} km"))
    parts.append(f'<path d="M{WIDTH - EDGE},{HEAD}l6,18l-6,-5l-6,5z" fill="{INK}"/>')
    parts.append(_text(WIDTH - EDGE - 4, HEAD - 6, "N"))
    for x, verdict in zip((480, 590, 720), COLOURS, strict=True):
        parts.append(f'<circle cx="{x}" cy="{foot - 4}" r="6" fill="{COLOURS[verdict]}"/>')
        parts.append(_text(x + 12, foot, say(lang, verdict)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" role="img">'
        f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
