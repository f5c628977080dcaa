"""What every part of a board.toml is made of, and its buses, with the consequence of each value beside it."""

from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Small letters, digits, hyphens.")]
Pin = Annotated[int, Meta(ge=0, le=48, description="GPIO number as the chip's maker counts.")]
Instance = Annotated[int, Meta(ge=0, le=15)]


class Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table of the file; unknown keys are errors."""


class I2c(Table, frozen=True, tag_field="kind", tag="i2c"):
    """An I2C bus. It runs at the speed of its slowest chip."""

    id: Annotated[int, Meta(ge=0, le=1)]
    scl: Pin
    sda: Pin
    freq: Annotated[int, Meta(ge=10_000, le=1_000_000, description="Hz")] = 100_000


class Uart(Table, frozen=True, tag_field="kind", tag="uart"):
    """A serial port to one sensor. UART 0 carries console and link, so sensors take 1 or 2."""

    id: Annotated[int, Meta(ge=1, le=2)]
    tx: Pin
    rx: Pin
    baudrate: Annotated[int, Meta(ge=1200, le=921_600)] = 115_200
    rxbuf: Annotated[
        int, Meta(ge=256, le=16_384, description="Bytes kept while the flash is written (up to 0.4 s).")
    ] = 1024


class I2s(Table, frozen=True, tag_field="kind", tag="i2s"):
    """An I2S receiver. The filters are made for 48 kHz, so the rate is fixed."""

    id: Annotated[int, Meta(ge=0, le=1)]
    sck: Pin
    ws: Pin
    sd: Pin
    rate: Annotated[int, Meta(ge=48_000, le=48_000, description="Hz")] = 48_000
    ibuf: Annotated[
        int, Meta(ge=4096, le=96_000, description="Bytes of DMA memory, 8 a sample: 48000 hold 0.12 s.")
    ] = 48_000


class Spi(Table, frozen=True, tag_field="kind", tag="spi"):
    """An SPI bus, for the radio alone. 0 is the flash's."""

    id: Annotated[int, Meta(ge=1, le=2)]
    sck: Pin
    mosi: Pin
    miso: Pin
    freq: Annotated[int, Meta(ge=100_000, le=8_000_000, description="Hz")] = 4_000_000


Bus = I2c | Uart | I2s | Spi
