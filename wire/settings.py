"""The one table of what can be set on a node. Values are integers; ids are append-only.

`instances` > 1 means one value per instance (window_s has one per profile), named `name.instance` in files.
Boards that save power: one that sleeps wakes `warmup_s` before the last `measure_s` of a window; the link of one that
sleeps or is buffered is used every `exchange_s`, for at most `exchange_wait_s` while a gateway is silent.
`writable` is 0 for settings that only provisioning changes. Times of day do not exist here: `grid_until_s` is unix UTC.
The `cal_…` settings and `passport` are explained in wire/calibration.py.
`lora_sf`, `lora_power_dbm` and `lora_channels` (a mask of the region's uplink channels, bit 0 the first) are the rate that
a boot begins with, until a gateway commands another one; at `lora_rendezvous_sf` a node that hears nothing is looked for.
Every `lora_ask_every` frames of records an answer is asked for, and what a window's end brings waits a random time up to
`lora_spread_s`, so that nodes with the same windows do not speak at once.
"""

from collections import namedtuple

Setting = namedtuple("Setting", "id name low high default unit writable instances")

SETTINGS = (
    Setting(1, "window_s", 1, 86400, 60, "s", 1, 4),
    Setting(2, "health_s", 1, 86400, 3600, "s", 1, 1),
    Setting(3, "sample_ms", 50, 60000, 1000, "ms", 1, 1),
    Setting(4, "ack_wait_ms", 50, 600000, 1500, "ms", 1, 1),
    Setting(5, "batch_max", 1, 64, 16, "1", 1, 1),
    Setting(6, "hello_after", 1, 255, 20, "1", 1, 1),
    Setting(7, "grid_until_s", 0, 4102444800, 0, "s", 1, 1),
    Setting(8, "log_level", 0, 4, 3, "1", 1, 1),
    Setting(9, "outbox_kb", 16, 16384, 512, "KiBy", 0, 1),
    Setting(10, "live_first", 0, 1, 1, "1", 1, 1),
    Setting(11, "direction_flip", 0, 1, 0, "1", 1, 4),
    Setting(12, "min_count", 3, 255, 3, "1", 1, 1),
    Setting(13, "mic_offset_cdb", -3000, 3000, 0, "mB", 1, 4),
    Setting(14, "temperature_offset_cdeg", -1000, 1000, 0, "cCel", 1, 4),
    Setting(15, "speed_angle_deg", 0, 60, 0, "deg", 1, 4),
    Setting(16, "retry_max_ms", 1000, 3600000, 60000, "ms", 1, 1),
    Setting(17, "measure_s", 1, 86400, 30, "s", 1, 1),
    Setting(18, "warmup_s", 0, 3600, 30, "s", 1, 1),
    Setting(19, "exchange_s", 0, 86400, 300, "s", 1, 1),
    Setting(20, "exchange_wait_s", 1, 600, 10, "s", 1, 1),
    Setting(21, "cal_item", 0, 4095, 0, "1", 1, 16),
    Setting(22, "cal_slope", 100, 1000000, 10000, "1e-4", 1, 16),
    Setting(23, "cal_offset", -1000000, 1000000, 0, "1", 1, 16),
    Setting(24, "cal_kappa", 0, 2000, 0, "1e-3", 1, 16),
    Setting(25, "passport", 0, 4294967295, 0, "1", 1, 1),
)

try:
    from wire.settings_radio import ROWS
except ImportError:  # a board without a radio does not carry them
    pass
else:
    SETTINGS += tuple([Setting(*row) for row in ROWS])  # type: ignore[assignment]
    del ROWS


def by_id(setting_id: int) -> Setting:
    """The setting with this id; KeyError if there is none."""
    if 0 < setting_id <= len(SETTINGS):
        return SETTINGS[setting_id - 1]  # ids are the row numbers: append-only and without gaps
    raise KeyError(setting_id)


def by_name(name: str) -> Setting:
    """The setting with this name (without instance); KeyError if there is none."""
    for setting in SETTINGS:
        if setting.name == name:
            return setting
    raise KeyError(name)


def permits(setting_id: int, instance: int, value: int) -> bool:
    """Whether the table knows the setting, has that instance, and its range holds the value."""
    if not 0 < setting_id <= len(SETTINGS):
        return False
    setting = SETTINGS[setting_id - 1]
    return bool(0 <= instance < setting.instances and setting.low <= value <= setting.high)
