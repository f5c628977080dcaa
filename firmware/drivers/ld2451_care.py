"""What a HLK-LD2451's driver seldom does: set the chip up, test it."""

from firmware.drivers import SensorError, const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from firmware.drivers import TestRow

    Command = Callable[..., Awaitable[bytes]]

_ENABLE = const(0x00FF)
_END = const(0x00FE)
_SET_DETECTION = const(0x0002)
_SET_SENSITIVITY = const(0x0003)
_GET_DETECTION = const(0x0012)
_GET_SENSITIVITY = const(0x0013)
_FIRMWARE = const(0x00A0)


async def set_up(command: "Command", detection: bytes, snr_threshold: int) -> str:
    """Configure the chip; what it is. SensorError NO_ANSWER, REFUSED."""
    await command(_ENABLE, b"\x01\x00")
    identity = "HLK-LD2451 firmware " + _version(await command(_FIRMWARE))
    # It keeps its settings in flash: write only what differs.
    if (await command(_GET_DETECTION))[:4] != detection:
        await command(_SET_DETECTION, detection)
    if snr_threshold:
        sensitivity = bytes((2, snr_threshold, 0, 0))
        if (await command(_GET_SENSITIVITY))[:4] != sensitivity:
            await command(_SET_SENSITIVITY, sensitivity)
    await command(_END)
    return identity


async def self_test(command: "Command", parser: "Any", tracker: "Any") -> "list[TestRow]":
    """Answer, frames thrown away, and whether its direction agrees with its distances."""
    rows = []
    try:
        await command(_ENABLE, b"\x01\x00")
        await command(_END)
        rows.append(("answers", True, parser.frames))
    except SensorError as error:
        rows.append((str(error), False, error.detail))
    dropped = parser.thrown()
    rows.append(("frames dropped", dropped * 100 <= parser.frames, dropped))
    rows.append(("direction contradicts distance", tracker.contradicting <= tracker.agreeing, tracker.contradicting))
    return rows


def _version(answer: bytes) -> str:
    """`51 24 01 01 10 15 05 24` -> V1.01.24051510."""
    if len(answer) < 8:
        return "unknown"
    return "V%x.%02x.%02x%02x%02x%02x" % (answer[3], answer[2], answer[7], answer[6], answer[5], answer[4])
