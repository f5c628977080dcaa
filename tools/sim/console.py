"""The serial port that the REPL and the firmware's frames share: who gets the bytes that come in, and what goes out."""

from __future__ import annotations

from collections.abc import Callable

from tools.sim.fifo import Fifo
from tools.sim.line import Line
from tools.sim.timers import Time

BAUDRATE = 115_200
RING = 260  # bytes of the port's stdin ring (ports/esp32, stdin_ringbuf)
TX_FIFO = 128  # bytes that a write leaves behind in the hardware; the rest is waited for
CTRL_A, CTRL_C = 0x01, 0x03
RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
BANNER = b'Type "help()" for more information.\r\n'
REBOOT_TEXT = b"MPY: soft reboot\r\n"


class Console:
    """Bytes between the outer port and the interpreter. `opened`: the firmware reads them itself.

    `repl`: the program is over, they belong to the REPL. `raw`: the REPL is in raw mode (mpremote).
    """

    def __init__(self, time: Time, deliver: Callable[[bytes], None], *, baudrate: int = BAUDRATE) -> None:
        self.out = Line(time, baudrate, deliver)
        self.fifo = Fifo(RING)
        self.opened = False
        self.repl = False
        self.raw = False
        self.interrupt_char = CTRL_C
        self._time = time
        self._typed = bytearray()  # for the REPL, not yet taken by it
        self._silent = False  # the new interpreter's friendly banner, before it is in raw mode again
        self._tail = b""
        self._ended_cr = False

    def restart(self, *, keep_raw: bool) -> None:
        """A new interpreter begins."""
        self.opened = False
        self.repl = False
        self.raw = self.raw and keep_raw
        self.interrupt_char = CTRL_C
        self._typed.clear()
        self._silent = False
        self._tail = b""

    def write(self, data: bytes) -> int:
        """Send raw bytes; returns how long (us) the writer waits for room in the transmitter."""
        end_us = self.out.send(data)
        waiting_us = end_us - self._time.now_us - TX_FIFO * self.out.byte_ns // 1000
        return max(0, waiting_us)

    def printed(self, data: bytes) -> None:
        """What the interpreter wrote to its stdout: lines end in CR LF as on a board, binary transfers stay as they are."""
        if self._silent:
            data = self._tail + data
            place = data.find(RAW_BANNER)
            if place < 0:
                self._tail = data[-len(RAW_BANNER) :]
                return
            data = data[place:]
            self._silent = False
            self._tail = b""
        self._see_mode(data)
        if self.interrupt_char == CTRL_C:
            data = self._with_cr(data)
        self.out.send(data)

    def _with_cr(self, data: bytes) -> bytes:
        if b"\n" not in data:
            self._ended_cr = data.endswith(b"\r")
            return data
        first_has_cr = self._ended_cr and data.startswith(b"\n")
        self._ended_cr = data.endswith(b"\r")
        out = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return out[1:] if first_has_cr else out

    def _see_mode(self, data: bytes) -> None:
        seen = self._tail + data
        raw, friendly = seen.rfind(RAW_BANNER), seen.rfind(BANNER)
        if raw > friendly:
            self.raw = True
        elif friendly > raw:
            self.raw = False
        self._tail = seen[-max(len(RAW_BANNER), len(BANNER)) + 1 :]

    def enter_repl(self) -> None:
        """The program is over. What came meanwhile is typed into the REPL; raw mode is entered again."""
        self.repl = True
        self.opened = False
        self._tail = b""
        if self.raw:
            self._silent = True
            self._typed += bytes((CTRL_A,))
        self._typed += self.fifo.take(len(self.fifo))

    def type(self, data: bytes) -> None:
        self._typed += data

    def feed(self, give: Callable[[bytes], int]) -> bool:
        """Hand typed bytes to the interpreter; False while some are left."""
        if self._typed:
            del self._typed[: give(bytes(self._typed))]
        return not self._typed
