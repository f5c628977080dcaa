"""`steiger node command`: what is asked of the gateway, and what a person is told of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.errors import GatewayError
from tools import cli


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []

    def call(data_dir: Path, verb: str, **fields: Any) -> Any:
        asked.append({"verb": verb, **fields})
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(control, "call", call)
    return asked


def test_a_self_test_is_asked_for_and_said_to_be_done(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answer_with(monkeypatch, {"command": "self_test", "result": "done", "value": 0})
    assert cli.run(["node", "command", "17", "self-test", "--sensor", "2", "--config", config, "--wait", "5"]) == 0
    (request,) = asked
    assert (request["verb"], request["node"], request["command"], request["arg"]) == ("command", 17, "self-test", 2)
    assert request["timeout_s"] > request["node_s"] == 5
    out, err = capsys.readouterr()
    assert "asking it, for at most 5 s" in err
    assert "node 17: self-test, done" in out and "steiger monitor" in out
    assert cli.run(["node", "command", "17", "self-test", "--config", config, "--lang", "de"]) == 0
    assert "Knoten 17: self-test, getan" in capsys.readouterr().out
    assert cli.run(["node", "command", "17", "self-test", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == "done"


def test_a_refusal_and_silence_are_told(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_with(monkeypatch, {"command": "fan_clean", "result": "unsupported", "value": 0})
    assert cli.run(["node", "command", "17", "fan-clean", "--config", config]) == 1
    assert "does not do it (unsupported)" in capsys.readouterr().err
    answer_with(monkeypatch, GatewayError("no answer in time", where="node 17"))
    assert cli.run(["node", "command", "17", "restart", "--config", config]) == 3
    assert "node 17 is silent" in capsys.readouterr().err
    assert cli.run(["node", "command", "17", "explode", "--config", config]) == 2
    assert cli.run(["node", "command", "17", "restart", "--config", config, "--lang", "fr"]) == 2
