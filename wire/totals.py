"""What a value of a TOTAL channel says, and the difference of two of them.

A value is mark << 24 | events: the events since counting began, modulo 2**24, and 6 bits that tell one beginning from
another. A node that starts again counts from 0 under another mark; so no difference is ever taken across a restart,
and what was counted since then is what the later value says by itself. Marks repeat (32 starts, or two new beginnings
within one): if none of those between left a value behind, two beginnings may look like one, and the difference is too low.
"""

EVENTS_BITS = 24
EVENTS_MASK = (1 << EVENTS_BITS) - 1
_QUARTER = 1 << EVENTS_BITS - 2


def total(mark: int, events: int) -> int:
    """The value of `events` since the beginning that `mark` names; of both the low bits count."""
    return (mark & 63) << EVENTS_BITS | events & EVENTS_MASK


def events_of(value: int) -> int:
    """Events since counting began, modulo 2**24."""
    return value & EVENTS_MASK


def difference(before: int, value: int) -> "tuple[int, bool]":
    """(events between two values, whether counting began anew between them: then those before that are not in it)."""
    old, new = events_of(before), events_of(value)
    same = before >> EVENTS_BITS == value >> EVENTS_BITS
    if same and (new >= old or (old >= 3 * _QUARTER and new < _QUARTER)):
        return new - old & EVENTS_MASK, False
    return new, True
