"""The table [[hat]] of the configuration: an SX1262 on the SPI bus of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.config_types import KeyPath, Name, Section

Line = Annotated[int, Meta(ge=0, le=999)]  # as gpioinfo counts them: on a Pi the number of the GPIO
LINES = ("reset", "busy", "irq", "nss", "rxen", "txen", "enable")


class Hat(Section, frozen=True):
    """One radio: one channel, one spreading factor at once. Which lines it has is the HAT maker's matter."""

    channel: float  # MHz
    reset: Line
    busy: Line
    irq: Line  # DIO1
    name: Name = "hat"  # unique among all ears; goes with each record that it heard
    spi: Annotated[str, Meta(pattern=r"^[0-9]{1,2}\.[0-9]{1,2}$")] = "0.0"  # bus.device of /dev/spidev0.0
    gpio_chip: str = "/dev/gpiochip0"
    nss: Line | None = None  # where the HAT has its chip select on a line of its own
    rxen: Line | None = None  # high for reception
    txen: Line | None = None  # high for transmission
    enable: Line | None = None  # high as long as it is used
    tcxo_mv: Literal[0, 1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300] = 0  # 0: a crystal
    dio2_switch: bool = True
    dcdc: bool = True  # the coil of the switching regulator is there; without it more current
    public: bool = False  # sync word 0x34 of public networks, as its nodes
    power_dbm: Annotated[int, Meta(ge=-9, le=22)] = 14  # of answers, at the transmitter; never above the region's limit
    antenna_gain_dbi: Annotated[float, Meta(ge=-10, le=20)] = 2.15
    cable_loss_db: Annotated[float, Meta(ge=0, le=20)] = 0.0

    @property
    def freq_hz(self) -> int:
        return round(self.channel * 1e6)


def check_hat(sections: dict[str, Any], add: Callable[[KeyPath, str], None]) -> None:
    """Relations: lines and buses that are used once. What is asked of every ear: config_lora.py."""
    buses: dict[str, int] = {}
    lines: dict[tuple[str, int], str] = {}
    for index, hat in enumerate(sections.get("hat", [])):
        if hat is None:
            continue
        if hat.spi in buses:
            add(("hat", index, "spi"), f"the same as hat[{buses[hat.spi]}]")
        buses.setdefault(hat.spi, index)
        for role in LINES:
            line = getattr(hat, role)
            if line is None:
                continue
            place = f"hat[{index}].{role}"
            if (hat.gpio_chip, line) in lines:
                add(("hat", index, role), f"line {line} is {lines[hat.gpio_chip, line]} already")
            lines.setdefault((hat.gpio_chip, line), place)
