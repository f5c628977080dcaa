"""The table of mutants is fresh, and `make mutants` tells a mutant that is noticed from one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import verdict
from tests.mutants.run import Outcome, Tree, main, run_one
from tests.mutants.table import ROOT, Mutant, load

MUTANTS = load()


def test_no_mutant_is_stale_and_their_tests_are_there() -> None:
    assert [problem for mutant in MUTANTS for problem in mutant.problems(ROOT)] == []


def test_there_are_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) >= 24
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.edits) for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.file.partition("/")[0] for mutant in MUTANTS} == {"firmware", "gateway", "tools", "wire"}
    assert all(mutant.promise for mutant in MUTANTS)


GOOD = MUTANTS[0]


@pytest.mark.parametrize(
    ("mutant", "problem"),
    [
        (GOOD._replace(edits=(("text that nobody wrote", ""),)), "stale, its text occurs 0 times"),
        (GOOD._replace(edits=(("self", "this"),)), "stale, its text occurs"),
        (GOOD._replace(edits=(("LEASE = 64", "LEASE = ("),)), "does not compile"),
        (GOOD._replace(edits=(("LEASE = 64", "LEASE = 64"),)), "changes nothing"),
        (GOOD._replace(file="firmware/nowhere.py"), "is no file of ours"),
        (GOOD._replace(file="tests/waiting.py"), "is no file of ours"),
        (GOOD._replace(tests=()), "names no test"),
        (GOOD._replace(tests=("tests/firmware/test_leases.py::test_nothing",)), "there is no test"),
    ],
)
def test_a_bad_entry_is_named(mutant: Mutant, problem: str) -> None:
    assert any(problem in line for line in mutant.problems(ROOT))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made = Tree(tmp_path_factory.mktemp("tree"))
    (made.root / "tests" / "test_planted.py").write_text(
        "import pytest\n"
        "from firmware import leases\n"
        "def test_lease(): assert leases.LEASE == 64\n"
        "def test_falls_over(): {64: 1}[leases.LEASE]\n"
        "def test_in_vain(): pass\n"
    )
    return made


@pytest.mark.parametrize(
    ("new", "test", "state"),
    [
        ("LEASE = 65", "test_lease", "caught"),
        ("LEASE = 65", "test_in_vain", "SURVIVED"),
        ("LEASE = 65", "test_falls_over", "unclear"),
        ("LEASE = 64 // 0", "test_lease", "broken"),
    ],
)
@pytest.mark.slow
def test_only_an_assertion_counts(tree: Tree, new: str, test: str, state: str) -> None:
    before = (tree.root / "firmware/leases.py").read_text()
    mutant = Mutant("planted", "", "firmware/leases.py", (("LEASE = 64", new),), (f"tests/test_planted.py::{test}",))
    outcome: Outcome = run_one(tree, mutant)
    assert outcome.state == state, outcome
    assert (tree.root / "firmware/leases.py").read_text() == before


def test_an_unknown_name_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no such mutant"]) == 2
    assert "no mutant is named like no such mutant" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_what_is_named(tmp_path: Path) -> None:
    """One of them, from the shell, as `make mutants` does it; it writes no figures of a part."""
    command = [
        sys.executable,
        str(ROOT / "tests/mutants/run.py"),
        "--json",
        "--jobs",
        "1",
        "CRC of the settings ignored",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["caught"], found["total"]) == (1, 1)
    assert found["mutants"]["CRC of the settings ignored"]["state"] == verdict.CAUGHT
    assert "1/1" in done.stderr
