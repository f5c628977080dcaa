"""`steiger node setting`: what is asked of the gateway, what is refused before, and what a person is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.errors import GatewayError
from tools import cli
from tools.commands.node_setting import AT_START, ELSEWHERE
from wire.settings import SETTINGS


class Asked:
    """In place of the running gateway: keeps what it is asked, gives `answer` or raises it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Any = {"name": "lora_spread_s", "instance": 0, "value": 240, "ok": True}

    def call(self, data_dir: Path, verb: str, **fields: Any) -> Any:
        self.requests.append({"verb": verb, **fields})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(control, "call", asked.call)
    return asked


def run(config: str, *args: str) -> int:
    return cli.run(["node", "setting", *args, "--config", config])


def test_it_is_read_and_changed(config: str, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "12", "lora_spread_s", "--wait", "60") == 0
    assert "node 12: lora_spread_s = 240" in capsys.readouterr().out
    assert run(config, "12", "lora_spread_s", "240", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"node": 12} | asked.answer
    read, changed = asked.requests
    assert (read["verb"], read["node"], read["name"], "value" in read) == ("get-setting", 12, "lora_spread_s", False)
    assert read["timeout_s"] > read["node_s"] == 60
    assert (changed["verb"], changed["name"], changed["value"], changed["node_s"]) == (
        "set-setting", "lora_spread_s", 240, 600,
    )  # fmt: skip
    assert run(config, "12", "lora_spread_s", "240", "--lang", "de") == 0
    assert "Knoten 12: lora_spread_s = 240" in capsys.readouterr().out
    for name in AT_START:
        assert run(config, "12", name, "9") == 0
        assert "a start begins with it" in capsys.readouterr().out
    assert run(config, "12", "window_s.1", "60") == 0
    assert asked.requests[-1]["name"] == "window_s.1"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["lora_spread"], "no such setting"),
        (["lora_spread_s", "601"], "It takes 0 to 600 s"),
        (["outbox_kb", "64"], "steiger node provision --set outbox_kb=64"),
        (["grid_until_s", "1800000000"], "steiger node retire"),
        (["cal_slope.0", "10000"], "steiger node calibrate"),
        (["lora_spread_s", "much"], "Invalid value for"),
    ],
)
def test_what_is_wrong_is_told_before_anybody_is_asked(
    config: str, asked: Asked, capsys: pytest.CaptureFixture[str], args: list[str], says: str
) -> None:
    assert run(config, "12", *args) == 2
    assert says in capsys.readouterr().err
    assert not asked.requests


def test_refusal_and_silence(config: str, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {"name": "lora_spread_s", "instance": 0, "value": 0, "ok": False}
    assert run(config, "12", "lora_spread_s", "100") == 1
    assert "node 12 does not take it" in capsys.readouterr().err
    assert run(config, "12", "lora_spread_s", "--lang", "de") == 1
    assert "Knoten 12 hat diese Einstellung nicht" in capsys.readouterr().err
    asked.answer = GatewayError("no answer in time", where="node 12")
    assert run(config, "12", "lora_spread_s") == 3
    assert "node 12 is silent" in capsys.readouterr().err


def test_every_name_that_is_treated_apart_is_one_of_the_table() -> None:
    assert {*AT_START, *ELSEWHERE} <= {row.name for row in SETTINGS}
