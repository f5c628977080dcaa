"""Board descriptions: one folder a board, `board.toml` (pins, buses, sensors, profiles, link, power) and a README.

`load_board` reads and checks one completely; `compile_board` makes the `board.json` that lies on the board's flash.
"""

from __future__ import annotations

from msgspec import Struct, structs, to_builtins

from boards.loading import BoardError, board_names, load_board
from boards.model import Board, Chip

__all__ = ["Board", "BoardError", "board_names", "compile_board", "load_board", "simulated_chips"]


def compile_board(board: Board, simulated: bool = False) -> dict[str, object]:
    """The content of `board.json`. `simulated`: with the parameters of the simulated twin."""
    twin = board.simulation.params if simulated and board.simulation else None
    sensors = []
    for sensor in board.sensors:
        entry = to_builtins(sensor)
        params = to_builtins(sensor.params) | _overrides(getattr(twin, entry["driver"], None))
        entry["params"] = {name: int(value) if isinstance(value, bool) else value for name, value in params.items()}
        sensors.append(entry)
    light = {} if board.led is None else {"led": board.led}
    return light | {
        "board": board.name,
        "name": board.title,
        "mcu": board.mcu,
        "power": board.power,
        "link": to_builtins(board.link),
        "buses": {name: to_builtins(bus) for name, bus in board.buses.items()},
        "sensors": sensors,
        "profiles": to_builtins(board.profiles),
    }


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
