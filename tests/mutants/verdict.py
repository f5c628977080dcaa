"""A pytest plugin that writes, as JSON, how each test ended: by an assertion, by another error, or well.

It stands in for nothing and changes nothing; `make mutants` loads it with -p. A mutant that a test notices only because
something does not import, or falls over elsewhere, was not noticed by an assertion.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

CAUGHT = "caught"  # what the run says of a mutant whose tests all did so
PASSED, ASSERTED, ERROR = "passed", "asserted", "error"
# A wait that ran into its deadline is an observation as well: what was promised did not come.
SEEN = (AssertionError, TimeoutError, pytest.fail.Exception)
OUT = "STEIGER_VERDICT"
MODULE = "STEIGER_MUTATED"
_worst: dict[str, str] = {}
_texts: dict[str, str] = {}


def _seen(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_seen(part) for part in error.exceptions)
    return isinstance(error, SEEN)


def pytest_configure(config: pytest.Config) -> None:
    """A mutated module must import: else the mutant itself is broken."""
    name = os.environ.get(MODULE)
    if name:
        importlib.import_module(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    test = item.nodeid.partition("[")[0]
    if isinstance(getattr(item, "cls", None), type):  # a state machine: its class is the name
        test = "::".join(test.split("::")[:2])
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        seen = call.when == "call" and _seen(call.excinfo.value)
        _worst[test] = ASSERTED if seen or _worst.get(test) == ASSERTED else ERROR
        _texts.setdefault(test, f"{call.excinfo.typename}: {str(call.excinfo.value)[:200]}")
    elif call.when == "call" and call.excinfo is None:
        _worst.setdefault(test, PASSED)
    return report


def pytest_sessionfinish() -> None:
    out = os.environ.get(OUT)
    if out:
        Path(out).write_text(json.dumps({"worst": _worst, "texts": _texts}))
