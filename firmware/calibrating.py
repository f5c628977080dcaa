"""Takes over a calibration, given by a gateway (firmware/tasks/control.py) or over mpremote; loaded when one comes.

Over mpremote, `state` tells what the board has, and `take` stores a new one. Like that of a gateway it is in force from
the end of the window that is open when the board has the time.
"""

import json

from firmware.settings import GRIDS_MAX, Settings, key_of, load
from wire.calibration import CALIBRATION, calibration
from wire.settings import by_id, permits


def calibrate(settings: Settings, number: int, chosen: "tuple[tuple[int, int, int], ...]") -> bool:
    """All of `chosen`, (id, instance, value) each, pending together; False, and nothing is changed, if one is no setting of
    a calibration or the whole would not have this number then. OSError: flash refused, and nothing has changed."""
    before = settings.payload["values"], settings.payload.get("pending", {})
    pending = dict(before[1])
    for setting_id, instance, value in chosen:
        if not permits(setting_id, instance, value) or by_id(setting_id).name not in CALIBRATION:
            return False
        name = by_id(setting_id).name
        pending.pop(key_of(name, instance), None)
        if value != settings.get(name, instance):
            pending[key_of(name, instance)] = value
    settings.payload["pending"] = pending
    if calibration(settings.values(True)) != number:
        settings.payload["pending"] = before[1]
        return False
    settings.store_or(before)
    return True


def state(uid: bytes, root: str) -> dict:
    """What is set, in force and pending, who the board is, and whether it is full of profiles: a gateway that sets
    something has it forget those that are delivered, which nobody can judge from here. NeedsProvisioning."""
    settings = load(root, uid)
    payload = settings.payload
    return {
        "address": payload["address"],
        "values": payload["values"],
        "pending": payload.get("pending", {}),
        "full": len(payload["grids"]) >= 2 * GRIDS_MAX,
    }


def take(text: str, uid: bytes, root: str) -> bool:
    """JSON {"number", "settings": [[id, instance, value] …]}; whether the board has it now."""
    new = json.loads(text)
    return calibrate(load(root, uid), new["number"], new["settings"])
