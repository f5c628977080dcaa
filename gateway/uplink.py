"""From any link to the session of the life that a frame belongs to: by address, then by the key that opens it.

Nothing here raises on input: what is not accepted is dropped and counted under a reason.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable

from gateway.calibration_check import CalibrationCheck
from gateway.clock import Clock
from gateway.downlink import Outgoing, Sealer
from gateway.held import work_off
from gateway.keys import Life
from gateway.session import LifeSession
from gateway.store.spool import BEAT_S, Contents, Store
from wire import WireError
from wire.crypto import subkeys
from wire.frame import LORA
from wire.frame_gateway import UplinkHeader, guess_counter, open_uplink, parse_uplink_header

log = logging.getLogger("uplink")

TAGS_A_SECOND = (
    20  # wrong ones that are verified for one ear and address: the air is open to everybody, and AES costs time
)
HELD_RETRY_S = 10.0
HELD_DEADLINE_S = 60.0  # for one life's held records; they stay held and are tried again


class Uplinks:
    """All sessions. `on_frame` is what links call, in the event loop."""

    def __init__(self, store: Store, clock: Clock, sealer: Sealer, check: CalibrationCheck | None = None) -> None:
        self.check = check
        self.dropped: Counter[str] = Counter()
        self.accepted = 0
        self.sessions: dict[tuple[int, int], LifeSession] = {}
        self.held: asyncio.Queue[LifeSession] = asyncio.Queue()
        self.on_reset: Callable[[int, int], None] | None = None  # (address, boot): a node started
        self.lives: dict[tuple[int, int], Life] = {}
        self._by_address: dict[int, list[LifeSession]] = {}
        self._store = store
        self._clock = clock
        self._sealer = sealer
        self._retired: dict[tuple[int, int], LifeSession] = {}  # no longer in the key file; what they know stays
        self._stored: dict[tuple[int, int], bytes | None] = {}
        self._contents: Contents | None = None
        self._working = False
        self.beat_s = 0.0  # loop time of the held task's last turn
        # of each ear and address: when its last wrong tags came; [frames that were not verified for it, wall ms of the last]
        self._wrong: dict[tuple[str, int], deque[float]] = {}
        self.throttled: dict[tuple[str, int], list[int]] = {}

    async def load(self, lives: Iterable[Life], contents: Contents | None = None) -> int:
        """Take over the key file's lives: at start with the store's contents, and again whenever the file changed.

        A life that is no longer in the file is no longer listened to; its records stay. Returns the number of new ones.
        """
        if contents is not None:
            self._contents = contents
            self._stored = {(row.node, row.life): row.state for row in contents.lives}
        wanted = {(life.address, life.life): life for life in lives}
        added = 0
        infos = await self._store.add_lives([life for key, life in wanted.items() if self.lives.get(key) != life])
        for key, life in wanted.items():
            session = self.sessions.get(key) or self._retired.pop(key, None)
            if session is None:
                info = infos[key]
                session = LifeSession(
                    info,
                    subkeys(life.key),
                    self._store,
                    self._clock,
                    self._sealer,
                    self._stored.pop(key, None),
                    life.provisioned_s,
                    self.held.put_nowait,
                    self.check,
                )
                self._fill(session)
                session.load_profiles(life.profiles)
                self._store.touch(info.row, session)
            session.decoder.profiles.until_s = life.until_s
            if session.memory.lost != life.lost:
                session.memory.lost = life.lost
                self._store.touch(session.info.row, session)
            added += key not in self.sessions
            self.sessions[key] = session
        for key in self.sessions.keys() - wanted.keys():
            self._retired[key] = self.sessions.pop(key)
        self.lives = wanted
        self._by_address = {}
        for key in sorted(self.sessions, key=lambda k: -wanted[k].provisioned_s):  # newest first
            self._by_address.setdefault(key[0], []).append(self.sessions[key])
        return added

    def _fill(self, session: LifeSession) -> None:
        """What the store knows of this life: profiles, anchors, and whether something is held."""
        contents = self._contents
        if contents is None:
            return
        row, decoder = session.info.row, session.decoder
        for profile in contents.profiles:
            if profile.life == row:
                decoder.profiles.know(profile)
        for anchor in contents.anchors:
            if anchor.life == row:
                decoder.load_anchor(anchor)
        decoder.undecoded = contents.undecoded.get(row, 0)
        decoder.unresolved = contents.unresolved.get(row, 0)
        if decoder.undecoded or decoder.unresolved:
            self.held.put_nowait(session)

    def session_of(self, address: int) -> LifeSession | None:
        """The newest life of an address."""
        found = self._by_address.get(address)
        return found[0] if found else None

    # -- input -----------------------------------------------------------------------------------------------------

    def on_frame(self, link: Outgoing, frame: bytes, received_ms: int, fresh: bool = True) -> None:
        header = parse_uplink_header(frame)
        if isinstance(header, str):
            self.dropped[header] += 1
            return
        candidates = self._by_address.get(header.address)
        if candidates is None:
            self.dropped["address"] += 1
            return
        if not self._store.accepting:
            self.dropped["spool"] += 1  # not acknowledged: the node keeps it
            return
        if link.kind == LORA and self._throttle(link.name, header.address):
            self.dropped["throttled"] += 1
            return
        try:
            for session in candidates:
                if self._try(session, link, header, frame, received_ms, fresh):
                    return
        except Exception:  # our fault, not the node's: told in full once a kind, and no link falls for it
            self.dropped["fault"] += 1
            log.exception("uplink: node %d, frame not taken", header.address)
            return
        self.dropped["tag"] += 1
        if link.kind == LORA:
            wrong = self._wrong.setdefault((link.name, header.address), deque(maxlen=TAGS_A_SECOND))
            wrong.append(self._clock.monotonic_s())

    def _throttle(self, ear: str, address: int) -> bool:
        """Whether so many wrong tags came just now that this frame is not verified. The node sends again what it loses by it."""
        wrong = self._wrong.get((ear, address))
        if wrong is None or len(wrong) < TAGS_A_SECOND or self._clock.monotonic_s() - wrong[0] >= 1.0:
            return False
        if (ear, address) not in self.throttled:
            log.warning("uplink: somebody floods ear %s with the address of node %d; throttled", ear, address)
        told = self.throttled.setdefault((ear, address), [0, 0])
        told[0] += 1
        told[1] = self._clock.wall_ms()
        return True

    def _try(
        self, session: LifeSession, link: Outgoing, header: UplinkHeader, frame: bytes, received_ms: int, fresh: bool
    ) -> bool:
        """True if the frame belongs to this life, whatever became of it."""
        replay = session.memory.replay
        counter = header.counter if header.full else guess_counter(header.counter, max(replay.highest, 0))
        payload = open_uplink(session.keys, link.kind, frame, counter, header)
        if payload is None:
            return False
        if not replay.fresh(counter):
            self.dropped["replay"] += 1
            if header.full:
                try:
                    session.hello_again(counter, payload)
                except WireError as err:
                    self.dropped[err.reason] += 1
            return True
        self.accepted += 1
        boot = session.memory.boot
        try:
            session.accept(link, header.type, counter, payload, received_ms, fresh)
        except WireError as err:
            self.dropped[err.reason] += 1
            log.debug("uplink: node %d, type %d, payload refused, %s", header.address, header.type, err.reason)
        if session.memory.boot != boot and self.on_reset is not None:
            self.on_reset(header.address, session.memory.boot)
        return True

    @property
    def idle(self) -> bool:
        """Nothing held waits for being worked off, as far as that is possible now."""
        return self.held.empty() and not self._working

    # -- held records ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work off held records whenever a profile or a time became known, one life after the other, for ever."""
        while True:
            self.beat_s = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(BEAT_S):
                    session = await self.held.get()
            except TimeoutError:
                continue
            self._working = True
            try:
                async with asyncio.timeout(HELD_DEADLINE_S):
                    await work_off(session, self._store)
            except (TimeoutError, sqlite3.Error) as err:
                log.warning("uplink: node %d, held records not worked off now, %r; kept", session.info.node, err)
                asyncio.get_running_loop().call_later(HELD_RETRY_S, self.held.put_nowait, session)
            except Exception:  # our fault: told in full; the records of all other nodes go on
                log.exception("uplink: node %d, held records not worked off; kept", session.info.node)
            finally:
                self._working = False
