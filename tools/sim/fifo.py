"""What a chip's receiver keeps until the program reads it, and what it loses."""

from __future__ import annotations

HARDWARE = 128  # bytes of an ESP32 UART's own FIFO: all there is while the flash is written and interrupts stand still


class Fifo:
    """A ring of `size` bytes behind the hardware FIFO. `lost` counts bytes that found no room."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lost = 0
        self._ring = bytearray()
        self._hardware = bytearray()

    def __len__(self) -> int:
        return len(self._ring)

    def put(self, data: bytes, stalled: bool) -> None:
        """Bytes arrive. `stalled`: interrupts are off, they stay in the hardware's FIFO."""
        self._hardware += data
        if stalled:
            over = len(self._hardware) - HARDWARE
            if over > 0:
                del self._hardware[HARDWARE:]
                self.lost += over
        else:
            self.serve()

    def serve(self) -> None:
        """Interrupts run (again): the hardware's bytes go to the ring."""
        room = self.size - len(self._ring)
        self._ring += self._hardware[:room]
        self.lost += max(0, len(self._hardware) - room)
        self._hardware.clear()

    def take(self, count: int) -> bytes:
        data = bytes(self._ring[:count])
        del self._ring[:count]
        return data

    def clear(self) -> None:
        self._ring.clear()
        self._hardware.clear()
