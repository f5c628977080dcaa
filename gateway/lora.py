"""The composition root's LoRa side: ears and cell as the configuration names them. Loaded where there is an ear, and not before:
memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.config import Config
from gateway.config_lora import EARS
from gateway.links.bridge import BridgeEar, bridge_ears
from gateway.links.cell import Cell, Duty
from gateway.links.duty import GatewayDuty
from gateway.links.ear import Ear, HeardSink
from gateway.links.forwarder import make_ears
from gateway.links.rates import Rates, Rules
from gateway.links.rendezvous import Known, Rendezvous
from gateway.links.serial import Input, SerialLink
from gateway.uplink import Uplinks

log = logging.getLogger("lora")

LORA_NAME = "lora"  # what nodes were told of the spreading factor that they share
DUTY_NAME = "duty"  # and the name of the ear: airtime that it spent


def ears_of(config: Config, on_heard: HeardSink, sink: Input, clock: Clock) -> Sequence[Ear]:
    ears: list[Ear] = [*bridge_ears(config, on_heard, sink, clock)]
    ears += make_ears(config.forwarder, clock, on_heard)
    if config.hat:  # else neither the boards' driver nor a Pi's modules are loaded
        from gateway.links.hat import hat_ears

        ears += hat_ears(config, on_heard, clock)
    return ears


def duty_of(config: Config, ear: Ear, clock: Clock) -> Duty:
    path = config.gateway.data_dir / f"{DUTY_NAME}-{ear.name}"
    if not path.exists():
        _take_over(config, path)
    return GatewayDuty(path, clock)


def _take_over(config: Config, path: Path) -> None:
    """A name that was never there is an old ear's new one if another one is gone: the law counts transmitters, not names."""
    names = {f"{DUTY_NAME}-{ear.name}" for kind in EARS for ear in getattr(config, kind)}
    for old in sorted(path.parent.glob(f"{DUTY_NAME}-*")):
        if old.name not in names and "." not in old.name:  # a name has no point, what is half written has
            try:
                old.replace(path)
            except OSError as error:
                log.warning("lora: %s is not taken over, %s", old, error.strerror)
            else:
                log.info("lora: %s takes over the airtime that %s spent", path.name, old.name)
                return


def cell_of(config: Config, ears: Sequence[Ear], uplinks: Uplinks, clock: Clock, duty: Callable[[Ear], Duty]) -> Cell:
    lora = config.lora
    rules = Rules(lora.adr and lora.answer, lora.margin_db, lora.node_power_dbm, lora.node_power_min_dbm)
    rates = Rates(ears, rules, lora.sf)
    single = [ear for ear in ears if ear.single]
    # Who only listens can tell no node where to go: its ears stay where the configuration puts them.
    path = config.gateway.data_dir / LORA_NAME if lora.answer else None
    rendezvous = Rendezvous(single, rates, clock, path, lora.rendezvous_sf if lora.answer else lora.sf)
    rendezvous.known = lambda: _known_on_air(uplinks)
    return Cell(ears, uplinks, clock, duty, rates, rendezvous, lora.answer)


def _known_on_air(uplinks: Uplinks) -> Iterable[Known]:
    """Lives that LoRa ears should hear: last heard so, or never yet."""
    for key, life in uplinks.lives.items():
        memory = uplinks.sessions[key].memory
        if not life.until_s and not life.lost and (memory.on_air or not memory.last_ms):
            yield Known(key, memory.last_ms, life.provisioned_s * 1000)


def ports_of(cell: Cell) -> list[SerialLink]:
    """Of the ears that sit behind one."""
    return [ear.link for ear in cell.ears if isinstance(ear, BridgeEar)]
