"""A board's description as text."""

from collections.abc import Callable
from pathlib import Path

import pytest

import boards


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], boards.Board]:
    def load(text: str) -> boards.Board:
        file = tmp_path / "board.toml"
        file.write_text(text)
        return boards.load_board(file)

    return load


@pytest.fixture
def first_problem(load: Callable[[str], boards.Board]) -> Callable[[str], str]:
    """What is said first of a board that must be refused: `<file>:<line>: <key>: <what>`."""

    def first_problem(text: str) -> str:
        with pytest.raises(boards.BoardError) as raised:
            load(text)
        return raised.value.problems[0]

    return first_problem
