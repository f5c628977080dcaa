"""The load generator, a process of its own: nodes on pseudo-terminals, their frames sealed beforehand.

    bench/load.py NODES RECORDS START_S

prints one JSON object a line: first the ports, then an answer to each line of its input:
{"do": "hello"}; {"do": "send", "records": N}: as fast as the gateway reads, N of each node; {"do": "pace", "rate": R,
"records": N}: R a second in all, N of each node. It answers when every record sent was acknowledged.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
import tty
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.streets import Street
from wire import messages
from wire.frame import SERIAL, open_downlink
from wire.stream import Parser

CHUNK = 16_384
QUIET_S = 60.0  # nothing was acknowledged for so long: give up


class Line:
    """One node and its pseudo-terminal."""

    def __init__(self, street: Street, records: int, now_s: int) -> None:
        self.street = street
        self.fd, self._other = os.openpty()
        tty.setraw(self._other)  # kept open: the node is there before and after a gateway
        os.set_blocking(self.fd, False)
        self.port = os.ttyname(self._other)
        self.hello = bytes(street.hello())
        frames = [street.record(seq, now_s) for seq in range(records)]
        self.stream = memoryview(b"".join(frames))
        self.ends = [0]
        for frame in frames:
            self.ends.append(self.ends[-1] + len(frame))
        self.at = 0  # bytes of the stream that are written
        self.limit = 0  # bytes of the stream that are to be written now
        self.sent_s: list[float] = []  # of each record of a paced run
        self.first = 0  # the first seq of that run
        self.acked = 0
        self.acks = 0
        self.answered = 0
        self.bad: dict[str, int] = {}
        self._parser = Parser()

    def write(self) -> None:
        """Write what fits."""
        try:
            self.at += os.write(self.fd, self.stream[self.at : min(self.at + CHUNK, self.limit)])
        except BlockingIOError:
            pass

    def read(self, now_s: float, latencies_s: list[float]) -> None:
        """Take what the gateway sent."""
        try:
            data = os.read(self.fd, 65_536)
        except BlockingIOError:
            return
        for what, frame in self._parser.feed(data):
            if what != "frame":
                continue
            answered = frame[13] << 8 | frame[14]  # counters of a bench stay below 65536
            downlink = open_downlink(self.street.keys, SERIAL, frame, (answered,), self.street.address)
            if isinstance(downlink, str):
                self.bad[downlink] = self.bad.get(downlink, 0) + 1
                continue
            self.answered += 1
            message = messages.decode(downlink.type, downlink.payload)
            if downlink.type not in (messages.ACK, messages.ACK_TIME):
                continue
            self.acks += 1
            if message.cum > self.acked:
                for seq in range(max(self.acked, self.first), message.cum):
                    if seq - self.first < len(self.sent_s):
                        latencies_s.append(now_s - self.sent_s[seq - self.first])
                self.acked = message.cum


class Load:
    """All lines, in one loop."""

    def __init__(self, nodes: int, records: int, start_s: int) -> None:
        now_s = int(time.time())
        self.lines = [Line(Street(address, start_s), records, now_s) for address in range(1, nodes + 1)]
        self._by_fd = {line.fd: line for line in self.lines}
        self._poll = select.epoll()
        self._wants_out: dict[int, bool] = {}
        for line in self.lines:
            self._poll.register(line.fd, select.EPOLLIN)
        self.latencies_s: list[float] = []

    def turn(self, timeout_s: float) -> None:
        """Wait for something to read or to write, and do it."""
        for line in self.lines:
            wants = line.at < line.limit
            if wants != self._wants_out.get(line.fd, False):
                self._wants_out[line.fd] = wants
                self._poll.modify(line.fd, select.EPOLLIN | (select.EPOLLOUT if wants else 0))
        for fd, events in self._poll.poll(max(timeout_s, 0)):
            line = self._by_fd[fd]
            if events & select.EPOLLIN:
                line.read(time.monotonic(), self.latencies_s)
            if events & select.EPOLLOUT:
                line.write()

    def settle(self, done: Any) -> float:
        """Turn until `done()`; the time when it was."""
        seen, seen_s = -1, time.monotonic()
        while not done():
            self.turn(0.5)
            now_s = time.monotonic()
            progress = sum(line.acked + line.answered + line.at for line in self.lines)
            if progress != seen:
                seen, seen_s = progress, now_s
            elif now_s - seen_s > QUIET_S:
                missing = sum(len(line.ends) - 1 - line.acked for line in self.lines)
                raise TimeoutError(f"nothing was acknowledged for {QUIET_S:g} s; {missing} records are not")
        return time.monotonic()

    def hello(self) -> dict[str, Any]:
        """Every node says hello and is answered."""
        for line in self.lines:
            os.write(line.fd, line.hello)
        self.settle(lambda: all(line.answered for line in self.lines))
        return {}

    def send(self, records: int) -> dict[str, Any]:
        """All at once, as fast as they are read."""
        goals = [line.acked + records for line in self.lines]
        acks = sum(line.acks for line in self.lines)
        cpu_s = time.process_time()
        began_s = time.monotonic()
        for line, goal in zip(self.lines, goals, strict=True):
            line.first, line.sent_s, line.limit = goal, [], line.ends[goal]
        ended_s = self.settle(lambda: all(line.acked >= goal for line, goal in zip(self.lines, goals, strict=True)))
        return {
            "records": records * len(self.lines),
            "seconds": ended_s - began_s,
            "acks": sum(line.acks for line in self.lines) - acks,
            "cpu_s": time.process_time() - cpu_s,
        }

    def pace(self, rate: float, records: int) -> dict[str, Any]:
        """`rate` a second in all, the nodes in turn, evenly."""
        goals = [line.acked + records for line in self.lines]
        for line in self.lines:
            line.first, line.sent_s = line.acked, []
        self.latencies_s.clear()
        began_s = time.monotonic()
        late_s = 0.0
        for turn in range(records):
            for at, line in enumerate(self.lines):
                due_s = began_s + (turn * len(self.lines) + at) / rate
                while (now_s := time.monotonic()) < due_s:
                    self.turn(due_s - now_s)
                late_s = max(late_s, now_s - due_s)
                line.limit = line.ends[line.first + turn + 1]
                line.sent_s.append(time.monotonic())
                line.write()
        self.settle(lambda: all(line.acked >= goal for line, goal in zip(self.lines, goals, strict=True)))
        sorted_s = sorted(self.latencies_s)
        return {
            "records": len(sorted_s),
            "seconds": time.monotonic() - began_s,
            "p50_ms": 1000 * sorted_s[len(sorted_s) // 2],
            "p99_ms": 1000 * sorted_s[len(sorted_s) * 99 // 100],
            "max_ms": 1000 * sorted_s[-1],
            "late_ms": 1000 * late_s,
        }


def main(arguments: list[str]) -> int:
    """Serve the verbs on standard input until it ends."""
    load = Load(*map(int, arguments))
    print(json.dumps({"ports": [line.port for line in load.lines]}), flush=True)
    verbs = {"hello": load.hello, "send": load.send, "pace": load.pace}
    for text in sys.stdin:
        order = json.loads(text)
        answer = verbs[order.pop("do")](**order)
        refused: dict[str, int] = {}
        for line in load.lines:
            for reason, count in line.bad.items():
                refused[reason] = refused.get(reason, 0) + count
        print(json.dumps({**answer, "refused": refused}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
