"""DEPLOYMENT.toml: where the gateways of a town stand and where its nodes, and how they are set; for `steiger plan city`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.toml_lines import line_of
from tools.errors import UsageError
from tools.sim.radio.propagation import Model, Position, chance

UPLINKS_HZ = (  # by channel number, as lora_channels counts its bits
    868_100_000, 868_300_000, 868_500_000, 867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000,
)  # fmt: skip
NODES_MAX = 5_000  # more take longer than anybody waits
EARTH_M_PER_DEG = 111_320.0

Metres = Annotated[float, msgspec.Meta(ge=-100_000, le=100_000)]
Height = Annotated[float, msgspec.Meta(ge=0, le=500)]
Gain = Annotated[float, msgspec.Meta(ge=-20, le=20)]
Latitude = Annotated[float, msgspec.Meta(ge=-80, le=80)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Sf = Annotated[int, msgspec.Meta(ge=7, le=12)]
Channel = Annotated[int, msgspec.Meta(ge=0, le=7)]
Power = Annotated[int, msgspec.Meta(ge=-9, le=22)]


class _Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Air(_Table):
    """What differs from a usual town; see tools/sim/radio/propagation.py."""

    loss_at_1km_db: Annotated[float, msgspec.Meta(ge=80, le=200)] = Model.loss_at_1km_db
    exponent: Annotated[float, msgspec.Meta(ge=1.6, le=6)] = Model.exponent
    shadowing_db: Annotated[float, msgspec.Meta(ge=0, le=20)] = Model.shadowing_db
    noise_figure_db: Annotated[float, msgspec.Meta(ge=0, le=60)] = Model.noise_figure_db
    frame_loss: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


class Link(_Table):
    """How nodes speak: the settings lora_spread_s and lora_ask_every, and the bytes of their frames."""

    interval_s: Annotated[int, msgspec.Meta(ge=10, le=3600)] = 300
    spread_s: Annotated[int, msgspec.Meta(ge=0, le=600)] = 20
    ask_every: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    first_bytes: Annotated[int, msgspec.Meta(ge=10, le=60)] = 29
    more_bytes: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.5
    adr: bool = True
    margin_db: Annotated[float, msgspec.Meta(ge=0, le=40)] = 10.0


class Place(_Table):
    """Metres, or degrees."""

    x_m: Metres | None = None
    y_m: Metres | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None
    height_m: Height = 3.0


class GatewayAt(Place, kw_only=True):
    """An ear of the town's gateway. A bridge or HAT hears one channel at one SF; a concentrator eight at all."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: Literal["bridge", "hat", "concentrator"]
    height_m: Height = 24.0
    gain_dbi: Gain = 2.15
    power_dbm: Annotated[int, msgspec.Meta(ge=-9, le=27)] = 14  # of its answers, as in gateway.toml
    channel: Channel = 0
    sf: Sf = 9


class NodeAt(Place, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    gain_dbi: Gain = 2.15
    power_dbm: Power = 14
    sf: Sf | None = None


class NodesIn(Place, kw_only=True):
    """So many nodes within a circle, drawn by the seed."""

    count: Annotated[int, msgspec.Meta(ge=1, le=NODES_MAX)]
    radius_m: Annotated[float, msgspec.Meta(ge=1, le=50_000)]
    gain_dbi: Gain = 2.15
    power_dbm: Power = 14
    prefix: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "node"


class Deployment(_Table, kw_only=True):
    """The whole file."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    gateway: Annotated[list[GatewayAt], msgspec.Meta(min_length=1, max_length=50)]
    node: list[NodeAt] = []
    nodes: list[NodesIn] = []
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 1
    hours: Annotated[float, msgspec.Meta(gt=0, le=240)] = 6.0
    air: Air = msgspec.field(default_factory=Air)
    link: Link = msgspec.field(default_factory=Link)

    def model(self) -> Model:
        air = self.air
        return Model(
            loss_at_1km_db=air.loss_at_1km_db, exponent=air.exponent, shadowing_db=air.shadowing_db,
            noise_figure_db=air.noise_figure_db, loss=air.frame_loss,
        )  # fmt: skip

    def places(self) -> list[tuple[NodeAt, Position]]:
        """Every node with its place; the drawn ones too."""
        found = [(node, self.position(node)) for node in self.node]
        for number, group in enumerate(self.nodes):
            draw = chance(self.seed, "places", number)
            middle = self.position(group)
            for index in range(group.count):
                away_m, angle = group.radius_m * math.sqrt(draw.random()), draw.uniform(0, 2 * math.pi)
                where = Position(
                    middle.x_m + away_m * math.cos(angle), middle.y_m + away_m * math.sin(angle), group.height_m
                )
                name = f"{group.prefix}-{index + 1}"
                node = NodeAt(name=name, height_m=group.height_m, gain_dbi=group.gain_dbi, power_dbm=group.power_dbm)
                found.append((node, where))
        return found

    def position(self, of: Place) -> Position:
        """Metres from the first place that has degrees (or as they are given)."""
        height_m = of.height_m
        if of.lat is None or of.lon is None:
            return Position(of.x_m or 0.0, of.y_m or 0.0, height_m)
        everyone: tuple[Place, ...] = (*self.gateway, *self.node, *self.nodes)
        first = next(at for at in everyone if at.lat is not None and at.lon is not None)
        assert first.lat is not None and first.lon is not None
        x_m = (of.lon - first.lon) * EARTH_M_PER_DEG * math.cos(math.radians(first.lat))
        return Position(x_m, (of.lat - first.lat) * EARTH_M_PER_DEG, height_m)


def load(path: Path) -> Deployment:
    """Read and check a file. UsageError says what, in which line, and what to do."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), next_step="docs/lora-planning.md has one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the file cannot be read: {error}", where=str(path), next_step="Check its path and mode"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"no valid TOML: {error}", where=str(path), next_step="Correct that line") from None
    try:
        found = msgspec.convert(tree, Deployment)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$")
        keys = _keys(at.rstrip("`"))
        where = f"{path}:{line_of(text, keys)}"
        raise UsageError(
            what[:1].lower() + what[1:], where=where, next_step="docs/lora-planning.md has the keys"
        ) from None
    _check(found, path, text)
    return found


def _keys(at: str) -> tuple[str | int, ...]:
    keys: list[str | int] = []
    for part in at.replace("[", ".[").split("."):
        if part.startswith("["):
            keys.append(int(part[1:-1]) if part[1:-1].isdigit() else 0)
        elif part:
            keys.append(part)
    return tuple(keys)


class _PlanError(UsageError):
    """Something in the file does not fit together; `keys` lead to it."""

    def __init__(self, what: str, path: Path, text: str, *keys: str | int) -> None:
        where = f"{path}:{line_of(text, keys)}"
        super().__init__(what, where=where, next_step="docs/lora-planning.md has the keys")


def _check(found: Deployment, path: Path, text: str) -> None:
    if not found.node and not found.nodes:
        raise _PlanError("there are no nodes: give [[node]] or [[nodes]]", path, text)
    groups: tuple[tuple[str, Sequence[Place]], ...] = (
        ("gateway", found.gateway), ("node", found.node), ("nodes", found.nodes),
    )  # fmt: skip
    for kind, entries in groups:
        for index, entry in enumerate(entries):
            metres, degrees = (entry.x_m, entry.y_m), (entry.lat, entry.lon)
            if (None in metres) == (None in degrees) or (metres != (None, None)) == (degrees != (None, None)):
                raise _PlanError("a place is x_m and y_m, or lat and lon", path, text, kind, index)
    everyone: list[Place] = [entry for _, entries in groups for entry in entries]
    if len({entry.lat is None for entry in everyone}) > 1:
        raise _PlanError("some places are in metres and some in degrees: use one of them", path, text)
    if sum(group.count for group in found.nodes) + len(found.node) > NODES_MAX:
        raise _PlanError(f"more than {NODES_MAX} nodes", path, text)
    seen: set[str] = set()
    for name in (*(gateway.name for gateway in found.gateway), *(node.name for node, _ in found.places())):
        if name in seen:
            raise _PlanError(f"the name '{name}' is there twice", path, text)
        seen.add(name)
