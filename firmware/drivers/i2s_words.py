"""Words of an I2S receiver that are not yet samples: of both slots, or out of step with the clock. Pure functions of
bytes; loaded by boards whose microphone needs them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:  # CPython: the same source, slowly

    class ptr32:  # type: ignore[no-redef]
        """32-bit items that wrap."""

        def __init__(self, buffer: "Any") -> None:
            self._items = memoryview(buffer).cast("B").cast("I")

        def __getitem__(self, at: int) -> int:
            return self._items[at]

        def __setitem__(self, at: int, value: int) -> None:
            self._items[at] = value & 0xFFFFFFFF

    class micropython:  # type: ignore[no-redef]
        """What of the module is used here."""

        @staticmethod
        def viper(function: "Any") -> "Any":
            """The pointer is made of the buffer, as the annotation says."""
            return lambda words, *rest: function(ptr32(words), *rest)


# The pointer is an argument, for the first three locals lie in registers: the meter behind it leaves little time.


@micropython.viper
def pick(words: ptr32, frames: int, slot: int):  # type: ignore[no-untyped-def]
    """Of frames of two words keep the one of `slot` (0 left, 1 right), at the front of the buffer."""
    at = 0
    while at < frames:
        words[at] = words[slot]
        at += 1
        slot += 2


@micropython.viper
def move(words: ptr32, count: int, late: int):  # type: ignore[no-untyped-def]
    """Put each word where its first bit should have come: `late` by one clock (1), or one clock early (-1).

    Of a late word the first bit is none of its own. Of an early one the sign is lost: the bit below it stands for it,
    which is right for whatever stays below half of full scale.
    """
    if late > 0:
        while count:
            count -= 1
            words[count] = words[count] << 1
        return
    late <<= 31  # the top bit; a port of 64 bits reads items without a sign, so that the shift alone does not keep it
    while count:
        count -= 1
        words[count] = words[count] >> 1 | words[count] & late


@micropython.viper
def pick_late(words: ptr32, frames: int, slot: int):  # type: ignore[no-untyped-def]
    """Both of it in one go, for words a clock late: one after the other they would take more time than there is."""
    at = 0
    while at < frames:
        words[at] = words[slot] << 1
        at += 1
        slot += 2


def tidy(block: "Any", samples: int, slot: "int | None", late: int) -> None:
    """Make words of one slot and in step of what the receiver gave, in place. `slot` None: there is but one."""
    if slot is not None and late > 0:
        pick_late(block, samples, slot)
        return
    if slot is not None:
        pick(block, samples, slot)
    if late:
        move(block, samples, late)
