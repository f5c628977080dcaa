"""What provisioning decides to write: nothing twice, never into the slot that runs, the switch last."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tools.errors import SteigerError
from tools.provision import firmware_target, plan

SLOT = {"firmware/app.mpy": b"app", "wire/frame.mpy": b"frame"}
ROOT = {"boot.py": b"boot", "main.py": b"main", "board.json": b"{}"}


def look(slot: str | None = None, **contents: bytes) -> dict[str, Any]:
    return {"slot": slot, "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}}


def whole(slot: str) -> dict[str, bytes]:
    return {f"{slot}/{name}": content for name, content in SLOT.items()} | ROOT


def test_an_empty_board_gets_everything_in_slot_a() -> None:
    todo = plan(look(), SLOT, ROOT)
    assert todo.slot == "a"
    assert set(todo.files) == {"a/firmware/app.mpy", "a/wire/frame.mpy", "boot.py.new", "main.py.new", "board.json.new"}
    assert set(todo.staged) == set(ROOT)
    assert not todo.switched


def test_what_is_there_is_left_alone() -> None:
    todo = plan(look("a", **whole("a")), SLOT, ROOT)
    assert (todo.files, todo.remove, todo.staged, todo.slot) == ({}, [], [], "a")


def test_new_firmware_goes_into_the_other_slot() -> None:
    changed = SLOT | {"firmware/app.mpy": b"newer"}
    todo = plan(look("a", **whole("a")), changed, ROOT)
    assert (todo.slot, todo.switched) == ("b", True)
    assert set(todo.files) == {"b/firmware/app.mpy", "b/wire/frame.mpy"}


def test_a_third_version_goes_back_to_slot_a_and_cleans_it() -> None:
    there = whole("b") | {"a/firmware/gone.mpy": b"old", "a/firmware/app.mpy": b"old"}
    todo = plan(look("b", **there), SLOT | {"firmware/app.mpy": b"newest"}, ROOT)
    assert todo.slot == "a"
    assert todo.remove == ["a/firmware/gone.mpy"]
    assert set(todo.files) == {"a/firmware/app.mpy", "a/wire/frame.mpy"}


def test_an_interrupted_first_copy_is_completed() -> None:
    todo = plan(look(None, **{"a/firmware/app.mpy": b"app"}), SLOT, ROOT)
    assert "a/firmware/app.mpy" not in todo.files
    assert "a/wire/frame.mpy" in todo.files


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"name": "micropython", "version": [1, 28, 0], "mpy": 10 << 10 | 6, "platform": "esp32"},
            ("xtensawin", "esp32"),
        ),
        (
            {"name": "micropython", "version": [1, 29, 0], "mpy": 11 << 10 | 6, "platform": "esp32"},
            ("rv32imc", "esp32"),
        ),
        ({"name": "micropython", "version": [1, 29, 0], "mpy": 2822, "platform": "linux"}, ("x64", "sim")),
    ],
)
def test_target_follows_from_what_the_board_says(answer: dict[str, Any], expected: tuple[str, str]) -> None:
    assert firmware_target(answer, "/dev/x") == expected


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "micropython", "version": [1, 19, 1], "mpy": 2822, "platform": "esp32"},
        {"name": "circuitpython", "version": [9, 0, 0], "mpy": 2822, "platform": "esp32"},
    ],
)
def test_a_board_that_cannot_run_it_is_refused_with_a_next_step(answer: dict[str, Any]) -> None:
    with pytest.raises(SteigerError, match=r"MicroPython 1\.25 or newer"):
        firmware_target(answer, "/dev/x")
