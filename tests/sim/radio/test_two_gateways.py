"""Two gateways hear the same nodes: real firmware, a bridge board and a gateway process for each, one ether."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from gateway.models import RECORD, decode_receptions
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools.errors import SteigerError
from tools.sim.conductor import Conductor, GatewayProcess
from tools.sim.interpreter import find
from tools.sim.radio.propagation import CLEAR, Position, chance

pytestmark = [
    pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(not find().is_micropython, reason="no MicroPython"),
]  # fmt: skip

NODES = (1, 2)
MET_S = START_S + 120  # until then both gateways hear everything: they have met the nodes from their first window on
CONFIG = """[gateway]
id = "{name}"
number = {number}
data_dir = "{name}"
keys = "keys.json"
[[bridge]]
name = "{name}-roof"
port = "/dev/{name}"
channel = 868.1
[lora]
sf = 9
adr = false
answer = {answer}
"""


class Pair:
    """Gateways west and east; `loss`: share of the nodes' frames that each of their ears misses besides."""

    def __init__(self, folder: Path, conductor: Conductor, answers: tuple[bool, bool], loss: float) -> None:
        self.conductor = conductor
        self.folder = folder
        for address in NODES:
            life = Life(
                address=address, key=key_of(address), board="heltec-v3", name=f"n{address}", provisioned_s=START_S
            )
            add_life(folder / "keys.json", life)
            settings = settings_of(
                address,
                window_s=60,
                sample_ms=30_000,
                lora_sf=9,
                lora_channels=1,
                lora_spread_s=20,
                lora_ask_every=3,
                health_s=300,
            )
            conductor.add_node(
                life.name, "heltec-v3", prepare=PROVISION.format(settings), place=Position(360.0 * address - 340, 100)
            )
        self.gateways: dict[str, GatewayProcess] = {}
        for number, (name, answer, x_m) in enumerate(zip(("west", "east"), answers, (0.0, 400.0), strict=True), 1):
            conductor.add_node(f"{name}-roof", "heltec-v3-bridge", place=Position(x_m))
            config = folder / f"{name}.toml"
            config.write_text(CONFIG.format(name=name, number=number, answer=str(answer).lower()))
            self.gateways[name] = GatewayProcess(conductor, config, {f"/dev/{name}": f"{name}-roof"})
        asked = 0

        def lost(sender: str, listener: str) -> bool:
            nonlocal asked
            asked += 1
            up = sender[0] == "n" and listener.endswith("-roof") and conductor.now_s > MET_S
            return up and chance(5, "lost", asked).random() < loss

        conductor.ether.lost = lost

    def transmissions(self, name: str) -> int:
        """Of the bridge of this gateway, by the ether's log."""
        return sum(line.who == f"{name}-roof" for line in self.conductor.ether.log)

    def records(self, name: str) -> dict[tuple[int, int, int], tuple[Any, ...]]:
        """(node, life, seq) → what was observed, with the ears that heard it."""
        with closing(sqlite3.connect(f"file:{self.folder / name / 'spool.db'}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT node, lives.life, seq, kind, span, hour, end_ms, length_ms, coverage, data, receptions "
                "FROM records JOIN lives ON lives.id = records.life"
            ).fetchall()
        assert len({row[:3] for row in rows}) == len(rows)
        return {
            row[:3]: (row[4], row[3], *row[5:10], [heard.ear for heard in decode_receptions(row[10])]) for row in rows
        }

    def close(self) -> None:
        for gateway in self.gateways.values():
            gateway.kill()


@contextmanager
def pair(folder: Path, answers: tuple[bool, bool], loss: float) -> Iterator[Pair]:
    with Conductor(folder, seed=4, start_s=START_S, air=CLEAR) as conductor:
        made = Pair(folder, conductor, answers, loss)
        try:
            yield made
        finally:
            made.close()


def summary(gateway: GatewayProcess) -> dict[str, Any]:
    result: dict[str, Any] = gateway.ask("ledger")["summary"]
    return result


def windows(records: dict[tuple[int, int, int], tuple[Any, ...]]) -> set[tuple[int, int, int]]:
    return {key for key, row in records.items() if row[1] == RECORD}


def test_one_answers_the_other_listens_and_what_they_have_is_one(tmp_path: Path) -> None:
    with pair(tmp_path, (True, False), 0.25) as town:
        west, east = town.gateways["west"], town.gateways["east"]
        town.conductor.run(1_200)
        assert town.transmissions("east") == 0 < town.transmissions("west")
        answering, listening = summary(west), summary(east)
        for told in (answering, listening):
            assert told["closed"] and told["missing"] == told["duplicates"] == 0 and told["hops"] == [], told
        assert answering["causes"] == {} and answering["delivered"] >= 36
        ours, theirs = town.records("west"), town.records("east")
        both = ours.keys() & theirs.keys()
        assert len(both) > 25 and all(ours[key][:-1] == theirs[key][:-1] for key in both), "the same to the last byte"
        merged = {key: ours[key][-1] + theirs[key][-1] for key in both}
        assert all(ears == ["west-roof", "east-roof"] for ears in merged.values())
        # What it did not hear before the other one acknowledged it, the listening one owes nobody.
        taken = listening["causes"]["taken_by_another_gateway"]
        assert 0 < taken <= len(windows(ours) - windows(theirs)) < 0.3 * len(windows(ours))
        assert west.ask("status")["problems"] == east.ask("status")["problems"] == []
        with pytest.raises(SteigerError, match="only listens to LoRa nodes"):
            east.ask("get-setting", node=1, name="lora_sf")


def test_two_that_answer_the_same_nodes_say_so(tmp_path: Path) -> None:
    with pair(tmp_path, (True, True), 0.25) as town:
        town.conductor.run(1_200)
        assert town.transmissions("east") > 0 < town.transmissions("west")
        told = {name: gateway.ask("status")["problems"] for name, gateway in town.gateways.items()}
        for name, problems in told.items():
            assert any("does another gateway answer it, too?" in problem for problem in problems), (name, told)
            assert "forgot what was not acknowledged here: another gateway?" in (tmp_path / f"{name}.log").read_text()
            found = summary(town.gateways[name])
            assert found["causes"] == {}, "nobody said that it only listens: what is missing here is not explained away"
            assert found["missing"] == sum(hop["count"] for hop in found["hops"]), found
            assert {hop["hop"] for hop in found["hops"]} == {"node flash"}
        sealed = windows(town.records("west")) | windows(town.records("east"))
        for address in NODES:
            mine = sorted(seq for node, _, seq in sealed if node == address)
            assert len(mine) >= 18, "what one did not hear, the other has"
