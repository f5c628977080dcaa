"""Forged frames without a pause against a gateway that hears boards with the real firmware: they go on as if nothing was."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.fakes.ether import Ether
from tests.fakes.stage import Street, short_folder
from tests.fuzz.test_forged_frames import CHUNK, Attacker, Port, cpu_s, memory_kb
from tests.waiting import wait_until
from tools.demo.stage import GatewayProcess
from wire.stream import encode

pytestmark = [pytest.mark.fuzz, pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(150)]

FORGED = 200_000
WINDOWS = 8  # of each board, delivered during the attack
WARM_UP = 4  # windows that were recorded before: what is played back is older than the replay window's newest


def test_boards_deliver_while_two_hundred_thousand_frames_are_forged(capsys: pytest.CaptureFixture[str]) -> None:
    with short_folder() as folder:
        street = Street(folder, ("bme280-v1", "bme280-v1"))
        recorder = folder / "heard.tty"
        attack = folder / "attack.tty"
        port = Port(attack)
        street.gateway = GatewayProcess(folder, [recorder, street.nodes[1].port, attack], None)
        ether = None
        try:
            for node in street.nodes:
                node.start()
            for node in street.nodes:
                node.wait_ready()
                street.provision(node)
            ether = Ether(street.nodes[0].port, [recorder])
            street.gateway.start()
            street.wait_delivered(WARM_UP)
            attacker = Attacker(1, list(ether.uplinks), (1, 2))
            figures = assault(street, port, attacker)
            result = street.assert_nothing_lost()
            assert result["pending"] == 0
        finally:
            if ether is not None:
                ether.close()
            street.close()
            port.close()
    with capsys.disabled():
        print(f"\n{figures}")


def assault(street: Street, port: Port, attacker: Attacker) -> str:
    """Forge until both is enough: frames, and windows that the boards delivered meanwhile."""

    def dropped() -> Counter[str]:
        return Counter(street.gateway.call("status")["dropped_frames"])

    def delivered() -> list[int]:
        found = street.delivered().delivered
        return [found.get(node.address, 0) for node in street.nodes]

    process = street.gateway._process
    assert process is not None
    before, at_start, warm_kb = dropped(), delivered(), 0
    expected: Counter[str] = Counter()
    began_s, began_cpu_s = time.monotonic(), cpu_s(process.pid)
    while (
        expected.total() < FORGED or min(now - then for now, then in zip(delivered(), at_start, strict=True)) < WINDOWS
    ):
        assert time.monotonic() - began_s < 90, f"{delivered()} delivered, {at_start} before"
        chunk = bytearray()
        for _ in range(CHUNK):
            frame, reason = attacker.make()
            expected[reason] += 1
            chunk += encode(frame)
        port.write(bytes(chunk), 60)
        warm_kb = warm_kb or (memory_kb(process.pid) if expected.total() > FORGED // 10 else 0)
    took_s, took_cpu_s = time.monotonic() - began_s, cpu_s(process.pid) - began_cpu_s
    during = [now - then for now, then in zip(delivered(), at_start, strict=True)]
    wait_until(lambda: (dropped() - before).total() >= expected.total(), 60, "everything was read")
    assert dropped() - before == expected, "each under its reason"
    assert memory_kb(process.pid) - warm_kb < 4096
    return (
        f"{expected.total()} forged frames in {took_s:.0f} s ({expected.total() / took_cpu_s:,.0f} a CPU second) beside two boards "
        f"that delivered {during} windows meanwhile"
    )
