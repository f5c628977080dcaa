"""What a node that is heard over LoRa is told, and when: at most one message in the window after each of its uplinks.

Airtime is what a gateway has least of, so that most uplinks stay without an answer: only what asks is answered, what shows
that the node does not know that its records arrived, and what something waits for: a rate, a request, a profile.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

from gateway.downlink import Outgoing
from gateway.seqset import ACK_BITS, SeqSet
from wire import messages
from wire.frame import LORA

ASKING = (messages.HELLO, messages.RECORDS_ASK)


class Window(Outgoing, Protocol):
    """The window after one uplink: `send` takes one frame for it, and False means that it is over, full or forbidden."""

    receptions: bytes  # who heard the uplink and how well, as it is stored
    airtime_ms: int  # of the uplink: it began so long before it was received
    begins_ms: int  # when a downlink in it begins on air, by the gateway's clock
    held_ms: int  # between the end of the uplink and that

    answers: bool  # False: this gateway only listens, another one answers

    @property
    def open(self) -> bool: ...

    def heard_from(self, node: int, life: int, *, hello: bool) -> None:
        """The uplink was authentic and of this node."""
        ...

    def rate_for(self, node: int, life: int) -> messages.Rate | None:
        """What this node should be told about its rate now."""
        ...

    def rate_sent(self, node: int, life: int, rate: messages.Rate) -> None: ...

    def astray(self, node: int, life: int) -> bool:
        """The node was met where it is looked for now and then only: its rate goes before all else."""
        ...

    def proving(self, node: int, life: int) -> bool:
        """The node tries a new rate, and keeps it if this uplink is answered."""
        ...


def on_air(link: Outgoing | None) -> TypeGuard[Window]:
    return link is not None and link.kind == LORA


class Turn:
    """Whose turn it is in the windows of one node: acknowledgements first, but never for ever."""

    def __init__(self) -> None:
        self.asks = False  # the last uplink: what the node does next shows whether it was answered
        self._asked = False
        self._acked_last = False
        self._untold = SeqSet()  # seqs that came and that no answer has told
        self._far = 0  # where the last window far above the hole began
        self._far_last = False

    def heard(self, message_type: int, seqs: list[int], *, wanted: bool) -> None:
        """An uplink; `wanted`: an answer is worth airtime, even if it does not ask for one."""
        self.asks = message_type in ASKING
        self._asked = self._asked or wanted or self.asks
        for seq in seqs:
            self._untold.add(seq)

    @property
    def asked(self) -> bool:
        return self._asked

    def acknowledge_first(self, others: bool) -> bool:
        """Whether an acknowledgement goes into this window; `others`: something else waits for one."""
        return self._asked and not (others and self._acked_last)

    def acknowledged(self, cum: int, base: int) -> None:
        """An answer with this window went out; what lies beyond it is for the next one."""
        self._asked, self._acked_last = False, True
        self._untold.remove_range(0, cum)
        self._untold.remove_range(base, base + ACK_BITS)
        self._far_last = base > cum + 1
        if self._far_last:
            self._far = base

    def told_other(self) -> None:
        self._acked_last = False

    def window(self, received: SeqSet, cum: int) -> tuple[int, int]:
        """(base, bits): right above the first hole, so that all that is missing there is told as well, and by turns with that,
        one after the other, where something lies beyond that no answer has told. (0, 0): nothing lies above the hole."""
        above = [start for start, _ in received.ranges() if start > cum]
        if not above:
            return 0, 0
        reach = cum + 1 + ACK_BITS
        near = above[0] < reach and any(start < reach and end > cum for start, end in self._untold.ranges())
        far = [max(start, reach) for start, end in self._untold.ranges() if end > reach]
        if far and not (near and self._far_last):
            base = next((start for start in far if start > self._far), far[0])
        else:
            base = cum + 1 if above[0] < reach else above[0]
        return base, received.bits(base)
