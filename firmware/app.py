"""The composition root: knows the concrete classes and wires them from /board.json and the settings. Nothing happens
at import."""

import asyncio
import json

from firmware import forget, forget_seldom, settings, slots, version
from firmware import grid as grids
from firmware.aggregate import Window
from firmware.clock import ADJUSTED, Clock
from firmware.leases import LeaseLost
from firmware.life import Life, flash_blocks
from firmware.log import Log
from firmware.outbox.log import OutboxFull
from firmware.tasks import watchdog
from firmware.tasks.supervisor import Supervisor
from wire import frame, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.session import Session
    from firmware.tasks.supervisor import Task
    from wire.profiles import Profile

PROVEN_MS = 60000  # a start that lived so long, or delivered data, was no early death
LEFT_MS = 900000  # the watchdog cannot be stopped: a board that is left at the REPL starts again by itself


class Node:
    """The running board. Tasks get it whole; what they use is its public part."""

    board: dict  # these come with `firmware.begin.load`
    settings: "settings.Settings"
    life: Life
    link: "Any"  # of firmware.links

    def __init__(self, root: str, port: "Any", console: "Any", safe: bool = False) -> None:  # seldom
        self.root = root
        self.port = port
        self.safe = safe
        self.clock = Clock(port)
        self.log = Log(console.write)
        self.console = console
        self.wake = asyncio.Event()
        self.grids: "list[grids.Grid]" = []
        self.sessions: "list[Session]" = []
        self.turning: "list[tuple]" = []  # (grid, profile that follows it, its first window): settings tell it, the outbox not yet
        self.health_due_ms = 0
        self.boot = slots.boot_id(root)
        self.supervisor = Supervisor(self.clock, self.log, self._task_failed)
        self.sensors: "list[Any]" = []
        self.exchange: "Any" = None  # of boards that save power: when the link may be used
        self.power: "Any" = None  # of boards that sleep
        self._control: "Any" = None
        self._proven = False
        self._supply_mv = 0  # highest of this boot
        self._supply_lost = False
        self._odd = 0  # bit n: the grid in place n began an odd number of aggregates

    # --- building ---

    def read_board(self) -> dict:  # seldom
        """The board's description, whole. `board` keeps of it what a running board still asks for."""
        with open(self.root + "/board.json") as f:
            description: dict = json.load(f)
        return description

    def session_of(self, life: Life) -> "Session":  # seldom
        return self.link.session(life, self.clock, self.settings.get, self._hello, self._asked)  # type: ignore[no-any-return]

    def new_grid(self, slot: int, profile: "Profile") -> grids.Grid:  # seldom
        return grids.Grid(slot, profile, self.life.outbox, self.clock, self.boot, self._open_window)

    def _open_window(self, slot: int, profile: "Profile") -> Window:  # seldom
        """An aggregate for the grid in place `slot`. Totals begin with it, under another mark than in the boot before and
        than with the aggregate that this grid had before."""
        mark = self.boot << 1 | self._odd >> slot & 1
        window = Window(profile.items, profile.window_s * 1000, self.settings.get("min_count"), mark)
        self._odd ^= 1 << slot  # not before: where the heap had no room, none began
        if self.settings.get("cal_item"):
            from firmware.correction import Correction

            window.correction = Correction(profile.items, self.settings.get)
        return window

    # --- what tasks use ---

    def event(self, code: int, arg: int = 0) -> None:  # seldom
        """Put an event into the outbox and let it be sent; the log alone tells it when flash takes nothing."""
        try:
            self.sessions[0].note(self.life.event(code, arg))
        except OutboxFull as error:
            self.log.error("node", "event %d %d not stored, %s", code, arg, error)
        self.wake.set()

    def free_blocks(self) -> int:  # seldom
        return flash_blocks(self.root)[0]

    async def wait(self, timeout_ms: int) -> None:
        """Until something is to be sent, at most `timeout_ms`."""
        try:
            await self.port.wait_for_ms(self.wake.wait(), timeout_ms)
        except asyncio.TimeoutError:
            pass

    def acknowledged(self, session: "Session") -> None:
        """Data arrived at a gateway: this start has proved itself; an earlier life that is empty goes."""
        self._prove()
        if session is not self.sessions[0] and session.life.outbox.drained():
            self._end_life(session)

    def _end_life(self, session: "Session") -> None:  # seldom
        self.log.info("node", "earlier life %08x is delivered", session.life.id)
        self.sessions.remove(session)
        self.settings.forget_previous(session.life.id)
        session.life.erase()

    def _prove(self) -> None:
        if not self._proven:
            self._proven = True
            slots.confirm(self.root)

    async def care(self, task: "Task") -> None:
        """What has to be looked after now and then."""
        while True:
            task.beat()
            forget("wire.channel_table", "wire.settings", "wire.settings_radio")  # asked for by what is new, too
            forget_seldom()
            self.port.collect()
            self._watch_supply(self.port.supply_mv())
            if self._control and self._control.rested():
                self._control = None
            if self.clock.uptime_ms() >= PROVEN_MS:
                self._prove()
            await self.clock.sleep_ms(10000)

    def _watch_supply(self, supply_mv: "int | None") -> None:
        """Events when the supply falls from what it was in this boot, and when it is back."""
        if supply_mv is None:
            return
        self._supply_mv = max(self._supply_mv, supply_mv)
        if self._supply_lost:
            lost = supply_mv * 10 <= self._supply_mv * 9
        else:
            lost = supply_mv * 5 < self._supply_mv * 4
        if lost != self._supply_lost:
            self._supply_lost = lost
            self.event(messages.SUPPLY_LOST if lost else messages.SUPPLY_BACK, supply_mv)

    def _task_failed(self, task: "Task") -> None:  # seldom
        self.event(messages.TASK_RESTARTED, task.number)

    # --- what a gateway asks ---

    def _hello(self, life: Life) -> "messages.Hello":  # seldom
        state = life.outbox.state
        ids = tuple([grid.profile.id for grid in self.grids]) if life is self.life else ()
        return messages.Hello(
            self.boot,
            self.clock.uptime_ms(),
            self.port.reset_cause(),
            frame.VERSION,
            version.NUMBER,
            int(self.clock.synced),
            life.outbox.held(),
            state.next_seq,
            messages.Totals(*state.totals),
            ids,
        )

    def _asked(self, session: "Session", message: "Any", sent_ms: int) -> None:
        if isinstance(message, (messages.TimeMsg, messages.AckTime)):
            outcome = self.clock.offer(message.unix_ms, message.held_ms, sent_ms)
            if outcome != ADJUSTED:  # first, in a step, or refused: not in the daily run of a board
                from firmware.tasks import told_time

                told_time.take(self, outcome)
                forget("firmware.tasks.told_time")
        elif session is self.sessions[0]:  # settings and commands belong to the present life
            self._answer(session, message)

    def _answer(self, session: "Session", message: "Any") -> None:  # seldom
        if isinstance(message, messages.Calibrate):
            from firmware.tasks import calibrate

            answer: "Any" = calibrate.answer(self, message)
        else:
            if self._control is None:
                from firmware.tasks.control import Control  # most boards run for months without being asked

                self._control = Control(self)
            answer = self._control.answer(message)
        if answer is not None:
            session.reply(answer)


async def _begin(node: Node) -> bool:  # seldom
    """Whether the board goes on; False: it starts anew."""
    dog = node.port.watchdog(watchdog.TIMEOUT_MS)  # from here on: a board that hangs while it loads comes back
    from firmware import begin

    try:
        if begin.finishes(node):
            return False
        begin.load(node)
    except settings.NeedsProvisioning as error:
        await begin.say(node, dog, str(error))
    except LeaseLost:
        await begin.say(node, dog, "both copies of the lease are unreadable")
    if node.sessions:
        begin.add_tasks(node)
    return True


async def run(node: Node) -> None:
    if await _begin(node):
        forget("firmware.begin", "firmware.profiles", "wire.calibration")  # nothing of it is needed from here on
        if node.sessions:
            await node.supervisor.run()
        else:
            from firmware import bridge

            await bridge.run(node)


def main(root: str = "", safe: bool = False) -> None:
    """Run until somebody interrupts (KeyboardInterrupt passes through to main.py)."""
    from firmware import hal

    hal.prepare_loop()
    console = hal.console()
    console.open()
    node = Node(root, hal, console, safe)
    try:
        asyncio.run(run(node))
    except KeyboardInterrupt:
        hal.watchdog(LEFT_MS)
        raise
    finally:
        for session in node.sessions:
            session.life.outbox.close()
        console.close()
