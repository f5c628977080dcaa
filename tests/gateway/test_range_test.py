"""A range test at the gateway: each ear's share of the frames, what the node's silence leaves, and ears that move away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.control import ControlServer
from gateway.errors import GatewayError
from gateway.links.rates import Rules
from gateway.range_test import RangeTest
from gateway.verbs import Verbs
from tests.fakes.lora_air import AirNode, CellRig, InCell
from tests.fakes.rig import START_S
from tests.fakes.virtual_time import virtual_s
from wire import messages
from wire.airtime import airtime_us

W0 = START_S // 60
STILL = Rules(adr=False)


class Obedient(AirNode):
    """A node that does as it is told: `answer` may be another one, `heard_of_it` whether its answer comes through."""

    answer = (messages.DONE, 0)
    lose: Callable[[int, int], bool] = staticmethod(lambda sf, number: False)
    lose_answer = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.commands: list[messages.Command] = []
        self.doing: Any = None

    def receive(self, frame: bytes) -> None:
        known = len(self.heard_at)
        super().receive(frame)
        for _, message in self.heard_at[known:]:
            if isinstance(message, messages.Command) and message.id not in [command.id for command in self.commands]:
                self.commands.append(message)
                self.doing = asyncio.get_running_loop().create_task(self._test(message))

    async def _test(self, command: messages.Command) -> None:
        await virtual_s(1.5)
        own = self.sf
        if not self.lose_answer:
            self.say(messages.CommandResult(command.id, *self.answer))
        if self.answer[0] != messages.DONE:
            return
        sfs = [sf for sf in range(7, 13) if command.arg >> sf + 1 & 1] or [self.sf]
        for number in range(command.arg & 255):
            for sf in sfs:
                self.sf = sf
                if not self.lose(sf, number):
                    value = number | sf << 8 | self.power_dbm + 10 << 16
                    self.say(messages.CommandResult(command.id, messages.PROBE, value))
                self.sf = own
                await virtual_s(airtime_us(18, sf) / 1e6 + 1.3)

    def send(self, message_type: int, payload: bytes) -> None:
        """What FakeNode says to any command stays unsaid."""
        if message_type != messages.COMMAND_RESULT:
            super().send(message_type, payload)

    def say(self, message: Any) -> None:
        kind, payload = messages.encode(message)
        super().send(kind, bytes(payload))


async def made(rig: CellRig, **paths: float) -> Obedient:
    node = Obedient(rig.air, 7, sf=9)
    await rig.add(node, **paths)
    node.hello()
    await rig.pass_s(3)
    node.seal(W0)
    return node


async def outcome(
    rig: CellRig, node: Obedient, count: int, sfs: tuple[int, ...] = (), power: int | None = None, timeout_s: float = 60
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(result, what was told before it)"""
    steps = []
    test = RangeTest(rig.session(node), rig.cell, count, sfs, power)
    asyncio.get_running_loop().call_later(3, node.ask)
    async for step in test.steps(START_S + 10_000, timeout_s):
        steps.append(step)
    await node.doing
    return steps.pop()["result"], steps


def test_each_ear_at_each_sf_has_its_share_with_signal_and_margin(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("tower", single=False), rig.ear("roof")
        rig.begin()
        node = await made(rig, tower=-26, roof=-20)  # -12 dB at the tower: too weak for SF8
        node.lose = lambda sf, number: sf == 10 and number in (1, 4, 9)
        before = dict(rig.cell.rates.nodes[node.address, node.life].__dict__)
        result, steps = await outcome(rig, node, 10, (7, 8, 9, 10, 11, 12))
        assert [command.arg for command in node.commands] == [10 | 0b111111 << 8]
        assert result["sfs"] == [7, 8, 9, 10, 11, 12] and result["power_dbm"] == 14 and result["deaf"] == [
            {"ear": "roof", "sf": sf} for sf in (7, 8, 10, 11, 12)
        ]  # fmt: skip
        heard = {(row["ear"], row["sf"]): (row["sent"], row["heard"]) for row in result["rows"]}
        tower = {7: 0, 8: 0, 9: 10, 10: 7, 11: 10, 12: 10}
        assert heard == {("tower", sf): (10, count) for sf, count in tower.items()} | {("roof", 9): (10, 10)}
        rows = {(row["ear"], row["sf"]): row for row in result["rows"]}
        assert rows["tower", 10]["per"] == pytest.approx(0.3)
        assert (rows["tower", 12]["snr_db"], rows["tower", 12]["margin_db"]) == (-12, 8)
        assert (rows["roof", 9]["snr_db"], rows["roof", 9]["rssi_dbm"], rows["roof", 9]["margin_db"]) == (
            -6,
            -116,
            6.5,
        )
        assert rows["tower", 7]["snr_db"] is rows["tower", 7]["margin_db"] is None
        assert "waits" in steps[0] and steps[-1]["of"] == 60 and steps[-1]["heard"] >= 36
        after = rig.cell.rates.nodes[node.address, node.life]
        assert (after.sf, after.power_dbm) == (before["sf"], before["power_dbm"]), "the test's rate is not the node's"
        node.seal(W0 + 1)
        result, _ = await outcome(rig, node, 1)
        assert result["sfs"] == [7, 8, 9, 10], "within an hour's airtime"
        assert rig.dropped == {} and rig.session(node).on_probe is None and rig.cell.testing == 0

    in_cell(scenario, rules=STILL)


def test_under_single_modem_ears_the_present_sf_and_losses_as_they_were(in_cell: InCell) -> None:
    """Against the air's own count; the first answer is lost, and a frame of the test tells that it runs."""

    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await made(rig, roof=-10)
        chance, lost = random.Random(5), []
        node.lose = lambda sf, number: chance.random() < 0.3 and not lost.append(number)  # type: ignore[func-returns-value]
        node.lose_answer = True
        result, _ = await outcome(rig, node, 50)
        assert [command.arg for command in node.commands] == [50]
        (row,) = result["rows"]
        assert (row["ear"], row["sf"], row["heard"]) == ("roof", 9, 50 - len(lost)) and 5 < len(lost) < 25
        assert result["deaf"] == []

    in_cell(scenario, rules=STILL)


def test_frames_of_a_test_before_this_one_do_not_count(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await made(rig, roof=-10)
        node.say(messages.CommandResult(5, messages.PROBE, 3 | 9 << 8 | 24 << 16))
        node.lose = lambda sf, number: number == 3
        for after_s in (2, 12):
            rig.loop.call_later(after_s, node.say, messages.CommandResult(5, messages.PROBE, 3 | 9 << 8 | 24 << 16))
        result, _ = await outcome(rig, node, 8)
        assert [row["heard"] for row in result["rows"]] == [7]

    in_cell(scenario, rules=STILL)


def test_an_ear_that_moves_away_is_not_counted_and_the_rendezvous_waits(
    in_cell: InCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(rig: CellRig) -> None:
        roof, mast = rig.ear("roof"), rig.ear("mast")
        rig.begin()
        node = await made(rig, roof=-10, mast=-10)
        turns = []
        monkeypatch.setattr(rig.cell.rendezvous, "turn", lambda now_ms: turns.append(rig.loop.time()))
        rig.loop.call_later(20, mast.tune, mast.channels[0], 10)
        began = rig.loop.time()
        result, _ = await outcome(rig, node, 20)
        assert [(row["ear"], row["heard"]) for row in result["rows"]] == [("roof", 20)]
        assert result["deaf"] == [{"ear": "mast", "sf": 9}]
        assert not [at for at in turns if at > began + 10], "the ears stay where they are"
        await rig.pass_s(12)
        assert [at for at in turns if at > began + 10], "until it is over"
        assert roof.sfs == (9,)

    in_cell(scenario, rules=STILL)


def test_what_stands_in_the_way_is_said(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await made(rig, roof=-10)
        for answer, words in (
            ((messages.UNSUPPORTED, 0), "this node knows no range test"),
            ((messages.FAILED, 2500), "the law leaves the node 2.5 s of airtime"),
            ((messages.NO_CLOCK, 0), "the node has no time yet"),
        ):
            node.answer = answer
            node.seal(W0 + answer[0])
            with pytest.raises(GatewayError, match=words):
                await outcome(rig, node, 5)
        with pytest.raises(GatewayError, match="no ear hears SF12 now") as refused:
            await outcome(rig, node, 5, (12,))
        assert refused.value.exit_code == 2
        node.path_db = {}
        with pytest.raises(GatewayError, match="no answer within 30 s") as silent:
            await outcome(rig, node, 5, timeout_s=30)
        assert silent.value.exit_code == 3
        ear.state = "no bridge answers"
        with pytest.raises(GatewayError, match="no ear hears anything now"):
            await outcome(rig, node, 5)
        assert rig.session(node).on_probe is None and rig.cell.testing == 0 and rig.session(node)._requests == []

    in_cell(scenario, rules=STILL)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"node": 8}, "no such node"),
        ({"node": 7, "count": 0}, "count must be a number from 1 to 100"),
        ({"node": 7, "count": "5"}, "count must be a number"),
        ({"node": 7, "sfs": [6]}, "sfs is a list of 7 to 12"),
        ({"node": 7, "sfs": [True]}, "sfs is a list of 7 to 12"),
        ({"node": 7, "power_dbm": 23}, "power_dbm must be a number from -9 to 22"),
        ({"node": 7, "timeout_s": -1}, "timeout_s must be a number"),
    ],
)
def test_requests_that_nobody_should_send(in_cell: InCell, request_: dict[str, Any], words: str) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        await made(rig, roof=-10)
        verbs = Verbs(SimpleNamespace(uplinks=rig.uplinks, cell=rig.cell, clock=rig))  # type: ignore[arg-type]
        with pytest.raises(GatewayError, match=words) as refused:
            await verbs.range_test(request_)
        assert refused.value.exit_code == 2

    in_cell(scenario, rules=STILL)


def test_the_verb_has_the_result_and_a_gateway_without_ears_says_so(in_cell: InCell, tmp_path: Path) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await made(rig, roof=-10)
        verbs = Verbs(SimpleNamespace(uplinks=rig.uplinks, cell=rig.cell, clock=rig))  # type: ignore[arg-type]
        rig.loop.call_later(3, node.ask)
        result = await verbs.range_test({"node": 7, "count": 3, "power_dbm": 14})
        assert [(row["ear"], row["sent"], row["heard"]) for row in result["rows"]] == [("roof", 3, 3)]
        assert node.commands[0].arg == 3 | 24 << 16
        await node.doing
        control = ControlServer(tmp_path)
        verbs.register(control)
        assert "range-test-live" in control._streams, "what steiger range-test asks for"
        wired = Verbs(SimpleNamespace(uplinks=rig.uplinks, cell=None, clock=rig))  # type: ignore[arg-type]
        with pytest.raises(GatewayError, match="this gateway has no LoRa ear"):
            await wired.range_test({"node": 7})

    in_cell(scenario, rules=STILL)


def test_a_test_that_may_never_have_begun_or_was_cut_is_no_result(in_cell: InCell) -> None:
    """Else a lost refusal, or a plug that was pulled, would make a good place look like a dead one."""

    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await made(rig, roof=-10)
        node.answer = (messages.REPEATED, 0)
        with pytest.raises(GatewayError, match="nothing of a test was heard"):
            await outcome(rig, node, 5)
        node.answer = (messages.DONE, 0)
        node.seal(W0 + 1)

        def restart() -> None:
            node.boot += 1
            node.hello()

        rig.loop.call_later(20, restart)
        node.lose = lambda sf, number: number > 5
        with pytest.raises(GatewayError, match="the node started again during its test"):
            await outcome(rig, node, 10)
        await node.doing

    in_cell(scenario, rules=STILL)
