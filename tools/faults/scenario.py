"""Scenarios: TOML files that say what kind of runs the laboratory makes. Checked completely before anything starts."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tools.errors import UsageError
from tools.faults.catalogue import FAULTS


class Scenario(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`time`: "virtual" (no foreign server in it, replayed to the byte) or "real" (mosquitto, ports, processes)."""

    title: str
    time: Literal["virtual", "real"]
    nodes: Annotated[int, Meta(ge=1, le=16)] = 2
    boards: Annotated[tuple[str, ...], Meta(min_length=1)] = ("bme280-v1",)
    windows_s: Annotated[tuple[Annotated[int, Meta(ge=1, le=60)], ...], Meta(min_length=1)] = (4, 5)
    span_s: Annotated[int, Meta(ge=60, le=3600)] = 320  # from provisioning to the end of the grid
    clusters: Annotated[int, Meta(ge=0, le=6)] = 2  # so many times faults come together
    overlap: Annotated[int, Meta(ge=1, le=5)] = 3  # so many at one instant
    faults: tuple[str, ...] = ()  # names; none: all that this kind of time has
    name: str = ""


def load(where: str) -> Scenario:
    """A file, or the name of a scenario that comes with Steiger. UsageError says what is wrong and what there is."""
    path = Path(where)
    if not path.suffix and not path.exists():
        found = {entry.name.partition(".")[0]: entry for entry in _shipped()}
        if where not in found:
            raise UsageError(
                "there is no such scenario", where=where, next_step=f"Name a TOML file, or one of: {', '.join(sorted(found))}"
            )  # fmt: skip
        return _parse(found[where].read_text(encoding="utf-8"), where, where)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the scenario cannot be read: {error}", where=where, next_step="Name a TOML file") from None
    return _parse(text, where, path.stem)


def _shipped() -> list[resources.abc.Traversable]:
    return [entry for entry in resources.files("tools.faults.scenarios").iterdir() if entry.name.endswith(".toml")]


def _parse(text: str, where: str, name: str) -> Scenario:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"no valid TOML: {error}", where=where, next_step="Correct the file") from None
    try:
        scenario = msgspec.convert(tree, Scenario, strict=True)
    except msgspec.ValidationError as error:
        keys = ", ".join(field for field in Scenario.__struct_fields__ if field != "name")
        raise UsageError(f"{error}", where=where, next_step=f"Keys of a scenario: {keys}") from None
    unknown = [fault for fault in scenario.faults if fault not in FAULTS]
    if unknown:
        raise UsageError(
            f"unknown fault: {', '.join(unknown)}", where=where, next_step=f"There are: {', '.join(FAULTS)}"
        )
    from boards import BoardError, load_board

    for board in scenario.boards:
        try:
            load_board(board)
        except BoardError as error:
            raise UsageError(f"{error}", where=where, next_step="Name boards of boards/") from None
    return msgspec.structs.replace(scenario, name=scenario.name or name)
