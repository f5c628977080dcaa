"""What keeping the duty cycle over power cuts costs the flash of a node, by the day.

The real ledger under MicroPython on a real littlefs beside leases and settings, in a RAM flash that counts.
"""

from bench.flash import CYCLES
from tests.firmware.interpreter import ROOT, run_script

DAYS = {
    "usual": "a record every 5 minutes at SF9 (1 min of airtime)",
    "slow": "the same at SF11 (4 min)",
    "full": "all that the law allows (14 min)",
}
TARGETS = {"lora.duty_flash_life_years": (">=", 10.0)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    lines = ["a day                                               writings  programs  erases  most-erased block  years"]
    figures: dict[str, float] = {}
    for line in run_script("tests/firmware/run_duty_on_flash.py", str(ROOT), "day", heap="4M"):
        name, *values = line.split()
        writings, programs, erases, most = map(int, values)
        years = CYCLES / max(most, 1) / 365.25
        lines.append(f"{DAYS[name]:<52}{writings:>8}{programs:>10}{erases:>8}{most:>19}{years:>7.0f}")
        figures[f"lora.duty_flash_writes_per_day_{name}"] = writings
        figures["lora.duty_flash_erases_per_day"] = erases
        figures["lora.duty_flash_life_years"] = years
    lines += [
        "",
        "A writing is both copies. They lie in the directory's own blocks, which littlefs rewrites now and then.",
    ]
    return figures, lines
