"""A key changes hands: the key file and the board agree on it afterwards, whatever the cable does meanwhile.

The key goes into the key file first, so that no record is ever sealed under a key that nobody has. It is withdrawn only
when the board itself tells that it holds it not. When nobody can tell, because the connection is lost, it stays: the
same command run again asks the board first, and goes on where that one stopped.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway import keys as key_file
from tools.errors import NoConnection, SteigerError, UsageError

Ask = Callable[[str], Any]  # runs code on the board that sets `answer`, and gives that back

# The program that was just written takes the place of the one that ran: it is what has to understand the settings.
_PROGRAM = """
import os, sys
root = os.getcwd().rstrip('/')
path = root + '/' + SLOT
if path in sys.path:
    sys.path.remove(path)
sys.path.insert(0, path)
for n in list(sys.modules):
    if n.split('.')[0] in ('firmware', 'wire'):
        del sys.modules[n]
"""
_FIRMWARE = "import os\nfrom firmware import hal, provisioning\nroot = os.getcwd().rstrip('/')\nuid = hal.unique_id()\n"
_STATE = "answer = provisioning.state(uid, root)\n"
_ANNOUNCE = "answer = provisioning.announce(LIFE, root)\n"
_FINISH = "answer = provisioning.finish(root, uid)\n"
_SWITCH = "answer = provisioning.switch(NEW, SLOT, CONFIRMED, RENAME, uid, root)\n"
SWITCH = _PROGRAM + _FIRMWARE + _SWITCH
_SWITCH_BRIDGE = "answer = provisioning.switch_bridge(SLOT, CONFIRMED, RENAME, uid, root)\n"


class BoardState(NamedTuple):
    """What a board tells of its lives (firmware/provisioning.py, `state`); 0: none."""

    fault: str  # what is wrong with its settings, or ""
    known: bool  # they are readable, or there are none
    life: int
    unused: bool  # its present life never ran
    lives: frozenset[int]
    note: int  # the life of a provisioning that was begun and not finished
    held: dict[int, int]  # bytes that lie in outboxes whose life these settings do not know

    dropped: frozenset[int]  # lives that were given to it and replaced before they ran

    def lacks(self, life: int) -> bool:
        """Whether it is certain that the board does not hold this life."""
        return self.known and life not in self.lives


class Target(NamedTuple):
    """What becomes valid together with the settings."""

    slot: str
    staged: list[str]  # root files that lie there as NAME.new
    confirmed: bool  # the slot's program has proved itself already


class Wanted(NamedTuple):
    """What the technician asked for."""

    address: int
    board: str
    name: str
    values: Mapping[str, int]
    profiles: tuple[str, ...]
    key: bytes | None  # None: a fresh one


def new_key() -> bytes:
    """A fresh random key."""
    return secrets.token_bytes(16)


def ask_state(ask: Ask, slot: str | None) -> BoardState:
    """`slot`: whose program shall tell; None: that of a board whose program lies on the path already."""
    told = ask((f"SLOT = {slot!r}\n{_PROGRAM}" if slot else "") + _FIRMWARE + _STATE)
    return BoardState(
        told["fault"],
        told["known"],
        int(told["life"] or "0", 16),
        told["unused"],
        frozenset(int(life, 16) for life in told["lives"]),
        int(told["note"] or "0", 16),
        {int(life, 16): size for life, size in told["held"].items()},
        frozenset(int(life, 16) for life in told["dropped"]),
    )


def finish(ask: Ask, slot: str) -> bool:
    """Let the board finish a provisioning that was interrupted; False if it has not taken its settings."""
    try:
        return bool(ask(f"SLOT = {slot!r}\n{_PROGRAM}{_FIRMWARE}{_FINISH}"))
    except SteigerError as error:
        if "NeedsProvisioning" in error.what:
            return False
        raise


def switch_code(life: key_file.Life, values: Mapping[str, int], target: Target) -> str:
    """What makes `life` the board's present one. It may be run again: it then does what is left to do."""
    new = {
        "address": life.address, "key": life.key.hex(), "provisioned_s": life.provisioned_s, "values": dict(values)
    }  # fmt: skip
    return (
        f"SLOT = {target.slot!r}\nRENAME = {target.staged!r}\nNEW = {json.dumps(new)!r}\n"
        f"CONFIRMED = {target.confirmed}\n"
    )


def hand_over(
    ask: Ask, wanted: Wanted, target: Target, keys: Path, now_s: int, *, where: str, said: Callable[[str], None]
) -> tuple[key_file.Life, dict[int, int]]:
    """Give the board a life, and enter it into the key file. (life, bytes of earlier lives that are beyond delivery
    because the settings with their keys are unreadable or another chip's; said as well).

    An earlier try that the board did not take is withdrawn; one that it took and never ran is gone on with.
    """
    state = ask_state(ask, target.slot)
    lives = {life.life: life for life in key_file.load_keys(keys)} if keys.exists() else {}
    if state.note in lives and state.lacks(state.note) and key_file.withdraw_life(keys, state.note):
        said(f"{where}: the last try did not reach the board; its life {state.note:08x} is withdrawn")
    for gone in state.dropped & set(lives):
        key_file.withdraw_life(keys, gone)
    present = lives.get(state.life)
    life = present if present and state.unused and _goes_on(present, wanted) else None
    if life is not None:
        said(f"{where}: the board has its key from the last try (life {life.life:08x}): going on with it")
    else:
        life = key_file.Life(
            address=wanted.address, key=wanted.key or new_key(), board=wanted.board, name=wanted.name,
            provisioned_s=now_s, profiles=wanted.profiles,
        )  # fmt: skip
        ask(f"SLOT = {target.slot!r}\nLIFE = '{life.life:08x}'\n{_PROGRAM}{_FIRMWARE}{_ANNOUNCE}")
    give(ask, life, wanted.values, target, keys, where=where)
    if state.unused and state.life not in (0, life.life):
        key_file.withdraw_life(keys, state.life)  # it never ran, and the board has forgotten it
    beyond = state.held if state.fault else {}
    for gone, size in beyond.items():
        said(
            f"{where}: settings {state.fault}: {size} bytes of life {gone:08x} in its flash are beyond delivery, their key "
            "was there alone; the board removes them when it starts"
        )
    return life, beyond


def make_bridge(ask: Ask, target: Target, *, where: str, said: Callable[[str], None]) -> None:
    """Let the board be a bridge from its next start on: no life, no key. What it holds of earlier lives stays."""
    state = ask_state(ask, target.slot)
    for life in sorted(state.lives):
        said(
            f"{where}: the board was a node (life {life:08x}); what it has not delivered stays in its flash until it is made "
            "one again"
        )
    code = f"SLOT = {target.slot!r}\nRENAME = {target.staged!r}\nCONFIRMED = {target.confirmed}\n"
    ask(code + _PROGRAM + _FIRMWARE + _SWITCH_BRIDGE)


def _goes_on(present: key_file.Life, wanted: Wanted) -> bool:
    return (
        not present.until_s
        and (present.address, present.board, present.profiles) == (wanted.address, wanted.board, wanted.profiles)
        and wanted.name in ("", present.name)
        and wanted.key in (None, present.key)
    )


def give(
    ask: Ask, life: key_file.Life, values: Mapping[str, int], target: Target, keys: Path, *, where: str,
    on_path: bool = False,
) -> None:  # fmt: skip
    """The life into the key file, then onto the board. NoConnection: it is not known whether the board took it.

    `on_path`: the board's program is found without looking into its slot.
    """
    code = switch_code(life, values, target) + (_FIRMWARE + _SWITCH if on_path else SWITCH)
    known = keys.exists() and any(entry.life == life.life and not entry.void for entry in key_file.load_keys(keys))
    key_file.add_life(keys, life)
    try:
        ask(code)
        return
    except SteigerError as error:
        failed = error
    try:
        state = ask_state(ask, None if on_path else target.slot)
        if state.life == life.life:  # it was the answer that got lost
            if state.note:
                ask(code)
            return
    except SteigerError:
        raise NoConnection(
            f"the connection was lost while the board took its settings: whether it took them is not known ({failed.what})",
            where=where,
            next_step=f"Life {life.life:08x} stays in {keys}, nothing is lost. Check cable and supply, then run the same "
            f"command again: it asks the board first. Or see what it says: steiger monitor {where} --keys {keys}",
        ) from None
    if state.lacks(life.life) and not known:
        key_file.withdraw_life(keys, life.life)
    if "ValueError" in failed.what:
        raise UsageError(failed.what.split("ValueError:")[-1].strip(), where=where, next_step=_undelivered(state, keys))
    raise failed


def _undelivered(state: BoardState, keys: Path) -> str:
    """Which lives of the board wait, and for whose key."""
    present = {life.life for life in key_file.load_keys(keys)}
    foreign = sorted(f"{life:08x}" for life in state.lives - present)
    if not foreign:
        return ""
    return f"Lives {', '.join(foreign)} on the board are not in {keys}: another gateway has their keys"
