"""boot.py and main.py as they lie on the board's root: boot numbers, slots, early deaths, safe mode."""

from __future__ import annotations

import runpy
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware import slots

BOARD = Path(__file__).resolve().parents[2] / "firmware" / "board"
PWRON, HARD, WDT, DEEPSLEEP, SOFT = range(1, 6)


class Machine(types.ModuleType):
    """The port's machine module; `reset` ends the program."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = PWRON, HARD, WDT, DEEPSLEEP, SOFT

    def __init__(self) -> None:
        super().__init__("machine")
        self.cause = HARD
        self.resets = 0

    def reset_cause(self) -> int:
        return self.cause

    def reset(self) -> None:
        self.resets += 1


class Rig:
    """A board's root folder and what its program does when it is started."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.machine = Machine()
        self.started: list[bool] = []
        self.program: Callable[[], None] = lambda: None
        self.patch = monkeypatch
        app = types.ModuleType("firmware.app")

        def main(where: str, safe: bool) -> None:
            assert Path(where) == root
            self.started.append(safe)
            self.program()

        app.main = main  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "firmware.app", app)
        monkeypatch.setattr("firmware.app", app, raising=False)
        monkeypatch.setitem(sys.modules, "machine", self.machine)
        monkeypatch.setattr("gc.threshold", lambda count: None, raising=False)
        monkeypatch.setattr("sys.print_exception", lambda error: None, raising=False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.chdir(root)
        (root / "a").mkdir()

    def boot(self, main: bool = True) -> str:
        """A start; the slot that is taken. Without `main`: what mpremote does when it enters the raw REPL."""
        before = list(sys.path)
        runpy.run_path(str(BOARD / "boot.py"), run_name="__main__")
        slot = next((path for path in sys.path if path not in before), before[0])
        sys.path[:] = before
        if main:
            runpy.run_path(str(BOARD / "main.py"), run_name="__main__")
        return Path(slot).name


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


def crash() -> None:
    raise RuntimeError("early death")


def test_boots_are_counted_and_deep_sleep_wakes_are_not(rig: Rig) -> None:
    for number in (1, 2, 3):
        rig.boot()
        assert slots.boot_id(str(rig.root)) == number
    rig.machine.cause = DEEPSLEEP
    rig.boot()
    assert slots.boot_id(str(rig.root)) == 3


def test_boot_number_survives_one_damaged_copy_and_never_restarts(rig: Rig) -> None:
    for _ in range(5):
        rig.boot()
    (rig.root / "boots.a").write_bytes(b"12 00000000\n")
    rig.boot()
    assert slots.boot_id(str(rig.root)) == 6
    rig.patch.setattr("os.urandom", lambda count: b"\x31\x07")
    for copy in ("boots.a", "boots.b"):
        (rig.root / copy).write_bytes(b"")
    rig.boot()
    assert slots.boot_id(str(rig.root)) == 0x3108


def test_boot_number_fits_into_a_record(rig: Rig) -> None:
    for copy in slots.BOOTS:
        slots.save_line(str(rig.root) + copy, "65535")
    rig.boot()
    assert slots.boot_id(str(rig.root)) == 0


@pytest.mark.parametrize("before", [4, 65533, 65534, 65535])
@pytest.mark.parametrize("damage", ["aged", "torn"])
@pytest.mark.parametrize("copy", ["boots.a", "boots.b"])
def test_no_boot_number_comes_twice_also_where_it_begins_anew(rig: Rig, before: int, damage: str, copy: str) -> None:
    """One copy may be the one before (a cut between them, or after a restart from the other) or unreadable."""
    for name in slots.BOOTS:
        slots.save_line(str(rig.root) + name, str(before))
    seen = [before]
    for _ in range(5):
        old = (rig.root / copy).read_bytes()
        rig.boot(main=False)
        seen.append(slots.boot_id(str(rig.root)))
        (rig.root / copy).write_bytes(old if damage == "aged" else old[:3])
        assert slots.boot_id(str(rig.root)) == seen[-1]  # as the program and the next start read it
    assert slots.new_boot(str(rig.root)) not in seen
    assert len(set(seen)) == 6
    assert seen == [(before + i) & 0xFFFF for i in range(6)]


def test_early_deaths_lead_to_safe_mode_and_then_to_the_repl(rig: Rig) -> None:
    rig.program = crash
    for _ in range(10):
        rig.boot()
    assert rig.started == [False] * 5 + [True] * 3
    assert rig.machine.resets == 8


@pytest.mark.slow
def test_technician_power_and_deep_sleep_are_no_deaths(rig: Rig) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    rig.program = crash
    rig.machine.cause = PWRON
    for _ in range(20):
        rig.boot()
    rig.machine.cause = DEEPSLEEP
    for _ in range(20):
        rig.boot()
    rig.machine.cause = SOFT
    for _ in range(20):
        rig.boot(main=False)  # mpremote soft-resets before each command
    rig.program = stopped
    for _ in range(20):
        rig.boot()
    assert not any(rig.started)


def test_a_start_that_proved_itself_forgets_the_deaths_before(rig: Rig) -> None:
    rig.program = crash
    for _ in range(4):
        rig.boot()
    rig.program = lambda: slots.confirm(str(rig.root))
    rig.boot()
    rig.program = crash
    for _ in range(5):
        rig.boot()
    assert rig.started == [False] * 10


def test_a_new_slot_that_does_not_prove_itself_is_left(rig: Rig) -> None:
    (rig.root / "b").mkdir()
    slots.write_pointer(str(rig.root), "a", True)
    assert rig.boot() == "a"
    slots.write_pointer(str(rig.root), "b", False)
    rig.program = crash
    rig.machine.cause = PWRON  # a program that browns out counts too while it is new
    taken = [rig.boot() for _ in range(6)]
    assert taken == ["b", "b", "b", "a", "a", "a"]
    assert slots.read_pointer(str(rig.root)) == ("a", True, 3)
    assert slots.fell_back(str(rig.root))
    slots.fall_told(str(rig.root))
    assert not slots.fell_back(str(rig.root))


def test_a_new_slot_that_proves_itself_stays(rig: Rig) -> None:
    (rig.root / "b").mkdir()
    slots.write_pointer(str(rig.root), "a", True)
    slots.write_pointer(str(rig.root), "b", False)
    rig.program = lambda: slots.confirm(str(rig.root))
    assert [rig.boot() for _ in range(6)] == ["b"] * 6
    assert slots.read_pointer(str(rig.root)) == ("b", True, 3)


@pytest.mark.parametrize("copy", ["slot.a", "slot.b"])
def test_one_damaged_pointer_copy_changes_nothing(rig: Rig, copy: str) -> None:
    (rig.root / "b").mkdir()
    slots.write_pointer(str(rig.root), "b", True)
    (rig.root / copy).write_bytes(b"a 1 9 12345678\n")
    assert rig.boot() == "b"


def test_a_pointer_to_a_slot_that_is_not_there_falls_back(rig: Rig) -> None:
    slots.write_pointer(str(rig.root), "b", True)
    assert rig.boot() == "a"
