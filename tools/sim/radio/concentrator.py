"""A concentrator (SX1302) with its packet forwarder: eight channels at all SFs on the ether, Semtech's UDP protocol, version 2,
towards the gateway. `out(datagram)` is its network; datagrams come in by `receive`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tools.sim.radio.deployment import UPLINKS_HZ
from tools.sim.radio.ether import Ether, Key, Listening, Reception, Signal
from tools.sim.radio.propagation import Position
from tools.sim.timers import Time

VERSION = 2
PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
DEMODULATORS = 16
PULL_US = 10_000_000
NETWORK_US = 8_000  # from the concentrator to the gateway, and back
LEAD_US = 1_500  # an order must be there so long before its time
BW_HZ = 125_000


class Concentrator:
    """`offset_us`: what its 32-bit clock shows at the start of the simulation."""

    def __init__(
        self, time: Time, ether: Ether, name: str, eui: bytes, place: Position, *, gain_dbi: float = 2.15,
        sync_word: int = 0x12, offset_us: int = 4_290_000_000,
    ) -> None:  # fmt: skip
        self.name = name
        self.place = place
        self.gain_dbi = gain_dbi
        self.out: Callable[[bytes], None] | None = None
        self.counts = dict.fromkeys(("heard", "crc", "sent", "late", "collision", "acknowledged"), 0)
        self._time = time
        self._ether = ether
        self._eui = eui
        self._sync_word = sync_word
        self._offset_us = offset_us
        self._token = 0
        self._sending: list[tuple[int, int]] = []
        self._keys = frozenset(
            Listening(freq_hz, BW_HZ, sf, False, sync_word) for freq_hz in UPLINKS_HZ for sf in range(7, 13)
        )
        ether.attach(self, DEMODULATORS)
        self._pull()

    # --- On air ----------------------------------------------------------------------------------------------------------

    def listening(self) -> Key | frozenset[Key] | None:
        return self._keys

    def preamble(self, begin_us: int, signal: Signal) -> None:
        pass

    def received(self, reception: Reception) -> None:
        if not reception.header_ok:
            return
        self.counts["heard" if reception.crc_ok else "crc"] += 1
        signal = reception.signal
        packet = {
            "tmst": self._clock_us(reception.end_us), "freq": signal.freq_hz / 1e6, "chan": UPLINKS_HZ.index(signal.freq_hz),
            "rfch": 0, "stat": 1 if reception.crc_ok else -1, "modu": "LORA", "datr": f"SF{signal.sf}BW125", "codr": "4/5",
            "rssi": round(reception.rssi_dbm), "rssis": round(reception.signal_dbm), "lsnr": round(reception.snr_db, 1),
            "foff": round(reception.freq_error_hz), "size": len(signal.data), "data": base64.b64encode(signal.data).decode(),
        }  # fmt: skip
        self._say(PUSH_DATA, json.dumps({"rxpk": [packet]}).encode())

    def _clock_us(self, at_us: int) -> int:
        return (at_us + self._offset_us) & 0xFFFF_FFFF

    # --- Network ---------------------------------------------------------------------------------------------------------

    def _say(self, kind: int, body: bytes = b"", token: int | None = None) -> None:
        if token is None:
            token = self._token = (self._token + 1) & 0xFFFF
        datagram = bytes((VERSION, token >> 8, token & 0xFF, kind)) + self._eui + body

        def arrive() -> None:
            if self.out is not None:
                self.out(datagram)

        self._time.call_at(self._time.now_us + NETWORK_US, arrive)

    def _pull(self) -> None:
        self._say(PULL_DATA)
        self._time.call_at(self._time.now_us + PULL_US, self._pull)

    def receive(self, datagram: bytes) -> None:
        """From the gateway; it takes its time on the network."""
        self._time.call_at(self._time.now_us + NETWORK_US, lambda: self._take(datagram))

    def _take(self, datagram: bytes) -> None:
        if datagram[3] in (PUSH_ACK, PULL_ACK):
            self.counts["acknowledged"] += 1
        elif datagram[3] == PULL_RESP:
            error = self._order(json.loads(datagram[4:])["txpk"])
            body = json.dumps({"txpk_ack": {"error": error}}).encode() if error else b""
            self._say(TX_ACK, body, datagram[1] << 8 | datagram[2])

    def _order(self, order: dict[str, Any]) -> str:
        """Plan one transmission; what is wrong with it, "" if nothing."""
        now_us = self._time.now_us
        ahead_us = (order["tmst"] - self._clock_us(now_us)) & 0xFFFF_FFFF
        if not LEAD_US <= ahead_us < 0x8000_0000:
            self.counts["late"] += 1
            return "TOO_LATE"
        signal = Signal(
            round(order["freq"] * 1e6), BW_HZ, int(order["datr"][2:-5]), int(order["codr"][2:]), order["ipol"],
            self._sync_word, order["prea"], order["powe"], base64.b64decode(order["data"]), not order["ncrc"],
        )  # fmt: skip
        begin_us = now_us + ahead_us
        end_us = begin_us + signal.airtime_us()
        self._sending = [span for span in self._sending if span[1] > now_us]
        if any(begin_us <= end and first <= end_us for first, end in self._sending):
            self.counts["collision"] += 1
            return "COLLISION_PACKET"
        self._sending.append((begin_us, end_us))
        self._time.call_at(begin_us, lambda: self._transmit(signal))
        self.counts["sent"] += 1
        return ""

    def _transmit(self, signal: Signal) -> None:
        self._ether.transmit(self, signal)
