"""Every target for a fixed number of seeded inputs; `make soak` goes on with other seeds (tests/soak/test_soak_fuzz.py)."""

from __future__ import annotations

import pytest

from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import TARGETS, Target

pytestmark = pytest.mark.fuzz
SEED = 1
BY_NAME = {target.name: target for target in TARGETS}


def fuzz(target: Target, seed: int, runs: int) -> None:
    """`runs` inputs; AssertionError names the first that broke a promise, to be put into FOUND."""
    mutator = Mutator(seed, target.corpus, target.words)
    for run in range(runs):
        data = mutator.make()
        try:
            target.run(data)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise AssertionError(f"{target.name}, seed {seed}, run {run}: {what}\n{data!r}") from error


@pytest.mark.parametrize("name", BY_NAME)
def test_genuine_inputs_are_taken(name: str) -> None:
    target = BY_NAME[name]
    for data in target.corpus:
        target.run(data)


@pytest.mark.parametrize("name", BY_NAME)
def test_no_input_breaks_a_promise(name: str) -> None:
    fuzz(BY_NAME[name], SEED, BY_NAME[name].runs)


def test_the_fuzzer_is_repeatable_and_finds_what_is_hidden() -> None:
    corpus = [b'{"name": 1}', b"abcdef"]
    one, two = Mutator(3, corpus, [b"xyz"]), Mutator(3, corpus, [b"xyz"])
    assert [one.make() for _ in range(200)] == [two.make() for _ in range(200)]

    def hidden(data: bytes) -> None:
        if data[:1] == b"{" and b"xyz" in data[1:]:
            raise KeyError("found")

    with pytest.raises(AssertionError, match=r"planted, seed 7, run .*KeyError"):
        fuzz(Target("planted", corpus, hidden, 0, [b"xyz"]), 7, 2000)
