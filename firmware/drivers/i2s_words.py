"""Words of an I2S receiver that are not yet samples: of both slots, or out of step with the clock. A pure function of
bytes; loaded by boards whose microphone needs it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:  # CPython: the same source, slowly
    from firmware.dsp.meter import micropython  # type: ignore[attr-defined,no-redef,assignment]

    class ptr32:  # type: ignore[no-redef]
        """32-bit items that wrap: of a buffer, which has address 0, or from an address on in the last buffer."""

        _items: "Any" = None

        def __init__(self, place: "Any") -> None:
            self._address = place if isinstance(place, int) else 0
            if not isinstance(place, int):
                ptr32._items = memoryview(place).cast("B").cast("i")

        def __int__(self) -> int:
            return self._address

        def __getitem__(self, at: int) -> int:
            item: int = ptr32._items[(self._address >> 2) + at]
            return item

        def __setitem__(self, at: int, value: int) -> None:
            ptr32._items[(self._address >> 2) + at] = (value + (1 << 31)) % (1 << 32) - (1 << 31)


@micropython.viper
def tidy(at: int, to: int, block, slots: int, late: int):  # type: ignore[no-untyped-def]
    """Make samples of what the receiver gave: the words of one slot, in step, at the front of the buffer.

    `at`: the slot (0 left, 1 right); `to`: the number of samples; `slots`: how many the receiver gave (of one alone
    `at` is 0); `late`: by how many clocks words come late: 1, 0 or -1 (early). Of a late word the first bit is none of
    its own. Of an early one the sign is lost: the bit below it stands for it, which is right for whatever stays below
    half of full scale.

    One loop for every wiring: the meter behind it leaves little time. Viper keeps its first two arguments in registers:
    they become addresses, for a word at an address takes one instruction where one of an index takes four.
    """
    first = int(ptr32(block))
    end = (to << 2) + first
    to = first
    at = (at << 2) + first
    slots <<= 2
    up = 1
    up = up << 31 << 1 >> 27  # 0; 32 where integers have 64 bits, for there items are read without a sign
    down = ((1 - late) >> 1) + up
    up += (late + 1) >> 1
    while to < end:
        ptr32(to)[0] = ptr32(at)[0] << up >> down
        at += slots
        to += 4
