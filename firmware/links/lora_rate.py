"""What a node transmits with over LoRa: spreading factor, power, channels; what a gateway commands of it, and what silence
changes. No I/O.

A commanded rate is taken when it is due; the one before it stays as a way back until an uplink at the new one was answered.
Silence: from `SILENT` asks in a row without an answer on, a node sends with all the power that the law leaves it, by turns
at its own SF and at `lora_rendezvous_sf`, with longer and longer pauses. What is answered holds from then on.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SILENT = 3
UNPROVEN = 2  # the same at a rate of which nothing was answered yet: back to the one before
POWER_MAX_DBM = 22  # what a chip gives; the link takes off what the law forbids
CHANNELS = 255  # those that a region has
HOUR_MS = 3600000


class Rate:
    """`get(name)` reads a setting; `random_bytes(count)` is seeded in tests."""

    def __init__(self, get: "Callable[[str], int]", random_bytes: "Callable[[int], bytes]") -> None:
        self.missed = 0  # asks of the present life in a row that were not answered
        self.calls = False  # under silence: the next frame calls for an answer, in its turn
        self.spare = True  # the budget of airtime has something left for what is old
        self.said_ms = -HOUR_MS  # uptime at which the node said that its budget is spent
        self.test: "Any" = None  # firmware.links.lora_range.RangeTest, while one runs
        self._get = get
        self._random_bytes = random_bytes
        self._own = (get("lora_sf"), get("lora_power_dbm"), get("lora_channels"))
        self._next: "tuple[int, ...] | None" = None  # due, sf, power, channels
        self._former: "tuple[int, int, int] | None" = None

    def random(self, limit: int) -> int:
        """From 0 to below `limit`."""
        return int.from_bytes(self._random_bytes(4), "big") % limit

    def present(self) -> "tuple[int, int, int]":
        """SF, power in dBm and mask of channels for the next frame."""
        if self.calls and self.elsewhere():
            return self._get("lora_rendezvous_sf"), POWER_MAX_DBM, self._get("lora_channels")
        if self.silent():
            return self._own[0], POWER_MAX_DBM, self._own[2]
        return self._own

    def silent(self) -> bool:
        """Whether too many asks were not answered."""
        return self.missed >= SILENT

    def elsewhere(self) -> bool:
        """Whether the next call goes out where a gateway looks for those that it misses."""
        return self.missed >= SILENT and (self.missed - SILENT) % 2 == 1

    def unproven(self) -> bool:
        """Whether nothing was answered yet at this rate."""
        return self._former is not None

    def command(self, message: "Any", now_ms: int) -> None:
        """A wire.messages.Rate that came now."""
        wanted = (message.sf, message.power_dbm, message.channels & CHANNELS)
        if wanted[2]:
            self._next = None if wanted == self.present() else (now_ms + message.after_s * 1000,) + wanted

    def look(self, now_ms: int) -> None:
        """Take what is due."""
        if self._next is not None and now_ms >= self._next[0]:
            if self._former is None:
                self._former = self._own
            self._own = self._next[1:]  # type: ignore[assignment]
            self._next = None
            self.missed = 0

    def answered(self) -> None:
        """The last uplink was."""
        self._own = self.present()
        self._former = None
        self.missed = 0

    def miss(self) -> None:
        """The last uplink asked and was not answered."""
        self.missed += 1
        if self._former is not None and self.missed >= UNPROVEN:
            self._own = self._former
            self._former = None
            self.missed = 0

    def pause_ms(self, missed: int) -> int:
        """How long to wait after so many asks without an answer: at random from one to two times a base that grows."""
        base_ms = 10000 << missed if missed < SILENT else min(30000 << min(missed - 1, 9), 450000)
        return base_ms + self.random(base_ms)

    def keep(self) -> "list[int | None]":
        """What `resume` needs after a deep sleep."""
        kept: "list[int | None]" = [self.missed, self.said_ms]
        kept += self._own
        kept += self._next or (None,) * 4
        kept += self._former or (None,) * 3
        return kept

    def resume(self, kept: "list[Any]") -> None:
        """Go on where `keep` was called."""
        self.missed, self.said_ms = kept[:2]
        self._own = tuple(kept[2:5])
        self._next = None if kept[5] is None else tuple(kept[5:9])
        self._former = None if kept[9] is None else tuple(kept[9:12])  # type: ignore[assignment]
