"""Every worked byte of the fact sheets, good and bad, on both interpreters."""

import json
from pathlib import Path

import pytest

from tests.firmware.drivers.run_driver_vectors import FOLDER, run, words
from tests.firmware.drivers.write_driver_vectors import TABLES, text
from tests.firmware.interpreter import ROOT, run_script, run_with_31_bits

NAMES = [f"{name}.json" for name in TABLES]


@pytest.mark.parametrize("name", NAMES)
def test_vectors_here(name: str) -> None:
    ran, failures = run(json.loads((ROOT / FOLDER / name).read_text())["cases"])
    assert ran
    assert not failures, "\n" + "\n".join(map(words, failures))


def test_vectors_under_micropython() -> None:
    *failures, last = run_script("tests/firmware/drivers/run_driver_vectors.py", *NAMES)
    assert json.loads(last)["failed"] == 0, "\n".join(failures)
    assert json.loads(last)["ran"] > 90


@pytest.mark.parametrize("name", list(TABLES))
def test_files_are_what_their_writer_writes(name: str) -> None:
    assert (ROOT / FOLDER / f"{name}.json").read_text() == text(name)


def test_a_wrong_vector_is_seen() -> None:
    (failure,) = run([{"do": "crc8", "with": ["BEEF"], "gives": 0}])[1]
    assert words(failure) == "crc8(BEEF): expected 0, got 146"


LARGE = ("aggregate.json", "quality.json")
RADIOS = ("sx1262.json", "sx1276.json")
ELSEWHERE = ("i2s_words.json",)  # machine code is not on that port
SMALL = [name for name in NAMES if name not in (*LARGE, *RADIOS, *ELSEWHERE)]


@pytest.mark.parametrize(
    "names",
    [
        SMALL[: len(SMALL) // 2],
        SMALL[len(SMALL) // 2 :],
        ["aggregate.json@0/2"],
        ["aggregate.json@1/2"],
        ["quality.json"],
        list(RADIOS),
    ],
    ids=["small, first", "small, rest", "aggregate, even", "aggregate, odd", "quality", "radios"],
)
def test_vectors_with_31_bit_integers(names: list[str], tmp_path: Path) -> None:
    """In parts: without its collector the interpreter's heap does not hold them all."""
    *failures, last = run_with_31_bits(tmp_path, "tests.firmware.drivers.run_driver_vectors", *names)
    assert last.startswith("{"), last
    assert json.loads(last)["failed"] == 0, "\n".join(failures)
    assert json.loads(last)["ran"] > 15
