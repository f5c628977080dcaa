"""What both ends share, unchanged, under MicroPython and CPython.

Times are unix UTC. `UTC` and `BOOT` are the first item of a time tuple: `(UTC, end_s)` for a node that had a
clock, `(BOOT, boot, end_ms)` (milliseconds since boot number `boot`) for one that had not.
"""

UTC = 1
BOOT = 2

# Nothing was measured before this project, and nothing will be after the year 2100: a time outside is a fault.
UTC_LOW_S = 1_577_836_800  # 2020-01-01
UTC_HIGH_S = 4_102_444_800  # 2100-01-01
UPTIME_HIGH_MS = 0xFF_FFFF_FFFE  # 40 bits, 34 years


class WireError(Exception):
    """A payload that cannot be what its sender meant; `reason` is one of `REASONS` and is what gets counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# Every reason under which input is dropped, in any layer. Counters are keyed by them.
REASONS = (
    "short",  # fewer bytes than the layout needs
    "long",  # more bytes than the layout or the cap allows
    "noise",  # bytes between frames that are not text
    "escape",  # an escape byte without a byte to escape
    "fcs",  # check sequence differs
    "version",  # a wire version that this end does not read
    "type",  # unknown message type, or one of the other direction
    "address",  # for another node
    "answer",  # a downlink that answers none of the recent uplinks
    "tag",  # authentication failed
    "replay",  # a counter seen before
    "range",  # a field outside its declared range
    "profile",  # records of another profile than the one they are decoded by
)
