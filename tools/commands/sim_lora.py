"""`steiger sim lora`: real firmware by the dozen on the simulated ether, in virtual time; results that a later run goes on from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import SteigerError, UsageError

RESULTS = "results.jsonl"
ALIKE_SHARE = 0.01  # model and firmware may differ by so much in PER and delivery, over all seeds


def lora(
    folder: Annotated[Path, typer.Argument(help="Where flashes and results lie; made if there is none")],
    nodes: Annotated[int, typer.Option(help="Nodes of one bridge", min=1, max=500)] = 50,
    hours: Annotated[float, typer.Option(help="Simulated hours", min=0.1, max=1000)] = 24.0,
    cuts: Annotated[int, typer.Option(help="Power cuts, at random", min=0)] = 100,
    loss: Annotated[float, typer.Option(help="Share of the frames that are lost besides", min=0, max=0.9)] = 0.2,
    dead: Annotated[float, typer.Option(help="Hours for which the bridge hears nothing", min=0)] = 0.0,
    seeds: Annotated[int, typer.Option(help="Runs, with seeds from 1 on", min=1)] = 1,
    compare: Annotated[bool, typer.Option(help="Hold the model of steiger plan city against each run")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Live through days of a LoRa town with real firmware and a real gateway. Ends with 1 if anything speaks against them.

    \b
    steiger sim lora /var/tmp/lora --nodes 50 --hours 24 --cuts 100 --loss 0.2
    steiger sim lora /var/tmp/alike --nodes 10 --hours 6 --cuts 0 --seeds 10 --compare
    A run that is there already, with the same values, is not run again.
    """
    from tools.sim.interpreter import find
    from tools.sim.radio import trial as trials

    if dead and dead > hours * 5 / 6:
        raise UsageError(f"--dead {dead:g} does not fit into {hours:g} hours", next_step="Give more --hours")
    if not find().is_micropython:
        raise SteigerError("real firmware needs MicroPython", next_step="make setup installs MicroPython's unix port")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from None
    results = []
    for seed in range(1, seeds + 1):
        trial = trials.Trial(nodes=nodes, hours=hours, seed=seed, loss=loss, cuts=cuts, dead_h=dead)
        found = _known(folder, trial)
        if found is None:
            place = folder / f"seed-{seed}"
            _clear(place)
            found = trials.run(trial, place, lambda line, seed=seed: _say(f"seed {seed}: {line}"))  # type: ignore[misc]
            with (folder / RESULTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
        if compare:
            found["model"] = trials.by_model(trial)
        results.append(found)
    summary = _summary(results, compare)
    if as_json:
        print(json.dumps({"runs": results} | summary))
    else:
        _print(results, summary)
    if summary["against"]:
        raise typer.Exit(1)


def _known(folder: Path, trial: Any) -> dict[str, Any] | None:
    """The result of an earlier run of the same trial."""
    from dataclasses import asdict

    wanted = asdict(trial)
    try:
        lines = (folder / RESULTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue  # cut off
        if all(found.get(name) == value for name, value in wanted.items()):
            return dict(found)
    return None


def _clear(place: Path) -> None:
    """What an interrupted run left."""
    import shutil

    shutil.rmtree(place, ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _summary(results: list[dict[str, Any]], compare: bool) -> dict[str, Any]:
    against = [f"seed {found['seed']}: {text}" for found in results for text in found["against"]]
    summary: dict[str, Any] = {"against": against}
    if compare:
        count = len(results)
        for name in ("per", "delivered", "in_time"):
            apart = sum(found["model"][name] - _share(found, name) for found in results) / count
            summary[f"model_apart_{name}"] = apart
            if not abs(apart) <= ALIKE_SHARE:  # nor NaN
                against.append(f"the model's {name} differs by {apart:+.2%}")
    return summary


def _share(found: dict[str, Any], name: str) -> float:
    """What the firmware did; delivered: of the windows that no power cut swallowed."""
    if name != "delivered":
        return float(found[name])
    ledger = found["ledger"]
    return float(ledger["delivered"] / max(1, ledger["scheduled"] - sum(ledger["causes"].values())))


def _print(results: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    for found in results:
        ledger = found["ledger"]
        print(
            f"seed {found['seed']}: {found['nodes']} nodes, {found['hours']:g} h, {found['cuts']} power cuts, "
            f"{found['loss']:.0%} lost: {ledger['scheduled']} windows scheduled, {ledger['delivered']} delivered, "
            f"{ledger['pending']} pending, causes {ledger['causes']}"
        )
        print(
            f"  {found['frames']} frames, PER {found['per']:.2%}, half of the records within {found['latency_p50_s']:.0f} s, "
            f"{found['in_time']:.2%} within 15 minutes, drained after {found['drained_s']} s"
        )
        print(
            f"  nearest to its duty cycle: {found['worst_who']}, {found['worst_duty_cycle']:.1%} of what the law allows "
            f"(band {found['worst_band']}); wall time {found['wall_s']:.0f} s"
        )
        if "recovery_s" in found:
            print(
                f"  after {found['dead_h']:g} dead hours all was there in {found['recovery_s'] / 60:.0f} min, new records "
                f"meanwhile within {found['live_latency_s']:.0f} s (before {found['normal_latency_s']:.0f} s)"
            )
        if "model" in found:
            model = found["model"]
            print(f"  the model says: PER {model['per']:.2%}, {model['in_time']:.2%} within 15 minutes")
    if "model_apart_per" in summary:
        told = ", ".join(f"{name} {summary[f'model_apart_{name}']:+.2%}" for name in ("per", "delivered", "in_time"))
        print(f"the model differs over all seeds: {told} (at most {ALIKE_SHARE:.0%})")
    for text in summary["against"]:
        print(f"AGAINST: {text}")
    if not summary["against"]:
        print("Nothing speaks against it.")
