"""A run in virtual time: boards, lines and gateway under the conductor, faults by timers, everything from the seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tools.faults.driver import Driver
from tools.faults.flash import StallingFlash
from tools.faults.orders import MESSAGES
from tools.faults.plan import Plan
from tools.faults.verdict import Verdict
from tools.sim.conductor import Conductor, GatewayProcess, VirtualNode
from tools.sim.line import Line, Noise

START_S = 1_795_500_000
LOOK_EVERY_S = 60.0  # into the flash of every board
SETTLE_S = 240.0  # what is not delivered then will not be
STEPS_S = (3.0, 60.0)  # how often the sum is looked at: from, to
MQTT_LINES = "backoff_max_s = 4\nconfirm_timeout_s = 10\n"


class LabGateway(GatewayProcess):
    """`on_end` is called when it killed itself, as ordered, or fell."""

    ROOT_MODULE = "tools.faults.virtual_root"

    def __init__(
        self, conductor: Conductor, config: Path, ports: dict[str, str], on_end: Callable[[str], None]
    ) -> None:
        self._on_end = on_end
        super().__init__(conductor, config, ports)

    def _hear(self) -> None:
        super()._hear()
        if self.ended is not None:
            self._on_end(self.ended)

    def post(self, verb: str) -> None:
        """Ask, and do not wait for the answer."""
        self._asked += 1
        self._questions.append({"do": verb, "id": self._asked})
        self._soon()


class VirtualRun(Driver):
    """`go()` returns the verdict. `folder` is empty, and of this run alone."""

    time = "virtual"

    def __init__(self, plan: Plan, folder: Path, scenario: str) -> None:
        super().__init__(plan, folder, scenario, START_S)
        self._conductor = Conductor(folder, seed=plan.seed, start_s=START_S)
        self._noise: dict[int, list[Noise]] = {}
        self.notes.append("the full disk is an error of ours")

    def go(self) -> Verdict:
        with self._conductor as conductor:
            for number in range(len(self.plan.boards)):
                node = conductor.add_node(
                    f"n{number + 1}", self.board(number), prepare=self.settings(number), power=False,
                    flash_kind=StallingFlash,
                )  # fmt: skip
                assert isinstance(node.flash, StallingFlash)
                self.power(number, True)
            self.write_config(1883, MQTT_LINES)
            self.start_gateway()
            for item in self.plan.faults:
                self.later(item.at_s, lambda item=item: self.begin(item))  # type: ignore[misc]
            for look in range(1, int(self.plan.span_s / LOOK_EVERY_S)):
                self.later(look * LOOK_EVERY_S, self.look_into_all)
            conductor.run(self.plan.span_s + 2.0)
            self.look_into_all()
            return self._settle()

    def _settle(self) -> Verdict:
        self.calm()
        for number, node in enumerate(self._conductor.nodes.values()):
            if node.board.console.repl:
                # It starts again by itself after a quarter of an hour; somebody presses its button to save the time.
                self.notes.append(f"n{number + 1}: noise made a 0x03, the board was at its prompt")
                node.board.reset()
        end_s = self.now_s + SETTLE_S
        step_s = STEPS_S[0]
        while True:
            self._conductor.run(step_s)
            gateway = self._conductor.gateway
            assert gateway is not None
            ledger = gateway.ask("ledger", lines=False)["summary"]
            figures, problems = self.judge(ledger)
            if not problems or self.now_s > end_s:
                break
            step_s = min(step_s * 1.5, STEPS_S[1])
        gateway.stop()
        messages = self.folder / MESSAGES
        digest = hashlib.sha256(self._conductor.digest().encode())
        digest.update(messages.read_bytes() if messages.exists() else b"")
        digest.update(json.dumps([figures, dict(sorted(self.fired.items()))], sort_keys=True).encode())
        return self.verdict(figures, problems, digest.hexdigest())

    # --- Operations ------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self._conductor.time.now_us / 1e6

    def later(self, after_s: float, call: Callable[[], object]) -> None:
        def carry_out() -> None:
            call()

        self._conductor.at(max(after_s, 0.0), carry_out)

    def gateway_runs(self) -> bool:
        return self._conductor.gateway is not None

    def start_gateway(self) -> None:
        if self._conductor.gateway is None:
            ports = {port: f"n{number + 1}" for number, port in enumerate(self.ports())}
            self._conductor.gateway = LabGateway(self._conductor, self.config, ports, self._gateway_fell)

    def _gateway_fell(self, why: str) -> None:
        """Reaped a moment later: this comes from within its step."""
        self.later(0.0, self.kill_gateway)
        ordered = why.startswith("killed ") or why == "stopped"
        self.gateway_ended("" if ordered else why.strip().splitlines()[-1])

    def kill_gateway(self) -> None:
        if self._conductor.gateway is not None:
            self._conductor.gateway.kill()

    def announce(self) -> None:
        gateway = self._conductor.gateway
        if isinstance(gateway, LabGateway) and gateway.ended is None:
            gateway.post("orders")

    def _node_of(self, node: int) -> VirtualNode:
        return self._conductor.nodes[f"n{node + 1}"]

    def _lines(self, node: int) -> tuple[Line, Line]:
        found = self._node_of(node)
        return found.down, found.board.console.out

    def powered(self, node: int) -> bool:
        return self._node_of(node).board.powered

    def power_on(self, node: int) -> None:
        self._node_of(node).flash.cut_at = None
        self._node_of(node).board.power_on()

    def power_off(self, node: int) -> None:
        self._node_of(node).flash.cut_at = None
        self._node_of(node).board.power_off()

    def cut_in_flash(self, node: int, operations: int, torn: int) -> None:
        flash = self._node_of(node).flash
        flash.cut_at = flash.counts["progs"] + flash.counts["erases"] + operations
        flash.torn = torn

    def power_cuts(self, node: int) -> int:
        return self._node_of(node).board.stats["power cuts"]

    def uptime_ms(self, node: int) -> int:
        return self._node_of(node).board.uptime_us() // 1000

    def cable(self, node: int, connected: bool) -> None:
        self._node_of(node).cable(connected)

    def noise(self, node: int, seed: int, kind: str, rate: float) -> None:
        made = [Noise(seed * 2 + number, burst=rate, kinds=(kind,)) for number in range(2)] if rate else []
        self._noise[node] = made
        for line, noise in zip(self._lines(node), made or (None, None), strict=True):
            line.noise = noise

    def keep_back(self, node: int, pause_s: float) -> None:
        for line in self._lines(node):
            line.keep_back(self._conductor.time.now_us + round(pause_s * 1e6))

    def line_counts(self, node: int) -> dict[str, int]:
        lines = self._lines(node)
        return {
            "hit": sum(noise.hit for noise in self._noise.get(node, ())),
            "late": sum(line.late for line in lines),
            "lost": sum(line.lost for line in lines),
        }

    def stall(self, node: int, erase_us: int) -> int:
        flash = self._node_of(node).flash
        assert isinstance(flash, StallingFlash)
        flash.stall_us = erase_us
        return flash.stalled

    def flash(self, node: int) -> Path:
        return self.folder / f"n{node + 1}.flash"
