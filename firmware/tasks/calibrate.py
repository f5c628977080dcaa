"""Takes a calibration that a gateway gives, without what answers its other questions: a heap that is nearly full has room for
one of them. Loaded when one comes, and forgotten."""

from firmware import forget, profiles
from firmware.settings import Settings
from firmware.tasks import plan
from wire import messages
from wire.calibration import CALIBRATION, calibration
from wire.profiles import Profile
from wire.settings import by_id, by_name, permits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def calibrate(settings: Settings, number: int, chosen: "tuple[tuple[int, int, int], ...]") -> bool:
    """All of `chosen`, (id, instance, value) each, pending together; False, and nothing is changed, if one is no setting of
    a calibration or the whole would not have this number then. OSError: flash refused, and nothing has changed."""
    before = settings.payload["values"], settings.payload.get("pending", {})
    pending = dict(before[1])
    for setting_id, instance, value in chosen:
        if not permits(setting_id, instance, value) or by_id(setting_id).name not in CALIBRATION:
            return False
        name = by_id(setting_id).name
        pending.pop(settings.key(name, instance), None)
        if value != settings.get(name, instance):
            pending[settings.key(name, instance)] = value
    settings.payload["pending"] = pending
    if calibration(settings.values(True)) != number:
        settings.payload["pending"] = before[1]
        return False
    settings.store_or(before)
    return True


def answer(node: "Any", message: "messages.Calibrate") -> "messages.SettingValue":
    """The setting value of `passport`: `ok` 1 if the calibration is stored, to take over when the open windows end; 0, and
    nothing is changed, if not. This code is forgotten then."""
    passport = by_name("passport").id
    ok = 0
    try:
        if plan.room(node) and calibrate(node.settings, message.number, message.settings):
            for grid in node.grids:  # items and windows stay: no need to read the whole board for it, as a plan does
                window_s = (grid.successor or grid.profile).window_s
                wanted = Profile(grid.profile.items, window_s, message.number)
                grid.successor = None if profiles.same(grid.profile, wanted) else wanted
            node.event(messages.SETTING_CHANGED, passport)
            ok = 1
    except (OSError, MemoryError) as error:
        node.log.error("settings", "not stored, %s", error)
    finally:
        forget("firmware.tasks.calibrate", "wire.settings_list", *plan.MODULES)
    return messages.SettingValue(passport, 0, node.settings.wanted("passport"), ok)
