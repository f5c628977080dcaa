"""When the link may be used: every `exchange_s`, until nothing waits on either end, or nobody answers."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from firmware.session import Session

LINGER_MS = 500  # after the last word: a gateway's questions ride behind its acknowledgement
LOOK_MS = 250
AIR_MS = 30000  # some frames of SF12 with their windows, and busy channels
EARLY_MAX_MS = 5000  # exchanges follow windows: one that ends a little before its time comes along


class Exchange:
    """`by_itself`: opens when it is due (a buffered board); else `begin` does (one that sleeps)."""

    def __init__(self, clock: "Any", get: "Callable[[str], int]", sessions: "list[Session]", by_itself: bool) -> None:
        self.is_open = False
        self.due_ms = 0
        self.on_air = False  # over LoRa frames go without answers, and wait for their turn
        self._clock = clock
        self._get = get
        self._sessions = sessions
        self._by_itself = by_itself
        self._until_ms = 0
        self._idle_ms: "int | None" = None
        self._answered = 0

    def begin(self, now_ms: int) -> None:
        """Use the link from now on."""
        every_ms = self._get("exchange_s") * 1000
        self.due_ms = now_ms + every_ms - min(every_ms // 10, EARLY_MAX_MS)
        self.is_open = True
        self._idle_ms = None
        self._answered = -1
        for session in self._sessions:
            session.call_again()

    def _over(self, now_ms: int) -> bool:
        """Whether nothing waits any more, or no answer came for too long."""
        answered = 0
        idle = True
        for session in self._sessions:
            answered += session.answered
            if self.on_air:
                answered += session.sent
            idle = idle and session.idle()
        if answered != self._answered:
            self._answered = answered
            self._until_ms = now_ms + self._get("exchange_wait_s") * 1000
            if self.on_air:
                self._until_ms += self._get("lora_spread_s") * 1000 + AIR_MS
        if not idle:
            self._idle_ms = None
        elif self._idle_ms is None:
            self._idle_ms = now_ms
        elif now_ms - self._idle_ms >= LINGER_MS:
            return True
        return now_ms >= self._until_ms

    def rest_ms(self, now_ms: int, rest_ms: int) -> int:
        """Look whether the link may be used (`is_open`); how long to wait at most until the next look."""
        if self.is_open and self._over(now_ms):
            self.is_open = False
        if not self.is_open and self._by_itself and now_ms >= self.due_ms:
            self.begin(now_ms)
        if self.is_open:
            return LOOK_MS
        return min(rest_ms, max(self.due_ms - now_ms, 1)) if self._by_itself else LOOK_MS
