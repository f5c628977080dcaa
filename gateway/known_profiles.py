"""The profiles of one life: what its records' numbers mean, and which windows each is scheduled for."""

from __future__ import annotations

from typing import NamedTuple

from gateway.differences import Item, totals_of
from gateway.models import AFTER_END
from gateway.store.group import ProfileRow
from gateway.store.reader import profile_info
from gateway.store.spool import Store
from wire.profiles import Profile, decode_profile

NEVER = 1 << 62


class KnownProfile(NamedTuple):
    row: int
    profile: Profile
    window_s: int
    window_ms: int
    totals: tuple[tuple[int, Item], ...]  # place in the profile, and item

    @classmethod
    def of(cls, row: int, profile: Profile) -> KnownProfile:
        return cls(row, profile, profile.window_s, profile.window_s * 1000, totals_of(profile))


class Profiles:
    """Of the life with this row in the store."""

    def __init__(self, life: int, store: Store, provisioned_s: int) -> None:
        self.life = life
        self._store = store
        self.provisioned_s = provisioned_s
        self.until_s = 0  # when the grid ended, 0: it goes on
        self.by_short: dict[int, KnownProfile] = {}  # by what records carry
        self.windows: dict[int, ProfileRow] = {}  # by row: since and until which window each is scheduled
        self.wanted: set[int] = set()  # shorts to ask for

    def know(self, row: ProfileRow) -> None:
        """A profile from the store."""
        profile = decode_profile(row.descriptor)
        known = KnownProfile.of(row.id, profile)
        self.by_short[profile.short] = known
        self.windows[row.id] = row
        self._store.profiles[row.id] = profile_info(row.id, profile)
        self.wanted.discard(profile.short)

    def add(self, profile: Profile, first_window: int = 0, ended: int = 0) -> bool:
        """A profile from the key file or from the node; True if it was not known. `first_window` 0: since provisioning."""
        descriptor = profile.encode()
        first_window = first_window or self.provisioned_s // profile.window_s
        for row in self.windows.values():
            if row.descriptor == descriptor and (row.ended_window == 0 or row.first_window == first_window):
                if ended and row.ended_window != ended:
                    self._put(row._replace(ended_window=ended))
                return False
        row_id = self._store.next_id("profile")
        self._put(ProfileRow(row_id, self.life, descriptor, first_window, ended))
        return True

    def _put(self, row: ProfileRow) -> None:
        self._store.add_profile(row)
        self.know(row)

    def by_row(self, row: int) -> KnownProfile:
        """A profile by its row, also one whose `short` another has taken over since."""
        profile = decode_profile(self.windows[row].descriptor)
        return KnownProfile.of(row, profile)

    def open(self) -> list[Profile]:
        """Those that are not known to have ended, the newest last."""
        return [decode_profile(row.descriptor) for _, row in sorted(self.windows.items()) if not row.ended_window]

    def present(self) -> list[Profile]:
        """Those that the node runs now, as far as is known: all that share the newest one's calibration."""
        found = self.open()
        return [profile for profile in found if profile.calibration == found[-1].calibration]

    def hour(self, known: KnownProfile, window: int) -> int:
        """What a window is counted under: the hour it starts in, or AFTER_END."""
        return AFTER_END if window >= self.end_window(known) else window * known.window_s // 3600

    def end_window(self, known: KnownProfile) -> int:
        """The first window that is no longer of the grid; the one that contains the end closes with it."""
        return -(-self.until_s // known.window_s) if self.until_s else NEVER
