"""`steiger sim week`: each fault of a board's chips in turn, over a simulated week."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.errors import SteigerError, UsageError

SHOWN = 20  # failed spans that the error names


def week(
    boards: Annotated[list[str], typer.Argument(help="air-v1, noise-v1, traffic-v1: one or more")],
    seed: Annotated[int, typer.Option(help="Seed of world, chips, crystal, and of the order of the faults", min=0)] = 1,
    days: Annotated[float, typer.Option(help="Length of the one life that meets all faults", min=0.01, max=60)] = 7.0,
    fault: Annotated[str, typer.Option(help="This one alone, at its time of that week; as reports name it")] = "",
    sound: Annotated[
        str, typer.Option(help="Of a microphone: blocks (results behind the DSP), exact (an hour a fault), both")
    ] = "both",
    results: Annotated[
        Path | None, typer.Option(help="JSONL file, a line a life; what is in it as written down is not run again")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Put all of --results into this Markdown page")] = None,
    keep: Annotated[Path | None, typer.Option(help="Folder for flash image, spool and log of each life")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a life")] = False,
) -> None:
    """Switch on every fault in turn for a week in virtual time, and judge flags, ledger, restarts and heap.

    What has to come of each fault is written down beforehand (docs/week.md). A span that shows something else prints the
    command that repeats it.

    \b
    steiger sim week air-v1
    steiger sim week noise-v1 --fault ics43434/stuck --sound exact
    """
    from tools.campaign import append_result
    from tools.faults.report import facts, put_into
    from tools.week import laboratory, report

    if sound not in laboratory.SOUNDS:
        raise UsageError(f"there is no sound {sound!r}", next_step=f"There are {', '.join(laboratory.SOUNDS)}")
    for path in (results, page):
        if path is not None and path.is_dir():
            raise UsageError("this is a folder", where=str(path), next_step="Name a file")
    if page is not None and results is None:
        raise UsageError("a page is made of --results", next_step="Name their file as well")
    found = laboratory.load_results(results) if results else []
    done = {laboratory.job_of(result) for result in found if not report.failures([result])}
    asked = [job for board in boards for job in laboratory.jobs(board, seed, days, fault, sound)]
    wanted = [job for job in asked if job not in done]
    found = [result for result in found if laboratory.job_of(result) not in set(wanted)]  # what fell is run again
    if not as_json:
        already = f", {len(asked) - len(wanted)} are done already" if len(wanted) < len(asked) else ""
        print(f"{len(asked)} lives in virtual time{already}", flush=True)

    def told(text: str) -> None:
        if not as_json:
            print(f"  {text}", flush=True)

    for number, job in enumerate(wanted, 1):
        told(job.title)
        result = laboratory.run(job, told, keep)
        found.append(result)
        if results is not None:
            append_result(results, result)
        print(report.line(result, as_json, number, len(wanted)), flush=True)
    if page is not None:
        put_into(page, report.markdown(found, facts()), report.BEGIN, report.END)
    broken = report.failures(result for result in found if laboratory.job_of(result) in set(asked))
    if broken:
        raise SteigerError(
            f"{len(broken)} times something else came than was written down:\n  " + "\n  ".join(broken[:SHOWN]),
            where=", ".join(boards),
        )
