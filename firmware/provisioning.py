"""Begins a new life: called over mpremote, never loaded by the running program but to finish what was interrupted.

Three things change hands: settings (two copies), the files on the board's root, and the slot's pointer. `switch` first
writes down what there is to do, in the file `/provisioning` (one line with a CRC, as boot.py's):
    <life> <slot> <confirmed> <name of a file NAME.new to be renamed> …
A board that becomes a bridge gets no life and no settings; what it has of earlier ones stays as it is (`switch_bridge`), and
`/provisioning` names BRIDGE in the life's place.
(`announce` has written the life alone before, so that the tool can tell a board that it reached from one that it did not.)
Then the settings make the new life valid, in one write; from there on `finish` does the rest, and can be cut and begun
again at any place, by the tool or by the next boot. So a board is the old node until its settings name the new life,
and does nothing as the new one before everything that belongs to it is in its place.
"""

import binascii
import json
import os

from firmware import slots
from firmware.begin import strangers
from firmware.leases import LeaseLost, Leases, read_back, write_back
from firmware.settings import NeedsProvisioning, Settings, life_of, load, newest, stem
from wire.duty import Spent
from wire.settings import by_name, permits

PREVIOUS_MAX = 3  # lives that may still be draining; each keeps its outbox and lease
DROPPED_MAX = 8  # lives that never ran, told to the tool until it has withdrawn them
KEY_BYTES = 16
BRIDGE = "bridge"


def _check(new: dict) -> None:
    if len(bytes.fromhex(new["key"])) != KEY_BYTES:
        raise ValueError("key: %d bytes, not %d" % (len(new["key"]) // 2, KEY_BYTES))
    if not 0 <= new["address"] <= 0xFFFF:
        raise ValueError("address: %d is not 0..65535" % new["address"])
    for name, value in new.get("values", {}).items():
        base, _, instance = name.partition(".")
        if not permits(by_name(base).id, int(instance or 0), value):
            raise ValueError("setting %s: %s not permitted" % (name, value))


def _life(stored: dict) -> int:
    return life_of(bytes.fromhex(stored["key"]))


def _unused(root: str, stored: dict) -> bool:
    """Whether nothing was ever sealed or sent under this life: it was given to the board and never ran."""
    if stored["grids"]:
        return False
    try:
        leases = Leases(stem(root, "lease", _life(stored)))
    except LeaseLost:
        return False
    return leases.counter == 0 and leases.seq == 0


def _before(root: str, old: dict, new: dict) -> "list[dict]":
    """The earlier lives of the new one: those before, and the present one, ended at the new one's beginning. One that
    never ran has nothing to deliver and takes no place."""
    previous = list(old["previous"])
    if new["key"] in [stored["key"] for stored in [old] + previous]:
        raise ValueError("key: already in use on this board")
    if not _unused(root, old):
        ended = {name: old[name] for name in ("address", "key", "provisioned_s", "grids")}
        ended["until_s"] = min(old["values"].get("grid_until_s", 0) or new["provisioned_s"], new["provisioned_s"])
        previous.append(ended)
    if len(previous) > PREVIOUS_MAX:
        raise ValueError("%d earlier lives still hold records: connect to a gateway first" % len(previous))
    return previous


def _same(old: dict, new: dict) -> bool:
    """Whether this very life is the present one: an answer was lost, and it is asked again."""
    return all(old[name] == new[name] for name in ("key", "address", "provisioned_s"))


def _begin_duty(root: str) -> None:
    """The ledger of airtime (firmware/links/duty.py) of a board that never transmitted; an existing one stays."""
    for name in ("/duty.a", "/duty.b"):
        if not read_back(root + name):
            write_back(root + name, Spent().dump(0, 0, 0))


def provision(text: str, uid: bytes, root: str) -> str:
    """See firmware.settings.provision."""
    new = json.loads(text)
    _check(new)
    life = _life(new)
    values = new.get("values", {})
    version, previous, dropped, uid_hex = 0, [], [], binascii.hexlify(uid).decode()
    found = newest(root)
    if found is not None:
        version, old = found
        if old.get("uid") == uid_hex:
            if _same(old, new):
                if old["values"] != values and _unused(root, old):
                    old["values"] = values
                    Settings(root, old, version).store()
                return "provisioned: address %d, life %08x, %d earlier" % (new["address"], life, len(old["previous"]))
            previous = _before(root, old, new)
            dropped = old.get("dropped", [])
            if previous == old["previous"]:
                dropped = (dropped + ["%08x" % _life(old)])[-DROPPED_MAX:]
    Leases.create(stem(root, "lease", life))
    _begin_duty(root)
    payload = {
        "uid": uid_hex,
        "address": new["address"],
        "key": new["key"],
        "provisioned_s": new["provisioned_s"],
        "grids": [],
        "values": values,
        "previous": previous,
        "dropped": dropped,
    }
    Settings(root, payload, version).store()
    return "provisioned: address %d, life %08x, %d earlier" % (new["address"], life, len(previous))


def _read_note(root: str) -> "list[str] | None":
    """The fields of `/provisioning`; [] if it is unreadable, None if there is none."""
    try:
        with open(root + slots.NOTE, "rb") as f:
            text, crc = f.read(200).strip().rsplit(b" ", 1)
        return text.decode().split(" ") if int(crc, 16) == binascii.crc32(text) else []
    except OSError:
        return None
    except ValueError:
        return []


def announce(life: str, root: str) -> bool:
    """This board is about to be given `life`: should the connection be lost before, the tool learns so next time. A note
    that cannot be read keeps its word."""
    if _read_note(root) == []:
        return False
    slots.save_line(root + slots.NOTE, life)
    return True


def switch(text: str, slot: str, confirmed: bool, names: "list[str]", uid: bytes, root: str) -> str:
    """Provision, with the program in `slot` and the files NAME.new of `names`. Asked again with the same life it does
    what is left to do. ValueError says what is wrong; the board stays what it was."""
    new = json.loads(text)
    _check(new)
    slots.save_line(root + slots.NOTE, " ".join(["%08x" % _life(new), slot, "%d" % confirmed] + names))
    try:
        said = provision(text, uid, root)
    except ValueError:
        os.remove(root + slots.NOTE)
        raise
    finish(root, uid)
    return said


def switch_bridge(slot: str, confirmed: bool, names: "list[str]", uid: bytes, root: str) -> bool:
    """Make the board a bridge, with the program in `slot` and the files NAME.new of `names`. Asked again it does what is
    left to do."""
    slots.save_line(root + slots.NOTE, " ".join([BRIDGE, slot, "%d" % confirmed] + names))
    return finish(root, uid)


def finish(root: str, uid: bytes) -> bool:
    """Do what an interrupted `switch` has left to do once the settings name its life; False if they do not, and the
    board is the old node. NeedsProvisioning: what was to be done cannot be read."""
    note = _read_note(root)
    if note is None:
        return False
    if not note and newest(root) is None and "settings.a" not in os.listdir(root or "/"):
        os.remove(root + slots.NOTE)  # torn while it was written: still the bridge that it was, or nothing at all
        return False
    if note[:1] != [BRIDGE]:
        payload = load(root, uid).payload
        if note and note[0] != "%08x" % _life(payload):
            return False
        if not note and not _unused(root, payload):
            # torn while it was written: the settings, which come later, are those of a node that ran
            os.remove(root + slots.NOTE)
            return False
    if len(note) < 3:
        raise NeedsProvisioning("provisioning was interrupted")
    there = os.listdir(root or "/")
    for name in note[3:]:
        if name + ".new" in there:
            os.rename(root + "/" + name + ".new", root + "/" + name)
    slots.write_pointer(root, note[1], note[2] == "1")
    os.remove(root + slots.NOTE)
    return True


def state(uid: bytes, root: str) -> dict:
    """What the board knows of its lives, for the tool; no keys. All lives are 8 hex digits.

    "fault": what is wrong with settings that are there, or ""; "known": they are readable, or there are none; "life":
    the present one or "", "unused": it never ran; "lives": all that these settings hold; "note": the life of a
    provisioning that was begun and not finished, or ""; "held": {life: bytes} of outboxes that no settings know; "dropped":
    lives that were given to the board and replaced before they ran.
    """
    found = newest(root)
    note = _read_note(root)
    answer: dict = {"fault": "", "known": True, "life": "", "unused": False, "lives": [], "held": {}}
    answer["dropped"] = []
    answer["note"] = note[0] if note and note[0] != BRIDGE else ""
    payload = None
    if found is None:
        answer["known"] = "settings.a" not in os.listdir(root or "/")
        answer["fault"] = "" if answer["known"] else "unreadable"
    elif found[1].get("uid") != binascii.hexlify(uid).decode():
        answer["fault"] = "of another chip"
    else:
        payload = found[1]
        answer["life"] = "%08x" % _life(payload)
        answer["dropped"] = payload.get("dropped", [])
        answer["unused"] = _unused(root, payload)
        answer["lives"] = ["%08x" % _life(stored) for stored in [payload] + payload["previous"]]
    for name in strangers(root, payload):
        if name.startswith("outbox-"):
            folder = root + "/" + name
            answer["held"][name[7:]] = sum([os.stat(folder + "/" + n)[6] for n in os.listdir(folder)])
    return answer
