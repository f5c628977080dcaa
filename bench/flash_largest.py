"""How long the flash of a node lasts whose log is set to all that there is: as bench/flash.py.

What is free is a tenth of the blocks at least, and only a log set to more than fits comes down to it.
"""

from bench.flash import measure

OUTBOX_KB = 16_384
TARGETS: dict[str, tuple[str, float]] = {"firmware.flash_life_years_largest_log": (">=", 10)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    wear, lines = measure(OUTBOX_KB, "all but a tenth of the blocks")
    return {
        "firmware.flash_erases_per_day_largest_log": wear.most,
        "firmware.flash_life_years_largest_log": wear.years(),
    }, lines
