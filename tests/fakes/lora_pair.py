"""A node's conversation over LoRa with a gateway of a few lines, frames lost as the caller says; time moves by hand.

The node's half is its own: session, rate, life, outbox and leases on real files. The gateway stores seqs and answers what asks,
what brings nothing new, and nothing else: the rules of docs/wire-protocol.md, with a window of 64 seqs right above the hole.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from firmware.grid import grid_body
from firmware.leases import Leases
from firmware.life import Life
from firmware.links.lora_rate import Rate
from firmware.links.lora_session import NOTHING, LoraSession
from firmware.outbox import entries
from firmware.settings import stem
from wire import UTC, crypto, frame, frame_gateway, messages
from wire.airtime import airtime_us
from wire.profiles import Profile
from wire.records_gateway import peek_records
from wire.settings import by_name

ADDRESS = 7
KEY = bytes(range(16))
PROFILE = Profile(tuple((channel, 0) for channel in (1, 2, 4, 11, 12, 13, 14, 15, 21, 25)), 300)
START_S = 1_760_000_100
TURN_MS = 500  # between a window and the next frame
LOOK_MS = 1000


class Clock:
    """The node's, already set."""

    synced = True
    now_ms = 0

    def uptime_ms(self) -> int:
        return self.now_ms

    def utc_s(self) -> int:
        return START_S + self.now_ms // 1000


class Gateway:
    """`tells(message)` may change what an answer says."""

    def __init__(self) -> None:
        self.keys = crypto.subkeys(KEY)
        self.seqs: Counter[int] = Counter()  # how often each came
        self.answers = 0
        self.highest = 0
        self.sf: int | None = None  # the one it hears, None: all
        self.waiting: list[Any] = []  # what it has to say: goes into the window of any frame
        self.heard: list[tuple[int, tuple[int, ...]]] = []  # (type, seqs)
        self.untold: set[int] = set()  # seqs that came and that no answer has told

    def cum(self) -> int:
        cum = 0
        while cum in self.seqs:
            cum += 1
        return cum

    def window(self) -> tuple[int, int]:
        """(base, bits): right above the hole, or from the lowest seq on that was not told yet."""
        base, bits = told(self.seqs, self.cum(), self.untold)
        return base, bits

    def hear(self, data: bytes, now_ms: int) -> bytes | None:
        """A frame that arrived; the answer, None if there is none."""
        header = frame_gateway.parse_uplink_header(data)
        assert not isinstance(header, str)
        counter = header.counter if header.full else frame_gateway.guess_counter(header.counter, self.highest)
        payload = frame_gateway.open_uplink(self.keys, frame.LORA, data, counter)
        assert payload is not None
        self.highest = max(self.highest, counter)
        seqs = seqs_of(header.type, payload, max(self.seqs, default=0) + 1)
        news = [seq for seq in seqs if seq not in self.seqs]
        self.seqs.update(seqs)
        self.untold.update(seqs)
        self.heard.append((header.type, seqs))
        asks = header.type in (messages.HELLO, messages.RECORDS_ASK) or bool(seqs and not news)
        if not asks and not self.waiting:
            return None
        self.answers += 1
        if asks or not self.waiting:
            message: Any = messages.AckTime((START_S * 1000) + now_ms, 1000, self.cum(), *self.window())
        else:
            message = self.waiting.pop(0)
        kind, body = messages.encode(message)
        return bytes(
            frame_gateway.seal_downlink(self.keys, frame.LORA, ADDRESS, 1, 7, self.answers, counter, kind, bytes(body))
        )


def told(seqs: Iterable[int], cum: int, untold: set[int]) -> tuple[int, int]:
    """Base and bits of an answer's window; takes what it tells out of `untold`."""
    above = sorted(seq for seq in seqs if seq > cum)
    untold -= {seq for seq in untold if seq < cum}
    base = cum + 1
    if not above or (untold and min(untold) > cum + 64):
        base = min(untold, default=0)
    elif above[0] > cum + 64:
        base = above[0]
    bits = sum(1 << seq - base for seq in above if 0 <= seq - base < 64)
    untold -= {seq for seq in untold if seq - base < 64}
    return (base, bits) if bits else (0, 0)


def seqs_of(kind: int, payload: bytes, next_seq: int) -> tuple[int, ...]:
    """The seqs that an uplink's payload brings."""
    if kind in (messages.RECORDS, messages.RECORDS_ASK):
        return tuple(peek_records(payload, next_seq).seqs)
    message = messages.decode(kind, payload)
    if kind == messages.GAP:
        return tuple(range(message.first_seq, message.first_seq + message.count))
    return (message.seq,) if kind in (messages.HEALTH, messages.EVENT) else ()


class Pair:
    """Both ends. `lose_up()` and `lose_down()` decide on each frame; `values` are settings."""

    def __init__(self, folder: Path, seed: int = 1, **values: int) -> None:
        self.folder = folder
        self.values = {"lora_ask_every": 4} | values
        self.random = random.Random(seed)
        self.clock = Clock()
        self.gateway = Gateway()
        self.lose_up: Callable[[], bool] = lambda: False
        self.lose_down: Callable[[], bool] = lambda: False
        self.sealed_ms: dict[int, int] = {}  # seq -> uptime at which its record was sealed
        self.sent: list[tuple[int, int, int, tuple[int, ...], bool]] = []  # (uptime, sf, type, seqs, arrived)
        self.misses = 0
        self.needless = 0  # seqs sent although a frame with them had arrived
        self.asked_ms: list[Any] = []
        self.faults: list[str] = []
        self._counters: set[int] = set()
        Leases.create(stem(str(folder), "lease", crypto.subkeys(KEY).life))
        self.boot()

    def get(self, name: str) -> int:
        return self.values.get(name, int(by_name(name).default))

    def boot(self) -> None:
        stored = {
            "address": ADDRESS,
            "key": KEY.hex(),
            "provisioned_s": START_S,
            "grids": [[PROFILE.encode().hex(), 0, 1, 0]],
        }
        clock: Any = self.clock
        self.life = Life(str(self.folder), stored, clock, 1, 10**6, lambda path: (500, 512))
        if PROFILE.short not in self.life.outbox.state.grids:
            self.life.outbox.put([(entries.GRID, grid_body(PROFILE.short, 300, 1, 0))])
        self.rate = Rate(self.get, self.random.randbytes)
        self.session = LoraSession(self.life, clock, self.get, self.hello, self._asked, self.rate)

    def _asked(self, session: Any, message: Any, sent_ms: int) -> None:
        self.asked_ms.append((message, sent_ms))

    def hello(self, life: Life) -> messages.Hello:
        state = life.outbox.state
        return messages.Hello(
            1,
            self.clock.now_ms,
            1,
            1,
            1,
            1,
            life.outbox.held(),
            state.next_seq,
            messages.Totals(*state.totals),
            (PROFILE.id,),
        )

    def cut(self) -> None:
        """Power off and on: RAM is lost."""
        self.life.outbox.close()
        self.boot()

    # --- what a board does ---

    def seal(self, count: int = 1) -> None:
        """Windows end."""
        for _ in range(count):
            seq = self.life.outbox.state.next_seq
            values = tuple(100 + (seq * 7 + k) % 40 for k in range(len(PROFILE.items)))
            end_s = (START_S + self.clock.now_ms // 1000) // 300 * 300
            body = entries.record_body(seq, PROFILE.short, (UTC, end_s + 300 * len(self.sealed_ms)), 100, values, None)
            self.session.note(self.life.outbox.put([(entries.RECORD, body)]))
            self.sealed_ms[seq] = self.clock.now_ms

    def event(self) -> None:
        seq = self.life.outbox.state.next_seq
        self.session.note(self.life.event(messages.SAFE_MODE, 1))
        self.sealed_ms[seq] = self.clock.now_ms

    def gap(self, count: int) -> None:
        first = self.life.outbox.state.next_seq
        body = entries.gap_body(first, count, messages.NOT_SAMPLED, PROFILE.short, 0, (UTC, START_S // 300 * 300 + 300))
        self.session.note(self.life.outbox.put([(entries.GAP, body)]))
        self.sealed_ms.update(dict.fromkeys(range(first, first + count), self.clock.now_ms))

    # --- what the link does ---

    def speak(self) -> bool:
        """One frame with its window, if one is due."""
        session, rate, clock = self.session, self.rate, self.clock
        rate.look(clock.now_ms)
        if session.wants(clock.now_ms) == NOTHING:
            return False
        data = session.next_frame(clock.now_ms)
        if data is None:
            return False
        data = bytes(data)
        sf = rate.present()[0]
        counter = self.life.leases.counter - 1
        if counter in self._counters:
            self.faults.append(f"counter {counter} came twice")
        self._counters.add(counter)
        payload = frame_gateway.open_uplink(self.life.keys, frame.LORA, data, counter)
        assert payload is not None
        seqs = seqs_of(data[0] & 31, payload, self.life.outbox.state.next_seq)
        for seq in seqs:
            if self.life.outbox.state.acked.has(seq, seq + 1):
                self.faults.append(f"{seq} sent although it is known to be held")
        clock.now_ms += airtime_us(len(data), sf) // 1000
        session.sent_at(clock.now_ms)
        arrived = self.gateway.sf in (None, sf) and not self.lose_up()
        self.needless += sum(1 for seq in seqs if seq in self.gateway.seqs)
        self.sent.append((clock.now_ms, sf, data[0] & 31, seqs, arrived))
        answer = self.gateway.hear(data, clock.now_ms + 1000) if arrived else None
        clock.now_ms += 1000
        session.begin_ms = clock.now_ms
        if answer is not None and not self.lose_down():
            clock.now_ms += airtime_us(len(answer), sf) // 1000
            if not session.received(answer):
                self.faults.append(f"answer refused: {session.refused}")
            rate.answered()
        elif session.asked:
            self.misses += 1
            session.unanswered(clock.now_ms)
            rate.miss()
        clock.now_ms += TURN_MS
        return True

    def run(self, until_ms: int) -> None:
        """Let time pass; the node speaks when it wants to."""
        while self.clock.now_ms < until_ms:
            if not self.speak():
                self.clock.now_ms += LOOK_MS

    def live(self, windows: int, window_ms: int = 300_000) -> None:
        """So many windows, the first of which ends now."""
        for _ in range(windows):
            self.seal()
            self.run(self.clock.now_ms + window_ms - self.clock.now_ms % window_ms)

    def drain(self, timeout_ms: int = 86_400_000) -> int:
        """Until the node knows that all arrived, without new windows; how long that took."""
        began_ms = self.clock.now_ms
        while not self.life.outbox.drained():
            if self.clock.now_ms - began_ms > timeout_ms:
                self.faults.append("not drained")
                break
            if not self.speak():
                self.clock.now_ms += LOOK_MS
        return self.clock.now_ms - began_ms

    def missing(self) -> set[int]:
        return set(self.sealed_ms) - set(self.gateway.seqs)
