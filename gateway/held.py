"""Records that waited: decoded when their profile came, dated when a time for their boot, or its neighbours, is known."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from gateway.decode import NO_BOOT, Decoder
from gateway.models import GAP, RECORD, TIME_ANCHOR, TIME_NEIGHBOURS
from gateway.session import LifeSession
from gateway.store.group import Unresolved
from gateway.store.rows import unpack_detail
from gateway.store.spool import Store
from gateway.time_resolution import Resolved, by_anchor, by_neighbours, drift_ms

log = logging.getLogger("held")

FLUSH_S = 30.0


class Neighbours(NamedTuple):
    """What is known around a stretch of seqs without a time, UTC in milliseconds; None: nothing yet on that side."""

    before_ms: int | None
    after_ms: int | None


async def work_off(session: LifeSession, store: Store) -> int:
    """Turn what can be turned into final rows; returns how many records that were."""
    decoder = session.decoder
    done = 0
    if not await store.flushed(FLUSH_S):  # rows held a moment ago are then in the database
        return 0
    if decoder.undecoded:
        for payload in await store.load_undecoded(session.info.row):
            if decoder.put_held(payload):
                done += payload.seqs
                store.touch(session.info.row, session)
        if not await store.flushed(FLUSH_S):
            return done
    if decoder.unresolved:
        done += await _date(session, store)
    if done:
        log.info("held: node %d, %d records decoded or dated", session.info.node, done)
    return done


async def _date(session: LifeSession, store: Store) -> int:
    decoder = session.decoder
    held = await store.load_unresolved(session.info.row)
    done = 0
    rest: dict[tuple[int, int], list[Unresolved]] = {}  # by boot; what has no boot stands for itself
    for row in held:
        resolved = None if row.boot == NO_BOOT else decoder.resolve(row.boot, row.end_ms)
        if resolved is None:
            rest.setdefault((row.boot, row.seq if row.boot == NO_BOOT else 0), []).append(row)
            continue
        done += _put(decoder, row, resolved, TIME_ANCHOR)
        store.release_unresolved(row)
        store.touch(session.info.row, session)
    for (boot, _), rows in rest.items():
        if boot == session.memory.boot:
            continue  # that boot may still say hello
        first, last = rows[0].seq, rows[-1].seq + rows[-1].span
        if session.memory.cum < last:
            decoder.wait_for(last)  # what is still on the node may stand nearer
            continue
        sides = await store.query(_neighbours_job(session.info.row, first, last))
        before = sides.before_ms if sides.before_ms is not None else decoder.profiles.provisioned_s * 1000
        after = sides.after_ms if sides.after_ms is not None else _next_start(decoder, boot)
        if after is None:
            decoder.wait_for(last + 1)
            continue
        end_up = max(row.end_ms for row in rows)
        for row in rows:
            # This boot began after `before` and was over at `after`; its crystal counted up to the row, and from it on.
            on = end_up - row.end_ms
            earliest = before + row.end_ms - drift_ms(row.end_ms)
            resolved = by_neighbours(earliest, after - on + drift_ms(on))
            done += _put(decoder, row, resolved, TIME_NEIGHBOURS)
            store.release_unresolved(row)
        store.touch(session.info.row, session)
    return done


def _put(decoder: Decoder, row: Unresolved, end: Resolved, code: int) -> int:
    decoder.unresolved -= row.span
    decoder.receptions = row.receptions
    if row.kind == RECORD:
        known = decoder.profiles.by_row(row.profile)
        decoder.put_resolved(known, row.seq, end, code, row.received_ms, row.coverage, row.data)
    elif row.kind == GAP:
        cause = unpack_detail(row.data)["cause"]
        decoder.put_held_gap(decoder.profiles.by_row(row.profile), row, end, code, cause)
    else:
        decoder.put_other(row.kind, row.seq, end, code, row.received_ms, row.data)
    return row.span


def _next_start(decoder: Decoder, boot: int) -> int | None:
    """When the earliest known later boot began, at the latest."""
    starts = []
    for number, anchors in decoder.anchors.items():
        if boot == NO_BOOT or 0 < (number - boot) & 0xFFFF < 0x8000:  # numbers wrap
            began = by_anchor(anchors, 0)
            starts.append(began.at_ms + began.bound_ms)
    return min(starts, default=None)


def _neighbours_job(life: int, first: int, last: int) -> Callable[[sqlite3.Connection], Neighbours]:
    def work(conn: sqlite3.Connection) -> Neighbours:
        before = conn.execute(
            "SELECT max(end_ms - bound_ms) FROM records WHERE life = ? AND seq < ? AND time_code < ?",
            (life, first, TIME_NEIGHBOURS),
        ).fetchone()[0]
        # A later boot began no later than what it measured of a window; that may be the window's last part only. A gap
        # tells of the past, whenever it was sealed.
        after = conn.execute(
            "SELECT min(end_ms - length_ms * max(coverage - 1, 0) / 100 + bound_ms) FROM records "
            "WHERE life = ? AND seq >= ? AND time_code < ? AND kind <> ?",
            (life, last, TIME_NEIGHBOURS, GAP),
        ).fetchone()[0]
        return Neighbours(before, after)

    return work
