"""A run in real time: boards on ports of their own, the gateway as a process, mosquitto, and a foreign consumer."""

from __future__ import annotations

import heapq
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards import load_board
from gateway import control as gateway_control
from gateway.errors import GatewayError
from tools.demo import account
from tools.errors import NoConnection, SteigerError
from tools.faults import street_node, street_root, verdict
from tools.faults.broker import Broker, listen, serve
from tools.faults.disk import SmallDisk
from tools.faults.driver import Driver
from tools.faults.forked import Forked
from tools.faults.orders import MESSAGES
from tools.faults.plan import SPAN_S, Plan
from tools.sim import control, image
from tools.sim.flash import Flash
from tools.sim.interpreter import find
from tools.sim.site import unique_id

LOOK_EVERY_S = 25.0
SETTLE_S = 120.0  # what is not delivered then will not be
STEP_S = 1.0
READY_S = 60.0
POLL_S = 0.02
REFUSED = b"database or disk is full"  # in the gateway's log
MQTT_LINES = "backoff_max_s = 1\nbatch_wait_s = 0.2\nconfirm_timeout_s = 6\n"


class StreetRun(Driver):
    """`go()` returns the verdict. `folder` is empty, and of this run alone."""

    time = "real"

    def __init__(self, plan: Plan, folder: Path, scenario: str) -> None:
        super().__init__(plan, folder, scenario, int(time.time()))
        self.pace = plan.span_s / SPAN_S
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._timers_made = 0
        self._nodes: dict[int, Forked] = {}
        self._cuts = [0] * len(plan.boards)
        self._unplugged: dict[int, int] = {}  # node -> what it had sent before
        self._gateway: Forked | None = None
        self._proxy: Forked | None = None
        self._consumer: subprocess.Popen[bytes] | None = None
        self._mosquitto = Broker(folder / "broker")
        self._disk = SmallDisk(folder / "data")
        self.notes.append("the full disk is a tmpfs" if self._disk.real else "the full disk is an error of ours")

    # --- The run ---------------------------------------------------------------------------------------------------------

    def go(self) -> verdict.Verdict:
        try:
            self._mosquitto.start()
            self._subscribe()
            listener = listen()
            port = int(listener.getsockname()[1])
            self._proxy = Forked(
                lambda: serve(self.folder, listener, self._mosquitto.port), self.folder / "proxy.log"
            )  # fmt: skip
            listener.close()
            for number in range(len(self.plan.boards)):
                image.make(self._image(number), load_board(self.board(number)), find())
            self.set_out(int(time.time()))
            for number in range(len(self.plan.boards)):
                self._prepare(number)
                self.power(number, True)
            self.write_config(port, MQTT_LINES)
            self.start_gateway()
            for item in self.plan.faults:
                self.later(item.at_s - self.now_s, lambda item=item: self.begin(item))  # type: ignore[misc]
            for look in range(1, int(self.plan.span_s / LOOK_EVERY_S)):
                self.later(look * LOOK_EVERY_S - self.now_s, self.look_into_all)
            self._run_until(self.plan.span_s + 1.5)
            self.look_into_all()
            return self._settle()
        finally:
            self._close()

    def _prepare(self, node: int) -> None:
        path = self._image(node)
        opened = Flash(path)
        try:
            image.execute(opened, self.settings(node), uid=unique_id(path, self.plan.seed))
        finally:
            opened.close()

    def _run_until(self, end_s: float) -> None:
        while self.now_s < end_s:
            while self._timers and self._timers[0][0] <= self.now_s:
                heapq.heappop(self._timers)[2]()
            self._watch()
            time.sleep(POLL_S)

    def _watch(self) -> None:
        """Who died by himself: the gateway as ordered, a board in the middle of a flash operation."""
        if self._gateway is not None and self._gateway.ended is not None:
            ordered = self._gateway.ended == -signal.SIGKILL
            self._gateway = None
            self.gateway_ended("" if ordered else _tail(self.folder / "gateway.log"))
        for number, node in self._nodes.items():
            if node.ended is not None and number in self._on_since:
                raise SteigerError(
                    f"board {number + 1} fell, code {node.ended}: {_tail(self.folder / f'n{number + 1}.log')}"
                )

    def _settle(self) -> verdict.Verdict:
        self.calm()
        for number in self._nodes:
            if self._ask(number, "stats").get("repl"):
                # It starts again by itself after a quarter of an hour; somebody presses its button to save the time.
                self.notes.append(f"n{number + 1}: noise made a 0x03, the board was at its prompt")
                self._ask(number, "reset")
        end_s = self.now_s + SETTLE_S
        while True:
            self._run_until(self.now_s + STEP_S)
            figures, problems = self.judge(self._ledger())
            if not problems:
                problems = self._consumer_misses()
            if not problems or self.now_s > end_s:
                return self.verdict(figures, problems, "")

    def _ledger(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = gateway_control.call(self.folder / "data", "ledger", sink="mqtt", lines=False)
            return dict(answer["summary"])
        except (GatewayError, OSError):
            return {"nodes": {}}

    def _consumer_misses(self) -> list[str]:
        """What the broker confirmed, its subscriber has; unless the broker was made to forget that it has one."""
        if self.fired["broker_forgets"] or any("forget" in note for note in self.notes):
            return []
        counter = account.MessageCounter()
        for line in (self.folder / "consumer.jsonl").read_bytes().splitlines():
            counter.add(line)
        missing = verdict.confirmed(self.folder / MESSAGES)[1] - counter.seen().ids
        return [f"the consumer misses {len(missing)} records: {sorted(missing)[:3]}"] if missing else []

    def _close(self) -> None:
        for node in self._nodes.values():
            node.kill()
        if self._gateway is not None:
            self._gateway.stop()
        if self._consumer is not None:
            self._consumer.kill()
            self._consumer.wait(10)
        if self._proxy is not None:
            self._proxy.kill()
        self._mosquitto.stop(signal.SIGKILL)

    # --- Operations ------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return time.time() - self.start_s

    def later(self, after_s: float, call: Callable[[], object]) -> None:
        self._timers_made += 1
        heapq.heappush(self._timers, (self.now_s + after_s, self._timers_made, call))

    def ports(self) -> list[str]:
        return [str(self.folder / f"n{number + 1}.tty") for number in range(len(self.plan.boards))]

    def gateway_runs(self) -> bool:
        return self._gateway is not None and self._gateway.ended is None

    def start_gateway(self) -> None:
        if not self.gateway_runs():
            self._gateway = Forked(lambda: street_root.main(self.config), self.folder / "gateway.log")

    def kill_gateway(self) -> None:
        if self._gateway is not None:
            self._gateway.kill()
            self._gateway = None

    def announce(self) -> None:
        """It looks by itself."""

    def _ask(self, node: int, verb: str, **fields: Any) -> dict[str, Any]:
        """Waits for a board that is just starting."""
        end_s = time.monotonic() + READY_S
        while not Path(f"{self.ports()[node]}.ctl").exists():
            if time.monotonic() > end_s or not self.powered(node):
                raise SteigerError(f"board {node + 1} does not start: {_tail(self.folder / f'n{node + 1}.log')}")
            time.sleep(POLL_S)
        return control.call(f"{self.ports()[node]}.ctl", verb, **fields)

    def _counts(self, node: int) -> dict[str, Any]:
        """Zeros from a board that is off."""
        try:
            return self._ask(node, "stats") | self._ask(node, "late")
        except (NoConnection, SteigerError):
            return {"late": 0, "bytes_out": 0, "noise": [], "uptime_ms": 0}

    def powered(self, node: int) -> bool:
        return node in self._nodes and self._nodes[node].ended is None

    def power_on(self, node: int) -> None:
        flash, port, board, seed = self._image(node), Path(self.ports()[node]), self.board(node), self.plan.seed
        self._nodes[node] = Forked(lambda: street_node.main(board, flash, port, seed), self.folder / f"n{node + 1}.log")

    def power_off(self, node: int) -> None:
        self._nodes[node].kill()
        port = Path(self.ports()[node])
        for path in (port, Path(f"{port}.ctl")):
            path.unlink(missing_ok=True)  # the port is gone with its board
        self._cuts[node] += 1

    def cut_in_flash(self, node: int, operations: int, torn: int) -> None:
        """The board's own power goes; its process stays for the plug to be pulled."""
        self._ask(node, "flash", cut_after=operations, torn=torn)

    def power_cuts(self, node: int) -> int:
        return self._cuts[node]

    def uptime_ms(self, node: int) -> int:
        return int(self._counts(node)["uptime_ms"])

    def cable(self, node: int, connected: bool) -> None:
        if self.powered(node):
            self._ask(node, "cable-restore" if connected else "cable-cut")
            if not connected:
                self._unplugged[node] = int(self._ask(node, "stats")["bytes_out"])

    def noise(self, node: int, seed: int, kind: str, rate: float) -> None:
        if self.powered(node):
            self._ask(node, "noise", seed=seed, kinds=[kind], burst=rate)

    def keep_back(self, node: int, pause_s: float) -> None:
        if self.powered(node):
            self._ask(node, "late", us=round(pause_s * 1e6))

    def line_counts(self, node: int) -> dict[str, int]:
        counts = self._counts(node)
        hit = sum(pair[0] for pair in counts["noise"] if pair)
        lost = int(counts["bytes_out"]) - self._unplugged[node] if node in self._unplugged else 0
        return {"hit": hit, "late": int(counts["late"]), "lost": max(0, lost)}

    def stall(self, node: int, erase_us: int) -> int:
        return int(self._ask(node, "stall", us=erase_us)["stalled"]) if self.powered(node) else 0

    def broker(self, state: str, number: int) -> str:
        """What a real broker does by itself is done to it; the rest is the proxy's."""
        mosquitto = self._mosquitto
        mosquitto.thaw()
        if state == "frozen":
            mosquitto.freeze()
        elif state == "stopped":
            mosquitto.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
        elif state == "refuses" and number % 2:
            return "deaf"
        elif state in ("refuses", "forgets"):
            self.order(broker=state)  # the proxy has to know why the connection ends
            mosquitto.stop(signal.SIGKILL)
            if state == "forgets":
                mosquitto.forget()
                self.notes.append("the broker was made to forget its sessions")
            mosquitto.start(anonymous=state != "refuses")
            self._subscribe()
        elif state == "up" and not mosquitto.runs_openly:
            mosquitto.stop()
            mosquitto.start()
            self._subscribe()
        return state

    def fill_disk(self, full: bool) -> bool:
        if self._disk.real:
            self._disk.fill() if full else self._disk.free()
        return self._disk.real

    def disk_refusals(self) -> int:
        log = self.folder / "gateway.log"
        return log.read_bytes().count(REFUSED) if log.exists() else 0

    def _subscribe(self) -> None:
        if self._consumer is not None:
            self._consumer.kill()
            self._consumer.wait(10)
        self._consumer = self._mosquitto.subscribe(self.folder / "consumer.jsonl")

    def _image(self, node: int) -> Path:
        return self.folder / f"n{node + 1}.flash"

    def flash(self, node: int) -> Path:
        """A copy, made while the board's process stands still."""
        seen = self.folder / "seen.flash"
        process = self._nodes[node]
        process.send(signal.SIGSTOP)
        try:
            shutil.copyfile(self._image(node), seen)
        finally:
            process.send(signal.SIGCONT)
        return seen


def _tail(log: Path) -> str:
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return text.splitlines()[-1] if text else "it said nothing"
