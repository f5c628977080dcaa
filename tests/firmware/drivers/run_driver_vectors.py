"""Runs tests/vectors/drivers/*.json against the drivers' pure functions, on any interpreter.

    run_driver_vectors.py NAME...      prints one JSON line per failure, then {"ran": N, "failed": M}
                                       NAME@0/3: every third case, from the first on

A case: {"do": function, "with": [arguments], "gives": value} or {"…", "raises": reason name}. Strings are bytes in hex.
"""

import json
import sys

from firmware.drivers import SensorError, reason_text


class Lazy:
    """A module that is loaded when something of it is first wanted: all drivers at once do not fit a heap that is never
    collected (31-bit integers)."""

    def __init__(self, path):
        self._path = path
        self._module = None

    def __getattr__(self, name):
        if self._module is None:
            self._module = __import__(self._path, None, None, (name,))
        return getattr(self._module, name)


ads1115_no2 = Lazy("firmware.drivers.ads1115_no2")
bme280 = Lazy("firmware.drivers.bme280")
bme280_care = Lazy("firmware.drivers.bme280_care")
dnms = Lazy("firmware.drivers.dnms")
gate = Lazy("firmware.drivers.gate")
ld2451 = Lazy("firmware.drivers.ld2451")
line = Lazy("firmware.drivers.line")
ops243a = Lazy("firmware.drivers.ops243a")
pms5003 = Lazy("firmware.drivers.pms5003")
scd41 = Lazy("firmware.drivers.scd41")
sds011 = Lazy("firmware.drivers.sds011")
sen = Lazy("firmware.drivers.sen")
sen66 = Lazy("firmware.drivers.sen66")
sensirion = Lazy("firmware.drivers.sensirion")
sht4x = Lazy("firmware.drivers.sht4x")
sps30 = Lazy("firmware.drivers.sps30")
sps30_uart = Lazy("firmware.drivers.sps30_uart")
sx1262 = Lazy("firmware.drivers.sx1262")
sx1276 = Lazy("firmware.drivers.sx1276")
tfluna = Lazy("firmware.drivers.tfluna")
radio_script = Lazy("tests.firmware.drivers.radio_script")
aggregate = Lazy("firmware.aggregate")
level = Lazy("firmware.dsp.level")
limits = Lazy("firmware.limits")
channels = Lazy("wire.channels")

FOLDER = "tests/vectors/drivers/"


def from_bme280(calibration, data):
    """The values of a burst, by the registers of the calibration."""
    first, second = calibration[:26], calibration[26:]
    return bme280.decode(bme280_care.unpack_calibration(first, second), data)


def bme280_raw(calibration, data):
    """(t_fine, 0.01 Cel, 1/256 Pa, 1/1024 %) without limits."""
    numbers = bme280_care.unpack_calibration(calibration[:26], calibration[26:])
    pressure, temperature, humidity = bme280.unpack_data(data)
    fine = bme280.fine_temperature(numbers, temperature)
    return (
        fine,
        bme280.centi_celsius(fine),
        bme280.pascal_256(numbers, pressure, fine),
        bme280.humidity_1024(numbers, humidity, fine),
    )


def sps30_i2c(raw, floats):
    """The values of an I2C answer, None where the driver would refuse."""
    payload = sensirion.words(raw)
    if payload is None:
        return None
    return sps30.decode_floats(payload) if floats else sps30.decode_integers(payload)


def dnms_i2c(raw):
    """The levels of an I2C answer, None where a checksum is wrong."""
    payload = sensirion.words(raw)
    return None if payload is None else dnms.decode_levels(payload)


def checked(decode):
    """A driver's decoding behind the check of an answer's checksums; "bad checksum" where that fails."""

    def decoded(raw):
        payload = sensirion.words(raw)
        return "bad checksum" if payload is None else decode(payload)

    return decoded


def ld2451_stream(pieces):
    """What a fresh parser gives for a stream in pieces, and what it dropped."""
    parser = ld2451.Parser([0, 0, 0])
    found = []
    for piece in pieces:
        found.extend(parser.feed(bytes.fromhex(piece.replace(" ", ""))))
    dropped = parser.dropped
    return [found, [dropped["noise"], dropped["length"], dropped["footer"], dropped["fields"]]]


def i2s(module):
    """Imported when it is wanted: not every port has machine code."""
    name = "firmware.drivers." + module
    __import__(name)
    return sys.modules[name]


def i2s_samples(raw, slot, late):
    """24-bit samples of a block: of one slot of two (0, 1) or of the only one (None), moved into step."""
    block = bytearray(raw)
    count = len(block) // 4
    if slot is not None:
        count //= 2
    i2s("i2s_words").tidy(slot or 0, count, block, 1 if slot is None else 2, late)
    found = []
    for at in range(1, 4 * count, 4):
        sample = block[at] | block[at + 1] << 8 | block[at + 2] << 16
        found.append(sample - (sample >> 23 << 24))
    return found


def stream(cut, pieces):
    """[frames that a line gives for a stream in pieces, how much it dropped, what was wrong with it]."""
    cable = line.Line(None, None, cut)
    found = []
    for piece in pieces:
        cable.feed(bytes.fromhex(piece.replace(" ", "")))
        frame = cable.waiting()
        while frame is not None:
            found.append(frame)
            frame = cable.waiting()
    return [found, cable.dropped, reason_text(cable.reason)]


def cell_ppb(cell, temperature_cdeg, sensitivity, we_uv, ae_uv):
    """0.01 ppb of voltages above their zeros."""
    return ads1115_no2.centi_ppb(we_uv, ae_uv, sensitivity, ads1115_no2.temperature_factor(cell, temperature_cdeg))


def ops243a_stream(pieces):
    """What fresh lines give for a stream in pieces (text), and how many lines nobody could read."""
    lines = ops243a.Lines()
    found = []
    for piece in pieces:
        found.extend(lines.feed(piece.encode()))
    return [found, lines.dropped]


def tfluna_stream(pieces):
    """Frames and answers that a fresh parser gives for a stream in pieces, [bad sums, bytes thrown away]."""
    parser = tfluna.Parser()
    found = []
    for piece in pieces:
        found.extend(parser.feed(bytes.fromhex(piece.replace(" ", ""))))
    return [found, parser.answers, [parser.bad_sums, parser.noise]]


def gate_run(settings, runs):
    """A gate of (frame ms, learn ms, blocked ms) that sees runs of [echo, frames] or [[echoes], times]: where the beam
    ends, whether it is blocked, what has passed, [dark ms, blips]."""
    beam = gate.Gate(*settings)
    for echo, times in runs:
        for _ in range(times):
            for one in echo if isinstance(echo, list) else (echo,):
                beam.frame(one)
    return [beam.background_cm, beam.blocked, beam.ended, [beam.dark_ms, beam.blips]]


def opened(*given):
    """A window; the source of its limits is not compiled anew for each, since nothing collects it everywhere."""
    from firmware import quality

    quality.memory = limits.memory
    return aggregate.Window(*given)


def window(items, window_ms, min_count, steps):
    """The window closed after steps: ["add", channel name, instance, value, span, flag?], ["refuse", reason, span, items?], …"""
    places = [(channels.by_name(name).id, instance) for name, instance in items]
    open_window = opened(places, window_ms, min_count)
    closed = fill(open_window, places, steps)
    return [closed.values, closed.coverage_pct, closed.flags, closed.cause]


def windows(items, window_ms, many, mark=0):
    """Values and flags of windows one after the other; [steps, how often]. `mark`: of totals."""
    places = [(channels.by_name(name).id, instance) for name, instance in items]
    open_window = opened(places, window_ms, 3, mark)
    out = []
    for steps, times in many:
        for _ in range(times):
            closed = fill(open_window, places, steps)
            open_window.clear()
        out.append([closed.values, closed.flags])
    return out


def fill(open_window, places, steps):
    """Play the steps of one window and close it."""
    for step in steps:
        what, rest = step[0], step[1:]
        if what == "add":
            open_window.add(channels.by_name(rest[0]).id, *rest[1:])
        else:
            which = [places[at] for at in rest.pop()] if isinstance(rest[-1], list) else None
            getattr(open_window, what)(*rest, items=which)
    return open_window.close()


def sx1262_run(options, calls, replies):
    """[commands, results, error] of a driver whose chip answers as told; idle it says "reception"."""
    return radio_script.run(sx1262.Sx1262, 0x50, radio_script.PROOF_SX1262, options, calls, replies)


def sx1276_run(options, calls, replies):
    """The same of the other one."""
    return radio_script.run(sx1276.Sx1276, 0x00, radio_script.PROOF_SX1276, options, calls, replies)


CELLS = ("no2-b43f", "no2-a43f")  # strings are bytes in a case

# What a case calls: something that gives the function, so that only its own driver is loaded.
FUNCTIONS = {
    "crc8": lambda: sensirion.crc8,
    "with_crc": lambda: sensirion.with_crc,
    "words": lambda: sensirion.words,
    "scaled_float": lambda: sensirion.scaled_float,
    "sps30_i2c": lambda: sps30_i2c,
    "sps30_floats": lambda: sps30.decode_floats,
    "bme280_calibration": lambda: lambda raw: bme280_care.unpack_calibration(raw[:26], raw[26:]),
    "bme280_data": lambda: bme280.unpack_data,
    "bme280": lambda: from_bme280,
    "bme280_raw": lambda: bme280_raw,
    "dnms_i2c": lambda: dnms_i2c,
    "dnms_levels": lambda: dnms.decode_levels,
    "dnms_bands": lambda: dnms.decode_bands,
    "dnms_version": lambda: lambda raw: dnms.decode_version(raw).encode(),
    "sen5x": lambda: checked(sen.decode),
    "sen66": lambda: checked(sen66.decode),
    "sen_text": lambda: sen.text,
    "scd41": lambda: checked(scd41.decode),
    "scd41_offset": lambda: scd41.offset_word,
    "sht4x": lambda: checked(sht4x.decode),
    "ld2451_command": lambda: ld2451.command,
    "ld2451_report": lambda: ld2451.decode_report,
    "ld2451_ack": lambda: ld2451.decode_ack,
    "ld2451_stream": lambda: ld2451_stream,
    "i2s_samples": lambda: i2s_samples,
    "i2s_look": lambda: lambda raw: i2s("i2s_mic").look(raw, len(raw), 4),
    "i2s_width": lambda: lambda high, low: i2s("i2s_care").width(high, low),
    "i2s_lateness": lambda: lambda found, bits: i2s("i2s_care").lateness(found, bits),
    "sps30_frame": lambda: sps30_uart.frame,
    "sps30_stream": lambda: lambda pieces: stream(sps30_uart.cut, pieces),
    "sps30_uart": lambda: (
        lambda pieces: [sps30.decode_floats(frame[2:]) for frame in stream(sps30_uart.cut, pieces)[0]]
    ),
    "sds011_command": lambda: sds011.command,
    "sds011_stream": lambda: lambda pieces: stream(sds011.cut, pieces),
    "sds011_report": lambda: sds011.decode_report,
    "pms5003_command": lambda: pms5003.command,
    "pms5003_stream": lambda: lambda pieces: stream(pms5003.cut, pieces),
    "pms5003_data": lambda: lambda frame, column: pms5003.decode_data(frame, column == 1),
    "ads1115_config": lambda: ads1115_no2.config,
    "ads1115_microvolts": lambda: ads1115_no2.microvolts,
    "no2_factor": lambda: lambda cell, cdeg: ads1115_no2.temperature_factor(CELLS[cell], cdeg),
    "no2_ppb": lambda: lambda cell, *rest: cell_ppb(CELLS[cell], *rest),
    "ops243a_number": lambda: ops243a.hundredths,
    "ops243a_line": lambda: ops243a.decode_line,
    "ops243a_stream": lambda: ops243a_stream,
    "tfluna_command": lambda: tfluna.command,
    "tfluna_frame": lambda: tfluna.decode_frame,
    "tfluna_answer": lambda: tfluna.decode_answer,
    "tfluna_echo": lambda: tfluna.echo,
    "tfluna_stream": lambda: tfluna_stream,
    "gate": lambda: gate_run,
    "sx1262": lambda: sx1262_run,
    "sx1262_heard": lambda: lambda replies: sx1262_run({}, [["receive", 0]], replies)[1][0],
    "sx1276": lambda: sx1276_run,
    "sx1276_heard": lambda: lambda replies: sx1276_run({}, [["receive", 0]], replies)[1][0],
    "strength_dbm": lambda: sx1276.strength_dbm,
    "amplifier": lambda: sx1276.amplifier,
    "centi_db": lambda: level.centi_db,
    "energy": lambda: level.energy,
    "window": lambda: window,
    "windows": lambda: windows,
}


def plain(value):
    """As JSON has it."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return "".join([f"{byte:02x}" for byte in value])
    return value


def outcome(case):
    """What the function gives, or the name of the SensorError's reason."""
    arguments = [bytes.fromhex(item.replace(" ", "")) if isinstance(item, str) else item for item in case["with"]]
    try:
        return plain(FUNCTIONS[case["do"]]()(*arguments))
    except SensorError as error:
        return {"raises": reason_text(error.reason)}
    except ValueError:
        return {"raises": "ValueError"}


def run(cases):
    """(number of cases, failures)."""
    failures = []
    for case in cases:
        got = outcome(case)
        wanted = {"raises": case["raises"]} if "raises" in case else case["gives"]
        if got != wanted:
            failures.append({"case": case, "got": got})
    return len(cases), failures


def words(failure):
    """Inputs, the expected value, what came out."""
    case = failure["case"]
    inputs = ", ".join([item if isinstance(item, str) else json.dumps(item) for item in case["with"]])
    wanted = "the error " + case["raises"] if "raises" in case else json.dumps(case["gives"])
    return f"{case['do']}({inputs}): expected {wanted}, got {json.dumps(failure['got'])}"


def main(names):
    ran = failed = 0
    for name in names:
        name, _, part = name.partition("@")
        with open(FOLDER + name) as file:
            cases = json.loads(file.read())["cases"]
        if part:
            first, of = part.split("/")
            cases = cases[int(first) :: int(of)]
        count, failures = run(cases)
        ran += count
        failed += len(failures)
        for failure in failures:
            print(json.dumps(failure))
    print(json.dumps({"ran": ran, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1:])
