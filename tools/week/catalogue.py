"""Which faults a board meets: those of its simulated chips, of their wiring and of what they measure."""

from __future__ import annotations

from boards import load_board, simulated_chips
from tools.errors import UsageError
from tools.week import air, sound, traffic
from tools.week.fault import Fault


class Board:
    """How a board is run. `settings`: as provisioning gives them. `withheld`: channels that may be missing
    without a reason."""

    def __init__(self, faults: tuple[Fault, ...], settings: dict[str, int], withheld: tuple[str, ...] = ()) -> None:
        self.faults = faults
        self.withheld = frozenset(withheld)
        self.settings = settings
        self.window_s = settings["window_s.0"]
        self.has_microphone = any(fault.chip == sound.CHIP for fault in faults)


# Dust and weather change within minutes: a reading in five seconds loses nothing of a window of a minute, and is a fifth of
# the work of one a second, which is the default.
BOARDS = {
    "air-v1": Board(air.FAULTS, {"window_s.0": 60, "sample_ms": 5000}),
    "noise-v1": Board(sound.FAULTS, {"window_s.0": 60}),
    "traffic-v1": Board(traffic.FAULTS, {"window_s.0": 300}, traffic.OTHERS),
}


def board_of(name: str) -> Board:
    """UsageError for a board without a table of faults."""
    if name not in BOARDS:
        raise UsageError(
            "there is no table of faults for this board", where=name, next_step=f"There are {', '.join(sorted(BOARDS))}"
        )
    return BOARDS[name]


def fault_of(board: str, title: str) -> Fault:
    """UsageError for a fault that the board does not meet."""
    for fault in board_of(board).faults:
        if fault.title == title:
            return fault
    raise UsageError(
        f"{board} has no fault {title!r}",
        next_step="It has " + ", ".join(fault.title for fault in board_of(board).faults),
    )


def chips_of(board: str) -> list[str]:
    """The simulated chips of a board."""
    return [entry.chip for entry in simulated_chips(load_board(board))]
