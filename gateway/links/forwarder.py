"""Concentrators (SX1302, SX1303) that speak the Semtech UDP packet forwarder protocol, version 2: eight channels at once.

The forwarder is the client: it pushes what it heard, pulls what it is to send, and we answer to the address it pulls from. The
protocol knows no authentication and no retries. So a datagram counts for nothing unless its EUI and source address are both
allowed; it can be malformed in any way, and is then counted under a reason; what it claims to have heard is authentic only
by the frame's own tag, which is checked behind the ear.

    byte 0: version 2 | 1, 2: token | 3: identifier | from the forwarder: 8 bytes EUI | JSON
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.clock import Clock
from gateway.config_lora import Forwarder
from gateway.links.ear import CLOCK_MASK, Downlink, Heard, HeardSink, apart
from wire.regions import DOWNLINK_HZ, UPLINKS_HZ, power_limit_dbm

log = logging.getLogger("forwarder")

PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
VERSION = 2
DATAGRAM_MAX = 16_384  # a concentrator has at most 16 packets of 255 bytes at once: some 8 kB of JSON
SILENT_S = 35.0  # forwarders pull every 10 s or so
ANSWER_S = 3.5  # from an order to what came of it: it is told at once or never
RECENT_MAX = 256  # packets remembered, so that a datagram that comes twice is one: the network may double it
DELAY_MAX_US = 10_000_000  # what a network may hold back; more means that the concentrator's clock began anew
DELAY_FRESH_US = 1_000_000  # a packet that was held back for longer tells no time
FOFF_MAX_HZ = 62_500  # half the bandwidth: what is further away is not received
_DRIFT = 1e-4  # how fast a concentrator's clock may run away from ours
_RATE = re.compile(r"SF(7|8|9|10|11|12)BW125\Z")
_ERRORS = {
    "TOO_LATE": "late", "TOO_EARLY": "late", "COLLISION_PACKET": "busy", "COLLISION_BEACON": "busy",
    "TX_FREQ": "refused", "TX_POWER": "refused", "GPS_UNLOCKED": "refused",
}  # fmt: skip


class Rsig(msgspec.Struct):
    """What one antenna of several received."""

    lsnr: float | None = None
    rssic: float | None = None
    rssis: float | None = None


class Rxpk(msgspec.Struct):
    """One packet that was heard; what we do not use is not looked at."""

    tmst: int
    freq: float
    data: str
    datr: str | int
    modu: str = "LORA"
    stat: int = 1
    size: int | None = None
    rssi: float | None = None
    rssis: float | None = None  # of the signal alone (SX1302)
    lsnr: float | None = None
    foff: int | None = None  # Hz (SX1302)
    rsig: list[Rsig] = []


class Push(msgspec.Struct):
    """Packets are decoded one by one: a strange one does not take the others with it."""

    rxpk: list[msgspec.Raw] = []
    stat: dict[str, Any] | None = None


class Unwanted(Exception):
    """Why a packet is none of ours."""


def decode_packet(raw: bytes | msgspec.Raw) -> tuple[Rxpk, bytes]:
    """One `rxpk` and the frame in it; raises Unwanted with a reason and nothing else."""
    try:
        packet = msgspec.json.decode(raw, type=Rxpk)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Unwanted("malformed") from None
    if packet.stat != 1:
        raise Unwanted("crc")
    if packet.modu != "LORA" or not isinstance(packet.datr, str) or not _RATE.match(packet.datr):
        raise Unwanted("modulation")
    text = packet.data.rstrip("=")
    try:
        frame = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Unwanted("malformed") from None
    if not 0 < len(frame) <= 255 or packet.size not in (None, len(frame)):
        raise Unwanted("malformed")
    if not 0 <= packet.tmst <= CLOCK_MASK or not 100 < packet.freq < 10_000:
        raise Unwanted("malformed")
    return packet, frame


def as_a_socket_tells(address: str) -> str:
    """An IP address in the one way in which datagrams name their source; people write IPv6 in several."""
    host, percent, zone = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, host)) + percent + zone


def encode_order(token: int, downlink: Downlink) -> bytes:
    """PULL_RESP. CRC on: nodes take no frame without one."""
    txpk = {
        "imme": False, "tmst": downlink.at_us, "freq": round(downlink.freq_hz / 1e6, 6), "rfch": 0,
        "powe": downlink.power_dbm, "modu": "LORA", "datr": f"SF{downlink.sf}BW125", "codr": "4/5",
        "ipol": downlink.inverted, "prea": 8, "ncrc": False, "size": len(downlink.frame),
        "data": base64.b64encode(downlink.frame).decode(),
    }  # fmt: skip
    return bytes((VERSION, token >> 8, token & 0xFF, PULL_RESP)) + msgspec.json.encode({"txpk": txpk})


class ForwarderEar:
    """One concentrator: `eui` (16 hex digits) at `address`. Made with its `Listener`, which it runs together with others."""

    single = False

    def __init__(
        self, listener: Listener, name: str, eui: str, address: str, power_max_dbm: int, on_heard: HeardSink
    ) -> None:
        self.name = name
        self.eui = bytes.fromhex(eui)
        self.address = as_a_socket_tells(address)
        self.power_max_dbm = power_max_dbm
        self.channels: tuple[int, ...] = UPLINKS_HZ
        self.sfs: tuple[int, ...] = (7, 8, 9, 10, 11, 12)
        self.packets = 0
        self.repeats = 0
        self.dropped: Counter[str] = Counter()  # packets and orders, by reason
        self.told: dict[str, Any] = {}  # the concentrator's own counters
        self.pulls_from: tuple[Any, ...] | None = None  # where orders go to
        self._listener = listener
        self._on_heard = on_heard
        self._begun_s = self._heard_s = self._pulled_s = 0.0
        self._recent: OrderedDict[tuple[int, int, bytes], None] = OrderedDict()
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._token = 0
        self._clock_at: tuple[int, float] | None = None  # (its clock, ours), of the packet that came quickest
        listener.add(self)

    @property
    def state(self) -> str:
        if self._listener.trouble:
            return self._listener.trouble
        if not self._heard_s:
            return f"nothing was heard of {self.eui.hex()} at {self.address} yet: point its forwarder to us"
        if self._listener.clock.monotonic_s() - max(self._heard_s, self._pulled_s) > SILENT_S:
            return "the forwarder is silent"
        return "open"

    @property
    def mute(self) -> str:
        """Why it can send nothing although it hears, as one sentence; "" if it can."""
        if self.state != "open" or self._listener.clock.monotonic_s() - max(self._begun_s, self._pulled_s) <= SILENT_S:
            return ""
        return f"its forwarder asks for no answers: is its serv_port_down {self._listener.where.rpartition(':')[2]}?"

    def facts(self) -> dict[str, Any]:
        """For the status."""
        return {
            "eui": self.eui.hex(),
            "address": self.address,
            "listen": self._listener.where,
            "mute": self.mute,
            "packets": self.packets,
            "repeats": self.repeats,
            "dropped": dict(self.dropped),
            "datagrams_dropped": dict(self._listener.dropped),
            "concentrator": self.told,
        }

    async def run(self) -> None:
        await self._listener.run()

    def tune(self, freq_hz: int, sf: int) -> None:
        """It hears all there is."""

    # -- what it heard -------------------------------------------------------------------------------------------------

    def on_push(self, body: bytes) -> None:
        """The JSON of a PUSH_DATA."""
        self._told()
        try:
            push = msgspec.json.decode(body, type=Push)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            self.dropped["malformed"] += 1
            return
        if push.stat is not None:
            numbers = {name: value for name, value in push.stat.items() if isinstance(value, int | float)}
            self.told = {name: numbers[name] for name in ("rxnb", "rxok", "rxfw", "dwnb", "txnb") if name in numbers}
        for raw in push.rxpk:
            try:
                packet, frame = decode_packet(raw)
            except Unwanted as reason:
                self.dropped[str(reason)] += 1
                continue
            self._take(packet, frame)

    def _take(self, packet: Rxpk, frame: bytes) -> None:
        freq_hz = round(packet.freq * 1e6)
        key = (packet.tmst, freq_hz, frame)
        if key in self._recent:
            self.repeats += 1
            return
        self._recent[key] = None
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        self.packets += 1
        best = max(packet.rsig, key=lambda one: -200.0 if one.lsnr is None else one.lsnr, default=None)
        snr_db = packet.lsnr if best is None or best.lsnr is None else best.lsnr
        rssi_dbm = packet.rssi if best is None or best.rssic is None else best.rssic
        signal_dbm = packet.rssis if best is None or best.rssis is None else best.rssis
        if signal_dbm is not None and (rssi_dbm is None or (snr_db is not None and snr_db < 0)):
            rssi_dbm = signal_dbm  # the other one holds the noise, too
        delay_us = self._delay_us(packet.tmst)
        self._on_heard(
            Heard(
                self.name,
                frame,
                freq_hz,
                int(str(packet.datr)[2:-5]),
                -128.0 if rssi_dbm is None else max(-200.0, min(50.0, rssi_dbm)),
                0.0 if snr_db is None else max(-50.0, min(50.0, snr_db)),
                packet.foff if packet.foff is not None and abs(packet.foff) <= FOFF_MAX_HZ else None,
                packet.tmst,
                self._listener.clock.wall_ms() - delay_us // 1000,
                delay_us <= DELAY_FRESH_US,
            )
        )

    def _delay_us(self, tmst: int) -> int:
        """How much longer this packet was on its way than the quickest one. Its clock wraps every 71 minutes, and begins anew
        with the forwarder."""
        now_s = self._listener.clock.monotonic_s()
        if self._clock_at is not None:
            told_us, told_s = self._clock_at
            passed_us = round((now_s - told_s) * 1e6)
            delay_us = apart((told_us + passed_us) & CLOCK_MASK, tmst)
            drift_us = round((now_s - told_s) * 1e6 * _DRIFT)
            if drift_us < delay_us <= DELAY_MAX_US:
                return delay_us
        self._clock_at = tmst, now_s
        return 0

    # -- what it is to send --------------------------------------------------------------------------------------------

    def on_pull(self, source: tuple[Any, ...]) -> None:
        self._pulled_s = self._told()
        self.pulls_from = source

    def _told(self) -> float:
        """A datagram came: when that was."""
        self._heard_s = self._listener.clock.monotonic_s()
        self._begun_s = self._begun_s or self._heard_s
        return self._heard_s

    def on_answer(self, token: int, body: bytes) -> None:
        """TX_ACK: nothing, or what became of the order."""
        reason = ""
        if body:
            try:
                answer = msgspec.json.decode(body, type=dict[str, dict[str, Any]])
            except (msgspec.MsgspecError, RecursionError, ValueError):
                self.dropped["malformed"] += 1
                return
            error = answer.get("txpk_ack", {}).get("error", "NONE")
            reason = "" if error == "NONE" else _ERRORS.get(str(error), "refused")
        told = self._waiting.pop(token, None)
        if told is None:
            self.dropped["answer"] += 1
        elif not told.done():
            told.set_result(reason)

    async def send(self, downlink: Downlink) -> str:
        if self.pulls_from is None or self._listener.clock.monotonic_s() - self._pulled_s > SILENT_S:
            return "closed"
        token = self._token = (self._token + 1) & 0xFFFF
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[token] = told
        try:
            if not self._listener.send(encode_order(token, downlink), self.pulls_from):
                return "closed"
            async with asyncio.timeout(ANSWER_S):
                return await told
        except TimeoutError:
            return "unanswered"
        finally:
            self._waiting.pop(token, None)


class Listener(asyncio.DatagramProtocol):
    """One UDP socket on `host`:`port`, for all concentrators that are pointed to it."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self.clock = clock
        self.trouble = "not yet listening"
        self.dropped: Counter[str] = Counter()  # datagrams, by reason
        self.bound: tuple[Any, ...] | None = None
        self._host, self._port = host, port
        self._ears: dict[bytes, ForwarderEar] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._running = asyncio.Lock()
        self._strangers: set[tuple[str, str]] = set()

    @property
    def where(self) -> str:
        host, port = self.bound[:2] if self.bound else (self._host, self._port)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def add(self, ear: ForwarderEar) -> None:
        self._ears[ear.eui] = ear

    async def run(self) -> None:
        """For ever; each of its ears runs it, and one does. OSError: this address cannot be listened on."""
        async with self._running:
            try:
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_datagram_endpoint(lambda: self, (self._host, self._port))
            except OSError as error:
                self.trouble = f"cannot listen on {self.where}: {error.strerror or error}"
                raise
            self._transport, self.trouble = transport, ""
            self.bound = transport.get_extra_info("sockname")
            try:
                await loop.create_future()
            finally:
                self.trouble = "closed"
                self._transport = None
                transport.close()

    def send(self, datagram: bytes, target: tuple[Any, ...]) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.sendto(datagram, target)
        return True

    def error_received(self, exc: Exception) -> None:
        self.dropped["unreachable"] += 1  # an answer of ours came back: who sent us something is gone

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            reason = self._receive(data, addr)
        except Exception:  # our fault: told in full, and the socket lives on
            log.exception("forwarder: a datagram not taken")
            reason = "fault"
        if reason:
            self.dropped[reason] += 1

    def _receive(self, data: bytes, addr: tuple[Any, ...]) -> str:
        """Why it was dropped."""
        if len(data) < 4:
            return "short"
        if len(data) > DATAGRAM_MAX:
            return "long"
        if data[0] != VERSION:
            return "version"
        kind = data[3]
        if kind not in (PUSH_DATA, PULL_DATA, TX_ACK):
            return "type"
        if len(data) < 12:
            return "short"
        ear = self._ears.get(data[4:12])
        if ear is None or addr[0] != ear.address:
            self._warn(data[4:12].hex(), str(addr[0]), "eui" if ear is None else "eui with this address")
            return "eui" if ear is None else "source"
        body = data[12:].rstrip(b"\0 \r\n")
        if kind == PUSH_DATA:
            self.send(bytes((VERSION, data[1], data[2], PUSH_ACK)), addr)
            ear.on_push(body)
        elif kind == PULL_DATA:
            ear.on_pull(addr)
            self.send(bytes((VERSION, data[1], data[2], PULL_ACK)), addr)
        else:
            ear.on_answer(data[1] << 8 | data[2], body)
        return ""

    def _warn(self, eui: str, address: str, what: str) -> None:
        """Once for each of a few strangers: who sets up a concentrator looks into the log."""
        if len(self._strangers) < 16 and (eui, address) not in self._strangers:
            self._strangers.add((eui, address))
            log.warning("forwarder: %s from %s is not taken, no [[forwarder]] has this %s", eui, address, what)


def make_ears(
    tables: Sequence[Forwarder],
    clock: Clock,
    on_heard: HeardSink,
    make_listener: Callable[[str, int, Clock], Listener] = Listener,
) -> list[ForwarderEar]:
    """The ears of `[[forwarder]]` tables; those with the same `listen` share a socket."""
    listeners: dict[str, Listener] = {}
    ears = []
    for table in tables:
        if table.listen not in listeners:
            host, _, port = table.listen.rpartition(":")
            listeners[table.listen] = make_listener(host.strip("[]"), int(port), clock)
        limit_dbm = power_limit_dbm(DOWNLINK_HZ, round(100 * (table.antenna_gain_dbi - table.cable_loss_db)))
        power_dbm = min(table.power_dbm, limit_dbm)
        ears.append(ForwarderEar(listeners[table.listen], table.name, table.eui, table.address, power_dbm, on_heard))
    return ears
