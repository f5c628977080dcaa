"""Real firmware on the simulated ether: boards, a bridge and the gateway in virtual time, judged by true time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools import cli
from tools.sim.interpreter import find
from tools.sim.radio import trial
from tools.sim.radio.law import Verdict

pytestmark = [
    pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]  # fmt: skip


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Eight boards for two hours, a fifth of all frames lost, four power cuts, clocks off by up to 100 ppm."""
    return trial.run(trial.Trial(nodes=8, hours=2.0, cuts=4, loss=0.2, spread_s=120), tmp_path_factory.mktemp("town"))


def test_eight_boards_lose_nothing_within_the_law(lived: dict[str, Any]) -> None:
    assert lived["against"] == []
    ledger = lived["ledger"]
    assert ledger["scheduled"] == 8 * 24 and ledger["missing"] == ledger["duplicates"] == ledger["pending"] == 0
    assert ledger["delivered"] + sum(ledger["causes"].values()) == 8 * 24
    assert 0 < lived["worst_duty_cycle"] <= 1
    assert 0.1 < lived["per"] < 0.3, "the ether lost a fifth"


def test_the_model_says_the_same(lived: dict[str, Any]) -> None:
    """One seed of two hours is 300 frames: three points of chance. Ten seeds agree within one (steiger sim lora --compare)."""
    said = trial.by_model(trial.Trial(nodes=8, hours=2.0, cuts=0, loss=0.2, spread_s=120))
    assert said["per"] == pytest.approx(lived["per"], abs=0.08)
    assert said["delivered"] == 1.0


def test_a_run_that_is_there_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[int] = Counter()

    def run(what: trial.Trial, folder: Path, told: Any) -> dict[str, Any]:
        calls[what.seed] += 1
        told("half of it")
        bad = ["the ledger does not close"] if what.seed == 2 else []
        return {**trial.asdict(what), "against": bad, "per": 0.2, "in_time": 1.0} | {
            "ledger": {"scheduled": 5, "delivered": 5, "pending": 0, "causes": {}}, "frames": 9, "latency_p50_s": 1.0,
            "drained_s": 0, "worst_who": "n", "worst_duty_cycle": 0.5, "worst_band": "M", "wall_s": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(trial, "run", run)
    arguments = ["sim", "lora", str(tmp_path / "soak"), "--nodes", "3", "--hours", "1", "--cuts", "0"]
    assert cli.run(arguments) == 0
    assert "Nothing speaks against it." in capsys.readouterr().out
    (tmp_path / "soak" / "results.jsonl").open("a").write('{"cut off')
    assert cli.run([*arguments, "--seeds", "2", "--json"]) == 1, "the second seed has something against it"
    told = json.loads(capsys.readouterr().out)
    assert calls == {1: 1, 2: 1} and told["against"] == ["seed 2: the ledger does not close"]
    assert cli.run([*arguments, "--dead", "2"]) == 2
    assert "does not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "apart"), [("per", 0.011), ("per", -0.011), ("in_time", -0.011), ("delivered", -0.011), ("", 0.0)]
)
def test_a_model_that_differs_by_more_than_a_point_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str, apart: float
) -> None:
    """Over all seeds: one may be two points off."""
    ledger = {"scheduled": 105, "delivered": 100, "pending": 0, "causes": {"node_off": 5}}

    def run(what: trial.Trial, folder: Path, told: Any) -> dict[str, Any]:
        return {**trial.asdict(what), "against": [], "per": 0.2, "in_time": 0.97, "ledger": ledger} | {
            "frames": 9, "latency_p50_s": 1.0, "drained_s": 0, "worst_who": "n", "worst_duty_cycle": 0.5, "worst_band": "M",
            "wall_s": 1.0,
        }  # fmt: skip

    def by_model(what: trial.Trial) -> dict[str, float]:
        off = 0.009 + (0.011 if what.seed == 1 else -0.011)
        said = {"per": 0.2 + off, "in_time": 0.97 - off, "delivered": 1.0}
        return said | ({word: {"per": 0.2, "in_time": 0.97, "delivered": 1.0}[word] + apart} if word else {})

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(trial, "by_model", by_model)
    code = cli.run(
        ["sim", "lora", str(tmp_path), "--nodes", "3", "--hours", "1", "--cuts", "0", "--seeds", "2", "--compare"]
    )
    out = capsys.readouterr().out
    assert code == bool(word)
    assert (f"AGAINST: the model's {word} differs by {apart:+.2%}" in out) == bool(word)
    assert "the model differs over all seeds: per" in out


def test_whatever_speaks_against_a_run_is_told() -> None:
    """The judge can find everything that it looks for, and finds nothing in a good run."""
    town: Any = SimpleNamespace(violations=dict)
    what = trial.Trial(dead_h=6.0)
    good = {"closed": True, "duplicates": 0, "missing": 0, "causes": {"node_off": 3}, "pending": 9}
    fair = Verdict("n1", "M", 1.0, 36_000_000, 0)
    late = {"live_latency_s": 200.0, "normal_latency_s": 100.0}

    def judged(
        summary: dict[str, Any] = good,
        worst: Verdict = fair,
        where: Any = town,
        drained: int | None = 600,
        found: Any = late,
    ) -> list[str]:
        return trial._against(what, summary, worst, where, drained, found)

    assert judged() == []
    for told, word in (
        (judged(worst=fair._replace(share=1.01)), "n1 was on the air for 101.0%"),
        (judged(good | {"closed": False}), "does not close"),
        (judged(good | {"missing": 1}), "missing: 1"),
        (judged(good | {"duplicates": 2}), "duplicates: 2"),
        (judged(good | {"causes": {"overwritten": 4}}), "overwritten"),
        (judged(drained=None), "still on the nodes"),
        (judged(where=SimpleNamespace(violations=lambda: {"n2": ["15.1"]})), "n2: 15.1"),
        (judged(found=late | {"live_latency_s": 201.0}), "new records take 201 s"),
    ):
        (line,) = told
        assert word in line
