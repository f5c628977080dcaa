"""How the values of a frame's records become numbers: prediction, folding, and the size that is expected.

Every value v is written as the number u of `wire.bits` with the parameter k; p is what was expected.

Expectation, first value of an item in a frame: p is the channel's `centre` and k its `width`; for an item with a
partner whose value in the same record is known, p = partner's value + `lead` and k = `width` - 1 (not below 0). A SAMPLE item
that rests on n > 0 events has k = `width` - (bits(n) >> 1), one that rests on n <= 0 has p = 0 and k = 0. The `width`
of an EVENTS channel is bits(window_s) - 2, not below 1: a vehicle every four seconds.

Expectation, later values: let x be the value, or for an item with a partner (SAMPLE excepted) the value less its partner's. E is
a running expectation of x in sixteenths, set to 16 * x by the first value and changed by the i-th one (i = 2, 3 …) by
D = 16 * x - E: LAST adds D, BLEND D >> 1, the others D // i for i < 4 and D >> 2 from there on. p = (E + 8) >> 4 (plus
the partner's value). M is the size of the numbers so far in eighths, beginning with 64 * `step` (EVENTS: 32), to
which each of them adds 8 * min(u, 65535), shifted right by h; k = h + the smallest j with 4 * (8 << j) * (3 + i) >= 3 * M,
where the item has had i values, and k is kept within 0 and 24. h is 0; for EVENTS h = (bits(max(p, 1)) + 1) >> 1, for
SAMPLE h = -(bits(n) >> 1) (n = 1 if the number of events is missing). Where a partner is missing, or a SAMPLE rests on n <= 0
events, the value is written as if it were a first one, and changes neither E nor M.

Folding: p is raised to `floor`, the channel's `low` (-2**31 if the frame says *wide*). With d = v - p and m = p - floor:
|d| <= m gives u = 2 * d for d >= 0 and -2 * d - 1 for d < 0; beyond, u = d + m. `//` and `>>` round down.
"""

from wire.bits import bit_length
from wire.channels import AVERAGE, BLEND, EVENTS, LAST, SAMPLE, by_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wire.profiles import Profile

    Item = tuple[int, int, int, int, int, int, int, int]

VALUE_LOW = -(1 << 31)
VALUE_HIGH = (1 << 31) - 1
_K_MAX = 24


def plan(profile: "Profile") -> "tuple[Item, ...]":
    """What the codec needs of each item: (mode, low, centre, width, M at the start, index of the partner or -1, lead,
    min_count). A partner counts only if it stands before the item and has the same instance."""
    items = []
    places: dict[tuple[int, int], int] = {}
    for channel_id, instance in profile.items:
        channel = by_id(channel_id)
        partner = places.get((channel.partner, instance), -1)
        width = channel.width
        size = channel.step << 6
        if channel.mode == EVENTS:
            width = max(bit_length(profile.window_s) - 2, 1)
            size = 32
        items.append(
            (channel.mode, channel.low, channel.centre, width, size, partner, channel.lead, channel.min_count)
        )
        places[(channel_id, instance)] = len(items) - 1
    return tuple(items)


def first(item: "Item", values: "list[int | None]") -> tuple[int, int]:
    """(p, k) of an item without history."""
    partner = item[5]
    beside = values[partner] if partner >= 0 else None
    if beside is None:
        return item[2], item[3]
    if item[0] != SAMPLE:
        return beside + item[6], max(item[3] - 1, 0)
    if beside <= 0:
        return 0, 0
    return item[2], max(item[3] - (bit_length(beside) >> 1), 0)


def gated(item: "Item", values: "list[int | None]") -> bool:
    """Whether the item rests on fewer events than its privacy rule asks for, so that a value is not expected."""
    if item[0] != SAMPLE or item[5] < 0:
        return False
    count = values[item[5]]
    return count is not None and count < item[7]


def fold(value: int, p: int, floor: int) -> int:
    """u of a value >= floor."""
    if p < floor:
        p = floor
    d = value - p
    m = p - floor
    if d > m:
        return d + m
    return d << 1 if d >= 0 else (-d << 1) - 1


def unfold(u: int, p: int, floor: int) -> int:
    """The value of u."""
    if p < floor:
        p = floor
    if u > (p - floor) << 1:
        return u + floor
    return p - (u + 1 >> 1) if u & 1 else p + (u >> 1)


class Adaption:
    """E, M and the number of values of every item of a frame."""

    def __init__(self, items: "tuple[Item, ...]") -> None:
        self._items = items
        self._seen = [0] * len(items)
        self._expected = [0] * len(items)
        self._size = [item[4] for item in items]
        self._shift = 0
        self._beside = 0
        self._learns = False

    def expect(self, i: int, values: "list[int | None]") -> tuple[int, int]:
        """(p, k) of item `i`; `values` holds this record's values of the items before it. `learn` must follow."""
        item = self._items[i]
        mode = item[0]
        beside = values[item[5]] if item[5] >= 0 else None
        self._shift = 0
        self._beside = 0
        self._learns = True
        if mode == SAMPLE:
            if beside is None:
                beside = 1
            self._learns = beside > 0
            self._shift = -(bit_length(beside) >> 1) if self._learns else 0
        elif beside is not None:
            self._beside = beside
        elif item[5] >= 0:
            self._learns = False
        if not self._learns or not self._seen[i]:
            return first(item, values)
        p = (self._expected[i] + 8 >> 4) + self._beside
        if mode == EVENTS:
            self._shift = bit_length(max(p, 1)) + 1 >> 1
        size = 3 * self._size[i]
        bound = (3 + self._seen[i]) << 5
        k = self._shift
        while bound < size:
            bound <<= 1
            k += 1
        return p, 0 if k < 0 else min(k, _K_MAX)

    def learn(self, i: int, value: int, u: int) -> None:
        """Take the value that was expected last into account."""
        if not self._learns:
            return
        x = value - self._beside << 4
        self._seen[i] = seen = self._seen[i] + 1
        if seen == 1:
            self._expected[i] = x
            return
        u = min(u, 0xFFFF) << 3
        self._size[i] += u >> self._shift if self._shift >= 0 else u << -self._shift
        d = x - self._expected[i]
        mode = self._items[i][0]
        if mode == BLEND:
            d >>= 1
        elif mode != LAST:
            d = d // seen if seen < 4 else d >> 2
        self._expected[i] += d
