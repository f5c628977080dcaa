"""The ether: airtime by the tables of others, who hears whom, collisions, half duplex, and the judge of the duty cycle."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tools.sim.radio.airtime import frame_us
from tools.sim.radio.ether import Ether, Listening, Reception, Signal, Transmission
from tools.sim.radio.law import HOUR_US, judge, worst_hour_us
from tools.sim.radio.propagation import CLEAR, Model, Position
from tools.sim.timers import VirtualTime

FREQ_HZ = 868_100_000
TABLE_MS = {  # Semtech's calculator and Lora-net/SWL2001: BW125, CR 4/5, preamble 8, explicit header, CRC
    10: (41.216, 72.192, 144.384, 288.768, 577.536, 991.232),
    12: (41.216, 82.432, 144.384, 288.768, 577.536, 1155.072),
    13: (46.336, 82.432, 164.864, 288.768, 577.536, 1155.072),
    20: (56.576, 102.912, 185.344, 370.688, 741.376, 1318.912),
    23: (61.696, 113.152, 205.824, 370.688, 823.296, 1482.752),
    51: (102.656, 184.832, 328.704, 616.448, 1314.816, 2465.792),
    64: (118.016, 215.552, 390.144, 698.368, 1560.576, 2793.472),
    222: (348.416, 614.912, 1106.944, 2009.088, 4427.776, 8036.352),
}


@pytest.mark.parametrize("length", TABLE_MS)
def test_airtime_is_that_of_the_table(length: int) -> None:
    assert tuple(float(frame_us(length, sf)) / 1000 for sf in range(7, 13)) == pytest.approx(TABLE_MS[length], abs=1e-9)


def test_airtime_at_unusual_rates() -> None:
    """Values of Semtech's calculator, as micropython-lib's tests have them."""
    assert float(frame_us(1, 12, 500_000)) == pytest.approx(206_848)
    assert float(frame_us(253, 8, cr=6)) == pytest.approx(827_904)
    assert float(frame_us(1, 5, 500_000, preamble=2, crc=False)) == pytest.approx(1_360)
    assert float(frame_us(253, 12, 7_810, 8, 128)) == pytest.approx(287_532_907, rel=1e-8)


class Mast:
    """An antenna that keeps what it hears."""

    gain_dbi = 2.15

    def __init__(
        self, ether: Ether, name: str, x_m: float = 0.0, *, sfs: tuple[int, ...] = (7,), many: int = 1
    ) -> None:
        self.name = name
        self.place = Position(x_m)
        self.ether = ether
        self.hears: Any = Listening(FREQ_HZ, 125_000, sfs[0], False, 0x12)
        if len(sfs) > 1:
            self.hears = frozenset(Listening(FREQ_HZ, 125_000, sf, False, 0x12) for sf in sfs)
        self.found: list[int] = []
        self.got: list[Reception] = []
        ether.attach(self, many)

    def listening(self) -> Any:
        return self.hears

    def preamble(self, begin_us: int, signal: Signal) -> None:
        self.found.append(begin_us)

    def received(self, reception: Reception) -> None:
        self.got.append(reception)

    def tune(self, hears: Any) -> None:
        self.hears = hears
        self.ether.changed(self)

    @property
    def good(self) -> list[bytes]:
        return [reception.signal.data for reception in self.got if reception.crc_ok]


def signal(data: bytes = b"twelve bytes", sf: int = 7, power_dbm: float = 14, **other: Any) -> Signal:
    return Signal(FREQ_HZ, 125_000, sf, 5, False, 0x12, 8, power_dbm, data)._replace(**other)


def air(model: Model = CLEAR, seed: int = 1) -> tuple[VirtualTime, Ether]:
    time = VirtualTime()
    return time, Ether(time, seed, model)


def run(time: VirtualTime, *calls: tuple[int, Callable[[], Any]]) -> None:
    """Make the calls at their times and let everything end."""
    for at_us, call in calls:
        time.call_at(at_us, call)
    while (next_us := time.next_us()) is not None:
        time.now_us = next_us
        time.pop()()


def test_a_frame_arrives_whole_after_its_airtime() -> None:
    time, ether = air()
    a, b = Mast(ether, "a"), Mast(ether, "b", 1000)
    run(time, (5, lambda: ether.transmit(a, signal())))
    (reception,) = b.got
    assert (reception.begin_us, reception.end_us) == (5, 5 + 41_216)
    assert reception.crc_ok and reception.signal.data == b"twelve bytes" and not a.got
    assert b.found == [5]
    assert reception.signal_dbm == pytest.approx(14 + 4.3 - 128.95 - 12.5, abs=0.1)  # 12.5 dB for masts below 24 m
    assert ether.log == [Transmission("a", 5, 41_221, FREQ_HZ, 125_000, 7, 14, 12, False)]


@pytest.mark.parametrize(
    "change",
    [{"freq_hz": 868_300_000}, {"sf": 8}, {"inverted": True}, {"sync_word": 0x34}, {"bw_hz": 250_000}],
    ids=lambda change: next(iter(change)),
)
def test_another_rate_frequency_direction_or_sync_word_is_not_heard(change: dict[str, Any]) -> None:
    time, ether = air()
    a, b = Mast(ether, "a"), Mast(ether, "b", 100)
    run(time, (0, lambda: ether.transmit(a, signal(**change))))
    assert not b.found and not b.got


@pytest.mark.parametrize("sf", range(7, 13))
def test_each_sf_reaches_just_as_far_as_its_limit(sf: int) -> None:
    time, ether = air()
    a, b = Mast(ether, "a"), Mast(ether, "b", 3000, sfs=(sf,))
    limit_db = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}[sf]
    needed_dbm = limit_db - 117.03 - ether.link_db(a, b, FREQ_HZ)
    run(
        time,
        (0, lambda: ether.transmit(a, signal(b"weak", sf, needed_dbm - 0.1))),
        (20_000_000, lambda: ether.transmit(a, signal(b"enough", sf, needed_dbm + 0.1))),
    )
    assert b.good == [b"enough"]
    assert b.got[0].snr_db == pytest.approx(limit_db + 0.1, abs=0.05)
    assert b.got[0].signal_dbm == pytest.approx(limit_db + 0.1 - 117.03, abs=0.1)


def three(model: Model = CLEAR, **how: Any) -> tuple[VirtualTime, Ether, Mast, Mast, Mast]:
    """Two senders that the gateway hears equally well."""
    time, ether = air(model)
    return time, ether, Mast(ether, "a", 100), Mast(ether, "b", -100), Mast(ether, "gw", 0, **how)


def test_equal_frames_destroy_each_other() -> None:
    time, ether, a, b, gw = three()
    run(
        time,
        (0, lambda: ether.transmit(a, signal(b"a" * 20))),
        (30_000, lambda: ether.transmit(b, signal(b"b" * 20))),
    )
    assert not gw.good
    assert [reception.crc_ok for reception in gw.got] == [False]
    assert gw.got[0].signal.data != b"a" * 20, "a frame with a wrong CRC is not the frame that was sent"


def test_the_stronger_one_captures_the_receiver_only_while_it_hears_the_preamble() -> None:
    for offset_us, expected in ((4_000, [b"b" * 20]), (30_000, [])):  # the preamble lasts 12.5 ms
        time, ether, a, b, gw = three()
        run(
            time,
            (0, lambda ether=ether, a=a: ether.transmit(a, signal(b"a" * 20))),
            (offset_us, lambda ether=ether, b=b: ether.transmit(b, signal(b"b" * 20, power_dbm=20.1))),
        )
        assert gw.good == expected
    for power, expected in ((14 - 6.1, [b"a" * 20]), (14 - 5.9, [])):
        time, ether, a, b, gw = three()
        run(
            time,
            (0, lambda ether=ether, a=a: ether.transmit(a, signal(b"a" * 20))),
            (30_000, lambda ether=ether, b=b, power=power: ether.transmit(b, signal(b"b" * 20, power_dbm=power))),
        )
        assert gw.good == expected


def test_a_header_that_was_hit_frees_the_receiver_early() -> None:
    time, ether, a, b, gw = three()
    run(
        time,
        (0, lambda: ether.transmit(a, signal(b"a" * 200))),
        (14_000, lambda: ether.transmit(b, signal(b""))),
        (60_000, lambda: ether.transmit(b, signal(b"too weak to be heard over a", power_dbm=14))),
    )
    assert [(reception.header_ok, reception.crc_ok) for reception in gw.got] == [(False, False)]
    assert gw.got[0].end_us == pytest.approx((12.25 + 8) * 1024, abs=1)


def test_other_spreading_factors_disturb_only_when_much_stronger() -> None:
    """SF7 bears an SF9 that is 9 dB stronger, SF9 an SF7 that is 15 dB stronger (Croce et al.)."""
    for wanted, other, bears_db in ((7, 9, 9), (9, 7, 15), (12, 7, 25)):
        for more_db, whole in ((bears_db - 0.1, True), (bears_db + 0.1, False)):
            time, ether, a, b, gw = three(sfs=(wanted,))
            run(
                time,
                (0, lambda e=ether, a=a, sf=wanted: e.transmit(a, signal(b"a" * 20, sf, -5))),
                (
                    7 * 8 << wanted,
                    lambda e=ether, b=b, sf=other, p=more_db: e.transmit(b, signal(b"b" * 20, sf, -5 + p)),
                ),
            )
            assert bool(gw.good) == whole, (wanted, other, more_db)


def test_neighbouring_channels_do_not_disturb() -> None:
    time, ether, a, b, gw = three()
    run(
        time,
        (0, lambda: ether.transmit(a, signal(b"a" * 20))),
        (1_000, lambda: ether.transmit(b, signal(b"b" * 20, power_dbm=22, freq_hz=868_300_000))),
    )
    assert gw.good == [b"a" * 20]


def test_a_concentrator_hears_all_rates_at_once_as_far_as_its_demodulators_go() -> None:
    frames = [signal(bytes([sf]) * 40, sf) for sf in range(7, 13)]
    for many, count in ((16, 6), (4, 4)):
        time, ether = air()
        gw = Mast(ether, "gw", sfs=tuple(range(7, 13)), many=many)
        nodes = [Mast(ether, f"n{frame.sf}", 100) for frame in frames]
        run(  # all of them end at one instant
            time,
            *(
                (3_000_000 - frame.airtime_us(), lambda e=ether, n=n, frame=frame: e.transmit(n, frame))
                for n, frame in zip(nodes, frames)
            ),
        )
        assert len(gw.good) == count


def test_half_duplex_retuning_and_restart_lose_the_frame() -> None:
    other = Listening(868_300_000, 125_000, 7, False, 0x12)
    disturbances: list[Callable[[Ether, Mast], Any]] = [
        lambda ether, gw: ether.transmit(gw, signal(b"", freq_hz=869_525_000)),
        lambda ether, gw: (gw.tune(None), gw.tune(Listening(FREQ_HZ, 125_000, 7, False, 0x12))),
        lambda ether, gw: gw.tune(other),
        lambda ether, gw: ether.restarted(gw),
    ]
    for disturb in disturbances:
        time, ether, a, _, gw = three()
        run(
            time,
            (0, lambda e=ether, a=a: e.transmit(a, signal(b"a" * 20))),
            (20_000, lambda e=ether, gw=gw, d=disturb: d(e, gw)),
        )
        assert not gw.got
        assert ether.counts["cut"] == 1


def test_a_window_that_opens_within_the_preamble_finds_it_while_five_symbols_are_left() -> None:
    for opens_us, found in ((3 * 1024, True), (3 * 1024 + 2, False)):
        time, ether, a, _, gw = three()
        gw.tune(None)
        run(
            time,
            (0, lambda e=ether, a=a: e.transmit(a, signal())),
            (opens_us, lambda gw=gw: gw.tune(Listening(FREQ_HZ, 125_000, 7, False, 0x12))),
        )
        assert bool(gw.good) == found


def test_a_cut_transmission_ends_in_the_log_and_is_never_received() -> None:
    time, ether, a, _, gw = three()
    run(time, (0, lambda: ether.transmit(a, signal(b"a" * 20))), (30_000, lambda: ether.stop(a)))
    assert ether.log[0].end_us == 30_000
    assert [reception.crc_ok for reception in gw.got] == [False]
    run(time, (100_000, lambda: ether.transmit(a, signal(b"again"))))
    assert gw.good == [b"again"]


def test_channel_activity_is_seen_where_the_signal_is_loud_enough() -> None:
    time, ether, a, b, _ = three()
    seen = []

    def look() -> None:
        seen.append(
            (
                ether.busy(b, FREQ_HZ, 125_000, 7, False), ether.busy(a, FREQ_HZ, 125_000, 7, False),
                ether.busy(b, FREQ_HZ, 125_000, 8, False), ether.busy(b, FREQ_HZ, 125_000, 7, True),
            )
        )  # fmt: skip

    run(time, (0, lambda: ether.transmit(a, signal())), (20_000, look), (50_000, look))
    assert seen == [(True, False, False, False), (False,) * 4]


def test_loss_fading_and_shadowing_are_of_the_seed() -> None:
    def results(seed: int) -> list[bytes]:
        time, ether = air(Model(loss=0.2), seed)
        a, gw = Mast(ether, "a"), Mast(ether, "gw", 300)
        run(
            time, *((number * 100_000, lambda n=number: ether.transmit(a, signal(bytes([n])))) for number in range(200))
        )
        return gw.good

    first = results(5)
    assert first == results(5)
    assert first != results(6)
    assert 0.70 * 200 < len(first) < 0.90 * 200


def test_what_chance_does_to_a_frame_does_not_depend_on_who_else_sends() -> None:
    """So real firmware and its model, which speak at different moments, lose the same frames by chance."""

    def results(others: int) -> list[tuple[bytes, float]]:
        time, ether = air(Model(loss=0.3))
        a, gw = Mast(ether, "a"), Mast(ether, "gw", 2_500)
        b = Mast(ether, "b", 300, sfs=(8,))
        calls: list[tuple[int, Callable[[], Any]]] = []
        for number in range(60):
            for other in range(others):
                far = signal(freq_hz=867_100_000)
                calls.append((number * 400_000 + 120_000 * (other + 1), lambda far=far: ether.transmit(b, far)))
            data = bytes([number])
            calls.append((number * 400_000, lambda data=data: ether.transmit(a, signal(data))))
        run(time, *calls)
        return [(reception.signal.data, reception.rssi_dbm) for reception in gw.got]

    alone = results(0)
    assert 20 < len(alone) < 55 and len({rssi_dbm for _, rssi_dbm in alone}) > 10, "loss, and fading"
    assert alone == results(1) == results(2)


def test_blocked_links_are_lost() -> None:
    time, ether, a, b, gw = three()
    ether.lost = lambda sender, listener: (sender, listener) == ("a", "gw")
    run(time, (0, lambda: ether.transmit(a, signal(b"a"))), (100_000, lambda: ether.transmit(b, signal(b"b"))))
    assert gw.good == [b"b"] and a.good == [b"b"] and b.good == [b"a"]


def on_air(who: str, begin_s: float, length_s: float, freq_hz: int = FREQ_HZ) -> Transmission:
    begin = round(begin_s * 1e6)
    return Transmission(who, begin, begin + round(length_s * 1e6), freq_hz, 125_000, 7, 14, 20, False)


def test_the_judge_sees_the_worst_sliding_hour() -> None:
    assert worst_hour_us([]) == (0, 0)
    log = [on_air("a", 3_500, 20), on_air("a", 3_700, 20), on_air("b", 0, 36), on_air("b", 3_636, 36)]
    found = {(verdict.who, verdict.band): verdict for verdict in judge(log)}
    assert found["a", "M"].share == pytest.approx(40 / 36)
    assert found["b", "M"].share == pytest.approx(1.0)
    log = [on_air("b", 0, 36), on_air("b", 3_599, 36)]
    assert judge(log)[0].share == pytest.approx(37 / 36)
    assert judge([on_air("c", 0, 1, 868_650_000)])[0].share == float("inf"), "between the sub-bands nobody may speak"
    assert judge([on_air("d", 0, 36, 869_525_000)])[0].share == pytest.approx(0.1)


def test_the_judge_agrees_with_a_count_of_every_hour() -> None:
    draw = Random(3)
    for _ in range(30):
        instant, spans = 0, []
        for _ in range(40):
            instant += draw.randrange(1, HOUR_US // 8)
            spans.append((instant, instant := instant + draw.randrange(1, 40_000_000)))

        def within(end: int, spans: list[tuple[int, int]] = spans) -> int:
            return sum(max(0, min(e, end) - max(b, end - HOUR_US)) for b, e in spans)

        edges = {edge + shift for span in spans for edge in span for shift in (0, HOUR_US)}
        assert worst_hour_us(spans)[0] == max(map(within, edges))
