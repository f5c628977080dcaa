"""A range test, the gateway's side: a node is told to send numbered frames, and each ear's share of them is counted.

The frames carry nothing new (firmware/links/lora_range.py). A copy that comes later than the cell waits for copies counts as
not heard by its ear.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.links.rates import REQUIRED_DB
from gateway.models import Reception, decode_receptions
from wire import messages
from wire.airtime import airtime_us

if TYPE_CHECKING:
    from gateway.links.cell import Cell
    from gateway.session import LifeSession

COUNT_MAX = 100
SF_MAX = 10  # unless it is asked for: 20 frames at SF11 and SF12 take more than the airtime of an hour
POWER_ZERO = 10  # added to powers on the wire
FRAME_BYTES = 18
TURN_S = 2.2  # of a node from the end of one frame to the next: its window, a rest by lot, listening first
SLACK_S = 15.0  # channels that were busy
LOOK_S = 1.0


class RangeTest:
    """One test of one node. `steps` yields how far it is, and the result at last."""

    def __init__(
        self, session: LifeSession, cell: Cell, count: int, sfs: tuple[int, ...], power_dbm: int | None
    ) -> None:
        self._session = session
        self._cell = cell
        self._count = count
        self._power_dbm = power_dbm
        self._heard: dict[tuple[int, int], tuple[Reception, ...]] = {}  # (sf, number)
        self._deaf: set[tuple[str, int]] = set()  # (ear, sf): it did not listen there all the time
        self._command = 0  # the newest whose frames came: those of an earlier test may still be on their way
        self._power: int | None = None
        self._node = session.info.node
        self._sfs = self._choose(sfs)

    def _choose(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """What to ask for: (): the node's present one, which is what single-modem ears hear."""
        ears = [ear for ear in self._cell.ears if ear.state == "open"]
        if not ears:
            raise GatewayError(
                "no ear hears anything now",
                where=f"node {self._node}",
                next_step="steiger gateway status says why",
                exit_code=3,
            )
        heard = sorted({sf for ear in ears for sf in ear.sfs})
        for sf in wanted:
            if sf not in heard:
                raise GatewayError(
                    f"no ear hears SF{sf} now", where=f"node {self._node}", exit_code=2,
                    next_step=f"They hear SF{', SF'.join(map(str, heard))}; a bridge or a HAT hears one at a time",
                )  # fmt: skip
        return wanted or (() if all(ear.single for ear in ears) else tuple(sf for sf in heard if sf <= SF_MAX))

    def _take(self, message: Any, receptions: bytes) -> None:
        if message.command_id < self._command:
            return
        if message.command_id > self._command:
            self._command = message.command_id
            self._heard.clear()
        number, sf = message.value & 255, message.value >> 8 & 255
        self._power = (message.value >> 16 & 255) - POWER_ZERO
        self._heard.setdefault((sf, number), decode_receptions(receptions))

    async def steps(self, expiry_s: int, timeout_s: float) -> AsyncGenerator[dict[str, Any], None]:
        """First {"waits": s}, then {"heard": n, "of": n}, last {"result": …}. GatewayError if the node is silent or does not do it."""
        session, loop = self._session, asyncio.get_running_loop()
        if session.on_probe is not None:
            raise GatewayError(
                "a range test of this node runs already", where=f"node {self._node}", next_step="Wait for its end"
            )
        session.on_probe = self._take
        began_s = loop.time()
        asked = asyncio.create_task(session.command(messages.RANGE_TEST, self._arg(), expiry_s, timeout_s))
        try:
            while not (await asyncio.wait([asked], timeout=LOOK_S))[0]:
                yield {"waits": round(loop.time() - began_s)}
            self._check(asked.result())
            boots = session.boots_seen
            sfs = self._sfs or (decode_receptions(session.link.receptions)[0].sf,)  # type: ignore[union-attr]
            self._cell.testing += 1
            try:
                wait_s = self._count * sum(airtime_us(FRAME_BYTES, sf) / 1e6 + TURN_S for sf in sfs) + SLACK_S
                until_s = loop.time() + wait_s
                total = self._count * len(sfs)
                while loop.time() < until_s and (sfs[-1], self._count - 1) not in self._heard:
                    self._look(sfs)
                    yield {"heard": len(self._heard), "of": total, "left_s": round(until_s - loop.time())}
                    await asyncio.sleep(LOOK_S)
                self._look(sfs)
            finally:
                self._cell.testing -= 1
            if session.boots_seen != boots:
                raise GatewayError(
                    "the node started again during its test",
                    where=f"node {self._node}",
                    next_step="Look at its supply, try again",
                )
            if asked.result().code == messages.REPEATED and not self._heard:  # its answer, a refusal perhaps, was lost
                raise GatewayError(
                    "the node was told, but nothing of a test was heard",
                    where=f"node {self._node}",
                    next_step="Try again",
                )
            yield {"result": self._result(sfs)}
        finally:
            session.on_probe = None
            asked.cancel()

    def _arg(self) -> int:
        power = 0 if self._power_dbm is None else self._power_dbm + POWER_ZERO
        return self._count | sum(1 << sf + 1 for sf in self._sfs) | power << 16

    def _check(self, answer: Any) -> None:
        where = f"node {self._node}"
        if answer.code == messages.UNSUPPORTED:
            raise GatewayError(
                "this node knows no range test", where=where, next_step="Is it a LoRa board, with the newest firmware?"
            )
        if answer.code == messages.FAILED:
            raise GatewayError(
                f"the law leaves the node {answer.value / 1000:.1f} s of airtime now, too little for this test",
                where=where, next_step="Ask for fewer frames (--count), or wait up to an hour",
            )  # fmt: skip
        if answer.code not in (messages.DONE, messages.PROBE, messages.REPEATED):  # REPEATED: the first answer was lost
            raise GatewayError("the node has no time yet", where=where, next_step="Try again in a minute")

    def _look(self, sfs: tuple[int, ...]) -> None:
        for ear in self._cell.ears:
            self._deaf |= {(ear.name, sf) for sf in sfs if ear.state != "open" or sf not in ear.sfs}

    def _result(self, sfs: tuple[int, ...]) -> dict[str, Any]:
        rows = []
        for sf in sfs:
            for ear in self._cell.ears:
                if (ear.name, sf) in self._deaf:
                    continue
                found = [
                    reception
                    for (heard_sf, _), receptions in self._heard.items()
                    for reception in receptions
                    if heard_sf == sf and reception.ear == ear.name
                ]
                snr_db = statistics.median(reception.snr_db for reception in found) if found else None
                rows.append({
                    "sf": sf, "ear": ear.name, "sent": self._count, "heard": len(found), "per": (self._count - len(found)) / self._count,
                    "rssi_dbm": statistics.median(reception.rssi_dbm for reception in found) if found else None,
                    "snr_db": snr_db, "snr_min_db": min((reception.snr_db for reception in found), default=None),
                    "margin_db": None if snr_db is None else snr_db - REQUIRED_DB[sf],
                })  # fmt: skip
        return {
            "node": self._node, "sfs": list(sfs), "power_dbm": self._power, "rows": rows,
            "deaf": [{"ear": ear, "sf": sf} for ear, sf in sorted(self._deaf)],
        }  # fmt: skip
