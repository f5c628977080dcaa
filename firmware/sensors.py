"""Builds the board's buses and sensors from board.json. A sensor that cannot be built is told and left out."""

from firmware import drivers, profiles
from firmware.tasks.sample import Sensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def open_bus(port: "Any", description: dict) -> "Any":
    """The bus object of firmware.hal for one entry of board.json's `buses`."""
    known = {key: value for key, value in description.items() if key not in ("kind", "id")}
    return getattr(port, description["kind"])(description["id"], **known)


def build(board: dict, port: "Any", clock: "Any", settings: "Any", log: "Any") -> "list[Sensor]":
    """All sensors, in the order of board.json."""
    buses: "dict[str, Any]" = {}
    found = []
    for number, entry in enumerate(board["sensors"]):
        instance = entry.get("instance", 0)
        try:
            name = entry["bus"]
            if name not in buses:
                buses[name] = open_bus(port, board["buses"][name])
            driver = drivers.load(entry["driver"])(buses[name], clock, instance=instance, **entry.get("params", {}))
        except (OSError, ValueError, ImportError) as error:
            log.error("sensor %d" % number, "%s cannot be set up, %s", entry["driver"], error)
            continue
        if hasattr(driver, "keep"):
            driver.keep([profiles.item(text) for profile in board["profiles"] for text in profile["items"]])
        sensor = Sensor(number, driver, buses[name])
        sensor.configure(settings)
        found.append(sensor)
    for listener in found:
        if hasattr(listener.driver, "hear"):
            for sensor in found:
                sensor.hearers += (listener.driver.hear,)
    return found
