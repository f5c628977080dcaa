"""The platform's side: a mosquitto that logs nothing, and a subscriber that keeps every message."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.fakes.mosquitto import Mosquitto
from tests.waiting import wait_until


class QuietBroker(Mosquitto):
    """Default persistence and queues large enough for a whole run; no log."""

    def write(self, lines: str) -> None:
        """The configuration."""
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\n{lines}max_queued_messages 0\nlog_dest file {self.log}\nlog_type error\n"
        )


class Subscriber:
    """mosquitto_sub into a file, one JSON message a line."""

    def __init__(self, port: int, topic: str, file: Path) -> None:
        self._file = file
        self._output = file.open("wb")
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-q", "1", "-i", f"bench-{port}"]
        self._process = subprocess.Popen(command, stdout=self._output)
        word = topic.replace("#", "begin").replace("+", "begin")
        probe = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-t", word, "-q", "1", "-m", '"begin"']

        def subscribed() -> bool:
            subprocess.run(probe, check=True, timeout=20)
            return file.stat().st_size > 0

        wait_until(subscribed, 20, "mosquitto_sub has subscribed")

    def close(self) -> None:
        """End it; what it received is in the file."""
        self._process.terminate()
        self._process.wait(20)
        self._output.close()

    def messages(self) -> Iterator[Any]:
        """What was received, but for the words that opened the subscription."""
        with self._file.open("rb") as lines:
            for line in lines:
                message = msgspec.json.decode(line)
                if message != "begin":
                    yield message

    def size(self) -> int:
        """Bytes received so far."""
        return self._file.stat().st_size
