"""An address with a new life, a copied gateway, and a flash image of an earlier version: nothing lost, nothing twice."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from gateway import keys as key_file
from tests.fakes.ether import Ether, wait_for_both
from tests.fakes.stage import Street, short_folder
from tests.waiting import wait_until
from tools.demo import account
from tools.demo.stage import GatewayProcess, steiger_command

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(150)]

Open = Callable[..., Street]

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def open_street() -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(*boards: str, **more: Any) -> Street:
            street = Street(stack.enter_context(short_folder()), boards, **more)
            stack.callback(street.close)
            return street

        yield opened


def steiger(*args: str | Path) -> str:
    done = subprocess.run(
        [*steiger_command(), *map(str, args)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ids_of(street: Street, life: int) -> set[str]:
    return {name for name in street.delivered().ids if f"-{life:08x}-" in name}


def test_an_address_is_provisioned_again_in_the_middle(open_street: Open) -> None:
    street = open_street("air-v1")
    (node,) = street.nodes
    street.start()
    street.wait_delivered(2)
    (first,) = [entry.life for entry in key_file.load_keys(street.gateway.keys)]
    # What was sealed while nobody listened must come under the old key, after the new life has begun.
    street.gateway.kill(0.0)
    street.wait_sealed(node, 4)
    second = street.provision(node)
    street.wait_sealed(node, 6)
    node.kill()
    contents = node.look_into_flash()
    assert set(contents) == {first, second}
    assert len(contents[first].sealed) >= 4
    node.restart()
    street.gateway.start()
    wait_until(lambda: len(ids_of(street, second)) >= 2, 30, "the new life delivers")
    # Once more through the real command, while the gateway runs and lends its port.
    settings = [word for name, value in street.values.items() for word in ("--set", f"{name}={value}")]
    steiger(
        "node", "provision", node.port, "--board", node.board, "--address", "1", "--config", street.gateway.config,
        *settings,
    )  # fmt: skip
    lives = [entry.life for entry in key_file.load_keys(street.gateway.keys)]
    assert lives[:2] == [first, second]
    assert len(lives) == 3
    wait_until(lambda: len(ids_of(street, lives[2])) >= 2, 30, "the third life delivers")
    street.assert_nothing_lost()
    wait_until(lambda: set(node.look_into_flash()) == {lives[2]}, 20, "what was delivered of earlier lives is erased")


def windows_of(street: Street) -> set[tuple[int, int]]:
    """(life, seq) of every window that the archive accounts for, as record or as gap; by plain SQL."""
    with closing(sqlite3.connect(f"file:{street.gateway.store}?mode=ro", uri=True)) as conn:
        rows = conn.execute(
            "SELECT l.life, r.seq, r.span FROM records r JOIN lives l ON l.id = r.life WHERE r.kind < 2"
        ).fetchall()
    return {(life, seq) for life, first, span in rows for seq in range(first, first + span)}


def test_two_gateways_from_one_copied_directory(open_street: Open) -> None:
    street = open_street("air-v1")
    (node,) = street.nodes
    ports = [street.folder / "a.tty", street.folder / "b.tty"]
    first = street.gateway = GatewayProcess(street.folder, ports[:1], None)
    node.start()
    node.wait_ready()
    life = street.provision(node)
    ether = Ether(node.port, ports)
    try:
        first.start()
        street.wait_delivered(2)
        first.kill(0.0)
        (street.folder / "copy").mkdir()
        second = GatewayProcess(street.folder / "copy", ports[1:], None)
        shutil.copyfile(first.keys, second.keys)
        second.keys.chmod(0o600)
        shutil.copytree(first.data_dir, second.data_dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        other = copy(street)
        other.gateway = second
        try:
            first.start()
            second.start()
            wait_for_both(ether, 3)
            for killed, left in ((street, other), (other, street)):
                killed.gateway.kill(0.0)
                left.wait_delivered(2)
                killed.gateway.start()
                wait_for_both(ether, 2)
            node.look_into_flash()
            until_s = street.end_grids()
            scheduled = account.scheduled(first.keys, {1: until_s}, street.window_s)[1]
            wait_until(
                lambda: len(windows_of(street) | windows_of(other)) >= scheduled,
                20,
                "every window is in one of the two",
            )
            node.look_into_flash()
        finally:
            second.stop()
    finally:
        ether.close()
    windows = windows_of(street) | windows_of(other)
    assert len(windows) == scheduled
    assert node.sealed <= windows
    assert {seen for seen, _ in windows} == {life}
    held = street.archive().ids & other.archive().ids
    assert len(held) >= 4, "both stored what both heard"
    # The first 13 bytes of a downlink are its nonce: address, gateway, incarnation, counter (docs/wire-protocol.md).
    nonces = [frame[:13] for _, frame in ether.downlinks]
    assert len(set(nonces)) == len(nonces)
    assert len({frame[3:5] for _, frame in ether.downlinks}) == 1, "they call themselves the same gateway"
    assert len({frame[5:9] for _, frame in ether.downlinks}) == 5, "and yet each start had an incarnation of its own"
    print(
        f"scheduled {scheduled}, in one of the two archives {len(windows)}, in both {len(held)}, {len(nonces)} nonces"
    )


@pytest.mark.parametrize("updated", [False, True], ids=["as it is", "with today's firmware"])
def test_an_old_flash_is_delivered(open_street: Open, updated: bool) -> None:
    """A board that lay in a drawer with undelivered records of two boots, one of them without a clock."""
    old = json.loads((DATA / "flash_v1.json").read_text())
    street = open_street(old["board"], window_s=old["window_s"])
    (node,) = street.nodes
    for name, target in (("flash_v1.img.gz", node.flash), ("flash_v1.db.gz", street.gateway.store)):
        target.write_bytes(gzip.decompress((DATA / name).read_bytes()))
    node.flash.with_name(node.flash.name + ".uid").write_text(old["uid"])
    key_file.add_life(
        street.gateway.keys,
        key_file.Life(
            address=1, key=bytes.fromhex(old["key"]), board=old["board"], name="old", provisioned_s=old["provisioned_s"]
        ),
    )
    expected = {f"1-{old['life']}-{seq}" for seq in old["sealed"]}
    node.look_into_flash()
    assert {seq for _, seq in node.sealed} == set(old["sealed"])
    node.start()
    node.wait_ready()
    if updated:
        settings = [word for name, value in street.values.items() for word in ("--set", f"{name}={value}")]
        steiger(
            "node", "provision", node.port, "--board", node.board, "--address", "1", "--keys", street.gateway.keys,
            "--no-wait", *settings,
        )  # fmt: skip
    street.gateway.start()
    wait_until(lambda: expected <= street.delivered().ids, 40, "all that the old flash held is delivered")
    result = street.assert_nothing_lost()
    assert result["causes"]["node_off"] > 10_000, "the months in the drawer have a cause"
