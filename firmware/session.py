"""The node's half of the conversation with a gateway, for one life: what to send next, and what an answer means. No
I/O.

Frames are offered by `next_frame(now_ms)`, answers go to `received(frame)`. Until a hello of this boot is answered
only hellos are sent; after `hello_after` unanswered frames again. Up to IN_FLIGHT frames of records are on their way;
what is not acknowledged in time, or is missing although a later one was acknowledged, is sent again, nothing else.
New entries go before the backlog.
"""

from firmware.outbox import entries
from wire import WireError, frame, messages
from wire.messages import OUTBOX_REPAIRED, AckTime, Backfill, DescriptorRequest, TimeMsg
from wire.records import Record, encode_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from firmware.life import Life

IN_FLIGHT = 4  # frames of records on their way: a serial line is full with fewer
LIVE_MAX = 4  # places of new entries kept in RAM, one for each profile; older ones are backlog
REPLIES_MAX = 8  # answers to a gateway's questions that wait; more are asked again
GATEWAYS_MAX = 8  # gateways that one boot may hear
HELLO_SEQ_AHEAD = 16384  # wire.records: from there on a seq is sent in full until the next hello


class Sent:
    """A frame on its way."""

    def __init__(
        self, counter: int, deadline_ms: int, place: "tuple[int, int]", spans: "list[tuple[int, int]]"
    ) -> None:
        self.counter = counter
        self.deadline_ms = deadline_ms
        self.place = place
        self.spans = spans


class Session:
    """`get(name)` reads a setting; `hello()` makes a Hello message; `ask(message)` takes what is not the session's
    own business."""

    def __init__(  # seldom
        self,
        life: "Life",
        clock: "Any",
        get: "Callable[[str], int]",
        hello: "Callable[[Life], Any]",
        ask: "Any",
        link: int = frame.SERIAL,
    ) -> None:
        self.life = life
        self.sent = 0
        self.answered = 0
        self.refused: "dict[str, int]" = {}
        self.news = False  # something was acknowledged since the last look
        self._link = link
        self._clock = clock
        self._get = get
        self._hello = hello
        self._ask = ask
        self._recent: "list[tuple[int, int]]" = []  # (counter, uptime of sending), the newest first
        self._gateways: "dict[int, tuple[int, int, int]]" = {}  # id -> incarnation, its counter, highest counter answered
        self._replies: "list[Any]" = []
        self._live: "list[tuple[int, int]]" = []
        self._cursor = (0, 0)
        self._swept = False  # the cursor has reached the end since it was last moved back
        self._in_flight: "list[Sent]" = []
        self._batch = get("batch_max")
        self._failures = 0
        self._hello_due = True
        self._hello_at_ms = 0
        self._hello_counter = -1
        self._hello_seq: "int | None" = None
        self._hello_next = 0
        self._unanswered = 0

    # --- sending ---

    def note(self, place: "tuple[int, int]") -> None:
        """A new entry lies at `place`: it goes before what waits."""
        if self._swept and not self._live:
            self._cursor = min(self._cursor, place)
            self._swept = False
            return
        self._live.append(place)
        if len(self._live) > LIVE_MAX:
            self._rewind(self._live.pop(0))

    def call_again(self) -> None:  # seldom
        """The link is to be used after a pause: at once, whatever was waited for before it. With nothing to send, a
        hello asks what the gateway has to say."""
        self._failures = 0
        for sent in self._in_flight:
            self._rewind(sent.place)
        self._in_flight = []
        self._hello_due = self._hello_due or self.life.outbox.drained()
        self._hello_at_ms = 0

    def keep(self) -> "tuple[int | None, int, int]":  # seldom
        """What `resume` needs after a deep sleep."""
        return None if self._hello_due else self._hello_seq, self.sent, self.answered

    def resume(self, hello_seq: "int | None", sent: int, answered: int) -> None:  # seldom
        """The boot goes on after a deep sleep: a hello that was answered counts."""
        self._hello_seq = hello_seq
        self._hello_due = hello_seq is None
        self.sent = sent
        self.answered = answered

    def sweep_again(self) -> None:
        """Entries were written that `note` does not name: the cursor finds them."""
        self._swept = False

    def reply(self, message: "Any") -> None:
        """Queue an answer."""
        if len(self._replies) < REPLIES_MAX:
            self._replies.append(message)

    def idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not (self._hello_due or self._replies or self._in_flight) and self.life.outbox.drained()

    def _wait_ms(self) -> int:
        """How long an answer may take: longer after each failure."""
        wait = self._get("ack_wait_ms") << min(self._failures, 10)
        return min(wait, max(self._get("retry_max_ms"), self._get("ack_wait_ms")))

    def next_due_ms(self, now_ms: int) -> int:
        """Milliseconds until `next_frame` may have something although nothing happens."""
        due = [sent.deadline_ms for sent in self._in_flight]
        if self._hello_due:
            due.append(self._hello_at_ms)
        return max(0, min(due) - now_ms) if due else 60000

    def next_frame(self, now_ms: int) -> "bytes | None":
        """The next frame to send now, None if there is nothing to send."""
        self._expire(now_ms)
        if self._hello_due:
            if now_ms < self._hello_at_ms:
                return None
            self._hello_at_ms = now_ms + self._wait_ms()
            self._failures += 1
            return self._say_hello(self._hello(self.life), now_ms)
        if self._replies:
            kind, payload = messages.encode(self._replies.pop(0))
            return self._seal(kind, payload, now_ms)
        if len(self._in_flight) >= (1 if self._failures else IN_FLIGHT):
            return None
        return self._entries_frame(now_ms)

    def _entries_frame(self, now_ms: int) -> "bytes | None":
        while True:
            try:
                return self._next_entries(now_ms)
            except MemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2  # a board with little heap to spare sends more frames with less in each
                self._cursor = (0, 0)
                self._swept = False

    def _say_hello(self, message: "Any", now_ms: int) -> bytes:
        self._hello_next = message.next_seq
        kind, payload = messages.encode(message)
        sealed = self._seal(kind, payload, now_ms)
        self._hello_counter = self._recent[0][0]
        return sealed

    def _seal(self, kind: int, payload: bytes, now_ms: int) -> bytes:
        counter = self.life.leases.next_counter()
        self._recent.insert(0, (counter, now_ms))
        if len(self._recent) > frame.RECENT:
            self._recent.pop()
        self.sent += 1
        self._unanswered += 1
        if self._unanswered >= self._get("hello_after") and not self._hello_due:
            self._hello_due = True
            self._hello_at_ms = now_ms + self._wait_ms()
        return frame.seal_uplink(self.life.keys, self._link, self.life.address, counter, kind, payload)

    def _next_entries(self, now_ms: int) -> "bytes | None":
        """A frame with live entries, else with those from the cursor on."""
        if self._live and self._get("live_first"):
            place = self._live.pop()
            found = self._gather(place[0], place[1], 1)
            if found:
                return self._send(found, now_ms)
        found = self._sweep()
        if not (found or self._live or self._in_flight or self.life.outbox.drained()):
            found = self._search()
        return self._send(found, now_ms) if found else None

    def _search(self) -> "list[tuple]":  # seldom
        """Nothing waits, and yet the gateway lacks something: what waits after all, searched from the beginning. What
        flash holds no more is given up and told, else it would be waited for, and its segments kept, for ever."""
        self._cursor = (0, 0)
        found = self._sweep()
        if not found:
            lost = self.life.outbox.give_up()
            self.note(self.life.event(OUTBOX_REPAIRED, lost))
            self._hello_due = True  # the gateway learns at once that these seqs are not held any more
            self._hello_at_ms = 0
        return found

    def _waiting(self, kind: int, body: bytes) -> bool:
        """Whether an entry has still to be sent."""
        first, end = entries.span(kind, body)
        if first == end or self.life.outbox.state.acked.has(first, end):
            return False
        for sent in self._in_flight:
            for low, high in sent.spans:
                if low <= first < high:
                    return False
        return True

    def _sweep(self) -> "list[tuple]":
        """Entries that wait, from the cursor on; the cursor moves to the first one left out."""
        for number, _, _ in list(self.life.outbox.segments):
            if number < self._cursor[0]:
                continue
            offset = self._cursor[1] if number == self._cursor[0] else 0
            found = self._gather(number, offset, self._batch)
            if found:
                return found
        self._swept = True
        return []

    def _gather(self, number: int, offset: int, limit: int) -> "list[tuple]":
        """[(kind, body, place)…] of one segment: records of one profile, or one entry of another kind. Moves the
        cursor if it stood there."""
        found: "list[tuple]" = []
        moves = (number, offset) == self._cursor or (offset == 0 and number > self._cursor[0])
        cursor = (number, offset)
        blocked = False  # something was left out: the cursor stays before it
        for kind, body, at, following in self.life.outbox.entries(number, offset):
            if kind > 0 and self._waiting(kind, body):
                if not found:
                    found.append((kind, body, (number, at)))
                elif kind == entries.RECORD == found[0][0] and body[4] == found[0][1][4] and len(found) < limit:
                    found.append((kind, body, (number, at)))
                else:
                    blocked = True
            if not blocked:
                cursor = (number, following)
            if found and (len(found) >= limit or found[0][0] != entries.RECORD or blocked and limit == 1):
                break
        if moves:
            self._cursor = cursor
        return found

    def _send(self, found: "list[tuple]", now_ms: int) -> bytes:
        kind, payload = self._payload(found)
        spans = [entries.span(entry[0], entry[1]) for entry in found]
        sealed = self._seal(kind, payload, now_ms)
        self._in_flight.append(Sent(self._recent[0][0], now_ms + self._wait_ms(), found[0][2], spans))
        return sealed

    def _payload(self, found: "list[tuple]") -> "tuple[int, bytes]":
        """Type and payload; shortens `found` to what fits into a frame."""
        kind, body, _ = found[0]
        if kind == entries.RECORD:
            while True:
                payload = self._encode(found)
                if len(payload) <= frame.PAYLOAD_MAX[self._link]:
                    return messages.RECORDS, payload
                for entry in found[len(found) // 2 :]:
                    self._rewind(entry[2])
                found[len(found) // 2 :] = []
        return self._other_payload(kind, body)

    def _other_payload(self, kind: int, body: bytes) -> "tuple[int, bytes]":  # seldom
        if kind == entries.GAP:
            first, count, cause, short, _, time = entries.unpack_gap(body)
            return messages.encode(messages.Gap(first, count, cause, short, time))
        seq, time, values = entries.unpack_list(body)
        if kind == entries.EVENT:
            return messages.encode(messages.Event(seq, time, values[0], values[1]))
        totals = messages.Totals(*values[3:9])
        return messages.encode(messages.Health(seq, time, values[0], values[1], values[2], totals, *values[9:]))

    def _encode(self, found: "list[tuple]") -> bytes:
        """The payload with these records."""
        profile = self.life.profile(found[0][1][4])
        assert profile is not None, "a record without its profile"
        seq = self._hello_seq
        if seq is not None and self.life.outbox.state.next_seq - seq > HELLO_SEQ_AHEAD:
            seq = None
        records = []
        for _, data, _ in found:
            number, _, time, coverage, values, flags = entries.unpack_record(data)
            records.append(Record(number, time, coverage, values, flags))
        return encode_records(profile, records, self._clock.utc_s(), seq)

    def _rewind(self, place: "tuple[int, int]") -> None:
        if place < self._cursor:
            self._cursor = place
        self._swept = False

    def _expire(self, now_ms: int) -> None:
        """What was not acknowledged in time goes back to what waits; the next frames are smaller."""
        late = [sent for sent in self._in_flight if sent.deadline_ms <= now_ms]
        if late:
            self._fail(late)
            self._failures += 1

    def _fail(self, lost: "list[Sent]") -> None:
        self._batch = max(1, self._batch // 2)
        for sent in lost:
            self._in_flight.remove(sent)
            self._rewind(sent.place)

    # --- receiving ---

    def received(self, data: bytes) -> bool:
        """A frame that came; True if it was for this life and was authentic. Never raises for what is in it."""
        got = frame.open_downlink(self.life.keys, self._link, data, [c for c, _ in self._recent], self.life.address)
        if isinstance(got, str):
            self._refuse(got)
            return False
        known = self._gateways.get(got.gateway_id)
        if known and (got.counter <= known[1] if got.incarnation == known[0] else got.answered <= known[2]):
            self._refuse("replay")  # incarnations have no order: a new one must answer something newer than any before
            return False
        try:
            message = messages.decode(got.type, got.payload)
        except WireError as error:
            self._refuse(error.reason)
            return False
        if known is None and len(self._gateways) >= GATEWAYS_MAX:
            self._refuse("gateways")
            return False
        highest = max(got.answered, known[2]) if known else got.answered
        self._gateways[got.gateway_id] = (got.incarnation, got.counter, highest)
        self.answered += 1
        self._unanswered = 0
        self._failures = 0
        if self._hello_due and got.answered >= self._hello_counter:
            self._hello_due = False
        if got.answered == self._hello_counter:
            self._hello_seq = self._hello_next
        self._take(message, got.answered)
        return True

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _take(self, message: "Any", answered: int) -> None:
        if isinstance(message, (TimeMsg, AckTime)):
            for counter, sent_ms in self._recent:
                if counter == answered:
                    self._ask(self, message, sent_ms)
        if isinstance(message, (messages.Ack, AckTime)):
            self._acknowledged(message.cum, message.base, message.bits)
        elif not isinstance(message, TimeMsg):
            self._asked(message)

    def _asked(self, message: "Any") -> None:  # seldom
        if isinstance(message, DescriptorRequest):
            known = self.life.descriptor(message.profile_short)
            if known:
                self.reply(messages.DescriptorMsg(*known))
        elif isinstance(message, Backfill):
            self.life.outbox.reopen(message.first, message.first + message.count)
            self._cursor = (0, 0)
            self._swept = False
        else:
            self._ask(self, message, 0)

    def _acknowledged(self, cum: int, base: int, bits: int) -> None:
        outbox = self.life.outbox
        news = outbox.acknowledge(cum, base, bits)
        has = outbox.state.acked.has
        newest = -1  # of the frames that arrived, as this tells
        for sent in list(self._in_flight):
            left = []
            for first, end in sent.spans:
                if has(first, end):
                    continue
                if end - first > 1 and has(first, first + 1):
                    outbox.hold(first, end)  # a gap is stored as one: its first seq stands for all
                    continue
                left.append((first, end))
            sent.spans = left
            if not left:
                self._in_flight.remove(sent)
                newest = max(newest, sent.counter)
        lost = []
        if bits:  # something lies above a hole; what lies above the window may be told by another one
            for sent in self._in_flight:
                if sent.counter < newest and sent.spans[0][0] < base + messages.ACK_BITS:
                    lost.append(sent)  # a later frame is there, this one is not
        if lost:
            self._fail(lost)
        elif news and self._batch < self._get("batch_max"):
            self._batch += 1
        self.news = self.news or news
