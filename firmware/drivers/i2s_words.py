"""What an I2S receiver delivers: how many bits, in step with the clock or not. Pure functions of bytes.

A word is 32 bits, little endian. The microphone's bits stand at its upper end; below them is what the line does while
nobody drives it: zeros, with a pull-down.
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
def look(words, count: int):  # type: ignore[no-untyped-def]
    """(OR of the upper halves, OR of the lower halves, how many words end in more than the microphone's bits).

    The last eight bits of a word are all alike whether a pull-down clears the line or it keeps its last state.
    """
    p = ptr16(words)
    at = 0
    end = 2 * count
    high = 0
    low = 0
    odd = 0
    while at < end:
        half = p[at]
        low |= half
        high |= p[at + 1]
        at += 2
        half &= 255
        if half != 0:
            if half != 255:
                odd += 1
    return (high, low, odd)


def width(high: int, low: int) -> int:
    """Bits from the top of a word down to the lowest that was ever set, at most 24; 0 when none was."""
    bits = 24
    upper = high << 8 | low >> 8
    while upper and not upper & 1:
        upper >>= 1
        bits -= 1
    return bits if upper else 0


def lateness(found: int, bits: int) -> int:
    """By how many clocks words of `found` bits come late, of a microphone that gives `bits`: 1, 0 or -1.

    Only where there is room for a doubt: a microphone of 24 bits is in step.
    """
    late = found - bits
    return late if bits < 24 and -1 <= late <= 1 else 0
