"""What judging costs in heap, on MicroPython: prints the bytes that readings and windows took while nothing was collected."""

import gc
import sys

from firmware.aggregate import Window
from wire import channels


def main():
    items = tuple([(channels.id_of(name), 0) for name in ("pm2_5", "temperature", "humidity", "vehicles")])
    from firmware import quality

    memory = quality.memory(items, 60)
    values = [1000, 9000, 1000, 1000]  # a spike, and again the same
    flags = [1, 1, 1, 1]
    found = []
    for _ in range(2):  # the first round makes what is made once
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for at in range(1000):
            quality.reading(memory, memory[memory[1] + quality.LIMITS], values[at & 3], 1000)
        between = gc.mem_alloc()
        quality.close(memory, items, values, flags, 60)
        found = [between - before, gc.mem_alloc() - between]
        gc.enable()
    Window(items, 60000)
    print(found[0], found[1], "firmware.limits" in sys.modules)


main()
