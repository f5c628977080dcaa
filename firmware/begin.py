"""What a boot does once: settings, lives, repairs, the first windows. Its code leaves the heap when it is done."""

import os

from firmware import forget, profiles, settings, slots
from firmware.leases import LeaseLost
from firmware.life import Life, flash_blocks, remove_folder
from firmware.outbox.log import OutboxFull
from firmware.tasks import health, schedule, watchdog
from wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SAY_AGAIN_MS = 10000  # how often an unprovisioned board says so


def load(node: "Any") -> None:
    """Settings, lives, grids. NeedsProvisioning or LeaseLost: this board must not transmit. A bridge has none of them: it
    hands on what others seal."""
    node.board = node.read_board()
    link = node.board.get("link", {}).get("kind")
    if link == "bridge":
        return
    _check_privacy(node.board)
    node.settings = settings.load(node.root, node.port.unique_id())
    node.log.set_level(node.settings.get("log_level"))
    payload = node.settings.payload
    if node.board["power"] != "mains" and not node.safe:
        _save_power(node)
    if link == "lora":
        from firmware.links.lora import LoraLink

        node.link = LoraLink(node)
    else:
        from firmware.links.serial import SerialLink

        node.link = SerialLink(node.console)
    numbers = node.power.numbers if node.power else None
    budget = node.settings.get("outbox_kb") * 1024
    node.life = Life(node.root, payload, node.clock, node.boot, budget, flash_blocks, numbers)
    node.sessions.append(node.session_of(node.life))
    for stored in payload["previous"]:
        try:
            life = Life(node.root, stored, node.clock, node.boot, budget, flash_blocks, numbers)
        except LeaseLost:
            node.log.error(
                "node",
                "an earlier life of address %d cannot be delivered, its lease is unreadable",
                stored["address"],
            )
            continue
        life.settle()
        node.sessions.append(node.session_of(life))
    if not numbers:  # not at each wake
        _sweep(node)
    _tell_repairs(node)
    if not node.safe:
        begin_grids(node, node.board)
    if node.power:
        node.power.resume()


def _check_privacy(board: dict) -> None:
    """NeedsProvisioning: no tool of ours makes such a board, and this one must not tell of single vehicles."""
    from wire import privacy

    found = privacy.conflict([[profiles.item(name) for name in entry["items"]] for entry in board["profiles"]])
    forget("wire.privacy")
    if found:
        raise settings.NeedsProvisioning("%s in profile %d would tell of single vehicles" % (found[1], found[0]))


def _sweep(node: "Any") -> None:
    try:
        for name in sweep(node.root, node.settings.payload):
            node.log.info("node", "removed %s, of a life that the settings do not know", name)
    except OSError as error:  # room that stays taken until the next boot
        node.log.error("node", "cannot remove what is left of earlier lives, %r", error)


def _tell_repairs(node: "Any") -> None:
    outbox = node.life.outbox
    if node.life.leases.repaired:
        node.event(messages.LEASE_REPAIRED)
    if node.settings.repaired:
        node.event(messages.SETTINGS_REPAIRED)
    if outbox.damaged or outbox.lost:
        node.event(messages.OUTBOX_REPAIRED, outbox.damaged if outbox.damaged else -1)
    if node.safe:
        node.event(messages.SAFE_MODE)
    if slots.fell_back(node.root):
        node.event(messages.SLOT_FELL_BACK)
        slots.fall_told(node.root)


def begin_grids(node: "Any", board: dict) -> bool:
    """Open the windows of all profiles of `board`, the whole description; False if flash takes nothing now."""
    stored = node.life.stored["grids"]
    begun = []
    try:
        active = node.life.active()
        to_come = profiles.wanted(board, node.settings, True)
        for slot, wanted in enumerate(profiles.wanted(board, node.settings, False)):
            running = [entry for entry in active if entry[0] == slot]
            if not running:
                profile = profiles.fresh(wanted, node.life.stored)
                first = node.life.provisioned_s // profile.window_s
                stored.append([profile.encode().hex(), slot, first, 0])
                try:
                    node.settings.store()
                except OSError:
                    stored.pop()
                    raise
                running = [(slot, profile, first)]
            grid = node.new_grid(slot, running[0][1])
            if not profiles.same(running[0][1], to_come[slot]):
                grid.successor = to_come[slot]
            node.life.settle()
            grid.begin(running[0][2], node.settings.get("grid_until_s"))
            begun.append(grid)
    except (OSError, OutboxFull) as error:
        node.log.error("node", "flash takes nothing, %s; nothing is measured", error)
        return False
    node.grids = begun
    return True


def _save_power(node: "Any") -> None:
    from firmware.power.exchange import Exchange

    sleeps = node.board["power"] == "sleep"
    node.exchange = Exchange(node.clock, node.settings.get, node.sessions, not sleeps)
    if sleeps:
        from firmware.power.sleep import Sleeper

        node.power = Sleeper(node)
        node.power.wake()


def strangers(root: str, payload: "dict | None") -> "list[str]":
    """Names of leases and outboxes on the board's root whose life `payload` does not know."""
    known = []
    if payload is not None:
        known = ["%08x" % settings.life_of(bytes.fromhex(stored["key"])) for stored in [payload] + payload["previous"]]
    names = [name for name in os.listdir(root or "/") if name.startswith(("lease-", "outbox-"))]
    return [name for name in names if name.split("-")[1][:8] not in known]


def sweep(root: str, payload: dict) -> "list[str]":
    """Remove leases and outboxes of lives that `payload`, from a good copy of the settings, does not know: a cut came
    between forgetting and erasing, or the settings with their key were lost. Their names."""
    names = strangers(root, payload)
    for name in names:
        if name.startswith("outbox-"):
            remove_folder(root + "/" + name)
        else:
            os.remove(root + "/" + name)
    return names


def finishes(node: "Any") -> bool:
    """Whether a provisioning was interrupted, and this boot ended it: the board starts again."""
    if slots.interrupted(node.root):
        from firmware.provisioning import finish

        if finish(node.root, node.port.unique_id()):
            node.port.reset()  # another slot, another board.json
            return True
    return False


async def say(node: "Any", dog: "Any", reason: str) -> None:
    """The board must not transmit: it says why, as text, for who stands beside it."""
    while True:
        dog.feed()
        node.log.error("node", "needs provisioning, %s", reason)
        await node.clock.sleep_ms(SAY_AGAIN_MS)


def add_tasks(node: "Any") -> None:
    """All tasks; in safe mode none that measures."""
    node.log.info(
        "node", "address %d, life %08x, boot %d, %s%s", node.life.address, node.life.id, node.boot, node.board["board"],
        ", safe mode" if node.safe else "",
    )  # fmt: skip
    supervisor = node.supervisor
    node.link.add_tasks(node)
    supervisor.add("schedule", schedule.run, node)
    supervisor.add("health", health.run, node)
    supervisor.add("care", node.care)
    if not node.safe:
        _add_sensors(node)
    if node.power:
        supervisor.add("power", node.power.run)
    supervisor.add("watchdog", watchdog.run, supervisor, node.port, node.clock, node.log)


def _add_sensors(node: "Any") -> None:
    from firmware import sensors

    node.sensors = sensors.build(node.board, node.port, node.clock, node.settings, node.log)
    forget("firmware.sensors", "wire.channel_table")
    for sensor in node.sensors:
        node.supervisor.add("sensor %d" % sensor.number, sensor.run, node)
    for key in list(node.board):
        if key not in ("board", "led", "power"):
            del node.board[key]  # wired up: what was read of it is worth 3 KB
