"""What a board's program takes: heap, code, and how soon it shows that it lives. Real MicroPython, in virtual time.

A whole day with an outage of twelve hours: `make bench ARGS=day`.
"""

import tempfile
from pathlib import Path

from bench.loaded import by_module
from boards import board_names, load_board
from boards.radio import SerialLink
from tests.fakes.street import MIC_SLOWDOWN, Heap, Street, loaded_bytes
from tests.fakes.street_day import SHORT, Plan, survives

LOWEST_KB, HIGHEST_KB, STEP_KB = 160, 264, 4

TARGETS: dict[str, tuple[str, float]] = {
    "firmware.boot_to_health_ms": ("<=", 3_000),
    "firmware.min_heap_bytes": ("<=", 240 * 1024),
    "firmware.loaded_mpy_bytes": ("<=", 45 * 1024),
}


def first_minutes(board: str | Path) -> tuple[int, Heap]:
    """(ms from power-on to the acknowledgement of a health record, heap after a window)."""
    with (
        tempfile.TemporaryDirectory(prefix="steiger-") as folder,
        Street(Path(folder), board, mic_slowdown=MIC_SLOWDOWN) as street,
    ):
        street.start_gateway()
        street.power_on()
        boot_ms = street.acknowledged_ms()
        street.conductor.run(100)
        return boot_ms, street.heap()


def least_heap_kb(plan: Plan = SHORT) -> int:
    """The smallest heap, in steps of STEP_KB, that a board lives through `plan` in. RuntimeError: none does."""
    low, high = LOWEST_KB // STEP_KB, HIGHEST_KB // STEP_KB  # low does not suffice, high does
    if not survives(high * STEP_KB, plan):
        raise RuntimeError(f"{HIGHEST_KB} KiB do not suffice")
    if survives(low * STEP_KB, plan):
        raise RuntimeError(f"{LOWEST_KB} KiB suffice: search lower")
    while high - low > 1:
        middle = (low + high) // 2
        if survives(middle * STEP_KB, plan):
            high = middle
        else:
            low = middle
    return high * STEP_KB


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    figures: dict[str, float] = {}
    lines = [f"{'board':12} {'.mpy loaded':>12} {'heap used':>10} {'boot to health':>15}"]
    worst: dict[str, int] = {}
    largest = ""
    slowest_ms = 0
    for board in [name for name in board_names() if isinstance(load_board(name).link, SerialLink)]:
        boot_ms, heap = first_minutes(board)
        sizes = loaded_bytes(board, heap.modules)
        name = board if isinstance(board, str) else f"{board.stem} (all)"
        lines.append(f"{name:12} {sum(sizes.values()):>10} B {heap.used:>8} B {boot_ms:>12} ms")
        figures[f"firmware.loaded_mpy_bytes.{name.split()[0]}"] = sum(sizes.values())
        slowest_ms = max(slowest_ms, boot_ms)
        if sum(sizes.values()) > sum(worst.values()):
            worst, largest = sizes, board
    figures["firmware.loaded_mpy_bytes"] = sum(worst.values())
    figures["firmware.boot_to_health_ms"] = slowest_ms
    lines.append("")
    lines += [f"  {size:6} {name}" for name, size in sorted(worst.items(), key=lambda item: -item[1])]
    lines += ["", f"Of {largest}'s program, by the module that brings it in; what several use is shared:"]
    lines += [
        f"  {size:6} {name}" for name, size in sorted(by_module(load_board(largest)).items(), key=lambda item: -item[1])
    ]
    least_kb = least_heap_kb()
    figures["firmware.min_heap_bytes"] = least_kb * 1024
    lines.append(
        f"smallest heap of a 64-bit port that lives through {SHORT.hours * 60:.0f} minutes with an outage:"
        f" {least_kb} KiB, steps of {STEP_KB} KiB, the simulator's bus (23 KB) included."
    )
    return figures, lines
