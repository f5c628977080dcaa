"""The serial link: frames in HDLC-like framing on the console that the REPL and the log share."""

from firmware.session import Session
from wire import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READ_MS = 5000  # deadline of one wait for input: the listening task shows in between that it lives
READ_BYTES = 128  # a downlink is 25 to 60 bytes


class SerialLink:
    """`console`: firmware.hal.console(). Text that arrives (somebody types) is ignored."""

    session = Session  # the conversation of a life over this link: (life, clock, get, hello, ask)
    signal = (None, None)  # RSSI in dBm and SNR in dB of the last downlink, over a radio

    def __init__(self, console: "Any") -> None:
        self._console = console
        self._parser = stream.Parser()
        self._buf = bytearray(READ_BYTES)
        self.dropped = self._parser.dropped

    def add_tasks(self, node: "Any") -> None:
        from firmware.tasks import report

        node.supervisor.add("listen", report.run_listener, node)
        node.supervisor.add("report", report.run_sender, node)

    def send(self, data: bytes) -> None:
        """The whole frame in one write: log lines never fall into it."""
        self._console.write(stream.encode(data))

    async def receive(self) -> "list[bytes]":
        """Frames that came; empty at the deadline."""
        count = await self._console.readinto(self._buf, READ_MS)
        if not count:
            return []
        return [data for kind, data in self._parser.feed(bytes(memoryview(self._buf)[:count])) if kind == "frame"]
