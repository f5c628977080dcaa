"""What an SX1276's driver seldom does: prove the chip, start it, say what is wrong. Loaded when it is wanted."""

from firmware.drivers import const
from firmware.drivers.sx1276 import Sx1276

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.drivers import TestRow

_VERSION = const(0x42)
_IMAGE_CAL = const(0x3B)  # of the page for FSK
_SYNC_WORD = const(0x39)

# Once, in LoRa sleep: bases of the FIFO; amplifier of the receiver; 125 kHz, 4/5, explicit; preamble 8; longest frame.
_SETTINGS = (
    (0x0E, 0x00),
    (0x0F, 0x00),
    (0x0C, 0x23),
    (0x1D, 0x72),
    (0x20, 0x00),
    (0x21, 0x08),
    (0x23, 0xFF),
    (0x37, 0x0A),
    (0x11, 0x00),
    # errata 2.1 (sensitivity) and 2.3 (spurious reception) for less than 500 kHz
    (0x36, 0x03),
    (0x31, 0x43),
    (0x2F, 0x40),
    (0x30, 0x00),
)


def prove(radio: Sx1276) -> None:
    """OSError unless an SX1276 answers."""
    version = radio._read(_VERSION)[0]
    if version != 0x12:
        raise _silent(version)


def _silent(version: int) -> OSError:
    if version in (0x00, 0xFF):
        return OSError(19, "radio: no answer on SPI, all 0x%02x: supply, wires miso, sck, nss" % version)
    return OSError(19, "radio: what answers is no sx1276 but has version 0x%02x: radio.chip" % version)


def fault(radio: Sx1276) -> OSError:
    """Why the chip did not do what it was told, as far as it can be asked."""
    version = radio._read(_VERSION)[0]
    if version != 0x12:
        return _silent(version)
    if not radio._read(0x01)[0] & 0x80:
        return OSError(5, "radio: it has forgotten its settings: supply breaks in")
    return OSError(110, "radio: not done in time")


async def start(radio: Sx1276) -> None:
    """See Sx1276.start."""
    clock = radio._clock
    put = radio._set
    radio._port.rx_path(0)
    radio._port.reset(0)
    await clock.sleep_ms(2)
    radio._port.reset(1)
    await clock.sleep_ms(7)  # DS 7.2.2: 5 ms
    prove(radio)
    # The receiver's chain for the port of this frequency, in FSK with the amplifier off (DS 2.1.3.8).
    put(0x01, 0x00)
    put(0x01, 0x01)
    await clock.sleep_ms(2)
    put(0x09, 0x00)
    freq_hz = radio._wanted[0]
    radio._write(0x06, (freq_hz // 15625 * 256).to_bytes(3, "big"))
    put(_IMAGE_CAL, 0x42)
    for _ in range(25):
        await clock.sleep_ms(2)
        if not radio._read(_IMAGE_CAL)[0] & 0x20:
            break
    else:
        raise OSError(110, "radio: calibration does not end: crystal, supply")
    put(0x01, 0x00)
    put(0x01, 0x80)  # the bit for LoRa changes in sleep alone
    await clock.sleep_ms(2)
    if radio._read(0x01)[0] != 0x80:
        raise OSError(5, "radio: LoRa mode is not taken: wires mosi, nss")
    for address, value in _SETTINGS:
        put(address, value)
    sync_word = 0x34 if radio._options.get("public") else 0x12
    put(_SYNC_WORD, sync_word)
    for address, value in _SETTINGS + ((_SYNC_WORD, sync_word),):
        if radio._read(address)[0] != value:
            raise OSError(5, "radio: register 0x%02x does not keep its value: wires mosi, sck" % address)
    radio._asleep = True
    await radio._prepare(0x00)
    radio.identity = "SX1276, %s" % radio._options.get("pa", "boost")


async def self_test(radio: Sx1276) -> "list[TestRow]":
    """See Sx1276.self_test: each row is a thing that may be wrong, the first failed one the place to begin."""
    rows = []
    try:
        prove(radio)
        rows.append(("chip answers", True, 0x12))
        await radio.start()
        rows.append(("calibration", True, 0))
        missed = radio.missed_irqs
        await radio.cad()
        rows.append(("interrupt line", radio.missed_irqs == missed, radio.missed_irqs))
        await radio._open(None)
        await radio._clock.sleep_ms(5)
        noise_dbm = radio._read(0x1B)[0] - 157
        await radio._prepare(0x00)
        rows.append(("noise at the antenna, dBm", -125 <= noise_dbm <= -60, noise_dbm))
        rows.append(("frames unreadable", True, radio.crc_errors))
    except OSError as error:
        rows.append((error.args[1][7:] if len(error.args) > 1 else "radio", False, error.args[0]))
    return rows
