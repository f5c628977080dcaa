"""The whole node over LoRa, in virtual time: windows, the law, channels, time, power modes, a radio that fails."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.board import START_S
from tests.fakes.lora_world import LoraWorld, Sent
from tests.fakes.virtual_time import VirtualLoop, run_virtual, virtual_s
from tests.firmware.test_node import KEY, LIFE
from wire import UTC, messages
from wire.airtime import airtime_us
from wire.regions import UPLINKS_HZ


def play(
    script: Callable[[LoraWorld], Coroutine[Any, Any, None]], folder: Path, power: str = "mains", **knobs: Any
) -> None:
    """Run `script(world)` in virtual time."""

    async def main() -> None:
        world = LoraWorld(folder, **knobs)
        world.board.power = power
        (folder / "board.json").write_text(json.dumps(world.board.description()))
        await script(world)
        assert not world.gateway.faults

    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    run_virtual(main(), loop)


def lossy(share: float, seed: int = 1) -> Callable[[], bool]:
    chance = random.Random(seed)
    return lambda: chance.random() < share


def test_two_hours_at_five_minutes(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(7260)
        node = world.board.node
        assert node is not None
        assert [record.time for record in world.records()] == [(UTC, START_S + 300 * i) for i in range(1, 25)]
        assert world.gateway.repeats == 0
        kinds = Counter(sent.data[0] & 31 for sent in world.air.log)
        assert kinds[messages.HELLO] == 1 and kinds[messages.RECORDS_ASK] == kinds[messages.RECORDS] == 12
        assert kinds[messages.HEALTH] == 3  # with the first time, then hourly
        assert {sent.freq_hz for sent in world.air.log} == {868_100_000}
        assert {sent.power_dbm for sent in world.air.log} == {12}  # 14 dBm e.r.p. at 5 dBi, 1 dB of cable
        health = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)][-1]
        assert (health.rssi_dbm, health.snr_db) == (-101, -4)  # signal below noise: its own strength counts
        assert node.supervisor.restarts() == 0
        assert world.worst_hour_s() < 36
        early = [open_s - end_s for end_s, open_s in world.air.windows]
        assert all(0.93 < each < 0.945 for each in early)
        await world.board.cut()

    play(script, tmp_path)


@pytest.mark.parametrize(("sf", "ppm"), [(7, 100), (12, 100), (9, -100)])
def test_the_clock_keeps_its_promise(tmp_path: Path, sf: int, ppm: int) -> None:
    """2 s + 50 ppm of the age; what a gateway's time itself is wrong by after its way through the air is some ms."""

    async def script(world: LoraWorld) -> None:
        world.board.ppm = ppm
        world.board.provision(KEY, provisioned_s=START_S, lora_sf=sf)
        world.board.start()
        node: Any = None
        worst_ms = 0
        for _ in range(90):
            await virtual_s(60)
            node = world.board.node
            if node.clock.synced:
                worst_ms = max(worst_ms, abs(node.clock.utc_ms() - world.unix_ms()))
        assert node.clock.synced
        assert worst_ms < 400, worst_ms  # 100 ppm for the 20 to 30 min between two answers, and 10 ms
        for record in world.records():
            assert record.time[0] == UTC
        await world.board.cut()

    play(script, tmp_path)


def test_all_arrives_at_20_percent_loss_within_the_law(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_ask_every=2)
        world.board.start()
        await virtual_s(660)  # this gateway takes no records of a profile that it does not know
        world.gateway.lose_up, world.gateway.lose_down = lossy(0.2, 1), lossy(0.2, 2)
        await virtual_s(4 * 3600 - 600)
        await world.drained()
        ends = [record.time[1] for record in world.records()]
        assert ends == list(range(START_S + 300, ends[-1] + 1, 300)) and len(ends) >= 48
        assert world.gateway.repeats <= 15
        assert world.worst_hour_s() < 36
        await world.board.cut()

    play(script, tmp_path)


def test_channels_are_drawn_from_the_mask_and_a_busy_one_is_left(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_channels=0b10110)
        chosen = {UPLINKS_HZ[1], UPLINKS_HZ[2], UPLINKS_HZ[4]}
        world.board.start()
        await virtual_s(5400)
        used = Counter(sent.freq_hz for sent in world.air.log)
        assert set(used) == chosen and min(used.values()) >= 3
        before = len(world.air.log)
        world.air.busy = lambda freq_hz: freq_hz != UPLINKS_HZ[4]
        await virtual_s(5400)
        after = Counter(sent.freq_hz for sent in world.air.log[before:])
        assert after[UPLINKS_HZ[4]] >= 0.8 * sum(after.values())  # six draws: 9 % find none of the free ones
        world.air.busy = lambda freq_hz: True
        before = len(world.air.log)
        await virtual_s(1500)
        assert 4 <= len(world.air.log) - before <= 7, "a channel that is always busy silences nobody"
        await world.board.cut()

    play(script, tmp_path)


def test_when_the_budget_is_spent_the_node_says_so_keeps_the_records_and_the_law(tmp_path: Path) -> None:
    """A record every 10 s at SF12 is more than the law allows: 120 an hour that are too many."""

    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_sf=12)
        world.board.start()
        await virtual_s(2 * 3600)
        told = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Event)]
        assert [event.code for event in told][:1] == [messages.DUTY_SPENT]
        assert len(told) <= 3 and told[0].arg > 60
        assert 30 < world.worst_hour_s() < 36
        node = world.board.node
        assert node is not None
        totals = world.totals()
        assert totals.scheduled >= 719 and totals.overwritten == 0 and not node.life.outbox.drained()
        await world.board.cut()

    play(script, tmp_path, window_s=10)


def test_six_hours_of_dead_radio_are_recovered_within_the_law(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(3660)
        usual = latencies(world, 0, 3600)
        world.gateway.connected = False
        await virtual_s(6 * 3600)
        world.gateway.connected = True
        await virtual_s(3600)
        assert len(world.records()) == 12 * 8
        late = latencies(world, 7 * 3600 + 360, 8 * 3600)
        assert max(late) <= 2 * max(usual), (late, usual)
        assert world.worst_hour_s() < 36
        await world.board.cut()

    play(script, tmp_path)


def latencies(world: LoraWorld, from_s: int, to_s: int) -> list[float]:
    """From the end of a record's window to its arrival, in s, of the windows that end between two instants."""
    return [
        world.gateway.at[LIFE, record.seq] / 1000 - record.time[1]
        for record in world.records()
        if START_S + from_s < record.time[1] <= START_S + to_s
    ]


def test_a_radio_that_fails_is_told_and_started_again(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(1000)
        world.air.fails = lambda: True
        await virtual_s(3000)
        world.air.fails = lambda: False
        await virtual_s(2000)
        node = world.board.node
        assert node is not None and node.supervisor.restarts() == 0 and node.supervisor.alive()
        events = [(e.code, e.arg) for e in world.gateway.things(LIFE) if isinstance(e, messages.Event)]
        assert events == [(messages.RADIO_LOST, 5), (messages.RADIO_BACK, 0)]
        assert len(world.records()) >= 19
        await world.board.cut()

    play(script, tmp_path)


def test_the_first_hello_after_a_radio_that_failed_tells_the_uptime_of_its_sending(tmp_path: Path) -> None:
    """A gateway reckons from it when the boot began; a hello from before would put that wrong by minutes."""

    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        came_s: list[float] = []
        heard = world.air.hear

        def hear(sent: Sent) -> None:
            came_s.extend([sent.begin_s] * (sent.data[0] & 31 == messages.HELLO))
            heard(sent)

        def busy(freq_hz: int) -> bool:
            if world.air.loop.time() - begun_s < 120:
                raise OSError(5, "of the tests")
            return False

        world.air.hear = hear
        world.air.busy = busy  # the channel is listened to when the hello has been sealed
        begun_s = world.air.loop.time()
        world.board.start()
        await virtual_s(600)
        assert len(came_s) == len(world.gateway.hellos) == 1
        assert came_s[0] - begun_s > 120
        assert abs(world.gateway.hellos[0].uptime_ms / 1000 - (came_s[0] - begun_s)) < 1
        await world.board.cut()

    play(script, tmp_path)


def test_a_board_whose_radio_is_missing_goes_on_measuring(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.air.fails = lambda: True
        world.board.start()
        await virtual_s(4000)
        assert not world.air.log
        world.air.fails = lambda: False
        await virtual_s(1500)
        assert world.records() and world.totals().sealed >= 13
        node = world.board.node
        assert node is not None and node.supervisor.restarts() == 0
        await world.board.cut()

    play(script, tmp_path)


def test_power_cuts_anywhere_lose_nothing_and_break_no_law(tmp_path: Path) -> None:
    """SF12, where the budget is always nearly spent: a boot must not forget what was sent before."""

    async def script(world: LoraWorld) -> None:
        chance = random.Random(5)
        world.board.provision(KEY, provisioned_s=START_S, lora_sf=12)
        world.gateway.lose_up = lossy(0.1)
        for _ in range(7):
            world.board.start()
            await virtual_s(chance.uniform(20, 1500))
            await world.board.cut()
            await virtual_s(chance.uniform(0, 5))
        world.gateway.lose_up = lambda: False
        world.board.start()
        await virtual_s(2 * 3600)
        assert world.worst_hour_s() <= 36
        await world.drained(4 * 3600)
        totals = world.totals()
        assert totals.scheduled == sum(totals[1:5])
        assert len(world.records()) == totals.sealed
        await world.board.cut()

    play(script, tmp_path)


@pytest.mark.parametrize("power", ["buffered", "sleep"])
def test_boards_that_save_power(tmp_path: Path, power: str) -> None:
    async def script(world: LoraWorld) -> None:
        board = world.board
        board.provision(KEY, provisioned_s=START_S, measure_s=30, warmup_s=10)
        board.start()
        await virtual_s(3 * 3600 + 120)
        records = world.records()
        assert [record.time for record in records][:33] == [(UTC, START_S + 300 * i) for i in range(1, 34)]
        assert world.gateway.repeats == 0, "what waits for its answer outlives a sleep"
        assert len(world.gateway.hellos) == 1
        assert len(world.air.log) <= 37 + 6
        assert world.worst_hour_s() < 36
        if power == "sleep":
            assert board.wakes >= 33 and board.boots == 1
            assert board.awake_s < 0.3 * 3 * 3600
        await board.cut()

    play(script, tmp_path, power)


def test_a_sleeping_board_remembers_silence_rate_and_airtime(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        board = world.board
        board.provision(KEY, provisioned_s=START_S, measure_s=30, warmup_s=10, lora_sf=8, lora_rendezvous_sf=11)
        board.start()
        await virtual_s(1800)
        world.gateway.asks = [messages.Rate(9, 10, 1, 0)]
        await virtual_s(1800)
        assert world.air.log[-1].sf == 9
        world.gateway.connected = False
        before = len(world.air.log)
        await virtual_s(2 * 3600)
        silent = world.air.log[before:]
        assert {sent.sf for sent in silent} == {9, 11}
        assert len(silent) <= 2 * 12 + 2 * 8, "a record a window, and calls"
        assert world.worst_hour_s() < 36
        world.gateway.connected = True
        world.gateway.sf = 11  # where lost nodes are looked for
        await virtual_s(3600)
        assert world.air.log[-1].sf == 11
        world.gateway.sf = None
        await virtual_s(3600)
        ends = [record.time[1] for record in world.records()]
        assert len(ends) >= 58 and ends == list(range(START_S + 300, ends[-1] + 1, 300))
        assert len(world.gateway.hellos) < 12
        await board.cut()

    play(script, tmp_path, "sleep")


def test_frames_of_others_in_the_window_are_counted_and_nothing_else(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_ask_every=1)
        world.board.start()
        await virtual_s(400)
        chance = random.Random(3)
        answer = world.air.answer

        def with_noise(begin_s: float, freq_hz: int, sf: int, data: bytes) -> None:
            noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 40)))
            answer(begin_s, freq_hz, sf, chance.choice([noise, data[:-1], data[:9], bytes([data[0], 9, 9]) + data[3:]]))

        world.air.answer = with_noise  # type: ignore[method-assign]
        await virtual_s(3600)
        node: Any = world.board.node
        foreign = node.link.foreign
        assert foreign >= 12
        assert sum(node.sessions[0].refused.values()) == foreign
        world.air.answer = answer  # type: ignore[method-assign]
        await virtual_s(3600)
        assert node.link.foreign == foreign
        assert node.supervisor.restarts() == 0
        assert len(world.records()) >= 23
        await world.board.cut()

    play(script, tmp_path)


def test_nodes_with_aligned_windows_do_not_speak_at_once(tmp_path: Path) -> None:
    begins: list[list[float]] = []
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()

        async def script(world: LoraWorld) -> None:
            world.board.provision(KEY, provisioned_s=START_S)
            world.board.start()
            await virtual_s(660)
            begins.append([sent.begin_s % 300 for sent in world.air.log if sent.data[0] & 31 == messages.RECORDS])
            await world.board.cut()

        play(script, folder, seed=seed)
    firsts = sorted(each[0] for each in begins)
    assert firsts[-1] - firsts[0] > 5
    assert all(0 < at < 26 for each in begins for at in each)


def test_the_first_time_brings_one_health_record(tmp_path: Path) -> None:
    """Also to a board that had sealed windows before: the record that dates them is the first one that is due."""

    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.gateway.lose_up = lambda: True
        world.board.start()
        await virtual_s(700)
        world.gateway.lose_up = lambda: False
        await virtual_s(2400)
        healths = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)]
        assert len(healths) == 1 and healths[0].time[0] == UTC and healths[0].uptime_ms > 600_000
        await virtual_s(3600)
        later = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)]
        assert len(later) == 2, "and hourly"
        await world.board.cut()

    play(script, tmp_path)


def test_no_frame_is_longer_than_the_law_of_the_ledger(tmp_path: Path) -> None:
    """An unclocked health record at SF12 would be: it is not made before the time is known."""

    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_sf=12)
        world.board.start()
        await virtual_s(3900)
        assert max(airtime_us(len(sent.data), sent.sf) for sent in world.air.log) < 3_600_000
        assert {sent.sf for sent in world.air.log} == {12}
        assert any(sent.data[0] & 31 == messages.HEALTH for sent in world.air.log)
        await world.board.cut()

    play(script, tmp_path)
