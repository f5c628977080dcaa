"""Who holds a port: the configuration of a running gateway, from its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.commands.gateway_run import DEFAULT_CONFIG
from tools.listen import config_of_command


@pytest.mark.parametrize(
    ("command", "config"),
    [
        ("python steiger gateway run --config g.toml", "g.toml"),
        ("python steiger gateway run --config=g.toml", "g.toml"),
        ("steiger gateway run --log-level debug --config=/x/g.toml", "/x/g.toml"),
        ("steiger gateway run", str(DEFAULT_CONFIG)),
        ("steiger gateway run --log-level debug", str(DEFAULT_CONFIG)),
        ("steiger gateway run --config", ""),
        ("steiger gateway status --config g.toml", None),
        ("picocom /dev/ttyUSB0 --config g.toml", None),
    ],
)
def test_the_configuration_of_the_holder(command: str, config: str | None) -> None:
    found = config_of_command([*command.split(" "), ""])  # as /proc has it: each word ends with a zero byte
    assert found == (None if config is None else Path(config))
