"""The LoRa side of a gateway: several ears, one uplink; several ears, one answer.

Copies of a frame that several ears heard become one, with every ear's RSSI and SNR. An answer goes out in the class A window
of its uplink, exactly RX_DELAY_US after the end of it by the clock of the ear that sends: the one that heard it best among
those that are free, in time, and within the law. At most one in each window.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.links.ear import Downlink, Ear, Heard, after, apart
from gateway.links.rates import Rates, Sight
from gateway.links.rendezvous import Rendezvous
from gateway.models import Reception, encode_receptions
from wire import messages
from wire.airtime import airtime_us
from wire.frame import LORA
from wire.regions import BANDS, DOWNLINK_HZ, band_of

log = logging.getLogger("lora")

RX_DELAY_US = 1_000_000  # end of an uplink to the beginning of its answer: what nodes are built for
COPIES_S = 0.2  # how long a frame waits for its copies; leaves 0.8 s for the disk and the way to an ear
COUNTED_S = 2.0  # a copy that comes within this belongs to the same uplink; it is counted, its values come too late
LEAD_S = (
    0.06  # an ear must have a downlink so long before it begins: 270 bytes at 115,200 baud and the radio's setting up
)
GUARD_US = 20_000  # an ear changes from one transmission to the next, and back to listening
SEND_S = RX_DELAY_US / 1e6 + 6.0  # an ear that has not told by then what became of a downlink
RECENT_MAX = 1_024  # uplinks remembered for their copies: 2 s of eight channels are far fewer
STALE_S = 60.0  # what was read from some buffer is older than any window
TURN_S = 5.0  # how often the rendezvous and a change of the common spreading factor are looked at


class Duty(Protocol):
    """The law for one transmitter: gateway.links.duty.GatewayDuty."""

    def wait_s(self, freq_hz: int, airtime_us: int) -> float: ...

    def take(self, freq_hz: int, airtime_us: int) -> None: ...


class Sink(Protocol):
    """What uplinks are delivered to: gateway.uplink.Uplinks."""

    def on_frame(self, link: Any, frame: bytes, received_ms: int, fresh: bool) -> None: ...


class _Uplink:
    """One frame, while its copies come in, and the window after it."""

    kind = LORA

    def __init__(self, cell: Cell, first: Heard, now_s: float, age_s: float) -> None:
        self.copies = [first]
        self.frame = first.frame
        self.taken_s = now_s
        self.begins_s = now_s - age_s + RX_DELAY_US / 1e6
        self.timer: asyncio.TimerHandle | None = None
        self.delivered = False
        self._cell = cell
        self._used = False
        self.name = first.ear
        self.receptions = b""
        self.airtime_ms = -(-airtime_us(len(first.frame), first.sf) // 1000)
        self.received_ms = first.received_ms
        self.held_ms = RX_DELAY_US // 1000
        self.answers = cell.answers

    @property
    def begins_ms(self) -> int:
        return self.received_ms + self.held_ms

    def close(self) -> None:
        """No more copies: the best one speaks for the frame."""
        self.copies.sort(key=lambda copy: -copy.snr_db)
        best = self.copies[0]
        self.name = best.ear
        self.received_ms = best.received_ms
        self.receptions = encode_receptions(
            [Reception(c.ear, c.freq_hz, c.sf, round(c.rssi_dbm), round(c.snr_db * 4)) for c in self.copies]
        )
        self.delivered = True

    # -- what a session sees of it (gateway.answers.Window) ----------------------------------------------------------

    @property
    def open(self) -> bool:
        return not self._used and self._cell.answers

    def heard_from(self, node: int, life: int, *, hello: bool) -> None:
        best = self.copies[0]
        sight = Sight(best.sf, best.freq_hz, best.snr_db, tuple(copy.ear for copy in self.copies))
        self._cell.rates.heard((node, life), sight, self.received_ms, hello=hello)

    def rate_for(self, node: int, life: int) -> messages.Rate | None:
        return self._cell.rates.due((node, life), self.begins_ms)

    def rate_sent(self, node: int, life: int, rate: messages.Rate) -> None:
        self._cell.rates.sent((node, life), rate, self.begins_ms)

    def astray(self, node: int, life: int) -> bool:
        return self._cell.rates.astray((node, life))

    def proving(self, node: int, life: int) -> bool:
        return self._cell.rates.proving((node, life))

    def send(self, frame: bytes) -> bool:
        if not self.open or not self._cell.answer(self, frame):
            return False
        self._used = True
        return True


class _Post:
    """One ear with what is on its way out by it."""

    def __init__(self, ear: Ear, duty: Duty) -> None:
        self.ear = ear
        self.duty = duty
        self.frames = 0
        self.sent: Counter[str] = Counter()  # by what the ear said of it; "sent" is good
        self.spent_us: Counter[str] = Counter()  # by sub-band, since start
        self.ordered: list[tuple[int, int]] = []  # (begin, end) of downlinks under way, by the ear's clock

    def free(self, begin_us: int, airtime: int) -> bool:
        return all(
            apart(begin_us, end) > GUARD_US or apart(first, begin_us) > airtime + GUARD_US
            for first, end in self.ordered
        )


class Cell:
    """All ears of a gateway. `on_heard` is what they call; `sink` is where uplinks go."""

    def __init__(
        self,
        ears: Sequence[Ear],
        sink: Sink,
        clock: Clock,
        duty: Callable[[Ear], Duty],
        rates: Rates,
        rendezvous: Rendezvous,
        answers: bool = True,
    ) -> None:
        self.answers = answers  # False: another gateway answers these nodes
        self.rates = rates
        self.copies = 0  # merged into an uplink that another ear heard, too
        self.late_copies = 0  # came when the uplink was stored already
        self.uplinks = 0
        self.unsent: Counter[str] = Counter()  # answers that went to no ear, by reason
        self.beat_s = 0.0
        self.testing = 0  # range tests under way: ears stay where they are
        self.ears = tuple(ears)
        self.posts = {ear.name: _Post(ear, duty(ear)) for ear in ears}
        self.rendezvous = rendezvous
        self._sink = sink
        self._clock = clock
        self._recent: dict[bytes, _Uplink] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Move the common spreading factor and hold the rendezvous, for ever."""
        while True:
            self.beat_s = asyncio.get_running_loop().time()
            if not self.testing:
                self.rendezvous.turn(self._clock.wall_ms())
            await asyncio.sleep(TURN_S)

    # -- uplinks ---------------------------------------------------------------------------------------------------

    def on_heard(self, heard: Heard) -> None:
        post = self.posts.get(heard.ear)
        if post is None or not heard.frame:
            return
        post.frames += 1
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        known = self._recent.get(heard.frame)
        if known is not None and now_s - known.taken_s <= COUNTED_S:
            if heard.ear not in [copy.ear for copy in known.copies]:
                if known.delivered:
                    self.late_copies += 1
                else:
                    self.copies += 1
                    known.copies.append(heard)
                    if self._complete(known):
                        self._deliver(known)
                return
            if known.delivered:  # the same ear again: somebody plays it back, and the replay window counts it
                self._sink.on_frame(known, heard.frame, heard.received_ms, heard.fresh)
                return
        self._forget(now_s)
        age_s = max(0, self._clock.wall_ms() - heard.received_ms) / 1000 if heard.fresh else STALE_S
        uplink = _Uplink(self, heard, now_s, age_s)
        self._recent[heard.frame] = uplink
        if self._complete(uplink):
            self._deliver(uplink)
        else:
            uplink.timer = loop.call_later(COPIES_S, self._deliver, uplink)

    def _complete(self, uplink: _Uplink) -> bool:
        """Whether every ear that could have heard it has told."""
        first = uplink.copies[0]
        told = {copy.ear for copy in uplink.copies}
        return all(
            name in told
            or post.ear.state != "open"
            or first.sf not in post.ear.sfs
            or first.freq_hz not in post.ear.channels
            for name, post in self.posts.items()
        )

    def _deliver(self, uplink: _Uplink) -> None:
        if uplink.delivered:
            return
        if uplink.timer is not None:
            uplink.timer.cancel()
        uplink.close()
        self.uplinks += 1
        self._sink.on_frame(uplink, uplink.frame, uplink.received_ms, uplink.copies[0].fresh)

    def _forget(self, now_s: float) -> None:
        """Uplinks whose copies have all come; the oldest stand first."""
        for frame, uplink in list(self._recent.items()):
            if now_s - uplink.taken_s <= COUNTED_S and len(self._recent) < RECENT_MAX:
                return
            self._deliver(uplink)
            del self._recent[frame]

    # -- downlinks -------------------------------------------------------------------------------------------------

    def answer(self, uplink: _Uplink, frame: bytes) -> bool:
        """Order a downlink for the window of this uplink from the best ear that can send it; False if none can."""
        if asyncio.get_running_loop().time() + LEAD_S > uplink.begins_s:
            self.unsent["late"] += 1
            return False
        reason = "closed"
        for copy in uplink.copies:
            post = self.posts[copy.ear]
            if post.ear.state != "open" or getattr(post.ear, "mute", None):
                continue
            at_us = after(copy.end_us, RX_DELAY_US)
            airtime = airtime_us(len(frame), copy.sf)
            if not post.free(at_us, airtime):
                reason = "busy"
                continue
            if post.duty.wait_s(DOWNLINK_HZ, airtime) > 0:
                reason = "duty"
                continue
            post.duty.take(
                DOWNLINK_HZ, airtime
            )  # also when the ear then cannot: what may have been sent counts as sent
            post.spent_us[BANDS[band_of(DOWNLINK_HZ)]] += airtime
            downlink = Downlink(frame, DOWNLINK_HZ, copy.sf, post.ear.power_max_dbm, at_us)
            post.ordered.append((at_us, after(at_us, airtime)))
            task = asyncio.create_task(self._send(post, downlink, post.ordered[-1]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            return True
        self.unsent[reason] += 1
        return False

    async def _send(self, post: _Post, downlink: Downlink, slot: tuple[int, int]) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                told = await post.ear.send(downlink)
        except TimeoutError:
            told = "unanswered"
        except Exception:  # an ear's fault costs this one answer, which the node asks for again
            log.exception("lora: ear %s, downlink not sent", post.ear.name)
            told = "fault"
        finally:
            post.ordered.remove(slot)
        post.sent[told or "sent"] += 1
        if told:
            log.info("lora: ear %s, downlink of %d bytes not sent, %s", post.ear.name, len(downlink.frame), told)

    # -- sight -----------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        now_ms = self._clock.wall_ms()
        return {
            "ears": [
                {
                    "name": post.ear.name,
                    "state": post.ear.state,
                    "single": post.ear.single,
                    "channels_mhz": [freq / 1e6 for freq in post.ear.channels],
                    "sfs": list(post.ear.sfs),
                    "frames": post.frames,
                    "downlinks": dict(post.sent),
                    "airtime_s": {band: round(us / 1e6, 3) for band, us in post.spent_us.items()},  # since start
                    "duty_wait_s": round(post.duty.wait_s(DOWNLINK_HZ, airtime_us(40, 9)), 1),
                    **getattr(post.ear, "facts", dict)(),
                }
                for post in self.posts.values()
            ],
            "answers": self.answers,
            "uplinks": self.uplinks,
            "copies_merged": self.copies,
            "copies_late": self.late_copies,
            "answers_unsent": dict(self.unsent),
            "rates": self.rates.status(now_ms),
            "rendezvous": self.rendezvous.status(now_ms),
        }
