"""The conversation over LoRa: answers are rare, so that a frame without one is not a lost frame. No I/O.

Records that ask (RECORDS_ASK) and hellos want an answer; others do not. An answer tells of everything that its uplink and
those before it brought: what it names as missing, or what lies above `cum` when it names nothing, is sent again; of what it
does not reach, nothing is known, and nothing is sent again for that. An ask without an answer leads to another ask: with
the next records, or after a pause with one that was sent before; what is old waits meanwhile. What is new goes before what
is old, after a random wait, for all windows of a city end at once; it is sent, once, under silence, too
(firmware/links/lora_rate.py): a gateway may hear although it is not heard.
"""

from firmware.outbox import entries
from firmware.session import Sent, Session
from wire import frame, messages
from wire.regions import frame_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNKNOWN_MAX = 24  # frames of which no answer has told; of more the first are forgotten, and sent again if none tells
ASK_MAX = 12  # frames between two asks, so that an answer comes before that
LIVE_MAX = 12  # places of new entries kept in RAM: an hour of windows of 5 minutes; older ones are backlog
ASK_AGE_MS = 1800000  # of the last ask: the next records ask; at twice that age, without new ones, those sent last

NOTHING, BACKLOG, URGENT = 0, 1, 2


class LoraSession(Session):
    """`rate`: firmware.links.lora_rate.Rate, the same for all lives. Times are uptimes in ms.

    The link asks `wants`, sends what `next_frame` gives, tells by `sent_at` when it was out, then hands over what came in
    its window, with `begin_ms`, or calls `unanswered` if it `asked`.
    """

    def __init__(self, life: "Any", clock: "Any", get: "Any", hello: "Any", ask: "Any", rate: "Any") -> None:
        Session.__init__(self, life, clock, get, hello, ask, frame.LORA)
        self.asked = False  # the last frame wants an answer
        self.begin_ms = 0  # when the downlink that is handed over next began on air
        self.old = "until_s" in life.stored
        self._rate = rate
        self._missed = 0
        self._ask_at_ms = clock.uptime_ms() + rate.random(get("lora_spread_s") * 1000 + 1)
        self._asked_ms = 0
        self._unasked = 0  # frames since then
        self._speak_at_ms = 0  # what is new waits until then
        self._answers = 0
        self._forgotten: "tuple[int, int] | None" = (
            None  # place of the first frame of which it is not known that it was sent
        )

    # --- sending ---

    def note(self, place: "tuple[int, int]") -> None:
        if not self._live:
            self._speak_at_ms = self._clock.uptime_ms() + self._rate.random(self._get("lora_spread_s") * 1000 + 1)
        self._live.append(place)
        if len(self._live) > LIVE_MAX:
            self._rewind(self._live.pop(1))

    def press(self) -> None:
        """What was noted last goes first."""
        self._live.insert(0, self._live.pop())

    def call_again(self) -> None:
        """The link is to be used after a pause. What was sent before stays sent."""
        if not self._missed:
            self._ask_at_ms = 0

    def idle(self) -> bool:
        """Whether nothing is to be sent before long, and nothing can be that the budget would allow."""
        if self._live or self._replies or self._rate.test is not None:
            return False
        want = self.wants(self._clock.uptime_ms())
        return want == NOTHING or want == BACKLOG and not self._rate.spare

    def wants(self, now_ms: int) -> int:
        """Whether something is to be sent now: NOTHING, BACKLOG (alone), URGENT."""
        waiting = now_ms < self._ask_at_ms
        if not self._hello_due:
            if self._live and now_ms >= self._speak_at_ms or self._replies and not self._missed:
                return URGENT
        if self._hello_due or self._missed:
            return NOTHING if waiting else URGENT
        if self._in_flight and now_ms - self._asked_ms > 2 * ASK_AGE_MS:
            return URGENT
        if self._swept and (self._in_flight or self._live or self.life.outbox.drained()):
            return NOTHING
        return BACKLOG

    def next_due_ms(self, now_ms: int) -> int:
        """Milliseconds until `wants` may tell otherwise although nothing happens."""
        due_ms = now_ms + 60000
        for at_ms in (self._ask_at_ms, self._speak_at_ms):
            if now_ms < at_ms < due_ms:
                due_ms = at_ms
        return due_ms - now_ms

    def next_frame(self, now_ms: int) -> "bytes | None":
        self.asked = False
        rate = self._rate
        silent = rate.silent()
        rate.calls = silent and now_ms >= self._ask_at_ms
        if self._hello_due or rate.calls and rate.elsewhere():
            return self._say_hello(self._hello(self.life), now_ms)
        if self._replies and not silent:
            kind, payload = messages.encode(self._replies.pop(0))
            return self._seal(kind, payload, now_ms)
        data = self._entries_frame(now_ms)
        if silent and not rate.calls:
            self.asked = False  # it takes no turn: who cannot hear goes on telling what is new
        return data

    def probe(self, message: "Any", now_ms: int) -> "bytes | None":
        """A frame of a range test; None: an answer goes first."""
        if self._replies:
            return None
        kind, payload = messages.encode(message)
        return self._seal(kind, payload, now_ms)

    def sent_at(self, end_ms: int) -> None:
        """The last frame was on air until then."""
        self._recent[0] = (self._recent[0][0], end_ms)

    def unanswered(self, now_ms: int) -> None:
        """The last frame asked, and its window was empty."""
        self._missed += 1
        self._ask_at_ms = now_ms + self._rate.pause_ms(self._missed)

    def _seal(self, kind: int, payload: bytes, now_ms: int) -> bytes:
        self.asked = kind == messages.HELLO or kind == messages.RECORDS_ASK
        self._unasked += 1
        if self.asked:
            self._unasked = 0
            self._asked_ms = now_ms
        elif self._unasked >= 2 * self._get("lora_ask_every"):  # no records come that could ask
            self._hello_due = True
        self._unanswered = -1
        return Session._seal(self, kind, payload, now_ms)

    def _next_entries(self, now_ms: int) -> "bytes | None":
        found: "list[tuple]" = []
        fresh = self._live and now_ms >= self._speak_at_ms and self._get("live_first")
        while fresh and self._live and not found:
            place = self._live.pop(0)
            found = self._gather(place[0], place[1], self._batch)
        last = not found
        if last and self._rate.silent() and not self._rate.calls:
            return None
        if last:
            cursor = self._cursor
            found = self._sweep()
            if found and self._live and found[0][2] >= min(self._live):
                self._cursor = cursor  # what is new has its own time
                return None
        outbox = self.life.outbox
        if not (found or self._in_flight or outbox.drained()):
            found = self._search()
        age_ms = now_ms - self._asked_ms
        must_ask = self._missed or self._in_flight and age_ms > 2 * ASK_AGE_MS
        if not found:
            self._live = []
            if not must_ask:
                return None
            found = self._again()
            if not found:
                return self._say_hello(self._hello(self.life), now_ms)
        kind, payload = self._payload(found)
        if last:
            cursor = self._cursor
            last = not self._sweep()
            self._cursor = cursor
        if kind == messages.RECORDS and (
            last
            or must_ask
            or age_ms > ASK_AGE_MS
            or self._rate.unproven()
            or self._unasked + 1 >= min(self._get("lora_ask_every"), ASK_MAX)
        ):
            kind = messages.RECORDS_ASK
        sealed = self._seal(kind, payload, now_ms)
        spans: "list[tuple[int, int]]" = []
        for entry in found:
            first, end = entries.span(entry[0], entry[1])
            if spans and spans[-1][1] == first:
                first = spans.pop()[0]
            spans.append((first, end))
        is_gap = found[0][0] == entries.GAP  # in the place of a deadline, which there is none over LoRa
        self._in_flight.append(Sent(self._recent[0][0], is_gap, found[0][2], spans))
        if len(self._in_flight) > UNKNOWN_MAX:
            place = self._in_flight.pop(0).place
            self._forgotten = min(place, self._forgotten or place)
        used = [entry[2] for entry in found]
        self._live = [place for place in self._live if place not in used]
        return sealed

    def _again(self) -> "list[tuple]":
        """The record that was sent last and of which nothing is known: an ask needs one."""
        for sent in reversed(self._in_flight):
            number, offset = sent.place
            for kind, body, at, _ in self.life.outbox.entries(number, offset):
                seq = entries.span(kind, body)[0] if kind > 0 else 0
                if seq >= sent.spans[-1][1]:
                    break
                if kind == entries.RECORD and [span for span in sent.spans if span[0] <= seq < span[1]]:
                    left = []
                    for first, end in sent.spans:
                        if first <= seq < end:
                            left += [(first, seq), (seq + 1, end)]
                        else:
                            left.append((first, end))
                    sent.spans = [span for span in left if span[0] < span[1]]
                    if not sent.spans:
                        self._in_flight.remove(sent)
                    return [(kind, body, (number, at))]
        return []

    def _payload(self, found: "list[tuple]") -> "tuple[int, bytes]":
        if found[0][0] != entries.RECORD:
            return Session._payload(self, found)
        room = frame_limit(self._rate.present()[0]) - frame.UPLINK_HEAD - 4
        self._batch = min(self._batch + 1, self._get("batch_max"))
        while True:
            payload = self._encode(found)
            count = len(found)
            if len(payload) <= room or count == 1:
                return messages.RECORDS, payload
            count = max(1, min(count - 1, count * room // len(payload)))
            self._batch = count + 1
            for entry in found[count:]:
                if entry[2] not in self._live:
                    self._rewind(entry[2])
            found[count:] = []

    # --- receiving ---

    def received(self, data: bytes) -> bool:
        """As in Session; `begin_ms` belongs to `data`."""
        if not Session.received(self, data):
            return False
        self._missed = 0
        return True

    def _take(self, message: "Any", answered: int) -> None:
        self._answers = answered
        now_ms = self._clock.uptime_ms()
        if isinstance(message, messages.Rate):
            if not self.old:
                self._rate.command(message, now_ms)
            return
        if isinstance(message, (messages.TimeMsg, messages.AckTime)):  # as if it had begun now, and without time on air
            late_ms = now_ms - self.begin_ms
            message = type(message)(message[0] + late_ms, message[1] + late_ms, *message[2:])
        Session._take(self, message, answered)

    def _acknowledged(self, cum: int, base: int, bits: int) -> None:
        outbox = self.life.outbox
        self.news = outbox.acknowledge(cum, base, bits) or self.news
        has = outbox.state.acked.has
        for sent in list(self._in_flight):
            left = []
            for first, end in sent.spans:
                if sent.deadline_ms and has(first, first + 1):
                    outbox.hold(first, end)  # a gap is stored as one: its first seq stands for all
                while first < end and has(first, first + 1):
                    first += 1
                if first < end:
                    left.append((first, end))
            sent.spans = left
            if not left or sent.counter < self._answers and self._is_missing(left, cum, base, bits):
                self._in_flight.remove(sent)
                if left:
                    self._rewind(sent.place)
        if self._forgotten is not None:
            self._rewind(self._forgotten)
            self._forgotten = None

    def _is_missing(self, spans: "list[tuple[int, int]]", cum: int, base: int, bits: int) -> bool:
        """Whether an answer says that some of these seqs did not arrive."""
        has = self.life.outbox.state.acked.has
        for first, end in spans:
            if not bits or first <= cum < end:
                return True
            for seq in range(max(first, base), min(end, base + messages.ACK_BITS)):
                if not has(seq, seq + 1):
                    return True
        return False

    # --- deep sleep ---

    def keep(self) -> "Any":
        kept: "list[Any]" = [None if self._hello_due else self._hello_seq, self.sent, self.answered]
        kept += [self._missed, self._ask_at_ms, self._asked_ms, self._unasked, len(self._in_flight)]
        for sent in self._in_flight:
            kept += [sent.counter, int(sent.deadline_ms), sent.place[0], sent.place[1], len(sent.spans)]
            for span in sent.spans:
                kept += span
        return kept if self.old else kept + self._rate.keep()

    def resume(self, *kept: "Any") -> None:
        Session.resume(self, *kept[:3])
        self._missed, self._ask_at_ms, self._asked_ms, self._unasked = kept[3:7]
        at = 8
        for _ in range(kept[7]):
            end = at + 5 + 2 * kept[at + 4]
            spans = [(kept[i], kept[i + 1]) for i in range(at + 5, end, 2)]
            self._in_flight.append(Sent(kept[at], kept[at + 1], (kept[at + 2], kept[at + 3]), spans))
            at = end
        if not self.old:
            self._rate.resume(kept[at:])
