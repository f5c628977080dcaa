"""One simulated board in real time on a pty: `steiger sim node`. One thread, one loop."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards import Board as Description
from tools.errors import SteigerError, UsageError
from tools.sim import image
from tools.sim.board import Board
from tools.sim.control import Control
from tools.sim.flash import Flash
from tools.sim.interpreter import Interpreter, Process
from tools.sim.line import Line, Noise
from tools.sim.pty_port import PtyPort
from tools.sim.shim_flash import ShimFlash
from tools.sim.site import attach_chips, drift_ppb, unique_id
from tools.sim.timers import RealTime
from tools.sim.world import World

LOOK_US = 20_000  # how often the pty is asked whether somebody has it open


class Node:
    """A board, its flash file, its port and its control socket. `run()` returns after `stop()`."""

    def __init__(
        self,
        description: Description,
        *,
        flash: Path,
        port: Path,
        seed: int,
        interpreter: Interpreter,
        baudrate: int = 115_200,
        speed: int = 1,
        site: int = 0,
        city_shift_s: int = 0,
        said: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.description = description
        self.interpreter = interpreter
        self._said = said
        self._stopping = False
        self._signals, self._wake = socket.socketpair()
        self._ready = selectors.DefaultSelector()
        self.time = RealTime(speed)
        self.port = PtyPort(port)  # before the flash: a wrong port leaves no file behind
        try:
            self.flash = self._made_flash(flash)
            try:
                self._open(flash, port, seed, baudrate, site, city_shift_s)
            except BaseException:
                self.flash.close()
                raise
        except BaseException:
            self.port.unplug()
            raise

    def _made_flash(self, flash: Path) -> Flash:
        if not self.interpreter.is_micropython:
            return ShimFlash(flash, self.description)
        if not flash.exists():
            image.make(flash, self.description, self.interpreter)
            self._said(f"made a fresh flash with the firmware of {self.description.name}: {flash}")
        return Flash(flash)

    def _open(self, flash: Path, port: Path, seed: int, baudrate: int, site: int, city_shift_s: int) -> None:
        start_s = int(time.time()) - self.time.now_us // 1_000_000
        world = World(seed, start_s, shift_s=city_shift_s)
        uid = unique_id(flash, seed)
        self.board = Board(
            self.time, self.flash, self.interpreter,
            uid=uid, world_start_s=start_s, seed=seed, chips=attach_chips(self.description, world, seed, site),
            drift_ppb=drift_ppb(seed, flash.name), baudrate=baudrate, deliver=self._deliver, said=self._said,
        )  # fmt: skip
        if isinstance(self.flash, ShimFlash):
            self.board.root_folder = self.flash.folder
        self.board.on_start = self._process_starts
        self.board.on_end = self._process_ends
        self.line_in = Line(self.time, baudrate, self.board.receive)
        self.control = Control(port.with_name(port.name + ".ctl"), self._ready, self.obey)
        self._ready.register(self._signals, selectors.EVENT_READ, self._signalled)
        self._reading = False

    # --- Loop --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """May be called from a signal handler."""
        self._stopping = True
        self._wake.send(b"x")

    def run(self) -> None:
        """Power on, and run until `stop()`."""
        self.board.power_on()
        self._look()
        try:
            while not self._stopping:
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """Wait for the next event and see to it."""
        for key, _ in self._ready.select(self.time.wait_s()):
            key.data()
        self.time.run_due()

    def close(self) -> None:
        self.board.power_off()
        self.control.close()
        self.port.unplug()
        self.flash.close()
        self._ready.close()
        self._signals.close()
        self._wake.close()

    def _signalled(self) -> None:
        self._signals.recv(64)

    # --- Interpreter -------------------------------------------------------------------------------------------------

    def _process_starts(self, process: Process) -> None:
        self._ready.register(process.request_fd, selectors.EVENT_READ, lambda: self._request(process))
        self._ready.register(process.stdout_fd, selectors.EVENT_READ, lambda: self._printed(process))

    def _process_ends(self, process: Process) -> None:
        self._ready.unregister(process.request_fd)
        if process.stdout_fd in self._ready.get_map():
            self._ready.unregister(process.stdout_fd)

    def _request(self, process: Process) -> None:
        if process is not self.board.process:
            return
        request = process.read_request()
        if request:
            self.board.serve(request)
        else:
            self.board.ended()

    def _printed(self, process: Process) -> None:
        if process is self.board.process:
            before = self.board.console.out.held
            self.board.take_output()
            if self.board.console.out.held == before and process.ended_output():
                self._ready.unregister(process.stdout_fd)  # closed: the request pipe tells the rest

    # --- Port --------------------------------------------------------------------------------------------------------

    def _deliver(self, data: bytes) -> None:
        self.port.write(data)

    def _look(self) -> None:
        """Read from the port only while somebody has it open: a closed one is always ready, with nothing."""
        before = self.port.fileno()
        self.port.look()
        if self.port.rest:
            self.line_in.send(self.port.rest)
            self.port.rest = b""
        wanted = self.port.connected and not self.line_in.full
        if self._reading and (not wanted or self.port.fileno() != before):
            self._ready.unregister(before)
            self._reading = False
        if wanted and not self._reading:
            self._ready.register(self.port.fileno(), selectors.EVENT_READ, self._typed)
            self._reading = True
        self.time.call_at(self.time.now_us + LOOK_US * self.time.speed, self._look)

    def _typed(self) -> None:
        data = self.port.read()
        if data:
            self.line_in.send(data)
        if not data or self.line_in.full:
            self._ready.unregister(self.port.fileno())
            self._reading = False

    def _plug(self, inserted: bool) -> None:
        if self._reading:
            self._ready.unregister(self.port.fileno())
            self._reading = False
        if inserted:
            self.port.plug()
        else:
            self.port.unplug()

    # --- Control socket ----------------------------------------------------------------------------------------------

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order of the control socket; UsageError for what it does not know."""
        verb = order.get("do")
        verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "about": self._about, "stats": self._stats, "fault": self._fault, "noise": self._noise,
            "power-cut": self._power_cut, "power-on": self._power_on, "reset": self._reset,
            "cable-cut": self._cable_cut, "cable-restore": self._cable_restore, "flash": self._flash_fault,
            "run": self._run,
        }  # fmt: skip
        if verb not in verbs:
            raise UsageError(f"there is no order {verb!r}; there are: {', '.join(sorted(verbs))}")
        return verbs[verb](order)

    def about(self) -> dict[str, Any]:
        return {
            "interpreter": str(self.interpreter), "micropython": self.interpreter.is_micropython,
            "uid": self.board.uid.hex(), "board": self.description.name, "flash": str(self.flash.path),
            "port": str(self.port.link), "ctl": str(self.control.path), "pid": os.getpid(),
        }  # fmt: skip

    def _about(self, order: dict[str, Any]) -> dict[str, Any]:
        return self.about()

    def _stats(self, order: dict[str, Any]) -> dict[str, Any]:
        board = self.board
        return {
            "board": dict(board.stats),
            "flash": dict(self.flash.counts),
            "powered": board.powered,
            "repl": board.console.repl,
            "raw": board.console.raw,
            "opened": board.console.opened,
            "uptime_ms": board.uptime_us() // 1000,
            "connected": self.port.connected,
            "bytes_out": board.console.out.bytes,
            "bytes_in": self.line_in.bytes,
            "noise": [
                [n.hit, n.seen] if (n := line.noise) else None for line in (self.line_in, self.board.console.out)
            ],
            "unread": self.port.lost,
            "lost": {"console": board.console.fifo.lost}
            | {f"uart{n}": uart.fifo.lost for n, uart in board.uarts.items() if uart.fifo.lost}
            | {f"i2s{n}": i2s.lost for n, i2s in board.i2s.items() if i2s.lost},
            "chips": [{"bus": c.bus, "chip": c.name, "faults": sorted(c.chip.faults)} for c in board.chips],
        }

    def _fault(self, order: dict[str, Any]) -> dict[str, Any]:
        found = [c for c in self.board.chips if order.get("chip") in (c.name, c.bus)]
        if not found:
            known = ", ".join(c.name for c in self.board.chips)
            raise UsageError(f"this board has no chip {order.get('chip')!r}; it has: {known}")
        for entry in found:
            try:
                entry.chip.switch(str(order.get("fault")), bool(order.get("on", True)))
            except ValueError as error:
                raise UsageError(str(error)) from None
        return {}

    def _noise(self, order: dict[str, Any]) -> dict[str, Any]:
        """Damage on the line, both ways, of the "kinds" named; without rates it is clean again."""
        kinds = tuple(order.get("kinds", ("corrupt",)))
        rates = float(order.get("independent", 0)), float(order.get("burst", 0))
        seed = int(order.get("seed", 1))
        for number, line in enumerate((self.line_in, self.board.console.out)):
            line.noise = Noise(seed * 2 + number, *rates, kinds) if any(rates) else None
        return {}

    def _power_cut(self, order: dict[str, Any]) -> dict[str, Any]:
        self.board.power_off()
        return {}

    def _power_on(self, order: dict[str, Any]) -> dict[str, Any]:
        self.board.power_on()
        return {}

    def _reset(self, order: dict[str, Any]) -> dict[str, Any]:
        self.board.reset()
        return {}

    def _cable_cut(self, order: dict[str, Any]) -> dict[str, Any]:
        """Pull the cable: the port vanishes. With "silent" it stays, and nothing passes."""
        if order.get("silent"):
            self.line_in.connected = self.board.console.out.connected = False
        else:
            self._plug(False)
        return {}

    def _cable_restore(self, order: dict[str, Any]) -> dict[str, Any]:
        self.line_in.connected = self.board.console.out.connected = True
        self._plug(True)
        return {}

    def _flash_fault(self, order: dict[str, Any]) -> dict[str, Any]:
        """Cut the power at the n-th flash operation from now; `torn` bytes of it still happen."""
        done = self.flash.counts["progs"] + self.flash.counts["erases"]
        self.flash.cut_at = done + int(order["cut_after"]) if "cut_after" in order else None
        self.flash.torn = int(order.get("torn", 0))
        return {}

    def _run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Stop the program, run a snippet on the flash, start the board again."""
        was_powered = self.board.powered
        self.board.power_off()
        root = self.flash.folder if isinstance(self.flash, ShimFlash) else None
        try:
            out = image.execute(
                self.flash, str(order.get("code", "")), interpreter=self.interpreter, root=root, uid=self.board.uid
            )
        except SteigerError as error:
            return {"ok": False, "error": error.what}
        finally:
            if was_powered:
                self.board.power_on()
        return {"out": out}
