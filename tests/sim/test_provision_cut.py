"""The power goes in the middle of provisioning another kind of board: what boots is the old node or the new one, the next
try succeeds, and what was sealed before arrives. Real firmware, real littlefs, real gateway, in virtual time."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from boards import load_board
from gateway.keys import Life, add_life, load_keys
from tests.fakes.image_link import ImageLink
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tests.sim.test_conductor import whole
from tools import provision
from tools.errors import NoConnection
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.interpreter import find
from tools.sim.site import unique_id

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]
OLD, NEW = "air-v1", "traffic-v1"
SAMPLES = 6  # cuts, evenly over the switch; STEIGER_CUT_STEP sets the distance instead (1: every operation)
SEALED = 4  # windows that nobody has taken yet
ADDRESS = 1


class Street:
    """A board, a key file and a technician; a gateway when it is time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, before: Path | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.keys = folder / "keys.json"
        if before is not None:
            for name in ("n1.flash", "n1.flash.uid", "keys.json"):
                if (before / name).exists():
                    shutil.copy(before / name, folder / name)
        self.conductor = Conductor(folder, seed=1, start_s=START_S + (60 if before is not None else 0))
        prepare = None if before is not None else PROVISION.format(settings_of(ADDRESS))
        self.node: VirtualNode = self.conductor.add_node(
            "n1", OLD if before is None else NEW, prepare=prepare, power=False
        )
        self.link = ImageLink(self.node.flash, unique_id(folder / "n1.flash", 1))
        monkeypatch.setattr(provision, "BoardLink", self.link)

    def provision(self) -> provision.Provisioned:
        return provision.provision(
            self.link.port, load_board(NEW), ADDRESS, keys=self.keys, now_s=lambda: int(self.conductor.now_s),
            values={"window_s.0": 5},
        )  # fmt: skip

    def runs(self) -> tuple[int, str] | None:
        """Switch on for a while: (life, board) of the node that runs, None if it asks for provisioning."""
        self.node.said.clear()
        self.node.board.power_on()
        self.conductor.run(8)
        self.node.board.power_off()
        text = self.node.said.decode(errors="replace")
        found = re.findall(r"address 1, life ([0-9a-f]{8}), boot \d+, ([a-z0-9-]+)", text)
        if not found:
            assert "needs provisioning" in text, text[-500:]
            return None
        assert len(set(found)) == 1, found
        return int(found[0][0], 16), found[0][1]

    def delivered(self, life: int) -> int:
        with closing(sqlite3.connect(f"file:{self.folder}/data/spool.db?mode=ro", uri=True)) as conn:
            sql = "SELECT count(*) FROM records r JOIN lives l ON l.id = r.life WHERE l.life = ? AND r.kind = 0"
            return int(conn.execute(sql, (life,)).fetchone()[0])

    def drain(self) -> None:
        """A gateway listens until everything is delivered; its ledger closes."""
        config = self.folder / "gateway.toml"
        config.write_text(
            f'[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "{self.folder / "data"}"\nkeys = "{self.keys}"\n'
            '[[serial]]\nport = "/dev/n1"\n'
        )
        gateway = self.conductor.start_gateway(config, {"/dev/n1": "n1"})
        self.node.board.power_on()
        self.conductor.run(30)
        assert gateway.ask("drain", timeout_s=60)
        self.conductor.run(5)
        report = gateway.ask("ledger")
        whole(report)
        assert report["summary"]["pending"] == 0, report["summary"]
        gateway.stop()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board that has measured without a gateway, and to which the new program was copied; the switch is to come."""
    folder = tmp_path_factory.mktemp("prepared") / "street"
    with pytest.MonkeyPatch.context() as patch:
        street = Street(folder, patch)
        add_life(street.keys, Life(address=ADDRESS, key=key_of(ADDRESS), board=OLD, name="", provisioned_s=START_S))
        with street.conductor:
            street.node.board.power_on()
            street.conductor.run(5 * SEALED + 4)
            street.node.board.power_off()
            street.link.lose_before = lambda code: "provisioning.announce(" in code
            with pytest.raises(NoConnection):
                street.provision()
    return folder


def test_cut_while_provisioning_nothing_is_mixed_and_nothing_lost(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = load_keys(prepared / "keys.json")

    def operations(street: Street) -> int:
        return street.node.flash.counts["progs"] + street.node.flash.counts["erases"]

    street = Street(tmp_path / "whole", monkeypatch, prepared)
    with street.conductor:
        done = street.provision()
        total = operations(street)
        assert street.runs() == (done.life, NEW)
        street.drain()
        assert street.delivered(old.life) >= SEALED
    step = int(os.environ.get("STEIGER_CUT_STEP", "0")) or max(1, total // SAMPLES)
    outcomes = []
    for cut_at in range(1 + step // 2, total + 1, step):
        street = Street(tmp_path / str(cut_at), monkeypatch, prepared)
        with street.conductor:
            street.node.flash.cut_at = cut_at
            street.node.flash.torn = cut_at * 37 % 256
            with pytest.raises(NoConnection):
                street.provision()
            street.link.plug_in()
            runs = street.runs()
            lives = {life.life: life for life in load_keys(street.keys)}
            assert runs is None or runs[0] in lives, "nobody has the key under which it seals"
            assert runs is None or runs[1] == (OLD if runs[0] == old.life else NEW), f"a mixture: {runs}"
            outcomes.append("none" if runs is None else runs[1])
            done = street.provision()
            assert street.runs() == (done.life, NEW)
            street.drain()
            assert street.delivered(old.life) >= SEALED
        shutil.rmtree(street.folder)
    print(f"{len(outcomes)} cuts of {total} operations: {outcomes}")
    assert len(outcomes) >= SAMPLES
    assert OLD in outcomes and NEW in outcomes
