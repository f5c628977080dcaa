"""What the state of a line means for the person who watches it: silence, a node that nobody answers, a stopped board."""

from __future__ import annotations

from typing import Any, NamedTuple

NEVER_HEARD_S = 15.0  # since the monitor began: told early, most often it is the cable or a stopped board
SILENT_S = 75.0  # a record comes each minute, and a board that nobody answers says hello as often
PROMPT = ">>>"
HELLOS_UNANSWERED = 2  # beside a gateway: its answer to the first one may be on its way


class Advice(NamedTuple):
    """`code` is an entry of tools.monitor_words; `facts` fill it."""

    code: str
    facts: dict[str, Any]


class Watch:
    """Fed with what is heard and with the time (seconds, any origin). `tap`: a gateway holds the port and may answer."""

    def __init__(self, now_s: float, *, tap: bool) -> None:
        self._tap = tap
        self._heard_s = now_s
        self._due_s = [NEVER_HEARD_S, SILENT_S]
        self._hellos: dict[int, int] = {}  # node -> hellos since the last answer

    def heard(self, now_s: float) -> None:
        self._heard_s = now_s
        self._due_s = [SILENT_S]

    def silence(self, now_s: float) -> Advice | None:
        """Once when its time has come, after NEVER_HEARD_S or SILENT_S."""
        silent_s = now_s - self._heard_s
        if not self._due_s or silent_s < self._due_s[0]:
            return None
        self._due_s.pop(0)
        return Advice("silent_tap" if self._tap else "silent", {"s": int(silent_s)})

    def text(self, line: str) -> Advice | None:
        return Advice("prompt", {}) if line.strip() == PROMPT else None

    def frame(self, item: dict[str, Any]) -> Advice | None:
        """`item`: a decoded frame, opened or not."""
        node = item.get("node")
        if node is None:
            return None
        if item.get("direction") == "down" or item["type"] != "hello":
            self._hellos.pop(node, None)  # whoever sends records was answered
            return None
        self._hellos[node] = self._hellos.get(node, 0) + 1
        if self._tap:
            return Advice("not_answered", {}) if self._hellos[node] == HELLOS_UNANSWERED else None
        if not item["ok"]:
            return Advice("no_gateway_closed", {})
        return Advice("no_gateway", {"n": int(item["next_seq"]) - int(item["oldest_seq"])})
