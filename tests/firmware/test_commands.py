"""Commands: an id is in flash before the command runs, in two copies; no cut makes one run twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.tasks.commands import KEPT, Commands
from wire import messages


class Clock:
    def utc_s(self) -> int:
        return 1_800_000_000


def command(number: int) -> messages.Command:
    return messages.Command(number, messages.SEND_HEALTH, 0, 1_800_000_600)


def made(root: Path, ran: list[int], cut: bool = False) -> Commands:
    def run(code: int, arg: int) -> tuple[int, int]:
        ran.append(code)
        if cut:
            raise SystemExit("cut")
        return messages.DONE, 0

    return Commands(str(root), Clock(), run)


def test_a_command_is_remembered_before_it_runs(tmp_path: Path) -> None:
    """The power goes while it runs (a restart is such a command): it never runs again."""
    ran: list[int] = []
    with pytest.raises(SystemExit):
        made(tmp_path, ran, cut=True).take(command(5))
    result = made(tmp_path, ran).take(command(5))
    assert result.code == messages.REPEATED and len(ran) == 1


@pytest.mark.parametrize("copy", ["commands.a", "commands.b"])
def test_one_unreadable_copy_forgets_nothing(tmp_path: Path, copy: str) -> None:
    ran: list[int] = []
    for number in range(1, KEPT + 10):
        made(tmp_path, ran).take(command(number))
    assert len(ran) == KEPT + 9
    (tmp_path / copy).write_bytes(b"SCm1 torn")
    again = made(tmp_path, ran)
    assert all(again.take(command(number)).code == messages.REPEATED for number in range(10, KEPT + 10))
    assert len(ran) == KEPT + 9


def test_a_flipped_bit_forgets_all_or_nothing(tmp_path: Path) -> None:
    ran: list[int] = []
    made(tmp_path, ran).take(command(77))
    whole = (tmp_path / "commands.a").read_bytes()
    (tmp_path / "commands.b").unlink()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "commands.a").write_bytes(flipped)
        assert made(tmp_path, ran)._ids == []
