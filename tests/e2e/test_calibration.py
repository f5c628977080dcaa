"""A simulated board is calibrated: through its gateway, across a power cut, and over the cable while the gateway lends it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.calibration import Passport, make_set, write_set
from gateway.store.rows import unpack_values
from tests.fakes.street import Street
from tests.waiting import wait_until
from tools import cli
from tools.demo.stage import GatewayProcess, NodeProcess
from tools.passports import changes
from tools.sim.interpreter import find
from wire.profiles import decode_profile
from wire.quality import CALIBRATION, SUSPECT

pytestmark = [
    pytest.mark.e2e, pytest.mark.timeout(180),
    pytest.mark.skipif(not find().is_micropython, reason="no MicroPython on this machine"),
]  # fmt: skip

SHIFT_CDEG = -1000
PLACE = 6  # of the temperature in air-v1's profile
WHO = ["--author", "A. Kowalski", "--reference", "PT100 4711"]


def rows(path: Path) -> list[tuple[int, int, tuple[int, ...] | None]]:
    """(calibration, temperature, flags) of each record, as another process reads them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        profiles = dict(conn.execute("SELECT id, descriptor FROM profiles"))
        found = conn.execute("SELECT profile, data FROM records WHERE kind = 0 ORDER BY seq").fetchall()
    out = []
    for profile, data in found:
        values, flags = unpack_values(data)
        temperature = values[PLACE]
        if temperature is not None:
            out.append((decode_profile(profiles[profile]).calibration, temperature, flags))
    return out


def test_a_board_takes_it_over_and_a_cut_in_between_mixes_nothing(tmp_path: Path) -> None:
    """The whole path in virtual time. What was measured before tells what each value must be."""
    passport = Passport(
        author="A", date="2020-01-01", expires="2021-01-01", reference="R", items=("temperature", "pm2_5")
    )
    constants = {"cal_item.0": 11 << 4, "cal_offset.0": SHIFT_CDEG, "cal_item.1": 2 << 4, "cal_kappa.1": 400}
    new = make_set(constants, (passport,))
    with Street(tmp_path, "air-v1", heap="360k", window_s=5) as street:
        gateway = street.start_gateway()
        street.power_on()
        street.conductor.run(14)
        write_set(tmp_path / "data" / "calibrations", new)
        wrong = f"{int(new.number, 16) ^ 1:08x}"
        settings = changes({}, new)
        assert not gateway.ask("calibrate", node=1, number=wrong, settings=settings)["ok"]
        assert gateway.ask("calibrate", node=1, number=new.number, settings=settings)["ok"]
        street.node.board.power_off()
        street.conductor.run(1)
        street.node.board.power_on()
        street.conductor.run(30)
        modules = street.heap().modules
    made = rows(tmp_path / "data" / "spool.db")
    before = [temperature for number, temperature, _ in made if number == 0]
    after = [temperature for number, temperature, _ in made if number == int(new.number, 16)]
    assert len(before) >= 2 and len(after) >= 3 and len(before) + len(after) == len(made)
    assert max(abs(value - before[0]) for value in before) < 50
    assert max(abs(value - before[0] - SHIFT_CDEG) for value in after) < 50
    expired = SUSPECT | CALIBRATION << 4
    assert all(flags is None or flags[PLACE] == 1 for number, _, flags in made if number == 0)
    assert all(flags and flags[PLACE] == flags[1] == expired for number, _, flags in made if number)
    assert "firmware.correction" in modules
    assert not {"firmware.tasks.calibrate", "firmware.tasks.plan", "firmware.tasks.turn", "wire.settings_list"} & set(
        modules
    ), "needed once, and gone"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path)


Steiger = Callable[..., dict[str, Any]]


@pytest.fixture
def steiger(capsys: pytest.CaptureFixture[str]) -> Steiger:
    """The command, in this process: what it says as JSON."""

    def run(*args: str | Path, code: int = 0) -> dict[str, Any]:
        got = cli.run([*map(str, args), "--json"])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert got == code, out + err
        found: dict[str, Any] = json.loads(out or err)
        return found

    return run


@pytest.mark.mpremote
def test_a_technician_calibrates_through_the_gateway_and_over_the_cable(folder: Path, steiger: Steiger) -> None:
    board = NodeProcess(folder, 1, "air-v1", seed=5)
    gateway = GatewayProcess(folder, [board.port], None)
    board.start()
    try:
        board.wait_ready()
        gateway.start()
        wait_until(lambda: (gateway.data_dir / "control.sock").exists(), 60, "the gateway runs")
        wait_until(lambda: gateway.call("status")["links"][0]["state"] == "open", 60, "and holds the port")
        config = ["--config", gateway.config]
        steiger(
            "node", "provision", board.port, "--board", "air-v1", "--address", "7", "--set", "window_s.0=2", *config
        )
        wait_until(lambda: len(rows(gateway.store)) >= 2, 60, "records without a calibration")
        assert steiger("node", "calibrate", "7", "--show", *config)["calibration"] == "00000000"

        given = ["--channel", "temperature", "--offset", "-10", *WHO, "--expires", "2099-01-01", *config]
        first = steiger("node", "calibrate", "7", *given)
        assert (first["changed"], first["before"], first["items"]) == (True, "00000000", ["temperature"])
        number = int(first["calibration"], 16)
        wait_until(lambda: rows(gateway.store)[-1][0] == number, 60, "records under the calibration")
        assert steiger("node", "calibrate", "7", *given)["changed"] is False, "the same again"

        # Over the cable it finds what is there, and adds to it.
        second = steiger(
            "node", "calibrate", board.port, "--channel", "pm2_5", "--slope", "0.5", "--kappa", "0.4", *WHO,
            "--expires", "2099-01-01",
        )  # fmt: skip
        assert (second["before"], second["node"]) == (first["calibration"], 7)
        wait_until(lambda: rows(gateway.store)[-1][0] == int(second["calibration"], 16), 60, "and under the second one")
        shown = steiger("node", "calibrate", "7", "--show", *config)
        assert [row["item"] for row in shown["channels"]] == ["temperature", "pm2_5"]
        assert shown["channels"][1]["passport"]["reference"] == "PT100 4711"
        made = rows(gateway.store)
        plain = [temperature for calibration, temperature, _ in made if not calibration]
        for calibration, temperature, flags in made:
            assert abs(temperature - plain[0] - (SHIFT_CDEG if calibration else 0)) < 60
            assert flags is None or flags[PLACE] == 1

        # Somebody changes one constant without a passport: nobody knows that number, and it is said.
        gateway.call("set-setting", node=7, name="cal_offset", instance=0, value=-2000)
        wait_until(lambda: rows(gateway.store)[-1][1] < plain[0] - 1800, 60, "records under a number that nobody knows")
        flags = rows(gateway.store)[-1][2]
        assert flags is not None and flags[PLACE] == 2 | CALIBRATION << 4
        unknown = steiger("node", "calibrate", "7", "--show", *config)
        assert unknown["known"] is False and unknown["channels"][0]["offset"] == -20
        refused = steiger("node", "calibrate", "7", *given, code=1)
        assert "not known here" in str(refused)
        anew = steiger("node", "calibrate", "7", *given, "--replace")
        assert anew["calibration"] not in (first["calibration"], second["calibration"]) or anew["changed"]
        assert [row["item"] for row in steiger("node", "calibrate", "7", "--show", *config)["channels"]] == [
            "temperature"
        ]
    finally:
        gateway.stop()
        board.stop()
