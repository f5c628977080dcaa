"""What a gateway may ask of a board beside records: settings and commands. Loaded when it first asks."""

import asyncio

from firmware import grid as grids
from firmware import profiles
from firmware.settings import GRIDS_MAX
from firmware.tasks import health
from firmware.tasks.commands import Commands
from wire import messages
from wire.settings import SETTINGS, by_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLINK_MAX_S = 600
RESTART_MS = 1000  # between answering a restart command and doing it


class Control:
    """Answers messages; `node`: firmware.app.Node."""

    def __init__(self, node: "Any") -> None:
        self._node = node
        self._commands = Commands(node.root, node.clock, self._run)

    def answer(self, message: "Any") -> "Any":
        """The message to send back, None if this is not for us."""
        if isinstance(message, messages.Command):
            return self._commands.take(message)
        if isinstance(message, messages.GetSetting):
            return self._value(message.id, message.instance, 1)
        if isinstance(message, messages.SetSetting):
            return self._value(message.id, message.instance, self._set(message.id, message.instance, message.value))
        return None

    def _value(self, setting_id: int, instance: int, ok: int) -> "messages.SettingValue":
        if not 0 < setting_id <= len(SETTINGS):
            return messages.SettingValue(setting_id, instance, 0, 0)
        value = self._node.settings.get(by_id(setting_id).name, instance)
        return messages.SettingValue(setting_id, instance, value, ok)

    def _set(self, setting_id: int, instance: int, value: int) -> int:
        """1 if it is set and stored."""
        node = self._node
        if not 0 < setting_id <= len(SETTINGS):
            return 0
        name = by_id(setting_id).name
        if name == "grid_until_s":
            if not node.clock.synced:
                return 0  # without a clock nobody knows which windows are closed already
            for grid in node.grids:
                value = max(value, grid.end_s()) if value else 0
        elif name == "window_s" or name in profiles.CALIBRATION:
            if len(node.life.stored["grids"]) >= GRIDS_MAX and not node.life.outbox.drained():
                return 0  # each profile must be remembered until its last record is delivered
        if not node.settings.put(name, instance, value):
            return 0
        if name == "grid_until_s":
            for grid in node.grids:
                grid.set_until(value)
        elif name == "log_level":
            node.log.set_level(value)
        elif name == "health_s":
            node.health_due_ms = min(node.health_due_ms, node.clock.uptime_ms() + value * 1000)
        self._plan()
        node.event(messages.SETTING_CHANGED, setting_id)
        return 1

    def _plan(self) -> None:
        """Profiles that differ from what the settings want are replaced at the end of their open windows."""
        wanted = profiles.wanted(self._node.board, self._node.settings)
        for grid in self._node.grids:
            if grid.slot < len(wanted):
                changed = not profiles.same(grid.profile, wanted[grid.slot])
                grid.successor = wanted[grid.slot] if changed else None

    def _run(self, code: int, arg: int) -> "tuple[int, int]":
        """(result, value) of a command."""
        if code == messages.SEND_HEALTH:
            health.put_health(self._node)
        elif code == messages.RESTART:
            asyncio.create_task(self._restart())
        elif code == messages.IDENTIFY and "led" in self._node.board:
            asyncio.create_task(self._blink(self._node.board["led"], min(max(arg, 1), BLINK_MAX_S)))
        elif code == messages.SELF_TEST or code == messages.FAN_CLEAN:
            return self._ask_sensors(code, arg)
        else:
            return messages.UNSUPPORTED, 0
        return messages.DONE, 0

    def _ask_sensors(self, code: int, arg: int) -> "tuple[int, int]":
        known = [sensor for sensor in self._node.sensors if sensor.number == arg or code == messages.SELF_TEST]
        for sensor in known:
            if not sensor.request(code):
                return messages.UNSUPPORTED, arg
        return (messages.DONE, 0) if known else (messages.FAILED, arg)

    async def _blink(self, pin: int, seconds: int) -> None:
        """Five times a second: nothing else on a board does so."""
        for _ in range(seconds * 5):
            self._node.port.led(pin, 1)
            await self._node.clock.sleep_ms(100)
            self._node.port.led(pin, 0)
            await self._node.clock.sleep_ms(100)

    async def _restart(self) -> None:
        await self._node.clock.sleep_ms(RESTART_MS)
        self._node.port.reset()


def replace(node: "Any", grid: "grids.Grid") -> None:
    """A window of `grid` has just closed and its profile has a successor: settings first, then the log, which a boot
    completes."""
    if grid.index is None or grid.window is None or grid.successor is None:
        return
    outbox, stored, end_s = node.life.outbox, node.life.stored["grids"], grid.end_s()
    profile = profiles.fresh(grid.successor, [entry[0] for entry in stored])
    descriptor = grid.profile.encode().hex()
    for entry in stored:
        if entry[0] == descriptor:
            entry[3] = grid.index
    first = end_s // profile.window_s
    stored.append([profile.encode().hex(), grid.slot, first, 0])
    while len(stored) > GRIDS_MAX and outbox.drained():
        for place, entry in enumerate(stored):
            if entry[3]:
                stored.pop(place)
                break
    node.settings.store()
    grids.end_grid(outbox, grid.profile.short, grid.index)
    for sensor in node.sensors:
        sensor.configure(node.settings)
    following = node.new_grid(grid.slot, profile)
    following.begin(first, grid.until_s)
    following.start_ms = node.clock.uptime_ms()
    following.index = first
    node.grids[node.grids.index(grid)] = following
