"""The retry ladder over a line and a flash that misbehave, with the real mpremote: FAILURES 17."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.raw_repl import ReplEnd
from tests.waiting import wait_until
from tools.board_link import BoardError, BoardLink
from tools.errors import NoConnection
from tools.provision import Plan, _look, _write_files

pytestmark = [pytest.mark.mpremote, pytest.mark.timeout(120)]
FILES = {f"a/firmware/m{i}.mpy": bytes(range(i, i + 200)) * 3 for i in range(4)} | {"board.json.new": b"{}" * 40}
PLAN = Plan("a", FILES, [], ["board.json"], False)


@pytest.fixture
def end(tmp_path: Path) -> Iterator[ReplEnd]:
    end = ReplEnd(tmp_path)
    yield end
    end.close()


class Said(list[str]):
    """What the technician is told."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def link(end: ReplEnd, said: Said) -> BoardLink:
    return BoardLink(str(end.port), said)


def first(count: int, pattern: str, damage: bytes = b"") -> tuple[list[str], object]:
    """A knob: the answers to the first `count` pieces of code that match are replaced by `damage` + their end."""
    hit: list[str] = []

    def garble(code: str, answer: bytes) -> bytes:
        if len(hit) < count and re.search(pattern, code):
            hit.append(code)
            return damage
        return answer

    return hit, garble


def test_without_faults_nothing_is_done_twice(end: ReplEnd, link: BoardLink, said: Said) -> None:
    assert link.ask("answer = 6 * 7") == 42
    _write_files(link, PLAN, said, lambda done, total: None)
    link.reset()
    assert {name: (end.root / name).read_bytes() for name in FILES} == FILES
    wait_until(lambda: end.resets == 1, 10, "the reset")
    assert len(said) == 1
    assert not [code for code in set(end.executed) if code.startswith("f=open") and end.executed.count(code) > 1]


@pytest.mark.slow
def test_a_board_that_does_not_enter_its_raw_repl_is_asked_again(end: ReplEnd, link: BoardLink, said: Said) -> None:
    end.deaf = 1
    assert link.ask("answer = 6 * 7") == 42
    assert said == [f"{end.port}: the board does not answer on its REPL, try 2 of 3"]


def test_an_answer_that_arrives_damaged_is_asked_for_again(end: ReplEnd, link: BoardLink, said: Said) -> None:
    hit, end.garble = first(2, "6 .* 7", b"OK~steiger~{\xff\x7f\x00\x04\x04>")  # type: ignore[assignment]
    assert link.ask("answer = 6 * 7") == 42
    assert len(hit) == 2
    assert "arrived damaged" in said[0] and "try 3 of 3" in said[1]


def test_a_board_that_is_never_understood_is_given_up(end: ReplEnd, link: BoardLink) -> None:
    hit, end.garble = first(99, "6 .* 7", b"OK\x04\x04>")  # type: ignore[assignment]
    with pytest.raises(NoConnection, match="arrived damaged"):
        link.ask("answer = 6 * 7")
    assert len(hit) == 3


def test_an_error_on_the_board_is_no_matter_of_the_line(end: ReplEnd, link: BoardLink) -> None:
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        link.ask("answer = 1 // 0")
    assert sum("1 // 0" in code for code in end.executed) == 1


@pytest.mark.parametrize("place", [r"^w\(b", r"^f=open\('a/firmware/m2", r"^f\.close"])
def test_a_copy_that_fails_midway_is_made_again(end: ReplEnd, link: BoardLink, said: Said, place: str) -> None:
    hit, end.garble = first(2, place, b"\x15\x7f")  # type: ignore[assignment]
    _write_files(link, PLAN, said, lambda done, total: None)
    assert len(hit) == 2
    assert {name: (end.root / name).read_bytes() for name in FILES} == FILES
    assert [line for line in said if "the line is disturbed, try" in line]


@pytest.mark.parametrize("name", ["a/firmware/m1.mpy", "board.json.new"])
def test_a_file_that_reads_back_differently_is_written_once_more(
    end: ReplEnd, link: BoardLink, said: Said, name: str
) -> None:
    wrong = [name]
    end.keep = lambda path, data: data[:-1] + b"?" if path in wrong and not wrong.remove(path) else data
    _write_files(link, PLAN, said, lambda done, total: None)
    assert not wrong
    assert {name: (end.root / name).read_bytes() for name in FILES} == FILES
    assert f"{name} read back differently, try 2 of 2" in said[-1]
    again = [code for code in end.executed if code.startswith("f=open") and end.executed.count(code) > 1]
    assert len(set(again)) == 1, "the others are not written again"


def test_a_flash_that_keeps_something_else_is_told(end: ReplEnd, link: BoardLink, said: Said) -> None:
    end.keep = lambda path, data: data[1:] if path == "a/firmware/m3.mpy" else data
    with pytest.raises(BoardError, match=r"m3\.mpy reads back differently.*suspect the flash"):
        _write_files(link, PLAN, said, lambda done, total: None)


def test_a_port_that_is_gone_is_not_tried_again(end: ReplEnd, link: BoardLink, said: Said) -> None:
    assert link.ask("answer = 1") == 1
    end.unplug()
    with pytest.raises(NoConnection, match="missing or in use"):
        link.ask("answer = 2")
    assert said == []


def test_what_lies_on_the_board_is_told_file_by_file(end: ReplEnd, link: BoardLink, said: Said) -> None:
    _write_files(link, PLAN, said, lambda done, total: None)
    look = _look(link)
    assert set(look["files"]) == set(FILES) - {"board.json.new"}
    assert (look["slot"], look["todo"]) == (None, None)
    (end.root / "provisioning").write_bytes(b"0badcafe b 0 board.json 7ff7e6ed\n")
    assert _look(link)["todo"] is None, "its CRC does not fit"
