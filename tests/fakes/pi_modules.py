"""The modules spidev and gpiod (2.x) as far as a HAT needs them, with a chip behind the pins. `calls` has every call.

Names, arguments and return types are those of the modules' own documentation.
"""

from __future__ import annotations

import enum
import os
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any


class Direction(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class Edge(enum.Enum):
    RISING = 1


class Clock(enum.Enum):
    MONOTONIC = 1


class Value(enum.Enum):
    INACTIVE = 0
    ACTIVE = 1


@dataclass(frozen=True)
class LineSettings:
    direction: Direction
    edge_detection: Edge | None = None
    event_clock: Clock | None = None
    output_value: Value = Value.INACTIVE


@dataclass(frozen=True)
class EdgeEvent:
    timestamp_ns: int


class Pi:
    """Lines and bus of one Pi. `answers`: what MISO gives; `levels`: of the inputs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.levels: dict[int, Value] = {}
        self.answers: list[bytes] = []
        self.missing: OSError | None = None
        self._events: list[EdgeEvent] = []
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[0], False)

    def close(self) -> None:
        for fd in self._pipe:
            os.close(fd)

    def edge(self, line: int, at_ns: int | None = None) -> None:
        """A rising edge, as the kernel sees it."""
        self.levels[line] = Value.ACTIVE
        self._events.append(EdgeEvent(time.monotonic_ns() if at_ns is None else at_ns))
        os.write(self._pipe[1], b"x")

    def modules(self) -> dict[str, ModuleType]:
        """To be put into sys.modules."""
        pi = self

        class SpiDev:
            def __init__(self) -> None:
                pi.calls.append(("SpiDev",))

            def open(self, bus: int, device: int) -> None:
                pi.calls.append(("open", bus, device))
                if pi.missing is not None:
                    raise pi.missing

            def __setattr__(self, name: str, value: object) -> None:
                assert name in ("max_speed_hz", "mode", "no_cs"), name
                pi.calls.append((name, value))

            def xfer2(self, values: list[int]) -> list[int]:
                assert isinstance(values, list)
                assert all(0 <= value < 256 for value in values)
                pi.calls.append(("xfer2", bytes(values).hex()))
                return list(pi.answers.pop(0) if pi.answers else bytes(len(values)))

            def close(self) -> None:
                pi.calls.append(("spi close",))

        class LineRequest:
            fd = pi._pipe[0]

            def set_value(self, line: int, value: Value) -> None:
                pi.calls.append(("set_value", line, value.value))

            def get_value(self, line: int) -> Value:
                pi.calls.append(("get_value", line))
                return pi.levels.get(line, Value.INACTIVE)

            def wait_edge_events(self, timeout: float | None = None) -> bool:
                return bool(pi._events)

            def read_edge_events(self, max_events: int | None = None) -> list[EdgeEvent]:
                try:
                    os.read(pi._pipe[0], 64)
                except BlockingIOError:
                    raise AssertionError("the kernel would block") from None
                found, pi._events = pi._events, []
                return found

            def release(self) -> None:
                pi.calls.append(("release",))

        def request_lines(
            path: str,
            config: dict[Any, LineSettings],
            consumer: str | None = None,
            event_buffer_size: int | None = None,
        ) -> LineRequest:
            pi.calls.append(("request_lines", path, config, consumer, event_buffer_size))
            return LineRequest()

        gpiod, line, spidev = ModuleType("gpiod"), ModuleType("gpiod.line"), ModuleType("spidev")
        gpiod.LineSettings, gpiod.request_lines, gpiod.line = LineSettings, request_lines, line  # type: ignore[attr-defined]
        for kind in (Direction, Edge, Clock, Value):
            setattr(line, kind.__name__, kind)
        spidev.SpiDev = SpiDev  # type: ignore[attr-defined]
        return {"gpiod": gpiod, "gpiod.line": line, "spidev": spidev}
