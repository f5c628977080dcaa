"""The spreading factor that single-modem ears and their nodes share: when it moves, and where lost nodes are met.

It moves at a moment that is planned ahead, so that every node can be told in one of its windows; all ears and all nodes
change together then. A node that was not told hears nothing any more, and after some unanswered uplinks calls at the
rendezvous spreading factor as well. While nodes are missing, one ear listens there for a part of the time, and who is met is
told the common one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.clock import Clock
from gateway.durable import replace_file
from gateway.links.ear import Ear
from gateway.links.rates import Key, Rates

log = logging.getLogger("lora")

SLOT_EVERY_MS = 600_000
SLOT_MS = 120_000  # of these
SLOT_MANY_MS = 300_000  # if more nodes are missing than are heard
SLOT_RARE_MS = 3_600_000  # instead of SLOT_EVERY_MS for nodes that are missing for a day
GOLDEN_PERMILLE = 618  # places of the slots in their periods: no node that calls regularly misses them all
SILENT_GAPS = 4  # mean times between uplinks after which a node is missing
SILENT_MIN_MS = 900_000
SILENT_MS = 3_600_000  # if it is not known how often it speaks
NEW_MS = 30 * 86_400_000  # so long is a node waited for that was provisioned and never heard
RARE_MS = 86_400_000
PLAN_GAPS = 4  # a change of the common spreading factor is planned so many uplinks of the slowest node ahead
PLAN_MIN_MS, PLAN_MAX_MS = 600_000, 21_600_000
CHANGE_EVERY_MS = 3_600_000  # not more often


class Known(NamedTuple):
    """A life of the key file that could be heard."""

    key: Key
    last_ms: int  # last uplink, 0: never
    since_ms: int  # provisioned


class Rendezvous:
    """`ears` are the single-modem ones; `turn` is called every few seconds."""

    def __init__(self, ears: Sequence[Ear], rates: Rates, clock: Clock, path: Path | None = None, sf: int = 10) -> None:
        self.sf = sf
        self.in_slot = False
        self.slots = 0
        self.moves = 0
        self.missing: list[Key] = []
        self.known: Callable[[], Iterable[Known]] = tuple
        self._ears = ears
        self._rates = rates
        self._path = path
        self._started_ms = clock.wall_ms()
        self._changed_ms = self._started_ms
        self._slot_from_ms = self._started_ms
        self._load()
        self._tune()

    # -- what outlives a restart -----------------------------------------------------------------------------------

    def _load(self) -> None:
        """Nodes send where they were told to, whatever the configuration says by now."""
        if self._path is None:
            return
        try:
            kept = json.loads(self._path.read_text(encoding="ascii"))
            sf, switch = int(kept["sf"]), kept["switch"]
            planned = None if switch is None else (int(switch[0]), int(switch[1]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            log.warning("lora: %s, unreadable, %r; nodes are looked for at the rendezvous", self._path, error)
            return
        if 7 <= sf <= 12 and (planned is None or 7 <= planned[0] <= 12):
            self._rates.common_sf, self._rates.switch = sf, planned

    def _save(self) -> None:
        if self._path is None:
            return
        content = json.dumps({"sf": self._rates.common_sf, "switch": self._rates.switch})
        try:
            replace_file(self._path, content.encode("ascii"))
        except OSError as error:  # the nodes would be met at the rendezvous after a restart
            log.warning("lora: %s, not written, %s", self._path, error.strerror)

    # -- turns -----------------------------------------------------------------------------------------------------

    def turn(self, now_ms: int) -> None:
        if not self._ears:
            return
        self._move(now_ms)
        self._find_missing(now_ms)
        was = self.in_slot
        self.in_slot = self._slot(now_ms)
        if was != self.in_slot:
            self.slots += self.in_slot
            self._tune()

    def _move(self, now_ms: int) -> None:
        rates = self._rates
        if rates.switch is not None:
            if now_ms >= rates.switch[1]:
                log.info("lora: SF%d from now on, before SF%d", rates.switch[0], rates.common_sf)
                rates.switched()
                self.moves += 1
                self._changed_ms = now_ms
                self._save()
                self._tune()
            return
        best = rates.best_common_sf(now_ms)
        if best is None or best == rates.common_sf or now_ms - self._changed_ms < CHANGE_EVERY_MS:
            return
        ahead_ms = min(max(PLAN_MIN_MS, PLAN_GAPS * rates.slowest_gap_ms(now_ms)), PLAN_MAX_MS)
        rates.switch = (best, now_ms + ahead_ms)
        self._save()  # before the first node is told
        log.info("lora: SF%d in %d s, now SF%d", best, ahead_ms // 1000, rates.common_sf)

    def _find_missing(self, now_ms: int) -> None:
        self.missing = []
        self._rare = True
        for life in self.known():
            node = self._rates.nodes.get(life.key)
            if not life.last_ms and now_ms - life.since_ms > NEW_MS:
                continue
            limit_ms = max(SILENT_GAPS * node.gap_ms, SILENT_MIN_MS) if node and node.gap_ms else SILENT_MS
            since_ms = max(life.last_ms, self._started_ms, life.since_ms)
            if now_ms - since_ms > (limit_ms if life.last_ms else SILENT_MIN_MS):
                self.missing.append(life.key)
                self._rare = self._rare and now_ms - since_ms > RARE_MS

    def _slot(self, now_ms: int) -> bool:
        """Whether one ear should listen at the rendezvous now."""
        if not self.missing or self.sf == self._rates.common_sf:
            self._slot_from_ms = now_ms
            return False
        slot_ms = SLOT_MANY_MS if 2 * len(self.missing) > len(self._rates.nodes) else SLOT_MS
        period_ms = SLOT_RARE_MS if self._rare else SLOT_EVERY_MS
        number, at_ms = divmod(now_ms - self._slot_from_ms, period_ms)
        begins_ms = number * GOLDEN_PERMILLE % 1000 * (period_ms - slot_ms) // 1000
        return 0 <= at_ms - begins_ms < slot_ms

    def _tune(self) -> None:
        for index, ear in enumerate(self._ears):
            there = self.in_slot and index == len(self._ears) - 1
            ear.tune(ear.channels[0], self.sf if there else self._rates.common_sf)

    def status(self, now_ms: int) -> dict[str, Any]:
        return {
            "sf": self.sf,
            "listens_there": self.in_slot,
            "slots": self.slots,
            "moves": self.moves,
            "missing": [{"node": key[0], "life": f"{key[1]:08x}"} for key in self.missing],
        }
