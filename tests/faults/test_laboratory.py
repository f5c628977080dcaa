"""A sample of the soak: whole runs in both kinds of time, each with overlapping faults; and the judge is not blind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.mosquitto import require_mosquitto
from tools.faults import laboratory, plan, report, scenario, verdict
from tools.faults.catalogue import AMBIENT, FAULTS
from tools.faults.orders import JOURNAL, MESSAGES, Journal
from tools.faults.virtual import VirtualRun
from tools.sim.interpreter import find

needs_micropython = pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")
pytestmark = [pytest.mark.timeout(600)]


def assert_whole(result: verdict.Verdict) -> None:
    told = report.line(result, False, 1, 1)
    assert not result.problems, told
    assert result.counts, told
    assert (result.lost, result.duplicates, result.pending) == (0, 0, 0), told
    assert result.redelivered <= result.redelivered_at_most, told
    assert any(note.startswith("the full disk is") for note in result.notes), "the run says which"


def test_a_plan_has_every_fault_its_turn_and_lets_as_many_overlap_as_the_scenario_says() -> None:
    for name in ("virtual", "street"):
        scene = scenario.load(name)
        plans = [plan.make(scene, seed) for seed in range(80)]
        assert plans == [plan.make(scene, seed) for seed in range(80)]
        drawn = {item.fault for made in plans for item in made.faults}
        assert drawn == set(plan.faults_of(scene))
        for made in plans:
            spans = [(item.at_s, item.end_s) for item in made.faults]
            assert verdict.most_at_once(spans) >= scene.overlap
            assert all(item.at_s > 0 and item.end_s < scene.span_s for item in made.faults)
    assert set(plan.faults_of(scenario.load("virtual"))) == {n for n, f in FAULTS.items() if f.group != AMBIENT}


@pytest.mark.e2e
@pytest.mark.slow
@needs_micropython
@pytest.mark.parametrize("seed", [5, 29, 30])
def test_runs_in_virtual_time(seed: int) -> None:
    assert_whole(laboratory.run("virtual", seed))


@pytest.mark.e2e
@pytest.mark.slow
@needs_micropython
def test_a_seed_is_replayed_to_the_byte_and_a_judge_without_a_record_says_lost(tmp_path: Path) -> None:
    made = plan.make(scenario.load("virtual"), 12)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    run = VirtualRun(made, first, "virtual")
    result = run.go()
    assert_whole(result)
    again = VirtualRun(made, second, "virtual").go()
    assert again.digest == result.digest
    assert (first / MESSAGES).read_bytes() == (second / MESSAGES).read_bytes()
    assert (first / JOURNAL).read_bytes() == (second / JOURNAL).read_bytes()
    # The same run without one confirmation, and with a record under two ids.
    lines = Journal(first / MESSAGES).lines()
    confirmed = {line["number"] for line in lines if line["what"] == "puback"}
    taken = next(
        line["number"] for line in lines
        if line["what"] == "publish" and line["number"] in confirmed
        and any(record["kind"] == "record" for record in line["payload"]["records"])
    )  # fmt: skip
    kept = [line for line in lines if line["number"] != taken]
    (first / MESSAGES).write_text("".join(json.dumps(line) + "\n" for line in kept))
    ledger = {"nodes": {}, "hops": []}
    problems = run.judge(ledger)[1]
    assert any("lost" in problem for problem in problems), problems
    twice = json.loads(json.dumps(next(line for line in lines if line["number"] == taken)))
    for record in twice["payload"]["records"]:
        record["id"] += "0"
    (first / MESSAGES).write_text("".join(json.dumps(line) + "\n" for line in [*lines, twice]))
    assert any("duplicates" in problem for problem in run.judge(ledger)[1])


@pytest.mark.e2e
@pytest.mark.broker
@pytest.mark.slow
@needs_micropython
def test_a_run_in_real_time_with_mosquitto() -> None:
    require_mosquitto()
    assert_whole(laboratory.run("street", 40))


def steiger(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("steiger")), "sim", "faults", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=cwd)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('title = "x"\ntime = "unreal"\n', "unreal"),
        ('title = "x"\ntime = "virtual"\nfaults = ["meteor"]\n', "unknown fault: meteor"),
        ('title = "x"\ntime = "virtual"\nboards = ["no-such"]\n', "no-such"),
        ('title = "x"\ntime = "virtual"\nspan = 3\n', "span"),
        ("title = \n", "no valid TOML"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    done = steiger("s.toml", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
@pytest.mark.slow
@needs_micropython
def test_the_command_goes_on_where_it_stopped_and_sums_up(tmp_path: Path) -> None:
    """A calm little scenario: no faults at all, and nothing comes twice."""
    (tmp_path / "calm.toml").write_text(
        'title = "calm"\ntime = "virtual"\nnodes = 1\nspan_s = 60\nclusters = 0\nwindows_s = [5]\n'
    )
    (tmp_path / "page.md").write_text(f"# Before\n\n{report.BEGIN}\nformer\n{report.END}\n\nAfter.\n")
    options = ("calm.toml", "--results", "r.jsonl", "--summary", "build/soak.json", "--page", "page.md", "--json")
    first = steiger(*options, "--runs", "1", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = steiger(*options, "--runs", "2", "--jobs", "2", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    seeds = [json.loads(line)["seed"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert seeds == [1, 2]
    figures = json.loads((tmp_path / "build" / "soak.json").read_text())
    assert (figures["soak.runs"], figures["soak.lost"], figures["soak.duplicates"], figures["soak.redelivered"]) == (
        2,
        0,
        0,
        0,
    )
    assert figures["soak.runs_that_count"] == 0  # too short and too calm to count
    assert figures["soak.scheduled"] == figures["soak.delivered"] + sum(figures["soak.causes"].values()) == 24
    page = (tmp_path / "page.md").read_text()
    assert "former" not in page
    assert "`spool_full`" in page
    assert page.endswith("After.\n")
    shutil.rmtree(tmp_path / "build")
