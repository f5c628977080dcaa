"""The ether: frames in the air, and what each antenna makes of them.

A receiver finds a frame when it has heard DETECT_SYMBOLS of its preamble at the frame's frequency, bandwidth, SF, chirp
direction and sync word. It then stays with that frame to its end, unless another one that is CAPTURE_DB stronger begins
while it still hears the preamble. Whatever else is in the air at that frequency meanwhile spoils the frame if it is too
strong for it (same SF: capture; other SFs: imperfect orthogonality). Whoever transmits, changes what it listens to or
loses its power loses the frame that it was receiving.

`time` is true time; `log` has every transmission in true time: who kept the law is judged by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import ceil, log10
from typing import NamedTuple, Protocol

from tools.sim.radio.airtime import frame_us, header_us, preamble_us, symbol_us
from tools.sim.radio.propagation import CAPTURE_DB, SNR_LIMIT_DB, Model, Position, chance, needed_db, sum_dbm
from tools.sim.timers import Time, Timer

DETECT_SYMBOLS = 5  # of the preamble, that a receiver must hear to find a frame
SNR_MOST_DB = 15.0  # demodulators tell no more of a strong frame
RSSI_LEAST_DBM = -140.0


class Listening(NamedTuple):
    """What one demodulator waits for."""

    freq_hz: int
    bw_hz: int
    sf: int
    inverted: bool
    sync_word: int


Key = tuple[int, int, int, bool, int]  # what Listening has: equal to it
_NOTHING: frozenset[Key] = frozenset()


class Signal(NamedTuple):
    """One frame as it leaves a transmitter. `cr`: 5..8 for 4/5..4/8; `power_dbm`: at the antenna's socket; `ldro` None: as is
    usual at this rate."""

    freq_hz: int
    bw_hz: int
    sf: int
    cr: int
    inverted: bool
    sync_word: int
    preamble: int
    power_dbm: float
    data: bytes
    crc: bool = True
    implicit: bool = False
    ldro: bool | None = None

    def airtime_us(self) -> int:
        """Rounded up to whole us."""
        return ceil(
            frame_us(len(self.data), self.sf, self.bw_hz, self.cr, self.preamble, self.implicit, self.crc, self.ldro)
        )

    def listening(self) -> Listening:
        """What a receiver of it waits for."""
        return Listening(self.freq_hz, self.bw_hz, self.sf, self.inverted, self.sync_word)


class Reception(NamedTuple):
    """What a demodulator tells at the end of a frame; with `header_ok` False at the end of a header that it could not read.

    `freq_error_hz`: sender minus receiver. `end_us` is the instant at which it is told.
    """

    signal: Signal
    crc_ok: bool
    rssi_dbm: float
    snr_db: float
    freq_error_hz: float
    begin_us: int
    end_us: int
    header_ok: bool = True

    @property
    def signal_dbm(self) -> float:
        """Strength of the frame alone: below the noise it is less than `rssi_dbm`."""
        return self.rssi_dbm - 10 * log10(1 + 10 ** (-self.snr_db / 10))


class Antenna(Protocol):
    """Whoever is on the air. The ether calls `preamble` and `received` in order of time."""

    name: str
    place: Position
    gain_dbi: float

    def listening(self) -> Key | frozenset[Key] | None:
        """What it listens to now, as Listening: None for nothing, a set for a concentrator."""
        ...

    def preamble(self, begin_us: int, signal: Signal) -> None:
        """A frame was found; `begin_us`: when its preamble began. Only the rate of `signal` may be looked at."""
        ...

    def received(self, reception: Reception) -> None: ...


class Transmission(NamedTuple):
    """One line of the log, in true time. A frame that was cut off has its true end."""

    who: str
    begin_us: int
    end_us: int
    freq_hz: int
    bw_hz: int
    sf: int
    power_dbm: float
    length: int
    inverted: bool


class _Frame:
    """A frame in the air."""

    def __init__(self, name: str, sender: _Place, signal: Signal, begin_us: int) -> None:
        self.name = name
        self.sender = sender
        self.signal = signal
        self.key = signal.listening()
        self.begin_us = begin_us
        self.end_us = begin_us + signal.airtime_us()
        self.preamble_end_us = begin_us + ceil(preamble_us(signal.sf, signal.bw_hz, signal.preamble))
        self.header_end_us = begin_us + ceil(header_us(signal.sf, signal.bw_hz, signal.preamble))
        self.powers: dict[_Place, float] = {}
        self.line = -1
        self.cut_us: int | None = None

    def disturbs(self, other: _Frame) -> bool:
        return abs(self.signal.freq_hz - other.signal.freq_hz) < (self.signal.bw_hz + other.signal.bw_hz) / 2


class _Lock:
    """A demodulator that follows a frame. `spoiled_us`: when something first made it unreadable."""

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame
        self.spoiled_us: int | None = None
        self.timer: Timer | None = None


class _Place:
    """An antenna as the ether keeps it."""

    def __init__(self, antenna: Antenna, demodulators: int) -> None:
        self.antenna = antenna
        self.demodulators = demodulators
        self.since: dict[Key, int] = {}
        self.locks: dict[Key, _Lock] = {}
        self.sending: _Frame | None = None
        self.ppm = 0.0


class Ether:
    """`lost(sender, listener)`: what a test wants lost besides, by the antennas' names; it is asked once a frame and listener.

    `counts`: what became of the frames at listeners that waited for them: received, weak, lost, busy, spoiled, cut.
    """

    def __init__(self, time: Time, seed: int, model: Model | None = None) -> None:
        self.time = time
        self.seed = seed
        self.model = model or Model()
        self.log: list[Transmission] = []
        self.lost: Callable[[str, str], bool] = lambda sender, listener: False
        self.arrived: Counter[tuple[str, str]] = Counter()  # frames received whole, by (sender, listener)
        self.counts = dict.fromkeys(("received", "weak", "lost", "busy", "spoiled", "cut"), 0)
        self._places: dict[str, _Place] = {}
        self._in_air: list[_Frame] = []
        self._waiting: dict[Key, dict[_Place, None]] = {}  # who listens to what
        self._following: dict[_Place, None] = {}  # who follows a frame
        self._sent: Counter[str] = Counter()
        self._links: dict[tuple[str, str, int], float] = {}

    # --- Antennas --------------------------------------------------------------------------------------------------------

    def attach(self, antenna: Antenna, demodulators: int = 1) -> None:
        """Put an antenna on the air, by its name, which must be its own."""
        if antenna.name in self._places:
            raise ValueError(f"there is an antenna {antenna.name!r} already")
        place = _Place(antenna, demodulators)
        ppm = self.model.crystal_ppm
        place.ppm = chance(self.seed, "crystal", antenna.name).uniform(-ppm, ppm) if ppm else 0.0
        self._places[antenna.name] = place
        self.changed(antenna)

    def detach(self, antenna: Antenna) -> None:
        """Take an antenna off the air; it may come back, at another place."""
        self.stop(antenna)
        place = self._places.pop(antenna.name)
        self._links = {key: value for key, value in self._links.items() if antenna.name not in key[:2]}
        self._drop(place, list(place.locks))
        for key in place.since:
            del self._waiting[key][place]

    def changed(self, antenna: Antenna) -> None:
        """To be called after every change of what `antenna.listening()` says: also for off and on again."""
        place = self._places[antenna.name]
        now_us = self.time.now_us
        found = self._listens(place)
        self._drop(place, [key for key in place.locks if key not in found])
        for key in place.since:
            if key not in found:
                del self._waiting[key][place]
        for key in found:
            self._waiting.setdefault(key, {})[place] = None
        place.since = {key: place.since.get(key, now_us) for key in found}
        for frame in self._in_air:
            if frame.key in found and frame.sender is not place:
                self._look(place, frame)

    def restarted(self, antenna: Antenna) -> None:
        """The same for a receiver that started anew with what it listened to before."""
        place = self._places[antenna.name]
        self._drop(place, list(place.locks))
        place.since = dict.fromkeys(place.since, self.time.now_us)
        self.changed(antenna)

    @staticmethod
    def _listens(place: _Place) -> frozenset[Key]:
        if place.sending is not None:
            return _NOTHING
        found = place.antenna.listening()
        if found is None:
            return _NOTHING
        return found if isinstance(found, frozenset) else frozenset((found,))

    def _drop(self, place: _Place, keys: list[Key]) -> None:
        for key in keys:
            lock = place.locks.pop(key)
            self.counts["cut"] += 1
            if lock.timer is not None:
                lock.timer.cancel()
        if not place.locks:
            self._following.pop(place, None)

    # --- Sending ---------------------------------------------------------------------------------------------------------

    def transmit(self, antenna: Antenna, signal: Signal) -> int:
        """Put a frame on the air now; returns when it will end (us, true time)."""
        place = self._places[antenna.name]
        if place.sending is not None:
            raise ValueError(f"{antenna.name} is transmitting already")
        now_us = self.time.now_us
        self._sent[antenna.name] += 1
        # What chance does to a sender's n-th frame is the same whatever others send meanwhile, boards or their model.
        frame = _Frame(f"{antenna.name} {self._sent[antenna.name]}", place, signal, now_us)
        place.sending = frame
        self.changed(antenna)
        frame.line = len(self.log)
        self.log.append(
            Transmission(
                antenna.name, now_us, frame.end_us, signal.freq_hz, signal.bw_hz, signal.sf, signal.power_dbm,
                len(signal.data), signal.inverted,
            )
        )  # fmt: skip
        self._in_air.append(frame)
        for other in self._following:
            for lock in other.locks.values():
                self._test(other, lock)
        for other in self._waiting.get(frame.key, ()):
            self._look(other, frame)
        self.time.call_at(frame.end_us, lambda: self._end(frame))
        return frame.end_us

    def stop(self, antenna: Antenna) -> None:
        """End its transmission at this instant, if it has one: power cut or reset."""
        frame = self._places[antenna.name].sending
        if frame is None:
            return
        now_us = self.time.now_us
        frame.cut_us = now_us
        self.log[frame.line] = self.log[frame.line]._replace(end_us=now_us)
        for place in self._following:
            for lock in place.locks.values():
                if lock.frame is frame and lock.spoiled_us is None:
                    lock.spoiled_us = now_us
        self._leave(frame)

    def _end(self, frame: _Frame) -> None:
        if frame.cut_us is None:
            self._leave(frame)

    def _leave(self, frame: _Frame) -> None:
        self._in_air.remove(frame)
        place = frame.sender
        place.sending = None
        if self._places.get(place.antenna.name) is place:
            self.changed(place.antenna)

    # --- Strength --------------------------------------------------------------------------------------------------------

    def link_db(self, sender: Antenna, listener: Antenna, freq_hz: int) -> float:
        """What is left of a transmitter's power at the listener's socket, without fading: antennas' gains minus losses."""
        key = (sender.name, listener.name, freq_hz)
        if key not in self._links:
            model = self.model
            self._links[key] = (
                sender.gain_dbi + listener.gain_dbi
                - model.path_loss_db(sender.place, listener.place, freq_hz)
                - model.shadow_db(self.seed, sender.name, listener.name)
            )  # fmt: skip
        return self._links[key]

    def _power_dbm(self, frame: _Frame, place: _Place) -> float:
        power = frame.powers.get(place)
        if power is None:
            sender, listener = frame.sender.antenna, place.antenna
            power = frame.signal.power_dbm + self.link_db(sender, listener, frame.signal.freq_hz)
            if self.model.rician_k_db is not None:
                power += self.model.fade_db(chance(self.seed, frame.name, listener.name))
            frame.powers[place] = power
        return power

    def _snr_db(self, frame: _Frame, place: _Place) -> float:
        return self._power_dbm(frame, place) - self.model.noise_dbm(frame.signal.bw_hz)

    def _loud(self, frame: _Frame, place: _Place) -> bool:
        return self._snr_db(frame, place) >= SNR_LIMIT_DB[frame.signal.sf]

    def _clean(self, frame: _Frame, place: _Place) -> bool:
        """Whether nothing that is in the air at this instant is too strong for the frame."""
        if len(self._in_air) == 1:
            return True
        power = self._power_dbm(frame, place)
        others: dict[float, list[float]] = {}
        signal = frame.signal
        for other in self._in_air:
            if other is not frame and other.sender is not place and frame.disturbs(other):
                needed = needed_db(signal.sf, signal.inverted, other.signal.sf, other.signal.inverted)
                others.setdefault(needed, []).append(self._power_dbm(other, place))
        return all(power >= sum_dbm(powers) + needed for needed, powers in others.items())

    def busy(self, antenna: Antenna, freq_hz: int, bw_hz: int, sf: int, inverted: bool) -> bool:
        """Channel activity detection: whether chirps of this rate are in the air here, strong enough to be seen."""
        place = self._places[antenna.name]
        for frame in self._in_air:
            key = frame.key
            if (key.freq_hz, key.bw_hz, key.sf, key.inverted) != (freq_hz, bw_hz, sf, inverted):
                continue
            if frame.sender is not place and self._loud(frame, place) and self._clean(frame, place):
                miss = self.model.cad_miss
                if not miss or chance(self.seed, "cad", frame.name, antenna.name, self.time.now_us).random() >= miss:
                    return True
        return False

    # --- Receiving -------------------------------------------------------------------------------------------------------

    def _look(self, place: _Place, frame: _Frame) -> None:
        """Plan the instant at which this listener has heard enough of the preamble, if it can."""
        since_us = place.since[frame.key]
        enough = DETECT_SYMBOLS * symbol_us(frame.signal.sf, frame.signal.bw_hz)
        found_us = ceil(max(frame.begin_us, since_us) + enough)
        last_us = frame.begin_us + frame.signal.preamble * symbol_us(frame.signal.sf, frame.signal.bw_hz)
        if found_us > ceil(last_us):
            return

        def look() -> None:
            if frame.cut_us is None and place.since.get(frame.key) == since_us:
                self._find(place, frame)

        self.time.call_at(found_us, look)

    def _find(self, place: _Place, frame: _Frame) -> None:
        now_us = self.time.now_us
        name = place.antenna.name
        sender = frame.sender.antenna.name
        if self._places.get(name) is not place:
            return
        if not self._loud(frame, place):
            self.counts["weak"] += 1
            return
        share = self.model.loss
        if self.lost(sender, name) or (share and chance(self.seed, "loss", frame.name, name).random() < share):
            self.counts["lost"] += 1
            return
        before = place.locks.get(frame.key)
        if before is not None:
            stronger = self._power_dbm(frame, place) >= self._power_dbm(before.frame, place) + CAPTURE_DB
            if now_us >= before.frame.preamble_end_us or not stronger:
                self.counts["busy"] += 1
                return
            self._drop(place, [frame.key])
        elif len(place.locks) >= place.demodulators:
            self.counts["busy"] += 1
            return
        if not self._clean(frame, place):
            self.counts["spoiled"] += 1
            return
        lock = _Lock(frame)
        place.locks[frame.key] = lock
        self._following[place] = None
        told_us = frame.end_us if frame.signal.implicit else frame.header_end_us
        lock.timer = self.time.call_at(told_us, lambda: self._tell(place, lock))
        place.antenna.preamble(frame.begin_us, frame.signal)

    def _test(self, place: _Place, lock: _Lock) -> None:
        if lock.spoiled_us is None and not self._clean(lock.frame, place):
            lock.spoiled_us = self.time.now_us

    def _tell(self, place: _Place, lock: _Lock) -> None:
        frame = lock.frame
        now_us = self.time.now_us
        spoiled = lock.spoiled_us is not None
        header_ok = frame.signal.implicit or lock.spoiled_us is None or lock.spoiled_us > frame.header_end_us
        if header_ok and now_us < frame.end_us:
            lock.timer = self.time.call_at(frame.end_us, lambda: self._tell(place, lock))
            return
        del place.locks[frame.key]
        if not place.locks:
            del self._following[place]
        self.counts["spoiled" if spoiled else "received"] += 1
        signal = frame.signal
        if not spoiled:
            self.arrived[frame.sender.antenna.name, place.antenna.name] += 1
        else:
            signal = signal._replace(data=self._garbled(frame, place))
        power = self._power_dbm(frame, place)
        snr = self._snr_db(frame, place)
        rssi = max(RSSI_LEAST_DBM, sum_dbm([power, self.model.noise_dbm(signal.bw_hz)]))
        error_hz = (frame.sender.ppm - place.ppm) * signal.freq_hz / 1e6
        place.antenna.received(
            Reception(signal, not spoiled, rssi, min(snr, SNR_MOST_DB), error_hz, frame.begin_us, now_us, header_ok)
        )

    def _garbled(self, frame: _Frame, place: _Place) -> bytes:
        draw = chance(self.seed, "garbled", frame.name, place.antenna.name)
        data = bytearray(frame.signal.data)
        for _ in range(max(1, len(data) // 4)) if data else ():
            data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        return bytes(data)
