"""The configuration of ears: every problem with file and line, and a gateway that runs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load

HEAD = '[gateway]\nid = "gw-1"\nnumber = 1\ndata_dir = "data"\n'


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + text)
    try:
        load(path)
    except ConfigError as error:
        return [problem.removeprefix(f"{path}:") for problem in error.problems]
    return []


def test_a_bridge_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + '[[bridge]]\nport = "/dev/ttyACM0"\nchannel = 868.1\n')
    config = load(path)
    (bridge,) = config.bridge
    assert (bridge.name, bridge.freq_hz, bridge.power_dbm) == ("bridge", 868_100_000, 14)
    assert (config.lora.sf, config.lora.rendezvous_sf, config.lora.adr, config.lora.answer) == (9, 10, True, True)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[[bridge]]\nport = "/dev/a"\n', 5, "bridge[0]: 'channel' is missing"),
        ('[[bridge]]\nport = "/dev/a"\nchannel = 868.2\n', 7, "no channel of EU868; known are 867.1, 867.3"),
        ('[[bridge]]\nport = ""\nchannel = 868.1\n', 6, "bridge[0].port: expected the path of a port"),
        ('[[bridge]]\nport = "/dev/a"\nchannel = 868.1\npower_dbm = 27\n', 8, "bridge[0].power_dbm"),
        ('[[bridge]]\nport = "/dev/a"\nchannel = 868.1\nname = "on the roof"\n', 8, "only 1 to 64 letters"),
        ('[[serial]]\nport = "/dev/a"\n[[bridge]]\nport = "/dev/a"\nchannel = 868.1\n', 8, "the same as serial[0]"),
        (
            '[[bridge]]\nport = "/dev/a"\nchannel = 868.1\n[[bridge]]\nport = "/dev/b"\nchannel = 868.3\n', 8,
            "bridge[0] has the name 'bridge', too",
        ),
        ("[lora]\nsf = 6\n", 6, "lora.sf"),
        ('[lora]\nregion = "US915"\n', 6, "lora.region"),
        ("[lora]\nnode_power_dbm = 2\nnode_power_min_dbm = 5\n", 7, "is above node_power_dbm (2)"),
        ("[lora]\nmargin = 3\n", 6, "unknown key; known are region"),
        ("[bridge]\nport = 1\n", 5, "expected an array of tables: write [[bridge]]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{line}: "), found
    assert says in found[0]
