"""A deployment as real firmware: every node and bridge its own MicroPython on simulated chips in one ether, the real gateway
behind the bridge's serial line, all in virtual time. What the model (city.py) says is held against this.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boards import load_board
from gateway.keys import Life, add_life
from tools.sim import image
from tools.sim.conductor import Conductor, GatewayProcess, VirtualNode
from tools.sim.radio.city import LATE_S, delay_s
from tools.sim.radio.deployment import UPLINKS_HZ, Deployment
from tools.sim.radio.ether import Transmission
from tools.sim.radio.law import Verdict, judge
from tools.sim.radio.propagation import Model, chance

START_S = 1_795_500_000
NODE_BOARD, BRIDGE_BOARD = "heltec-v3", "heltec-v3-bridge"
SAMPLE_MS = 60_000  # sensors are looked at once a minute: what is tried here is the radio
CRYSTAL_PPB = 100_000  # node clocks are off by at most so much
RECORD, HEALTH = 0, 2  # kinds of rows in the store
CONFIG = """[gateway]
id = "gw-town"
number = 1
data_dir = "{folder}/data"
keys = "{folder}/keys.json"
[lora]
sf = {sf}
adr = {adr}
"""


def key_of(address: int) -> bytes:
    """A node's key; of simulated boards, no secret."""
    return hashlib.sha256(b"simulated town %d" % address).digest()[:16]


@dataclass
class Outcome:
    """What became of the records that count. Figures as in city.Result."""

    scheduled: int = 0
    delays_s: list[float] = field(default_factory=list)
    frames: int = 0
    heard: int = 0
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def delivered(self) -> float:
        return len(self.delays_s) / max(1, self.scheduled)

    @property
    def per(self) -> float:
        return 1 - self.heard / max(1, self.frames)

    @property
    def in_time(self) -> float:
        return sum(delay <= LATE_S for delay in self.delays_s) / max(1, self.scheduled)

    def delay_s(self, share: float) -> float:
        return delay_s(self.delays_s, share)


class FirmwareTown:
    """`deployment`: bridges and nodes; concentrators are no boards (see tests). `model`: instead of the deployment's air.

    Nodes get their power within two minutes of the start. `until_s`: the end of their grids (unix time), 0: none.
    """

    def __init__(
        self,
        folder: Path,
        deployment: Deployment,
        *,
        start_s: int = START_S,
        until_s: int = 0,
        model: Model | None = None,
        **values: int,
    ) -> None:
        self.folder = folder
        self.deployment = deployment
        self.start_s = start_s
        self.until_s = until_s
        self.gateway: GatewayProcess | None = None
        self.nodes: dict[str, VirtualNode] = {}
        self.addresses: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        seed = deployment.seed
        self.conductor = Conductor(folder, seed=seed, start_s=start_s, air=model or deployment.model())
        self._ports: dict[str, str] = {}
        self._config = folder / "gateway.toml"
        self._values = values
        bridges = [gateway for gateway in deployment.gateway if gateway.kind == "bridge"]
        text = CONFIG.format(folder=folder, sf=bridges[0].sf, adr=str(deployment.link.adr).lower())
        for gateway in bridges:
            port = f"/dev/{gateway.name}"
            self._ports[port] = gateway.name
            text += (
                f'[[bridge]]\nname = "{gateway.name}"\nport = "{port}"\n'
                f"channel = {UPLINKS_HZ[gateway.channel] / 1e6}\npower_dbm = {gateway.power_dbm}\n"
            )
            self._flash_of(BRIDGE_BOARD, gateway.name)
            self.conductor.add_node(
                gateway.name, BRIDGE_BOARD, place=deployment.position(gateway), drift=self._drift(gateway.name)
            )
        self._config.write_text(text)
        self._bridges = bridges
        for address, (node, place) in enumerate(deployment.places(), 1):
            self._add(address, node.name, place, node.power_dbm)

    def _drift(self, name: str) -> int:
        return chance(self.deployment.seed, "drift", name).randint(-CRYSTAL_PPB, CRYSTAL_PPB)

    def _flash_of(self, board: str, name: str) -> Path:
        """A flash with the board's firmware, copied from the first one of its kind."""
        path = self.folder / f"{name}.flash"
        if not path.exists():
            first = self.folder / f"{board}.image"
            if not first.exists():
                image.make(first, load_board(board), self.conductor.interpreter)
            shutil.copyfile(first, path)
        return path

    def _add(self, address: int, name: str, place: Any, power_dbm: int) -> None:
        link = self.deployment.link
        self._flash_of(NODE_BOARD, name)
        values = {
            "window_s.0": link.interval_s, "sample_ms": SAMPLE_MS, "lora_sf": self._bridges[0].sf, "lora_power_dbm": power_dbm,
            "lora_channels": 1 << self._bridges[0].channel, "lora_spread_s": link.spread_s, "lora_ask_every": link.ask_every,
            "grid_until_s": self.until_s, **self._values,
        }  # fmt: skip
        life = Life(
            address=address,
            key=key_of(address),
            board=NODE_BOARD,
            name=name,
            provisioned_s=self.start_s,
            until_s=self.until_s,
        )
        add_life(self.folder / "keys.json", life)
        node = self.conductor.add_node(
            name, NODE_BOARD, prepare=image.provision_code(life, values), place=place, drift=self._drift(name),
            power=False,
        )  # fmt: skip
        self.nodes[name] = node
        self.addresses[name] = address
        after_s = chance(self.deployment.seed, "boot", name).uniform(0, 120)
        self.conductor.at(after_s, lambda: None if node.board.powered else node.board.power_on())

    # --- Time ------------------------------------------------------------------------------------------------------------

    def start_gateway(self) -> GatewayProcess:
        self.gateway = self.conductor.start_gateway(self._config, self._ports)
        return self.gateway

    def run(
        self, duration_s: float, told: Callable[[float], None] = lambda done_s: None, step_s: float = 600.0
    ) -> None:
        """Let time pass; `told` hears how much of it has."""
        done_s = 0.0
        while done_s < duration_s:
            part_s = min(step_s, duration_s - done_s)
            self.conductor.run(part_s)
            done_s += part_s
            told(done_s)

    def cut(self, name: str, off_s: float) -> None:
        """The power of a node goes, and comes back."""
        board = self.nodes[name].board
        if board.powered:
            board.power_off()
            self.conductor.at(off_s, board.power_on)

    # --- Judgement -------------------------------------------------------------------------------------------------------

    def outcome(self, until_s: int) -> Outcome:
        """Of records and health records whose windows ended before `until_s` (unix time), by what the gateway stored; of
        frames by what was on the air."""
        outcome = Outcome(verdicts=judge(self.conductor.ether.log))
        for name in self.nodes:
            rows = self.rows(self.addresses[name])
            outcome.scheduled += sum(1 for _, end_s, _ in rows if end_s < until_s)
            outcome.delays_s += [delay for _, end_s, delay in rows if end_s < until_s]
        outcome.frames, outcome.heard = self.frames()
        return outcome

    def frames(self) -> tuple[int, int]:
        """Of the nodes so far: sent, and received whole by an ear."""
        ears = set(self._ports.values())
        arrived = self.conductor.ether.arrived.items()
        heard = sum(count for (who, ear), count in arrived if who in self.nodes and ear in ears)
        return sum(line.who in self.nodes for line in self.log), heard

    @property
    def store(self) -> Path:
        """The gateway's, which is read without the gateway's code."""
        return self.folder / "data" / "spool.db"

    @property
    def log(self) -> list[Transmission]:
        return self.conductor.ether.log

    def rows(self, address: int) -> list[tuple[int, float, float]]:
        """(seq, end in unix s, delay in s) of each record and health record that the gateway holds."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as db:
            return [
                (seq, end_ms / 1000, (received_ms - end_ms) / 1000)
                for seq, end_ms, received_ms in db.execute(
                    "SELECT seq, end_ms, received_ms FROM records JOIN lives ON lives.id = records.life "
                    "WHERE node = ? AND kind IN (?, ?)",
                    (address, RECORD, HEALTH),
                )
            ]

    def violations(self) -> dict[str, list[str]]:
        """What the radios' chips bore and their data sheets forbid, by board."""
        found = {}
        for name, node in self.conductor.nodes.items():
            said = [text for entry in node.board.chips for text in getattr(entry.chip, "violations", ())]
            if said:
                found[name] = sorted(set(said))
        return found

    def close(self) -> None:
        self.conductor.close()

    def __enter__(self) -> FirmwareTown:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
