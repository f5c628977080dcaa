"""Where a range test was made and what came of it, as a picture: SVG, true to scale, made here and without any network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tools import svg_map
from tools.range_places import GOOD, NOT_HERE, WEAK, Place
from tools.range_words import say
from tools.svg_map import EAR, INK, page, step_m, text

WIDTH, HEIGHT, EDGE, HEAD, FOOT = 900, 760, 70, 70, 80
M_PER_DEG = 111_320.0
COLOURS = {GOOD: svg_map.GOOD, WEAK: svg_map.FAIR, NOT_HERE: svg_map.BAD}
SPAN_MIN_M = 50.0  # places that lie closer together


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
    parts = [text(EDGE, 40, title, size=18)]
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
        parts.append(text(x + 12, y + 4, place.name))
    if gateway:
        x, y = at(*gateway)
        parts.append(f'<path d="M{x:.1f},{y - 11:.1f}l9,18h-18z" fill="{EAR}"/>')
        parts.append(text(x + 13, y + 4, "Gateway", colour=EAR))
    bar_m, foot = step_m(span_m), HEIGHT - 40
    parts.append(f'<path d="M{EDGE},{foot}h{bar_m * scale:.1f}" stroke="{INK}" stroke-width="2"/>')
    parts.append(text(EDGE, foot - 8, f"{bar_m:g} m" if bar_m < 1000 else f"{bar_m / 1000:g} km"))
    parts.append(f'<path d="M{WIDTH - EDGE},{HEAD}l6,18l-6,-5l-6,5z" fill="{INK}"/>')
    parts.append(text(WIDTH - EDGE - 4, HEAD - 6, "N"))
    for x, verdict in zip((480, 590, 720), COLOURS, strict=True):
        parts.append(f'<circle cx="{x}" cy="{foot - 4}" r="6" fill="{COLOURS[verdict]}"/>')
        parts.append(text(x + 12, foot, say(lang, verdict)))
    return page(parts, WIDTH, HEIGHT, title)
