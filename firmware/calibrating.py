"""Calibrating over mpremote; never loaded by the running program. `state` tells what the board has, and `take` stores a new
one. Like that of a gateway it is in force from the end of the window that is open when the board has the time."""

import json

from firmware.settings import GRIDS_MAX, load
from firmware.tasks.calibrate import calibrate


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
