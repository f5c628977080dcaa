"""CSV and Parquet of the archive: the same observations, whole files only, clear errors."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.export import COLUMNS, ExportError, Selection, Summary, export
from gateway.forward.payload import iso
from gateway.models import Channel, Record
from gateway.store import Reader
from tests.fakes.archive import LIFE, WINDOW_MS, fill
from tests.fakes.spool import PROFILE, START_MS, record

EVERYTHING = Selection()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "spool.db"

    async def both() -> None:
        await fill(path, 300, node=7, extras=True)
        await fill(path, 100, node=8)

    asyncio.run(both())
    return path


def quiet(records: int) -> None:
    pass


def to_csv(archive: Path, target: Path, selection: Selection = EVERYTHING) -> tuple[Summary, list[dict[str, str]]]:
    with Reader(archive) as reader:
        summary = export(reader, "csv", target, "gw-1", selection, quiet)
    with target.open(encoding="utf-8", newline="") as stream:
        return summary, list(csv.DictReader(stream))


def test_csv_is_rfc_4180_with_a_header_and_one_observation_a_row(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    summary, rows = to_csv(archive, target)
    assert summary == Summary(400, 1200)
    text = target.read_bytes()
    assert text.startswith(",".join(COLUMNS).encode() + b"\r\n")
    assert text.count(b"\r\n") == text.count(b"\n") == 1201
    assert rows[0] == {
        "station_id": "gw-1-7",
        "sensor": "air-v1",
        "quantity": "pm2_5",
        "time_from": iso(START_MS),
        "time_to": iso(START_MS + WINDOW_MS),
        "value": "10.0",
        "unit": "ug/m3",
        "quality": "good",
        "reason": "",
        "coverage_pct": "100",
        "time_bound_s": "2.003",
        "time_source": "clock",
        "received": iso(START_MS + WINDOW_MS + 250),
        "record_id": f"7-{LIFE:08x}-0",
        "calibration": "",
        "heard": "",
    }
    by_key = {(row["record_id"], row["quantity"]): row for row in rows}
    assert len(by_key) == 1200
    missing = by_key[f"7-{LIFE:08x}-9", "temperature"]
    assert (missing["value"], missing["quality"]) == ("", "missing")
    assert by_key[f"7-{LIFE:08x}-10", "temperature"]["value"] == "-2.40"
    suspect = by_key[f"7-{LIFE:08x}-6", "vehicles"]
    assert (suspect["quality"], suspect["reason"]) == ("suspect", "blocked")
    assert by_key[f"7-{LIFE:08x}-3", "pm2_5"]["heard"] == "roof -97 6.5; mast -120 -3.25"
    assert "nan" not in text.decode().lower()


def test_selection_by_time_and_node(archive: Path, tmp_path: Path) -> None:
    until = START_MS + 10 * WINDOW_MS
    _, rows = to_csv(archive, tmp_path / "a.csv", Selection(START_MS + 5 * WINDOW_MS, until, {8}))
    assert {row["station_id"] for row in rows} == {"gw-1-8"}
    assert sorted({row["time_to"] for row in rows}) == [iso(START_MS + n * WINDOW_MS) for n in range(5, 10)]
    summary, rows = to_csv(archive, tmp_path / "b.csv", Selection(nodes={99}))
    assert (summary, rows) == (Summary(0, 0), [])


def test_parquet_holds_the_same(archive: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    _, rows = to_csv(archive, tmp_path / "out.csv")
    target = tmp_path / "out.parquet"
    with Reader(archive) as reader:
        assert export(reader, "parquet", target, "gw-1", Selection(), quiet) == Summary(400, 1200)
    table = pq.read_table(target)
    assert tuple(table.column_names) == COLUMNS
    assert str(table.schema.field("time_from").type) == "timestamp[ms, tz=UTC]"
    assert str(table.schema.field("value").type) == "double"
    for row, found in zip(rows, table.to_pylist(), strict=True):
        assert found["record_id"] == row["record_id"]
        assert found["quantity"] == row["quantity"]
        assert found["value"] is None if row["value"] == "" else found["value"] == float(row["value"])
        assert iso(round(found["time_from"].timestamp() * 1000)) == row["time_from"]
        assert (found["quality"], found["reason"], found["heard"]) == (row["quality"], row["reason"], row["heard"])


def test_parquet_of_nothing_is_a_valid_file(archive: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    with Reader(archive) as reader:
        export(reader, "parquet", tmp_path / "none.parquet", "gw-1", Selection(nodes={99}), quiet)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_parquet_without_pyarrow_says_what_to_install(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = tmp_path / "out.parquet"
    with Reader(archive) as reader, pytest.raises(ExportError, match=r"pip install 'steiger\[parquet\]'"):
        export(reader, "parquet", target, "gw-1", Selection(), quiet)
    assert list(tmp_path.iterdir()) == []


class Breaking:
    """A reader that fails in the middle."""

    def records(self, **_: Any) -> Iterator[Record]:
        yield record(1)
        raise RuntimeError("the disk")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(RuntimeError):
        export(Breaking(), "csv", target, "gw-1", Selection(), quiet)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(ExportError, match="cannot be written"):
        export(Breaking(), "csv", tmp_path / "none" / "out.csv", "gw-1", Selection(), quiet)


class Fixed:
    def __init__(self, *records: Record) -> None:
        self._records = records

    def records(self, **_: Any) -> Iterator[Record]:
        yield from self._records


def test_a_second_sensor_and_awkward_names(tmp_path: Path) -> None:
    import msgspec

    profile = msgspec.structs.replace(
        PROFILE, channels=(Channel("pm2_5_1", "ug/m3", 1), Channel("nc0_5", "1/cm3", 1), *PROFILE.channels[2:])
    )
    life = msgspec.structs.replace(record(1).life_info, board='a "b", c')
    item = msgspec.structs.replace(record(1), profile=profile, life_info=life)
    target = tmp_path / "out.csv"
    export(Fixed(item), "csv", target, "gw-1", Selection(), quiet)
    rows = list(csv.DictReader(io.StringIO(target.read_text(), newline="")))
    assert [(row["sensor"], row["quantity"]) for row in rows[:2]] == [('a "b", c:1', "pm2_5"), ('a "b", c', "nc0_5")]


def test_progress_is_told_while_it_streams(tmp_path: Path) -> None:
    told: list[int] = []
    export(Fixed(*[record(n) for n in range(4100)]), "csv", tmp_path / "o.csv", "g", Selection(), told.append)
    assert told == [2000, 4000]


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="csv and parquet") as caught:
        export(Fixed(), "xlsx", tmp_path / "o", "g", Selection(), quiet)
    assert caught.value.exit_code == 2
