"""The rows of the table in `wire.channels`, as text. A node keeps the rows of the few channels that it measures; the rest
leaves its heap once it is set up.

One line a channel; its number is the channel's id, its columns are Channel's without the id: name unit decimals low high
kind min_count min_window_s mode centre width step partner lead. A family stands in one such line and lines of one word:
each word is a channel like that one, with the word in place of what is between the stars.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TABLE = (
    "\n"
    # particulate matter: mass, number and typical size (SPS30, SEN5x, SEN66, SDS011, PMS5003)
    # codec: cities lie near 10 ug/m3 (EEA), a mean over a minute repeats to 0.5 ug/m3 (SPS30 data sheet), fine dust is
    # some two thirds of PM10; number concentrations differ less the larger the particles that they add
    "pm1 ug/m3 1 0 65535 0 0 0 1 0 7 5 0 0\n"
    "pm2_5 ug/m3 1 0 65535 0 0 0 1 0 7 5 1 20\n"
    "pm4 ug/m3 1 0 65535 0 0 0 1 0 7 5 2 10\n"
    "pm10 ug/m3 1 0 65535 0 0 0 1 0 7 8 2 40\n"
    "nc0_5 1/cm3 1 0 65535 0 0 0 1 0 9 30 0 0\n"
    "nc1 1/cm3 1 0 65535 0 0 0 1 0 9 10 5 100\n"
    "nc2_5 1/cm3 1 0 65535 0 0 0 1 0 7 3 6 20\n"
    "nc4 1/cm3 1 0 65535 0 0 0 1 0 6 2 7 5\n"
    "nc10 1/cm3 1 0 65535 0 0 0 1 0 5 1 8 1\n"
    "typical_size um 3 0 65535 0 0 0 1 600 8 10 0 0\n"
    # weather
    # codec: 10 Cel and 70 % are Central Europe's yearly means, 1005 hPa is the standard atmosphere at 70 m; air changes by
    # some 3 K an hour, its pressure hardly more than the resolution in a window
    "temperature Cel 2 -5000 12500 0 0 0 0 1000 11 5 0 0\n"
    "humidity % 1 0 1000 0 0 0 0 700 8 2 0 0\n"
    "pressure hPa 1 3000 11000 0 0 0 0 10050 8 1 0 0\n"
    # gases; electrochemical cells and their electrodes may read below zero
    # codec: 430 ppm is the background of 2025 (NOAA), streets add little; a cell's noise is a few units
    "co2 [ppm] 0 0 40000 0 0 0 1 440 6 4 0 0\n"
    "no2 [ppb] 1 -1000 50000 0 0 0 1 150 8 10 0 0\n"
    "no2_we mV 1 -20000 65535 0 0 0 1 2500 10 5 0 0\n"
    "no2_ae mV 1 -20000 65535 0 0 0 1 2500 10 5 0 0\n"
    "voc_index 1 1 0 5000 0 0 0 1 1000 9 20 0 0\n"
    "nox_index 1 1 0 5000 0 0 0 1 10 5 3 0 0\n"
    "hcho [ppb] 1 0 65535 0 0 0 1 100 8 10 0 0\n"
    # sound: A-weighted levels (re 20 uPa) of whole windows
    # codec: streets lie near 55 dB (where noise maps in the EU begin), single events 5 to 20 dB above a window's mean;
    # percentiles order themselves around it
    "laeq dB 1 0 1600 1 0 1 2 550 7 20 0 0\n"
    "lafmax dB 1 0 1600 2 0 1 2 700 7 40 21 120\n"
    "lafmin dB 1 0 1600 2 0 1 2 450 7 15 21 -80\n"
    "laf10 dB 1 0 1600 3 0 1 2 580 6 8 21 20\n"
    "laf50 dB 1 0 1600 3 0 1 2 520 7 12 21 -30\n"
    "laf90 dB 1 0 1600 3 0 1 2 470 7 12 25 -50\n"
    "laf95 dB 1 0 1600 3 0 1 2 460 5 3 26 -10\n"
    "lceq dB 1 0 1600 1 0 1 2 650 7 15 21 100\n"
    "lcpeak dB 1 0 1800 2 0 1 2 850 7 40 22 150\n"
    # traffic: approach = towards the sensor. Speeds need three vehicles, none is ever reported alone
    # codec: counts scatter as Poisson's do; speeds lie near 40 km/h under a limit of 50, one vehicle 8 km/h off the mean
    "vehicles 1 0 0 65535 4 0 5 3 0 0 0 0 0\n"
    "vehicles_approach 1 0 0 65535 4 0 5 3 0 0 0 0 0\n"
    "vehicles_depart 1 0 0 65535 4 0 5 3 0 0 0 0 0\n"
    "speed_mean km/h 1 0 3000 0 3 5 4 400 8 80 30 0\n"
    "speed_mean_approach km/h 1 0 3000 0 3 5 4 400 8 80 31 0\n"
    "speed_mean_depart km/h 1 0 3000 0 3 5 4 400 8 80 32 0\n"
    "speed_v85 km/h 1 0 3000 3 3 5 4 480 8 120 30 0\n"
    "speed_v85_approach km/h 1 0 3000 3 3 5 4 480 8 120 31 0\n"
    "speed_v85_depart km/h 1 0 3000 3 3 5 4 480 8 120 32 0\n"
    "occupancy % 1 0 1000 0 0 5 2 0 6 20 0 0\n"
    "headway s 1 0 36000 0 3 5 2 0 7 30 0 0\n"
    # the board itself
    "supply_mv mV 0 0 65535 0 0 0 0 4000 10 10 0 0\n"
    "board_temperature Cel 2 -5000 12500 0 0 0 0 2500 11 20 0 0\n"
    # weather that rain gauges and anemometers give
    "rain mm 2 0 65535 5 0 0 2 0 1 0 0 0\n"
    "wind_speed m/s 1 0 1000 0 0 0 2 0 5 8 0 0\n"
    "wind_gust m/s 1 0 1000 2 0 0 2 0 6 12 44 15\n"
    "illuminance lx 0 0 200000 0 0 0 0 0 10 50 0 0\n"
    # traffic, per direction: 30 <= speed < 35 km/h … the last bin has no end but the speeds' own. Nothing of it without
    # three vehicles of the direction: with their number, the time that a single one takes is its speed
    # codec: half a dozen speeds a minute lie in a few bins; a vehicle takes a second or two of the place looked at, one
    # follows another in some five seconds, at least in two
    "vehicles_*0_5*kmh_approach 1 0 0 65535 4 3 5 4 0 3 4 31 0\n"
    "5_10\n10_15\n15_20\n20_25\n25_30\n30_35\n35_40\n40_45\n"
    "45_50\n50_55\n55_60\n60_65\n65_70\n70_75\n75_300\n"
    "vehicles_*0_5*kmh_depart 1 0 0 65535 4 3 5 4 0 3 4 32 0\n"
    "5_10\n10_15\n15_20\n20_25\n25_30\n30_35\n35_40\n40_45\n"
    "45_50\n50_55\n55_60\n60_65\n65_70\n70_75\n75_300\n"
    "occupancy_approach % 1 0 1000 5 3 5 4 100 8 80 31 0\n"
    "occupancy_depart % 1 0 1000 5 3 5 4 100 8 80 32 0\n"
    "headway_median s 1 0 600 3 3 5 4 50 7 50 30 0\n"
    "headway_median_approach s 1 0 600 3 3 5 4 50 7 50 31 0\n"
    "headway_median_depart s 1 0 600 3 3 5 4 50 7 50 32 0\n"
    # classes of vehicles: by height (a LiDAR gate), by length (a radar that tells it)
    "vehicles_*low* 1 0 0 65535 4 0 5 3 0 0 0 0 0\n"
    "high\nshort\nlong\n"
    # extremes of short A-weighted levels (Leq of some 35 ms, no time weighting), as the DNMS module gives them
    # codec: like LAFmax and LAFmin, a little further from the mean
    "laeq_max dB 1 0 1600 2 0 1 2 710 7 40 21 130\n"
    "laeq_min dB 1 0 1600 2 0 1 2 440 7 15 21 -90\n"
    # more of sound: slow maximum, unweighted level, and unweighted levels of one-third octave bands by nominal frequency
    # codec: LASmax lies some 3 dB below LAFmax; of traffic's unweighted level a band has some tenth
    "lasmax dB 1 0 1600 2 0 1 2 670 6 30 22 -30\n"
    "lzeq dB 1 0 1600 1 0 1 2 700 7 15 28 20\n"
    "lzeq_*25* dB 1 0 1600 1 0 10 2 550 7 20 91 -150\n"
    "31_5\n40\n50\n63\n80\n100\n125\n160\n200\n250\n315\n400\n500\n630\n800\n1000\n1250\n"
    "1600\n2000\n2500\n3150\n4000\n5000\n6300\n8000\n10000\n12500\n16000\n"
    # traffic: what was counted since counting began, so that a window that is lost is in the next one's difference
    # codec: a mark and 24 bits at first, then some vehicles a window
    "vehicles_total 1 0 0 1073741823 6 0 5 0 0 24 8 30 0\n"
    "vehicles_total_approach 1 0 0 1073741823 6 0 5 0 0 24 8 31 0\n"
    "vehicles_total_depart 1 0 0 1073741823 6 0 5 0 0 24 8 32 0\n"
)


def row(channel_id: int) -> "list[Any]":
    """The columns of a channel that there is, from its name on."""
    lines = TABLE.split("\n", channel_id + 1)
    at = channel_id
    while " " not in lines[at]:
        at -= 1
    found: "list[Any]" = lines[at].split(" ")
    name = found[0].split("*")
    if at < channel_id:
        name[1] = lines[channel_id]
    return ["".join(name), found[1]] + [int(found[i]) for i in range(2, len(found))]


def id_of(name: str) -> int:
    """The id of the channel with this name; KeyError if there is none. Makes no row of it."""
    table = TABLE
    at = table.find("\n" + name + " ")
    star = table.find("*")
    while at < 0 <= star:  # a family
        begin = table.rfind("\n", 0, star)
        end = table.find("\n", star)
        head, word, tail = table[begin + 1 : table.find(" ", begin)].split("*")
        looked = name[len(head) : len(name) - len(tail)]
        if name == head + looked + tail:
            after = table.find(" ", end) % (len(table) + 1)  # -1: nothing comes after this family
            at = begin if looked == word else table.find("\n" + looked + "\n", end, after)
        star = table.find("*", end)
    if at < 0:
        raise KeyError(name)
    return table.count("\n", 0, at + 1)
