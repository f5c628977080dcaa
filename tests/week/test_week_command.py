"""`steiger sim week`: its errors, its results, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import cli
from tools.campaign import append_result
from tools.week import laboratory
from tools.week.laboratory import Job
from tools.week.verdict import Result, SpanResult


def result(job: Job, **changes: Any) -> Result:
    span = SpanResult(
        fault="air/fog", says="95 %", sound="block results", begin_s=3600, end_s=7200, settles_s=180, settled=50, clean=40,
        buckets={"record": 50}, told={"suspect humidity": 50}, problems=changes.pop("span_problems", []),
    )  # fmt: skip
    given: dict[str, Any] = {
        "board": job.board, "kind": job.kind, "seed": job.seed, "days": job.days, "wanted": job.fault, "spans": [span],
        "problems": [], "windows": 100, "delivered": 90, "causes": {"not_sampled": 10}, "pending": 0, "before_spans": 10,
        "boots": 1, "task_restarts": 0, "health_records": 168, "heap": [(1.0, 180_000, 40_000), (2.0, 180_100, 40_000)],
        "heap_growth_bytes": 100, "hours": 168.0,
    }  # fmt: skip
    return Result(**(given | changes))


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.run(["sim", "week", *args])
    out, err = capsys.readouterr()
    return code, out, err


WEEK = Job("air-v1", "week", 1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("sound-v9",), "no table of faults"),
        (("air-v1", "--fault", "sps30/tired"), "has no fault"),
        (("air-v1", "--days", "0.1"), "days are too few"),
        (("air-v1", "--sound", "loud"), "no sound"),
        (("air-v1", "--page", "week.md"), "made of --results"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_runs(
    args: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, *args)
    assert (code, "Traceback" in err) == (2, False)
    assert words in err


def test_what_is_done_is_not_done_again_and_comes_onto_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, page = tmp_path / "week.jsonl", tmp_path / "week.md"
    page.write_text("# Before\n\n<!-- week:begin -->\nNot run yet.\n<!-- week:end -->\n\nbehind\n")
    append_result(results, result(WEEK))
    monkeypatch.setattr(laboratory, "run", lambda *_: pytest.fail("it ran again"))
    code, out, _ = call(capsys, "air-v1", "--results", str(results), "--page", str(page))
    assert code == 0
    assert "1 are done already" in out
    text = page.read_text()
    assert text.startswith("# Before")
    assert text.endswith("behind\n")
    assert "Not run" not in text
    assert (
        "| `air/fog` | 95 % | block results | 1.0 | 50 | record 50 | suspect humidity 50 | 40 good | as written down |"
        in text
    )


def test_another_outcome_ends_with_the_command_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = result(WEEK, span_problems=["pm2_5 is good instead of suspect humidity (1 windows, 1.10 h)"])
    monkeypatch.setattr(laboratory, "run", lambda *_: wrong)
    results = tmp_path / "week.jsonl"
    code, out, _ = call(capsys, "air-v1", "--results", str(results), "--json")
    assert code == 1
    told, error = (json.loads(line) for line in out.splitlines())
    assert told["spans"][0]["problems"]
    assert "steiger sim week air-v1 --seed 1 --fault air/fog" in error["error"]["what"]
    assert laboratory.load_results(results) == [wrong]


def test_half_a_line_is_a_life_that_was_interrupted(tmp_path: Path) -> None:
    results = tmp_path / "week.jsonl"
    append_result(results, result(WEEK))
    with results.open("ab") as stream:
        stream.write(b'{"board": "noise')
    assert [laboratory.job_of(found) for found in laboratory.load_results(results)] == [WEEK]


def test_what_fell_is_run_again_and_the_new_outcome_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "week.jsonl"
    append_result(results, result(WEEK, problems=["the board was silent for an hour"]))
    monkeypatch.setattr(laboratory, "run", lambda *_: result(WEEK))
    code, out, _ = call(capsys, "air-v1", "--results", str(results))
    assert code == 0
    assert "already" not in out
    assert laboratory.load_results(results) == [result(WEEK)]
