"""The LoRa side of a gateway: copies merge, one ear answers in the window, and only what is worth airtime is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.links.rates import Rules
from gateway.models import Reception, Record
from gateway.store.rows import to_record
from tests.fakes.lora_air import AirNode, CellRig, InCell
from tests.fakes.rig import START_S
from tests.fakes.virtual_time import virtual_s
from wire import messages
from wire.frame import open_downlink
from wire.regions import DOWNLINK_HZ, UPLINKS_HZ

W0 = START_S // 60
HZ = UPLINKS_HZ[0]
STILL = Rules(adr=False)


async def records(rig: CellRig) -> list[Record]:
    await rig.pass_s(1)
    batch = await rig.store.next_batch("mqtt", 1000, 1 << 20)
    return [] if batch is None else list(batch.records)


def types(node: AirNode) -> list[int]:
    return [downlink.type for downlink in node.downlinks]


def test_copies_of_several_ears_are_one_record_with_all_values_and_one_answer(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        roof, mast = rig.ear("roof", offset_us=0xFFFF_0000), rig.ear("mast", ppm=80)
        third = rig.ear("cellar")
        rig.begin()
        node = await rig.node(7, roof=-20, mast=-10, cellar=-60)
        node.hello()
        await rig.pass_s(3)
        node.seal(W0)
        node.ask()
        await rig.pass_s(3)
        (record,) = await records(rig)
        assert record.heard == (Reception("mast", HZ, 9, -106, 16), Reception("roof", HZ, 9, -116, -24))
        assert rig.cell.copies == 2
        assert (rig.cell.uplinks, rig.uplinks.accepted) == (2, 2)
        assert [len(ear.sent) for ear in (roof, mast, third)] == [0, 2, 0]
        assert types(node) == [messages.ACK_TIME, messages.ACK]
        assert node.outbox == {}
        assert {freq for freq, _ in rig.duties["mast"].taken} == {DOWNLINK_HZ}

    in_cell(scenario, rules=STILL)


def test_a_copy_that_comes_when_the_record_is_stored_is_counted_and_nothing_else(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        roof, slow = rig.ear("roof"), rig.ear("slow")
        slow.state = "starting"
        rig.begin()
        node = await rig.node(7, roof=-10)
        node.seal(W0)
        node.ask()
        await rig.pass_s(0.5)
        rig.air.hear(slow, node.last_frame, 9, HZ, 10.0)
        await rig.pass_s(3)
        assert (rig.cell.copies, rig.cell.late_copies, rig.uplinks.accepted) == (0, 1, 1)
        assert rig.dropped == {}
        assert len(roof.sent) == 1
        assert len(await records(rig)) == 1

    in_cell(scenario, rules=STILL)


def test_the_time_in_an_answer_is_that_at_which_it_begins_on_air(in_cell: InCell) -> None:
    """Whatever the ear's own clock says and however long frames wait on their way to the gateway."""

    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof", offset_us=0xFFFF_FF00, ppm=-100)
        rig.begin()
        node = await rig.node(7, roof=-10)
        node.hello()
        await rig.pass_s(3)
        (downlink,) = node.downlinks
        told = messages.decode(downlink.type, downlink.payload)
        end_s = rig.air.log[0][0]
        assert abs(told.unix_ms - (START_S * 1000 + (end_s + 1) * 1000)) <= 2
        assert told.held_ms == 1000
        assert abs(ear.sent[0].at_us - (ear.now_us(end_s) + 1_000_000 & 0xFFFF_FFFF)) <= 1

    in_cell(scenario, rules=STILL)


def test_a_time_counts_as_arrived_only_when_the_node_shows_it(in_cell: InCell) -> None:
    """It asks until an ask was answered: the first frame of records that does not ask is the proof, and no other one."""

    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        spans = rig.session(node).memory.clock.spans
        node.faults.deaf = True
        node.hello()
        await rig.pass_s(5)
        for index in range(3):  # unanswered, as far as the node knows: it asks again, each time with something new
            node.send(messages.RECORDS_ASK, _records(node, [node.seal(W0 + index)]))
            await rig.pass_s(5)
        assert spans == []
        node.faults.deaf = False
        node.ask()
        await rig.pass_s(5)
        assert spans == []
        rig.session(node)._time_sent_ms = 0  # due again, and not told to a frame that does not ask
        node.tell([node.seal(W0 + 5)])
        await rig.pass_s(5)
        assert len(spans) == 1
        seq = node.seal(W0 + 6)
        for _ in range(2):
            node.tell([seq])
            await rig.pass_s(5)
        assert types(node)[-1] == messages.ACK

    in_cell(scenario, rules=STILL)


def test_only_what_asks_is_answered_and_what_the_node_does_not_know(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        node.hello()
        await rig.pass_s(3)
        assert len(ear.sent) == 1
        for index in range(3):
            node.tell([node.seal(W0 + index)])
            await rig.pass_s(5)
        assert len(ear.sent) == 1
        assert len(node.outbox) == 3
        node.seal(W0 + 3)
        node.ask(1)  # the oldest alone: it was received already
        await rig.pass_s(5)
        assert node.outbox.keys() == {3}  # one answer acknowledged all that came
        node.ask()
        await rig.pass_s(5)
        assert node.outbox == {}
        assert len(ear.sent) == 3
        seq = node.seal(W0 + 4)
        node.faults.lose_up = 0.0
        node.tell([seq])
        await rig.pass_s(5)
        node.tell([seq])  # sent again without asking: it seems not to know
        await rig.pass_s(5)
        assert node.outbox == {}

    in_cell(scenario, rules=STILL)


def test_one_answer_tells_of_holes(in_cell: InCell) -> None:
    """64 seqs above the first hole, or, where more lies there, from the lowest on that was not acknowledged."""

    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        seqs = [node.seal(W0 + index) for index in range(200)]
        lost = {5, 17, 40}
        for first in range(0, 48, 4):
            node.tell([seq for seq in seqs[first : first + 4] if seq not in lost])
            await rig.pass_s(3)
        assert len(node.outbox) == 200
        node.send(messages.RECORDS_ASK, _records(node, [48]))
        await rig.pass_s(3)
        assert sorted(node.outbox) == sorted(lost | set(range(49, 200)))
        node.send(messages.RECORDS_ASK, _records(node, [190, 191, 193]))
        await rig.pass_s(3)
        assert sorted(node.outbox) == sorted(lost | set(range(49, 190)) | {192} | set(range(194, 200)))
        assert len(node.downlinks) == 2

    in_cell(scenario, rules=STILL)


def _records(node: AirNode, seqs: list[int]) -> Any:
    from wire.records import encode_records

    return encode_records(node.profile, [node.outbox[seq] for seq in seqs])


def test_requests_and_acknowledgements_take_turns_in_the_windows(in_cell: InCell) -> None:
    """A node that always asks is told what else there is, too; nothing is said outside of windows."""

    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        node.hello()
        await rig.pass_s(10)
        asked = asyncio.create_task(rig.session(node).set_setting(2, 0, 1800, 600.0))
        await rig.pass_s(60)
        assert len(ear.sent) == 1
        for index in range(6):
            node.seal(W0 + index)
            node.ask()
            await rig.pass_s(10)
        assert node.settings == {(2, 0): 1800}
        assert (await asked).value == 1800
        assert types(node).count(messages.SET_SETTING) == 1
        assert types(node)[:3] == [messages.ACK_TIME, messages.SET_SETTING, messages.ACK]
        assert node.outbox == {}

    in_cell(scenario, rules=STILL)


def test_a_profile_is_asked_for_in_a_window(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        node = await rig.add(AirNode(rig.air, 7), profiles=False, roof=-10)
        node.seal(W0)
        node.ask()
        await rig.pass_s(12)
        assert types(node) == [messages.ACK_TIME]  # first what it asked for
        assert await records(rig) == []
        node.tell([node.seal(W0 + 1)])
        await rig.pass_s(12)
        assert types(node) == [messages.ACK_TIME, messages.DESCRIPTOR_REQUEST]
        await rig.pass_s(12)
        found = await records(rig)
        assert [record.seq for record in found] == [0, 1]
        assert [record.heard[0].ear for record in found] == ["roof", "roof"]  # kept while they waited

    in_cell(scenario, rules=STILL)


def test_a_spent_budget_sends_the_next_ear_and_then_nobody(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        roof, mast = rig.ear("roof"), rig.ear("mast")
        rig.begin()
        node = await rig.node(7, roof=-10, mast=-20)
        rig.duties["roof"].budget_us = 0
        node.hello()
        await rig.pass_s(3)
        assert (len(roof.sent), len(mast.sent)) == (0, 1)
        rig.duties["mast"].budget_us = 0
        node.hello()
        await rig.pass_s(3)
        assert (len(roof.sent), len(mast.sent)) == (0, 1)
        assert rig.cell.unsent == {"duty": 1}
        node.seal(W0)
        node.ask()
        await rig.pass_s(3)
        assert len(await records(rig)) == 1  # it is stored all the same
        assert len(node.outbox) == 1

    in_cell(scenario, rules=STILL)


def test_two_windows_at_once_take_two_ears(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ears = rig.ear("one", single=False), rig.ear("two", single=False)
        rig.begin()
        nodes = [await rig.add(AirNode(rig.air, n, freq_hz=UPLINKS_HZ[n]), one=-5, two=-10) for n in (1, 2, 3)]
        for node in nodes:
            node.hello()
        await rig.pass_s(3)
        assert [len(ear.sent) for ear in ears] == [1, 1]
        assert rig.cell.unsent == {"busy": 1}
        assert sorted(len(node.downlinks) for node in nodes) == [0, 1, 1]

    in_cell(scenario, rules=STILL)


def test_what_becomes_of_an_answer_is_counted(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        for told in ("late", "radio", ""):
            ear.refuse = told
            node.hello()
            await rig.pass_s(5)
        (facts,) = rig.cell.status()["ears"]
        assert facts["downlinks"] == {"late": 1, "radio": 1, "sent": 1}
        assert facts["frames"] == 3
        assert facts["airtime_s"]["P"] > 0
        ear.state = "unplugged"
        rig.air.hear(ear, b"\x82", 9, HZ, 0)
        await rig.pass_s(1)

    in_cell(scenario, rules=STILL)


def test_a_disk_that_is_too_slow_for_the_window_answers_nothing_and_loses_nothing(
    in_cell: InCell, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        submit, slow = rig.store._worker.submit, True

        async def slowly(work: Any) -> Any:
            if slow:
                await virtual_s(2.0)
            return await submit(work)

        monkeypatch.setattr(rig.store._worker, "submit", slowly)
        node.seal(W0)
        node.ask()
        await rig.pass_s(5)
        assert ear.sent == []
        assert rig.cell.unsent == {"late": 1}
        slow = False
        node.ask()
        await rig.pass_s(5)
        assert node.outbox == {}

    in_cell(scenario, rules=STILL)


def test_where_few_come_there_is_still_time_for_an_answer_behind_a_slow_disk(
    in_cell: InCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards on cables may wait longer: a window begins a second after its uplink, and copies take a fifth of it."""

    async def scenario(rig: CellRig) -> None:
        roof = rig.ear("roof")
        rig.ear("deaf")  # its copy is waited for
        rig.begin()
        node = await rig.node(7, roof=-10, deaf=-60)
        await rig.pass_s(30)
        assert rig.store._timer.sparse, "the gateway knows that few come"
        submit = rig.store._worker.submit

        async def slowly(work: Any, patience_s: float = 0.0) -> Any:
            await virtual_s(0.4)
            return await submit(work, patience_s)

        monkeypatch.setattr(rig.store._worker, "submit", slowly)
        node.seal(W0)
        node.ask()
        await rig.pass_s(5)
        assert len(roof.sent) == 1
        assert node.outbox == {}
        assert not rig.cell.unsent

    in_cell(scenario, rules=STILL)


def test_strangers_liars_and_what_is_played_back_are_counted_and_change_nothing(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        thief = AirNode(rig.air, 7, key=bytes(range(16)))
        thief.path_db = {"roof": -5}
        stranger = AirNode(rig.air, 99)
        stranger.path_db = {"roof": -5}
        node.hello()
        await rig.pass_s(3)
        first = node.last_frame
        node.seal(W0)
        node.ask()
        second = node.last_frame
        await rig.pass_s(3)
        before = len(ear.sent)

        def heard(frame: bytes) -> None:
            rig.air.hear(ear, frame, 9, HZ, 5.0)

        heard(second)  # at once: the same ear hears the same bytes again
        await rig.pass_s(30)
        heard(second)
        heard(first)
        await rig.pass_s(3)
        assert rig.dropped == {"replay": 3}
        for cut in range(len(second)):
            heard(second[:cut])
            await rig.pass_s(0.1)
        heard(second + b"\0")
        await rig.pass_s(3)
        rig.dropped.pop("replay")
        assert set(rig.dropped) <= {"short", "tag"}
        rig.dropped.clear()
        # LoRaWAN on the same sync word: join request, data up, confirmed data up, data down, proprietary
        for header in (0x00, 0x40, 0x80, 0x60, 0xE0, 0xA0):
            heard(bytes((header,)) + bytes(range(22)))
            await rig.pass_s(0.1)
        await rig.pass_s(3)
        assert sum(rig.dropped.values()) == 6
        assert set(rig.dropped) <= {"version", "type", "address"}
        rig.dropped.clear()
        thief.seal(W0)
        thief.hello()
        thief.ask()
        stranger.hello()
        await rig.pass_s(3)
        assert rig.dropped == {"tag": 2, "address": 1}
        assert len(ear.sent) == before
        assert thief.downlinks == stranger.downlinks == []
        assert len(await records(rig)) == 1

    in_cell(scenario, rules=STILL)


def test_frames_that_overtake_each_other_are_all_taken(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        held: list[bytes] = []
        node.out = held.append
        for index in range(6):
            node.tell([node.seal(W0 + index)])
        for frame in reversed(held):
            rig.air.hear(ear, frame, 9, HZ, 5.0)
            await rig.pass_s(3)
        assert rig.dropped == {}
        assert sorted(record.seq for record in await records(rig)) == [0, 1, 2, 3, 4, 5]

    in_cell(scenario, rules=STILL)


def test_an_answer_answers_the_uplink_of_its_window_and_no_other(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        node = await rig.node(7, roof=-10)
        for index in range(3):
            node.seal(W0 + index)
            node.ask()
            await rig.pass_s(3)
        assert len(ear.sent) == 3
        for number, downlink in enumerate(ear.sent):
            opened = open_downlink(node.keys, node.link, downlink.frame, [number], 7)
            assert not isinstance(opened, str)
            assert opened.answered == number

    in_cell(scenario, rules=STILL)


def test_a_window_takes_one_frame_and_no_other(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear, other = rig.ear("roof"), rig.ear("mast")  # which would be free for a second one
        rig.begin()
        node = await rig.node(7, roof=-10, mast=-15)
        node.tell([node.seal(W0)])
        await rig.pass_s(0.7)
        window = rig.session(node).link
        assert window.open
        assert window.send(b"\x90first")
        assert not window.open
        assert not window.send(b"\x90second")
        await rig.pass_s(3)
        assert [one.frame for one in ear.sent + other.sent] == [b"\x90first"]

    in_cell(scenario, rules=STILL)


def test_a_gateway_that_is_told_to_listen_alone_stores_and_never_answers(in_cell: InCell) -> None:
    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.begin()
        rig.cell.answers = False
        node = await rig.node(7, roof=-10)
        node.hello()
        await rig.pass_s(3)
        node.seal(W0)
        node.ask()
        await rig.pass_s(3)
        assert ear.sent == []
        assert len(await records(rig)) == 1

    in_cell(scenario, rules=STILL)


def test_rows_of_before_and_of_wires_have_no_receptions() -> None:
    row = (1, 1, 5, 1, 3, 0, 0, 1000, 0, 0, 0, 2000, 0, b'\x03{"code":1}', None, None)
    assert to_record(row, {1: None}, {}).heard == ()  # type: ignore[dict-item]
