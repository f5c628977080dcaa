"""The layout of several settings in one message (wire/messages.py). A board loads it when it is calibrated."""

from wire import WireError
from wire.messages import INSTANCE, SETTING_FIELD, SETTINGS_MAX, U8, put, take
from wire.settings import permits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BYTES = 7


def _put(out: bytearray, settings: "tuple[tuple[int, int, int], ...]") -> None:
    """(id u8, instance u8, value of 5 bytes) of each setting, to the end of the payload; none that its table forbids."""
    if not isinstance(settings, (tuple, list)) or len(settings) > SETTINGS_MAX:
        raise ValueError("settings")
    for setting in settings:
        if not isinstance(setting, (tuple, list)) or len(setting) != 3:
            raise ValueError("settings")
        put(out, U8, setting[0])
        put(out, INSTANCE, setting[1])
        put(out, SETTING_FIELD, setting[2])
        if not permits(*setting):
            raise ValueError("setting")


def _take(data: bytes, at: int) -> "tuple[Any, int]":
    found: "list[Any]" = []
    while at < len(data):
        setting = (take(data, at, U8), take(data, at + 1, INSTANCE), take(data, at + 2, SETTING_FIELD))
        if not permits(*setting):  # type: ignore[arg-type]
            raise WireError("range")
        found.append(setting)
        at += _BYTES
    if len(found) > SETTINGS_MAX:
        raise WireError("long")
    return tuple(found), at


PUT: "dict[str, Any]" = {"settings": _put}
TAKE: "dict[str, Any]" = {"settings": _take}
