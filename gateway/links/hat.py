"""An ear on the Raspberry Pi itself: an SX1262 HAT on SPI, driven by the boards' own driver.

It hears one channel and one spreading factor at once, as a bridge does, and needs no second computer: the driver is
firmware/drivers/sx1262.py, the port hat_port.py (ADR 80). Nothing here is loaded unless a HAT is configured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from firmware.drivers.sx1262 import Sx1262
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_hat import Hat
from gateway.links.ear import CLOCK_MASK, Downlink, Heard, HeardSink, apart
from gateway.links.hat_port import HatPort, Wiring
from wire.airtime import airtime_us
from wire.regions import DOWNLINK_HZ, power_limit_dbm

log = logging.getLogger("hat")

RETRY_S = 5.0  # a radio that failed is started anew after this
LISTEN_MS = 100  # an order waits for at most this until it is looked at,
AWAIT_MS = 20  # and for this while an answer may come: the cell gives out the last ones 60 ms before they begin
AWAITED_S = 1.2  # so long after a frame
LEAD_US = 150_000  # before an order's time the receiver is left
LATE_US = 2_000  # a node's window bears so much
AFTER_S = 3.0  # from the beginning of a downlink to the report of its end
FRAME_MAX = 255
TICKS = 1 << 30
Options = dict[str, int]


class Port(Protocol):
    """What this ear needs of a port besides what the driver needs."""

    def now_us(self) -> int: ...

    def us_diff(self, a: int, b: int, /) -> int: ...

    def close(self) -> None: ...


class LoopClock:
    """The driver's clock on the event loop's."""

    def ticks_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000) % TICKS

    @staticmethod
    def ticks_diff(a: int, b: int) -> int:
        return (a - b + TICKS // 2) % TICKS - TICKS // 2

    @staticmethod
    async def sleep_ms(duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1000)


def hat_ears(config: Config, on_heard: HeardSink, clock: Clock) -> list[HatEar]:
    """The HATs of a configuration."""
    return [_made(hat, config.lora.sf, on_heard, clock) for hat in config.hat]


def _made(hat: Hat, sf: int, on_heard: HeardSink, clock: Clock) -> HatEar:
    bus, device = (int(part) for part in hat.spi.split("."))
    wiring = Wiring(
        bus, device, hat.gpio_chip, hat.reset, hat.busy, hat.irq, hat.nss, hat.rxen, hat.txen, hat.enable
    )  # fmt: skip
    options = {
        "tcxo_mv": hat.tcxo_mv, "dio2_switch": int(hat.dio2_switch), "dcdc": int(hat.dcdc), "public": int(hat.public),
    }  # fmt: skip
    limit_dbm = power_limit_dbm(DOWNLINK_HZ, round(100 * (hat.antenna_gain_dbi - hat.cable_loss_db)))
    return HatEar(hat.name, wiring, options, (hat.freq_hz, sf), min(hat.power_dbm, limit_dbm), on_heard, clock)


class HatEar:
    """`options`: tcxo_mv, tcxo_ms, dio2_switch, dcdc, public as the driver takes them. `open_port` raises OSError or ImportError."""

    single = True

    def __init__(
        self,
        name: str,
        wiring: Wiring,
        options: Options,
        tuned: tuple[int, int],
        power_max_dbm: int,
        on_heard: HeardSink,
        clock: Clock,
        open_port: Callable[[Wiring], Port] = HatPort,
    ) -> None:
        self.name = name
        self.power_max_dbm = power_max_dbm
        self.state = "not started yet"
        self._wiring = wiring
        self._options = options
        self._tuned = tuned
        self._on_heard = on_heard
        self._clock = clock
        self._open_port = open_port
        self._port: Port | None = None
        self._radio: Any = None
        self._orders: list[tuple[Downlink, asyncio.Future[str]]] = []
        self._now_us = 0  # the ear's clock when the port's was last looked at; it goes on over every opening
        self._ticks = -1
        self.starts = 0

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def channels(self) -> tuple[int, ...]:
        return self._tuned[:1]

    @property
    def sfs(self) -> tuple[int, ...]:
        return self._tuned[1:]

    def facts(self) -> dict[str, Any]:
        """For the status."""
        told: dict[str, Any] = {"spi": f"{self._wiring.spi_bus}.{self._wiring.spi_device}", "starts": self.starts}
        if self._radio is not None:
            told |= {
                "radio": self._radio.identity,
                "crc_errors": self._radio.crc_errors,
                "header_errors": self._radio.header_errors,
                "missed_irqs": self._radio.missed_irqs,
            }
        return told

    def now_us(self) -> int:
        """The ear's clock: the port's, continued to 32 bits."""
        if self._port is not None:
            ticks = self._port.now_us()
            self._now_us = (self._now_us + (ticks - self._ticks) % TICKS) & CLOCK_MASK
            self._ticks = ticks
        return self._now_us

    def tune(self, freq_hz: int, sf: int) -> None:
        self._tuned = (freq_hz, sf)

    # -- life cycle ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            try:
                self._port = self._open_port(self._wiring)
                if self._ticks < 0:
                    self._ticks = self._port.now_us()
                await self._live(self._port)
            except ImportError as error:
                self._stopped(f"the module {error.name} is missing: pip install 'steiger[hat]'")
            except OSError as error:
                self._stopped(_words(error))
            finally:
                self._fail("closed")
                self.now_us()
                port, self._port = self._port, None
                if port is not None:
                    port.close()
            await asyncio.sleep(RETRY_S)

    def _stopped(self, why: str) -> None:
        if why != self.state:
            log.error("%s: %s", self.name, why)
        self.state = why

    async def _live(self, port: Port) -> None:
        radio = self._radio = Sx1262(port, LoopClock(), self._options)
        await radio.start()
        self.starts += 1
        self.state = "open"
        log.info("%s: %s hears", self.name, radio.identity)
        loop = asyncio.get_running_loop()
        heard_s = -AWAITED_S
        while True:
            wait_ms = AWAIT_MS if loop.time() - heard_s < AWAITED_S else LISTEN_MS
            now_us = self.now_us()
            due = min(self._orders, key=lambda order: apart(order[0].at_us, now_us), default=None)
            if due is not None and apart(due[0].at_us, now_us) < LEAD_US + wait_ms * 1000:
                self._orders.remove(due)
                await self._transmit(radio, port, *due)
                continue
            freq_hz, sf = self._tuned
            radio.tune(freq_hz, sf, self.power_max_dbm, False)
            heard = await radio.listen(wait_ms)
            if heard is not None:
                heard_s = loop.time()
                self._hand_over(heard, port, freq_hz, sf)

    def _hand_over(self, heard: tuple[bytes, int, int, int, int, int], port: Port, freq_hz: int, sf: int) -> None:
        frame, rssi_dbm, snr_qdb, signal_dbm, error_hz, end_ticks = heard
        now_us = self.now_us()
        ago_us = max(0, port.us_diff(self._ticks, end_ticks))
        self._on_heard(
            Heard(
                self.name,
                frame,
                freq_hz,
                sf,
                signal_dbm if snr_qdb < 0 else rssi_dbm,  # the latter holds the noise, too
                snr_qdb / 4,
                error_hz,
                (now_us - ago_us) & CLOCK_MASK,
                self._clock.wall_ms() - ago_us // 1000,
            )
        )

    async def _transmit(self, radio: Any, port: Port, downlink: Downlink, told: asyncio.Future[str]) -> None:
        left_us = apart(downlink.at_us, self.now_us())
        result = "late"
        try:
            if left_us > -LATE_US:
                power_dbm = min(downlink.power_dbm, self.power_max_dbm)
                radio.tune(downlink.freq_hz, downlink.sf, power_dbm, downlink.inverted)
                result = "radio"
                await radio.transmit(downlink.frame, (self._ticks + left_us) % TICKS)
                result = ""
        finally:
            if not told.done():
                told.set_result(result)

    # -- orders ----------------------------------------------------------------------------------------------------

    async def send(self, downlink: Downlink) -> str:
        if not 0 < len(downlink.frame) <= FRAME_MAX or not 7 <= downlink.sf <= 12:
            return "refused"
        if self.state != "open":
            return "closed"
        now_us = self.now_us()
        if apart(downlink.at_us, now_us) < -LATE_US:
            return "late"
        for other, _ in self._orders:
            first, second = sorted((other, downlink), key=lambda order: apart(order.at_us, now_us))
            if apart(second.at_us, first.at_us) < airtime_us(len(first.frame), first.sf) + LEAD_US:
                return "busy"
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        order = (downlink, told)
        self._orders.append(order)
        try:
            async with asyncio.timeout(apart(downlink.at_us, now_us) / 1e6 + AFTER_S):
                return await told
        except TimeoutError:
            return "unanswered"
        finally:
            if order in self._orders:
                self._orders.remove(order)

    def _fail(self, reason: str) -> None:
        if self.state == "open":
            self.state = reason
        for _, told in self._orders:
            if not told.done():
                told.set_result(reason)


def _words(error: OSError) -> str:
    """What is wrong and what to do, as one sentence."""
    where = f" ({error.filename})" if error.filename else ""
    if isinstance(error, PermissionError):
        return f"no permission{where}: add this user to the groups spi and gpio"
    if isinstance(error, FileNotFoundError):
        return f"no such device{where}: turn SPI on (raspi-config, Interface Options) and look at the wiring in [[hat]]"
    return str(error.args[-1]) if error.args else "the radio failed"
