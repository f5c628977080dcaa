"""Cut the power at one operation of a recorded chapter, boot what is left, and look for anything that was promised and is
not so.

What is known of the time before the cut comes from the record alone: what lay sealed in the flash (read independently),
what the gateway had stored, every frame that was on air, whole or not. After the cut the real firmware boots on the real
image, first with nobody listening, then with the gateway; everything it sends is read, and its own totals must add up.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from random import Random
from typing import Any

from tests.powercut import tear
from tests.powercut.ear import Air, Ear, EarState, listen_to_transmitter
from tests.powercut.life import (
    COMMAND_ID,
    HEALTH_S,
    LIVES,
    NAME,
    SEED,
    WINDOW_S,
    Chapter,
    settings_for,
    settings_state,
    switch,
)
from tests.powercut.reader import Look, Reader, Unreadable
from tests.sim.running import START_S, key_of
from tools.sim import image
from tools.sim.conductor import Conductor, VirtualNode
from wire import UTC, crypto, messages
from wire.profiles import decode_profile

OFF_S = 13  # between the cut and the supply's return
BOOTS_WITHIN_S = 60
DELIVERS_WITHIN_S = 400
SECOND_CUT_EVERY = 5  # every so many cuts the boot that follows is cut as well
# Acknowledgements since its last write are forgotten by a board that is cut, and what they were for may be counted as
# overwritten although the gateway holds it (firmware/outbox/drop.py): what was in flight.
FORGOTTEN_MAX = 64
PROBE_ID = 78  # a command that was not given before
IDS = {crypto.subkeys(key).life: key for _, key in LIVES}


class Failed(Exception):
    """A promise was not kept; the text says which."""


def demand(condition: object, text: str) -> None:
    if not condition:
        raise Failed(text)


class Bench:
    """Goes through the operations of a chapter in their order; `cut(k)` checks a cut at operation k (from 0)."""

    def __init__(self, chapter: Chapter, folder: Path, reader: Reader, seed: int = 0) -> None:
        self.chapter = chapter
        self.seed = seed
        self.second_cuts = 0
        self._folder = folder
        self._path = folder / f"{NAME}.flash"
        self._reader = reader
        self._image = bytearray(zlib.decompress(chapter.base))
        self._at = 0
        self._sealed: dict[int, dict[int, tuple[int, ...]]] = {}  # by life: all that was ever seen sealed
        self._others: dict[int, set[int]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.board: Path | str = "air-v1"
        if chapter.board_toml:
            self.board = folder / "air-v1" / "board.toml"
            self.board.parent.mkdir(exist_ok=True)
            self.board.write_text(chapter.board_toml)

    def cut(self, k: int) -> str | None:
        """What was not kept, None if all was. Operations must be taken in rising order."""
        while self._at < k:
            tear.whole(self._image, self.chapter.operations[self._at])
            self._at += 1
        try:
            self._remember()
            _Cut(self, k).run()
        except Failed as error:
            return str(error)
        return None

    def _remember(self) -> None:
        """What lies sealed in flash before the operation."""
        self._path.write_bytes(self._image)
        look = self._reader.read(self._path)
        self.settings_before = settings_state(look.settings())
        for life in look.lives():
            contents = look.outbox(life)
            self._sealed.setdefault(life, {}).update(contents.sealed)
            self._others.setdefault(life, set()).update(contents.others)

    def ear_state(self, k: int) -> EarState:
        """What the gateway had when operation k began: it is fed again what it heard until then."""
        with Conductor(self._folder, seed=SEED, start_s=START_S) as conductor:
            ear = Ear.__new__(Ear)
            Ear.__init__(ear, conductor, _Deaf(), LIVES)  # type: ignore[arg-type]
            ear.put_state(self.chapter.ear)
            ear.later = lambda *args: None
            for done, data in self.chapter.chunks:
                if done > k:
                    break
                ear.feed(data)
            return ear.take_state()


class _Deaf:
    """In a node's place, for an ear that only replays."""

    def __init__(self) -> None:
        self.down = self
        self.listener: Any = None

    def send(self, data: bytes) -> None:
        pass


class _Cut:
    """One cut and what follows."""

    def __init__(self, bench: Bench, k: int) -> None:
        self.bench = bench
        self.chapter = bench.chapter
        self.k = k
        self.chance = Random(f"cut {bench.seed} {bench.chapter.name} {k}")
        self.path = bench._path
        before = self.chapter.before + [sent for done, sent in self.chapter.sent if done <= k]
        self.air = Air(LIVES)
        self.air.sent = list(before)
        self.air._highest = dict.fromkeys(IDS, 0)
        for sent in before:
            self.air._highest[sent.life] = max(self.air._highest[sent.life], sent.counter)
        self.known = len(before)
        self.counters = {(sent.life, sent.counter) for sent in before}
        self.boots = {sent.message().boot for sent in before if sent.kind == messages.HELLO}
        self.command_was_done = any(
            sent.kind == messages.COMMAND_RESULT and sent.message()[:2] == (COMMAND_ID, messages.DONE)
            for sent in before
        )

    def run(self) -> None:
        operation = self.chapter.operations[self.k]
        variant = tear.variant_of(operation, self.bench.seed, f"{self.bench.chapter.name} {self.k}")
        left = tear.torn(self.bench._image, operation, variant, self.chance)
        self._put(operation.address, left)
        at_us = self.chapter.at_us[self.k]
        start_s = START_S + at_us // 1_000_000 + OFF_S
        with Conductor(self.bench._folder, seed=SEED, start_s=start_s) as conductor:
            node = conductor.add_node(NAME, self.bench.board, power=False)
            listen_to_transmitter(node, self.air)
            ear = Ear(conductor, node, LIVES)
            ear.put_state(self.bench.ear_state(self.k))
            if self.chance.randrange(SECOND_CUT_EVERY) == 0:
                self._boot_and_cut(conductor, node, ear)
            try:
                self._boot(conductor, node, ear)
            finally:
                self._check_air(ear)

    def _put(self, address: int, data: bytes) -> None:
        fd = os.open(self.path, os.O_RDWR)
        try:
            os.pwrite(fd, data, address)
        finally:
            os.close(fd)

    def _boot_and_cut(self, conductor: Conductor, node: VirtualNode, ear: Ear) -> None:
        """The supply returns and fails again at one of the first operations of that boot."""
        operations = self.chance.randint(1, 40)
        ear.connected = bool(self.chance.getrandbits(1))
        tear.arm(node, operations, self.chance)
        node.board.power_on()
        conductor.run_until(lambda: not node.board.powered, 8)
        node.flash.watch = None
        if node.board.powered:
            node.board.power_off()  # it had not so much to write
        else:
            self.bench.second_cuts += 1
        self.air.start_over()
        ear.restart()
        conductor.run(OFF_S)

    # --- The boot that counts ------------------------------------------------------------------------------------------------

    def _boot(self, conductor: Conductor, node: VirtualNode, ear: Ear) -> None:
        ear.connected = False
        asked = len(self.air.sent)
        node.said.clear()
        node.board.power_on()
        said = node.said
        conductor.run_until(lambda: b"needs provisioning" in said or len(self.air.sent) > asked, BOOTS_WITHIN_S)
        if b"needs provisioning" in said:
            conductor.run(0.1)
            demand(
                self.bench.settings_before is None,
                f"asks for provisioning: {bytes(said[-160:])!r}",
            )
            demand(len(self.air.sent) == asked, "transmits without provisioning")
            self._provision_again(conductor, node)
            conductor.run_until(lambda: len(self.air.sent) > asked, BOOTS_WITHIN_S)
        demand(len(self.air.sent) > asked, f"does not start: {bytes(said[-300:])!r}")
        self._check_boot_number(asked)
        conductor.run(0.2)
        self._check_flash(ear)
        ear.connected = True
        self._deliver(conductor, node, ear)

    def _provision_again(self, conductor: Conductor, node: VirtualNode) -> None:
        """The technician gives the command again: a new key."""
        node.board.power_off()
        snippet = switch(
            "a", settings_for(key_of(2), int(conductor.now_s)), True, []
        )  # it stages what is missing first
        image.execute(node.flash, snippet, interpreter=conductor.interpreter, uid=node.board.uid)
        node.board.power_on()

    def _check_boot_number(self, asked: int) -> None:
        hellos = [sent.message() for sent in self.air.sent[asked:] if sent.kind == messages.HELLO]
        demand(hellos, "the first frame of a boot is no hello")
        demand(hellos[0].boot not in self.boots, f"boot {hellos[0].boot} comes again")

    def _look(self) -> Look:
        try:
            return self.bench._reader.read(self.path)
        except Unreadable as error:
            raise Failed(f"littlefs: {error}") from None

    def _check_flash(self, ear: Ear) -> None:
        """What lies in flash after recovery, read independently."""
        look = self._look()
        state = settings_state(look.settings())
        states = self.chapter.settings
        before = states.index(self.bench.settings_before)
        provisioned_again = before == 0 and state is not None and state[0] == key_of(2).hex()
        demand(
            provisioned_again or state in states[before : before + 2],
            f"settings are {state}, neither those before nor those after the cut",
        )
        demand(look.copies_agree(), "the two copies of the settings differ after a boot")
        for life, sealed in self.bench._sealed.items():
            contents = look.outbox(life)
            over = [(first, first + count) for first, count, cause in contents.gaps if cause == messages.OVERWRITTEN]
            for seq, time in sealed.items():
                there = contents.sealed.get(seq)
                demand(there is None or there == time, f"record {seq} became another: {time} {there}")
                demand(
                    there or (life, seq) in ear.stored or any(first <= seq < end for first, end in over),
                    f"record {seq} of life {life:08x} is lost",
                )
            for seq in self.bench._others[life]:
                demand(
                    seq in contents.others
                    or (life, seq) in ear.stored
                    or any(first <= seq < first + count for first, count, _ in contents.gaps),
                    f"entry {seq} of life {life:08x} is lost",
                )

    def _deliver(self, conductor: Conductor, node: VirtualNode, ear: Ear) -> None:
        """The gateway listens: everything comes, and it adds up."""
        expiry_s = int(conductor.now_s) + 3600
        present = self._present(node)
        demand(
            conductor.run_until(lambda: present in ear.last and ear.heard_us + 200_000 < conductor.time.now_us, 90),
            "says no hello",
        )
        if not conductor.run_until(lambda: self._drained(ear), DELIVERS_WITHIN_S):
            raise Failed(f"is not delivered: {self._missing(ear)}")
        demand(conductor.run_until(lambda: self._synced(ear, present), DELIVERS_WITHIN_S), "never learns the time")
        questions: list[Any] = [messages.GetSetting(*HEALTH_S), messages.GetSetting(*WINDOW_S)]
        if self.command_was_done and present == crypto.subkeys(LIVES[0][1]).life:
            questions.append(messages.Command(COMMAND_ID, messages.SEND_HEALTH, 0, expiry_s))
        questions.append(messages.Command(PROBE_ID, messages.SEND_HEALTH, 0, expiry_s))
        self._ask(conductor, ear, questions)
        results = ear.results()
        demand(results[PROBE_ID].code == messages.DONE, f"does not do a command: {results[PROBE_ID]}")
        if len(questions) > 3:
            demand(results[COMMAND_ID].code == messages.REPEATED, "a command ran twice")
        conductor.run_until(
            lambda: self._drained(ear) and ear.heard_us + 500_000 < conductor.time.now_us, DELIVERS_WITHIN_S
        )
        if self._dropped_since(ear, present):  # the probe's own health made the log overflow: it tells of it next time
            self._ask(conductor, ear, [messages.Command(PROBE_ID + 1, messages.SEND_HEALTH, 0, expiry_s)])
            conductor.run_until(
                lambda: self._drained(ear) and ear.heard_us + 500_000 < conductor.time.now_us, DELIVERS_WITHIN_S
            )
        self._check_told(ear, present)
        for life in ear.last:
            self._check_sum(ear, life, present)
        self._check_windows(ear, present)

    def _present(self, node: VirtualNode) -> int:
        """The life that the settings in flash name."""
        payload = self._look().settings()
        assert payload is not None
        return crypto.subkeys(bytes.fromhex(payload["key"])).life

    @staticmethod
    def _ask(conductor: Conductor, ear: Ear, questions: list[Any]) -> None:
        """Until all are answered: a downlink is lost when the flash is busy."""
        known = len(ear.others)

        def left() -> list[Any]:
            answers = [
                each[0]
                for each in ear.others[known:]
                if isinstance(each, messages.CommandResult | messages.SettingValue)
            ]
            return [question for question in questions if question[0] not in answers]

        for _ in range(100):
            waiting = left()
            if not waiting:
                return
            ear.asks = waiting[:2]  # more at once would overflow a receiver whose flash is busy
            before = len(waiting)
            conductor.run_until(lambda: len(left()) < before, 8)  # noqa: B023 (called at once)
        raise Failed(f"does not answer {left()}")

    @staticmethod
    def _dropped_since(ear: Ear, present: int) -> bool:
        """Whether more is told as overwritten than the newest health counted."""
        mine = [entry for (life, _), entry in ear.stored.items() if life == present]
        told = sum(1 for entry in mine if isinstance(entry, messages.Gap) and entry.cause == messages.OVERWRITTEN)
        newest = max((entry for entry in mine if isinstance(entry, messages.Health)), key=lambda health: health.seq)
        return bool(told > newest.totals.overwritten)

    @staticmethod
    def _synced(ear: Ear, present: int) -> bool:
        """Whether a record of this boot came with a time."""
        newest = ear.cum(present) - 1
        return newest >= 0 and bool((getattr(ear.stored[present, newest], "time", None) or (0,))[0] == UTC)

    @staticmethod
    def _drained(ear: Ear) -> bool:
        return all(ear.cum(life) >= hello.next_seq for life, hello in ear.last.items())

    @staticmethod
    def _missing(ear: Ear) -> str:
        return " ".join(
            f"life {life:08x} has {ear.cum(life)} of {hello.next_seq}, oldest {hello.oldest_seq}"
            for life, hello in ear.last.items()
        )

    def _check_told(self, ear: Ear, present: int) -> None:
        payload = self._look().settings()
        assert payload is not None
        values = payload["values"] | payload.get("pending", {})
        told = ear.values()
        for place, name in ((HEALTH_S, "health_s"), (WINDOW_S, "window_s.0")):
            allowed = {values[name], payload["values"][name]}  # one that is to come takes over at a window's end
            demand(told.get(place) in allowed, f"tells {name} {told.get(place)}, has {values}")

    def _check_sum(self, ear: Ear, life: int, present: int) -> None:
        """The node's own totals against what the gateway has of it."""
        healths = [e for (of, _), e in ear.stored.items() if of == life and isinstance(e, messages.Health)]
        newest: Any = max(healths, key=lambda health: health.seq, default=None)
        end, totals = ear.last[life].next_seq, ear.last[life].totals
        if newest is not None and newest.seq >= end:
            end, totals = newest.seq, newest.totals
        records = 0
        told = [0] * 6
        for seq in range(end):
            entry = ear.stored.get((life, seq))
            demand(entry is not None, f"seq {seq} of life {life:08x} is nowhere")
            if isinstance(entry, messages.Gap):
                told[entry.cause] += 1
            elif not isinstance(entry, messages.Health | messages.Event):
                records += 1
        found = (
            records + told[messages.OVERWRITTEN],
            told[messages.OFF],
            told[messages.NOT_SAMPLED],
            told[messages.REFUSED],
        )
        demand(
            (totals.sealed, totals.off, totals.not_sampled, totals.refused) == found,
            f"life {life:08x} says {totals}, delivered sealed/off/not sampled/refused {found}",
        )
        demand(totals.scheduled == sum(found), f"life {life:08x}: {totals} do not add up")
        again = totals.overwritten - told[messages.OVERWRITTEN]
        demand(
            0 <= again <= FORGOTTEN_MAX,
            f"life {life:08x}: overwritten {totals.overwritten}, told {told[messages.OVERWRITTEN]}",
        )

    def _check_windows(self, ear: Ear, present: int) -> None:
        """The node's `scheduled` against the world's clock; no window of one profile has two records."""
        payload = self._look().settings()
        assert payload is not None
        health = max(
            (e for (of, _), e in ear.stored.items() if of == present and isinstance(e, messages.Health)),
            key=lambda h: h.seq,
        )
        demand(health.time[0] == UTC, "never learned the time")
        expected = 0
        for descriptor, _, first, ended in payload["grids"]:
            window_s = decode_profile(bytes.fromhex(descriptor)).window_s
            expected += (ended or health.time[1] // window_s) - first
        demand(
            expected - 1 <= health.totals.scheduled <= expected,
            f"{health.totals.scheduled} windows scheduled, the clock says {expected}",
        )
        seen: set[tuple[int, ...]] = set()
        for (life, seq), entry in ear.stored.items():
            if life == present and hasattr(entry, "values") and not hasattr(entry, "code") and len(entry) == 5:
                key = tuple(entry.time)
                demand(key not in seen, f"two records end at {key}, one is {seq}")
                seen.add(key)

    def _check_air(self, ear: Ear) -> None:
        """No counter comes twice, though nobody may have heard it the first time."""
        for sent in self.air.sent[self.known :]:
            demand((sent.life, sent.counter) not in self.counters, f"counter {sent.counter} comes again")
            self.counters.add((sent.life, sent.counter))
        demand(not ear.faults, "; ".join(ear.faults))
