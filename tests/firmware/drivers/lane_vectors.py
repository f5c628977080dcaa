"""Vectors of the sensors of a lane: OPS243-A, and TF-Luna as a gate. From their fact sheets, or worked out by hand."""

# --- OPS243-A ----------------------------------------------------------------------------------------------------


def ascii_hex(text: str) -> str:
    return text.encode("latin-1").hex()


def number(text: str, value: int | None) -> dict:
    return {"do": "ops243a_number", "with": [ascii_hex(text)], "gives": value, "note": text}


def line(text: str, gives: list | None, note: str = "") -> dict:
    return {"do": "ops243a_line", "with": [ascii_hex(text)], "gives": gives, "note": note or text}


def ops243a() -> list[dict]:
    units, count, product = '{"Units":"km-per-hr"}', '{"DetectedObjectCount":3}', '{"Product":"OPS243"}'
    newer = '{"time":"12.345","unit":"mps","magnitude":"1234","speed":"-5.31"}'
    several = '{"magnitude":["2133","1062"],"speed":["-2.56","13.89"]}'
    return [
        number("3.6", 360), number("-5.28", -528), number("0.58", 58), number("13", 1300), number("13.", 1300),
        number("0.005", 1), number("13.894", 1389), number("-0.0", 0), number("", None), number("-", None),
        number("1.2.3", None), number("1e3", None), number(".5", None), number("5-", None), number("+5", None),
        number("1234567", None), number("1.2a", None),
        line("137.429,3.6", ["plain", [[0, 360]]], "worked example 1: time and speed"),
        line('{"speed":0.58, "direction":"inbound", "time":105, "tick":135}', ["speeds", [[0, 58]]], "worked example 2"),
        line('{"speed":0.58, "direction":"outbound", "time":105, "tick":135}', ["speeds", [[0, -58]]], "and away"),
        line("-13.89", ["plain", [[0, -1389]]], "worked example 3"),
        line(units, ["status", ascii_hex(units)], "worked example 4"),
        line(count, ["status", ascii_hex(count)], "worked example 4"),
        line(product, ["status", ascii_hex(product)], "worked example 4"),
        line("241,-5.28", ["plain", [[241, -528]]], "worked example 5: strength and speed"),
        line("3.6", ["plain", [[0, 360]]]),
        line('"mps",241,-5.28', ["plain", [[241, -528]]], "a unit first"),
        line("137.429,241,3.6", ["plain", [[241, 360]]], "time, strength, speed"),
        line('{"speed":"3.6"}', ["speeds", [[0, 360]]], "a string"),
        line(newer, ["speeds", [[1234, -531]]], "newer firmware"),
        line(several, ["speeds", [[2133, -256], [1062, 1389]]], "lists"),
        line('{"magnitude" : [ 2133 , 1062 ] , "speed" : [ -2.56 , 13.89 ]}', ["speeds", [[2133, -256], [1062, 1389]]], "spaces"),
        line('{"speed":"0.00"}', ["speeds", []], "nothing moves"),
        line('{"magnitude":["0"],"speed":["0"]}', ["speeds", []], "nothing moves"),
        line("0.0", ["plain", []], "nothing moves"),
        line('{"magnitude":["2133"],"speed":["-2.56","13.89"]}', None, "lists of two lengths"),
        line('{"magnitude":["2133","1062"],"speed":["-2.56","13.8', None, "broken off"),
        line('{"magnitude":["2133","1062"],"speed":["-2.56","13.89}', None, "broken within"),
        line('{"speed":3.x6}', None, "a byte flipped"),
        line('{"speed":"3.6}', None, "a quotation mark lost"),
        line('{"speed" 3.6}', ["status", ascii_hex('{"speed" 3.6}')], "a colon lost: no speed"),
        line('{"magnitude":"-5","speed":"3.6"}', None, "no strength is negative"),
        line("OJ", None, "an echo"),
        line("\xff\xfe3.6", None, "noise"),
        line("3.6,", None, "broken off"),
        {"do": "ops243a_stream", "with": [["6\r\n3.6\r\n-5.28\r\n1.4"]], "gives": [[["plain", [[0, 360]]], ["plain", [[0, -528]]]], 0],
         "note": "the first line began before, the last is not over"},
        {"do": "ops243a_stream", "with": [['{"speed":"3.6"}\r\n']], "gives": [[["speeds", [[0, 360]]]], 0],
         "note": "a first line that is whole"},
        {"do": "ops243a_stream", "with": [["\n", "{", '"speed":"', '3.6"', "}", "\r", "\n"]], "gives": [[["speeds", [[0, 360]]]], 0],
         "note": "in pieces"},
        {"do": "ops243a_stream", "with": [["\nOJ\n" + product + "\n3.6\n"]],
         "gives": [[["status", ascii_hex(product)], ["plain", [[0, 360]]]], 1], "note": "an echo and a status line between"},
        {"do": "ops243a_stream", "with": [["\n" + "7" * 300, "7" * 10 + "\n3.6\n"]], "gives": [[["plain", [[0, 360]]]], 1],
         "note": "a line without an end"},
    ]  # fmt: skip


# --- TF-Luna -----------------------------------------------------------------------------------------------------

LUNA_300 = "59 59 2C 01 E8 03 F0 08 C2"
LUNA_WEAK = "59 59 00 00 32 00 00 09 ED"
LUNA_SUN = "59 59 58 02 FF FF 90 08 A2"
LUNA_VERSION = "5A 07 01 70 32 09 0D"


def tfluna() -> list[dict]:
    """The chip's bytes, and the gate that is made of them."""
    return luna() + gate()


def luna() -> list[dict]:
    good, weak = [300, 1000, 3000], [0, 50, 3200]
    bytewise = [f"{byte:02x}" for byte in bytes.fromhex((LUNA_300 + LUNA_VERSION + LUNA_WEAK).replace(" ", ""))]
    return [
        {"do": "tfluna_frame", "with": [LUNA_300], "gives": good, "note": "worked example 1"},
        {"do": "tfluna_frame", "with": [LUNA_WEAK], "gives": weak, "note": "worked example 2: 0x0900/8 - 256 = 32 degC"},
        {"do": "tfluna_frame", "with": [LUNA_SUN], "gives": [600, 65535, 1800], "note": "worked example 3"},
        {"do": "tfluna_frame", "with": ["59 59 2C 01 E8 03 F0 08 C3"], "gives": None, "note": "wrong sum"},
        {"do": "tfluna_frame", "with": ["59 59 2D 01 E8 03 F0 08 C2"], "gives": None, "note": "a bit flipped"},
        {"do": "tfluna_frame", "with": ["59 58 2C 01 E8 03 F0 08 C1"], "gives": None, "note": "no header, and the sum fits"},
        {"do": "tfluna_frame", "with": [LUNA_300[:-3]], "gives": None, "note": "a byte short"},
        {"do": "tfluna_frame", "with": ["59 59 00 00 00 00 00 00 B2"], "gives": [0, 0, -25600], "note": "the lowest temperature"},
        {"do": "tfluna_echo", "with": [300, 1000], "gives": 300},
        {"do": "tfluna_echo", "with": [0, 50], "gives": -1, "note": "too weak"},
        {"do": "tfluna_echo", "with": [300, 99], "gives": -1, "note": "one below the maker's limit"},
        {"do": "tfluna_echo", "with": [300, 100], "gives": 300, "note": "on it"},
        {"do": "tfluna_echo", "with": [600, 65535], "gives": -2, "note": "overexposed"},
        {"do": "tfluna_echo", "with": [600, 32768], "gives": -2, "note": "overexposed"},
        {"do": "tfluna_echo", "with": [600, 32767], "gives": 600},
        {"do": "tfluna_echo", "with": [19, 5000], "gives": -3, "note": "nearer than 20 cm"},
        {"do": "tfluna_echo", "with": [2000, 500], "gives": 1200, "note": "beyond what it can measure"},
        {"do": "tfluna_command", "with": [1], "gives": "5a0401" + "5f", "note": "version: 5A 04 01, and the sum"},
        {"do": "tfluna_command", "with": [3, "FA00"], "gives": "5a0603fa00" + "5d", "note": "250 Hz"},
        {"do": "tfluna_command", "with": [5, "01"], "gives": "5a050501" + "65", "note": "nine bytes in cm"},
        {"do": "tfluna_command", "with": [7, "00"], "gives": "5a050700" + "66", "note": "output off"},
        {"do": "tfluna_answer", "with": [LUNA_VERSION], "gives": [1, "703209"], "note": "112, 50, 9: version 9.50.112"},
        {"do": "tfluna_answer", "with": ["5A 07 01 70 32 09 0E"], "gives": None, "note": "wrong sum"},
        {"do": "tfluna_answer", "with": ["5A 05 07 01 67"], "gives": [7, "01"]},
        {"do": "tfluna_answer", "with": ["5A 06 07 01 68"], "gives": None, "note": "its length is another"},
        {"do": "tfluna_stream", "with": [[LUNA_300 + LUNA_VERSION + LUNA_WEAK]], "gives": [[good, weak], [[1, "703209"]], [0, 0]]},
        {"do": "tfluna_stream", "with": [bytewise], "gives": [[good, weak], [[1, "703209"]], [0, 0]], "note": "byte by byte"},
        {"do": "tfluna_stream", "with": [["01 E8 03 F0 08 C2" + LUNA_WEAK]], "gives": [[weak], [], [0, 6]], "note": "out of step"},
        {"do": "tfluna_stream", "with": [["59 59 2C 01 E8 F0 08 C2" + LUNA_300 + LUNA_WEAK]], "gives": [[good, weak], [], [1, 8]],
         "note": "a byte lost: the next frame is delivered"},
        {"do": "tfluna_stream", "with": [["59 59 59 59 E8 03 F0 08 47" + LUNA_WEAK]], "gives": [[[22873, 1000, 3000], weak], [], [0, 0]],
         "note": "59 59 as a distance"},
        {"do": "tfluna_stream", "with": [["59" + LUNA_300]], "gives": [[good], [], [1, 1]], "note": "a header's half before"},
        {"do": "tfluna_stream", "with": [["5A FF 5A 01" + LUNA_300]], "gives": [[good], [], [0, 4]], "note": "no lengths"},
        {"do": "tfluna_stream", "with": [["5A 20" + LUNA_300 * 3 + "00" * 6]], "gives": [[good, good, good], [], [1, 8]],
         "note": "an answer that never was: what it swallowed comes out again"},
        {"do": "tfluna_stream", "with": [[LUNA_300[:-3]]], "gives": [[], [], [0, 0]], "note": "not over"},
    ]  # fmt: skip


def gate_case(note: str, runs: list, gives: list, frame_ms: int = 10, blocked_ms: int = 60000) -> dict:
    return {"do": "gate", "with": [[frame_ms, 1000, blocked_ms], runs], "gives": gives, "note": note}


def gate() -> list[dict]:
    road, car, hole = [500, 100], [350, 30], -1
    return [
        gate_case("learning", [[500, 99]], [None, False, [], [0, 0]]),
        gate_case("a surface, to the bin's middle", [road], [502, False, [], [0, 0]]),
        gate_case("between two bins", [[[499, 500], 50]], [500, False, [], [0, 0]]),
        gate_case("traffic all the time but a fifth", [[350, 80], [500, 20]], [502, False, [], [0, 0]]),
        gate_case("nothing sends the light back", [[hole, 100]], [0, False, [], [0, 0]]),
        gate_case("nothing but sun", [[-2, 100]], [None, True, [], [0, 0]]),
        gate_case("nothing but dirt", [[-3, 100]], [None, True, [], [0, 0]]),
        gate_case("a car, still in the beam", [road, [500, 50], car], [502, False, [], [0, 0]]),
        gate_case("a car has passed", [road, [500, 50], car, [500, 50]], [502, False, [[-1, 300, 152]], [0, 0]]),
        gate_case("two cars, 1.3 s from front to front", [road, car, [500, 100], car, [500, 31]],
                  [502, False, [[-1, 300, 152], [1300, 300, 152]], [0, 0]]),
        gate_case("glass in its middle", [road, [350, 10], [hole, 10], [380, 10], [500, 31]], [502, False, [[-1, 300, 152]], [0, 0]]),
        gate_case("a trailer on its drawbar", [road, [350, 30], [500, 20], [400, 20], [500, 31]],
                  [502, False, [[-1, 700, 152]], [0, 0]]),
        gate_case("a drop is nothing", [road, [350, 2], [500, 31]], [502, False, [], [0, 1]]),
        gate_case("30 ms are too short", [road, [350, 3], [500, 31]], [502, False, [], [0, 1]]),
        gate_case("40 ms are a motorcycle", [road, [350, 4], [500, 31]], [502, False, [[-1, 40, 152]], [0, 0]]),
        gate_case("rain: one frame in thirty", [road, [[200] + [502] * 29, 40]], [502, False, [], [0, 40]]),
        gate_case("rain behind a car does not make it longer", [road, car, [[500] * 10 + [200], 4]],
                  [502, False, [[-1, 300, 152]], [0, 1]]),
        gate_case("a drop does not make it higher", [road, [350, 10], [100, 1], [350, 19], [500, 31]],
                  [502, False, [[-1, 300, 152]], [0, 0]]),
        gate_case("nearer by 30 cm is still the road", [road, [472, 100], [500, 31]], [502, False, [], [0, 0]]),
        gate_case("nearer by 31 cm is not", [road, [471, 100], [500, 31]], [502, False, [[-1, 1000, 31]], [0, 0]]),
        gate_case("snow lifts the road slowly", [road, [490, 512]], [490, False, [], [0, 0]]),
        gate_case("a parked car is told and not counted", [road, [350, 6000], [350, 100]], [502, True, [], [0, 0]]),
        gate_case("and is not counted when it has left", [road, [350, 6100], [500, 31]], [502, False, [], [0, 0]]),
        gate_case("nor is there a headway after it", [road, car, [500, 31], [350, 6100], [500, 31], car, [500, 31]],
                  [502, False, [[-1, 300, 152], [-1, 300, 152]], [0, 0]]),
        gate_case("a car that stood there when it was learned", [[350, 100], [500, 499]], [352, False, [], [0, 0]]),
        gate_case("5 s beyond: learned anew", [[350, 100], [500, 600]], [502, False, [], [0, 0]]),
        gate_case("the road has gone dark", [road, [hole, 500]], [502, False, [], [5000, 0]]),
        gate_case("a car that never ends: dark for 1.5 s", [road, car, [hole, 150], [500, 1]], [502, False, [[-1, 300, 152]], [1210, 0]]),
        gate_case("an open gate", [[hole, 100], [300, 30], [hole, 31]], [0, False, [[-1, 300, -1]], [0, 0]]),
        gate_case("250 frames a second", [[500, 250], [350, 75], [500, 250], [350, 75], [500, 76]],
                  [502, False, [[-1, 300, 152], [1300, 300, 152]], [0, 0]], frame_ms=4),
    ]  # fmt: skip
