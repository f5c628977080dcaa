"""A street in virtual time whose gateway's clock is unset, late and set ahead and back by a day, while boards lose their
power: real firmware, real gateway. What it says of each record's time is compared with the world's clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from gateway.keys import Life, add_life
from gateway.models import RECORD
from gateway.store import Reader
from tests.fakes.telling_air import measured, telling
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools.sim.conductor import Conductor
from tools.sim.line import Line

WINDOW_S = 10
LASTS_S = 980
DAY_MS = 86_400_000
UNSET_MS = -START_S * 1000  # 1970
LATE_MS = -600_000  # where the machine was when it was switched off
# Lines that are slow one way: a hello takes nearly the 2 s that an anchor allows for, an answer nearly the 4 s that a node
# takes, half of which its clock is wrong by then.
UP_S, DOWN_S, SLOW_EVERY_S = 1.3, 3.0, 0.25

BOARD = """
name = "weather-v1"
title = "BME280 alone"
mcu = "esp32"
image = "ESP32_GENERIC"
power = "mains"
[link]
kind = "serial"
[buses.i2c0]
kind = "i2c"
id = 0
scl = 22
sda = 21
freq = 100000
[[sensors]]
driver = "bme280"
bus = "i2c0"
[[profiles]]
items = ["temperature", "humidity", "pressure"]
window_setting = 0
[simulation]
chips = [{ chip = "bme280", bus = "i2c0" }]
"""


class Dated(NamedTuple):
    """A record whose values tell its true time. `excess_ms`: by how much it is further off than its bound and what the
    values can tell; at most 0 is as promised."""

    node: int
    seq: int
    code: int  # how it was dated: 0 node's clock, 1 anchor of the boot, 2 neighbours
    bound_ms: int
    error_ms: int
    excess_ms: int


class Outcome(NamedTuple):
    dated: list[Dated]
    windows: int  # records in the archive
    report: dict[str, Any]  # the ledger at the end


def run(folder: Path) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    with Conductor(folder, seed=11, start_s=START_S) as conductor:
        telling(conductor.world, LASTS_S)
        return _play(conductor, folder)


def _play(conductor: Conductor, folder: Path) -> Outcome:
    config = folder / "gateway.toml"
    text = f'[gateway]\nid = "gw-test"\nnumber = 1\ndata_dir = "{folder / "data"}"\nkeys = "{folder / "keys.json"}"\n'
    ports = {}
    board = folder / "weather-v1" / "board.toml"
    board.parent.mkdir()
    board.write_text(BOARD)
    for address in (1, 2):
        name = f"n{address}"
        ports[f"/dev/{name}"] = name
        text += f'[[serial]]\nport = "/dev/{name}"\n'
        life = Life(address=address, key=key_of(address), board="air-v1", name=name, provisioned_s=START_S)
        add_life(folder / "keys.json", life)
        conductor.add_node(name, board, prepare=PROVISION.format(settings_of(address, window_s=WINDOW_S)))
    config.write_text(text)
    n1, n2 = conductor.nodes["n1"], conductor.nodes["n2"]

    def cut(name: str, at_s: float, for_s: float) -> None:
        board = conductor.nodes[name].board
        conductor.at(at_s - conductor.time.now_us / 1e6, board.power_off)
        conductor.at(at_s + for_s - conductor.time.now_us / 1e6, board.power_on)

    def slow(line: Line, late_s: float, from_s: float, until_s: float) -> None:
        """Everything on it takes so long, while others see no delay."""
        for step in range(int((until_s - from_s) / SLOW_EVERY_S)):
            conductor.at(
                from_s + step * SLOW_EVERY_S - conductor.time.now_us / 1e6,
                lambda: line.keep_back(conductor.time.now_us + round(late_s * 1e6)),
            )

    def until(at_s: float) -> None:
        conductor.run(at_s - conductor.time.now_us / 1e6)

    slow(n1.board.console.out, UP_S, 40, 180)
    slow(n2.down, DOWN_S, 0, 700)
    gateway = conductor.start_gateway(config, ports, offset_ms=UNSET_MS, synchronised=False)
    cut("n1", 40, 10)  # its first boot never meets a clock
    until(100)
    gateway.ask("wall", offset_ms=0, synchronised=True)
    cut("n2", 150, 15)
    until(260)
    gateway.kill()
    cut("n2", 290, 10)
    until(300)
    gateway = conductor.start_gateway(config, ports, offset_ms=LATE_MS, synchronised=False)
    until(340)
    gateway.ask("wall", offset_ms=0, synchronised=True)
    for begin, name, offset_ms in ((400, "n1", DAY_MS), (560, "n2", -DAY_MS)):
        until(begin)
        gateway.ask("wall", offset_ms=offset_ms, synchronised=True)
        cut(name, begin + 10, 10)  # it boots while the clock is wrong
        until(begin + 100)
        gateway.ask("wall", offset_ms=0, synchronised=True)
    until(720)
    n1.cable(False)
    cut("n1", 740, 10)  # a boot that nobody heard of
    cut("n1", 790, 10)
    until(830)
    n1.cable(True)
    until(LASTS_S - 60)
    assert n2.board.powered
    gateway.ask("drain", timeout_s=60)
    report = gateway.ask("ledger")
    gateway.stop()
    return _read(folder / "data" / "spool.db", report)


def _read(spool: Path, report: dict[str, Any]) -> Outcome:
    dated = []
    windows = 0
    with Reader(spool) as reader:
        for record in reader.records(kinds={RECORD}):
            windows += 1
            truth = measured(record, START_S, LASTS_S)
            if truth is not None:
                error_ms = record.end_ms - truth.end_ms
                excess_ms = abs(error_ms) - record.bound_ms - truth.within_ms
                node = record.life_info.node
                dated.append(Dated(node, record.seq, record.time_code, record.bound_ms, error_ms, excess_ms))
    return Outcome(dated, windows, report)
