"""Begins a new life: called over mpremote by `firmware.settings.provision`, never loaded by the running program."""

import binascii
import json

from firmware.leases import Leases
from firmware.settings import Settings, life_of, newest, stem
from wire.settings import by_name, permits

PREVIOUS_MAX = 3  # lives that may still be draining; each keeps its outbox and lease
KEY_BYTES = 16


def _check(new: dict) -> None:
    if len(bytes.fromhex(new["key"])) != KEY_BYTES:
        raise ValueError("key: %d bytes, not %d" % (len(new["key"]) // 2, KEY_BYTES))
    if not 0 <= new["address"] <= 0xFFFF:
        raise ValueError("address: %d is not 0..65535" % new["address"])
    for name, value in new.get("values", {}).items():
        base, _, instance = name.partition(".")
        if not permits(by_name(base).id, int(instance or 0), value):
            raise ValueError("setting %s: %s not permitted" % (name, value))


def _before(old: dict, new: dict) -> "list[dict]":
    """The earlier lives of the new one: those before, and the present one, ended at the new one's beginning."""
    if old["key"] == new["key"]:
        raise ValueError("key: already in use on this board")
    ended = {name: old[name] for name in ("address", "key", "provisioned_s", "grids")}
    ended["until_s"] = min(old["values"].get("grid_until_s", 0) or new["provisioned_s"], new["provisioned_s"])
    previous = old["previous"] + [ended]
    if len(previous) > PREVIOUS_MAX:
        raise ValueError("%d earlier lives still hold records: connect to a gateway first" % len(previous))
    return previous  # type: ignore[no-any-return]


def provision(text: str, uid: bytes, root: str) -> str:
    """See firmware.settings.provision."""
    new = json.loads(text)
    _check(new)
    version, previous, uid_hex = 0, [], binascii.hexlify(uid).decode()
    found = newest(root)
    if found is not None:
        version = found[0]
        if found[1].get("uid") == uid_hex:
            previous = _before(found[1], new)
    life = life_of(bytes.fromhex(new["key"]))
    Leases.create(stem(root, "lease", life))
    payload = {
        "uid": uid_hex,
        "address": new["address"],
        "key": new["key"],
        "provisioned_s": new["provisioned_s"],
        "grids": [],
        "values": new.get("values", {}),
        "previous": previous,
    }
    Settings(root, payload, version).store()
    return "provisioned: address %d, life %08x, %d earlier" % (new["address"], life, len(previous))
