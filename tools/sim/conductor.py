"""The whole path in virtual time: boards, serial lines and the gateway, one event after the other (DESIGN 5, mode b).

Events are carried out in order of time. A participant gets the floor at an instant, does everything it can do at it and
says when it wants to go on; its bytes arrive elsewhere at the earliest one byte time later. So nobody runs ahead while
bytes are in flight, and two runs of one seed are the same to the byte. With no gateway it is one board under a virtual
clock (mode a).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from boards import load_board
from tools.errors import SteigerError
from tools.sim import image
from tools.sim.board import Board
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.console import BAUDRATE
from tools.sim.flash import Flash
from tools.sim.gateway_runner import Idle, Step, read_message, write_message
from tools.sim.interpreter import Interpreter, find
from tools.sim.line import Line, Noise
from tools.sim.radio.concentrator import Concentrator
from tools.sim.radio.ether import Ether
from tools.sim.radio.propagation import Model, Position
from tools.sim.shim_flash import ShimFlash
from tools.sim.site import antenna_gain_dbi, attach_chips, drift_ppb, unique_id
from tools.sim.timers import Timer, VirtualTime
from tools.sim.world import World

ROOT = Path(__file__).resolve().parents[2]
SECOND_US = 1_000_000


class Sent(NamedTuple):
    """Bytes that arrived: when, on which node's line, in which direction ("up" to the gateway)."""

    at_us: int
    node: str
    direction: str
    data: bytes


class VirtualNode:
    """A board with its serial cable. `texts`: what it said while no gateway listened, too."""

    def __init__(self, conductor: Conductor, name: str, board: Board, flash: Flash) -> None:
        self.name = name
        self.board = board
        self.flash = flash
        self.said = bytearray()  # everything the board sent, for tests without a gateway
        self.down = Line(conductor.time, BAUDRATE, self._down)
        self.listener: Callable[[bytes], None] | None = None
        self._conductor = conductor

    def _down(self, data: bytes) -> None:
        self._conductor.record(self.name, "down", data)
        self.board.receive(data)

    def _up(self, data: bytes) -> None:
        self._conductor.record(self.name, "up", data)
        self.said += data
        if self.listener is not None:
            self.listener(data)

    def noise(self, seed: int, independent: float = 0.0, burst: float = 0.0) -> None:
        """Damage on the line, both ways; without rates it is clean again."""
        for number, line in enumerate((self.down, self.board.console.out)):
            line.noise = Noise(seed * 2 + number, independent, burst) if independent or burst else None

    def cable(self, connected: bool) -> None:
        self.down.connected = self.board.console.out.connected = connected


class Conductor:
    """`start_s`: unix time at which the simulation begins. `folder`: where flashes and the gateway's things lie. `air`: what
    the town does to radio waves; all boards with a radio are in one `ether`."""

    def __init__(
        self, folder: Path, *, seed: int, start_s: int, interpreter: Interpreter | None = None, air: Model | None = None
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.start_s = start_s
        self.interpreter = interpreter or find()
        self.time = VirtualTime()
        self.time.computing = self._computing
        self.world = World(seed, start_s)
        self.ether = Ether(self.time, seed, air)
        self.nodes: dict[str, VirtualNode] = {}
        self.concentrators: dict[str, Concentrator] = {}
        self.gateway: GatewayProcess | None = None
        self.gateway_starts = 0
        self.log: list[Sent] | None = None
        self._digest = hashlib.sha256()

    # --- Participants --------------------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        board: str | Path,
        *,
        prepare: str | None = None,
        files: dict[str, bytes] | None = None,
        power: bool = True,
        site: int | None = None,
        flash_kind: type[Flash] = Flash,
        place: Position = Position(),  # immutable
        drift: int | None = None,
    ) -> VirtualNode:
        """A board with a flash of its own (`<folder>/<name>.flash`, fresh if there is none).

        `prepare`: a snippet run on the flash first (settings); `files`: instead of the board's firmware (tests). `place`: of
        its antenna, if it has one, which has the board's name in the ether. `drift`: of its crystal, in ppb.
        """
        description = load_board(board)
        path = self.folder / f"{name}.flash"
        fresh = not path.exists()
        flash: Flash
        root = None
        if not self.interpreter.is_micropython:
            flash = ShimFlash(path, description)
            root = flash.folder
        elif files is not None:
            flash = flash_kind(path)
            if fresh:
                image.install(flash, files, interpreter=self.interpreter)
        else:
            if fresh:
                image.make(path, description, self.interpreter)
            flash = flash_kind(path)
        number = len(self.nodes)
        uid = unique_id(path, self.seed)
        if prepare is not None:
            image.execute(flash, prepare, interpreter=self.interpreter, root=root, uid=uid)
        chips = attach_chips(description, self.world, self.seed * 64 + number)
        for entry in chips:
            if site is not None:
                entry.chip.site = site
            if isinstance(entry.chip, RadioChip):
                entry.chip.join(self.ether, name, place, antenna_gain_dbi(description))
        board_made = Board(
            self.time, flash, self.interpreter, uid=uid, world_start_s=self.start_s, seed=self.seed, chips=chips,
            drift_ppb=drift_ppb(self.seed, name) if drift is None else drift, deliver=lambda data: node._up(data),
        )  # fmt: skip
        board_made.root_folder = root
        node = VirtualNode(self, name, board_made, flash)
        self.nodes[name] = node
        if self.gateway is not None:
            self.gateway.attach(node)
        if power:
            board_made.power_on()
        return node

    def add_concentrator(self, name: str, eui: bytes, place: Position) -> Concentrator:
        """Eight channels on the ether, and a packet forwarder: a port of the gateway by the name of its listener."""
        made = self.concentrators[name] = Concentrator(self.time, self.ether, name, eui, place)
        return made

    def start_gateway(
        self, config: Path, ports: dict[str, str], *, offset_ms: int = 0, synchronised: bool = True
    ) -> GatewayProcess:
        """Start (again) a gateway of `config`; `ports`: name of the port there -> name of the node here. `offset_ms`: how
        wrong its machine's clock is, and whether a time service says that it has set it."""
        assert self.gateway is None
        self.gateway = GatewayProcess(self, config, ports, offset_ms, synchronised)
        return self.gateway

    def record(self, node: str, direction: str, data: bytes) -> None:
        now_us = self.time.now_us
        self._digest.update(b"%d %s %s %d\n" % (now_us, node.encode(), direction.encode(), len(data)) + data)
        if self.log is not None:
            self.log.append(Sent(now_us, node, direction, data))

    def digest(self) -> str:
        """SHA-256 over all bytes that arrived, with time, node and direction."""
        return self._digest.hexdigest()

    # --- Time ----------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Unix time."""
        return self.start_s + self.time.now_us / 1e6

    def at(self, after_s: float, call: Callable[[], None]) -> Timer:
        """Carry out `call` `after_s` from now."""
        return self.time.call_at(self.time.now_us + round(after_s * 1e6), call)

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, duration_s)

    def run_until(self, condition: Callable[[], object], within_s: float) -> bool:
        """Let time pass until `condition()`; False if it did not come true `within_s`."""
        time = self.time
        end_us = time.now_us + round(within_s * 1e6)
        time.limit_us = end_us
        while True:
            self._serve_boards()
            if condition():
                return True
            next_us = time.next_us()
            if next_us is None or next_us > end_us:
                time.now_us = max(time.now_us, end_us)
                return bool(condition())
            time.now_us = max(time.now_us, next_us)
            time.pop()()

    def _computing(self) -> bool:
        return any(node.board.computing for node in self.nodes.values())

    def _serve_boards(self) -> None:
        """Every program runs until it waits."""
        found = True
        while found:
            found = False
            for node in self.nodes.values():
                board = node.board
                while board.computing:
                    found = True
                    assert board.process is not None
                    request = board.process.read_request()
                    if request:
                        board.serve(request)
                    else:
                        board.ended()

    def close(self) -> None:
        """Power off everything."""
        if self.gateway is not None:
            self.gateway.kill()
        for node in self.nodes.values():
            if node.board.powered:
                node.board.power_off()
            node.flash.close()

    def __enter__(self) -> Conductor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class GatewayProcess:
    """The real gateway in a process of its own, stepped through its stdin and stdout.

    `ROOT_MODULE` has the composition root that the process runs: a `main(args)`.
    """

    ROOT_MODULE = "tools.sim.gateway_runner"

    def __init__(
        self, conductor: Conductor, config: Path, ports: dict[str, str], offset_ms: int = 0, synchronised: bool = True
    ) -> None:
        self._conductor = conductor
        self._config = config
        self._node_of = ports
        self._port_of = {node: port for port, node in ports.items()}
        self._held: list[tuple[str, bytes]] = []
        self._timer: Timer | None = None
        self._answers: dict[int, dict[str, Any]] = {}
        self._questions: list[dict[str, Any]] = []
        self._asked = 0
        self.ended: str | None = None
        starts = conductor.gateway_starts
        conductor.gateway_starts += 1
        arguments = [
            str(config), str(conductor.start_s), str(conductor.time.now_us),
            str(conductor.seed * 1000 + starts), str(config.with_suffix(".log")),
            str(offset_ms), str(int(synchronised)),
        ]  # fmt: skip
        code = f"import sys;sys.path.insert(0,{str(ROOT)!r});from {self.ROOT_MODULE} import main;main(sys.argv[1:])"
        self._child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
        for node in conductor.nodes.values():
            self.attach(node)
        for name, concentrator in conductor.concentrators.items():
            concentrator.out = partial(self._arrived, self._port_of[name])
        self._hear()

    def attach(self, node: VirtualNode) -> None:
        port = self._port_of.get(node.name)
        if port is not None:
            node.listener = lambda data: self._arrived(port, data)

    def _arrived(self, port: str, data: bytes) -> None:
        self._held.append((port, data))
        self._soon()

    def _soon(self) -> None:
        now_us = self._conductor.time.now_us
        if self._timer is None or self._timer.due_us > now_us or self._timer.call is None:
            self._plan(now_us)

    def _plan(self, at_us: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at_us is None else self._conductor.time.call_at(at_us, self._step)

    def _step(self) -> None:
        assert self._child.stdin is not None
        ask = self._questions.pop(0) if self._questions else None
        held, self._held = self._held, []
        try:
            write_message(self._child.stdin.fileno(), Step(self._conductor.time.now_us, held, ask))
        except BrokenPipeError:
            pass  # the answer says why
        self._hear()

    def _hear(self) -> None:
        """What the gateway says when it has done all it can do at this instant."""
        assert self._child.stdout is not None
        try:
            idle: Idle = read_message(self._child.stdout.fileno(), Idle)
        except EOFError:
            self.ended = f"the gateway ended with code {self._child.wait()}"
            idle = Idle(ended=self.ended)
        for port, data in idle.sent:
            name = self._node_of.get(port, "")
            node = self._conductor.nodes.get(name)
            if node is not None:
                node.down.send(data)
            elif name in self._conductor.concentrators:
                self._conductor.concentrators[name].receive(data)
        for answer in idle.answers:
            self._answers[answer["id"]] = answer
        self.ended = idle.ended
        if idle.ended is not None:
            self._plan(None)
            return
        self._plan(idle.next_us)
        if self._questions:
            self._soon()

    def ask(self, verb: str, within_s: float = 600.0, **fields: Any) -> Any:
        """Ask the gateway (ledger, drain, status, any control verb); time passes until it has answered."""
        self._asked += 1
        number = self._asked
        self._questions.append({"do": verb, "id": number} | fields)
        self._soon()
        self._conductor.run_until(lambda: number in self._answers or self.ended is not None, within_s)
        answer = self._answers.pop(number, None)
        if answer is None:
            raise SteigerError(f"no answer to {verb!r}: {self.ended or 'too late'}", where=str(self._config))
        if not answer["ok"]:
            raise SteigerError(str(answer["error"]), where=str(self._config))
        return answer["result"]

    def stop(self, within_s: float = 60.0) -> None:
        """An orderly end."""
        self.ask("stop")
        self._conductor.run_until(lambda: self.ended is not None, within_s)
        self._leave()

    def kill(self) -> None:
        """SIGKILL at this instant: what it held is lost."""
        self._child.kill()
        self._leave()

    def _leave(self) -> None:
        self._plan(None)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        for node in self._conductor.nodes.values():
            node.listener = None
        for concentrator in self._conductor.concentrators.values():
            concentrator.out = None
        self._conductor.gateway = None
