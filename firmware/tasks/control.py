"""What a gateway may ask of a board beside records: settings and commands. Loaded when it asks, and forgotten when it asks
no more: there is no state in here."""

import asyncio

from firmware import forget
from firmware.tasks import health, plan
from firmware.tasks.commands import Commands
from wire import messages
from wire.calibration import CALIBRATION
from wire.settings import SETTINGS, by_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BLINK_MAX_S = 600
RESTART_MS = 1000  # between answering a restart command and doing it


class Control:
    """Answers messages; `node`: firmware.app.Node."""

    def __init__(self, node: "Any") -> None:
        self._idle = False
        self._number = 0  # of the last command
        self._node = node
        self._commands = Commands(node.root, node.clock, self._run)

    def answer(self, message: "Any") -> "Any":
        """The message to send back, None if this is not for us."""
        self._idle = False
        if isinstance(message, messages.Command):
            self._number = message.id
            return self._commands.take(message)
        if isinstance(message, messages.GetSetting):
            return self._value(message.id, message.instance, 1)
        if isinstance(message, messages.SetSetting):
            return self._value(message.id, message.instance, self._set(message.id, message.instance, message.value))
        return None

    def rested(self) -> bool:
        """Whether nobody asked since this was called before: then its code is forgotten."""
        idle, self._idle = self._idle, True
        if idle:
            forget("firmware.tasks.control", "firmware.tasks.commands", *plan.MODULES)
        return idle

    def _value(self, setting_id: int, instance: int, ok: int) -> "messages.SettingValue":
        if not 0 < setting_id <= len(SETTINGS):
            return messages.SettingValue(setting_id, instance, 0, 0)
        value = self._node.settings.wanted(by_id(setting_id).name, instance)
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
        elif (name == "window_s" or name in CALIBRATION) and not plan.room(node):
            return 0
        try:
            if not node.settings.put(name, instance, value, name in CALIBRATION):
                return 0
        except OSError as error:
            node.log.error("settings", "flash takes nothing, %s", error)
            return 0
        if name == "grid_until_s":
            for grid in node.grids:
                grid.set_until(value)
        elif name == "log_level":
            node.log.set_level(value)
        elif name == "health_s":
            node.health_due_ms = min(node.health_due_ms, node.clock.uptime_ms() + value * 1000)
        for sensor in node.sensors:
            sensor.configure(node.settings)
        plan.plan(node)
        node.event(messages.SETTING_CHANGED, setting_id)
        return 1

    def _run(self, code: int, arg: int) -> "tuple[int, int]":
        """(result, value) of a command."""
        if code == messages.SEND_HEALTH:
            health.put_health(self._node)
        elif code == messages.RESTART:
            asyncio.create_task(self._restart())
        elif code == messages.IDENTIFY and "led" in self._node.board:
            asyncio.create_task(self._blink(self._node.board["led"], min(max(arg, 1), BLINK_MAX_S)))
        elif code in (messages.SELF_TEST, messages.FAN_CLEAN, messages.CALIBRATE_MIC):
            return self._ask_sensor(code, arg)
        elif code == messages.RANGE_TEST and hasattr(self._node.link, "test_range"):
            return self._node.link.test_range(self._number, arg)  # type: ignore[no-any-return]
        elif code == messages.MIC_OFFSET:
            for sensor in self._node.sensors:
                if sensor.number == arg and hasattr(sensor.driver, "calibration"):
                    return sensor.driver.calibration  # type: ignore[no-any-return]
            return messages.UNSUPPORTED, arg
        else:
            return messages.UNSUPPORTED, 0
        return messages.DONE, 0

    def _ask_sensor(self, code: int, arg: int) -> "tuple[int, int]":
        for sensor in self._node.sensors:
            if sensor.number == arg:
                return (messages.DONE, 0) if sensor.request(code) else (messages.UNSUPPORTED, arg)
        return messages.FAILED, arg

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
