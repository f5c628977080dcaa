"""While the flash erases, the program stands still and input overflows: what is lost is told as coverage, by the real
firmware, and the simulated chip's own count says how much it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.powercut.ear import Ear
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools.sim import flash as chip
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.flash import Operation
from tools.sim.interpreter import find
from wire.records import Record

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]
WINDOW_S = 10


def start(folder: Path, board: str) -> tuple[Conductor, VirtualNode, Ear]:
    """A board that has delivered its first whole windows to a gateway."""
    conductor = Conductor(folder, seed=1, start_s=START_S)
    settings = json.loads(settings_of(1, window_s=WINDOW_S))
    node = conductor.add_node("n1", board, prepare=PROVISION.format(json.dumps(settings)))
    ear = Ear(conductor, node, [(1, key_of(1))])
    conductor.run(3 * WINDOW_S + 2)
    return conductor, node, ear


def covered(ear: Ear) -> dict[int, int]:
    """Coverage by the end of the window, of windows whose time is known."""
    return {
        record.time[1]: record.coverage
        for record in ear.stored.values()
        if isinstance(record, Record) and len(record.time) == 2
    }


def slow(node: VirtualNode) -> None:
    """From now on every erase is one of the slow ones."""

    def watch(operation: Operation) -> None:
        if operation.kind == "erase":
            node.flash.counts["erases"] = chip.SLOW_ERASE_EVERY - 1

    node.flash.watch = watch


def test_a_microphone_overflows_and_the_windows_say_so(tmp_path: Path) -> None:
    conductor, node, ear = start(tmp_path, "noise-v1")
    with conductor:
        quick = [share for end, share in covered(ear).items() if end > START_S + 2 * WINDOW_S]
        assert quick
        assert min(quick) == 100
        lost_before = node.board.i2s[0].lost
        began = int(conductor.now_s)
        slow(node)
        conductor.run(6 * WINDOW_S)
        node.flash.watch = None
        conductor.run(2 * WINDOW_S)
        lost_s = (node.board.i2s[0].lost - lost_before) / 48_000
        assert lost_s > 0.5, "the stalls lose nothing: the test attacks nothing"
        shares = [share for end, share in covered(ear).items() if end > began]
        told_s = sum(100 - share for share in shares) * WINDOW_S / 100
        assert lost_s - 0.1 <= told_s <= lost_s + 0.1 * len(shares) + 0.1  # a per cent of a window is rounded off


@pytest.mark.parametrize(("erase_us", "overflows"), [(chip.SLOW_ERASE_US, False), (2_500_000, True)])
def test_a_radar_is_heard_again_or_missed_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, erase_us: int, overflows: bool
) -> None:
    """128 bytes outlast a new chip's slowest erase; a worn one's they do not."""
    conductor, node, ear = start(tmp_path, "traffic-v1")
    with conductor:
        monkeypatch.setattr(chip, "SLOW_ERASE_US", erase_us)
        began = int(conductor.now_s)
        slow(node)
        conductor.run(4 * WINDOW_S)
        node.flash.watch = None
        conductor.run(3 * WINDOW_S)
        lost = node.board.uarts[2].fifo.lost
        shares = [share for end, share in covered(ear).items() if end > began]
        assert len(shares) >= 4
        assert (lost > 0) == overflows
        assert (min(shares) < 100) == overflows, shares
