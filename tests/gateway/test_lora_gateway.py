"""A whole gateway with ears: its composition, what it tells of itself, its law on disk, its ledger over lossy air."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import load
from gateway.keys import Life, add_life
from gateway.links.bridge import BridgeEar
from gateway.metrics import text
from tests.fakes.lora_air import Air, AirNode, FakeEar, run_cell
from tests.fakes.rig import START_S
from tests.fakes.virtual_time import virtual_s
from tools.commands.gateway import _status_lines

W0 = START_S // 60
CONFIG = """[gateway]
id = "gw-1"
number = 1
data_dir = "data"
[[bridge]]
port = "/dev/there-is-none"
channel = 868.1
name = "roof"
[lora]
adr = false
"""


class LoopClock:
    def wall_ms(self) -> int:
        return START_S * 1000 + round(asyncio.get_event_loop().time() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_event_loop().time()


def configured(tmp_path: Path) -> Any:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return load(path)


def enter(config: Any, node: AirNode) -> None:
    add_life(
        config.gateway.keys,
        Life(address=node.address, key=node.key, board="heltec-v3", provisioned_s=START_S, profiles=(node.profile.encode().hex(),)),
    )  # fmt: skip


@pytest.mark.slow
def test_a_gateway_with_ears_from_end_to_end_over_lossy_air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six nodes, a fifth of all frames lost both ways, two ears: the ledger closes, every record is there once."""

    async def scenario() -> None:
        config = configured(tmp_path)
        air = Air(11)
        clock = LoopClock()
        air.wall_ms = clock.wall_ms
        air.lose_up = air.lose_down = 0.2
        air.ears = [FakeEar(air, "roof"), FakeEar(air, "mast", ppm=60, offset_us=99)]
        air.nodes = [AirNode(air, number, seed=number) for number in range(1, 7)]
        for node in air.nodes:
            node.path_db = {"roof": -10, "mast": -20}
            enter(config, node)
        gateway = Gateway(config, clock, lambda sink, clock: [], [], os.urandom, lambda heard, sink, clock: air.ears)
        assert gateway.cell is not None
        air.on_heard = gateway.cell.on_heard
        stop, up = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(gateway.run(stop, lambda _: up.set()))
        await up.wait()
        for node in air.nodes:
            node.hello()
            await virtual_s(5)
        for window in range(24):
            for node in air.nodes:
                seq = node.seal(W0 + window)
                if window % 4 == 3 or node.unanswered:
                    node.unanswered += 1
                    node.ask(12)
                else:
                    node.tell([seq])
                await virtual_s(50)
        air.lose_up = air.lose_down = 0.0
        for node in air.nodes:
            for _ in range(8):
                if node.outbox:
                    node.ask(12)
                await virtual_s(5)
            assert node.outbox == {}
            node.hello()
            await virtual_s(5)
        report = await gateway.ledger()
        assert report.findings == []
        rows = await gateway.store.query(
            lambda conn: conn.execute("SELECT life, seq, receptions FROM records WHERE kind = 0").fetchall()
        )
        assert len(rows) == len({row[:2] for row in rows}) == 6 * 24
        assert all(row[2] for row in rows)

        status = gateway.status()
        assert status["problems"] == []
        told = {ear["name"]: ear for ear in status["lora"]["ears"]}
        assert told["roof"]["frames"] > 100
        assert status["lora"]["copies_merged"] > 100
        assert {node["link"] for node in status["nodes"]} <= {"roof", "mast"}
        assert all(node["on_air"] for node in status["nodes"])
        metrics = text(gateway.status).decode()
        for line in (
            'steiger_ear_open{ear="roof"} 1.0', 'steiger_ear_frames_total{ear="roof"}', "steiger_lora_uplinks_total",
            'steiger_ear_downlinks_total{ear="roof",result="sent"}', 'steiger_ear_airtime_seconds_total{band="P",ear="roof"}',
            'steiger_lora_copies_total{kept="merged"}',
        ):  # fmt: skip
            assert line in metrics, line
        lines = list(_status_lines(status))
        assert any(line.startswith("ear      roof: open, 868.1 MHz SF9, ") and "airtime" in line for line in lines), (
            lines
        )
        assert sum(line.startswith("rate     ") for line in lines) == 6
        assert lines[-1] == "all is well"
        sent = sum(len(ear.sent) for ear in air.ears)
        assert sent < gateway.cell.uplinks / 2  # acknowledgements are sparse
        assert (config.gateway.data_dir / "duty-roof").exists()
        stop.set()
        await running

    run_cell(monkeypatch, scenario())


def test_ears_that_do_not_hear_and_a_spent_budget_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        config = configured(tmp_path)
        air, clock = Air(1), LoopClock()
        ear = FakeEar(air, "roof")
        ear.state = "the bridge's radio does not answer"
        gateway = Gateway(config, clock, lambda sink, clock: [], [], os.urandom, lambda heard, sink, clock: [ear])
        problems = gateway.status()["problems"]
        assert "ear roof: the bridge's radio does not answer" in problems
        assert not any("airtime" in problem for problem in problems)
        config.gateway.data_dir.mkdir(exist_ok=True)
        (config.gateway.data_dir / "duty-roof").write_bytes(b"damaged")  # then the hour counts as spent
        gateway = Gateway(config, clock, lambda sink, clock: [], [], os.urandom, lambda heard, sink, clock: [ear])
        assert any("its lawful airtime is spent" in problem for problem in gateway.status()["problems"])

    run_cell(monkeypatch, scenario())


def test_the_port_of_a_bridge_is_lent_and_tapped_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        gateway = Gateway(configured(tmp_path), LoopClock(), sinks=[])
        (ear,) = gateway.cell.ears if gateway.cell else ()
        assert isinstance(ear, BridgeEar)
        assert gateway.ports == [ear.link]
        running = asyncio.create_task(ear.run())
        await virtual_s(2)
        status = gateway.status()
        assert [link["port"] for link in status["links"]] == ["/dev/there-is-none"]
        told = [problem for problem in status["problems"] if "there-is-none" in problem or "roof" in problem]
        assert len(told) == 1  # once: the port's, not the ear's as well
        verbs = gateway._verbs
        assert await verbs.release({"port": "/dev/there-is-none"}) == {"port": "/dev/there-is-none", "for_s": 900.0}
        await virtual_s(6)
        assert ear.state == "released"
        await verbs.resume({"port": "/dev/there-is-none"})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_cell(monkeypatch, scenario())


def test_a_gateway_without_ears_has_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        path = tmp_path / "gateway.toml"
        path.write_text(CONFIG.split("[[bridge]]")[0])
        gateway = Gateway(load(path), LoopClock(), sinks=[])
        assert gateway.cell is None
        assert "lora" not in gateway.status()

    run_cell(monkeypatch, scenario())


def test_what_is_behind_an_ear_is_not_loaded_by_a_gateway_without_one(tmp_path: Path) -> None:
    """A process of its own: what other tests imported is not in it."""
    code = """
import asyncio, sys
from pathlib import Path
from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.config import load
async def made():
    gateway = Gateway(load(Path(sys.argv[1])), SystemClock())
    gateway.status()
asyncio.run(made())
print(*[name for name in sys.modules if name.startswith(("gateway.lora", "gateway.links"))])
"""
    wired, heard = tmp_path / "wired.toml", tmp_path / "gateway.toml"
    wired.write_text(CONFIG[: CONFIG.index("[[bridge]]")])
    heard.write_text(CONFIG)
    loaded = []
    for path in (wired, heard):
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        loaded.append(set(done.stdout.split()))
    assert loaded[0] == {f"gateway.links{name}" for name in ("", ".beat", ".ear", ".port", ".serial")}
    assert loaded[1] > loaded[0] | {"gateway.lora", "gateway.links.cell", "gateway.links.bridge"}
