"""Adaptive data rate: what is commanded, what never is, and how a cell of single-modem ears moves and finds its lost nodes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from gateway.links.rates import REQUIRED_DB, Rates, Rules, Sight
from tests.fakes.lora_air import AirNode, CellRig, FakeEar, InCell
from tests.fakes.rig import START_S
from wire import messages
from wire.regions import UPLINKS_HZ

W0 = START_S // 60
HZ = UPLINKS_HZ[0]
KEY = (7, 1)


async def live(rig: CellRig, hours: float, interval_s: float = 300.0, ask_every: int = 4) -> None:
    """All nodes seal and send, each its way: an ask now and then, hellos when nobody answers, there and at the rendezvous."""
    nodes = rig.air.nodes
    step_s = interval_s / max(1, len(nodes))
    for count in range(1, int(hours * 3600 / interval_s) + 1):
        for node in nodes:
            await speak(node, count, ask_every)
            await rig.pass_s(step_s)


async def speak(node: AirNode, count: int, ask_every: int) -> None:
    if not hasattr(node, "home"):
        node.home = node.sf  # type: ignore[attr-defined]
    seq = node.seal(W0 + node.next_seq)
    if node.unanswered >= 3:  # lost: all power, and where it is looked for
        node.power_dbm = 14
        if node.fallback is not None:
            node.sf, _ = node.fallback
            node.fallback = None
        else:
            node.sf = 10 if node.unanswered % 2 else node.home  # type: ignore[attr-defined]
        node.unanswered += 1
        node.hello()
    elif count % ask_every == 0 or node.unanswered:
        node.unanswered += 1
        node.ask(16)
    else:
        node.tell([seq])
    if not node.unanswered:
        node.home = node.sf  # type: ignore[attr-defined]


@pytest.mark.slow
def test_power_falls_to_what_the_margin_asks_for_and_rises_again(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        rig.cell.rendezvous._changed_ms = 1 << 60  # the spreading factor stays
        rig.air.fading_db = 2.0
        near = await rig.node(1, roof=-2)  # 14 dBm: 12 dB, 24.5 above what SF9 needs
        far = await rig.node(2, roof=-20)
        await live(rig, 4)
        assert near.power_dbm <= 5
        assert near.path_db["roof"] + near.power_dbm - REQUIRED_DB[9] >= 7
        assert (far.power_dbm, far.rates) == (14, [])
        near.path_db["roof"] = -14  # a truck parks before it
        await live(rig, 3)
        assert near.path_db["roof"] + near.power_dbm - REQUIRED_DB[9] >= 5  # 0.5 before it rose
        assert len(near.rates) <= 8  # it does not swing
        assert near.outbox.keys() <= set(range(near.next_seq - 8, near.next_seq))

    in_cell(scenario, sf=9, seed=3)


@pytest.mark.slow
def test_under_a_concentrator_each_node_gets_its_own_spreading_factor(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("mast", single=False)
        rig.begin()
        rig.air.fading_db = 2.0
        near = await rig.node(1, mast=-5)
        middle = await rig.node(2, sf=12, mast=-12)
        far = await rig.node(3, sf=12, mast=-31)
        await live(rig, 5)
        assert near.sf == 7
        assert near.power_dbm < 14
        assert middle.sf in (8, 9)
        assert far.sf == 12
        assert far.power_dbm == 14
        assert near.rates[0].channels == 0xFF  # all that the concentrator hears
        for node in (near, middle, far):
            assert len(node.outbox) < 12

    in_cell(scenario, sf=9, seed=4)


@pytest.mark.slow
def test_no_rate_is_commanded_that_the_ears_of_a_node_cannot_hear() -> None:
    """Whatever is heard, in whatever order: the spreading factor is one that an ear which hears the node hears too."""

    class Still:
        def now_s(self) -> float:
            return 0.0

    total = 0
    for seed in range(100):
        chance = random.Random(seed)
        common = chance.randrange(7, 13)
        ears = [FakeEar(Still(), f"b{n}", sf=common, freq_hz=chance.choice(UPLINKS_HZ)) for n in range(2)]  # type: ignore[arg-type]
        if seed % 2:
            ears.append(FakeEar(Still(), "mast", single=False))  # type: ignore[arg-type]
        rates = Rates(ears, Rules(), common)
        now_ms, path = 0, chance.uniform(-40, 10)
        commands = 0
        for _ in range(80):
            now_ms += chance.randrange(1_000, 600_000)
            heard_by = chance.sample([ear.name for ear in ears], chance.randrange(1, len(ears) + 1))
            sf = chance.choice([common, common, chance.randrange(7, 13)])
            sight = Sight(sf, HZ, path + chance.gauss(14, 6), tuple(heard_by))
            rates.heard(KEY, sight, now_ms, hello=chance.random() < 0.05)
            rate = rates.due(KEY, now_ms + 1000)
            if rate is None:
                continue
            commands += 1
            hears = [ear for ear in ears if any(ear.name in names for names in rates.nodes[KEY].ears)]
            assert rate.sf in {sf for ear in hears for sf in ear.sfs}
            assert -9 <= rate.power_dbm <= 14
            assert any(ear.channels[0] == HZ or rate.channels >> UPLINKS_HZ.index(ear.channels[0]) & 1 for ear in hears)
            messages.encode(rate)
            rates.sent(KEY, rate, now_ms)
        total += commands
    assert total > 1000


def test_a_concentrator_that_went_silent_leaves_a_node_to_what_its_bridge_hears() -> None:
    """A node that both heard is not sent where only the concentrator was, and comes back to all channels with it."""

    class Still:
        def now_s(self) -> float:
            return 0.0

    bridge, mast = FakeEar(Still(), "b", sf=9, freq_hz=HZ), FakeEar(Still(), "mast", single=False)  # type: ignore[arg-type]
    rates = Rates([bridge, mast], Rules(), 9)
    now_ms = 0

    def hears(*ears: str) -> messages.Rate | None:
        """Loud enough for SF7 at the least power."""
        nonlocal now_ms
        now_ms += 300_000
        rates.heard(KEY, Sight(9, HZ, 12.0, ears), now_ms, hello=False)
        return rates.due(KEY, now_ms + 1000)

    for _ in range(5):
        hears("b", "mast")
    mast.state = "the forwarder is silent"
    told = hears("b")
    assert told is not None and (told.sf, told.channels) == (9, 1), told
    bridge.tune(HZ, 10)  # a slot of the rendezvous, which is over before the node could follow
    told = hears("b")
    assert told is not None and told.sf == 9, told
    mast.state = "open"
    told = hears("b", "mast")
    assert told is not None and (told.sf, told.channels) == (7, 0xFF), told


def test_a_power_that_does_not_show_is_commanded_again_less_and_less_often() -> None:
    ear = FakeEar(None, "roof")  # type: ignore[arg-type]
    rates = Rates([ear], Rules(), 9)
    now_ms, commands = 0, []
    for _ in range(400):
        now_ms += 300_000
        rates.heard(KEY, Sight(9, HZ, 9.0, ("roof",)), now_ms, hello=False)  # it never obeys
        rate = rates.due(KEY, now_ms)
        if rate is not None:
            commands.append(now_ms)
            rates.sent(KEY, rate, now_ms)
    assert 3 <= len(commands) <= 12
    assert rates.confirmed == 0
    gaps = [b - a for a, b in pairwise(commands)]
    assert gaps == sorted(gaps)
    assert rates.nodes[KEY].power_dbm == 14  # as far as is known


@pytest.mark.slow
def test_a_cell_moves_together_and_the_node_that_missed_it_is_met(in_cell: InCell) -> None:
    """All near: SF9 to SF7 at one planned moment. One hears no downlink meanwhile, is lost, and comes back by the rendezvous;
    nothing of what it sealed is lost."""

    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        nodes = [await rig.node(n, roof=-3) for n in range(1, 6)]
        await live(rig, 0.9)
        deaf = nodes[2]
        deaf.faults.deaf = True
        await live(rig, 2.5)
        assert rig.cell.rates.common_sf == 7
        assert [node.sf for node in nodes] == [7, 7, deaf.sf, 7, 7]
        assert deaf.sf != 7
        assert rig.cell.rendezvous.slots > 3
        assert all(sum(rate.after_s > 0 for rate in node.rates) == 1 for node in nodes if node is not deaf)  # once each
        assert any(sf == 10 for _, sf in ear.tuned)  # slots
        deaf.faults.deaf = False
        await live(rig, 8)
        assert deaf.sf == 7
        assert rig.cell.rendezvous.missing == []
        assert ear.sfs == (7,)
        assert rig.cell.rendezvous.moves == 1
        for node in nodes:
            for _ in range(12):
                node.ask(16)
                await rig.pass_s(10)
            assert node.outbox == {}
            stored = await rig.sql(
                "SELECT count(DISTINCT seq) FROM records r JOIN lives l ON l.id = r.life WHERE node = ?",
                node.address,
            )
            assert stored[0][0] == len(node.sealed)

    in_cell(scenario, sf=9, seed=5)


@pytest.mark.slow
def test_one_far_node_keeps_the_whole_cell_slow(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        for number, path in enumerate((-3, -3, -16), 1):
            await rig.node(number, roof=path)
        await live(rig, 4)
        assert rig.cell.rates.common_sf == 9
        assert rig.cell.rendezvous.moves == 0

    in_cell(scenario, sf=9, seed=6)


@pytest.mark.slow
def test_what_the_nodes_were_told_outlives_a_restart(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        for number in (1, 2):
            await rig.node(number, roof=-3)
        await live(rig, 1.2)
        planned = rig.cell.rates.switch
        assert planned is not None
        later = CellRig(rig.path, rig.loop, 1, Rules(), 9)
        again = later.ear("roof")
        later.begin()
        assert later.cell.rates.switch == planned
        assert again.sfs == (9,)
        await rig.pass_s(max(0.0, planned[1] / 1000 - START_S - rig.loop.time()) + 10)
        assert again.sfs == (7,)
        third = CellRig(rig.path, rig.loop, 1, Rules(), 9)
        third.ear("roof")
        third.begin()
        assert third.cell.rates.common_sf == 7
        rig.path.with_name("lora").write_text("{")
        fourth = CellRig(rig.path, rig.loop, 1, Rules(), 9)
        fourth.ear("roof")
        fourth.begin()
        assert fourth.cell.rates.common_sf == 9
        for other in (later, third, fourth):
            other.tasks[-1].cancel()

    in_cell(scenario, sf=9)


@pytest.mark.slow
def test_a_new_node_at_the_wrong_spreading_factor_is_met(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof", sf=7)
        rig.begin()
        await rig.node(1, sf=7, roof=-3)
        new = await rig.node(2, sf=9, roof=-3)
        new.unanswered = 3
        await live(rig, 6)
        assert new.sf == 7
        assert len(new.outbox) < 16

    in_cell(scenario, sf=7, seed=8)
