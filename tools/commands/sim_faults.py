"""`steiger sim faults`: the fault laboratory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tools.errors import SteigerError, UsageError

SHOWN = 20  # failed runs that the error names


def faults(
    scenario: Annotated[str, typer.Argument(help="A TOML file, or one that comes with Steiger: virtual, street")],
    seed: Annotated[int, typer.Option(help="Seed of the first run; the next run has the next one", min=0)] = 1,
    runs: Annotated[int, typer.Option(help="How many runs", min=1)] = 1,
    jobs: Annotated[int, typer.Option(help="How many at one time", min=1, max=64)] = 1,
    results: Annotated[
        Path | None, typer.Option(help="JSONL file, a line a run; seeds that are in it are not run again")
    ] = None,
    summary: Annotated[Path | None, typer.Option(help="Write what all runs of --results amount to, as JSON")] = None,
    page: Annotated[Path | None, typer.Option(help="Put the summary into this Markdown page")] = None,
    keep: Annotated[Path | None, typer.Option(help="Folder for flash images, spool and logs of each run")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run, then one of all")] = False,
) -> None:
    """Break everything that can break, by a seed, and add up what became of each reading.

    A run that fails prints the command that repeats it. In virtual time it is the same to the byte, and so is its digest.

    \b
    steiger sim faults virtual --seed 7
    steiger sim faults street --runs 10 --jobs 4
    """
    from tools.campaign import append_result
    from tools.faults import laboratory, report
    from tools.faults import scenario as scenarios
    from tools.faults.verdict import Verdict

    scene = scenarios.load(scenario)
    for path in (results, summary, page):
        if path is not None and path.is_dir():
            raise UsageError("this is a folder", where=str(path), next_step="Name a file")
    if scene.time == "real":
        from tools.faults.broker import require_mosquitto

        require_mosquitto()
    found = laboratory.load_results(results) if results else []
    ended = {result.seed for result in found if result.scenario == scenario}
    wanted = [number for number in range(seed, seed + runs) if number not in ended]
    if not as_json:
        already = f", {runs - len(wanted)} are done already" if len(wanted) < runs else ""
        print(f"{scene.title}\n  {runs} runs from seed {seed} on in {scene.time} time{already}", flush=True)
    made: list[Verdict] = []

    def done(result: Verdict) -> None:
        made.append(result)
        if results is not None:
            append_result(results, result)
        print(report.line(result, as_json, len(made), len(wanted)), flush=True)

    laboratory.run_many(scenario, wanted, jobs, done, keep)
    everything = [*found, *made]
    figures = report.summary(everything)
    if summary is not None:
        summary.parent.mkdir(parents=True, exist_ok=True)
        summary.write_text(json.dumps(figures, indent=1) + "\n")
    if page is not None:
        report.put_into(page, report.markdown(figures, report.facts()))
    print(json.dumps(figures) if as_json else report.text(figures), flush=True)
    asked = set(range(seed, seed + runs))
    broken = [r for r in everything if r.problems and r.scenario == scenario and r.seed in asked]
    if broken:
        lines = [f"{report.replay_command(result)}\n    {'; '.join(result.problems)}" for result in broken[:SHOWN]]
        raise SteigerError(f"{len(broken)} of {runs} runs broke a promise:\n  " + "\n  ".join(lines), where=scenario)
