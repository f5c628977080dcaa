"""A simulated board as a process of a run in real time: `steiger sim node` with two more orders on its control socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards import load_board
from tools.faults.flash import StallingFlash
from tools.sim import node
from tools.sim.interpreter import find

LOOK_US = 100_000  # many boards on few cores: each asks less often whether its port was opened


class LabNode(node.Node):
    """Also "stall" (each erase takes "us" longer) and "late" (the line keeps bytes back for "us")."""

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        verbs: dict[Any, Callable[[dict[str, Any]], dict[str, Any]]] = {"stall": self._stall, "late": self._late}
        return verbs.get(order.get("do"), super().obey)(order)

    def _stall(self, order: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(self.flash, StallingFlash)
        self.flash.stall_us = int(order["us"])
        return {"stalled": self.flash.stalled}

    def _late(self, order: dict[str, Any]) -> dict[str, Any]:
        lines = (self.line_in, self.board.console.out)
        if order.get("us"):
            for line in lines:
                line.keep_back(self.time.now_us + int(order["us"]))
        return {"late": sum(line.late for line in lines), "lost": sum(line.lost for line in lines) + self.port.lost}


def main(board: str, flash: Path, port: Path, seed: int) -> None:
    """Until SIGKILL."""
    setattr(node, "Flash", StallingFlash)  # noqa: B010  # this process's own boards only
    setattr(node, "LOOK_US", LOOK_US)  # noqa: B010
    LabNode(load_board(board), flash=flash, port=port, seed=seed, interpreter=find()).run()
