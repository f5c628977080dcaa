"""LoRa: what arrives of a town's records, who comes nearest to the duty cycle, and how many nodes one gateway carries.

By the model of nodes and gateway on the simulated ether (tools/sim/radio); tests hold it against the real firmware.
`bench/run.py lora` also writes build/lora-capacity.svg: the capacity beside pure ALOHA's theory.
"""

from pathlib import Path

from tools.sim.radio.capacity import TRIES, WANTED, Point, Setup, aloha_carried, carried, curve
from tools.sim.radio.city import City
from tools.sim.radio.deployment import Air, Link
from tools.sim.radio.outage import live_through
from tools.sim.radio.picture import Curve, curves

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "build" / "lora-capacity.svg"
LINK = Link(spread_s=240, ask_every=2)  # windows of five minutes
ONE = Setup("one channel, SF9", eight=False, link=LINK)
EIGHT = Setup("eight channels, SF7 to SF12", eight=True, link=LINK)
STEPS_ONE = (20, 40, 60, 80, 120, 160, 240)
STEPS_EIGHT = (40, 80, 120, 160, 240, 320)
HOURS, SEEDS = 4, (1, 2)
DAY_NODES, DAY_HOURS, DAY_LOSS = 50, 24, 0.2
DEAF_HOURS = 6

TARGETS = {
    "lora.delivery": (">=", 1.0),
    "lora.worst_duty_cycle": ("<=", 1.0),
    "lora.outage_live_latency_ratio": ("<=", 2.0),
    "lora.nodes_per_gateway": (">=", 100),
    "lora.nodes_per_gateway.one_channel": (">=", 50),
}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    figures: dict[str, float] = {}
    town = ONE.deployment(DAY_NODES, 1, DAY_HOURS)
    town.air = Air(frame_loss=DAY_LOSS)
    day = City(town).run()
    worst = day.verdicts[0]
    deaf = live_through(ONE.deployment(DAY_NODES, 1, DAY_HOURS), 4 * 3600, (4 + DEAF_HOURS) * 3600)
    figures["lora.outage_recovery_h"] = deaf.took_s / 3600
    figures["lora.outage_live_latency_ratio"] = deaf.live_s / deaf.normal_s
    figures["lora.delivery"] = day.delivered
    figures["lora.worst_duty_cycle"] = worst.share
    lines = [
        f"{DAY_NODES} nodes, one bridge, {DAY_HOURS} h, {DAY_LOSS:.0%} of the frames lost besides: {day.scheduled} records,"
        f" {day.delivered:.4%} delivered, {day.in_time:.2%} within 15 minutes;",
        f"nearest to its duty cycle: {worst.who} with {worst.share:.1%} of what the law allows in its worst hour"
        f" (band {worst.band}).",
        f"{DEAF_HOURS} h of a deaf bridge: everything is there {deaf.took_s / 3600:.1f} h later ({deaf.result.delivered:.4%}),"
        f" worst hour {deaf.result.verdicts[0].share:.1%};",
        f"half of the new records meanwhile within {deaf.live_s:.0f} s, before within {deaf.normal_s:.0f} s.",
        "",
        f"{'gateway':30} {'nodes':>6} {'in 15 min':>10} {'delivered':>10} {'lost frames':>12} {'ALOHA':>8}"
        f" {f'ALOHA x{TRIES}':>9}",
    ]
    drawn = []
    for setup, steps, shade in ((ONE, STEPS_ONE, "#b5392f"), (EIGHT, STEPS_EIGHT, "#1f4e79")):

        def tell(point: Point, setup: Setup = setup) -> None:
            lines.append(
                f"{setup.name:30} {point.nodes:>6} {point.in_time:>10.3%} {point.delivered:>10.3%} {point.per:>12.2%}"
                f" {point.theory:>8.2%} {point.theory_tries:>9.2%}"
            )

        points = curve(setup, hours=HOURS, seeds=SEEDS, steps=steps, told=tell)
        name = "lora.nodes_per_gateway" + ("" if setup.eight else ".one_channel")
        figures[name] = int(carried(points))
        lines.append(f"{setup.name:30} {figures[name]:>6g} nodes at {WANTED:.1%}")
        drawn.append(Curve(setup.name, [(p.nodes, p.in_time) for p in points], shade))
        drawn.append(Curve("pure ALOHA", [(p.nodes, p.theory) for p in points], shade, True))
        drawn.append(Curve(f"ALOHA, {TRIES} tries", [(p.nodes, p.theory_tries) for p in points], shade, True))
    lines.append(
        f"Pure ALOHA on one channel at SF9 carries {aloha_carried(LINK, 9):.1f} nodes at {WANTED:.1%},"
        f" with {TRIES} tries of each record {aloha_carried(LINK, 9, TRIES):.0f}."
    )
    PICTURE.parent.mkdir(exist_ok=True)
    title = "Records at the gateway within 15 minutes (windows of 5 minutes)"
    PICTURE.write_text(curves(title, "nodes of one gateway", "share of records", drawn, WANTED), encoding="utf-8")
    lines.append(f"Plot: {PICTURE.relative_to(ROOT)}")
    return figures, lines
