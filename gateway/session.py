"""One life of one node: who it is, what of it is stored, and what it is told.

A session lives in the event loop. Its state is written by the store in the transaction of the records it received, and an
acknowledgement leaves only from `committed`, that is after that transaction is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.answers import Turn, Window, on_air
from gateway.calibration_check import CalibrationCheck
from gateway.clock import Clock
from gateway.decode import Decoder
from gateway.downlink import COMMAND_RETRY_S, COMMAND_TRIES, COMMANDS_WAITING, NoAnswer, Outgoing, Request, Sealer
from gateway.life_state import Claim, Memory
from gateway.models import LifeInfo
from gateway.seqset import ack_windows
from gateway.store.group import Snapshot
from gateway.store.spool import Store
from wire import UTC_HIGH_S, UTC_LOW_S, WireError, messages
from wire.crypto import Keys
from wire.profiles import decode_profile

log = logging.getLogger("session")

TIME_EVERY_MS = 300_000  # 50 ppm make 15 ms of it
TIME_UNSET_MS = 2_000  # to a node without a clock
TIME_ON_AIR_MS = 3_600_000  # over LoRa, where it takes airtime: 50 ppm make 0.2 s of it
CLOCKS_APART_S = 86_400  # the clock of the machine that provisioned may differ from ours
ASK_EVERY_MS = 10_000  # for one profile
ASK_END_TIMES = 5  # when a profile that another one replaced ended; a node may have forgotten it
ACK_WINDOWS = 4  # a commit: 256 seqs above a hole; the rest is acknowledged when it comes again
HELD_MS_MAX = 65_535

OUTBOX_TYPES = (messages.RECORDS, messages.RECORDS_ASK, messages.GAP, messages.HEALTH, messages.EVENT)


class AckFacts(NamedTuple):
    """What a committed snapshot allows to be said."""

    wanted: bool  # something came that waits for an acknowledgement
    cum: int
    windows: list[tuple[int, int]]
    air: Window | None = None  # of the latest uplink that these facts hold, if it came over LoRa


class LifeSession:
    def __init__(
        self,
        info: LifeInfo,
        keys: Keys,
        store: Store,
        clock: Clock,
        sealer: Sealer,
        stored: bytes | None,
        provisioned_s: int,
        held_ready: Callable[[LifeSession], None],
        check: CalibrationCheck | None = None,
    ) -> None:
        self.info = info
        self.keys = keys
        self.memory = Memory(stored)
        self.decoder = Decoder(info.row, self.memory, store, provisioned_s, check)
        self.alarm: str | None = None
        self.link: Outgoing | None = None
        self.frames = 0
        self.sent_downlinks = 0
        self.boots_seen = 0  # since this gateway started
        self.last_hello: Any = None
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._held_ready = held_ready
        self._answers = -1  # full counter of the latest uplink
        self._answers_ms = 0
        self._committed = AckFacts(False, self.memory.cum, [])
        self._to_ack: list[int] = []
        self._time_sent_ms = 0  # of this boot
        self._time_unproven_ms = 0  # sent, and no uplink has shown yet that it arrived
        self._asked_ms: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # short → how often to ask when it ended
        self._requests: list[Request] = []
        self._turn = Turn()
        self._strangers = 0  # of the decoder's, told
        self.on_probe: Callable[[Any, bytes], None] | None = None  # a range test: (CommandResult, receptions)

    # -- uplink ----------------------------------------------------------------------------------------------------

    def accept(self, link: Outgoing, message_type: int, counter: int, payload: bytes, now_ms: int, fresh: bool) -> None:
        """An authenticated uplink whose counter is new. `fresh`: it was received now, not read from some buffer.

        WireError if it is authentic and yet no message: a fault of the node's program.
        """
        memory = self.memory
        memory.replay.accept(counter)
        memory.last_ms = now_ms
        self.frames += 1
        self.link = link
        air = link if on_air(link) else None
        if counter > self._answers or message_type == messages.HELLO or air is not None:
            self._answers, self._answers_ms = counter, now_ms
        self._store.touch(self.info.row, self, window=air is not None)
        self.decoder.receptions = None if air is None else air.receptions
        memory.on_air = air is not None
        if air is not None:
            self._accept_on_air(air, message_type, payload, now_ms, fresh)
            return
        if message_type in OUTBOX_TYPES:
            known = self.decoder.duplicates
            self._to_ack += self.decoder.accept(message_type, payload, now_ms)
            if self._time_unproven_ms and self.decoder.duplicates == known:
                # Nothing was sent again, so the acknowledgement that the time rode with has arrived.
                memory.clock.synced(self._time_unproven_ms)
                self._time_unproven_ms = 0
            if self.decoder.profiles.wanted or self._ends:
                self._ask_profiles(now_ms)
            self._look_at_anchor()
        else:
            self._other(message_type, counter, payload, now_ms, fresh)
        if self._requests:
            self._send_requests()

    def _accept_on_air(self, air: Window, message_type: int, payload: bytes, now_ms: int, fresh: bool) -> None:
        """The same for what came over LoRa: nothing is said before `committed`, when it is known what is worth airtime."""
        if message_type == messages.COMMAND_RESULT and self._probe(messages.decode(message_type, payload), air):
            return
        air.heard_from(self.info.node, self.info.life, hello=message_type == messages.HELLO)
        self.decoder.listens = not air.answers
        seqs: list[int] = []
        known = False
        if message_type in OUTBOX_TYPES:
            if self._time_unproven_ms and message_type == messages.RECORDS:
                # It does not ask again, so what it asked before was answered, and the time was in that answer.
                self.memory.clock.synced(self._time_unproven_ms)
                self._time_unproven_ms = 0
            received = len(self.memory.received)
            seqs = self.decoder.accept(message_type, payload, now_ms)
            known = len(self.memory.received) == received
            self._look_at_anchor()
        else:
            self._other(message_type, self._answers, payload, now_ms - air.airtime_ms, fresh)
        # What carried nothing new is of a node that does not know of its acknowledgement.
        wanted = known or air.proving(self.info.node, self.info.life)
        self._turn.heard(message_type, seqs, wanted=wanted)
        if self.decoder.strangers > self._strangers:
            self._strangers = self.decoder.strangers
            log.warning("session: node %d, forgot what was not acknowledged here: another gateway?", self.info.node)

    def _probe(self, message: Any, air: Window) -> bool:
        """Whether it is a frame of a range test. Its rate is the test's and says nothing of the node's own."""
        if message.code != messages.PROBE:
            return False
        if self.on_probe is not None:
            self.on_probe(message, air.receptions)
        self._result(message)  # the command's answer may be lost
        return True

    def _look_at_anchor(self) -> None:
        if self.decoder.anchored:
            self.decoder.anchored = False
            if self.decoder.unresolved:
                self._held_ready(self)

    def _other(self, message_type: int, counter: int, payload: bytes, now_ms: int, fresh: bool) -> None:
        """What holds no entries of the outbox."""
        message = messages.decode(message_type, payload)
        if message_type == messages.HELLO:
            self.memory.greeted((counter, message.boot, message.uptime_ms))
            self._hello(message, now_ms, fresh)
        elif message_type == messages.DESCRIPTOR:
            self._descriptor(message, now_ms)
        else:
            self._result(message)

    def _hello(self, hello: Any, now_ms: int, fresh: bool) -> None:
        memory, decoder = self.memory, self.decoder
        if hello.boot != memory.boot:
            memory.boot = hello.boot
            self._time_sent_ms = self._time_unproven_ms = 0
            self.boots_seen += 1
        self.last_hello = hello
        memory.wire_version = hello.wire_version
        decoder.clockless = not hello.clock_synced
        decoder.held_from(hello.oldest_seq, tuple(hello.totals), now_ms)
        memory.next_seq = max(memory.next_seq, hello.next_seq)
        memory.claimed(Claim(hello.next_seq, tuple(hello.totals), now_ms, bool(hello.clock_synced)))
        known_ids = {known.profile.id for known in decoder.profiles.by_short.values()}
        decoder.profiles.wanted |= {pid & 0xFF for pid in hello.profile_ids if pid not in known_ids}
        if fresh and self._clock_can_be_right(now_ms):
            decoder.anchor(hello.boot, hello.uptime_ms, now_ms)
            if decoder.unresolved:
                self._held_ready(self)
        if not on_air(self.link):
            self._answer_time(self._committed)
        if hello.profile_ids:
            self._ask_ends(set(hello.profile_ids))
        if decoder.profiles.wanted or self._ends:
            self._ask_profiles(now_ms)

    def _descriptor(self, message: Any, now_ms: int) -> None:
        self._ends.pop(message.profile.short, None)
        if self.decoder.profiles.add(message.profile, message.first_window, message.ended):
            if not message.ended:  # it may have taken the place of others, which are scheduled until their end is known
                self._ask_ends({message.profile.id})
                self._ask_profiles(now_ms)
            log.info("session: node %d, profile %08x learned", self.info.node, message.profile.id)
        if self.decoder.undecoded:
            self._held_ready(self)

    def hello_again(self, counter: int, payload: bytes) -> None:
        """An authentic hello whose counter was used before. The same frame came twice, or the node's flash was cloned
        or restored (or the hello was recorded and played back). Nothing of it is stored."""
        hello = messages.decode(messages.HELLO, payload)
        if (counter, hello.boot, hello.uptime_ms) in self.memory.hellos:
            return
        self.memory.alarms += 1
        if self.alarm is None:  # what is played back for ever is written with the next record, not for its own sake
            self._store.touch(self.info.row, self)
            self.alarm = f"cloned or restored: counter {counter} after {self.memory.replay.highest}, boot {hello.boot}"
            log.warning("session: node %d, %s; provision it again", self.info.node, self.alarm)

    # -- commit and acknowledgement --------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        cum = self.memory.cum
        if on_air(self.link):
            self._to_ack = []
            window = self._turn.window(self.memory.received, cum)
            return Snapshot(self.info.row, self.memory.encode(), AckFacts(False, cum, [window], self.link))
        seqs, self._to_ack = self._to_ack, []
        windows = ack_windows(self.memory.received, cum, [s for s in seqs if s >= cum], ACK_WINDOWS) if seqs else []
        return Snapshot(self.info.row, self.memory.encode(), AckFacts(bool(seqs), cum, windows))

    def committed(self, snapshot: Snapshot) -> None:
        facts: AckFacts = snapshot.facts
        self._committed = AckFacts(False, facts.cum, [])
        look_again = self.decoder.look_again
        if look_again is not None and facts.cum >= look_again:
            self.decoder.look_again = None
            self._held_ready(self)
        if facts.air is not None:
            if facts.air is self.link and facts.air.open:
                self._answer_on_air(facts.air, facts)
            return
        if not facts.wanted:
            return
        if self._time_due():
            self._answer_time(facts)
            rest = facts.windows[1:]
        else:
            self.send(messages.Ack(facts.cum, *(facts.windows[0] if facts.windows else (0, 0))))
            rest = facts.windows[1:]
        for window in rest:
            self.send(messages.Ack(facts.cum, *window))

    def _answer_on_air(self, air: Window, facts: AckFacts) -> None:
        """One message for this window, if any is worth it."""
        node, life = self.info.node, self.info.life
        rate = air.rate_for(node, life)
        request = self._due_request()
        profiles = self._due_profiles(air.begins_ms)
        if not (rate and air.astray(node, life)) and self._turn.acknowledge_first(
            rate is not None or request is not None or bool(profiles)
        ):
            self._acknowledge_on_air(air, facts)
        elif rate is not None:
            if self.send(rate):
                air.rate_sent(node, life, rate)
                self._turn.told_other()
        elif request is not None:
            if self._send_request(request):
                self._turn.told_other()
        elif profiles:
            if self.send(messages.DescriptorRequest(profiles[0])):
                self._asked_profile(profiles[0], air.begins_ms)
                self._turn.told_other()
        elif self._turn.asked:
            self._acknowledge_on_air(air, facts)

    def _time_due(self, every_ms: int = TIME_EVERY_MS) -> bool:
        age = self._clock.wall_ms() - self._time_sent_ms
        return age < 0 or age >= (TIME_UNSET_MS if self.decoder.clockless else every_ms)

    def _clock_can_be_right(self, now_ms: int) -> bool:
        """Whether this machine's clock may tell anybody the time: not before its first setting, not before the node was made."""
        if not getattr(self._clock, "trusted", True):
            return False
        earliest_s = max(UTC_LOW_S, self.decoder.profiles.provisioned_s - CLOCKS_APART_S)
        return earliest_s * 1000 <= now_ms < UTC_HIGH_S * 1000

    def _answer_time(self, facts: AckFacts) -> None:
        """An acknowledgement, and the time with it if this machine's own clock can be right."""
        now_ms = self._clock.wall_ms()
        window = facts.windows[0] if facts.windows else (0, 0)
        if not self._clock_can_be_right(now_ms):
            self.send(messages.Ack(facts.cum, *window))
            return
        held_ms = min(max(0, now_ms - self._answers_ms), HELD_MS_MAX)
        if self.send(messages.AckTime(now_ms, held_ms, facts.cum, *window)):
            self._time_sent_ms = self._time_unproven_ms = now_ms

    def _acknowledge_on_air(self, air: Window, facts: AckFacts) -> None:
        """The time rides along when it is due: the instant at which the node will hear this begin."""
        window = facts.windows[0]
        now_ms = air.begins_ms
        timed = self._turn.asks and self._time_due(TIME_ON_AIR_MS) and self._clock_can_be_right(now_ms)
        if not self.send(
            messages.AckTime(now_ms, air.held_ms, facts.cum, *window) if timed else messages.Ack(facts.cum, *window)
        ):
            return
        self._turn.acknowledged(facts.cum, window[0])
        if timed:
            self._time_sent_ms = self._time_unproven_ms = now_ms

    def send(self, message: Any) -> bool:
        """Seal in answer to the latest uplink of this life and hand to the link that it came by; False if it cannot go."""
        if self.link is None or self._answers < 0:
            return False
        frame = self._sealer.seal(
            self.keys, self.link.kind, self.info.node, self._answers, self.memory.wire_version, message
        )
        self.sent_downlinks += 1
        if not self.link.send(frame):
            return False
        if isinstance(message, messages.Ack | messages.AckTime):
            self.memory.told = max(self.memory.told, message.cum)
        return True

    def _ask_ends(self, running: set[int]) -> None:
        """Ask again for the profiles that are not known to have ended and are not among those (ids) that run."""
        found = self.decoder.profiles.open()
        self._ends |= {each.short: ASK_END_TIMES for each in found if each.id not in running}

    def _due_profiles(self, now_ms: int) -> list[int]:
        """Those that may be asked for now."""
        wanted = sorted(self.decoder.profiles.wanted | self._ends.keys())
        return [short for short in wanted if abs(now_ms - self._asked_ms.get(short, 0)) >= ASK_EVERY_MS]

    def _asked_profile(self, short: int, now_ms: int) -> None:
        if short in self._ends:
            self._ends[short] -= 1
            if not self._ends[short]:
                del self._ends[short]
        self._asked_ms[short] = now_ms

    def _ask_profiles(self, now_ms: int) -> None:
        if on_air(self.link):
            return
        for short in self._due_profiles(now_ms):
            self._asked_profile(short, now_ms)
            self.send(messages.DescriptorRequest(short))

    # -- settings and commands -------------------------------------------------------------------------------------

    async def set_setting(self, setting: int, instance: int, value: int, timeout_s: float) -> Any:
        """The node's SettingValue; NoAnswer at the deadline."""
        return await self._request(messages.SetSetting(setting, instance, value), timeout_s)

    async def get_setting(self, setting: int, instance: int, timeout_s: float) -> Any:
        return await self._request(messages.GetSetting(setting, instance), timeout_s)

    async def calibrate(self, number: int, chosen: tuple[tuple[int, int, int], ...], timeout_s: float) -> Any:
        """The node's SettingValue of `passport`; `ok` is 0 if what it has would not have this number then."""
        return await self._request(messages.Calibrate(number, chosen), timeout_s)

    async def command(self, code: int, arg: int, expiry_s: int, timeout_s: float) -> Any:
        """The node's CommandResult. The command's number is used once, also across restarts of the gateway."""
        number = max(self.memory.next_command, self._clock.wall_ms() // 1000 & 0xFFFFFFFF)
        self.memory.next_command = number + 1
        self._store.touch(self.info.row, self)
        return await self._request(messages.Command(number, code, arg, expiry_s), timeout_s)

    async def _request(self, message: Any, timeout_s: float) -> Any:
        if len(self._requests) >= COMMANDS_WAITING:
            raise NoAnswer(
                "too many requests wait for this node", where=f"node {self.info.node}", next_step="Try again"
            )
        request = Request(message, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        try:
            with self._store.awaited():
                async with asyncio.timeout(timeout_s):
                    while not request.future.done():
                        self._send_requests()
                        await asyncio.wait([request.future], timeout=COMMAND_RETRY_S / 2)
                    return request.future.result()
        except TimeoutError:
            raise NoAnswer(
                f"no answer within {timeout_s:g} s", where=f"node {self.info.node}", next_step="Is it on, and in reach?"
            ) from None
        finally:
            self._requests.remove(request)

    def _due_request(self) -> Request | None:
        """The first one, if it may be sent now."""
        request = self._requests[0] if self._requests else None
        if request is None or request.tries >= COMMAND_TRIES or request.future.done():
            return None
        return request if self._clock.monotonic_s() - request.sent_s >= COMMAND_RETRY_S else None

    def _send_request(self, request: Request) -> bool:
        if not self.send(request.message):
            return False
        request.tries += 1
        request.sent_s = self._clock.monotonic_s()
        return True

    def _send_requests(self) -> None:
        request = self._due_request()
        if request is not None and not on_air(self.link):  # over LoRa the next window is waited for
            self._send_request(request)

    def _result(self, message: Any) -> None:
        for request in self._requests:
            if request.answered_by(message) and not request.future.done():
                request.future.set_result(message)
                return

    def load_profiles(self, descriptors: tuple[str, ...]) -> None:
        """Profiles that the key file names: known before the first frame."""
        for text in descriptors:
            try:
                self.decoder.profiles.add(decode_profile(bytes.fromhex(text)))
            except WireError as err:
                log.error("keys: node %d, a profile is no descriptor, %s", self.info.node, err.reason)
