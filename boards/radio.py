"""What a board.toml may say of radio and links: [radio], [pmu] and the kinds of [link]."""

from typing import Annotated, Literal

from msgspec import Meta

from boards.buses import Pin, Table


class SerialLink(Table, frozen=True, tag_field="kind", tag="serial"):
    """Frames over the port that the console uses too (UART 0 or USB)."""

    baudrate: Literal[115_200] = 115_200


class OnAir(Table, frozen=True):
    """What a board with a radio must know to stay lawful: the e.r.p. counts, not what the chip gives."""

    region: Literal["EU868"] = "EU868"
    antenna_gain_dbi: Annotated[float, Meta(ge=-10.0, le=20.0, description="Of the antenna, by its data sheet.")] = 2.15
    cable_loss_db: Annotated[
        float, Meta(ge=0.0, le=20.0, description="Cable and plugs up to the antenna: what is lost may be sent more.")
    ] = 0.0
    public: Annotated[
        bool, Meta(description="Sync word 0x34 of public networks, so that concentrators set to it hear; all or none.")
    ] = False


class LoraLink(OnAir, frozen=True, tag_field="kind", tag="lora"):
    """Frames over the board's radio: a node far from its gateway."""


class BridgeLink(OnAir, frozen=True, tag_field="kind", tag="bridge"):
    """The board is a gateway's ear: frames of others go from its radio to its serial port and back."""

    baudrate: Literal[115_200] = 115_200


Link = SerialLink | LoraLink | BridgeLink


class Sx1262(Table, frozen=True, tag_field="chip", tag="sx1262"):
    """A Semtech SX1262. What is false here makes it deaf: switch and oscillator are the board's."""

    bus: str
    nss: Pin
    reset: Pin
    busy: Pin
    irq: Annotated[int, Meta(ge=0, le=48, description="GPIO of the chip's DIO1.")]
    rxen: Annotated[int, Meta(ge=0, le=48, description="GPIO that is high for reception.")] | None = None
    dio2_switch: Annotated[bool, Meta(description="DIO2 turns the RF switch to the transmitter.")] = True
    tcxo_mv: Annotated[
        Literal[0, 1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300],
        Meta(description="Supply of the oscillator by DIO3; 0: a plain crystal."),
    ] = 0
    tcxo_ms: Annotated[int, Meta(ge=1, le=50, description="What the oscillator needs to start.")] = 5
    dcdc: Annotated[
        bool, Meta(description="The coil of the switching regulator is there; without it more current.")
    ] = True


class Sx1276(Table, frozen=True, tag_field="chip", tag="sx1276"):
    """A Semtech SX1276, as on an RFM95."""

    bus: str
    nss: Pin
    reset: Pin
    irq: Annotated[int, Meta(ge=0, le=48, description="GPIO of the chip's DIO0.")]
    rxen: Annotated[int, Meta(ge=0, le=48, description="GPIO that is high for reception.")] | None = None
    pa: Annotated[
        Literal["boost", "rfo"],
        Meta(description="The chip's output that the antenna hangs on: 2 to 20 dBm, or 0 to 14."),
    ] = "boost"


Radio = Sx1262 | Sx1276


class Pmu(Table, frozen=True):
    """A power chip that feeds the radio: AXP192 or AXP2101, told apart at start. Rails by name, all of 3.3 V; that of the
    ESP32 itself is not among them."""

    bus: str
    axp192_on: list[Literal["dcdc1", "ldo2", "ldo3"]] = []
    axp192_off: list[Literal["dcdc1", "ldo2", "ldo3"]] = []
    axp2101_on: list[Literal["aldo1", "aldo2", "aldo3", "aldo4", "bldo1", "bldo2"]] = []
    axp2101_off: list[Literal["aldo1", "aldo2", "aldo3", "aldo4", "bldo1", "bldo2"]] = []
