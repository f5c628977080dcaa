"""What stands on the demo's stage: board processes, a gateway process, their files; and how to disturb them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from gateway.errors import GatewayError
from tools.errors import NoConnection, SteigerError

BOARDS = ("air-v1", "noise-v1", "traffic-v1")
WINDOW_S = 5  # on a street it is a minute
HEALTH_S = 30
SWITCH_S = 5  # writing the settings and resetting the board take about two, on a busy machine more
READY_TIMEOUT_S = 60.0  # the first start compiles the firmware
STOP_TIMEOUT_S = 10.0
CABLE_OUT_S = 8.0
POWER_OUT_S = 7.0
GATEWAY_OUT_S = 4.0
POLL_S = 0.05


def steiger_command() -> list[str]:
    """How this very installation is started as a process."""
    beside = Path(sys.executable).with_name("steiger")
    found = str(beside) if beside.exists() else shutil.which("steiger")
    if not found:
        raise SteigerError("the command steiger is not installed beside this Python", next_step="Run: make setup")
    return [found]


def _next_boundary_s() -> int:
    """The next end of a window that leaves time for the last step of provisioning."""
    return -(-(int(time.time()) + SWITCH_S) // WINDOW_S) * WINDOW_S


class NodeProcess:
    """One simulated board: a process, a flash file, a link to its port. Killing the process is a power cut."""

    def __init__(self, folder: Path, address: int, board: str, seed: int, site: int = 0, city_shift_s: int = 0) -> None:
        self.address = address
        self.board = board
        self.name = f"node{address}"
        self.flash = folder / f"{self.name}.flash"
        self.port = folder / f"{self.name}.tty"
        self.interpreter = ""
        self.ctl = Path(f"{self.port}.ctl")
        self.uncut_at: float | None = None
        self.powered_at: float | None = None
        self._city = ["--seed", str(seed), "--site", str(site), "--city-shift", str(city_shift_s)]
        self._log_path = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._log_from = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_words(self) -> str:
        """The last line that the process said; for errors."""
        lines = [line for line in self._log_path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def start(self) -> None:
        """Power on; returns at once. `wait_ready` waits for the port."""
        self._log = open(self._log_path, "ab")  # noqa: SIM115
        self._log_from = self._log.tell()
        command = [
            *steiger_command(), "sim", "node", self.board, "--flash", str(self.flash), "--port", str(self.port),
            *self._city, "--json",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.powered_at = None

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the port can be opened; SteigerError with the process's last words if it ended."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.running:
                raise SteigerError(f"the simulated board ended: {self.exit_words}", where=f"{self.name}, {self.board}")
            event = self._ready_event()
            if event is not None:
                self.interpreter = str(event.get("interpreter", ""))
                self.ctl = Path(event.get("ctl") or self.ctl)
                return
            time.sleep(POLL_S)
        raise SteigerError(
            f"the simulated board was not ready in {timeout_s:.0f} s", where=f"{self.name}, {self.board}"
        )

    def _ready_event(self) -> dict[str, Any] | None:
        with open(self._log_path, "rb") as log:
            log.seek(self._log_from)
            for line in log:
                if line.startswith(b"{") and line.endswith(b"\n"):
                    try:
                        event = json.loads(line)
                    except ValueError:
                        continue
                    if event.get("event") == "ready":
                        return dict(event)
        return None

    def control(self, request: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
        """Ask the board's process something (docs: `steiger sim node --help`)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(str(self.ctl))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as stream:
                line = stream.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"ok": False, "error": "no answer"}
        return answer

    def cut_cable(self, now: float) -> None:
        self.control({"do": "cable-cut"})
        self.uncut_at = now + CABLE_OUT_S

    def restore_cable(self) -> None:
        self.control({"do": "cable-restore"})
        self.uncut_at = None

    def pull_power(self, now: float) -> None:
        """SIGKILL: nothing is written any more."""
        self.kill()
        self.powered_at = now + POWER_OUT_S

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            # The link would lead to whatever gets the number of its pty next: a terminal that somebody opens.
            self.port.unlink(missing_ok=True)
        if self._log is not None:
            self._log.close()
            self._log = None

    def stop(self) -> None:
        """Orderly end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pass
        self.kill()


class GatewayProcess:
    """`steiger gateway run` on a configuration of the demo's own."""

    def __init__(self, folder: Path, ports: Sequence[Path], mqtt: str | None) -> None:
        self.config = folder / "gateway.toml"
        self.data_dir = folder / "gateway"
        self.keys = folder / "keys.json"
        self.log_path = folder / "gateway.log"
        self.back_at: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        lines = [
            "[gateway]", 'id = "demo"', "number = 1", f'data_dir = "{self.data_dir}"', f'keys = "{self.keys}"', ""
        ]  # fmt: skip
        for port in ports:
            lines += ["[[serial]]", f'port = "{port}"', ""]
        if mqtt:
            lines += ["[mqtt]", f'url = "{mqtt}"', ""]
        self.config.write_text("\n".join(lines))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def store(self) -> Path:
        """The one SQLite file."""
        return self.data_dir / "spool.db"

    def start(self) -> None:
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                [*steiger_command(), "gateway", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.back_at = None

    def kill(self, now: float) -> None:
        """SIGKILL, as a pulled plug."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        self.back_at = now + GATEWAY_OUT_S

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)

    def last_words(self) -> str:
        lines = [line for line in self.log_path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def call(self, verb: str, **args: Any) -> Any:
        """A verb of the control socket; GatewayError if no gateway answers."""
        from gateway import control

        return control.call(self.data_dir, verb, **args)


class Stage:
    """All of it. `tick` brings back what was disturbed, when its time has come."""

    def __init__(self, folder: Path, count: int, seed: int, mqtt: str | None, city_shift_s: int = 0) -> None:
        self.folder = folder
        self.city_shift_s = city_shift_s
        self.nodes = [
            NodeProcess(folder, number + 1, BOARDS[number % len(BOARDS)], seed, number // len(BOARDS), city_shift_s)
            for number in range(count)
        ]
        self.gateway = GatewayProcess(folder, [node.port for node in self.nodes], mqtt)
        self.happened: list[str] = []

    def start(self, said: Callable[[str], None]) -> None:
        """Boards first, then firmware, settings and keys onto them by mpremote, and the gateway.

        Each board's grid begins with a boundary that lies ahead; there it gets its power, so that it misses nothing.
        """
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        said(f"{len(self.nodes)} boards run: {self.nodes[0].interpreter}")
        # mpremote is a process of its own for each board, and waits most of the time
        with ThreadPoolExecutor(max_workers=min(len(self.nodes), 2 * (os.cpu_count() or 2))) as pool:
            begins = list(pool.map(self.provision, self.nodes))
        said("firmware, settings and keys are on the boards")
        self.gateway.start()
        for node, begin_s in sorted(zip(self.nodes, begins, strict=True), key=lambda pair: pair[1]):
            time.sleep(max(0.0, begin_s - time.time()))
            node.control({"do": "power-on"})

    def provision(self, node: NodeProcess) -> int:
        """Returns the unix second at which its grid begins; the board is without power until then."""
        from boards import load_board
        from tools import provision

        values = {"window_s.0": WINDOW_S, "health_s": HEALTH_S, "log_level": 2}
        board = load_board(node.board)
        if "shims" in node.interpreter:
            done = provision.provision_shims(
                node.control, board, node.address, keys=self.gateway.keys, now_s=_next_boundary_s, values=values
            )
        else:
            done = provision.provision(
                str(node.port), board, node.address, keys=self.gateway.keys, now_s=_next_boundary_s, values=values
            )
        node.control({"do": "power-cut"})
        return done.provisioned_s

    def tick(self, now: float) -> None:
        """Bring back what was disturbed and whose time has come; NoConnection if something ended by itself."""
        for node in self.nodes:
            if node.powered_at is not None:
                if now >= node.powered_at:
                    node.start()
                    self.happened.append(f"{node.name} has power again")
            elif not node.running:
                raise NoConnection(f"the simulated board ended: {node.exit_words}", where=node.name)
            elif node.uncut_at is not None and now >= node.uncut_at:
                node.restore_cable()
                self.happened.append(f"{node.name}: cable is back")
        if self.gateway.back_at is not None:
            if now >= self.gateway.back_at:
                self.gateway.start()
                self.happened.append("gateway starts again")
        elif not self.gateway.running:
            raise NoConnection(f"the gateway ended: {self.gateway.last_words()}", where=str(self.gateway.log_path))

    def restore_all(self) -> None:
        """Nothing is cut, pulled or killed any more."""
        for node in self.nodes:
            if node.powered_at is not None:
                node.start()
            elif node.uncut_at is not None:
                node.restore_cable()
        for node in self.nodes:
            node.wait_ready()
            if node.control({"do": "stats"}).get("repl"):
                node.control({"do": "reset"})  # somebody looked inside and left the board at its prompt
        if self.gateway.back_at is not None or not self.gateway.running:
            self.gateway.start()
            return
        for node in self.nodes:
            try:
                self.gateway.call("resume", port=str(node.port))
            except GatewayError:
                pass  # it was not lent

    def close(self) -> None:
        for node in self.nodes:
            node.stop()
        self.gateway.stop()
