"""The one table of what can be measured.

A value travels and is stored as the integer `value * 10**decimals`, and `low` and `high` are in those raw units:
the ESP32's floats are single precision. Units are UCUM codes. Ids are append-only: a row may be added at the end,
none is ever changed or reused (`tests/vectors/channels.json` holds the frozen table).

Privacy rule: a window that rests on fewer than `min_count` events, or that is shorter than `min_window_s`, never
carries a value of the channel: the mean of one vehicle is that vehicle, and levels faster than a second follow speech.

The last six columns are what the records codec expects before it has seen anything. They come from physics, from
the sensors' resolution and from what cities usually are, never from a recorded series; a value that differs costs
bits and nothing else. Raw units: `centre` is where a value usually lies and 2**`width` how far around it it usually
scatters; `step` is the usual change from one window to the next; `partner` is the id of the channel (0: none) that it
follows, `lead` how far it usually lies above that one: coarse dust contains the fine dust, a maximum lies above
its mean. The partner of a SAMPLE channel is the number of events that it rests on. The width of an EVENTS channel
comes from the window's length. They are part of the wire format: changing one needs a new wire version.
"""

from collections import namedtuple

MEAN = 0  # arithmetic mean over the window
ENERGY = 1  # level of the mean energy (Leq)
MAX = 2  # highest (or, where the name says so, lowest) value within the window
PERCENTILE = 3  # value exceeded or not exceeded in a share of the window, as the name says
COUNT = 4  # events in the window
SUM = 5  # sum over the window

KINDS = ("mean", "energy mean", "max", "percentile", "count", "sum")

# How the records codec predicts the channel (wire/values.py says what each mode means).
LAST = 0  # the value before
BLEND = 1  # half the value before, half what was expected of it
AVERAGE = 2  # the mean of the values before
EVENTS = 3  # the same for a count, which scatters by the square root of itself
SAMPLE = 4  # the same for a statistic of single events, which scatters by the root of their number

MODES = ("last", "blend", "average", "events", "sample")

Channel = namedtuple(
    "Channel",
    (
        "id",
        "name",
        "unit",
        "decimals",
        "low",
        "high",
        "kind",
        "min_count",
        "min_window_s",
        "mode",
        "centre",
        "width",
        "step",
        "partner",
        "lead",
    ),
)

CHANNELS = (
    # particulate matter: mass, number and typical size (SPS30, SEN5x, SEN66, SDS011, PMS5003)
    # codec: cities lie near 10 ug/m3 (EEA), a mean over a minute repeats to 0.5 ug/m3 (SPS30 data sheet), fine dust is
    # some two thirds of PM10; number concentrations differ less the larger the particles that they add
    Channel(1, "pm1", "ug/m3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 7, 5, 0, 0),
    Channel(2, "pm2_5", "ug/m3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 7, 5, 1, 20),
    Channel(3, "pm4", "ug/m3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 7, 5, 2, 10),
    Channel(4, "pm10", "ug/m3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 7, 8, 2, 40),
    Channel(5, "nc0_5", "1/cm3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 9, 30, 0, 0),
    Channel(6, "nc1", "1/cm3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 9, 10, 5, 100),
    Channel(7, "nc2_5", "1/cm3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 7, 3, 6, 20),
    Channel(8, "nc4", "1/cm3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 6, 2, 7, 5),
    Channel(9, "nc10", "1/cm3", 1, 0, 65535, MEAN, 0, 0, BLEND, 0, 5, 1, 8, 1),
    Channel(10, "typical_size", "um", 3, 0, 65535, MEAN, 0, 0, BLEND, 600, 8, 10, 0, 0),
    # weather
    # codec: 10 Cel and 70 % are Central Europe's yearly means, 1005 hPa is the standard atmosphere at 70 m; air changes by
    # some 3 K an hour, its pressure hardly more than the resolution in a window
    Channel(11, "temperature", "Cel", 2, -5000, 12500, MEAN, 0, 0, LAST, 1000, 11, 5, 0, 0),
    Channel(12, "humidity", "%", 1, 0, 1000, MEAN, 0, 0, LAST, 700, 8, 2, 0, 0),
    Channel(13, "pressure", "hPa", 1, 3000, 11000, MEAN, 0, 0, LAST, 10050, 8, 1, 0, 0),
    # gases; electrochemical cells and their electrodes may read below zero
    # codec: 430 ppm is the background of 2025 (NOAA), streets add little; a cell's noise is a few units
    Channel(14, "co2", "[ppm]", 0, 0, 40000, MEAN, 0, 0, BLEND, 440, 6, 4, 0, 0),
    Channel(15, "no2", "[ppb]", 1, -1000, 50000, MEAN, 0, 0, BLEND, 150, 8, 10, 0, 0),
    Channel(16, "no2_we", "mV", 1, -20000, 65535, MEAN, 0, 0, BLEND, 2500, 10, 5, 0, 0),
    Channel(17, "no2_ae", "mV", 1, -20000, 65535, MEAN, 0, 0, BLEND, 2500, 10, 5, 0, 0),
    Channel(18, "voc_index", "1", 1, 0, 5000, MEAN, 0, 0, BLEND, 1000, 9, 20, 0, 0),
    Channel(19, "nox_index", "1", 1, 0, 5000, MEAN, 0, 0, BLEND, 10, 5, 3, 0, 0),
    Channel(20, "hcho", "[ppb]", 1, 0, 65535, MEAN, 0, 0, BLEND, 100, 8, 10, 0, 0),
    # sound: A-weighted levels (re 20 uPa) of whole windows
    # codec: streets lie near 55 dB (where noise maps in the EU begin), single events 5 to 20 dB above a window's mean;
    # percentiles order themselves around it
    Channel(21, "laeq", "dB", 1, 0, 1600, ENERGY, 0, 1, AVERAGE, 550, 7, 20, 0, 0),
    Channel(22, "lafmax", "dB", 1, 0, 1600, MAX, 0, 1, AVERAGE, 700, 7, 40, 21, 120),
    Channel(23, "lafmin", "dB", 1, 0, 1600, MAX, 0, 1, AVERAGE, 450, 7, 15, 21, -80),
    Channel(24, "laf10", "dB", 1, 0, 1600, PERCENTILE, 0, 1, AVERAGE, 580, 6, 8, 21, 20),
    Channel(25, "laf50", "dB", 1, 0, 1600, PERCENTILE, 0, 1, AVERAGE, 520, 7, 12, 21, -30),
    Channel(26, "laf90", "dB", 1, 0, 1600, PERCENTILE, 0, 1, AVERAGE, 470, 7, 12, 25, -50),
    Channel(27, "laf95", "dB", 1, 0, 1600, PERCENTILE, 0, 1, AVERAGE, 460, 5, 3, 26, -10),
    Channel(28, "lceq", "dB", 1, 0, 1600, ENERGY, 0, 1, AVERAGE, 650, 7, 15, 21, 100),
    Channel(29, "lcpeak", "dB", 1, 0, 1800, MAX, 0, 1, AVERAGE, 850, 7, 40, 22, 150),
    # traffic: approach = towards the sensor. Speeds need three vehicles, none is ever reported alone
    # codec: counts scatter as Poisson's do; speeds lie near 40 km/h under a limit of 50, one vehicle 8 km/h off the mean
    Channel(30, "vehicles", "1", 0, 0, 65535, COUNT, 0, 5, EVENTS, 0, 0, 0, 0, 0),
    Channel(31, "vehicles_approach", "1", 0, 0, 65535, COUNT, 0, 5, EVENTS, 0, 0, 0, 0, 0),
    Channel(32, "vehicles_depart", "1", 0, 0, 65535, COUNT, 0, 5, EVENTS, 0, 0, 0, 0, 0),
    Channel(33, "speed_mean", "km/h", 1, 0, 3000, MEAN, 3, 5, SAMPLE, 400, 8, 80, 30, 0),
    Channel(34, "speed_mean_approach", "km/h", 1, 0, 3000, MEAN, 3, 5, SAMPLE, 400, 8, 80, 31, 0),
    Channel(35, "speed_mean_depart", "km/h", 1, 0, 3000, MEAN, 3, 5, SAMPLE, 400, 8, 80, 32, 0),
    Channel(36, "speed_v85", "km/h", 1, 0, 3000, PERCENTILE, 3, 5, SAMPLE, 480, 8, 120, 30, 0),
    Channel(37, "speed_v85_approach", "km/h", 1, 0, 3000, PERCENTILE, 3, 5, SAMPLE, 480, 8, 120, 31, 0),
    Channel(38, "speed_v85_depart", "km/h", 1, 0, 3000, PERCENTILE, 3, 5, SAMPLE, 480, 8, 120, 32, 0),
    Channel(39, "occupancy", "%", 1, 0, 1000, MEAN, 0, 5, AVERAGE, 0, 6, 20, 0, 0),
    Channel(40, "headway", "s", 1, 0, 36000, MEAN, 3, 5, AVERAGE, 0, 7, 30, 0, 0),
    # the board itself
    Channel(41, "supply_mv", "mV", 0, 0, 65535, MEAN, 0, 0, LAST, 4000, 10, 10, 0, 0),
    Channel(42, "board_temperature", "Cel", 2, -5000, 12500, MEAN, 0, 0, LAST, 2500, 11, 20, 0, 0),
    # weather that rain gauges and anemometers give
    Channel(43, "rain", "mm", 2, 0, 65535, SUM, 0, 0, AVERAGE, 0, 1, 0, 0, 0),
    Channel(44, "wind_speed", "m/s", 1, 0, 1000, MEAN, 0, 0, AVERAGE, 0, 5, 8, 0, 0),
    Channel(45, "wind_gust", "m/s", 1, 0, 1000, MAX, 0, 0, AVERAGE, 0, 6, 12, 44, 15),
    Channel(46, "illuminance", "lx", 0, 0, 200000, MEAN, 0, 0, LAST, 0, 10, 50, 0, 0),
)


def by_id(channel_id: int) -> Channel:
    """The channel with this id; KeyError if there is none."""
    if 0 < channel_id <= len(CHANNELS):
        return CHANNELS[channel_id - 1]  # ids are the row numbers: append-only and without gaps
    raise KeyError(channel_id)


def by_name(name: str) -> Channel:
    """The channel with this name; KeyError if there is none."""
    for channel in CHANNELS:
        if channel.name == name:
            return channel
    raise KeyError(name)
