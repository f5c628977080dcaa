"""Board descriptions: one folder a board, `board.toml` (pins, buses, sensors, profiles, link, power) and a README.

`load_board` reads and checks one completely; `compile_board` makes the `board.json` that lies on the board's flash.
"""

from __future__ import annotations

from msgspec import Struct, structs, to_builtins

from boards.loading import BoardError, board_names, load_board
from boards.model import Board, Chip
from boards.radio import Link, OnAir

__all__ = ["Board", "BoardError", "board_names", "compile_board", "load_board", "simulated_chips"]


def compile_board(board: Board, simulated: bool = False) -> dict[str, object]:
    """The content of `board.json`. `simulated`: with the parameters of the simulated twin."""
    twin = board.simulation.params if simulated and board.simulation else None
    sensors = []
    for sensor in board.sensors:
        entry = to_builtins(sensor)
        params = to_builtins(sensor.params) | _overrides(getattr(twin, entry["driver"], None))
        entry["params"] = {name: _whole(value) for name, value in params.items()}
        sensors.append(entry)
    optional: dict[str, object] = {} if board.led is None else {"led": board.led}
    for name, part in (("radio", board.radio), ("pmu", board.pmu)):
        if part is not None:
            optional[name] = {key: _whole(value) for key, value in to_builtins(part).items() if value not in (None, [])}
    return optional | {
        "board": board.name,
        "name": board.title,
        "mcu": board.mcu,
        "power": board.power,
        "link": _link(board.link),
        "buses": {name: to_builtins(bus) for name, bus in board.buses.items()},
        "sensors": sensors,
        "profiles": to_builtins(board.profiles),
    }


def _link(link: Link) -> dict[str, object]:
    """Gain and loss as one whole number (cdBi): a board has no floats worth the name."""
    entry: dict[str, object] = {key: _whole(value) for key, value in to_builtins(link).items()}
    if isinstance(link, OnAir):
        del entry["antenna_gain_dbi"], entry["cable_loss_db"]
        entry["gain_cdbi"] = round(100 * (link.antenna_gain_dbi - link.cable_loss_db))
    return entry


def _whole(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


def _overrides(params: Struct | None) -> dict[str, object]:
    """What a twin's parameters say other than the defaults."""
    if params is None:
        return {}
    defaults = {field.name: field.default for field in structs.fields(params)}
    return {name: value for name, value in structs.asdict(params).items() if value != defaults[name]}


def simulated_chips(board: Board) -> tuple[Chip, ...]:
    """The chips of the simulated twin, in the file's order; BoardError if the board has none."""
    if board.simulation is None:
        raise BoardError(board.name, ["no [simulation] section: this board exists in hardware only"])
    return tuple(board.simulation.chips)
