"""A board that sleeps: it wakes before a window's last `measure_s`, measures, seals, exchanges with the gateway, and
sleeps again. RAM is lost each time.

Records, totals and grid positions lie in flash anyway. RTC memory keeps the rest (firmware/power/state.py): clock,
frame counter and seq within their leases, what was acknowledged, whether the gateway knows this boot. It is believed
once: a start takes it away before it uses it. Whatever goes wrong with it, the board starts as after a power cut: a new
boot without a clock, leases begun anew, acknowledged records sent again at worst.

A wake that remembers is the same boot: boot number and uptime go on. The time asleep is told by an oscillator that may
be wrong by per cents; how wrong is learned from the gateway's time, and taken off.
"""

from firmware import slots
from firmware.power import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

DEEP_SLEEP = 4  # hal.reset_cause()
STAY_MS = 15000  # awake after switching on: a technician can break in
LEAD_MS = 3000  # start-up of chip and program
REST_MIN_MS = 3000  # a shorter sleep costs more than it saves
REST_MAX_MS = 3600000  # without any window to measure: still look for a gateway
LOOK_MS = 200
STOP_MS = 3000  # sensors have so long to end a reading and to rest
UNKNOWN_PPM = 50000  # how wrong the sleep's oscillator is before it is learned (ESP32: 5 %)
LEARNED_PPM = 1000  # and afterwards: temperature
LEARN_FROM_MS = 30000  # a shorter sleep tells less than the link's delay
RATE_MAX_PPM = 100000


class Sleeper:
    """`node`: firmware.app.Node. `numbers`: see firmware.life.Life."""

    def __init__(self, node: "Any") -> None:
        self.woken = False
        self.numbers: "dict[int, tuple[int, int]]" = {}
        self._node = node
        self._kept: "Any" = None  # iterator over what was remembered
        self._woke_ms = 0
        self._told = -1  # windows scheduled at the last exchange; -1: nobody was asked for the time yet
        self._lost = 0  # bit per sensor
        self._rate_ppm: "int | None" = None
        self._slept_ms = 0  # since the clock was set

    # --- waking ---

    def wake(self) -> None:
        """Take what was remembered, before anything else of the board is built."""
        node = self._node
        data = node.port.rtc_memory()
        if data:
            node.port.rtc_memory(b"")
        if node.port.reset_cause() != DEEP_SLEEP:
            return
        values = state.decode(data)
        if values is None or values[0] != node.boot or not self._resume_clock(values):
            node.boot = slots.new_boot(node.root)
            node.log.warning("power", "remembers nothing, begins as after a power cut")
            return
        self.woken = True

    def _resume_clock(self, values: "list[Any]") -> bool:
        node = self._node
        slept_ms = node.port.rtc_ms() - values[1]
        if slept_ms < 0:
            return False
        rate_ppm = values[2]
        slept_ms += slept_ms * (rate_ppm or 0) // 1000000
        slack_ms = slept_ms * (UNKNOWN_PPM if rate_ppm is None else LEARNED_PPM) // 1000000 + 1
        self._rate_ppm = rate_ppm
        self._slept_ms = values[3] + slept_ms
        node.exchange.due_ms, node.health_due_ms, self._lost = values[4:7]
        node.clock.resume(values[7:14], slept_ms, slack_ms)
        self._woke_ms = node.clock.uptime_ms()
        rest = values[14:]
        lives = []
        for _ in range(rest.pop(0)):
            life, counter, seq = rest[:3]
            self.numbers[life] = (counter, seq)
            talk = rest[4 : 4 + rest[3]]
            rest = rest[4 + rest[3] :]
            count = rest[1]
            ranges = [(rest[at], rest[at + 1]) for at in range(2, 2 + 2 * count, 2)]
            lives.append((life, talk, rest[0], ranges))
            rest = rest[2 + 2 * count :]
        link = rest[1 : 1 + rest[0]]
        rest = rest[1 + rest[0] :]
        starts = {}
        for at in range(0, len(rest), 2):
            starts[rest[at]] = rest[at + 1]
        self._kept = (lives, starts, link, slept_ms - slack_ms)
        return True

    def resume(self) -> None:
        """Lives, sessions and grids are there: give them what was remembered of them."""
        node = self._node
        if self._kept is None:
            return
        lives, starts, link, slept_ms = self._kept
        self._kept = None
        if link:
            node.link.resume(link, slept_ms)
        for life, talk, cum, ranges in lives:
            for session in node.sessions:
                if session.life.id == life:
                    session.life.outbox.recall(cum, ranges)
                    session.resume(*talk)
        for grid in node.grids:
            grid.resume(starts.get(grid.profile.short, self._woke_ms))
        self._told = node.life.outbox.state.totals[0]
        for entry in node.board["sensors"]:
            if "clean_at_start" in entry["params"]:
                entry["params"]["clean_at_start"] = 0  # an SPS30: it kept its supply, and counts its days by itself

    # --- going to sleep ---

    def _state(self) -> "list[int | None]":
        node = self._node
        lost = 0
        for sensor in node.sensors:
            lost |= sensor.lost << sensor.number
        values = [node.boot, node.port.rtc_ms(), self._rate_ppm, self._slept_ms]
        values += [node.exchange.due_ms, node.health_due_ms, lost]
        values += node.clock.keep()
        values.append(len(node.sessions))
        for session in node.sessions:
            life = session.life
            acked = life.outbox.state.acked
            values += [life.id, life.leases.counter, life.outbox.state.next_seq]
            talk = session.keep()
            values.append(len(talk))
            values += talk
            values += [acked.cum, len(acked.ranges)]
            for span in acked.ranges:
                values += span
        link = node.link.keep() if hasattr(node.link, "keep") else ()
        values.append(len(link))
        values += link
        for grid in node.grids:
            values += [grid.profile.short, grid.start_ms]
        return values

    def _learn(self) -> None:
        """Compare what the sleep's oscillator told with what a gateway said since."""
        clock = self._node.clock
        if not clock.set_since(self._woke_ms):
            return
        if self._slept_ms >= LEARN_FROM_MS and clock.moved_ms:
            error_ppm = clock.moved_ms * 1000000 // self._slept_ms
            rate_ppm = error_ppm if self._rate_ppm is None else self._rate_ppm + error_ppm // 4
            self._rate_ppm = max(-RATE_MAX_PPM, min(RATE_MAX_PPM, rate_ppm))
        self._slept_ms = 0

    def _rest_ms(self, now_ms: int) -> int:
        """How long nothing has to be measured; 0 or less while it has."""
        get = self._node.settings.get
        awake_ms = (get("measure_s") + get("warmup_s")) * 1000 + LEAD_MS
        rest_ms = REST_MAX_MS
        for grid in self._node.grids:
            due_ms = grid.deadline_ms()
            if due_ms is not None:
                rest_ms = min(rest_ms, due_ms - awake_ms - now_ms)
        return rest_ms

    async def _go(self, task: "Task") -> None:
        node, clock = self._node, self._node.clock
        until_ms = clock.uptime_ms() + STOP_MS
        waiting = list(node.sensors)
        for sensor in waiting:
            sensor.halt()
        while waiting and clock.uptime_ms() < until_ms:
            await clock.sleep_ms(50)
            waiting = [sensor for sensor in waiting if not sensor.stopped]
        rest_ms = self._rest_ms(clock.uptime_ms())
        if rest_ms < REST_MIN_MS:
            for sensor in node.sensors:
                sensor.halt(False)
            return
        self._learn()
        data = state.encode(self._state())
        if len(data) > state.SIZE_MAX:
            data = b""
        for session in node.sessions:
            session.life.outbox.close()
        node.port.rtc_memory(data)
        node.port.deepsleep(rest_ms - rest_ms * (self._rate_ppm or 0) // 1000000)

    async def run(self, task: "Task") -> None:
        """The task that decides."""
        node, clock, exchange = self._node, self._node.clock, self._node.exchange
        for sensor in node.sensors:
            sensor.lost = sensor.lost or bool(self._lost >> sensor.number & 1)
        while True:
            task.beat()
            now_ms = clock.uptime_ms()
            rest_ms = self._rest_ms(now_ms)
            told = node.life.outbox.state.totals[0]
            if not exchange.is_open:
                if now_ms >= exchange.due_ms and (self._told < 0 or rest_ms > 0 and told != self._told):
                    self._told = told
                    exchange.begin(now_ms)
                    node.wake.set()
                elif rest_ms >= REST_MIN_MS and (self.woken or now_ms >= STAY_MS):
                    await self._go(task)
            await clock.sleep_ms(LOOK_MS)
