"""A bridge board and the gateway's ear on its port: the real programs of both in one virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.links.ear import Downlink, after
from gateway.links.rates import Rules
from tests.fakes.bridge_board import BridgeBoard
from tests.fakes.lora_air import AirNode, CellRig, cell_rig, run_cell
from tests.fakes.rig import START_S
from wire import bridge, messages
from wire.airtime import airtime_us
from wire.regions import DOWNLINK_HZ, UPLINKS_HZ

W0 = START_S // 60
HZ = UPLINKS_HZ[0]


@asynccontextmanager
async def bridged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ppm: int = 0
) -> AsyncIterator[tuple[CellRig, BridgeBoard, AirNode]]:
    async with cell_rig(tmp_path / "spool.db", rules=Rules(adr=False)) as rig:
        board = BridgeBoard(rig, tmp_path / "flash", ppm=ppm)
        rig.begin([board.ear])
        running = asyncio.create_task(board.ear.run())
        board.start(monkeypatch)
        try:
            await rig.pass_s(3)
            node = await rig.node(7, bridge=-10)
            yield rig, board, node
        finally:
            running.cancel()
            await board.cut()
            await asyncio.gather(running, return_exceptions=True)


def orders(board: BridgeBoard) -> dict[str, Any]:
    return dict(board.ear.status._asdict()) if board.ear.status is not None else {}


@pytest.mark.parametrize(("ppm", "pause_s"), [(-100, 5), pytest.param(100, 900, marks=pytest.mark.slow)])
def test_frames_go_up_and_answers_down_in_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ppm: int, pause_s: float
) -> None:
    """Across the wraps of both clocks: that of the port after 3 s, that of the protocol after 71 min."""

    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch, ppm=ppm) as (rig, board, node):
            assert board.ear.state == "open"
            node.hello()
            await rig.pass_s(3)
            told = messages.decode(node.downlinks[0].type, node.downlinks[0].payload)
            assert abs(told.unix_ms - (START_S + rig.air.log[0][0] + 1) * 1000) <= 5
            for index in range(5):
                node.seal(W0 + index)
                node.ask()
                await rig.pass_s(pause_s)
                assert node.outbox == {}
            await rig.pass_s(15)
            assert orders(board)["sent"] == 6
            assert {one.freq_hz for one in board.antenna.sent} == {DOWNLINK_HZ}
            assert all(one.inverted and one.sf == 9 for one in board.antenna.sent)
            assert rig.cell.status()["ears"][0]["downlinks"] == {"sent": 6}
            (data,) = (await rig.sql("SELECT receptions FROM records LIMIT 1"))[0]
            assert b"bridge" in data

    run_cell(monkeypatch, scenario())


def test_it_answers_as_soon_as_its_radio_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with cell_rig(tmp_path / "spool.db", rules=Rules(adr=False)) as rig:
            board = BridgeBoard(rig, tmp_path / "flash")
            rig.begin([board.ear])
            running = asyncio.create_task(board.ear.run())
            board.start(monkeypatch)
            await rig.pass_s(0.5)
            assert board.ear.state == "open"
            node = await rig.node(7, bridge=-10)
            node.hello()
            await rig.pass_s(3)
            assert len(node.downlinks) == 1
            running.cancel()
            await board.cut()

    run_cell(monkeypatch, scenario())


def test_it_starts_without_settings_and_writes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, _):
            await rig.pass_s(120)
            assert board.ear.state == "open"
            names = {path.name for path in board.folder.iterdir()}
            assert not {name for name in names if name.startswith(("settings", "lease", "outbox"))}
            text = "".join(board.texts)
            assert "I bridge: fake-bridge, boot 0" in text
            assert "I bridge: listens at 868.1 MHz, SF9" in text

    run_cell(monkeypatch, scenario())


def test_a_board_that_starts_again_is_told_what_to_hear_and_takes_no_old_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, node):
            board.ear.tune(HZ, 7)
            await rig.pass_s(3)
            assert orders(board)["sf"] == 7
            node.sf = 7
            node.hello()
            await rig.pass_s(0.5)
            await board.cut()  # between the uplink and its window
            board.start(monkeypatch)
            await rig.pass_s(15)
            assert orders(board)["sf"] == 7
            assert board.antenna.sent == []
            await rig.pass_s(30)
            node.hello()
            await rig.pass_s(3)
            assert len(node.downlinks) == 1

    run_cell(monkeypatch, scenario())


def test_a_radio_that_fails_is_told_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, node):
            at_us = after(orders(board)["now_us"], 9_000_000)
            waiting = asyncio.create_task(board.ear.send(Downlink(b"\x90", DOWNLINK_HZ, 9, 14, at_us)))
            await rig.pass_s(0.5)
            board.antenna.dead = True
            await rig.pass_s(5)
            assert await waiting == "radio"
            assert "the bridge's radio does not answer" in board.ear.state
            assert await board.ear.send(Downlink(b"\x90", DOWNLINK_HZ, 9, 14, at_us)) == "radio"
            board.antenna.dead = False
            await rig.pass_s(90)
            assert board.ear.state == "open"
            assert orders(board)["radio_restarts"] >= 1
            node.hello()
            await rig.pass_s(3)
            assert len(node.downlinks) == 1
            assert "E bridge: radio fails" in "".join(board.texts)

    run_cell(monkeypatch, scenario())


def test_a_board_without_its_radio_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with cell_rig(tmp_path / "spool.db") as rig:
            board = BridgeBoard(rig, tmp_path / "flash")
            board.antenna.dead = True
            rig.begin([board.ear])
            running = asyncio.create_task(board.ear.run())
            board.start(monkeypatch)
            await rig.pass_s(20)
            assert "the bridge's radio does not answer" in board.ear.state
            assert "no radio on this bus" in "".join(board.texts)
            running.cancel()
            await board.cut()

    run_cell(monkeypatch, scenario())


def test_orders_that_cannot_be_followed_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, _):
            await rig.pass_s(0.1)
            board.ear.link.send(bytes(bridge.encode(bridge.AskStatus())))
            await rig.pass_s(0.1)
            now_us = orders(board)["now_us"]

            def order(ahead_us: int, freq_hz: int = DOWNLINK_HZ, size: int = 20, power: int = 14) -> asyncio.Task[str]:
                downlink = Downlink(b"\x90" * size, freq_hz, 9, power, after(now_us, ahead_us))
                return asyncio.create_task(board.ear.send(downlink))

            took = airtime_us(20, 9)
            asked = [
                order(2_900_000),
                order(2_900_000 + took // 2),  # while the first is on air
                order(3_200_000 + took, power=22),
                order(50_000),  # over
                order(60_000_000),  # another start's clock
                order(1_500_000, freq_hz=868_650_000),  # no band for it
                order(2_000_000, size=300),  # no frame of LoRa
                order(2_000_000, size=0),
            ]
            await rig.pass_s(9)
            assert [task.result() for task in asked] == [
                "",
                "busy",
                "",
                "late",
                "late",
                "refused",
                "refused",
                "refused",
            ]
            assert [one.power_dbm for one in board.antenna.sent] == [14, 22]
            assert (orders(board)["sent"], orders(board)["failed"]) == (2, 4)

    run_cell(monkeypatch, scenario())


def test_the_board_stays_below_what_its_antenna_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fakes import bridge_board

    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, _):
            at_us = after(orders(board)["now_us"], 5_000_000)
            sending = asyncio.create_task(board.ear.send(Downlink(b"\x90", DOWNLINK_HZ, 9, 22, at_us)))
            await rig.pass_s(6)
            assert sending.result() == ""
            assert board.antenna.sent[0].power_dbm == 19  # 27 dBm e.r.p. with 10 dBi

    monkeypatch.setitem(bridge_board.BOARD["link"], "gain_cdbi", 1000)  # type: ignore[arg-type]
    run_cell(monkeypatch, scenario())


def test_what_is_no_bridge_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, _):
            ear = board.ear
            await board.cut()
            await rig.pass_s(60)
            assert "no bridge answers" in ear.state
            ear.on_frame(ear.link, b"\xa2\x00\x07" + bytes(20), rig.wall_ms(), True)  # a node's record
            assert "a node is on this port" in ear.state
            for data in (b"", b"\xaf", b"\xaf\x09", b"\xaf\x01\x00", b"\xef" + bytes(9), bytes(40)):
                if data:
                    ear.on_frame(ear.link, data, rig.wall_ms(), True)
            assert rig.uplinks.accepted == 0
            assert sum(ear.dropped.values()) == 6
            ear.link.state = "there is no such port"
            await rig.pass_s(2)
            assert ear.state == "there is no such port"
            assert await ear.send(Downlink(b"\x90", DOWNLINK_HZ, 9, 14, 0)) == "closed"
            board.start(monkeypatch)

    run_cell(monkeypatch, scenario())


def test_a_frame_from_a_buffer_is_stored_and_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited in the driver while no gateway ran: its window is long over, and it tells no time."""

    async def scenario() -> None:
        async with bridged(tmp_path, monkeypatch) as (rig, board, node):
            held: list[bytes] = []
            node.out = held.append
            node.seal(W0)
            node.ask()
            heard = bridge.Heard(5, 9, HZ, 9, -100, 20, -100, 0, held[0])
            board.ear.on_frame(board.ear.link, bytes(bridge.encode(heard)), rig.wall_ms(), False)
            await rig.pass_s(5)
            assert rig.uplinks.accepted == 1
            assert board.antenna.sent == []
            assert rig.cell.unsent == {"late": 1}

    run_cell(monkeypatch, scenario())
