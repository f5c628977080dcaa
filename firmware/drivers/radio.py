"""Opens the radio that board.json names. Loaded once, by boards that have one, and forgotten.

Drivers of radios (firmware.drivers.sx1262, sx1276) have one surface:
    Class(port, clock, options)     port: hal.radio_port(); options: the entry `radio` of board.json, and `public`
                                    proves that the chip answers; OSError with a word if not
    async start()                   reset, calibration, errata; again after a failure
    tune(freq_hz, sf, power_dbm, inverted)      applied by the next call; `inverted`: of the chirps of both directions
    async cad() -> bool             somebody is sending at this frequency and SF
    async transmit(frame, at_us=None) -> int    begins at once, or at a time of `port.now_us`; the time of its end
    async receive(timeout_ms, at_us=None)       a frame whose preamble begins within `timeout_ms` from now (or from at_us);
                                    None if there is none
    async listen(timeout_ms)        the same without an end: the chip goes on receiving between two calls
    async sleep()                   until the next call of any other
    async self_test()               -> [(what, whether it passed, a number)]: what a technician reads
    crc_errors, header_errors       frames that were heard and could not be read
    identity                        text for a technician ("" before start)
Instants of `port.now_us` are added to by `port.us_add` alone, and compared by `port.us_diff`: both are written in C and take
integers of 30 bits for what they are, any longer one, which is an object, for its address.
A frame that was heard is (bytes, rssi_dbm, snr_qdb, signal_dbm, freq_error_hz, end_us): snr in quarters of a dB, the
error of the sender's frequency as the chip saw it, `end_us` by `port.now_us`.
Every failure of the chip is an OSError whose second argument says in words what is wrong.
"""

from firmware.drivers import RADIOS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SETTLE_MS = 20  # a rail that was just turned on, and the chip's own power-up reset


async def open_radio(board: dict, hal: "Any", clock: "Any") -> "Any":
    """The radio of a whole board.json, on power, proven but not started. OSError, with a word."""
    entry = board["radio"]
    if "pmu" in board:
        from firmware.power.pmu import power

        bus = board["buses"][board["pmu"]["bus"]]
        await power(hal.i2c(bus["id"], bus["scl"], bus["sda"], bus["freq"]), clock, board["pmu"])
        await clock.sleep_ms(_SETTLE_MS)
    bus = board["buses"][entry["bus"]]
    port = hal.radio_port(
        bus["id"], bus["sck"], bus["mosi"], bus["miso"], entry["nss"], entry["reset"], entry["irq"], entry.get("busy", -1),
        entry.get("rxen", -1), bus["freq"],
    )  # fmt: skip
    name = RADIOS[entry["chip"]]
    driver = getattr(__import__("firmware.drivers." + entry["chip"], None, None, (name,)), name)
    return driver(port, clock, dict(entry, public=board["link"].get("public", 0)))
