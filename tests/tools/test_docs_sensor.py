"""The walk through a sensor (docs/adding-a-sensor.md) names files that are there, code as it stands, boards that load."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import boards
from gateway import config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-sensor.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_paths_are_there() -> None:
    named = set(re.findall(r"\b((?:firmware|tools|tests|boards|wire|docs)/[\w./-]+\.(?:py|json|toml|md))\b", PAGE))
    assert len(named) >= 15
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_the_code_is_the_drivers() -> None:
    (code,) = blocks("python")
    assert code in (ROOT / "firmware" / "drivers" / "tfluna.py").read_text()


def test_the_board_and_the_gateway_can_be_used(tmp_path: Path) -> None:
    board_text, gateway_text = blocks("toml")
    (tmp_path / "lane.toml").write_text(board_text)
    board = boards.load_board(tmp_path / "lane.toml")
    assert boards.simulated_chips(board)[0].chip == board.name.replace("lane", "tfluna")
    (tmp_path / "gateway.toml").write_text(gateway_text)
    assert tomllib.loads(gateway_text)["serial"][0]["port"] == "./lane"
    config.load(tmp_path / "gateway.toml")


def test_what_is_run_by_name_is_there() -> None:
    mutant = re.search(r"make mutants ARGS='\"(.*?)\"'", PAGE)
    assert mutant is not None
    names = (ROOT / "tests" / "mutants" / "mutants.toml").read_text()
    assert re.search(rf'^name = ".*{mutant[1]}.*"$', names, re.MULTILINE)
