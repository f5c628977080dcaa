"""Giving a board its calibration: over its gateway wherever it hangs, or over the cable.

The set is kept before the board is told, so that no value is ever made under a number that nobody can explain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gateway.calibration import CalibrationSet, default, find_set, write_set
from tools.ask_node import ask
from tools.board_link import BoardLink
from tools.errors import NoConnection, SteigerError, UsageError
from tools.passports import Wish, changes, merged
from tools.sim.control import require_micropython
from wire.calibration import CALIBRATION, calibration
from wire.messages import SETTINGS_MAX
from wire.settings import by_name

# Of the program that runs; one that is older does not know of calibrations.
_PROGRAM = """
import os
root = os.getcwd().rstrip('/')
try:
    from firmware import calibrating, hal
except ImportError:
    calibrating = None
"""
_STATE = "answer = calibrating and calibrating.state(hal.unique_id(), root)\n"
_TAKE = "answer = calibrating.take(NEW, hal.unique_id(), root)\n"


class Target(Protocol):
    """A board that can be calibrated."""

    where: str

    def present(self) -> dict[str, int]:
        """Its settings of wire.calibration.CALIBRATION that are set, as they were set last."""

    def look_closer(self) -> bool:
        """Whether `present` knows better from now on than it did."""

    def give(self, number: int, chosen: tuple[tuple[int, int, int], ...]) -> bool:
        """Hand them over; False if the board refuses."""


class ByCable:
    """A board on a serial port. It runs its program again at `reset`."""

    def __init__(self, port: str, said: Callable[[str], None]) -> None:
        self.where = port
        self.address = 0
        require_micropython(port)
        self._link = BoardLink(port, said)
        self._said = said
        self._stands = False  # its program, since it was asked

    def present(self) -> dict[str, int]:
        self._said(f"{self.where}: asking the board for its calibration")
        told = self._ask(_PROGRAM + _STATE)
        if told is None:
            raise SteigerError(
                "the board's firmware is older than calibrations",
                where=self.where,
                next_step="Provision it anew: steiger node provision",
            )
        if told["full"]:
            raise SteigerError(
                "the board has changed so often that it must first deliver its records",
                where=self.where,
                next_step="Connect it to its gateway and calibrate it through that",
            )
        self.address = int(told["address"])
        return {name: int(value) for name, value in {**told["values"], **told["pending"]}.items()}

    def look_closer(self) -> bool:
        return False

    def give(self, number: int, chosen: tuple[tuple[int, int, int], ...]) -> bool:
        new = json.dumps({"number": number, "settings": chosen})
        return bool(self._ask(f"NEW = {new!r}\n{_PROGRAM}{_TAKE}"))

    def reset(self) -> None:
        """Let its program run again, if we have stopped it."""
        if self._stands:
            self._link.reset()

    def _ask(self, code: str) -> Any:
        try:
            answer = self._link.ask(code)
            self._stands = True
            return answer
        except SteigerError as error:
            if "NeedsProvisioning" in error.what:
                raise SteigerError(
                    "the board is not provisioned", where=self.where, next_step="First: steiger node provision"
                ) from None
            raise


class ByGateway:
    """A node that a running gateway hears."""

    def __init__(self, data_dir: Path, folder: Path, address: int, wait_s: float, said: Callable[[str], None]) -> None:
        self.where = f"node {address}"
        self.address = address
        self._data_dir = data_dir
        self._folder = folder
        self._wait_s = wait_s
        self.said = said
        self._asks = False

    def present(self) -> dict[str, int]:
        """By the number that its newest profile names; asked one by one if nobody here knows what that stands for."""
        if not self._asks:
            told = self._call("calibration")["number"]
            known = find_set(self._folder, int(told, 16)) if told is not None else None
            if known is not None:
                return dict(known.settings)
            self._asks = True
        self.said(f"{self.where}: asking it for each of its constants")
        found: dict[str, int] = {}
        used = 16
        for name in CALIBRATION:
            for instance in range(min(by_name(name).instances, used if name.startswith("cal_") else 16)):
                key = f"{name}.{instance}" if by_name(name).instances > 1 else name
                value = int(self._call("get-setting", name=name, instance=instance)["value"])
                if value != default(name):
                    found[key] = value
                elif name == "cal_item":
                    used = instance
                    break
        return found

    def look_closer(self) -> bool:
        before, self._asks = self._asks, True
        return not before

    def give(self, number: int, chosen: tuple[tuple[int, int, int], ...]) -> bool:
        if len(chosen) > SETTINGS_MAX:
            raise UsageError(
                f"{len(chosen)} settings would change, a message carries {SETTINGS_MAX}",
                where=self.where,
                next_step="Split the passport into two, or calibrate over the cable",
            )
        return bool(self._call("calibrate", number=f"{number:08x}", settings=chosen)["ok"])

    def _call(self, verb: str, **fields: Any) -> Any:
        return self.ask(verb, node=self.address, **fields)

    def ask(self, verb: str, **fields: Any) -> Any:
        """A verb of the gateway's control socket."""
        silent = NoConnection(
            f"no answer within {self._wait_s:g} s",
            where=self.where,
            next_step="Look at its supply and cable; one that sleeps needs a longer --wait; one whose firmware is "
            "older than calibrations is provisioned anew",
        )
        return ask(self._data_dir, verb, self._wait_s, silent, **fields)


class Calibrated(NamedTuple):
    """What came of it."""

    new: CalibrationSet
    before: str  # number of the set before
    kept: Path  # where the new set lies
    changed: bool


def calibrate(target: Target, folder: Path, wanted: Wish, *, replace: bool) -> Calibrated:
    """Keep the new set in `folder`, then give it to the board; SteigerError if that refuses."""
    while True:
        present = target.present()
        number = calibration(present)
        new = merged(present, find_set(folder, number), wanted, replace=replace)
        kept = write_set(folder, new)
        chosen = changes(present, new)
        if not chosen:
            if target.look_closer():  # what its records name is in force; another one may be waiting for a window's end
                continue
            return Calibrated(new, f"{number:08x}", kept, changed=False)
        if target.give(int(new.number, 16), chosen):
            return Calibrated(new, f"{number:08x}", kept, changed=True)
        if not target.look_closer():
            raise SteigerError(
                f"the board refuses calibration {new.number}: it has another one than it told, or changed too often",
                where=target.where,
                next_step="Let it deliver its records, then try again: steiger gateway status",
            )


def shown(target: Target, folder: Path) -> tuple[CalibrationSet | None, Mapping[str, int], str]:
    """(set, settings, number) of what the board has, the set None if nobody here keeps it."""
    present = target.present()
    number = calibration(dict(present))
    return find_set(folder, number), present, f"{number:08x}"
