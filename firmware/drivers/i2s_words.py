"""Words of an I2S receiver that are not yet samples: of both slots, or out of step with the clock. Pure functions of
bytes; loaded by boards whose microphone needs them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:  # CPython: the same source, slowly

    class micropython:  # type: ignore[no-redef]
        """What of the module is used here."""

        @staticmethod
        def viper(function: "Any") -> "Any":
            """Leave it as it is."""
            return function

    def ptr16(buffer: "Any") -> "Any":
        """Unsigned 16-bit items."""
        return memoryview(buffer).cast("B").cast("H")


@micropython.viper
def pick(words, frames: int, slot: int):  # type: ignore[no-untyped-def]
    """Of frames of two words keep the one of `slot` (0 left, 1 right), at the front of the buffer."""
    p = ptr16(words)
    at = 0
    end = 2 * frames
    other = 2 * slot
    while at < end:
        p[at] = p[other]
        p[at + 1] = p[other + 1]
        at += 2
        other += 4


@micropython.viper
def move(words, count: int, late: int):  # type: ignore[no-untyped-def]
    """Put each word where its first bit should have come: `late` by one clock (1), or one clock early (-1).

    Of a late word the first bit is none of its own. Of an early one the sign is lost: the bit below it stands for it,
    which is right for whatever stays below half of full scale.
    """
    p = ptr16(words)
    at = 0
    end = 2 * count
    while at < end:
        low = p[at]
        high = p[at + 1]
        if late > 0:
            p[at] = (low << 1) & 65535
            p[at + 1] = ((high << 1) | (low >> 15)) & 65535
        else:
            p[at] = (low >> 1) | ((high & 1) << 15)
            p[at + 1] = (high >> 1) | (high & 32768)
        at += 2


def tidy(block: "Any", samples: int, slot: "int | None", late: int) -> None:
    """Make words of one slot and in step of what the receiver gave, in place. `slot` None: there is but one."""
    if slot is not None:
        pick(block, samples, slot)
    if late:
        move(block, samples, late)
