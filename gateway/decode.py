"""From an authenticated payload to rows of the store: one life's records, gaps, health and events.

Pure but for the store it writes to; knows nothing of frames and links. What cannot be a row yet is held: records of an
unknown profile as their payload, unresolved times as their values.
"""

from __future__ import annotations

import logging
from typing import Any

from gateway.calibration_check import CalibrationCheck
from gateway.known_profiles import KnownProfile, Profiles
from gateway.life_state import Claim, Memory
from gateway.models import AFTER_END, EVENT, GAP, HEALTH, HOUR_MS, RECORD, TIME_ANCHOR, TIME_CLOCK
from gateway.store.group import Anchor, CountKey, Undecoded, Unresolved
from gateway.store.rows import pack_detail, pack_values, unpack_values
from gateway.store.spool import Store
from gateway.time_resolution import BootAnchors, Resolved, by_anchor, hours_of_windows, window_of
from wire import UTC, WireError, messages
from wire.quality import GOOD
from wire.records import Record as WireRecord
from wire.records_gateway import decode_records, peek_records

log = logging.getLogger("decode")

Time = tuple[int, ...]
NO_BOOT = -1  # a time that the node does not know at all
DAY_S = 86_400
LOW_BITS_REACH = 60_000  # windows: a clock so far ahead of a record resolves its low bits still
CLOCKED_GAP_MS = 0  # a gap names grid windows, not moments


def boot16(boot: int) -> int:
    """Records carry 16 bits of the boot's number; everything is keyed by these."""
    return boot & 0xFFFF


class Decoder:
    """Writes what one life sends. `memory` is the life's state, shared with its session."""

    def __init__(
        self, row: int, memory: Memory, store: Store, provisioned_s: int, check: CalibrationCheck | None = None
    ) -> None:
        self.row = row
        self._check = check
        self.memory = memory
        self.store = store
        self.profiles = Profiles(row, store, provisioned_s)
        self.anchors: dict[int, BootAnchors] = {}
        self.anchored = False  # a boot that nothing was known of has an anchor now
        self.unresolved = 0  # held for want of a time
        self.undecoded = 0  # payloads held for want of a profile
        self.look_again: int | None = (
            None  # once all seqs below it are here, held times may be told by their neighbours
        )
        self.clockless = False  # the node's last record had no clock
        self.duplicates = 0
        self.receptions: bytes | None = None  # who heard what is decoded now; None: it came over a wire
        self.listens = False  # another gateway answers this node
        self.strangers = (
            0  # times that the node had forgotten what had not been acknowledged here, although we answer it
        )
        self.barren = 0  # windows in a row in which no sensor gave anything
        self._unstored: tuple[int, int] | None = None  # received, and not yet handed to the store

    # -- messages --------------------------------------------------------------------------------------------------

    def accept(self, message_type: int, payload: bytes, now_ms: int) -> list[int]:
        """Store what an outbox message carries; returns the seqs that it names, to be acknowledged. WireError.

        Whatever goes wrong, no seq counts as received for which nothing was handed to the store.
        """
        self._unstored = None
        try:
            if message_type in (messages.RECORDS, messages.RECORDS_ASK):
                return self._records(payload, now_ms)
            message = messages.decode(message_type, payload)
            if message_type == messages.GAP:
                return self._gap(message, payload, now_ms)
            if message_type == messages.HEALTH:
                return self._health(message, now_ms)
            return self._event(message, now_ms)
        except BaseException:
            if self._unstored is not None:
                self.memory.received.remove_range(*self._unstored)
            raise

    def _records(self, payload: bytes, now_ms: int) -> list[int]:
        known = self.profiles.by_short.get(payload[0]) if payload else None
        if known is None:
            return self._hold_payload(payload, now_ms)
        records = self._decode(payload, known, self.memory.next_seq, now_ms)
        seqs = []
        for record in records:
            if record.time[0] != UTC and not self._room_for(record.seq, record.time):
                continue
            seqs.append(record.seq)
            if self._is_new(record.seq):
                self.put_record(known, record, now_ms)
                self._unstored = None
        return seqs

    def _decode(self, payload: bytes, known: KnownProfile, next_seq: int, now_ms: int) -> list[WireRecord]:
        """The low bits of a time are resolved against our clock; a later seq that would then lie before an earlier one
        shows that our clock is behind (a machine without a battery that was off), and what is known of the node is
        taken instead. So it is for earlier seqs, which lie before what is known."""
        now_s = now_ms // 1000
        records = decode_records(payload, known.profile, next_seq, now_s)
        newest_seq, newest_s = self.memory.newest
        head = records[0]
        if head.time[0] == UTC and head.seq > newest_seq and head.time[1] < newest_s - DAY_S:
            records = decode_records(payload, known.profile, next_seq, newest_s + LOW_BITS_REACH * known.window_s)
        elif head.time[0] == UTC and head.seq < newest_seq and now_s < newest_s:
            records = decode_records(payload, known.profile, next_seq, newest_s)
        last = records[-1]
        if last.time[0] == UTC and last.seq > newest_seq:
            self.memory.newest = (last.seq, last.time[1])
        return records

    def _room_for(self, seq: int, time: Time | None) -> bool:
        """False for what would have to be held and cannot: it is not acknowledged, and comes again."""
        if self.store.holding or seq in self.memory.received or (time is not None and time[0] == UTC):
            return True
        return time is not None and self.resolve(time[1], time[2]) is not None

    def _is_new(self, seq: int) -> bool:
        memory = self.memory
        if not memory.received.add(seq):
            self.duplicates += 1
            self.store.duplicates += 1
            return False
        self._unstored = (seq, seq + 1)
        if seq >= memory.next_seq:
            memory.next_seq = seq + 1
        return True

    def put_record(self, known: KnownProfile, record: WireRecord, received_ms: int) -> None:
        """A record whose seq was just entered as received."""
        seq, time, coverage, values, flags = record
        data = pack_values(values, flags)
        if time[0] == UTC:
            end_s = time[1]
            length_ms = (end_s % known.window_s or known.window_s) * 1000  # partial where the grid ends
            end_ms = end_s * 1000
            hour = self.profiles.hour(known, (end_ms - length_ms) // known.window_ms)
            bound_ms = self.memory.clock.bound_ms(end_ms)
            self._put_window(known, seq, hour, end_ms, length_ms, bound_ms, TIME_CLOCK, received_ms, coverage, data)
            self.clockless = False
            return
        self.clockless = True
        boot, up_ms = time[1], time[2]
        resolved = self.resolve(boot, up_ms)
        if resolved is None:
            self._hold_time(seq, 1, RECORD, known.row, boot, up_ms, known.window_ms, received_ms, coverage, data)
            return
        self.put_resolved(known, seq, resolved, TIME_ANCHOR, received_ms, coverage, data)

    def put_resolved(
        self, known: KnownProfile, seq: int, end: Resolved, code: int, received_ms: int, coverage: int, data: bytes
    ) -> None:
        """A record of a node without a clock: it belongs to the grid window that contains its start."""
        window = window_of(end.at_ms - known.window_ms, known.window_s)
        hour = self.profiles.hour(known, window)
        self._put_window(known, seq, hour, end.at_ms, known.window_ms, end.bound_ms, code, received_ms, coverage, data)

    def _put_window(
        self,
        known: KnownProfile,
        seq: int,
        hour: int,
        end_ms: int,
        length_ms: int,
        bound_ms: int,
        code: int,
        received_ms: int,
        coverage: int,
        data: bytes,
    ) -> None:
        if self._check is not None:
            data = self._check.judged(known.profile, end_ms, data)
        if known.totals:
            values, flags = unpack_values(data)
            found = [(item, values[place], flags[place] if flags else GOOD) for place, item in known.totals]
            self.memory.chains.add(seq, end_ms, found)
        profile = known.row
        self.store.put((
            self.row, seq, 1, RECORD, profile, hour, end_ms, length_ms, bound_ms, code, received_ms, coverage, data, self.receptions,
            self._told(),
        ))  # fmt: skip
        self.barren = 0

    def _settled(self, start: int, end: int) -> bool:
        """Whether no total of a seq in [start, end) can still be stored."""
        if start >= end:
            return True
        if self.unresolved or self.undecoded:  # received, and yet no row
            return False
        return not self.memory.received.missing(max(start, self.memory.floor), end)

    def _told(self) -> bytes | None:
        """What the entry that is being stored makes certain of totals, it being received already."""
        return self.memory.chains.tell(self._settled) if self.memory.chains.waiting else None

    def _gap(self, gap: Any, payload: bytes, now_ms: int) -> list[int]:
        first, count = gap.first_seq, gap.count
        known = self.profiles.by_short.get(gap.profile_short)
        memory = self.memory
        if first + count > 1 << 32 or (gap.cause != messages.VOID and not self._fits(known, gap, now_ms)):
            raise WireError("range")
        missing = memory.received.missing(first, first + count)
        if missing and gap.cause != messages.VOID:
            room = self.store.holding if known is None else self._room_for(missing[0][0], gap.time)
            if not room:
                return []
        if not missing:
            self.store.duplicates += 1
        memory.next_seq = max(memory.next_seq, first + count)
        for start, end in missing:
            memory.received.add_range(start, end)
            self._unstored = (start, end)
            if gap.cause == messages.VOID:
                memory.other(start, end - start)
                memory.voids += end - start
            elif known is None:
                self._hold(gap.profile_short, bytes((messages.GAP,)) + payload, end - start, now_ms, [start, end])
            else:
                self.put_gap(known, gap, start, end, now_ms)
            self._unstored = None
        return [first, first + count - 1]

    def _fits(self, known: KnownProfile | None, gap: Any, received_ms: int) -> bool:
        """Whether that many windows can have been since the life began: one node must not make us count for hours."""
        lived_s = received_ms // 1000 - self.profiles.provisioned_s + DAY_S
        return bool(gap.count * (known.window_s if known else 1) <= max(lived_s, DAY_S))

    def put_gap(self, known: KnownProfile, gap: Any, start: int, end: int, received_ms: int) -> None:
        """Windows [start, end) of a gap, given by their seqs, hold no record."""
        count = end - start
        skipped = start - gap.first_seq
        detail = pack_detail({"cause": gap.cause, "count": count})
        time = gap.time
        length_ms = count * known.window_ms
        if time is not None and time[0] == UTC:
            first = window_of(time[1] * 1000 - 1, known.window_s) + skipped
            self._put_gap_windows(
                known, gap.cause, start, first, count, TIME_CLOCK, CLOCKED_GAP_MS, received_ms, detail
            )
            return
        boot, up_ms = (time[1], time[2]) if time is not None else (NO_BOOT, 0)
        last_up_ms = up_ms + (skipped + count - 1) * known.window_ms
        resolved = self.resolve(boot, last_up_ms) if time is not None else None
        if resolved is None:
            self._hold_time(start, count, GAP, known.row, boot, last_up_ms, length_ms, received_ms, 0, detail)
            return
        first = window_of(resolved.at_ms - length_ms, known.window_s)
        self._put_gap_windows(
            known, gap.cause, start, first, count, TIME_ANCHOR, resolved.bound_ms, received_ms, detail
        )

    def _put_gap_windows(
        self,
        known: KnownProfile,
        cause: int,
        seq: int,
        first: int,
        count: int,
        code: int,
        bound_ms: int,
        received_ms: int,
        detail: bytes,
    ) -> None:
        end_ms = (first + count) * known.window_ms
        inside = min(max(self.profiles.end_window(known) - first, 0), count)
        hours = hours_of_windows(first, inside, known.window_s)
        if inside < count:
            hours.append((AFTER_END, count - inside))
        row = (self.row, seq, count, GAP, known.row, hours[0][0], end_ms, count * known.window_ms, bound_ms, code)
        self.store.put((*row, received_ms, 0, detail, self.receptions, self._told()))
        for hour, windows in hours:
            self.store.count(CountKey(self.row, known.row, hour, 0, cause), windows)
        if cause in (messages.NOT_SAMPLED, messages.REFUSED):
            self.barren += count

    def put_held_gap(self, known: KnownProfile, row: Unresolved, end: Resolved, code: int, cause: int) -> None:
        first = window_of(end.at_ms - row.length_ms, known.window_s)
        self._put_gap_windows(known, cause, row.seq, first, row.span, code, end.bound_ms, row.received_ms, row.data)

    def _health(self, health: Any, now_ms: int) -> list[int]:
        if not self._room_for(health.seq, health.time):
            return []
        if self._is_new(health.seq):
            detail = {name: value for name, value in health._asdict().items() if isinstance(value, int)}
            del detail["seq"]
            detail.update(health.totals._asdict())
            self._put_other(HEALTH, health.seq, health.time, now_ms, detail)
            self._unstored = None
            self.memory.other(health.seq, 1)
            self.held_from(health.oldest_seq, tuple(health.totals), now_ms)
            if health.time and health.time[0] == UTC and boot16(health.boot) not in self.anchors:
                # Its clock was right when it was written, whenever it comes.
                self.anchor(health.boot, health.uptime_ms, health.time[1] * 1000)
                self.anchored = True
            self.memory.claimed(
                Claim(health.seq, tuple(health.totals), now_ms, health.time[0] == UTC if health.time else False)
            )
        return [health.seq]

    def _event(self, event: Any, now_ms: int) -> list[int]:
        if not self._room_for(event.seq, event.time):
            return []
        if self._is_new(event.seq):
            self._put_other(EVENT, event.seq, event.time, now_ms, {"code": event.code, "arg": event.arg})
            self._unstored = None
            self.memory.other(event.seq, 1)
        return [event.seq]

    def _put_other(self, kind: int, seq: int, time: Time | None, now_ms: int, detail: dict[str, int]) -> None:
        data = pack_detail(detail)
        if time is not None and time[0] == UTC:
            end_ms = time[1] * 1000
            self.put_other(kind, seq, Resolved(end_ms, self.memory.clock.bound_ms(end_ms)), TIME_CLOCK, now_ms, data)
            return
        boot, up_ms = (time[1], time[2]) if time is not None else (NO_BOOT, 0)
        resolved = self.resolve(boot, up_ms) if time is not None else None
        if resolved is None:
            self._hold_time(seq, 1, kind, 0, boot, up_ms, 0, now_ms, 0, data)
        else:
            self.put_other(kind, seq, resolved, TIME_ANCHOR, now_ms, data)

    def put_other(self, kind: int, seq: int, at: Resolved, code: int, received_ms: int, data: bytes) -> None:
        hour = at.at_ms // HOUR_MS
        self.store.put(
            (self.row, seq, 1, kind, 0, hour, at.at_ms, 0, at.bound_ms, code, received_ms, 0, data, self.receptions,
             self._told())
        )  # fmt: skip

    # -- time ------------------------------------------------------------------------------------------------------

    def resolve(self, boot: int, up_ms: int) -> Resolved | None:
        anchors = self.anchors.get(boot16(boot))
        return None if anchors is None else by_anchor(anchors, up_ms)

    def anchor(self, boot: int, up_ms: int, at_ms: int) -> None:
        """The node said its uptime, and that was now."""
        key = boot16(boot)
        known = self.anchors.get(key)
        anchors = known.seen(up_ms, at_ms) if known and known.agrees(up_ms, at_ms) else BootAnchors.of(up_ms, at_ms)
        self.anchors[key] = anchors
        self.store.put_anchor(Anchor(self.row, key, *anchors))

    def load_anchor(self, anchor: Anchor) -> None:
        self.anchors[anchor.boot] = BootAnchors(anchor.first_up_ms, anchor.first_ms, anchor.last_up_ms, anchor.last_ms)

    def held_from(self, oldest_seq: int, totals: tuple[int, ...], now_ms: int) -> None:
        """What the node says of its outbox; before the claim that these totals make."""
        gone = self.memory.held_from(oldest_seq, totals)
        if gone >= 0 and self.receptions is not None:
            self.memory.taken_ms = now_ms
            if self.listens:
                self.memory.taken += gone
            else:
                self.strangers += 1

    # -- held ------------------------------------------------------------------------------------------------------

    def _hold_payload(self, payload: bytes, now_ms: int) -> list[int]:
        head = peek_records(payload, self.memory.next_seq)
        new = [seq for seq in head.seqs if seq not in self.memory.received]
        if new and not self.store.holding:
            self.profiles.wanted.add(head.profile_short)
            return [seq for seq in head.seqs if seq in self.memory.received]
        if new:
            self._hold(head.profile_short, bytes((messages.RECORDS,)) + payload, len(new), now_ms, new)
        for seq in head.seqs:
            self._is_new(seq)
        self._unstored = None
        return list(head.seqs)

    def _hold(self, short: int, typed: bytes, seqs: int, now_ms: int, new: list[int]) -> None:
        """Keep a payload; before it `new`: the seqs that are to be taken from it (a gap: first, and one past the last)."""
        head = b"".join(seq.to_bytes(4, "big") for seq in new)
        blob = len(head).to_bytes(2, "big") + head + typed
        row_id = self.store.next_id("undecoded")
        self.store.hold_undecoded(
            Undecoded(row_id, self.row, short, seqs, self.memory.next_seq, now_ms, blob, self.receptions)
        )
        self.undecoded += seqs
        self.profiles.wanted.add(short)

    def put_held(self, row: Undecoded) -> bool:
        """Decode a held payload now that its profile is known; False if it is not."""
        known = self.profiles.by_short.get(row.profile_short)
        if known is None:
            self.profiles.wanted.add(row.profile_short)
            return False
        self.receptions = row.receptions
        size = int.from_bytes(row.payload[:2], "big")
        new = [int.from_bytes(row.payload[at : at + 4], "big") for at in range(2, 2 + size, 4)]
        message_type, payload = row.payload[2 + size], row.payload[3 + size :]
        if message_type == messages.GAP:
            gap = messages.decode(messages.GAP, payload)
            if not self._fits(known, gap, row.received_ms):
                log.error("decode: held gap of %d windows is longer than the life; kept", gap.count)
                return False
            self.put_gap(known, gap, new[0], new[1], row.received_ms)
        else:
            try:
                records = self._decode(payload, known, row.next_seq, row.received_ms)
            except WireError as err:
                log.error("decode: held payload of profile %d does not fit it, %s; kept", row.profile_short, err.reason)
                return False
            for record in records:
                if record.seq in new:
                    self.put_record(known, record, row.received_ms)
        self.undecoded -= row.seqs
        self.store.release_undecoded(row)
        return True

    def _hold_time(
        self,
        seq: int,
        span: int,
        kind: int,
        profile: int,
        boot: int,
        end_ms: int,
        length_ms: int,
        received_ms: int,
        coverage: int,
        data: bytes,
    ) -> None:
        boot = boot if boot == NO_BOOT else boot16(boot)
        row_id = self.store.next_id("unresolved")
        self.store.hold_unresolved(
            Unresolved(
                row_id,
                self.row,
                seq,
                span,
                kind,
                profile,
                boot,
                end_ms,
                length_ms,
                received_ms,
                coverage,
                data,
                self.receptions,
            )
        )
        self.unresolved += span
        if boot != self.memory.boot:  # that boot will say no hello any more
            self.wait_for(seq + span)

    def wait_for(self, seq: int) -> None:
        """Held times are worth another look when everything below `seq` has come."""
        self.look_again = seq if self.look_again is None else min(self.look_again, seq)
