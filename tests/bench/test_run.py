"""The bench's frame: what is missed is marked and ends a check, what was not measured counts as missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import run

SECTION = '''"""Two figures that are known.

More about them.
"""

TARGETS = {"demo.small": ("<=", 4), "demo.large": (">=", LIMIT)}


def run():
    return {"demo.small": 3.5, "demo.large": 20_000.0, "demo.other": 1 / 3}, ["a table"]
'''


OTHER_TABLE = "another table"


@pytest.fixture
def section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose only section is this one; call it with the target of demo.large and the arguments."""
    monkeypatch.setattr(run, "SECTIONS", ("demo",))
    monkeypatch.setattr(run, "OUT", tmp_path / "build" / "bench.json")
    monkeypatch.setattr(run, "DOCS", tmp_path / "docs" / "benchmarks.md")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()

    def go(limit: str, *arguments: str) -> int:
        module = ModuleType("bench.demo")
        exec(SECTION.replace("LIMIT", limit), module.__dict__)
        monkeypatch.setitem(sys.modules, "bench.demo", module)
        return run.main(list(arguments))

    return go


def test_a_target_that_holds(section: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert section("20_000", "--check") == 0
    out = capsys.readouterr().out
    assert "MISSED" not in out
    assert json.loads(run.OUT.read_text()) == {"demo.small": 3.5, "demo.large": 20000.0, "demo.other": 0.333}
    line = next(line for line in out.splitlines() if line.startswith("demo.large"))
    assert line.split() == ["demo.large", "20000", ">=", "20000", "ok", "make", "bench", "ARGS=demo"]


def test_a_target_that_is_missed_ends_a_check(section: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert section("20_001") == 0
    assert section("20_001", "--check") == 1
    assert "missed: demo.large" in capsys.readouterr().out


def test_a_target_that_was_not_measured_is_missed() -> None:
    result = run.Measured("demo", "", {}, [], {"demo.gone": ("==", 0)})
    assert result.missed() == ["demo.gone"]
    assert result.rows() == [("demo.gone", "not measured", "== 0", "MISSED")]


def test_figures_of_other_runs_stay(section: Any) -> None:
    run.OUT.parent.mkdir()
    run.OUT.write_text('{"other.figure": 7}')
    assert section("1") == 0
    assert json.loads(run.OUT.read_text())["other.figure"] == 7


def test_the_document_is_of_all_sections(section: Any) -> None:
    assert section("30_000", "demo", "--write-docs") == 0
    text = run.DOCS.read_text()
    assert "| `demo.large` | 20000 | >= 30000 | MISSED | `make bench ARGS=demo` |" in text
    assert "Two figures that are known." in text
    assert "a table" in text
    run.SECTIONS = ("demo", "another")
    assert section("1", "demo", "--write-docs") == 0
    assert "| not measured here | `another`" in run.DOCS.read_text()


def test_sections_of_earlier_runs_are_in_the_document_with_their_version(
    section: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(version: str) -> None:
        monkeypatch.setattr(run.machine, "version_of_steiger", lambda: version)
        monkeypatch.setattr(run.machine, "facts", lambda: [("Steiger", version), ("system", "Linux")])

    monkeypatch.setattr(run, "LONG", ("other",))
    other = ModuleType("bench.other")
    exec(SECTION.replace("demo.", "other.").replace("LIMIT", "1").replace("a table", OTHER_TABLE), other.__dict__)
    monkeypatch.setitem(sys.modules, "bench.other", other)
    at("1.0, aaaa")
    assert section("1", "other") == 0
    at("1.0, bbbb")
    assert section("1", "--write-docs") == 0
    text = run.DOCS.read_text()
    assert "| system | Linux |" in text
    assert text.index("*Steiger 1.0, bbbb*") < text.index("*Steiger 1.0, aaaa*") < text.index(OTHER_TABLE)


def test_what_this_version_has_measured_is_not_measured_again(
    section: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert section("1", "--missing") == 0
    assert "— demo —" in capsys.readouterr().out
    assert section("1", "--missing", "--write-docs") == 0
    assert "— demo —" not in capsys.readouterr().out
    assert "a table" in run.DOCS.read_text()
    monkeypatch.setattr(run.machine, "version_of_steiger", lambda: "a newer one")
    assert section("1", "--missing") == 0
    assert "— demo —" in capsys.readouterr().out


def test_an_unknown_section_is_named(section: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert section("1", "nothing") == 2
    assert "no section nothing" in capsys.readouterr().err
