"""The demo's course: start, show, disturb on request, drain, add up."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway import keys as key_file
from gateway.config import Broker
from gateway.errors import GatewayError
from gateway.models import RECORD, Record
from tools.demo import account, city, screen
from tools.demo.keyboard import Keyboard
from tools.demo.stage import WINDOW_S, Stage
from tools.demo.subscriber import Subscriber
from tools.errors import SteigerError, UsageError

LOOK_EVERY_S = 1.0
HEARD_TIMEOUT_S = 60.0  # after the worst of disturbances every node is heard again within this
DRAIN_TIMEOUT_S = 90.0
SETTLED_S = 10.0  # nothing pending, and a sum that has not changed for so long: it will not close any more
SETTING_TIMEOUT_S = 35.0  # the gateway itself asks a node for 30 s
SAMPLED_S = 3  # every sensor of the boards has given a reading by then
CLOSE_IN_S = 4  # the nodes must have the end of their grid before it comes
POLL_S = 0.2
KEPT = 4  # folders of former demos that stay to be looked at


class View(Protocol):
    """What shows a moment of the run: the screen, or the camera of tools/docs_demo.py."""

    def show(
        self, data: Sequence[screen.Row], gateway_up: bool, elapsed_s: float, events: Sequence[str], city: str
    ) -> None: ...


class Play:
    """One run. `happened` is what the screen tells."""

    def __init__(self, stage: Stage, subscriber: Subscriber | None) -> None:
        self.stage = stage
        self.subscriber = subscriber
        self.sink = "mqtt" if subscriber is not None else "archive"
        self.newest: dict[int, Record] = {}
        self.ledger: Mapping[str, Any] = {"nodes": {}}
        self._pos = 0

    def run(self, view: View, seconds: float | None) -> None:
        """Show until the time is over, or a person ends it."""
        begun = time.monotonic()
        looked = 0.0
        with Keyboard() as keyboard:
            while seconds is None or time.monotonic() - begun < seconds:
                key = keyboard.key(POLL_S)
                if key in ("q", "\x03"):
                    return
                now = time.monotonic()
                self.disturb(key, now)
                self.stage.tick(now)
                if now - looked >= LOOK_EVERY_S:
                    looked = now
                    self.look()
                data = screen.rows(self.stage.nodes, self.newest, self.ledger, int(time.time() * 1000))
                clock = city.clock_text(self.stage.city_shift_s)
                view.show(data, self.stage.gateway.running, now - begun, self.stage.happened, clock)

    def disturb(self, key: str, now: float) -> None:
        """What a key does: c cuts a cable, p pulls a board's power, g kills the gateway; other keys nothing."""
        stage = self.stage
        whole = [node for node in stage.nodes if node.powered_at is None and node.uncut_at is None]
        if key == "c" and whole:
            whole[0].cut_cable(now)
            stage.happened.append(f"{whole[0].name}: cable cut")
        elif key == "p" and whole:
            whole[-1].pull_power(now)
            stage.happened.append(f"{whole[-1].name}: power pulled (SIGKILL)")
        elif key == "g" and stage.gateway.running:
            stage.gateway.kill(now)
            stage.happened.append("gateway killed (SIGKILL)")

    def look(self) -> None:
        """The newest records and the ledger, as far as they can be had right now."""
        from gateway.store.reader import Reader

        try:
            with Reader(self.stage.gateway.store) as reader:
                for record in reader.records(after_pos=self._pos):
                    self._pos = record.pos
                    if record.kind_code == RECORD:
                        self.newest[record.node] = record
        except GatewayError:
            pass  # not made yet
        try:
            self.ledger = self.stage.gateway.call("ledger", sink=self.sink, lines=False)["summary"]
        except (GatewayError, OSError):
            pass  # it is dead, or not up yet: the screen shows the last figures

    def drain(self, said: Callable[[str], None]) -> dict[str, Any]:
        """Everything comes back, the open windows close and count, what is queued arrives; then the sum."""
        stage = self.stage
        stage.restore_all()
        said("everything is plugged in again; waiting until each board was heard")
        begun_ms = int(time.time() * 1000)
        self._wait(lambda: self._heard_since(begun_ms), HEARD_TIMEOUT_S)
        until_s = self._end_grids()
        for node in stage.nodes:
            key_file.end_life(stage.gateway.keys, node.address, until_s)
        stage.gateway.call("reload-keys")
        said("closing the open windows")
        world = account.scheduled(stage.gateway.keys, {}, WINDOW_S)
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        told = 0.0
        before: Any = None
        settled = deadline
        while True:
            self.look()
            result = account.summary(world, self._seen(), self.ledger)
            problems = account.faults(result, self.ledger)
            now = time.monotonic()
            if problems != before:
                before, settled = problems, now + SETTLED_S
            if (time.time() > until_s and not problems) or now > deadline or (now > settled and not result["pending"]):
                return result
            if now > told:
                told = now + 5
                said(f"draining: {result['pending']} pending")
            stage.tick(now)
            time.sleep(POLL_S)

    def _end_grids(self) -> int:
        """Tell every board when its last window ends, before that time; that second."""
        close_in_s = CLOSE_IN_S
        while True:
            until_s = int(time.time()) + close_in_s
            # Not on a boundary: the last window is an open one, closed early, but long enough to have been sampled.
            until_s += max(0, SAMPLED_S - until_s % WINDOW_S)
            for node in self.stage.nodes:
                self._set_until(node.address, until_s)
            if time.time() < until_s:
                return until_s
            close_in_s *= 2  # a board heard it only after that second: all go on until a later one

    def _set_until(self, address: int, until_s: int) -> None:
        """Until the board said yes: one without a clock says no, one that is just starting says nothing."""
        deadline = time.monotonic() + HEARD_TIMEOUT_S
        while True:
            try:
                answer = self.stage.gateway.call(
                    "set-setting",
                    timeout_s=SETTING_TIMEOUT_S,
                    node=address,
                    name="grid_until_s",
                    instance=0,
                    value=until_s,
                )
                if answer["ok"]:
                    return
            except GatewayError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                return  # the sum at the end shows what that cost
            self.stage.tick(time.monotonic())
            time.sleep(POLL_S)

    def _seen(self) -> account.Seen:
        if self.subscriber is not None:
            return self.subscriber.seen()
        return account.archive_seen(self.stage.gateway.store)

    def _heard_since(self, begun_ms: int) -> bool:
        """Whether each node was heard after the moment."""
        try:
            status = self.stage.gateway.call("status")
        except (GatewayError, OSError):
            return False
        heard = {
            int(node["node"])
            for node in status["nodes"]  # an entry for each life
            if node["age_s"] is not None and status["now_ms"] - node["age_s"] * 1000 > begun_ms
        }
        return {node.address for node in self.stage.nodes} <= heard

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return  # the sum at the end shows who is missing
            self.stage.tick(time.monotonic())
            time.sleep(POLL_S)


def first_screen(stage: Stage, broker: Broker | None) -> list[str]:
    """What runs, where its things lie, and what to type in a second terminal."""
    node = stage.nodes[0]
    gateway = stage.gateway
    steiger = typed("steiger")
    clock = city.clock_text(stage.city_shift_s)
    lines = [
        "",
        f"nodes    {len(stage.nodes)} simulated boards run the real firmware on {node.interpreter}",
        f"folder   {stage.folder}: a littlefs flash and a log of each board (node1.flash, node1.log, …), gateway.log",
        f"archive  {gateway.store}",
        f"window   {WINDOW_S} s (a minute on a street); {clock}",
        "",
        "To look inside, type in a second terminal:",
        f"  {steiger} monitor {node.port} --keys {gateway.keys}",
        f"  {steiger} gateway status --config {gateway.config}",
        f"  {steiger} gateway ledger --config {gateway.config}",
    ]
    if "shims" not in node.interpreter:
        lines += [
            f"  {steiger} gateway release {node.port} --config {gateway.config}",
            f"  {typed('mpremote')} connect {node.port} repl        (after the line before; Ctrl-C stops it, Ctrl-X leaves)",
            f"  {typed('mpremote')} connect {node.port} reset       (a board that was stopped starts again)",
            f"  {steiger} gateway resume {node.port} --config {gateway.config}",
        ]
    else:
        lines.append("  (no MicroPython here: mpremote does not work on the simulated boards)")
    if broker:
        lines.append(f"  mosquitto_sub -h {broker.host} -p {broker.port} -t 'steiger/v1/#' -v")
    else:
        lines.append("  mosquitto_sub -t 'steiger/v1/#' -v        (with a broker, and --mqtt mqtt://127.0.0.1)")
    return lines


def typed(command: str) -> str:
    """How a person in this folder types a command of this installation."""
    path = Path(sys.executable).with_name(command)
    if shutil.which(command) == str(path) or not path.exists():
        return command
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def own_folder() -> Path:
    """A folder of this user alone; keys lie in it."""
    folder = Path(tempfile.gettempdir()) / f"steiger-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SteigerError("this folder must be yours alone", where=str(folder), next_step="Choose another: --dir")
    return folder


def clear_old(base: Path) -> None:
    """Remove what demos before left in their usual place, except the newest few and whatever still runs."""
    numbered = sorted((int(path.name) for path in base.iterdir() if path.name.isdecimal()), reverse=True)
    for number in numbered[KEPT:]:
        folder = base / str(number)
        if not any(_alive(file) for file in folder.glob("*.pid")):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def fresh_folder(base: Path) -> Path:
    """A folder of this run's own, numbered: paths stay short, for sockets and for people."""
    try:
        base.mkdir(parents=True, exist_ok=True)
        number = max((int(path.name) for path in base.iterdir() if path.name.isdecimal()), default=0)
        for attempt in range(1, 100):
            folder = base / str(number + attempt)
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UsageError(
            f"cannot make the demo's folder: {error.strerror}", where=str(base), next_step="Name another one: --dir"
        ) from None
    raise SteigerError("too many demos at once", where=str(base))
