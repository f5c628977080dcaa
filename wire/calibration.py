"""What changes the meaning of values, and the number that names it. A board loads this when it begins its windows.

Slot k names an item (`cal_item.k` = channel id * 16 + instance; 0: neither this slot nor any after it is used)
and what is done to its value at the end of a window, in whole numbers, halves rounded up:

    reported = round(slope * raw * D / (10000 * (D + kappa * h))) + offset,    D = 1650 * (1000 - h)

with `cal_slope.k` in 1/10000, `cal_offset.k` in raw units of the channel, `cal_kappa.k` in 1/1000, h the window's
`humidity` of instance 0 in 0.1 %, at most 950. Without kappa, or where h is missing, D / (D + kappa * h) is 1. `passport`
says who found these constants out (docs/calibration.md); it does nothing to a value but is part of the set's number.
"""

import binascii

from wire.settings import by_name

# Settings that change what a value means: a record made under others names another profile.
CALIBRATION = (
    "direction_flip", "min_count", "mic_offset_cdb", "temperature_offset_cdeg", "speed_angle_deg",
    "cal_item", "cal_slope", "cal_offset", "cal_kappa", "passport",
)  # fmt: skip


def calibration(values: "dict[str, int]") -> int:
    """Names the calibration in force, `values` being all settings that were set, by name (`name.instance` where there
    are several): 0 while every setting of CALIBRATION has its default, else the CRC-32 of all others, each as
    `name.instance=value` and a space, in the order of CALIBRATION, instances as text."""
    text = ""
    for name in CALIBRATION:
        default = by_name(name).default
        for key in sorted(values):
            if key.split(".")[0] == name and values[key] != default:
                text += "%s=%d " % (key if "." in key else key + ".0", values[key])
    return binascii.crc32(text.encode()) if text else 0
