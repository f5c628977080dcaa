"""The one table of what can be measured.

A value travels and is stored as the integer `value * 10**decimals`, and `low` and `high` are in those raw units:
the ESP32's floats are single precision. Units are UCUM codes. Ids are append-only: a row may be added at the end,
none is ever changed or reused (`tests/vectors/channels.json` holds the frozen table).

Privacy rule: a window that rests on fewer than `min_count` events, or that is shorter than `min_window_s`, never
carries a value of the channel: the mean of one vehicle is that vehicle, and levels faster than a second follow speech.

The last six columns are what the records codec expects before it has seen anything. They come from physics, from
the sensors' resolution and from what cities usually are, never from a recorded series; a value that differs costs
bits and nothing else. Raw units: `centre` is where a value usually lies and 2**`width` how far around it it usually
scatters; `step` is the usual change from one window to the next; `partner` is the id of the channel (0: none) that it
follows, `lead` how far it usually lies above that one: coarse dust contains the fine dust, a maximum lies above
its mean. The partner of a SAMPLE channel is the number of events that it rests on, that of a TOTAL the count whose events
it adds up. The width of an EVENTS channel comes from the window's length. They are part of the wire format: changing one needs a new wire version.
"""

from collections import namedtuple

MEAN = 0  # arithmetic mean over the window
ENERGY = 1  # level of the mean energy (Leq)
MAX = 2  # highest (or, where the name says so, lowest) value within the window
PERCENTILE = 3  # value exceeded or not exceeded in a share of the window, as the name says
COUNT = 4  # events in the window
SUM = 5  # sum over the window
TOTAL = 6  # events since counting began, beside a mark of that beginning (wire.totals)

KINDS = ("mean", "energy mean", "max", "percentile", "count", "sum", "total")

# How the records codec predicts the channel (wire/values.py says what each mode means).
LAST = 0  # the value before
BLEND = 1  # half the value before, half what was expected of it
AVERAGE = 2  # the mean of the values before
EVENTS = 3  # the same for a count, which scatters by the square root of itself
SAMPLE = 4  # the same for a statistic of single events, which scatters by the root of their number

MODES = ("last", "blend", "average", "events", "sample")

Channel = namedtuple(
    "Channel", "id name unit decimals low high kind min_count min_window_s mode centre width step partner lead"
)

CHANNEL_COUNT = 123  # rows of wire.channel_table

_made: "dict[int, Channel]" = {}


def by_id(channel_id: int) -> Channel:
    """The channel with this id; KeyError if there is none."""
    if channel_id not in _made:
        if not 1 <= channel_id <= CHANNEL_COUNT:
            raise KeyError(channel_id)
        from wire.channel_table import row

        _made[channel_id] = Channel(channel_id, *row(channel_id))
    return _made[channel_id]


def id_of(name: str) -> int:
    """The id of the channel with this name; KeyError if there is none. Makes no row of it."""
    from wire.channel_table import id_of as find

    return find(name)


def by_name(name: str) -> Channel:
    """The channel with this name; KeyError if there is none."""
    return by_id(id_of(name))


def __getattr__(name: str) -> "tuple[Channel, ...]":
    """`CHANNELS`, the whole table as a tuple: for hosts, and made when it is first asked for."""
    if name != "CHANNELS":
        raise AttributeError(name)
    table = tuple([by_id(channel_id) for channel_id in range(1, CHANNEL_COUNT + 1)])
    globals()[name] = table
    return table
