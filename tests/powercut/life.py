"""Scripted lives of real boards, recorded: every program and erase of their flash, with its bytes, and what was on air.

A life is the real firmware under the real MicroPython on a real littlefs, in virtual time. It is recorded in chapters:
between them a board does what it did in the last one, until the next thing happens (a segment takes seven thousand
operations to fill).
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.apart import execute_apart
from tests.powercut import tear
from tests.powercut.ear import Air, Ear, EarState, Sent, listen_to_transmitter
from tests.powercut.reader import Reader
from tests.sim.running import PROVISION, START_S, key_of
from tests.sim.test_sim_sleep import sleeping_board
from tools.handover import SWITCH
from tools.sim import image
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.flash import Operation
from wire import messages

ADDRESS = 1
LIVES = [(ADDRESS, key_of(1)), (ADDRESS, key_of(2))]
COMMAND_ID = 77  # run once during the life
HEALTH_S, WINDOW_S = (2, 0), (1, 0)  # settings that are changed during the life: (id, instance)
SEGMENT = 16384
FILLED = 900  # bytes before a segment's end up to which it is filled without running
NEAR = 350  # and where a chapter begins
SEED = 1
NAME = "n1"


@dataclass
class Chapter:
    """Operations that follow each other on one flash. All lists of pairs begin with the number of operations before."""

    name: str
    board_toml: str  # "": the repository's
    base: bytes  # the image before the first operation, deflated
    began_us: int
    ear: EarState
    before: list[Sent]
    snippet: str | None  # it was the host that wrote, on a board that is off
    operations: list[Operation] = field(default_factory=list)
    at_us: list[int] = field(default_factory=list)
    chunks: list[tuple[int, bytes]] = field(default_factory=list)
    sent: list[tuple[int, Sent]] = field(default_factory=list)
    structural: set[int] = field(default_factory=set)
    settings: list[Any] = field(default_factory=list)  # all states of the whole life, in their order


def settings_state(payload: dict[str, Any] | None) -> Any:
    """What of the settings may never be mixed."""
    if payload is None:
        return None
    return payload["key"], payload["address"], payload["values"], [p["key"] for p in payload["previous"]]


class Recorder:
    """Records a board's life; `with recorder.chapter(name):` what happens inside is cut later."""

    def __init__(self, folder: Path, board: Path | str, reader: Reader, prepare: str | None = None) -> None:
        self.conductor = Conductor(folder, seed=SEED, start_s=START_S)
        self._board = board
        self.board_toml = board.read_text() if isinstance(board, Path) else ""
        self.node: VirtualNode = self.conductor.add_node(NAME, board, prepare=prepare, power=False)
        self.ear = Ear(self.conductor, self.node, LIVES)
        self.air = Air(LIVES)
        listen_to_transmitter(self.node, self.air)
        self.chapters: list[Chapter] = []
        self.settings: list[Any] = [None]
        self.reader = reader
        self._chapter: Chapter | None = None
        self.node.listener = self._heard
        self.note_settings()

    def _heard(self, data: bytes) -> None:
        if self._chapter is not None and self.ear.connected:
            self._chapter.chunks.append((len(self._chapter.operations), data))
        self.ear.feed(data)

    def _watch(self, operation: Operation) -> None:
        chapter = self._chapter
        if chapter is None:
            return
        self._note_sent(chapter)
        chapter.operations.append(operation)
        chapter.at_us.append(self.conductor.time.now_us)

    def _note_sent(self, chapter: Chapter) -> None:
        known = len(chapter.before) + len(chapter.sent)
        for sent in self.air.sent[known:]:
            chapter.sent.append((len(chapter.operations), sent))

    @contextmanager
    def chapter(self, name: str, snippet: str | None = None) -> Iterator[None]:
        base = self.node.flash.path.read_bytes()
        self._chapter = Chapter(
            name, self.board_toml, zlib.compress(base, 1), self.conductor.time.now_us, self.ear.take_state(),
            list(self.air.sent), snippet,
        )  # fmt: skip
        self.node.flash.watch = self._watch
        yield
        self._note_sent(self._chapter)
        self.node.flash.watch = None
        self.chapters.append(self._chapter)
        self._chapter = None
        self.note_settings()

    def note_settings(self) -> None:
        """Remember the settings as they are now, if they are new."""
        state = settings_state(self.reader.read(self.node.flash.path, brief=True).settings())
        if state != self.settings[-1]:
            self.settings.append(state)

    def run(self, seconds: float) -> None:
        self.conductor.run(seconds)
        self.note_settings()

    def run_snippet(self, code: str) -> str:
        node = self.node
        return image.execute(node.flash, code, interpreter=self.conductor.interpreter, uid=node.board.uid)

    def run_snippet_as(self, name: str, code: str) -> None:
        """A snippet as a chapter of its own."""
        with self.chapter(name, snippet=code):
            self.run_snippet(code)

    def fill(self, count: int) -> None:
        """Go on until the newest of `count` segments is nearly full. The board is off meanwhile and its own outbox code
        writes the records of the windows that pass, many at once: running for them would take minutes."""
        board = self.node.board
        board.power_off()
        snippet = _FILL % (count, SEGMENT - FILLED)
        text = execute_apart(
            self.node.flash, self._board, snippet, interpreter=self.conductor.interpreter, uid=board.uid
        )
        ended_s = int(text.split()[-1])
        self.conductor.run(ended_s + 2 - self.conductor.now_s)
        board.power_on()
        for _ in range(100):
            sizes = self.sizes()
            if len(sizes) == count and sizes[-1] > SEGMENT - NEAR:
                return
            self.conductor.run(3)
        raise AssertionError(f"segments never filled: {sizes}")

    def sizes(self) -> list[int]:
        look = self.reader.read(self.node.flash.path, brief=True)
        return [size for name, (size, _) in sorted(look.files.items()) if name.endswith(".seg")]

    def close(self) -> list[Chapter]:
        assert not self.ear.faults, self.ear.faults
        self.conductor.close()
        for chapter in self.chapters:
            chapter.settings = self.settings
            _find_structural(chapter, self.reader, self.node.flash.path)
        return self.chapters


def _find_structural(chapter: Chapter, reader: Reader, scratch: Path) -> None:
    """Operations after which other files are there, or other settings, leases, pointers, and the one after each: all of
    these are cut in any run.

    Only commits change what is visible: programs of blocks that are programmed again and again without an erase.
    """
    begun: set[int] = set()
    commits: set[int] = {0, 1}
    last = -1
    for operation in chapter.operations:
        block = operation.address // 4096
        if operation.kind == "erase":
            begun.discard(block)
        elif block in begun and block != last:
            commits.add(block)
        begun.add(block)
        last = block
    image_now = bytearray(zlib.decompress(chapter.base))
    scratch.write_bytes(image_now)
    before = reader.read(scratch, brief=True).structure()
    with scratch.open("r+b") as file:
        for number, operation in enumerate(chapter.operations):
            tear.whole(image_now, operation)
            file.seek(operation.address)
            file.write(image_now[operation.address : operation.address + operation.length])
            if operation.address // 4096 not in commits or operation.kind == "erase":
                continue
            file.flush()
            after = reader.read(scratch, brief=True).structure()
            if after != before:
                chapter.structural |= {number, min(number + 1, len(chapter.operations) - 1)}
                before = after


# --- The lives --------------------------------------------------------------------------------------------------------------


def settings_for(key: bytes, provisioned_s: int, **values: int) -> dict[str, Any]:
    return {
        "address": ADDRESS, "key": key.hex(), "provisioned_s": provisioned_s,
        "values": {
            "window_s.0": 5, "health_s": 30, "outbox_kb": 32, "ack_wait_ms": 400, "retry_max_ms": 3000, "hello_after": 6,
        } | values,
    }  # fmt: skip


def switch(slot: str, new: dict[str, Any], confirmed: bool, rename: list[str]) -> str:
    """What the technician's tool runs on the board as its last step."""
    return (
        f"SLOT = {slot!r}\nRENAME = {rename!r}\nNEW = {json.dumps(new)!r}\nCONFIRMED = {confirmed}\n{SWITCH}"
        "print(answer)\n"
    )


_COPY_SLOT = """
import os
def copy(source, target):
    os.mkdir(target)
    for entry in os.ilistdir(source):
        if entry[1] & 0x4000:
            copy(source + "/" + entry[0], target + "/" + entry[0])
            continue
        with open(source + "/" + entry[0], "rb") as f, open(target + "/" + entry[0], "wb") as g:
            while True:
                part = f.read(1024)
                if not part:
                    break
                g.write(part)
copy("/a", "/b")
"""
_STAGE = """
for n in ("boot.py", "main.py", "board.json"):
    with open("/" + n, "rb") as f, open("/" + n + ".new", "wb") as g:
        g.write(f.read())
"""
_FILL = """
from firmware import hal, settings
from firmware.life import Life
from firmware.outbox import entries
payload = settings.load("", hal.unique_id()).payload
life = Life("", payload, None, 0, 32 * 1024)
outbox = life.outbox
short = life.active()[0][1].short
window_s, index, unplaced = outbox.state.grids[short]
while len(outbox.segments) < %d or outbox.segments[-1][2] < %d:
    items = []
    for i in range(5):
        index += 1
        values = tuple([300 + (index + place) %% 40 for place in range(9)])
        body = entries.record_body(outbox.state.next_seq + i, short, (1, index * window_s), 100, values, None)
        items.append((2, body))  # RECORD; the name of a constant is not on the board
    outbox.put(items)
outbox.close()
print(index * window_s)
"""
_POINTER = "from firmware import slots\nslots.write_pointer('', 'a', False)\n"


def mains_life(folder: Path, reader: Reader) -> list[Chapter]:
    """First boot to fall-back of a board with a supply: see the chapters' names."""
    rec = Recorder(folder, "air-v1", reader)
    ear, board = rec.ear, rec.node.board
    with rec.chapter("first boot"):
        board.power_on()
        rec.run(8)
    board.power_off()
    rec.run_snippet(_STAGE)
    staged = ["boot.py", "main.py", "board.json"]
    rec.run_snippet_as("provisioning", switch("a", settings_for(LIVES[0][1], int(rec.conductor.now_s)), True, staged))
    with rec.chapter("first records"):
        board.power_on()
        rec.run(16)
        ear.asks.append(messages.SetSetting(*HEALTH_S, 20))
        rec.run(7)
        ear.asks.append(messages.Command(COMMAND_ID, messages.SEND_HEALTH, 0, int(rec.conductor.now_s) + 600))
        rec.run(7)
        ear.asks.append(messages.SetSetting(*WINDOW_S, 6))
        rec.run(125)
    assert ear.results()[COMMAND_ID].code == messages.DONE
    rec.fill(1)
    with rec.chapter("segment full and acknowledged"):
        rec.run(130)
    ear.connected = False
    rec.fill(2)
    with rec.chapter("overwriting"):
        rec.run(60)
    ear.connected = True
    with rec.chapter("backlog"):
        rec.run(14)
    rec.run(30)
    ear.connected = False
    rec.run(30)
    board.power_off()
    rec.run_snippet(_COPY_SLOT)
    rec.run_snippet(_STAGE)
    rec.run_snippet_as(
        "provisioning again", switch("b", settings_for(LIVES[1][1], int(rec.conductor.now_s)), False, staged)
    )
    ear.connected = True
    with rec.chapter("second life, new slot"):
        board.power_on()
        rec.run(160)
    board.power_off()
    rec.run_snippet("import os\nos.remove('/a/firmware/app.mpy')\n")
    rec.run_snippet_as("pointer", _POINTER)
    with rec.chapter("slot falls back"):
        board.power_on()
        rec.run(60)
    return rec.close()


def sleeping_life(folder: Path, reader: Reader) -> list[Chapter]:
    """A board that sleeps between its windows; its memory goes with the supply."""
    new = settings_for(LIVES[0][1], START_S, **{"window_s.0": 60, "measure_s": 10, "warmup_s": 12, "exchange_s": 0})
    new["values"]["health_s"] = 300
    rec = Recorder(folder, sleeping_board(folder, "air-v1"), reader, PROVISION.format(json.dumps(new)))
    ear, board = rec.ear, rec.node.board
    board.power_on()
    rec.run(200)
    with rec.chapter("sleep"):
        rec.run(420)
        ear.asks.append(messages.SetSetting(*HEALTH_S, 240))
        rec.run(480)
    assert board.stats["start 4"] >= 10
    return rec.close()


def record(folder: Path, kind: str) -> list[Chapter]:
    """The chapters of one life: "mains" or "sleep". `folder` is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reader = Reader()
    try:
        return {"mains": mains_life, "sleep": sleeping_life}[kind](folder, reader)
    finally:
        reader.close()
