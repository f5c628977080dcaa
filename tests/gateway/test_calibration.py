"""What a gateway says of a value's calibration: none, expired, unknown; under whose number, and back to the raw value."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware.correction import Correction
from gateway.calibration import (
    CalibrationError,
    CalibrationSet,
    Constants,
    Passport,
    find_set,
    make_set,
    raw_of,
    read_set,
    reported,
    sets_in,
    slots,
    write_set,
)
from gateway.calibration_check import CalibrationCheck
from gateway.export import Selection, export
from gateway.forward.payload import decode, encode
from gateway.health import status
from gateway.models import Batch, Record
from gateway.store import Reader
from gateway.store.rows import pack_values, unpack_values
from tests.fakes.node import DEFAULT_ITEMS, FakeNode
from tests.fakes.rig import START_S, Rig, rig
from wire import messages
from wire.profiles import Profile
from wire.quality import CALIBRATION, NOT_EVALUATED, SUSPECT
from wire.settings import by_name

W0 = START_S // 60
NONE, EXPIRED = NOT_EVALUATED | CALIBRATION << 4, SUSPECT | CALIBRATION << 4
DAY_S = 86_400
# The rig's clock begins in September 2026.
LAST_DAY = "2026-09-30"
LAST_DAY_END_S = 1_790_812_800  # 2026-10-01T00:00Z
PM = {"cal_item.0": 32, "cal_slope.0": 8731, "cal_offset.0": 12, "cal_kappa.0": 380}


def passport(*items: str, expires: str = LAST_DAY, author: str = "A. Kowalski") -> Passport:
    return Passport(author=author, date="2026-08-01", expires=expires, reference="EDM 180, 18A19042", items=items)


PM_SET = make_set(PM, (passport("pm2_5"),))


@asynccontextmanager
async def calibrated(folder: Path, *required: str) -> AsyncIterator[Rig]:
    async with rig(folder / "spool.db") as r:
        r.uplinks.check = CalibrationCheck(folder / "calibrations", required)
        yield r


def node_of(found: CalibrationSet, address: int = 7) -> FakeNode:
    return FakeNode(address, profile=Profile(DEFAULT_ITEMS, 60, int(found.number, 16)))


def stored(folder: Path) -> list[Record]:
    with Reader(folder / "spool.db") as reader:
        return list(reader.records())


async def send(r: Rig, node: FakeNode, end_s: int, values: tuple[int | None, ...] = (100, 200, 2100, 500)) -> None:
    r.clock.at_ms = end_s * 1000
    node.seal(end_s // 60 - 1, values)
    node.send_outbox()
    await r.settle()


def play(scenario: Any) -> None:
    asyncio.run(scenario())


def test_it_holds_until_the_end_of_its_last_day_and_not_a_window_longer(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_set(tmp_path / "calibrations", PM_SET)
        node = node_of(PM_SET)
        async with calibrated(tmp_path) as r:
            await r.add(node)
            node.hello()
            await send(r, node, LAST_DAY_END_S - 60)
            await send(r, node, LAST_DAY_END_S)
            await send(r, node, LAST_DAY_END_S + 60)
            await send(r, node, LAST_DAY_END_S + 120, (None, 200, 2100, 500))
        assert [record.flags for record in stored(tmp_path)] == [
            None, None, (EXPIRED, 1, 1, 1), None,
        ]  # fmt: skip
        assert all(record.values[1:] == (200, 2100, 500) for record in stored(tmp_path)), "values are never changed"

    play(scenario)


def test_a_number_that_nobody_here_knows_is_said_until_its_set_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = node_of(PM_SET)
        async with calibrated(tmp_path) as r:
            await r.add(node)
            node.hello()
            await send(r, node, START_S + 60)
            await send(r, node, START_S + 120)
            write_set(tmp_path / "calibrations", PM_SET)
            await send(r, node, START_S + 180)
        flags = [record.flags for record in stored(tmp_path)]
        assert flags == [(NONE,) * 4, (NONE,) * 4, None]

    play(scenario)


def test_a_damaged_set_is_as_good_as_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = write_set(tmp_path / "calibrations", PM_SET)
        path.write_text(path.read_text().replace("8731", "8732"))
        node = node_of(PM_SET)
        async with calibrated(tmp_path) as r:
            await r.add(node)
            node.hello()
            await send(r, node, START_S + 60)
        assert stored(tmp_path)[0].flags == (NONE,) * 4

    play(scenario)


def test_what_the_city_wants_calibrated_and_what_constants_without_a_passport_mean(tmp_path: Path) -> None:
    bare = make_set({"cal_item.0": (11 << 4), "cal_offset.0": -20, "min_count": 5}, ())

    async def scenario() -> None:
        write_set(tmp_path / "calibrations", PM_SET)
        write_set(tmp_path / "calibrations", bare)
        plain, partly, unsigned = FakeNode(7), node_of(PM_SET, 8), node_of(bare, 9)
        async with calibrated(tmp_path, "pm2_5", "pm10") as r:
            for node in (plain, partly, unsigned):
                await r.add(node)
                node.hello()
                await send(r, node, START_S + 60)
        flags = {record.node: record.flags for record in stored(tmp_path)}
        assert flags == {7: (NONE, NONE, 1, 1), 8: (1, NONE, 1, 1), 9: (NONE, NONE, NONE, 1)}

    play(scenario)


def test_without_any_calibration_nothing_is_said_and_a_worse_flag_keeps_its_reason(tmp_path: Path) -> None:
    check = CalibrationCheck(tmp_path / "calibrations")
    plain = Profile(DEFAULT_ITEMS, 60)
    data = pack_values((1, 2, 3, 4), None)
    assert check.judged(plain, 1 << 50, data) is data
    unknown = Profile(DEFAULT_ITEMS, 60, 5)
    before = (SUSPECT | 7 << 4, NOT_EVALUATED | 5 << 4, 4, 9)
    data = check.judged(unknown, START_S * 1000, pack_values((1, 2, 3, None), before))
    assert unpack_values(data) == ((1, 2, 3, None), before)
    counts = Profile(((30, 0), (33, 0), (22, 1)), 60, 5)
    data = check.judged(counts, START_S * 1000, pack_values((9, 400, 700), None))
    assert unpack_values(data) == ((9, 400, 700), (1, NONE, NONE)), "a count has nothing to calibrate"


def test_microphones_are_covered_by_instance(tmp_path: Path) -> None:
    found = make_set({"mic_offset_cdb.1": 42}, (passport("microphone:1"),))
    write_set(tmp_path / "calibrations", found)
    check = CalibrationCheck(tmp_path / "calibrations", ["laeq"])
    ends = check.ends(Profile(((21, 0), (21, 1), (29, 1)), 60, int(found.number, 16)))
    assert ends.items == (0, LAST_DAY_END_S * 1000, LAST_DAY_END_S * 1000)


def test_two_nodes_share_a_passport_and_every_value_names_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_set(tmp_path / "calibrations", PM_SET)
        nodes = node_of(PM_SET, 7), node_of(PM_SET, 8), FakeNode(9)
        async with calibrated(tmp_path) as r:
            for node in nodes:
                await r.add(node)
                node.hello()
                await send(r, node, START_S + 60)

    play(scenario)
    records = stored(tmp_path)
    (message,) = encode("gw-1", Batch(1, tuple(records), False), 65536)
    named = {record.node: record.calibration for record in decode(message).records}
    assert named == {7: PM_SET.number, 8: PM_SET.number, 9: ""}
    assert "calibration" not in json.loads(message)["records"][2]
    with Reader(tmp_path / "spool.db") as reader:
        export(reader, "csv", tmp_path / "out.csv", "gw-1", Selection(), lambda records: None)
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["calibration"] for row in rows if row["station_id"] != "gw-1-9"} == {PM_SET.number}
    assert {row["calibration"] for row in rows if row["station_id"] == "gw-1-9"} == {""}
    assert len(sets_in(tmp_path / "calibrations")) == 1


def test_a_node_is_given_a_set_and_says_whether_it_took_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with calibrated(tmp_path) as r:
            await r.add(node)
            node.hello()
            await r.settle()
            session = r.uplinks.session_of(7)
            assert session is not None
            number = int(PM_SET.number, 16)
            chosen = ((by_name("cal_item").id, 0, 32),)
            asked = asyncio.create_task(session.calibrate(number, chosen, 5))
            for _ in range(1000):
                await asyncio.sleep(0)
            got = next(link for link in node.downlinks if link.type == messages.CALIBRATE)
            assert messages.decode(messages.CALIBRATE, got.payload) == messages.Calibrate(number, chosen)
            answer_as(node, messages.SettingValue(by_name("health_s").id, 0, 5, 1))
            await r.settle()
            assert not asked.done(), "that was no answer to it"
            answer_as(node, messages.SettingValue(by_name("passport").id, 0, 77, 0))
            answer = await asked
            assert (answer.ok, answer.value) == (0, 77)

    play(scenario)


def answer_as(node: FakeNode, message: Any) -> None:
    code, payload = messages.encode(message)
    node.send(code, bytes(payload))


# -- sets ------------------------------------------------------------------------------------------------------------


def test_a_set_comes_back_as_it_was_and_its_number_is_that_of_the_board(tmp_path: Path) -> None:
    path = write_set(tmp_path / "calibrations", PM_SET)
    assert path.name == f"{PM_SET.number}.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert read_set(path) == PM_SET == find_set(tmp_path / "calibrations", int(PM_SET.number, 16))
    assert slots(PM_SET.settings) == {"pm2_5": Constants(8731, 12, 380)}
    assert os.listdir(tmp_path / "calibrations") == [path.name]
    same_constants = make_set(PM, (passport("pm2_5", author="B. Yilmaz"),))
    assert same_constants.number != PM_SET.number, "who vouches for it is part of it"
    assert make_set({"window_s.0": 5, "cal_slope.0": 10000}, ()).settings == {}
    assert make_set({}, ()).number == "00000000"
    assert find_set(tmp_path, 0) == make_set({}, ()) and find_set(tmp_path, 1) is None


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"author": "A. Kowalski"', '"author": "B. Kowalski"', "was changed"),
        ('"expires": "2026-09-30"', '"expires": "2027-09-30"', "was changed"),
        ("8731", "9000", "was changed"),
        ('"version": 1', '"version": 2', "version 2"),
        ('"expires": "2026-09-30"', '"expires": "2026-02-30"', "no calibration set"),
        ('"passports"', '"people"', "no calibration set"),
        ('"cal_kappa.0"', '"window_s.0"', "was changed"),
        ("{", "[", "no calibration set"),
    ],
)
def test_what_was_changed_is_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    path = write_set(tmp_path, PM_SET)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CalibrationError, match=what):
        read_set(path)


def test_a_set_under_another_number_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, PM_SET).rename(tmp_path / "00000005.json")
    with pytest.raises(CalibrationError, match="holds the set"):
        find_set(tmp_path, 5)


def test_the_gateways_arithmetic_is_that_of_the_board() -> None:
    chance = random.Random(9)
    for _ in range(2000):
        constants = Constants(chance.randrange(100, 20000), chance.randrange(-500, 500), chance.choice([0, 380, 2000]))
        raw, humidity = chance.randrange(-100, 65536), chance.choice([None, 0, 949, 950, 951, chance.randrange(1001)])
        values: list[int | None] = [raw, humidity]
        given = dict(zip(("cal_slope", "cal_offset", "cal_kappa"), constants, strict=True)) | {"cal_item": 32}

        def get(name: str, slot: int, given: dict[str, int] = given) -> int:
            return given[name] if slot == 0 else int(by_name(name).default)

        Correction(((2, 0), (12, 0)), get).apply(values, [1, 1 if humidity is not None else 9])
        assert values[0] == reported(raw, constants, humidity)
        gain = constants.slope / 10000
        if constants.kappa and humidity is not None:
            h = min(humidity, 950) / 1000
            gain /= 1 + constants.kappa / 1000 / 1.65 * h / (1 - h)
        assert abs(raw_of(values[0], constants, humidity) - raw) <= 0.5 / gain * 1.000001 + 1e-9


def test_status_says_what_a_person_should_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = node_of(PM_SET)
        async with calibrated(tmp_path, "pm10") as r:

            def told(at_s: int) -> list[str]:
                r.clock.at_ms = at_s * 1000
                node.hello()
                report = status(r.clock, r.store, r.uplinks, (), (), {})  # type: ignore[arg-type]
                assert report["nodes"][0]["calibration"] == PM_SET.number
                return [problem for problem in report["problems"] if "calibration" in problem]

            await r.add(node)
            assert told(START_S) == [
                f"node 7: calibration {PM_SET.number} is not known here; steiger calibrate add brings its set"
            ]
            write_set(tmp_path / "calibrations", PM_SET)
            assert told(START_S) == ["node 7: calibration of pm10 is missing"]
            r.uplinks.check = CalibrationCheck(tmp_path / "calibrations")
            for session in r.uplinks.sessions.values():
                session.decoder._check = r.uplinks.check
            assert told(LAST_DAY_END_S - 20 * DAY_S) == []
            assert told(LAST_DAY_END_S - DAY_S) == ["node 7: calibration of pm2_5 expires soon"]
            assert told(LAST_DAY_END_S + 60) == ["node 7: calibration of pm2_5 expired"]

    play(scenario)
