"""A board that is a gateway's ear: frames go from its radio to its serial port and back (wire/bridge.py).

It has no sensors, no life and no keys: what it hands over is sealed from end to end, and it looks into none of it. What to
hear comes from the gateway after each start; until then it listens to what is usual. The log goes between the frames, as
everywhere.

The bridge's clock is 32 bits of microseconds, made of the radio port's, which wraps earlier.
"""

from firmware import version
from firmware.tasks import watchdog
from wire import WireError, bridge, regions
from wire.airtime import airtime_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

MASK = 0xFFFFFFFF
HALF = 0x80000000
LISTEN_MS = 2000  # one wait for a frame: an order to tune is followed within this
AWAIT_MS = 50  # the same while an answer may be ordered
AWAITED_MS = 1200  # so long after a frame: its answer begins after 1 s
LEAD_US = 30000  # listening ends so long before a transmission: order, tuning, ramp
LATE_US = 2000  # a transmission that would begin later than ordered by more is given up: its window is over
AHEAD_US = 10000000  # no order is given further ahead: the gateway would speak of another start of this clock
ORDERS_MAX = 8  # windows are 1 s wide
STATUS_MS = 10000
PROVEN_MS = 60000  # a start that lived so long was no early death
RETRY_MIN_MS = 2000  # a radio that failed is opened again
RETRY_MAX_MS = 60000
USUAL = (regions.UPLINKS_HZ[0], 9)


class Bridge:
    """`node`: firmware.app.Node without settings and lives; `link`: to the gateway."""

    def __init__(self, node: "Any", link: "Any") -> None:
        self._node = node
        self._link = link
        self._log = node.log
        self._clock = node.clock
        self._gain_cdbi = node.board["link"]["gain_cdbi"]
        self._radio: "Any" = None
        self._state = bridge.RADIO_STARTS
        self._freq_hz, self._sf = USUAL
        self._orders: "list[bridge.Transmit]" = []  # by time
        self._heard_ms = -AWAITED_MS
        self._ticks = 0
        self._us = 0
        self._heard = self._sent = self._failed = self._restarts = 0
        self._busy_us = 0  # on air, since the last status
        self._status_ms = 0

    # --- the clock ---

    def _now_us(self) -> int:
        port = self._radio.port
        ticks = port.now_us()
        self._us = (self._us + port.us_diff(ticks, self._ticks)) & MASK
        self._ticks = ticks
        return self._us

    def _from_ticks(self, ticks: int) -> int:
        """An instant of the radio port's clock, not long ago."""
        now = self._now_us()
        return (now - self._radio.port.us_diff(self._ticks, ticks)) & MASK

    def _until_us(self, at_us: int) -> int:
        """Positive: it is still to come."""
        return ((at_us - self._now_us() + HALF) & MASK) - HALF

    # --- the radio ---

    async def run_radio(self, task: "Task") -> None:
        """Listens and sends, for ever; it outlives a radio that fails."""
        retry_ms = RETRY_MIN_MS
        while True:
            task.beat()
            try:
                await self._open()
                self._state = bridge.RADIO_LISTENS
                self._log.info(
                    "bridge",
                    "listens at %d.%d MHz, SF%d",
                    self._freq_hz // 1000000,
                    self._freq_hz // 100000 % 10,
                    self._sf,
                )
                self._tell_status()
                retry_ms = RETRY_MIN_MS
                while True:
                    task.beat()
                    await self._turn()
            except OSError as error:
                self._log.error("bridge", "radio fails, %s", error)
                self._state = bridge.RADIO_DEAD
                self._restarts += 1
                self._give_up()
                self._tell_status()
            until_ms = self._clock.uptime_ms() + retry_ms
            retry_ms = min(2 * retry_ms, RETRY_MAX_MS)
            while self._clock.uptime_ms() < until_ms:
                task.beat()
                await self._clock.sleep_ms(min(STATUS_MS, max(1, until_ms - self._clock.uptime_ms())))

    async def _open(self) -> None:
        if self._radio is None:
            from firmware.drivers import seldom

            open_radio = seldom("firmware.drivers.radio", "open_radio")
            self._radio = await open_radio(self._node.board, self._node.port, self._clock)
            self._ticks = self._radio.port.now_us()
        self._state = bridge.RADIO_STARTS
        await self._radio.start()

    async def _turn(self) -> None:
        """One transmission, or a wait for a frame."""
        wait_ms = LISTEN_MS if self._clock.uptime_ms() - self._heard_ms > AWAITED_MS else AWAIT_MS
        if self._orders:
            left_us = self._until_us(self._orders[0].at_us) - LEAD_US
            if left_us <= 0:
                await self._transmit(self._orders.pop(0))
                return
            wait_ms = min(wait_ms, left_us // 1000 + 1)
        self._radio.tune(self._freq_hz, self._sf, 0, False)
        got = await self._radio.listen(wait_ms)
        if got is not None:
            self._hand_over(got)

    def _hand_over(self, got: "tuple[Any, ...]") -> None:
        data, rssi_dbm, snr_qdb, signal_dbm, error_hz, end_ticks = got
        if not data:
            return  # others may send such frames
        self._heard += 1
        self._heard_ms = self._clock.uptime_ms()
        end_us = self._from_ticks(end_ticks)
        self._log.debug("bridge", "heard %d bytes, %d dBm, SNR %d/4 dB", len(data), rssi_dbm, snr_qdb)
        self._say(
            bridge.Heard(
                end_us, self._now_us(), self._freq_hz, self._sf, rssi_dbm, snr_qdb, signal_dbm, error_hz, bytes(data)
            )
        )

    async def _transmit(self, order: "bridge.Transmit") -> None:
        result = bridge.LATE
        end_us = self._now_us()
        if self._until_us(order.at_us) >= -LATE_US:
            power_dbm = min(order.power_dbm, regions.power_limit_dbm(order.freq_hz, self._gain_cdbi))
            self._radio.tune(order.freq_hz, order.sf, power_dbm, bool(order.inverted))
            ahead_us = self._until_us(order.at_us)
            at_ticks = self._radio.port.us_add(self._ticks, ahead_us)
            try:
                end_us = self._from_ticks(await self._radio.transmit(order.frame, at_ticks))
            except OSError:
                self._tell(order, bridge.RADIO)
                raise
            result = bridge.DONE
            self._busy_us += airtime_us(len(order.frame), order.sf)
        self._tell(order, result, end_us)

    def _give_up(self) -> None:
        while self._orders:
            self._tell(self._orders.pop(0), bridge.RADIO)

    # --- the gateway ---

    def _say(self, message: "tuple[Any, ...]") -> None:
        self._link.send(bridge.encode(message))

    def _tell(self, order: "bridge.Transmit", result: int, end_us: int = 0) -> None:
        if result == bridge.DONE:
            self._sent += 1
        else:
            self._failed += 1
            self._log.warning("bridge", "answer %d not sent, reason %d", order.number, result)
        self._say(bridge.Sent(order.number, result, end_us))

    def _tell_status(self) -> None:
        now_ms = self._clock.uptime_ms()
        busy = min(1000, self._busy_us // max(1, now_ms - self._status_ms))
        self._status_ms = now_ms
        self._busy_us = 0
        radio = self._radio
        self._say(
            bridge.Status(
                self._now_us() if radio else 0,
                now_ms // 1000,
                version.NUMBER,
                bridge.CHIPS.index(self._node.board["radio"]["chip"]),
                self._state,
                self._freq_hz,
                self._sf,
                self._heard,
                radio.crc_errors + radio.header_errors if radio else 0,
                self._sent,
                self._failed,
                self._restarts,
                busy,
            )
        )

    async def run_listener(self, task: "Task") -> None:
        """What the gateway orders."""
        while True:
            for data in await self._link.receive():
                try:
                    self._take(bridge.decode(data, bridge.DOWN))
                except WireError as error:
                    self._log.debug("bridge", "order refused, %s", error.reason)
            task.beat()

    def _take(self, message: "Any") -> None:
        if isinstance(message, bridge.Tune):
            if (message.freq_hz, message.sf) != (self._freq_hz, self._sf):
                self._freq_hz, self._sf = message.freq_hz, message.sf
                self._log.info("bridge", "tuned to %d kHz, SF%d", message.freq_hz // 1000, message.sf)
            self._tell_status()
        elif isinstance(message, bridge.Transmit):
            self._order(message)
        else:
            self._tell_status()

    def _order(self, order: "bridge.Transmit") -> None:
        if self._state != bridge.RADIO_LISTENS:
            self._tell(order, bridge.RADIO)
            return
        if regions.band_of(order.freq_hz) < 0:
            self._tell(order, bridge.REFUSED)
            return
        ahead_us = self._until_us(order.at_us)
        if not LATE_US < ahead_us < AHEAD_US:
            self._tell(order, bridge.LATE)
            return
        airtime = airtime_us(len(order.frame), order.sf)
        at = 0
        for other in self._orders:
            other_us = self._until_us(other.at_us)
            if other_us - LEAD_US < ahead_us + airtime and ahead_us - LEAD_US < other_us + airtime_us(
                len(other.frame), other.sf
            ):
                self._tell(order, bridge.BUSY)
                return
            at += other_us < ahead_us
        if len(self._orders) >= ORDERS_MAX:
            self._tell(order, bridge.BUSY)
            return
        self._orders.insert(at, order)

    async def run_status(self, task: "Task") -> None:
        """That it lives, now and then; and the port's clock is followed across its wrap."""
        from firmware import slots

        proven = False
        while True:
            task.beat()
            self._node.port.collect()
            if not proven and self._clock.uptime_ms() >= PROVEN_MS:
                slots.confirm(self._node.root)
                proven = True
            self._tell_status()
            await self._clock.sleep_ms(STATUS_MS)


async def run(node: "Any") -> None:
    """The program of a bridge board, for ever."""
    from firmware.links.serial import SerialLink

    one = Bridge(node, SerialLink(node.console))
    node.log.info("bridge", "%s, boot %d%s", node.board["board"], node.boot, ", safe mode" if node.safe else "")
    supervisor = node.supervisor
    supervisor.add("listen", one.run_listener)
    supervisor.add("radio", one.run_radio)
    supervisor.add("status", one.run_status)
    supervisor.add("watchdog", watchdog.run, supervisor, node.port, node.clock, node.log)
    await supervisor.run()
