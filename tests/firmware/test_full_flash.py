"""A board whose flash takes nothing for a while: it goes on, says so, and accounts for every window afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.board import START_S
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, World, play
from wire import messages


class Flash:
    """`open` for everything the firmware writes; while `full`, writing fails as on a full littlefs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        for module in ("firmware.outbox.log", "firmware.leases", "firmware.settings"):
            monkeypatch.setattr(module + ".open", self._open, raising=False)

    def _open(self, path: str, mode: str = "r") -> Any:
        return open(path, mode) if mode == "rb" else _File(open(path, mode), self)


class _File:
    def __init__(self, file: Any, flash: Flash) -> None:
        self._file = file
        self._flash = flash

    def write(self, data: bytes) -> int:
        if self._flash.full:
            raise OSError(28, "no space left")
        return int(self._file.write(data))

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("cut", [False, True], ids=["goes on", "power cut meanwhile"])
def test_windows_of_a_full_flash_have_a_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    flash = Flash(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(150)
        flash.full = True
        await virtual_s(300)
        assert not world.board.task.done(), "the program goes on"  # type: ignore[union-attr]
        if cut:
            await world.board.cut()
            await virtual_s(20)
            world.board.start()
            await virtual_s(100)
            assert not world.board.task.done(), "the program goes on"  # type: ignore[union-attr]
        flash.full = False
        await virtual_s(300)
        await world.drained()
        totals = world.totals()
        counted = (world.now_s() - START_S) // 60
        assert totals.scheduled == counted
        assert totals.scheduled == totals.sealed + totals.off + totals.not_sampled
        assert totals.sealed == len(world.records()) >= 6
        assert world.gaps(messages.OFF) == totals.off
        await world.board.cut()

    play(script, tmp_path)


def test_a_first_boot_on_a_full_flash_measures_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = Flash(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY)
        flash.full = True
        world.board.start()
        await virtual_s(100)
        assert not world.board.node.grids  # type: ignore[union-attr]
        flash.full = False
        await virtual_s(300)
        await world.drained()
        totals = world.totals()
        assert totals.scheduled == (world.now_s() - START_S) // 60
        assert totals.sealed == len(world.records()) >= 4
        await world.board.cut()

    play(script, tmp_path)
