"""The board air-v2 as its simulated twin with the real firmware, end to end: values arrive, and each fault of a chip shows
as the right cause, coverage or flag in a ledger that closes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from boards import load_board
from gateway.store.rows import unpack_values
from tests.fakes.street import Street
from tests.sim.running import START_S
from tests.sim.test_conductor import whole
from tools.sim.devices import HELD_ERRNOS
from tools.sim.interpreter import find

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("air-v2"),  # one board for all
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]
ROOT = Path(__file__).resolve().parents[2]
WINDOW_S = 20
RECORD = 0
ITEMS = load_board("air-v2").profiles[0].items
PM = {"pm1", "pm2_5", "pm4", "pm10"}
CLIMATE = {"temperature", "humidity"}
GAS = {"voc_index", "nox_index"}
OF_SCD41 = {item for item in ITEMS if item.endswith(":1")}
OF_SEN66 = set(ITEMS) - OF_SCD41
MISSING, SUSPECT, GOOD, STATUS = 9, 3, 1, 6


class Told(NamedTuple):
    """A window's record at the gateway."""

    end_s: int
    coverage: int
    values: dict[str, float]
    flags: dict[str, int]


class Twin:
    """air-v2 with a gateway; its chips are soon seen as stuck, and warm up long enough to be seen."""

    def __init__(self, folder: Path) -> None:
        text = (ROOT / "boards" / "air-v2" / "board.toml").read_text()
        for old, new in (("warmup_ms = 2000", "warmup_ms = 25000\nstuck_reads = 10"),
                         ("warmup_ms = 5000", "warmup_ms = 20000\nstuck_reads = 3")):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        place = folder / "air-v2"
        place.mkdir()
        (place / "board.toml").write_text(text)
        # the clock stands at a window's edge when the power comes
        self.street = Street(
            folder / "run", place / "board.toml", start_s=START_S // WINDOW_S * WINDOW_S, window_s=WINDOW_S
        )
        self.gateway = self.street.start_gateway()
        self.conductor = self.street.conductor
        self.chips = {chip.address: chip for chip in self.street.node.board.i2c[0]._chips.values()}
        self.first: tuple[list[Told], dict[str, int]] = ([], {})  # three windows from power-on
        self.sen66, self.scd41 = self.chips[0x6B], self.chips[0x62]

    def causes(self) -> dict[str, int]:
        return dict(self.gateway.ask("ledger", lines=False)["summary"]["causes"])

    def records(self) -> list[Told]:
        found = []
        for row in self.street.rows(RECORD):
            raw, flags = unpack_values(row["data"])
            scale = {"co2": 1, "temperature": 100}
            values = {
                item: value / scale.get(item.split(":")[0], 10)
                for item, value in zip(ITEMS, raw, strict=True)
                if value is not None
            }
            usual = [MISSING if value is None else GOOD for value in raw]
            marks = dict(zip(ITEMS, flags or usual, strict=True))
            found.append(Told(row["end_ms"] // 1000, row["coverage"], values, marks))
        return found

    def windows(self, count: int) -> tuple[list[Told], dict[str, int]]:
        """Let so many windows pass, from edge to edge: their records, and causes of those that have none."""
        begin_s = int(self.conductor.now_s)
        before = self.causes()
        edge_s = (begin_s // WINDOW_S + count) * WINDOW_S
        self.conductor.run(edge_s + 4 - self.conductor.now_s)  # told a little later
        now = self.causes()
        new = {cause: n - before.get(cause, 0) for cause, n in now.items() if n != before.get(cause, 0)}
        return [told for told in self.records() if told.end_s > begin_s], new

    def fault(self, name: str, *chips: Any) -> None:
        for chip in chips:
            chip.switch(name)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One board for all scenes, after its warm-up: each scene leaves it sound."""
    made = Twin(tmp_path_factory.mktemp("air"))
    with made.street:
        made.street.power_on()
        made.first = made.windows(3)
        yield made


@pytest.fixture
def twin(board: Twin) -> Any:
    """Sound before and after; whatever happened in between, the ledger closes and the board never had to restart."""
    yield board
    for chip in (board.sen66, board.scd41):
        chip.faults.clear()
    for _ in range(8):
        records, _ = board.windows(1)
        if records and records[-1].coverage == 100 and set(records[-1].flags.values()) == {GOOD}:
            break
    else:
        raise AssertionError(f"does not recover: {board.records()[-1]}\n{bytes(board.street.node.said[-1500:])!r}")
    assert board.street.trouble() == []
    assert board.gateway.ask("drain", timeout_s=60)
    report = board.gateway.ask("ledger", lines=False)
    whole(report)
    summary = report["summary"]
    assert summary["scheduled"] == summary["delivered"] + sum(summary["causes"].values()) + summary["pending"]


def test_warm_up_is_not_sampled_and_then_lowers_the_coverage(board: Twin) -> None:
    records, causes = board.first
    assert causes == {"not_sampled": 1}
    assert [told.coverage for told in records] == [pytest.approx(75, abs=5), 100]
    assert set(records[0].values) == set(ITEMS)


def test_values_arrive(twin: Twin) -> None:
    records, causes = twin.windows(3)
    assert causes == {}
    assert len(records) == 3
    for told in records:
        assert told.coverage == 100
        assert set(told.flags.values()) == {GOOD}
        at_s = told.end_s - WINDOW_S / 2
        air, gases = twin.conductor.world.air(at_s), twin.conductor.world.gases(at_s)
        truth = {
            "pm2_5": air.pm2_5_ugm3, "pm10": air.pm10_ugm3, "temperature": air.temperature_degc,
            "temperature:1": air.temperature_degc, "humidity": air.humidity_pct, "humidity:1": air.humidity_pct,
            "co2": gases.co2_ppm, "co2:1": gases.co2_ppm,
        }  # fmt: skip
        for item, exact in truth.items():
            assert told.values[item] == pytest.approx(exact, rel=0.03, abs=0.2), item
        assert 20 < told.values["voc_index"] < 500
        assert 1 <= told.values["nox_index"] < 100
    said = bytes(twin.street.node.said)
    assert b"started, SEN66 " in said
    assert b"started, SCD41 " in said


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("bad_crc", "refused_by_sensor_check"), ("stuck", "refused_by_sensor_check"), ("silence", "not_sampled")],
)
def test_a_fault_of_both_chips_leaves_windows_without_values(twin: Twin, fault: str, cause: str) -> None:
    twin.fault(fault, twin.sen66, twin.scd41)
    twin.windows(2)  # the first begins sound, or is not yet seen as stuck
    records, causes = twin.windows(2)
    assert (records, causes) == ([], {cause: 2})


def test_a_fault_of_one_chip_leaves_the_other_alone(twin: Twin) -> None:
    twin.fault("silence", twin.scd41)
    twin.windows(1)
    records, causes = twin.windows(2)
    assert causes == {}
    for told in records:
        assert set(told.values) == OF_SEN66
        assert told.coverage == 100
        assert {item for item, flag in told.flags.items() if flag & 15 == MISSING} == OF_SCD41


@pytest.mark.parametrize(
    ("fault", "missing", "suspect"),
    [
        ("dead_laser", PM, set()),
        ("dead_fan", PM, CLIMATE | GAS | {"co2"}),
        ("dead_co2", {"co2"}, set()),
        ("slow_fan", set(), PM),
    ],
)
def test_the_status_word_takes_or_marks_what_it_speaks_of(
    twin: Twin, fault: str, missing: set[str], suspect: set[str]
) -> None:
    twin.fault(fault, twin.sen66)
    twin.windows(1)
    (told,), causes = twin.windows(1)
    assert causes == {}
    assert {item for item, flag in told.flags.items() if flag == MISSING | STATUS << 4} == missing
    assert {item for item, flag in told.flags.items() if flag == SUSPECT | STATUS << 4} == suspect
    assert set(told.values) == set(ITEMS) - missing
    assert told.coverage == 100


@pytest.mark.parametrize("errno_told", HELD_ERRNOS)
def test_a_held_bus_is_freed_without_a_reset(twin: Twin, errno_told: int) -> None:
    """As the older and the newer driver of the ESP32 port tell the transfer that met it; the next one finds SDA low."""
    bus = twin.street.node.board.i2c[0]
    bus.held_errno = errno_told
    recoveries = bus.recoveries
    twin.fault("bus_held", twin.sen66)
    (told,), causes = twin.windows(1)
    assert bus.recoveries > recoveries
    assert not twin.sen66.faults
    assert causes == {}
    assert set(told.values) == set(ITEMS)
    assert told.coverage >= 70, "a reading or two of each chip at most"


def test_a_held_bus_that_only_looks_empty_is_freed_when_its_chips_start_anew(twin: Twin) -> None:
    """Errno 19 at every transfer, as if SDA could not be read: costs a warm-up, and no reset."""
    bus = twin.street.node.board.i2c[0]
    bus.held_errno, bus.sda_is_read = 19, False
    twin.fault("bus_held", twin.sen66)
    (told,), causes = twin.windows(1)
    assert not twin.sen66.faults and causes == {}
    assert 0 < told.coverage < 70
    twin.windows(1)
    (told,), causes = twin.windows(1)
    assert set(told.values) == set(ITEMS) and told.coverage == 100
