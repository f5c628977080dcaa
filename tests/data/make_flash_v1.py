"""How tests/data/flash_v1.img.gz and its companions were made, once: a board with undelivered records of several boots.

Not run by any test: the stored files are the test input, also when firmware and formats have moved on. In virtual time: a
minute with a gateway, then 45 minutes without one, a power cut, 3 minutes without a clock, the end of the supply.
flash_v1.json has the board, its chip's id, its key, and what lay sealed in flash; flash_v1.db.gz is that gateway's file.
Run from the clone's root: PYTHONPATH=. .venv/bin/python tests/data/make_flash_v1.py
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from gateway import keys as key_file
from tests.fakes.stage import read_flash
from tools.sim.conductor import Conductor

HERE = Path(__file__).parent
START_S = 1_772_350_200  # 1 March 2026: before every day on which the test runs
WINDOW_S = 10
BOARD = "air-v1"
KEY = bytes.fromhex("7374656967657220666c617368207631")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="st-") as name:
        folder = Path(name)
        config = folder / "gateway.toml"
        config.write_text(
            f'[gateway]\nid = "old"\nnumber = 1\ndata_dir = "{folder / "data"}"\nkeys = "{folder / "keys.json"}"\n'
            '[[serial]]\nport = "/dev/n1"\n'
        )
        life = key_file.Life(address=1, key=KEY, board=BOARD, name="old", provisioned_s=START_S)
        key_file.add_life(folder / "keys.json", life)
        settings = json.dumps(
            {"address": 1, "key": KEY.hex(), "provisioned_s": START_S, "values": {"window_s.0": WINDOW_S}}
        )
        with Conductor(folder, seed=1, start_s=START_S) as conductor:
            node = conductor.add_node(
                "n1", BOARD, prepare=f"from firmware import settings\nsettings.provision({settings!r})\n"
            )
            gateway = conductor.start_gateway(config, {"/dev/n1": "n1"})
            conductor.run(60)
            gateway.stop()
            conductor.run(45 * 60)
            node.board.power_off()
            conductor.run(95)
            node.board.power_on()
            conductor.run(3 * 60)
            node.board.power_off()
            uid = node.board.uid
        (contents,) = read_flash(folder / "n1.flash").values()
        with closing(sqlite3.connect(folder / "data" / "spool.db")) as db:
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("VACUUM")
        known = {"board": BOARD, "uid": uid.hex(), "address": 1, "key": KEY.hex(), "provisioned_s": START_S}
        known |= {"window_s": WINDOW_S, "life": f"{life.life:08x}", "sealed": sorted(contents.sealed)}
        (HERE / "flash_v1.json").write_text(json.dumps(known) + "\n")
        for source, target in (("n1.flash", "flash_v1.img.gz"), ("data/spool.db", "flash_v1.db.gz")):
            (HERE / target).write_bytes(gzip.compress((folder / source).read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
