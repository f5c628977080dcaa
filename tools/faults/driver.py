"""Carries out a plan: every fault in terms of a few operations that virtual and real time do in their own ways, and what
was observed of it. Ends in a verdict.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from gateway.keys import Life, add_life
from tools.demo import account, totals
from tools.faults import orders, verdict
from tools.faults.catalogue import FAULTS
from tools.faults.operations import Operations
from tools.faults.orders import JOURNAL, MESSAGES, Journal, Orders
from tools.faults.outbox_reader import read_segments, read_segments_of
from tools.faults.plan import Plan, Planned
from tools.sim.image import provision_code
from tools.sim.world import World

DAY_MS = 86_400_000
BOOT_TIME = 2  # kind of a record's time: by boot and milliseconds
TINY_BYTES = 4096  # a budget below that of the empty file: everything goes that may go
RESTART_S = 1.0  # after which a service manager starts a service again
WRAP_MS = 60_000  # of the simulator's ticks, after a start
OUTBOX_FULL_BOARD = "bme280-v1"
OUTBOX_WATCH_S = (180.0, 10.0)  # from when on, and how often, a filling outbox is looked at


class Driver(Operations):
    """One run. `pace`: how long a second of a fault's own timing is."""

    pace = 1.0
    time = ""

    def __init__(self, plan: Plan, folder: Path, scenario: str, start_s: int) -> None:
        self.plan = plan
        self.folder = folder
        self.store = folder / "data" / "spool.db"
        self.scenario = scenario
        self.set_out(start_s)
        self.fired: Counter[str] = Counter()
        self.spans: list[tuple[float, float]] = []
        self.notes: list[str] = []
        self.sealed: set[str] = set()
        self.clockless: set[str] = set()
        self.overwritten: set[str] = set()
        self.dropped: set[str] = set()
        self.orders = Orders()
        self.config = folder / "gateway.toml"
        self.windows_s: list[int] = []
        self.fell: list[str] = []  # what ended that nobody had killed
        self._killed_s = 0.0
        self._disk_refuses = False
        self._powered_s = 0.0
        self._on_since: dict[int, float] = {}
        self._wrapped: set[int] = set()

    def set_out(self, start_s: int) -> None:
        """When the boards are provisioned."""
        self.start_s = start_s
        self.until_s = start_s + self.plan.span_s

    # --- Building --------------------------------------------------------------------------------------------------------

    def ports(self) -> list[str]:
        return [f"/dev/n{number + 1}" for number in range(len(self.plan.boards))]

    def board(self, node: int) -> str:
        return OUTBOX_FULL_BOARD if self._fills(node) else self.plan.boards[node]

    def _fills(self, node: int) -> bool:
        return any(item.fault == "outbox_full" and item.node == node for item in self.plan.faults)

    def settings(self, node: int) -> str:
        """A snippet that provisions the board; its life is in the key file."""
        address = node + 1
        key = Random(f"key {self.plan.seed} {address}").randbytes(16)
        values = {"health_s": 30, "ack_wait_ms": 500, "retry_max_ms": 2000, "log_level": 1, "hello_after": 5}
        window_s = self.plan.window_s
        if self._fills(node):
            window_s = 1
            # Frames that nobody answers cost most of such a run's time.
            values |= {"health_s": 1, "outbox_kb": 20, "ack_wait_ms": 4000, "retry_max_ms": 8000, "hello_after": 2}
        self.windows_s.append(window_s)
        values |= {"window_s.0": window_s, "grid_until_s": self.until_s}
        life = Life(
            address=address, key=key, board=self.board(node), name=f"n{address}", provisioned_s=self.start_s,
            until_s=self.until_s,
        )  # fmt: skip
        add_life(self.folder / "keys.json", life)
        return provision_code(life, values)

    def write_config(self, port: int, more: str) -> None:
        text = (
            f'[gateway]\nid = "lab"\nnumber = 1\ndata_dir = "{self.folder / "data"}"\nkeys = "{self.folder / "keys.json"}"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\nbatch_records = {verdict.BATCH_RECORDS}\n{more}'
        )
        text += "".join(f'[[serial]]\nport = "{name}"\n' for name in self.ports())
        self.config.write_text(text)
        orders.give(self.folder, self.orders)

    # --- Means -----------------------------------------------------------------------------------------------------------

    def order(self, **changes: Any) -> int:
        """Change the gateway's surroundings; the number of the orders."""
        for name, value in changes.items():
            setattr(self.orders, name, value)
        self.orders.number += 1
        orders.give(self.folder, self.orders)
        self.announce()
        return self.orders.number

    def journal(self, what: str, since: int = 0) -> list[dict[str, Any]]:
        """What was noted by the gateway's root, or by the broker's front, under orders from `since` on."""
        found = Journal(self.folder / JOURNAL).lines()
        return [line for line in found if line["what"] == what and line["orders"] >= since]

    def power(self, node: int, on: bool) -> None:
        if self.powered(node) == on:
            return
        if on:
            self.power_on(node)
            self._on_since[node] = self.now_s
        else:
            self.power_off(node)
            self.count_power(node)

    def count_power(self, node: int) -> None:
        """Without power from now on."""
        self._powered_s += self.now_s - self._on_since.pop(node, self.now_s)

    def note_fired(self, fault: str, start_s: float) -> None:
        self.fired[fault] += 1
        self.spans.append((start_s, self.now_s))

    def gateway_ended(self, why: str) -> None:
        """By itself. `why` is empty when it was ordered to kill itself."""
        self._killed_s = self.now_s
        if not why:
            return
        if self._disk_refuses:  # as a service manager does
            self.notes.append(f"the gateway could not start while the disk refused, and was started again: {why}")
            self.later(RESTART_S, self.start_gateway)
        else:
            self.fell.append(f"the gateway fell: {why}")

    # --- Looking ---------------------------------------------------------------------------------------------------------

    def look(self, node: int) -> dict[int, dict[str, bytes]]:
        """What lies sealed in this board's flash now is remembered for ever. The segments of each life."""
        lives = read_segments_of(self.flash(node))
        for life, segments in lives.items():
            for seq, time in read_segments(list(segments.values())).sealed.items():
                identity = f"{node + 1}-{life:08x}-{seq}"
                self.sealed.add(identity)
                if time[:1] == (BOOT_TIME,):
                    self.clockless.add(identity)
        return lives

    def look_into_all(self) -> None:
        for node in range(len(self.plan.boards)):
            if node not in self._wrapped and self.powered(node) and self.uptime_ms(node) > WRAP_MS:
                self._wrapped.add(node)
                self.fired["ticks_wrap"] += 1
            self.look(node)

    def archive(self) -> account.Seen:
        try:
            return account.archive_seen(self.store)
        except sqlite3.Error:
            return account.Seen({}, set(), 0, 0)

    # --- Faults ----------------------------------------------------------------------------------------------------------

    def begin(self, item: Planned) -> None:
        """Let a fault happen, and see later whether it did."""
        act: Callable[[Planned, Random], None] = getattr(self, f"_act_{FAULTS[item.fault].group}")
        act(item, Random(item.number))

    def _until_noted(self, item: Planned, what: str, changes: dict[str, Any], back: dict[str, Any]) -> None:
        """Orders for a while; fired if `what` was noted meanwhile."""
        number = self.order(**changes)

        def end() -> None:
            self.order(**back)
            if self.journal(what, number):
                self.note_fired(item.fault, item.at_s)

        self.later(item.for_s, end)

    def _act_gateway(self, item: Planned, chance: Random) -> None:
        if item.fault == "gateway_killed":
            if not self.gateway_runs():
                return
            self.kill_gateway()

            def again() -> None:
                self.start_gateway()
                self.note_fired(item.fault, item.at_s)

            self.later(item.for_s, again)
            return
        number = self.order(kill_at=item.fault.removeprefix("killed_"), skip=chance.randrange(3))

        def end() -> None:
            self.order(kill_at="")
            if self.journal("kill", number):
                self.later(max(0.0, self._killed_s + self.pace - self.now_s), back)

        def back() -> None:
            self.note_fired(item.fault, self._killed_s)
            self.start_gateway()

        self.later(item.for_s, end)

    def _act_node(self, item: Planned, chance: Random) -> None:
        node = item.node
        if not self.powered(node):
            return
        before = self.power_cuts(node)
        wait_s = 0.0
        if chance.random() < 0.5:  # in the middle of an operation, at most a moment later
            self.cut_in_flash(node, chance.randrange(1, 6), chance.randrange(0, 256))
            wait_s = 4.0 * self.pace

        def cut() -> None:
            self.power(node, False)
            self.count_power(node)  # it may have gone by itself
            self.look(node)

        self.later(wait_s, cut)
        twice = item.fault == "power_cut_twice"
        on_s = wait_s + (chance.uniform(0.5, 3.0) * self.pace if twice else max(self.pace, item.for_s - wait_s))
        self.later(on_s, lambda: self.power(node, True))
        if twice:
            again_s = on_s + chance.uniform(0.05, 4.0) * self.pace  # within the boot, or the recovery
            self.later(again_s, cut)
            on_s = max(item.for_s, again_s + chance.uniform(0.5, 3.0) * self.pace)
            self.later(on_s, lambda: self.power(node, True))

        def end() -> None:
            if self.power_cuts(node) >= before + (2 if twice else 1):
                self.note_fired(item.fault, item.at_s)

        self.later(on_s + 0.001, end)

    def _act_line(self, item: Planned, chance: Random) -> None:
        node = item.node
        if item.fault == "port_vanishes":
            before = self.line_counts(node)["lost"]
            number = self.unplug(node)

            def back() -> None:
                lost = self.line_counts(node)["lost"] > before
                self.plug(node)
                if lost or self.journal("port_gone", number):
                    self.note_fired(item.fault, item.at_s)

            self.later(item.for_s, back)
            return
        counted = "late" if item.fault == "line_delays" else "hit"
        if item.fault == "line_delays":
            before = self.line_counts(node)[counted]
            at_s = 0.0
            while at_s < item.for_s:
                pause_s = chance.uniform(0.3, 3.0) * self.pace
                self.later(at_s, lambda pause_s=pause_s: self.keep_back(node, pause_s))  # type: ignore[misc]
                at_s += pause_s + chance.uniform(0.2, 2.0) * self.pace
        else:
            before = 0
            kind = {"line_drops": "drop", "line_duplicates": "duplicate", "line_corrupts": "corrupt"}[item.fault]
            self.noise(node, item.number, kind, chance.uniform(0.03, 0.25))

        def end() -> None:
            count = self.line_counts(node)[counted]
            if counted == "hit":
                self.noise(node, 0, "corrupt", 0.0)
            if count > before:
                self.note_fired(item.fault, item.at_s)

        self.later(item.for_s, end)

    def unplug(self, node: int) -> int:
        self.cable(node, False)
        return self.order(gone=[*self.orders.gone, self.ports()[node]])

    def plug(self, node: int) -> None:
        self.cable(node, True)
        self.order(gone=[gone for gone in self.orders.gone if gone != self.ports()[node]])

    def _act_broker(self, item: Planned, chance: Random) -> None:
        number = self.orders.number + 1  # a real broker needs several orders
        state = self.broker(item.fault.removeprefix("broker_"), item.number)
        self.order(broker=state, latency_s=chance.uniform(0.5, 4.0))

        def end() -> None:
            if self.journal(item.fault, number):
                self.note_fired(item.fault, item.at_s)
            self.order(broker=self.broker("up", item.number))

        self.later(item.for_s, end)

    def _act_disk(self, item: Planned, chance: Random) -> None:
        before = self.disk_refusals()
        self._disk_refuses = True
        self.later(item.for_s + RESTART_S, lambda: setattr(self, "_disk_refuses", False))
        if item.fault != "disk_full" or not self.fill_disk(True):
            self._until_noted(item, item.fault, {"disk": item.fault.removeprefix("disk_")}, {"disk": "ok"})
            return

        def end() -> None:
            refused = self.disk_refusals() > before
            self.fill_disk(False)
            if refused:
                self.note_fired(item.fault, item.at_s)

        self.later(item.for_s, end)

    def _act_clock(self, item: Planned, chance: Random) -> None:
        if item.fault != "node_without_clock":
            wrong_ms = DAY_MS if item.fault == "clock_ahead" else -DAY_MS
            self._until_noted(item, "clock", {"clock_ms": wrong_ms}, {"clock_ms": 0})
            return
        # A board boots while there is no gateway to tell it the time.
        alone_s = 3 * self.windows_s[item.node] + 4
        before = set(self.clockless)
        self.kill_gateway()
        self.power(item.node, False)
        self.later(self.pace, lambda: self.power(item.node, True))

        def back() -> None:
            self.look(item.node)
            self.start_gateway()
            if self.clockless - before:
                self.note_fired(item.fault, item.at_s)

        self.later(alone_s, back)

    def _act_flash(self, item: Planned, chance: Random) -> None:
        before = self.stall(item.node, chance.randrange(300_000, 2_000_000))

        def end() -> None:
            if self.stall(item.node, 0) > before:
                self.note_fired(item.fault, item.at_s)

        self.later(item.for_s, end)

    def _act_full(self, item: Planned, chance: Random) -> None:
        if item.fault == "outbox_full":
            self.unplug(item.node)
            self.later(OUTBOX_WATCH_S[0], lambda: self._watch_outbox(item, None))
            return
        self.order(budget_bytes=TINY_BYTES, broker="stopped")

        def end() -> None:
            self.order(budget_bytes=0, broker="up")
            if any(line["ids"] for line in self.journal("predicted")):
                self.note_fired(item.fault, item.at_s)

        self.later(item.for_s, end)

    def _watch_outbox(self, item: Planned, oldest: str | None) -> None:
        """Once the oldest segment is full, what the gateway does not have of it is what will be overwritten."""
        node = item.node
        ((life, segments),) = self.look(node).items()
        if oldest is None and len(segments) > 1:
            oldest = min(segments)
            have = self.archive().ids
            named = {f"{node + 1}-{life:08x}-{seq}" for seq in read_segments([segments[oldest]]).sealed}
            self.overwritten = named - have
        if (oldest is None or oldest in segments) and self.now_s < self.plan.span_s - 15:
            self.later(OUTBOX_WATCH_S[1], lambda: self._watch_outbox(item, oldest))
            return
        if oldest is not None and oldest not in segments:
            self.note_fired(item.fault, item.at_s)
        else:
            self.overwritten = set()
            self.notes.append("the outbox was not filled")
        self.plug(node)

    # --- The end ---------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """Nothing disturbs any more."""
        self.order(kill_at="", disk="ok", broker=self.broker("up", 0), clock_ms=0, budget_bytes=0, gone=[])
        for node in range(len(self.plan.boards)):
            self.power(node, True)
        self.start_gateway()

    def judge(self, ledger: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        seen, confirmed = verdict.confirmed(self.folder / MESSAGES)
        self.dropped = {identity for line in self.journal("predicted") for identity in line["ids"]}
        world = {
            number + 1: World.windows_scheduled(self.start_s, self.until_s, window_s)
            for number, window_s in enumerate(self.windows_s)
        }
        figures, problems = verdict.judge(
            world=world, seen=seen, confirmed_ids=confirmed, archived=self.archive(), ledger=ledger, sealed=self.sealed,
            overwritten=self.overwritten, dropped=self.dropped, fired=self.fired,
        )  # fmt: skip
        return figures, self.fell + problems + totals.problems(self.store)

    def verdict(self, figures: dict[str, Any], problems: list[str], digest: str) -> verdict.Verdict:
        for node in list(self._on_since):
            self.count_power(node)
        return verdict.Verdict(
            scenario=self.scenario, seed=self.plan.seed, time=self.time, problems=problems, fired=dict(self.fired),
            planned=[item.fault for item in self.plan.faults], overlap=verdict.most_at_once(self.spans),
            node_s=round(self._powered_s, 1), scheduled=figures["scheduled"], delivered=figures["delivered"],
            causes=figures["causes"], pending=figures["pending"], sealed=len(self.sealed), lost=figures["lost"],
            duplicates=figures["duplicates"], redelivered=figures["redelivered"],
            redelivered_at_most=figures["redelivered_at_most"],
            predicted={"overwritten_on_node": len(self.overwritten), "dropped_by_spool_budget": len(self.dropped)},
            digest=digest, notes=self.notes,
        )  # fmt: skip
