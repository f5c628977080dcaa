"""The link over LoRa: one frame at a time, then one window for an answer. Class A of LoRaWAN is the model.

Before each transmission the budget of airtime is asked, then the channel listened to; a busy one is left for another, after
a random time. RX_DELAY_US after the end of the uplink the node listens to the downlink channel, at the same SF, with inverted
chirps. Times on air are those of the radio's interrupt, so that a gateway's time can be trusted to milliseconds.
"""

from firmware.links import lora_session
from firmware.links.duty import DutyLedger
from firmware.links.lora_rate import HOUR_MS, Rate
from wire import messages, regions
from wire.airtime import airtime_us
from wire.duty import BLOCK_US

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.life import Life
    from firmware.tasks.supervisor import Task

RX_DELAY_US = 1000000  # from the end of an uplink to the beginning of its answer
EARLY_US = 60000  # a block of flash is erased in 45 ms, and the program stands still meanwhile
LATE_US = 20000
REST_MS = 5000  # longest rest, to show that the task lives
GAP_MS = 500  # after a window: others have their turn
BUSY_MAX = 6  # times that a channel was busy; then the frame goes out all the same
RETRY_MIN_MS = 5000  # a radio that failed is started again after that, and after twice, four times … as long
RETRY_MAX_MS = 600000
BEAT_MS = 20000


class LoraLink:
    """`node`: firmware.app.Node."""

    def __init__(self, node: "Any") -> None:
        self.signal: "tuple[int | None, int | None]" = (None, None)  # RSSI in dBm, SNR in dB of the last downlink
        self.foreign = 0  # frames in our windows that were for others, or nobody's
        self._node = node
        self._clock = node.clock
        self._gain_cdbi = node.board["link"]["gain_cdbi"]
        self._rate = Rate(node.settings.get, node.port.random_bytes)
        self._ledger = DutyLedger(node.root + "/duty", node.clock)
        self._radio: "Any" = None
        self._held: "tuple[Any, ...] | None" = None  # a frame that was sealed and found no free channel
        self._busy = 0
        self._ready_at_ms = 0
        self._old_at_ms = 0  # the next frame with nothing new in it
        if node.exchange is not None:
            node.exchange.on_air = True
        # The first health comes with the time, and no other before: without it it is too long for SF12.
        self._fresh = not node.health_due_ms
        if self._fresh:
            node.health_due_ms = node.settings.get("health_s") * 1000

    def session(self, life: "Life", clock: "Any", get: "Any", hello: "Any", ask: "Any") -> "Any":
        """The conversation of a life over this link."""
        return lora_session.LoraSession(life, clock, get, hello, ask, self._rate)

    def add_tasks(self, node: "Any") -> None:
        node.supervisor.add("lora", self.run)

    def keep(self) -> "list[int]":
        """What `resume` needs after a deep sleep: the ledger's image, three bytes in a number."""
        image = self._ledger.image()
        kept = [len(image)]
        for at in range(0, len(image), 3):
            kept.append(int.from_bytes(image[at : at + 3], "big"))
        return kept

    def resume(self, kept: "list[int]", slept_ms: int) -> None:
        """After a deep sleep of at least `slept_ms`."""
        image = bytearray()
        for value in kept[1:]:
            image += value.to_bytes(min(3, kept[0] - len(image)), "big")
        self._ledger.recall(bytes(image), slept_ms)

    def test_range(self, number: int, arg: int) -> "tuple[int, int]":
        """(result, value) of the command RANGE_TEST with this number."""
        from firmware.links import lora_range

        return lora_range.begin(number, arg, self._rate, self._ledger, self._gain_cdbi)

    async def run(self, task: "Task") -> None:
        """The task that sends and listens; it outlives a radio that fails."""
        lost = False
        retry_ms = RETRY_MIN_MS
        while True:
            task.beat()
            try:
                await self._open()
                while True:
                    await self._turn(task)
                    if lost:
                        lost = False
                        retry_ms = RETRY_MIN_MS
                        self._node.event(messages.RADIO_BACK)
            except OSError as error:
                self._node.log.error("lora", "radio fails, %s", error)
                if not lost:
                    lost = True
                    self._node.event(messages.RADIO_LOST, error.errno or 0)
            until_ms = self._clock.uptime_ms() + retry_ms
            retry_ms = min(2 * retry_ms, RETRY_MAX_MS)
            while self._clock.uptime_ms() < until_ms:
                task.beat()
                await self._clock.sleep_ms(min(BEAT_MS, max(1, until_ms - self._clock.uptime_ms())))

    async def _open(self) -> None:
        if self._radio is None:
            from firmware.drivers import seldom

            open_radio = seldom("firmware.drivers.radio", "open_radio")
            self._radio = await open_radio(self._node.read_board(), self._node.port, self._clock)
        await self._radio.start()

    async def _turn(self, task: "Task") -> None:
        """One frame with its window, or a rest."""
        node, clock = self._node, self._clock
        task.beat()
        node.wake.clear()
        now_ms = clock.uptime_ms()
        rest_ms = REST_MS
        if node.exchange is not None:
            rest_ms = node.exchange.rest_ms(now_ms, REST_MS)
        if node.exchange is None or node.exchange.is_open:
            wait_ms = self._ready_at_ms - now_ms
            if wait_ms <= 0:
                wait_ms = await self._speak(now_ms)
            rest_ms = min(rest_ms, wait_ms)
        if rest_ms > 0:
            await node.wait(rest_ms)

    async def _speak(self, now_ms: int) -> int:
        """Send what is due; how long to rest before the next look."""
        if self._held is not None and self._held[1][0] & 31 == messages.HELLO:
            self._held = None  # its uptime must be that of its sending; what it waited for may have taken an hour
        if self._held is None:
            rest_ms = self._seal(now_ms)
            if self._held is None:
                return rest_ms
        session, data, sf, power_dbm, channels = self._held  # type: ignore[misc]
        airtime = airtime_us(len(data), sf)
        freq_hz, wait_ms = self._channel(channels, airtime)
        if not freq_hz:
            return min(wait_ms, REST_MS)
        power_dbm = min(power_dbm, regions.power_limit_dbm(freq_hz, self._gain_cdbi))
        radio = self._radio
        radio.tune(freq_hz, sf, power_dbm, False)
        if self._busy < BUSY_MAX and await radio.cad():
            self._busy += 1
            slot_ms = airtime // 1000
            self._ready_at_ms = now_ms + slot_ms // 4 + self._rate.random(slot_ms * self._busy)
            return self._ready_at_ms - now_ms
        self._held = None
        self._busy = 0
        self._ledger.take(freq_hz, airtime)
        end_us = await radio.transmit(data)
        session.sent_at(self._uptime_ms(end_us))
        answered = await self._listen(sf, power_dbm, end_us)
        now_ms = self._clock.uptime_ms()
        first = session is self._node.sessions[0]
        if answered:
            self._rate.answered()
        elif session.asked:
            session.unanswered(now_ms)
            if first:
                self._rate.miss()
        await radio.sleep()
        self._ready_at_ms = now_ms + self._rate.random(GAP_MS)
        return 0

    def _seal(self, now_ms: int) -> int:
        """Have the next frame made, if there is something to be sent and airtime for it; else how long to rest."""
        rate = self._rate
        rate.look(now_ms)
        rest_ms = REST_MS
        if rate.test is not None:
            self._held = rate.test.held(self._node.sessions[0], rate, now_ms)
            if self._held is not None:
                return 0
        want = lora_session.NOTHING
        for session in self._node.sessions:
            want = session.wants(now_ms)
            rest_ms = min(rest_ms, session.next_due_ms(now_ms))
            if want or rate.missed:  # earlier lives wait until the present one is heard
                break
        if not want:
            return rest_ms
        sf, _, channels = rate.present()
        airtime = airtime_us(regions.frame_limit(sf), sf)
        freq_hz, wait_ms = self._channel(channels, airtime)
        if not freq_hz:
            if want == lora_session.URGENT and now_ms - rate.said_ms >= HOUR_MS:
                rate.said_ms = now_ms
                self._node.event(messages.DUTY_SPENT, wait_ms // 1000 + 1)
                self._node.sessions[0].press()
            return min(wait_ms, rest_ms)
        # What is old gets two thirds of the airtime, evenly: so there is always some for what is new.
        rate.spare = now_ms >= self._old_at_ms and self._ledger.free_us(freq_hz) >= 3 * airtime
        if want == lora_session.BACKLOG:
            if not rate.spare:
                return rest_ms
            duty = regions.duty_permille(regions.band_of(freq_hz))
            self._old_at_ms = now_ms + airtime * 3 // (2 * duty)
        data = session.next_frame(now_ms)
        if data is not None:
            sf, power_dbm, channels = rate.present()
            while airtime_us(len(data), sf) > BLOCK_US:
                sf -= 1  # one record that is too long for its SF: only there can it be heard at all
            self._held = (session, data, sf, power_dbm, channels)
        return rest_ms

    def _channel(self, mask: int, airtime: int) -> "tuple[int, int]":
        """(frequency of one of these channels that may be used so long, 0), by lot; (0, ms until there is one)."""
        channels = [freq_hz for i, freq_hz in enumerate(regions.UPLINKS_HZ) if mask >> i & 1]
        at = self._rate.random(len(channels))
        least_ms = HOUR_MS
        for freq_hz in channels[at:] + channels[:at]:
            wait_ms = self._ledger.wait_ms(freq_hz, airtime)
            if wait_ms <= 0:
                return freq_hz, 0
            least_ms = min(least_ms, wait_ms)
        return 0, least_ms

    def _uptime_ms(self, at_us: int) -> int:
        """Uptime at an instant, not long ago, of the radio's clock."""
        port = self._radio.port
        return self._clock.uptime_ms() - port.us_diff(port.now_us(), at_us) // 1000

    async def _listen(self, sf: int, power_dbm: int, end_us: int) -> bool:
        """The window after an uplink that ended at `end_us`; whether an answer to one of ours came."""
        radio, clock = self._radio, self._clock
        radio.tune(regions.DOWNLINK_HZ, sf, power_dbm, True)
        open_us = radio.port.us_add(end_us, RX_DELAY_US - EARLY_US)
        left_ms = (EARLY_US + LATE_US + (32 << sf)) // 1000  # and four symbols, of 8 us << sf
        close_ms = self._uptime_ms(end_us) + (RX_DELAY_US + LATE_US + (32 << sf)) // 1000
        while left_ms > 0:
            got = await radio.receive(left_ms, open_us)
            if got is None:
                return False
            data, rssi_dbm, snr_qdb, signal_dbm, _, end_us = got
            begin_ms = self._uptime_ms(end_us) - airtime_us(len(data), sf) // 1000
            for session in self._node.sessions:
                session.begin_ms = begin_ms
                if session.received(data):
                    self.signal = (rssi_dbm if snr_qdb >= 0 else signal_dbm, snr_qdb // 4)
                    if session.news:
                        session.news = False
                        self._node.acknowledged(session)
                    if clock.synced:
                        self._ledger.proven(clock.utc_s())
                        if self._fresh:
                            self._fresh = False
                            if self._node.health_due_ms == self._node.settings.get("health_s") * 1000:  # none was put
                                self._node.health_due_ms = 0
                    self._node.wake.set()
                    return True
            self.foreign += 1
            open_us = radio.port.now_us()
            left_ms = close_ms - clock.uptime_ms()
        return False
