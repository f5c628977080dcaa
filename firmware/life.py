"""A life of a board: from one provisioning to the next. Its keys, numbers, outbox and profiles; the present one
measures, earlier ones drain."""

import os

from firmware import grid
from firmware.leases import Leases
from firmware.outbox import entries
from firmware.outbox.log import Outbox
from firmware.settings import stem
from wire import BOOT, UTC, crypto
from wire.profiles import decode_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.clock import Clock
    from wire.profiles import Profile


def flash_blocks(path: str) -> "tuple[int, int]":
    """(free, all) blocks of the file system that holds `path`."""
    facts = os.statvfs(path or "/")
    return facts[3], facts[2]


class Life:
    """`stored`: its part of the settings' payload (firmware/settings.py). LeaseLost: it must not transmit."""

    def __init__(  # seldom
        self,
        root: str,
        stored: dict,
        clock: "Clock",
        boot: int,
        budget: int,
        free: "Any" = flash_blocks,
        numbers: "dict[int, tuple[int, int]] | None" = None,
    ) -> None:
        """`numbers`: next counter and seq by life, known from before a deep sleep."""
        self.stored = stored
        self.address: int = stored["address"]
        self.provisioned_s: int = stored["provisioned_s"]
        self.keys = crypto.subkeys(bytes.fromhex(stored["key"]))
        self.id: int = self.keys.life
        self._root = root
        self._clock = clock
        self._boot = boot
        self.leases = Leases(stem(root, "lease", self.id))
        if numbers and self.id in numbers:
            self.leases.resume(*numbers[self.id])
        self.outbox = Outbox(stem(root, "outbox", self.id), self.id, self.leases, budget, free)
        self._profiles: "dict[int, Profile]" = {}

    def now(self) -> tuple:
        """The time of what happens now, as records carry it."""
        if self._clock.synced:
            return (UTC, self._clock.utc_s())
        return (BOOT, self._boot, self._clock.uptime_ms())

    def event(self, code: int, arg: int = 0) -> "tuple[int, int]":  # seldom
        """Put an event into the outbox; its place."""
        body = entries.list_body(self.outbox.state.next_seq, self.now(), [code, arg])
        return self.outbox.put([(entries.EVENT, body)])

    def profile(self, short: int) -> "Profile | None":
        """The profile that a record of this life names."""
        return self._profiles.get(short) or self._stored_profile(short)

    def _stored_profile(self, short: int) -> "Profile | None":  # seldom
        for descriptor, _, _, _ in self.stored["grids"]:
            profile = decode_profile(bytes.fromhex(descriptor))
            if profile.short == short:
                self._profiles[short] = profile
                return profile
        return None

    def forget_profiles(self) -> None:  # seldom
        """`stored` has fewer than before."""
        self._profiles = {}

    def descriptor(self, short: int) -> "tuple[int, int, Profile] | None":  # seldom
        """(first window, ended before window or 0, profile)."""
        profile = self.profile(short)
        if profile is not None:
            for descriptor, _, first, ended in self.stored["grids"]:
                if bytes.fromhex(descriptor) == profile.encode():
                    return first, ended, profile
        return None

    def active(self) -> "list[tuple[int, Profile, int]]":  # seldom
        """(slot, profile, first window) of the grids that run."""
        return [(g[1], decode_profile(bytes.fromhex(g[0])), g[2]) for g in self.stored["grids"] if g[3] == 0]

    def settle(self) -> None:  # seldom
        """Account for grids that have ended: of an earlier life all of them, at its end; of the present one those
        replaced."""
        until_s = self.stored.get("until_s", 0)
        for descriptor, _, first, ended in self.stored["grids"]:
            profile = decode_profile(bytes.fromhex(descriptor))
            grids = self.outbox.state.grids
            if not ended:
                if not until_s:
                    continue
                ended = grid.last_index(until_s, profile.window_s) + 1
                if profile.short not in grids and self.outbox.state.next_seq == 0:
                    body = grid.grid_body(profile.short, profile.window_s, first, 0)
                    self.outbox.put([(entries.GRID, body)])
            if profile.short in grids:
                grid.end_grid(self.outbox, profile.short, ended)

    def erase(self) -> None:  # seldom
        """All of it is delivered and a newer life is there: remove its files."""
        self.outbox.close()
        remove_folder(self.outbox.path)
        for copy in (".a", ".b"):
            os.remove(stem(self._root, "lease", self.id) + copy)


def remove_folder(folder: str) -> None:  # seldom
    """With the files in it."""
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
    os.rmdir(folder)
