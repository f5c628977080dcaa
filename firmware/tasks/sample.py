"""One task a sensor: start it, read it in its period, give the readings to every open window; begin anew when it fails.

What was not measured is told to the windows (`missed`, `refuse`), so that coverage and causes are true.
"""

from firmware.drivers import NO_ANSWER, NOT_MEASURED, WARMING_UP, SensorError
from wire.messages import (
    CALIBRATE_MIC,
    FAN_CLEAN,
    SELF_TEST,
    SELF_TEST_FAILED,
    SELF_TEST_PASSED,
    SENSOR_BACK,
    SENSOR_LOST,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

BACKOFF_MIN_MS = 1000
BACKOFF_MAX_MS = 60000
REST_MS = 10000  # longest rest without showing that the task lives
LOST_AFTER = 3  # failures in a row before the event "sensor lost"
_WISHES = {FAN_CLEAN: "clean", SELF_TEST: "self_test", CALIBRATE_MIC: "calibrate"}  # methods of drivers


class Sensor:
    """A driver with its place on the board (`number`, which events name) and what it gives."""

    hearers: "tuple[Any, ...]" = ()  # `hear` of the drivers that need what others give

    def __init__(self, number: int, driver: "Any", bus: "Any") -> None:  # seldom
        self.number = number
        self.driver = driver
        self.bus = bus
        self.items: "tuple[tuple[int, int], ...]" = driver.items
        self.failures = 0
        self.lost = False
        self.stopped = True  # the chip rests
        self._refused = False  # what it said last, which holds for as long as it rests
        self._halting = False
        self._wish = 0  # a command of wire.messages that waits

    def configure(self, settings: "Any") -> None:  # seldom
        """Give the driver the settings that it follows."""
        for name in self.driver.SETTINGS:
            self.driver.configure(name, settings.get(name, self.driver.instance))

    def request(self, code: int) -> bool:  # seldom
        """A self test, a cleaning, a calibration is done between two readings, a self test also of a sensor that does not
        start; False if the driver has none."""
        if not hasattr(self.driver, _WISHES[code]):
            return False
        self._wish = code
        return True

    async def _grant(self, node: "Any") -> None:  # seldom
        code, self._wish = self._wish, 0
        if code != SELF_TEST:
            await getattr(self.driver, _WISHES[code])()
            return
        passed = True
        try:
            rows = await self.driver.self_test()
        except OSError:
            self._recover()
            rows = (("bus", False, 0),)
        for name, good, detail in rows:
            node.log.info(
                "sensor %d" % self.number, "self test %s, %s %d", name, "passed" if good else "FAILED", detail
            )
            passed = passed and good
        node.event(SELF_TEST_PASSED if passed else SELF_TEST_FAILED, self.number)

    def _asked(self) -> bool:
        """A self test waits that needs no sensor that runs: what does not start is what one wants to know of."""
        return self._wish == SELF_TEST and not self._halting

    def halt(self, halting: bool = True) -> None:
        """Stop the chip after the reading under way, and start it no more; or go on."""
        self._halting = halting

    def failed(self, node: "Any", error: SensorError) -> None:
        self.failures += 1
        node.log.debug("sensor %d" % self.number, "no reading, %s", error)
        if self.failures == LOST_AFTER and not self.lost:
            self.lost = True
            node.log.warning("sensor %d" % self.number, "lost, %s", error)
            node.event(SENSOR_LOST, self.number)

    def worked(self, node: "Any") -> None:
        self.failures = 0
        self._refused = False
        if self.lost:
            self.lost = False
            node.log.info("sensor %d" % self.number, "back")
            node.event(SENSOR_BACK, self.number)

    async def _start(self, node: "Any") -> bool:  # seldom
        self._refused = False
        try:
            await self.driver.start()
            node.log.info("sensor %d" % self.number, "started, %s", self.driver.identity)
            return True
        except OSError:
            error = SensorError(NO_ANSWER)
            self._recover()
        except SensorError as known:
            error = known
            if error.reason == NO_ANSWER:
                self._recover()  # newer ports tell a bus that a chip holds as an address that nobody has
        self.failed(node, error)
        return False

    def _recover(self) -> None:
        if hasattr(self.bus, "recover"):
            self.bus.recover()

    async def _read(self, node: "Any") -> bool:
        """One reading into all windows; False if the sensor has to be started anew."""
        driver = self.driver
        try:
            if self._wish:
                await self._grant(node)
            readings = await driver.read()
        except OSError:
            self._recover()
            error = SensorError(NO_ANSWER, False)
        except SensorError as known:
            error = known
        else:
            span_ms = driver.covered_ms
            for grid in node.grids:
                if grid.window is not None:
                    for channel, instance, value, flag in readings:
                        grid.window.add(channel, instance, value, span_ms, flag)
                    if driver.lost_ms:
                        grid.window.missed(driver.lost_ms, self.items)
            for hear in self.hearers:
                hear(readings)
            self.worked(node)
            return True
        for grid in node.grids:
            if grid.window is not None:
                grid.window.refuse(error.reason, driver.period_ms, self.items)
        if error.reason == WARMING_UP:
            return True
        self._refused = error.reason not in NOT_MEASURED
        self.failed(node, error)
        return error.retry  # the driver counts: it knows whether reading again can help

    async def run(self, task: "Task", node: "Any") -> None:
        """For ever: started and read, or stopped and tried again."""
        clock, backoff_ms = node.clock, BACKOFF_MIN_MS
        while True:
            task.beat()
            self.stopped = self._halting
            if not self.stopped and await self._start(node):
                due_ms = clock.uptime_ms()
                while not self._halting and await self._read(node):
                    task.beat()
                    backoff_ms = BACKOFF_MIN_MS
                    due_ms += self.driver.period_ms
                    now_ms = clock.uptime_ms()
                    if due_ms < now_ms - self.driver.period_ms:
                        due_ms = now_ms  # the board was busy for more than a period: no hurry to catch up
                    while due_ms - now_ms > REST_MS:
                        await clock.sleep_ms(REST_MS)
                        task.beat()
                        now_ms = clock.uptime_ms()
                    await clock.sleep_ms(max(0, due_ms - now_ms))
                await self.driver.stop()
            elif self._asked():
                await self._grant(node)
            self.stopped = True
            await self._rest(task, node, backoff_ms)
            backoff_ms = min(backoff_ms * 2, BACKOFF_MAX_MS)

    async def _rest(self, task: "Task", node: "Any", rest_ms: int) -> None:  # seldom
        until_ms = node.clock.uptime_ms() + rest_ms
        while True:
            task.beat()
            left_ms = until_ms - node.clock.uptime_ms()
            if left_ms <= 0 or self._asked():
                break
            step_ms = min(left_ms, REST_MS)
            await node.clock.sleep_ms(step_ms)
            for grid in node.grids:
                if grid.window is not None:
                    grid.window.missed(step_ms, self.items)
                    grid.window.refused += self._refused
