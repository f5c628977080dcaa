"""The tables of the configuration that LoRa needs: [lora] for all ears together, and one array of tables a kind of ear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.config_types import KeyPath, Name, Section
from wire.regions import UPLINKS_HZ

Sf = Annotated[int, Meta(ge=7, le=12)]
EARS = ("bridge", "hat")  # arrays of tables of which each is an ear, with a `name`


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


def check_lora(sections: dict[str, Any], add: Callable[[KeyPath, str], None]) -> None:
    """Relations between the tables; `add` is told of each problem."""
    for index, bridge in enumerate(sections.get("bridge", [])):
        if bridge is not None and bridge.freq_hz not in UPLINKS_HZ:
            known = ", ".join(f"{freq / 1e6:g}" for freq in sorted(UPLINKS_HZ))
            add(("bridge", index, "channel"), f"no channel of EU868; known are {known} (MHz)")
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
