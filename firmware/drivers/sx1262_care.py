"""What an SX1262's driver seldom does: prove the chip, start it, say what is wrong. Loaded when it is wanted."""

from firmware.drivers.sx1262 import Sx1262

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.drivers import TestRow

_TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)
# First and last MHz, and what CalibrateImage is told for them (DS 9.2.1).
_IMAGES = (
    (430, 440, b"\x6b\x6f"),
    (470, 510, b"\x75\x81"),
    (779, 787, b"\xc1\xc5"),
    (863, 870, b"\xd7\xdb"),
    (902, 928, b"\xe1\xe9"),
)
_GAIN = 0x96  # of the receiver; after a reset it is another one
_BUSY_MAX_US = 1800
_COMMAND_US = 200  # longer than any command that a program before this one may have left
_RESET_MS = 2

# Device errors (DS 13.6.1), causes before what follows from them.
_WORDS = (
    (0x20, "oscillator does not start: radio.tcxo_mv"),
    (0x100, "amplifier does not come up: antenna, supply"),
    (0x40, "synthesizer does not lock"),
    (0x0F, "calibration failed: supply"),
    (0x10, "image calibration failed"),
)


def prove(radio: Sx1262) -> None:
    """OSError unless an SX1262 answers: two registers must keep what they are given. Takes 2 ms at most."""
    port = radio._port
    begun_us = port.now_us()
    woken = False
    while port.busy():
        waited_us = port.us_diff(port.now_us(), begun_us)
        if waited_us > _BUSY_MAX_US:
            raise fault(radio, 256)
        if waited_us > _COMMAND_US and not woken:
            port.transfer(radio._awaken())  # a chip that sleeps wakes by NSS (DS 13.1.1)
            woken = True
    for pattern in (b"\x5a\xa5", b"\x14\x24"):
        radio._do(b"\x0d\x07\x40" + pattern)
        if bytes(radio._do(b"\x1d\x07\x40\x00\x00\x00")[4:]) != pattern:
            raise OSError(19, "radio: what answers is no sx1262: radio.chip, radio.nss")


def fault(radio: Sx1262, status: int = -1) -> OSError:
    """Why the chip did not do what it was told. `status`: what it answered, 256 if it is busy, -1 if it must be asked."""
    radio._listening = False
    if status > 255:
        return OSError(110, "radio: BUSY stays high: wires busy, reset; radio.tcxo_mv")
    if status >= 0:
        return OSError(19, "radio: no answer on SPI, all 0x%02x: supply, wires miso, sck, nss" % status)
    try:
        if radio.identity and radio._do(b"\x1d\x08\xac\x00\x00")[4] != _GAIN:
            return OSError(5, "radio: it has forgotten its settings: supply breaks in")
        errors = _errors(radio)
    except OSError as error:
        return error
    for bits, words in _WORDS:
        if errors & bits:
            return OSError(5, "radio: " + words)
    return OSError(110, "radio: not done in time")


def _errors(radio: Sx1262) -> int:
    answer = radio._do(b"\x17\x00\x00\x00")
    return answer[2] << 8 | answer[3]


async def calibrate_image(radio: Sx1262, freq_hz: int) -> None:
    """For the band that `freq_hz` lies in; ValueError outside of all of them."""
    mhz = freq_hz // 1000000
    for first, last, codes in _IMAGES:
        if first <= mhz < last:
            radio._do(b"\x98" + codes)
            await radio._settle()
            radio._band_mhz = (first, last)
            return
    raise ValueError("%d Hz: no band of this radio" % freq_hz)


async def start(radio: Sx1262) -> None:
    """See Sx1262.start. The order is that of DS 14.2 and of the maker's own drivers."""
    radio._band_mhz = (0, 0)
    radio.identity = ""
    do = radio._do
    options = radio._options
    radio._port.rx_path(0)
    radio._port.reset(0)
    await radio._clock.sleep_ms(_RESET_MS)
    radio._port.reset(1)
    await radio._clock.sleep_ms(_RESET_MS)
    await radio._settle()
    do(b"\x80\x00")
    tcxo_mv = options.get("tcxo_mv", 0)
    if tcxo_mv:
        delay = options.get("tcxo_ms", 5) * 64
        do(bytes((0x97, _TCXO_MV.index(tcxo_mv))) + delay.to_bytes(3, "big"))
        do(b"\x07\x00\x00")  # the error that it did not start before it had supply
    do(b"\x89\x7f")
    await radio._settle()
    do(b"\x80\x01")
    await radio._settle()
    if _errors(radio):
        raise fault(radio)
    do(b"\x9d" + bytes((bool(options.get("dio2_switch", 1)),)))
    do(b"\x96" + bytes((bool(options.get("dcdc", 1)),)))
    do(b"\x8a\x01")
    do(b"\x8f\x00\x00")
    do(b"\x93\x30")  # after a frame: STDBY_XOSC
    do(b"\x0d\x07\x40" + (b"\x34\x44" if options.get("public") else b"\x14\x24"))
    radio._change(0x08D8, 0, 0x1E)  # DS 15.2
    do(bytes((0x0D, 0x08, 0xAC, _GAIN)))  # more sensitive (DS 9.6),
    do(b"\x0d\x02\x9f\x01\x08\xac")  # after sleep, too
    # all flags are kept; the line tells of: TxDone, RxDone, HeaderErr, CadDone, Timeout
    do(b"\x08\x03\xf7\x02\xa3\x00\x00\x00\x00")
    await radio._prepare(255)
    if _errors(radio):
        raise fault(radio)
    radio.identity = "SX1262, " + ("TCXO %d mV" % tcxo_mv if tcxo_mv else "crystal")


async def self_test(radio: Sx1262) -> "list[TestRow]":
    """See Sx1262.self_test: each row is a thing that may be wrong, the first failed one the place to begin."""
    rows = []
    try:
        prove(radio)
        rows.append(("chip answers", True, 0))
        await radio.start()
        rows.append(("oscillator and calibration", True, radio._options.get("tcxo_mv", 0)))
        missed = radio.missed_irqs
        heard = await radio.receive(0)
        rows.append(("interrupt line", radio.missed_irqs == missed, radio.missed_irqs))
        await radio._prepare(255)
        radio._port.rx_path(1)
        await radio._begin(b"\x82\xff\xff\xff", None)
        await radio._clock.sleep_ms(5)
        noise_dbm = -(radio._do(b"\x15\x00\x00")[2] >> 1)
        await radio._standby()
        # an open input reads below thermal noise, a stuck one above any receiver's
        rows.append(("noise at the antenna, dBm", heard is not None or -125 <= noise_dbm <= -60, noise_dbm))
        rows.append(("frames unreadable", True, radio.crc_errors + radio.header_errors))
    except OSError as error:
        rows.append((error.args[1][7:] if len(error.args) > 1 else "radio", False, error.args[0]))
    return rows
