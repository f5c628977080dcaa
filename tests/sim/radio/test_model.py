"""The model of nodes and gateway: lossless it loses nothing, in a crowd it does what ALOHA's theory says, and it keeps the law."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from tools.sim.radio import capacity
from tools.sim.radio.capacity import Setup, aloha, aloha_carried
from tools.sim.radio.city import City, Result
from tools.sim.radio.deployment import Air, Deployment, GatewayAt, Link, NodesIn
from tools.sim.radio.ether import Ether, Reception, Signal
from tools.sim.radio.outage import live_through
from tools.sim.radio.propagation import CLEAR, Position, chance
from tools.sim.timers import VirtualTime


def town(
    nodes: int, hours: float = 2.0, seed: int = 1, kind: Any = "bridge", radius_m: float = 200, **link: Any
) -> Deployment:
    """So many nodes near one gateway."""
    loss = link.pop("loss", 0.0)
    return Deployment(
        name="town", seed=seed, hours=hours, air=Air(frame_loss=loss), link=Link(**{"spread_s": 200} | link),
        gateway=[GatewayAt(name="gw", kind=kind, x_m=0, y_m=0)], nodes=[NodesIn(count=nodes, radius_m=radius_m, x_m=0, y_m=0)],
    )  # fmt: skip


def key(result: Result) -> list[Any]:
    return [(node.name, node.tally.scheduled, node.tally.frames, node.tally.delays_s) for node in result.nodes]


def test_one_node_loses_nothing_and_one_seed_is_one_outcome() -> None:
    result = City(town(1, 5.0)).run()
    assert result.per == 0 and result.delivered == 1.0 and result.in_time == 1.0
    assert result.scheduled == 5 * 12 - 1 + 5, (
        "windows of five minutes, a health record with the first answer and every hour after it"
    )
    assert 60 < result.delay_s(0.5) < 140, "half of the spread"
    twenty = [City(town(20, 1.0, seed, loss=0.1)).run() for seed in (3, 3, 4)]
    assert key(twenty[0]) == key(twenty[1]) != key(twenty[2])


def test_lost_frames_are_sent_again_until_everything_is_there() -> None:
    result = City(town(8, 6.0, loss=0.2)).run()
    assert 0.15 < result.per < 0.3
    assert result.delivered == 1.0
    assert result.in_time > 0.8
    assert 1.0 < sum(node.tally.frames for node in result.nodes) / result.scheduled < 1.5, "of the hours that count"


def test_who_is_not_heard_calls_at_the_rendezvous_by_turns_and_goes_on_telling_what_is_new() -> None:
    """As firmware/links/lora_rate.py has it: three asks, then calls at its own SF and at SF10; live records are no calls."""
    city = City(town(1, 3.0))
    (ear,) = city.gateway.ears
    ear.switch(True)
    city.run()
    calls = [line for line in city.ether.log if line.length == city.rules.hello_bytes]
    assert [line.sf for line in calls[:8]] == [9, 9, 9, 9, 10, 9, 10, 9]
    assert len(city.ether.log) == len(calls), "before the first answer there is nothing but hellos"

    city = City(town(1, 6.0))
    (ear,) = city.gateway.ears
    city.time.call_at(9_000 * 1_000_000, lambda: ear.switch(True))
    city.run()
    log = [line for line in city.ether.log if line.begin_us > 10_000 * 1_000_000]
    calls = [line for line in log if line.sf == 10]
    assert 6 < len(calls) < len(log) / 3 and {line.length for line in calls} == {city.rules.hello_bytes}
    live = [line for line in log if line.sf == 9 and line.length < city.rules.hello_bytes]
    assert len(live) >= 50, "each window's record once, under silence, too"


def test_asking_less_often_costs_time_and_asking_saves_it() -> None:
    often, rarely = (City(town(8, 4.0, loss=0.1, ask_every=asks)).run() for asks in (2, 8))
    assert often.in_time > rarely.in_time
    assert often.downlinks > 2 * rarely.downlinks


@pytest.mark.parametrize("kind", ["bridge", "concentrator"])
def test_six_hours_of_a_deaf_gateway_are_made_up_for_within_the_law(kind: str) -> None:
    """What waited comes after what is new; the judge looks at the ether alone."""
    recovery = live_through(town(6, 16.0, kind=kind, spread_s=100, ask_every=2), 3 * 3600, 9 * 3600)
    result = recovery.result
    assert result.delivered == 1.0
    assert max(delay for node in result.nodes for delay in node.tally.delays_s) > 5 * 3600
    assert 300 < recovery.took_s < 5 * 3600
    assert 0 < recovery.live_s < 2 * recovery.normal_s
    assert result.verdicts and all(verdict.share <= 1 for verdict in result.verdicts)


class Mast:
    gain_dbi = 0.0

    def __init__(self, ether: Ether, name: str, x_m: float, hears: Any) -> None:
        self.name, self.place, self._hears = name, Position(x_m), hears
        self.good = 0
        ether.attach(self)

    def listening(self) -> Any:
        return self._hears

    def preamble(self, begin_us: int, signal: Signal) -> None:
        pass

    def received(self, reception: Reception) -> None:
        self.good += reception.crc_ok


@pytest.mark.parametrize("load", [0.4])
def test_equal_senders_that_do_not_listen_lose_what_aloha_says(load: float) -> None:
    """exp(-2G), a little better: what meets the first five symbols of a preamble alone does no harm, and none comes of it."""
    time = VirtualTime()
    ether = Ether(time, 1, CLEAR)
    frame = Signal(868_100_000, 125_000, 9, 5, False, 0x12, 8, 14, bytes(40))
    gw = Mast(ether, "gw", 0, frame.listening())
    senders = [Mast(ether, f"n{number}", 50, None) for number in range(50)]
    draw, at_us, sent = chance(1, "aloha"), 0.0, 0
    busy_until = [0.0] * len(senders)
    while sent < 2_500:
        at_us += draw.expovariate(load / frame.airtime_us())
        number = draw.randrange(len(senders))
        if busy_until[number] > at_us:
            continue
        busy_until[number] = at_us + frame.airtime_us() + 1
        time.call_at(round(at_us), lambda number=number: ether.transmit(senders[number], frame))
        sent += 1
    while (next_us := time.next_us()) is not None:
        time.now_us = next_us
        time.pop()()
    harmless = 5 * 4_096 / frame.airtime_us()
    assert gw.good / sent == pytest.approx(math.exp(-2 * load * (1 - harmless)), abs=0.02)
    assert gw.good / sent > math.exp(-2 * load)


def test_alohas_theory_by_hand() -> None:
    """One frame of 29 bytes at SF9 lasts 226.3 ms: at 31 nodes each meets 30 others every 300 s."""
    link = Link(first_bytes=29)
    assert aloha(Counter({9: 31}), 1, link) == pytest.approx(math.exp(-2 * 30 * 0.226304 / 300))
    assert aloha(Counter({9: 31}), 8, link) == pytest.approx(math.exp(-2 * 30 * 0.226304 / 300 / 8))
    assert aloha_carried(link, 9) == pytest.approx(1 - math.log(0.999) / 2 * 300 / 0.226304)
    assert aloha(Counter({9: round(aloha_carried(link, 9, 3))}), 1, link, 3) == pytest.approx(0.999, abs=5e-5)


def test_more_nodes_are_later_and_the_crossing_is_between_the_points() -> None:
    seen: list[Any] = []
    points = capacity.curve(
        Setup("one channel", eight=False, sf=12, link=Link(spread_s=200, ask_every=4)),
        hours=1, seeds=(1,), steps=(4, 40), told=seen.append,
    )  # fmt: skip
    assert seen == points and points[0].in_time > points[1].in_time
    assert 0 <= capacity.carried(points) < 40
    between = [capacity.Point(10, 0.9999, 1, 0, 1, 1), capacity.Point(100, 0.99, 1, 0, 1, 1)]
    assert 10 < capacity.carried(between) < 100
    assert capacity.carried(between[:1]) == 10
