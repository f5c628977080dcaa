"""The tables of the configuration that LoRa needs: [lora] for all ears together, and one array of tables a kind of ear."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.config_types import KeyPath, Name, Section
from wire.regions import UPLINKS_HZ

Sf = Annotated[int, Meta(ge=7, le=12)]
SINGLE = ("bridge", "hat")  # arrays of tables of which each is an ear with one modem, on one `channel`
EARS = (*SINGLE, "forwarder")  # … an ear, with a `name`


class Lora(Section, frozen=True):
    """What holds for all ears together. Without an ear the table changes nothing."""

    region: Literal["EU868"] = "EU868"
    # Of the nodes of single-modem ears at the first start; later it is what the nodes were told last.
    sf: Sf = 9
    rendezvous_sf: Sf = 10  # where such an ear looks for nodes that are missing, as in the nodes' settings
    answer: bool = True  # false: hear and store alone; another gateway that hears the same nodes answers them
    adr: bool = True  # command spreading factor and power by how well nodes are heard
    margin_db: Annotated[float, Meta(ge=3, le=30)] = 10.0  # above what is just received
    node_power_dbm: Annotated[int, Meta(ge=-9, le=22)] = 14  # most that a node is told to send with
    node_power_min_dbm: Annotated[int, Meta(ge=-9, le=22)] = 2


class Bridge(Section, frozen=True):
    """A board with the bridge program on a serial port: one channel, one spreading factor at once."""

    port: str
    channel: float  # MHz
    name: Name = "bridge"  # unique among all ears; goes with each record that it heard
    baudrate: Annotated[int, Meta(ge=1200, le=4_000_000)] = 115200
    power_dbm: Annotated[int, Meta(ge=-9, le=22)] = (
        14  # of answers, at the transmitter; the board stays below its limit
    )

    @property
    def freq_hz(self) -> int:
        return round(self.channel * 1e6)


class Forwarder(Section, frozen=True):
    """A concentrator behind a Semtech UDP packet forwarder. Only datagrams with this EUI from this address are taken."""

    eui: str
    address: str
    name: Name = "concentrator"  # unique among all ears; goes with each record that it heard
    listen: Annotated[str, Meta(pattern=r"^\S+:\d{1,5}$")] = "127.0.0.1:1700"  # several may share one
    # of answers, at the transmitter; never above the region's limit for this antenna
    power_dbm: Annotated[int, Meta(ge=-9, le=27)] = 14
    antenna_gain_dbi: Annotated[float, Meta(ge=-10, le=20)] = 2.15
    cable_loss_db: Annotated[float, Meta(ge=0, le=20)] = 0.0


def _check_forwarder(index: int, table: Forwarder, add: Callable[[KeyPath, str], None]) -> None:
    if not re.fullmatch(r"[0-9A-Fa-f]{16}", table.eui):
        add(("forwarder", index, "eui"), "expected 16 hex digits, as the forwarder's gateway_ID")
    host, _, port = table.listen.rpartition(":")
    try:
        ours = ipaddress.ip_address(host.strip("[]"))
        if int(port) > 65_535:
            raise ValueError
    except ValueError:
        add(("forwarder", index, "listen"), "expected ADDRESS:PORT with an IP address, such as 0.0.0.0:1700")
        return
    try:
        theirs = ipaddress.ip_address(table.address)
    except ValueError:
        add(("forwarder", index, "address"), "expected the IP address that the forwarder's datagrams come from")
        return
    if ours.version != theirs.version or (ours.is_loopback and not theirs.is_loopback):
        every = "0.0.0.0" if theirs.version == 4 else "[::]"
        what = f'nothing from there reaches {table.listen}; write listen = "{every}:{port}", or this machine\'s address'
        add(("forwarder", index, "address"), what)


def check_lora(sections: dict[str, Any], add: Callable[[KeyPath, str], None]) -> None:
    """Relations between the tables; `add` is told of each problem."""
    for kind in SINGLE:
        for index, ear in enumerate(sections.get(kind, [])):
            if ear is not None and ear.freq_hz not in UPLINKS_HZ:
                known = ", ".join(f"{freq / 1e6:g}" for freq in sorted(UPLINKS_HZ))
                add((kind, index, "channel"), f"no channel of EU868; known are {known} (MHz)")
    euis: dict[tuple[str, str], int] = {}
    for index, table in enumerate(sections.get("forwarder", [])):
        if table is not None:
            _check_forwarder(index, table, add)
            first = euis.setdefault((table.listen, table.eui.lower()), index)
            if first != index:
                add(("forwarder", index, "eui"), f"the same as forwarder[{first}]")
    names: dict[str, str] = {}
    for kind in EARS:
        for index, ear in enumerate(sections.get(kind, [])):
            if ear is None:
                continue
            place = f"{kind}[{index}]"
            if ear.name in names:
                add((kind, index, "name"), f"{names[ear.name]} has the name '{ear.name}', too; each ear needs its own")
            names.setdefault(ear.name, place)
    lora = sections.get("lora")
    if lora is not None and lora.node_power_min_dbm > lora.node_power_dbm:
        add(("lora", "node_power_min_dbm"), f"is above node_power_dbm ({lora.node_power_dbm})")
