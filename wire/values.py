"""How the values of a frame's records become numbers: what is expected, how surely, and folding.

Every value v is written as the number u of `wire.bits` with the parameter k; p is what was expected. bits(n) is the
length of n without leading zeros; `//` and `>>` round down; `low`, `centre` … are columns of `wire.channels`.

Unlearned values. p = `centre`, k = `width`. For an item with a partner whose value in the same record is there, p =
that value + `lead`, k = `width` - 1. A SAMPLE item that rests on n > 0 events has p = `centre` and k = `width` -
(bits(n) >> 1), one that rests on n <= 0 has p = 0 and k = 0. An EVENTS channel has, instead of its `width`,
bits(window_s) - 2, at least 1: a vehicle every four seconds. k is at least 0. (A partner is the item of that channel
with the same instance, if it stands before the item in the profile, else there is none.)

Learning. An item learns from each of its values in the frame, except a SAMPLE that rests on n <= 0 events (n = 1
where their number is missing); such values, and the first that is learned from, are written as unlearned. Where the
partner's value is missing but was there for the item's value before, or the reverse, the item forgets what it has
learned (not a SAMPLE). Let x be the value, less its partner's where that is there (not for SAMPLE). E is the running
expectation of x in sixteenths: 16 * x after the first value learned, and for the i-th one (i = 2, 3 …) D = 16 * x -
E is formed and E changed: LAST by D, BLEND by D >> 1, the others by D // i for i < 4 and by D >> 2 from then on.

Learned values. p = (E + 8) >> 4, plus the partner's value. M is the sum of the numbers so far in eighths: 16 *
`step` (EVENTS: 8) at first, so that the expectation of the tables weighs as much as one value; each value learned
but the first adds 8 * min(u, 65535) >> h (<< -h if h < 0), where h is 0, for EVENTS (bits(max(p, 1)) + 1) >> 1, for
SAMPLE -(bits(n) >> 1). k = h + j, kept within 0 and 24, with the smallest j >= 0 for which 32 * i * 2**j >= 3 * M, i
being the values learned so far.

Folding. p is first raised to `low` (to -2**31 in a frame that says *wide*). With d = v - p and m = p - low: |d| <= m
gives u = 2 * d for d >= 0 and u = -2 * d - 1 for d < 0; all that is beyond gives u = d + m.
"""

from wire.bits import bit_length
from wire.channels import BLEND, EVENTS, LAST, SAMPLE, by_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wire.profiles import Profile

    Item = tuple[int, ...]

VALUE_LOW = -(1 << 31)
VALUE_HIGH = (1 << 31) - 1
_K_MAX = 24


def plan(profile: "Profile") -> "tuple[Item, ...]":
    """What the codec needs of each item: (mode, low, centre, width, M at the start, index of the partner or -1, lead,
    min_count). A partner counts only if it stands before the item and has the same instance."""
    if profile.plan is None:
        profile.plan = _plan(profile)
    return profile.plan


def _plan(profile: "Profile") -> "tuple[Item, ...]":  # seldom
    items = []
    places: dict[tuple[int, int], int] = {}
    for channel_id, instance in profile.items:
        channel = by_id(channel_id)
        partner = places.get((channel.partner, instance), -1)
        width = channel.width
        size = channel.step << 4
        if channel.mode == EVENTS:
            width = max(bit_length(profile.window_s) - 2, 1)
            size = 8
        items.append((channel.mode, channel.low, channel.centre, width, size, partner, channel.lead, channel.min_count))
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
        self._alone = [False] * len(items)  # the partner was missing

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
        else:
            alone = item[5] >= 0 and beside is None
            if alone != self._alone[i]:
                self._alone[i] = alone
                self._seen[i] = 0
                self._size[i] = item[4]
            self._beside = beside or 0
        if not self._learns or not self._seen[i]:
            return first(item, values)
        p = (self._expected[i] + 8 >> 4) + self._beside
        if mode == EVENTS:
            self._shift = bit_length(max(p, 1)) + 1 >> 1
        size = 3 * self._size[i]
        bound = self._seen[i] << 5
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
