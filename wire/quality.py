"""Quality of a value: QARTOD's flag and, where it is not good, the reason. Both are one number: flag | reason << 4.

On the node these are numbers in the code that uses them; the words are for the other end. Reasons are append-only, and
there are at most fifteen: a flag with its reason is one byte in every store.
"""

# Flags: Manual for the Use of Real-Time Oceanographic Data Quality Control Flags, IOOS QARTOD.
GOOD = 1
NOT_EVALUATED = 2
SUSPECT = 3
BAD = 4
MISSING = 9

RANGE = 1  # outside what is plausible here, or beyond what the chip can give
SPIKE = 2  # one reading far from both of its neighbours
FLAT_LINE = 3  # the same reading for longer than a live sensor can give it
RATE = 4  # changed faster from window to window than the quantity does
WARM_UP = 5  # the sensor was warming up during a part of the window, or all of it
STATUS = 6  # the chip's own status word, or what amounts to one, says that something is wrong
HUMIDITY = 7  # particles at a relative humidity above 80 %: droplets are counted
WIND = 8  # wind on the microphone
BLOCKED = 9  # a counter that sees nothing, against its own habit, or something that stands before it
OVERLOAD = 10  # sound beyond what the microphone takes
UNDERRANGE = 11  # sound below the microphone's own noise
CALIBRATION = 12  # NOT_EVALUATED: there is none. SUSPECT: it has expired
LOST = 13  # samples were lost within the window
CONTRADICTION = 14  # one sensor's readings contradict each other

FLAG_NAMES = {GOOD: "good", NOT_EVALUATED: "not_evaluated", SUSPECT: "suspect", BAD: "bad", MISSING: "missing"}
REASON_NAMES = (
    "", "range", "spike", "flat_line", "rate_of_change", "warm_up", "sensor_status", "humidity", "wind", "blocked",
    "overload", "underrange", "calibration", "samples_lost", "contradiction",
)  # fmt: skip


def flag_name(quality: int) -> str:
    """ "suspect"; `flag_N` for what no version of ours knows."""
    return FLAG_NAMES.get(quality & 15, "flag_%d" % (quality & 15))


def reason_name(quality: int) -> str:
    """ "humidity"; "" where there is no reason; `reason_N` for what a newer node may say."""
    reason = quality >> 4
    return REASON_NAMES[reason] if reason < len(REASON_NAMES) else "reason_%d" % reason
