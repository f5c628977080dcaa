"""One set of vectors, tried both ways, on every interpreter."""

import json
from pathlib import Path

import pytest

from tests.wire import interpreters
from tests.wire.run_vectors import plain, run
from tests.wire.write_vectors import main as write_vectors
from wire import frame, messages
from wire.channels import CHANNELS
from wire.quality import REASON_NAMES
from wire.settings import SETTINGS

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.name for path in VECTORS.glob("wire_*.json") if path.name != "wire_tables.json")


@pytest.mark.parametrize("name", NAMES)
def test_vectors_here(name: str) -> None:
    ran, failures = run(json.loads((VECTORS / name).read_text())["cases"], host=True)
    assert ran
    assert failures == []


def test_vectors_under_micropython(tmp_path: Path) -> None:
    files = {name: (VECTORS / name).read_text() for name in NAMES}
    assert interpreters.summary(interpreters.on_unix_port(tmp_path, "run_vectors.py", files))["ran"] > 300


@pytest.mark.slow
def test_vectors_with_31_bit_integers(tmp_path: Path) -> None:
    files = {name: (VECTORS / name).read_text() for name in NAMES}
    assert interpreters.summary(interpreters.on_wasm(tmp_path, "run_vectors.py", files))["ran"] > 300


def test_a_wrong_vector_is_seen_by_every_interpreter(tmp_path: Path) -> None:
    case = {"do": "fcs16", "with": ["31"], "gives": 0}
    files = {"wrong.json": json.dumps({"cases": [case]})}
    for place, runner in enumerate((interpreters.on_unix_port, interpreters.on_wasm)):
        lines = runner(tmp_path / str(place), "run_vectors.py", files)
        assert json.loads(lines[-1]) == {"ran": 1, "failed": 1}


def test_vectors_are_what_their_writer_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.wire.write_vectors.VECTORS", tmp_path)
    write_vectors()
    for path in sorted(tmp_path.iterdir()):
        assert path.read_text() == (VECTORS / path.name).read_text(), path.name


def test_tables_only_grow() -> None:
    frozen = json.loads((VECTORS / "wire_tables.json").read_text())
    assert [plain(row) for row in CHANNELS][: len(frozen["channels"])] == frozen["channels"]
    assert [plain(row) for row in SETTINGS][: len(frozen["settings"])] == frozen["settings"]
    assert [row[0] for row in CHANNELS] == list(range(1, len(CHANNELS) + 1))
    assert [row[0] for row in SETTINGS] == list(range(1, len(SETTINGS) + 1))
    types = [[row[0], row[1].__name__] for row in messages.TABLE]
    assert [row for row in frozen["types"] if row not in types] == []
    assert list(REASON_NAMES)[: len(frozen["reasons"])] == frozen["reasons"]
    assert len(REASON_NAMES) <= 16
    assert frozen["version"] == frame.VERSION
