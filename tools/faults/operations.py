"""What a fault is made of. Virtual and real time do each of these in their own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path


class Operations(ABC):
    """`node` is always an index, from 0; times are seconds."""

    @property
    @abstractmethod
    def now_s(self) -> float:
        """Since provisioning."""

    @abstractmethod
    def later(self, after_s: float, call: Callable[[], object]) -> None: ...

    @abstractmethod
    def gateway_runs(self) -> bool: ...

    @abstractmethod
    def start_gateway(self) -> None: ...

    @abstractmethod
    def kill_gateway(self) -> None: ...

    @abstractmethod
    def announce(self) -> None:
        """The gateway's orders have changed."""

    @abstractmethod
    def powered(self, node: int) -> bool: ...

    @abstractmethod
    def power_on(self, node: int) -> None: ...

    @abstractmethod
    def power_off(self, node: int) -> None: ...

    @abstractmethod
    def cut_in_flash(self, node: int, operations: int, torn: int) -> None:
        """Take the power away during that flash operation from now on."""

    @abstractmethod
    def power_cuts(self, node: int) -> int: ...

    @abstractmethod
    def uptime_ms(self, node: int) -> int: ...

    @abstractmethod
    def cable(self, node: int, connected: bool) -> None: ...

    @abstractmethod
    def noise(self, node: int, seed: int, kind: str, rate: float) -> None:
        """Both ways; rate 0: clean again."""

    @abstractmethod
    def keep_back(self, node: int, pause_s: float) -> None: ...

    @abstractmethod
    def line_counts(self, node: int) -> dict[str, int]:
        """Bytes so far: "hit" by the noise in force, "late", "lost" without a cable."""

    @abstractmethod
    def stall(self, node: int, erase_us: int) -> int:
        """How many erases were stalled so far."""

    def broker(self, state: str, number: int) -> str:
        """What to do with a real broker; returns the state for the orders."""
        return state

    def fill_disk(self, full: bool) -> bool:
        """Fill a real disk, or free it; False if there is none, and the error has to be made."""
        return False

    def disk_refusals(self) -> int:
        """How often a real disk has refused so far."""
        return 0

    @abstractmethod
    def flash(self, node: int) -> Path:
        """The image as a power cut at this instant leaves it."""
