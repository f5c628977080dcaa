"""`steiger range-test`: carry a LoRa node to where it may be mounted, and see how well it is heard there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import NoConnection, SteigerError, UsageError, writing
from tools.language import check_lang

if TYPE_CHECKING:
    from tools.range_places import Place, Row

app = typer.Typer(no_args_is_help=True, help="Carry a LoRa node about and find where it is heard best.")

LIVE_S = 30.0  # longest silence of the gateway within a test


@app.command()
def place(
    address: Annotated[int, typer.Argument(help="Address of the node that is carried", min=1, max=65535)],
    config: Annotated[Path, typer.Option(help="gateway.toml of the gateway that shall hear it")],
    name: Annotated[str, typer.Option(help="What this place is called: 'lamp 12'")],
    out: Annotated[Path, typer.Option(help="CSV file that gets a row for each spreading factor and ear")],
    position: Annotated[str | None, typer.Option(help="LAT,LON of this place in degrees")] = None,
    track: Annotated[
        Path | None, typer.Option(help="GPX or CSV of a phone: the point of this name, or of this time")
    ] = None,
    count: Annotated[int, typer.Option(help="Frames at each spreading factor", min=1, max=100)] = 20,
    sf: Annotated[
        list[int] | None, typer.Option(help="Spreading factor, 7 to 12; may be repeated", min=7, max=12)
    ] = None,
    power_dbm: Annotated[
        int | None, typer.Option("--power", help="dBm; without it, what the node sends with now", min=-9, max=22)
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", help="How many seconds to wait for the node", min=10, max=3600)
    ] = 600,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Test at one place. The node sends frames that carry nothing new; each ear's share of them is counted.

    \b
    steiger range-test place 12 --config gateway.toml --name "lamp 12" --position 51.4818,7.2162 --out range.csv
    """
    from gateway.config import load
    from tools import range_places as places
    from tools.range_words import say

    check_lang(lang)
    if not name.strip():
        raise UsageError("--name is empty", next_step="Give the place a name")
    if position is not None and track is not None:
        raise UsageError("--position and --track both say where this is", next_step="Give one of them")
    if out.exists():
        places.load(out)  # a file of something else, before the test and not after it
    elif not out.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(out.parent), next_step="Make it first")
    time = places.now()
    where = places.position(position) if position is not None else None
    if track is not None:
        where = places.load_track(track).find(name, time)
        if where is None:
            raise UsageError(
                "the track has no point of this name or time", where=str(track),
                next_step="Give --position, or leave it away and give the track to range-test report later",
            )  # fmt: skip
    data_dir = Path(load(config).gateway.data_dir)

    shows = sys.stderr.isatty() and not as_json

    def tell(line: str) -> None:
        if not as_json:
            print(line, file=sys.stderr, flush=True)

    def told(word: str, **values: Any) -> None:
        if shows:
            print("\r" + say(lang, word, node=address, **values).ljust(79), end="", file=sys.stderr, flush=True)

    tell(say(lang, "asks", node=address, wait=wait_s))
    fields = {"node": address, "count": count, "sfs": sorted(set(sf or [])), "power_dbm": power_dbm}
    try:
        result = _live(data_dir, wait_s, fields, told)
    except NoConnection:
        places.append(out, [places.silent(address, time, name, where)])
        tell(say(lang, "silent", path=out))
        raise
    finally:
        if shows:
            print(file=sys.stderr)
    rows = places.of_result(result, time, name, where)
    if not rows:
        raise SteigerError(
            "no ear listened all the time",
            where=f"node {address}",
            next_step="Try again; steiger gateway status shows them",
        )
    places.append(out, rows)
    if as_json:
        print(json.dumps(result | {"place": name, "position": where, "time": time, "file": str(out)}))
        return
    print("\n".join(table(places.judge(rows), lang)))
    for each in result["deaf"] if sf else []:
        print(say(lang, "deaf", ear=each["ear"], sf=each["sf"]))
    print(say(lang, "kept", path=out))


def _live(data_dir: Path, wait_s: float, fields: dict[str, Any], told: Callable[..., None]) -> dict[str, Any]:
    """The result of a test; NoConnection if the node is silent."""
    from gateway import control
    from gateway.errors import GatewayError
    from tools.ask_node import is_silence

    node = fields["node"]
    try:
        for step in control.stream(data_dir, "range-test-live", timeout_s=LIVE_S, node_s=wait_s, **fields):
            if "result" in step:
                return step["result"]  # type: ignore[no-any-return]
            if "heard" in step:
                told("runs", heard=step["heard"], of=step["of"], left=step["left_s"])
            else:
                told("waits", s=step["waits"])
    except GatewayError as error:
        if is_silence(error, node):
            raise NoConnection(
                f"node {node} is silent: no answer within {wait_s:g} s", where=f"node {node}",
                next_step="Is it on? Then it is not heard at this place",
            ) from None  # fmt: skip
        raise
    raise SteigerError("the gateway ended before the test did", where=str(data_dir), next_step="Start it and try again")


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="CSV file that range-test place made")],
    picture: Annotated[Path | None, typer.Option("--map", help="Write a map (SVG) here")] = None,
    gateway: Annotated[str | None, typer.Option(help="LAT,LON of the gateway, for the map")] = None,
    track: Annotated[
        Path | None, typer.Option(help="GPX or CSV of a phone, for places that have no position yet")
    ] = None,
    per_max: Annotated[float, typer.Option(help="Per cent of frames that may be lost", min=0, max=90)] = 10,
    margin_db: Annotated[float, typer.Option(help="dB above what a spreading factor needs", min=0, max=30)] = 10,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """What was found at all places, where to mount the node, and a map.

    \b
    steiger range-test report range.csv --map map.svg --gateway 51.4825,7.2190
    """
    from tools import range_places as places
    from tools.range_map import picture as drawn
    from tools.range_words import say

    check_lang(lang)
    rows = places.load(file)
    at = places.position(gateway) if gateway is not None else None
    if track is not None:
        points = places.load_track(track)
        for row in rows:
            if row.lat is None:
                row.lat, row.lon = points.find(row.place, row.time) or (None, None)
    found = places.judge(rows, per_max / 100, margin_db)
    unplaced = [each.name for each in found if each.lat is None]
    if picture is not None:
        if len(unplaced) == len(found):
            raise UsageError(
                "no place has a position: there is nothing to draw", where=str(file),
                next_step="Give --track, or enter lat and lon in the file",
            )  # fmt: skip
        with writing(picture):
            picture.write_text(drawn(found, at, lang), encoding="utf-8")
    if as_json:
        print(json.dumps(facts(found) | {"map": str(picture) if picture else None}))
        return
    print("\n".join(table(found, lang)))
    print()
    print("\n".join(advice(found, lang)))
    if picture is not None:
        if unplaced:
            print(say(lang, "unplaced", names=", ".join(unplaced)))
        print(say(lang, "picture", path=picture))


def table(found: list[Place], lang: str) -> list[str]:
    """Place by place, the best first; each spreading factor and ear."""
    from tools.range_words import number, say
    from tools.text_table import aligned

    lines = [[
        say(lang, "place"), "SF", say(lang, "ear"), say(lang, "frames"), "PER", "RSSI", "SNR", say(lang, "margin"),
        say(lang, "judged"),
    ]]  # fmt: skip
    for each in found:
        for row in each.rows:
            per = number(lang, row.per * 100, ".0f", "%") if row.sent else "-"
            lines.append([
                each.name, str(row.sf or "-"), row.ear or "-", f"{row.heard}/{row.sent}" if row.sent else "-", per,
                number(lang, row.rssi_dbm, ".0f", "dBm"), number(lang, row.snr_db, "+.1f", "dB"),
                number(lang, row.margin_db, "+.1f", "dB"), say(lang, each.verdict) if row is (each.best or each.rows[0]) else "",
            ])  # fmt: skip
    return aligned(lines, left=(0, 2, 8))


def _margin_db(place: Place) -> float:
    """At the spreading factor that is proposed."""
    from gateway.links.rates import REQUIRED_DB

    assert place.best is not None and place.best.snr_db is not None
    return float(place.best.snr_db - REQUIRED_DB[place.sf])


def advice(found: list[Place], lang: str) -> list[str]:
    """Where to mount, and what that rests on."""
    from tools.range_places import GOOD, NOT_HERE
    from tools.range_words import say

    lines = []
    first = found[0]
    if first.best is None or first.verdict == NOT_HERE:
        lines.append(say(lang, "nowhere"))
    else:
        word = "mount" if first.verdict == GOOD else "mount_weak"
        lines.append(say(lang, word, name=first.name, ear=first.best.ear, sf=first.sf, margin=_margin_db(first)))
        if first.sf not in {row.sf for row in first.rows}:
            lines.append(say(lang, "computed", sf=first.sf, name=first.name))
        if len({row.sf for row in first.rows}) == 1:
            lines.append(say(lang, "single"))
        if first.best.heard == first.best.sent:
            lines.append(say(lang, "few", sent=first.best.sent, most=lost_at_most(first.best) * 100))
        never = [each.name for each in found if each.verdict == NOT_HERE]
        if never:
            lines.append(say(lang, "never", names=", ".join(never)))
    if len({row.power_dbm for each in found for row in each.rows if row.power_dbm is not None}) > 1:
        lines.append(say(lang, "power"))
    return lines


def lost_at_most(row: Row) -> float:
    """Of frames of which none was lost: the share that is lost at most, at 95 % confidence."""
    return float(1.0 - 0.05 ** (1.0 / row.sent))


def facts(found: list[Place]) -> dict[str, Any]:
    """The same for programs."""
    from tools.range_places import NOT_HERE

    first = found[0] if found[0].verdict != NOT_HERE else None
    return {
        "mount": first.name if first else None,
        "sf": first.sf if first else None,
        "ear": first.best.ear if first and first.best else None,
        "margin_db": _margin_db(first) if first else None,
        "places": [
            {
                "place": each.name, "lat": each.lat, "lon": each.lon, "verdict": each.verdict, "sf": each.sf or None,
                "rows": [row.__dict__ | {"per": row.per} for row in each.rows],
            }
            for each in found
        ],
    }  # fmt: skip
