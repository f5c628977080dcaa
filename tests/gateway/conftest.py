"""What tests of a gateway begin with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.lora_air import CellRig, InCell, cell_rig, run_cell


@pytest.fixture
def in_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InCell:
    def run(scenario: Callable[[CellRig], Coroutine[Any, Any, None]], **how: Any) -> None:
        async def main() -> None:
            async with cell_rig(tmp_path / "spool.db", **how) as rig:
                await scenario(rig)

        run_cell(monkeypatch, main())

    return run
