"""A node without firmware: plays the other end of the wire for gateway tests, with knobs for what goes wrong.

`FakeNode` is pure: frames go out through `out`, frames come in by `receive`. `PtyNode` puts one behind a pseudo-terminal,
in a thread of its own, so that a real gateway process can open it as a serial port.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wire import BOOT, UTC, messages
from wire.crypto import subkeys
from wire.frame import RECENT, SERIAL, VERSION, Downlink, open_downlink, seal_uplink
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.stream import Parser, encode

DEFAULT_ITEMS = ((2, 0), (4, 0), (11, 0), (12, 0))  # pm2_5, pm10, temperature, humidity


def key_of(address: int, life: int = 0) -> bytes:
    """A key for tests: any 16 bytes that differ."""
    return random.Random(address << 16 | life).randbytes(16)


class Faults:
    """Shares (0..1) of frames; flags."""

    def __init__(self) -> None:
        self.lose_up = 0.0
        self.lose_down = 0.0
        self.repeat_up = 0.0  # the very same frame twice
        self.garble_up = 0.0  # one byte changed
        self.deaf = False  # hears nothing: acknowledgements are lost
        self.mute_descriptor = False  # does not answer descriptor requests
        self.no_clock = False  # ignores the time


class FakeNode:
    def __init__(
        self,
        address: int,
        key: bytes | None = None,
        *,
        profile: Profile | None = None,
        out: Callable[[bytes], object] = lambda frame: None,
        seed: int = 1,
        boot: int = 1,
        link: int = SERIAL,
        batch: int = 16,
    ) -> None:
        self.address = address
        self.key = key or key_of(address)
        self.keys = subkeys(self.key)
        self.profile = profile or Profile(DEFAULT_ITEMS, 60)
        self.out = out
        self.link = link
        self.batch = batch
        self.boot = boot
        self.faults = Faults()
        self.counter = 0
        self.next_seq = 0
        self.outbox: dict[int, Any] = {}  # first seq → wire Record or message; what is not acknowledged
        self.sealed: list[int] = []  # seqs of all records ever made
        self.totals = [0, 0, 0, 0, 0, 0]
        self.clock_synced = False
        self.recent: deque[int] = deque(maxlen=RECENT)
        self.downlinks: list[Downlink] = []
        self.refused: list[str] = []
        self.acks = 0
        self.settings: dict[tuple[int, int], int] = {}
        self.without: set[int] = set()  # settings that its board has no row for: it drops the message
        self.ran: list[int] = []
        self.uptime_ms = 0
        self.frames_sent = 0
        self.last_frame = b""
        self._random = random.Random(seed)

    @property
    def life(self) -> int:
        return self.keys.life

    def id_of(self, seq: int) -> str:
        return f"{self.address}-{self.life:08x}-{seq}"

    # -- what happens on the node ----------------------------------------------------------------------------------

    def _take_seq(self, count: int = 1) -> int:
        seq = self.next_seq
        self.next_seq += count
        return seq

    def seal(self, window: int, values: tuple[int | None, ...] | None = None) -> int:
        """A measured window of the grid; returns its seq."""
        return self.seal_at((UTC, (window + 1) * self.profile.window_s), values)

    def seal_unclocked(self, end_ms: int, values: tuple[int | None, ...] | None = None) -> int:
        return self.seal_at((BOOT, self.boot, end_ms), values)

    def seal_at(self, time_: tuple[int, ...], values: tuple[int | None, ...] | None = None) -> int:
        seq = self._take_seq()
        if values is None:
            values = tuple((seq * 7 + i * 13) % 900 + 50 for i in range(len(self.profile.items)))
        self.outbox[seq] = Record(seq, time_, 100, values, None)
        self.sealed.append(seq)
        self.totals[0] += 1
        self.totals[1] += 1
        return seq

    def gap(self, cause: int, window: int | None, count: int = 1) -> int:
        """`count` windows of the grid from `window` without a record."""
        first = self._take_seq(count)
        time_ = None if window is None else (UTC, (window + 1) * self.profile.window_s)
        self.outbox[first] = messages.Gap(first, count, cause, self.profile.short if window is not None else 0, time_)
        if cause != messages.VOID:
            self.totals[0] += count
            self.totals[1 + cause] += count
        return first

    def health(self, at: tuple[int, ...]) -> int:
        totals = messages.Totals(*self.totals)
        seq = self._take_seq()
        oldest = self.oldest_seq
        self.outbox[seq] = messages.Health(
            seq, at, self.boot, self.uptime_ms, 1, totals, min(oldest, seq), 3300, 2150, 60000, 40000, 100, None, None,
            self.frames_sent, self.acks, 0, 0,
        )  # fmt: skip
        return seq

    def event(self, code: int, arg: int, at: tuple[int, ...]) -> int:
        seq = self._take_seq()
        self.outbox[seq] = messages.Event(seq, at, code, arg)
        return seq

    @property
    def oldest_seq(self) -> int:
        return min(self.outbox, default=self.next_seq)

    def reboot(self) -> None:
        self.boot += 1
        self.recent.clear()
        self.clock_synced = False

    # -- uplink ----------------------------------------------------------------------------------------------------

    def send(self, message_type: int, payload: bytes) -> None:
        counter = self.counter
        self.counter += 1
        self.recent.append(counter)
        frame = bytes(seal_uplink(self.keys, self.link, self.address, counter, message_type, payload))
        self.last_frame = frame
        self.frames_sent += 1
        roll = self._random.random
        if roll() < self.faults.lose_up:
            return
        if roll() < self.faults.garble_up:
            at = self._random.randrange(len(frame))
            frame = frame[:at] + bytes((frame[at] ^ 1 << self._random.randrange(8),)) + frame[at + 1 :]
        self.out(frame)
        if roll() < self.faults.repeat_up:
            self.out(frame)

    def hello(self) -> None:
        self.send(*messages.encode(
            messages.Hello(
                self.boot, self.uptime_ms, 1, VERSION, 0x000100, int(self.clock_synced), self.oldest_seq, self.next_seq,
                messages.Totals(*self.totals), (self.profile.id,),
            )
        ))  # fmt: skip

    def descriptor(self, first_window: int = 0, ended: int = 0) -> None:
        self.send(*messages.encode(messages.DescriptorMsg(first_window, ended, self.profile)))

    def send_outbox(self, limit: int = 1 << 30) -> int:
        """Send what is not acknowledged, oldest first, in batches; returns the number of entries sent."""
        sent = 0
        batch: list[Record] = []

        def flush() -> None:
            if batch:
                self.send(messages.RECORDS, encode_records(self.profile, batch))
                batch.clear()

        for seq in sorted(self.outbox)[:limit]:
            entry = self.outbox.get(seq)
            if entry is None:
                continue  # acknowledged while we were sending
            sent += 1
            if isinstance(entry, Record):
                batch.append(entry)
                if len(batch) == self.batch:
                    flush()
            else:
                flush()
                self.send(*messages.encode(entry))
        flush()
        return sent

    # -- downlink --------------------------------------------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        if self.faults.deaf or self._random.random() < self.faults.lose_down:
            return
        downlink = open_downlink(self.keys, self.link, frame, self.recent, self.address)
        if isinstance(downlink, str):
            self.refused.append(downlink)
            return
        self.downlinks.append(downlink)
        message = messages.decode(downlink.type, downlink.payload)
        if isinstance(message, messages.Ack | messages.AckTime):
            self._acknowledged(message)
        if isinstance(message, messages.AckTime | messages.TimeMsg) and not self.faults.no_clock:
            self.clock_synced = True
        if isinstance(message, messages.DescriptorRequest) and not self.faults.mute_descriptor:
            self.descriptor()
        if isinstance(message, messages.SetSetting) and message.id not in self.without:
            self.settings[(message.id, message.instance)] = message.value
            self.send(*messages.encode(messages.SettingValue(message.id, message.instance, message.value, 1)))
        if isinstance(message, messages.GetSetting):
            value = self.settings.get((message.id, message.instance), 0)
            known = int(message.id not in self.without)
            self.send(*messages.encode(messages.SettingValue(message.id, message.instance, value, known)))
        if isinstance(message, messages.Command):
            if message.id not in self.ran:
                self.ran.append(message.id)
            self.send(*messages.encode(messages.CommandResult(message.id, messages.DONE, 0)))

    def _acknowledged(self, ack: Any) -> None:
        self.acks += 1
        for seq in list(self.outbox):
            entry = self.outbox[seq]
            last = seq + (entry.count if isinstance(entry, messages.Gap) else 1) - 1
            if last < ack.cum or (0 <= last - ack.base < 64 and ack.bits >> (last - ack.base) & 1):
                del self.outbox[seq]


class PtyNode:
    """A FakeNode behind a pseudo-terminal whose other end is linked at `path`; it says hello and resends by itself."""

    RESEND_S = 0.3
    HELLO_AFTER = 5  # unanswered sendings

    def __init__(self, node: FakeNode, path: Path) -> None:
        self.node = node
        self.path = path
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._parser = Parser()
        self._out = bytearray()
        node.out = self._queue
        self._master, self._slave = os.openpty()  # the slave stays open here: the node outlives a gateway
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._slave))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._unanswered = 0

    def start(self) -> PtyNode:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)

    def _queue(self, frame: bytes) -> None:
        self._out += encode(frame)

    def _run(self) -> None:
        next_send = 0.0
        while not self.stopping.is_set():
            now = time.monotonic()
            with self.lock:
                if now >= next_send:
                    next_send = now + self.RESEND_S
                    self._turn()
            writers = [self._master] if self._out else []
            readable, writable, _ = select.select([self._master], writers, [], 0.02)
            if readable:
                self._read()
            if writable:
                try:
                    sent = os.write(self._master, self._out[:4096])
                except BlockingIOError:
                    sent = 0
                del self._out[:sent]

    def _turn(self) -> None:
        if len(self._out) > 16_384:
            return  # nobody reads
        if self._unanswered % self.HELLO_AFTER == 0:
            self.node.hello()
        if self.node.send_outbox(512):
            self._unanswered += 1

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65_536)
        except (BlockingIOError, OSError):
            return
        with self.lock:
            for what, content in self._parser.feed(data):
                if what == "frame":
                    known = len(self.node.downlinks)
                    self.node.receive(content)
                    if len(self.node.downlinks) > known:
                        self._unanswered = 1
