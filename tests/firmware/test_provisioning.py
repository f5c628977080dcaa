"""From one life to the next, cut at every single change of the flash: the old node or the new one, never a mixture."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from firmware import begin, leases, life, provisioning, settings, slots
from firmware.settings import NeedsProvisioning
from tests.fakes.board import START_S, Board
from tests.fakes.fuse import Cut, Fuse
from tests.fakes.gateway_end import GatewayEnd
from tests.fakes.virtual_time import VirtualLoop, run_virtual, virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from wire import crypto
from wire.records import Record

NEXT = bytes(range(16, 32))
THIRD = bytes(range(32, 48))
NEXT_LIFE = crypto.subkeys(NEXT).life
UID = bytes.fromhex("0badcafe0001")
LATER_S = START_S + 400


def text(key: bytes, at_s: int = LATER_S, **values: int) -> str:
    values = {"window_s.0": 60, **values}
    return json.dumps({"address": 7, "key": key.hex(), "provisioned_s": at_s, "values": values})


def switch(root: Path, key: bytes = NEXT, at_s: int = LATER_S, **values: int) -> str:
    return provisioning.switch(text(key, at_s, **values), "b", False, ["board.json"], UID, str(root))


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A board that has sealed five windows nobody took; its next program lies in slot b, its next description staged."""
    folder = tmp_path / "board"

    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.gateway.connected = False
        world.board.start()
        await virtual_s(310)
        await world.board.cut()

    play(script, folder)
    for slot in ("a", "b"):
        (folder / slot).mkdir()
    slots.write_pointer(str(folder), "a", True)
    description = json.loads((folder / "board.json").read_text())
    (folder / "board.json.new").write_text(json.dumps(description | {"board": "fake-v2"}))
    return folder


def boot(root: Path, *keys: bytes, seconds: int = 0) -> tuple[str, int, str, GatewayEnd]:
    """Start the board until its program runs, as main.py does; (board, life, slot, gateway): what runs then.

    With `seconds`, a gateway listens for so long and gets everything.
    """
    described = (root / "board.json").read_text()
    found: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gateway = GatewayEnd([(7, key) for key in keys], lambda: LATER_S * 1000 + round(loop.time() * 1000))
        gateway.connected = bool(seconds)
        made = Board(root, gateway.feed)
        (root / "board.json").write_text(described)
        gateway.send = lambda data: made.console.put(data) if made.console else None
        for _ in range(2):
            made.start()
            await virtual_s(2 + seconds)
            assert made.task is not None and made.node is not None and made.port is not None
            if not made.task.done():
                break
            made.task.result()
            assert made.port.resets == 1
        node = made.node
        assert not seconds or all(session.idle() for session in node.sessions)
        slot = (slots.read_pointer(str(root)) or ("",))[0]
        found.append((node.board["board"], node.life.id, slot, gateway))
        await made.cut()

    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    run_virtual(main(), loop)
    return found[0]  # type: ignore[no-any-return]


OLD = ("fake-v1", LIFE, "a")
NEW = ("fake-v2", NEXT_LIFE, "b")


def test_cut_at_every_change_it_is_the_old_node_or_the_bridge_and_its_life_stays(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that becomes a bridge keeps what it holds: made a node again, it delivers it."""
    kept = {path.name: path.read_bytes() for path in board.iterdir() if path.name.startswith(("settings", "lease"))}
    assert kept
    outcomes = set()
    for count in range(60):
        root = tmp_path / str(count)
        shutil.copytree(board, root)
        with monkeypatch.context() as patch:
            fuse = Fuse(patch, (slots, provisioning))
            fuse.left = count
            try:
                assert provisioning.switch_bridge("b", False, ["board.json"], UID, str(root))
            except Cut:
                pass
        whole = fuse.left > 0
        assert provisioning.state(UID, str(root))["note"] == ""  # no life was begun
        if slots.interrupted(str(root)):  # what the next boot does
            provisioning.finish(str(root), UID)
        pointer = slots.read_pointer(str(root))
        described = json.loads((root / "board.json").read_text())["board"]
        assert pointer is not None
        assert (described, pointer[0]) in (("fake-v1", "a"), ("fake-v2", "b")), f"cut after {fuse.seen}"
        outcomes.add(described)
        assert {name: (root / name).read_bytes() for name in kept} == kept
        assert not slots.interrupted(str(root))
        if whole:
            assert described == "fake-v2"
            break
    else:
        raise AssertionError("never whole")
    assert outcomes == {"fake-v1", "fake-v2"}


def test_a_torn_note_on_a_board_without_settings_leaves_the_bridge_that_it_was(tmp_path: Path) -> None:
    (tmp_path / "provisioning").write_bytes(b"bridge a 1 boa")
    assert provisioning.finish(str(tmp_path), UID) is False
    assert not slots.interrupted(str(tmp_path))


def test_cut_at_every_change_it_is_the_old_node_or_the_new_one(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for count in range(100):
        root = tmp_path / str(count)
        shutil.copytree(board, root)
        with monkeypatch.context() as patch:
            fuse = Fuse(patch, (settings, slots, leases, life, provisioning))
            fuse.left = count
            try:
                switch(root)
            except Cut:
                pass
        whole = fuse.left > 0
        state = provisioning.state(UID, str(root))
        runs = boot(root)[:3]
        assert runs in (OLD, NEW), f"cut after {fuse.seen}"
        # What the tool asks tells the truth about it.
        assert (f"{NEXT_LIFE:08x}" in state["lives"]) == (runs == NEW)
        # Again: the same life where it was taken, a fresh one else. All that was sealed before arrives.
        if runs == OLD:
            assert f"{LIFE:08x}" == state["life"]
            (root / "board.json.new").write_bytes((board / "board.json.new").read_bytes())
            switch(root, THIRD, LATER_S + 30)
        else:
            switch(root)
        *again, gateway = boot(root, KEY, NEXT, THIRD, seconds=300)
        assert again == [NEW[0], NEXT_LIFE if runs == NEW else crypto.subkeys(THIRD).life, NEW[2]]
        assert not gateway.faults
        assert len([thing for thing in gateway.things(LIFE) if isinstance(thing, Record)]) == 5
        assert begin.strangers(str(root), settings.load(str(root), UID).payload) == []
        outcomes.append(runs)
        if whole:
            break
    else:
        pytest.fail("it never ends")
    assert len(outcomes) >= 10
    assert outcomes == sorted(outcomes, key=[OLD, NEW].index), "from one instant on it is the new node"
    assert OLD in outcomes and NEW in outcomes


def test_a_refusal_leaves_the_old_node(board: Path) -> None:
    before = {path.name: path.read_bytes() for path in board.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match="window_s"):
        switch(board, **{"window_s.0": 0})
    with pytest.raises(ValueError, match="in use"):
        switch(board, KEY)
    assert before == {path.name: path.read_bytes() for path in board.iterdir() if path.is_file()}
    assert boot(board)[:3] == OLD


def test_asked_twice_it_is_done_once(board: Path) -> None:
    assert switch(board) == switch(board)
    assert boot(board)[:3] == NEW


@pytest.mark.parametrize("torn", [b"", b"0badcafe b 0 boa", b"0badcafe b 0 board.json 00000000\n", b"\xff\x00\x17"])
def test_a_note_torn_while_it_was_written_leaves_the_old_node(board: Path, torn: bytes) -> None:
    """The settings change after the note: where they name a life that has run, nothing has changed."""
    (board / slots.NOTE[1:]).write_bytes(torn)
    assert boot(board)[:3] == OLD
    assert not (board / slots.NOTE[1:]).exists()


@pytest.mark.parametrize("settings_too", [False, True])
def test_a_note_that_cannot_be_read_needs_provisioning(
    board: Path, monkeypatch: pytest.MonkeyPatch, settings_too: bool
) -> None:
    """A life that has not run is there, and nobody knows what of it is in its place."""
    with monkeypatch.context() as context:
        context.setattr(provisioning, "finish", lambda root, uid: False)
        switch(board)
    (board / slots.NOTE[1:]).write_bytes(b"0badcafe b 0 board.json 00000000\n")
    with pytest.raises(NeedsProvisioning, match="interrupted"):
        provisioning.finish(str(board), UID)
    if settings_too:
        for copy in settings.COPIES:
            (board / copy[1:]).write_bytes(b"")
        state = provisioning.state(UID, str(board))
        assert (state["fault"], state["known"], list(state["held"])) == ("unreadable", False, [f"{LIFE:08x}"])
        assert state["held"][f"{LIFE:08x}"] > 100
    switch(board)
    assert boot(board)[:3] == NEW


def test_a_copied_flash_tells_its_lives_as_another_chips(board: Path) -> None:
    state = provisioning.state(b"another", str(board))
    assert (state["fault"], state["lives"], list(state["held"])) == ("of another chip", [], [f"{LIFE:08x}"])


def test_what_no_settings_know_is_removed_at_boot_and_nothing_else(board: Path, tmp_path: Path) -> None:
    switch(board)
    stray = board / "outbox-0badcafe"
    shutil.copytree(board / f"outbox-{LIFE:08x}", stray)
    for copy in (".a", ".b"):
        shutil.copy(board / f"lease-{LIFE:08x}{copy}", board / f"lease-0badcafe{copy}")
    kept = tmp_path / "kept"
    shutil.copytree(board, kept)
    boot(board)
    assert not [path for path in board.iterdir() if "0badcafe" in path.name]
    assert (board / f"outbox-{LIFE:08x}").is_dir(), "an earlier life that waits is known"
    # With one readable copy the lives are known as well.
    (kept / "settings.b").write_bytes(b"torn")
    one = tmp_path / "one"
    shutil.copytree(kept, one)
    boot(one)
    assert not [path for path in one.iterdir() if "0badcafe" in path.name]
    assert (one / f"outbox-{LIFE:08x}").is_dir()
    # Without one nobody knows what still has a key: nothing is touched.
    (kept / "settings.a").write_bytes(b"torn")
    names = {path.name for path in kept.iterdir()}

    async def main() -> None:
        made = Board(kept, lambda data: None)
        made.start()
        await virtual_s(30)
        await made.cut()

    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    run_virtual(main(), loop)
    assert {path.name for path in kept.iterdir()} >= names


def test_a_cut_between_forgetting_and_erasing_leaves_nothing_for_ever(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(board)
    with monkeypatch.context() as patch:
        patch.setattr(life.Life, "erase", lambda self: (_ for _ in ()).throw(Cut()))
        with pytest.raises(Cut):
            boot(board, KEY, NEXT, seconds=120)
    assert settings.load(str(board), UID).payload["previous"] == []
    assert (board / f"outbox-{LIFE:08x}").is_dir()
    assert boot(board)[:3] == NEW
    assert not [path for path in board.iterdir() if f"{LIFE:08x}" in path.name]
