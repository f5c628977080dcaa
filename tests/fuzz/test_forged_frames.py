"""Forged frames by the hundred thousand against a running gateway, while real nodes go on delivering.

An attacker has a port of his own and has recorded what the nodes sent: he plays it back, changes it, seals with keys of
his own, and makes noise. Each frame is refused and counted under the reason that is predicted for it.
"""

from __future__ import annotations

import os
import random
import select
import time
import tty
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from gateway.store import Reader
from tests.fakes.node import FakeNode, PtyNode, key_of
from tests.gateway.test_gateway_process import PROVISIONED_S, W0, Process
from tests.waiting import wait_until
from wire import messages
from wire.crypto import subkeys
from wire.frame import SERIAL, seal_uplink
from wire.frame_gateway import parse_uplink_header
from wire.stream import encode

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]

NODES = (7, 8)
WARM_UP = 300  # frames of each node before the attack: more than a replay window holds
CHUNK = 1_000  # forged frames between two looks at the nodes
GROWTH_KB = 4_096  # what the gateway's memory may grow by during the attack


class Attacker:
    """Makes forged frames, and says how each will be refused."""

    def __init__(self, seed: int, recorded: list[bytes], nodes: tuple[int, ...] = NODES) -> None:
        self._random = random.Random(seed)
        self._nodes = nodes
        self._recorded = recorded
        self._keys = subkeys(self._random.randbytes(16))
        self._ways: list[Callable[[], tuple[bytes, str]]] = [self._noise, self._changed, self._own_key, self._replayed]

    def make(self) -> tuple[bytes, str]:
        return self._random.choice(self._ways)()

    def _noise(self) -> tuple[bytes, str]:
        """A header that fits, and anything behind it."""
        chance = self._random
        address = chance.choice((*self._nodes, 99))
        frame = bytes((0xA0 | chance.randrange(2, 9), 0, address)) + chance.randbytes(chance.randrange(10, 60))
        return frame, "tag" if address in self._nodes else "address"

    def _changed(self) -> tuple[bytes, str]:
        """What a node sent, and one bit is another (not the one that tells a frame from text)."""
        chance = self._random
        frame = bytearray(chance.choice(self._recorded))
        at = chance.randrange(8 * len(frame))
        frame[at // 8] ^= (1 << at % 8) & (0x7F if at < 8 else 0xFF) or 1
        header = parse_uplink_header(frame)
        if isinstance(header, str):
            return bytes(frame), header
        return bytes(frame), "tag" if header.address in self._nodes else "address"

    def _own_key(self) -> tuple[bytes, str]:
        """Well made, by somebody who has not the key; counters as the node would use them next."""
        chance = self._random
        counter = chance.choice((chance.randrange(1 << 32), WARM_UP + chance.randrange(1000)))
        message_type = chance.choice((messages.HELLO, messages.RECORDS, messages.GAP, messages.EVENT))
        payload = chance.randbytes(chance.randrange(40))
        return bytes(seal_uplink(self._keys, SERIAL, chance.choice(self._nodes), counter, message_type, payload)), "tag"

    def _replayed(self) -> tuple[bytes, str]:
        return self._random.choice(self._recorded), "replay"


class Port:
    """A pseudo-terminal; the attacker writes, nobody reads."""

    def __init__(self, path: Path) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path.symlink_to(os.ttyname(self._slave))

    def write(self, data: bytes, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while data:
            assert time.monotonic() < deadline, "the gateway does not read"
            if select.select([], [self._master], [], 1)[1]:
                try:
                    data = data[os.write(self._master, data[:4096]) :]
                except BlockingIOError:
                    pass

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


def memory_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seal(node: PtyNode, count: int) -> None:
    with node.lock:
        for _ in range(count):
            node.node.seal(W0 + len(node.node.sealed))


def delivered(node: PtyNode) -> int:
    with node.lock:
        return len(node.node.sealed) - len(node.node.outbox)


def assault(folder: Path, seed: int, count: int) -> str:
    """`count` forged frames; returns the figures in a line."""
    recorded: list[bytes] = []
    nodes = []
    for address in NODES:
        fake = FakeNode(address, key_of(address), seed=address, batch=1)
        life = Life(address=address, key=fake.key, board="air-v1", provisioned_s=PROVISIONED_S,
                    profiles=(fake.profile.encode().hex(),))  # fmt: skip
        add_life(folder / "keys.json", life)
        nodes.append(PtyNode(fake, folder / f"port-{address}"))
        queue = fake.out
        fake.out = lambda frame, queue=queue: (recorded.append(frame), queue(frame))
    port = Port(folder / "port-attacker")
    process = Process(folder, [*(node.path for node in nodes), folder / "port-attacker"])
    try:
        process.start()
        wait_until(process.answers, 60, "the gateway answers")
        for node in nodes:
            seal(node, WARM_UP)
            node.start()
        wait_until(lambda: not any(node.node.outbox for node in nodes), 60, "the nodes are heard")
        figures = _attack(process, nodes, port, Attacker(seed, list(recorded)), count)
        wait_until(lambda: not any(node.node.outbox for node in nodes), 120, "all real records are acknowledged")
        assert process.kill(15) == 0
        _check_stored(process, nodes)
        assert b"Traceback" not in (folder / "log").read_bytes()
        return figures
    finally:
        for node in nodes:
            node.stop()
        if process.popen is not None and process.popen.poll() is None:
            process.kill()
        port.close()


def _attack(process: Process, nodes: list[PtyNode], port: Port, attacker: Attacker, count: int) -> str:
    assert process.popen is not None
    pid = process.popen.pid
    before = Counter(process.ask("status")["dropped_frames"])
    expected: Counter[str] = Counter()
    made = sealed = 0
    warm_kb = 0
    began_s, began_cpu_s = time.monotonic(), cpu_s(pid)
    at_start = [delivered(node) for node in nodes]
    while made < count:
        chunk = bytearray()
        for _ in range(min(CHUNK, count - made)):
            frame, reason = attacker.make()
            expected[reason] += 1
            chunk += encode(frame)
            made += 1
        for node in nodes:
            seal(node, 2)
        sealed += 2
        port.write(bytes(chunk), 120)
        if made >= count // 10 and not warm_kb:
            warm_kb = memory_kb(pid)
    during = [delivered(node) - start for node, start in zip(nodes, at_start, strict=True)]

    def refused() -> Counter[str]:
        return Counter(process.ask("status")["dropped_frames"]) - before

    wait_until(lambda: refused().total() >= count, 120, "everything was read")
    took_s, took_cpu_s = time.monotonic() - began_s, cpu_s(pid) - began_cpu_s
    assert refused() == expected, "each under its reason"
    grown_kb = memory_kb(pid) - warm_kb
    assert grown_kb <= GROWTH_KB, f"memory grew by {grown_kb} kB"
    assert all(arrived >= sealed // 2 for arrived in during), f"{during} of {sealed} arrived during the attack"
    status = process.ask("status")
    link = next(link for link in status["links"] if link["port"].endswith("attacker"))
    assert (link["frames"], link["bytes_out"]) == (count, 0), "nothing is said to an attacker"
    return (
        f"{count} forged frames ({', '.join(f'{n} {reason}' for reason, n in sorted(expected.items()))}): "
        f"{count / took_cpu_s:,.0f} a CPU second, {count / took_s:,.0f} a second beside two nodes that delivered {during} "
        f"of {sealed} records each meanwhile; memory {grown_kb:+} kB"
    )


def _check_stored(process: Process, nodes: list[PtyNode]) -> None:
    """Exactly what the nodes sealed, and what they sealed it with."""
    with Reader(process.spool) as reader:
        found = {record.id: record.values for record in reader.records()}
        count = len(list(reader.ids()))
    wanted = {}
    for node in nodes:
        fake = node.node
        for seq in fake.sealed:
            wanted[fake.id_of(seq)] = tuple((seq * 7 + i * 13) % 900 + 50 for i in range(len(fake.profile.items)))
    assert found == wanted
    assert count == len(wanted)


def test_a_hundred_thousand_forged_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures: Any = assault(tmp_path, 1, 100_000)
    with capsys.disabled():
        print(f"\n{figures}")
