"""An ear on a serial port: a bridge board hands over what its radio hears, and sends what it is given (wire/bridge.py).

The port is that of any node (gateway/links/serial.py): exclusive, back after every unplugging, lent on request, tapped by a
monitor. The bridge keeps no settings; what it is to hear is said again whenever the port was opened or the board started.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from gateway.clock import Clock
from gateway.config import Config
from gateway.links.ear import CLOCK_MASK, Downlink, Heard, HeardSink
from gateway.links.serial import Input, SerialLink
from wire import WireError, bridge

log = logging.getLogger("bridge")

LOOK_S = 1.0  # a port that was opened, or a board that started, is told within this what to hear
SILENT_S = 30.0  # three statuses
ASK_S = 5.0  # for a status, when none comes
ANSWER_S = 6.0  # from order to report: 1 s to the window, 3.6 s on air, the port
MakeLink = Callable[[str, int, Input, Clock], SerialLink]
RESULTS = {bridge.DONE: "", bridge.LATE: "late", bridge.BUSY: "busy", bridge.RADIO: "radio", bridge.REFUSED: "refused"}


def bridge_ears(
    config: Config, on_heard: HeardSink, sink: Input, clock: Clock, make_link: MakeLink = SerialLink
) -> list[BridgeEar]:
    """The bridges of a configuration."""
    return [
        BridgeEar(
            b.name, b.port, b.baudrate, (b.freq_hz, config.lora.sf), b.power_dbm, on_heard, sink, clock, make_link
        )
        for b in config.bridge
    ]


class BridgeEar:
    """`sink` is told of the board's log lines and says when inputs must wait; frames go to `on_heard`."""

    single = True

    def __init__(
        self,
        name: str,
        port: str,
        baudrate: int,
        tuned: tuple[int, int],
        power_max_dbm: int,
        on_heard: HeardSink,
        sink: Input,
        clock: Clock,
        make_link: MakeLink = SerialLink,
    ) -> None:
        self.name = name
        self.power_max_dbm = power_max_dbm
        self.link = make_link(port, baudrate, self, clock)
        self.dropped: Counter[str] = Counter()  # messages on the port that are none of a bridge, by reason
        self.status: bridge.Status | None = None
        self._tuned = tuned
        self._on_heard = on_heard
        self._sink = sink
        self._bits_a_byte_ms = 10_000 / baudrate
        self._number = 0
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._opens = 0
        self._opened_s = 0.0
        self._status_s = 0.0
        self._asked_s = 0.0

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def channels(self) -> tuple[int, ...]:
        return self._tuned[:1]

    @property
    def sfs(self) -> tuple[int, ...]:
        return self._tuned[1:]

    @property
    def state(self) -> str:
        if self.link.state != "open":
            return self.link.state
        if self.status is None:
            if self.dropped["node"]:
                return (
                    "a node is on this port, no bridge: name the port in [[serial]], or provision the board as a bridge"
                )
            return "no bridge answers: steiger node provision --board …-bridge makes one"
        if self.status.radio == bridge.RADIO_STARTS:
            return "the bridge's radio starts"
        if self.status.radio != bridge.RADIO_LISTENS:
            return "the bridge's radio does not answer: look at its wiring and its board file"
        return "open"

    def facts(self) -> dict[str, Any]:
        """For the status: what the board tells of itself."""
        told: dict[str, Any] = {"port": self.link.name, "dropped": dict(self.dropped)}
        if self.status is not None:
            told["bridge"] = self.status._asdict()
        return told

    # -- life cycle ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.link.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        """Tell the board what to hear, and notice that it is silent."""
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time()
            if self.link.state != "open":
                self._fail("closed")
                self.status = None
            elif self.link.opens != self._opens:
                self._opens = self.link.opens
                self._opened_s = now_s
                self._ask(now_s)
                self._say_tuned()
            elif now_s - max(self._status_s, self._opened_s) > SILENT_S:
                self.status = None
                if now_s - self._asked_s >= ASK_S:
                    self._ask(now_s)
            await asyncio.sleep(LOOK_S)

    def _ask(self, now_s: float) -> None:
        self._asked_s = now_s
        self.link.send(bytes(bridge.encode(bridge.AskStatus())))

    def tune(self, freq_hz: int, sf: int) -> None:
        if (freq_hz, sf) != self._tuned:
            self._tuned = freq_hz, sf
            self._say_tuned()

    def _say_tuned(self) -> None:
        self.link.send(bytes(bridge.encode(bridge.Tune(*self._tuned))))

    # -- from the board: what the port delivers to (gateway.links.serial.Input) ------------------------------------------

    @property
    def crowded(self) -> bool:
        return self._sink.crowded

    async def room(self, timeout_s: float) -> bool:
        return await self._sink.room(timeout_s)

    def later(self, take: Callable[[], None], size: int) -> bool:
        return False  # what it hears is answered within a second

    def on_text(self, link: SerialLink, text: bytes) -> None:
        self._sink.on_text(link, text)

    def on_frame(self, link: SerialLink, frame: bytes, received_ms: int, fresh: bool) -> None:
        try:
            message = bridge.decode(frame, bridge.UP)
        except WireError as error:
            node = error.reason == "type" and frame[0] & 31 != bridge.TO_GATEWAY
            self.dropped["node" if node else error.reason] += 1
            return
        if isinstance(message, bridge.Heard):
            self._heard(message, received_ms - round((len(frame) + 4) * self._bits_a_byte_ms), fresh)
        elif isinstance(message, bridge.Sent):
            waiting = self._waiting.pop(message.number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(RESULTS.get(message.result, "refused"))
        else:
            self._told(message)

    def _heard(self, heard: bridge.Heard, handed_ms: int, fresh: bool) -> None:
        kept_us = (heard.handed_us - heard.end_us) & CLOCK_MASK  # by the board, between the air and the port
        snr_db = heard.snr_qdb / 4
        self._on_heard(
            Heard(
                self.name,
                heard.frame,
                heard.freq_hz,
                heard.sf,
                heard.signal_dbm if snr_db < 0 else heard.rssi_dbm,  # the latter holds the noise, too
                snr_db,
                heard.freq_error_hz,
                heard.end_us,
                handed_ms - kept_us // 1000,
                fresh,
            )
        )

    def _told(self, status: bridge.Status) -> None:
        self.status = status
        self._status_s = asyncio.get_running_loop().time()
        self.dropped["node"] = 0
        if (status.freq_hz, status.sf) != self._tuned:  # it started again, or missed the word
            self._say_tuned()

    # -- to the board ----------------------------------------------------------------------------------------------

    async def send(self, downlink: Downlink) -> str:
        number = self._number
        self._number = (number + 1) & 0xFFFF
        try:
            message = bridge.Transmit(
                number, downlink.at_us, downlink.freq_hz, downlink.sf, downlink.power_dbm, int(downlink.inverted),
                downlink.frame,
            )  # fmt: skip
            order = bytes(bridge.encode(message))
        except ValueError:
            return "refused"
        if not self.link.send(order):
            return "closed"
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = told
        try:
            async with asyncio.timeout(ANSWER_S):
                return await told
        except TimeoutError:
            return "unanswered"
        finally:
            self._waiting.pop(number, None)

    def _fail(self, reason: str) -> None:
        for told in self._waiting.values():
            if not told.done():
                told.set_result(reason)
