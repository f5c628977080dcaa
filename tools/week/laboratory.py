"""Runs lives of boards one after the other, and keeps their results, so that what is done is not done again."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tools.campaign import keep_folder, results_in
from tools.week import plan as plans
from tools.week.catalogue import board_of, fault_of
from tools.week.fault import Fault
from tools.week.run import WeekRun, require_micropython
from tools.week.verdict import Result

START_S = 1_772_578_800  # a Wednesday in March, midnight in Bochum
DAYS = 7.0
BEFORE_S = 1800  # clean, before a fault that is tried alone
WEEK, ALONE, SAMPLE_EXACT = "week", "alone", "sample-exact"
SOUNDS = ("both", "blocks", "exact")


class Job(NamedTuple):
    """One life: a week with all faults, or (`fault`) one of them, as in that week or sample by sample."""

    board: str
    kind: str
    seed: int
    days: float = DAYS
    fault: str = ""

    @property
    def title(self) -> str:
        """How reports name it; the seed stands beside."""
        return f"{self.board}, {self.kind}{f', {self.fault}' if self.fault else ''}"

    @property
    def command(self) -> str:
        """What repeats it."""
        text = f"steiger sim week {self.board} --seed {self.seed}"
        text += f" --days {self.days:g}" if self.days != DAYS and self.kind != SAMPLE_EXACT else ""
        text += f" --fault {self.fault}" if self.fault else ""
        if self.kind == SAMPLE_EXACT:
            return text + " --sound exact"
        return text + (" --sound blocks" if board_of(self.board).has_microphone else "")


def jobs(board: str, seed: int, days: float, fault: str, sound: str) -> Iterator[Job]:
    """What a call of the command amounts to. UsageError for unknown boards and faults, and for too few days."""
    faults = [fault_of(board, fault)] if fault else list(board_of(board).faults)
    if sound != "exact":
        job = Job(board, ALONE if fault else WEEK, seed, days, fault)
        plan_of(job)
        yield job
    if sound != "blocks" and board_of(board).has_microphone:
        for each in faults:
            yield Job(board, SAMPLE_EXACT, seed, days, each.title)


def plan_of(job: Job) -> plans.Plan:
    """Its faults and their times."""
    board = board_of(job.board)
    if job.kind == SAMPLE_EXACT:
        return plans.sample_exact(fault_of(job.board, job.fault), START_S)
    whole = plans.week(board.faults, job.seed, START_S, job.days, board.window_s)
    if job.kind == WEEK:
        return whole
    (span,) = [span for span in whole.spans if span.fault.title == job.fault]
    before_s = min(span.begin_s, max(BEFORE_S, span.fault.after_h * 3600))
    return plans.alone(span, START_S, before_s, _after_s(span.fault, board.window_s))


def _after_s(fault: Fault, window_s: int) -> int:
    return (fault.recovers_s // window_s + plans.LEAST_WINDOWS + 2) * window_s


def run(job: Job, told: Callable[[str], None], keep: Path | None = None) -> Result:
    """One life in this process. What goes wrong with the run itself becomes a problem of its result."""
    require_micropython()
    plan = plan_of(job)
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    try:
        going = WeekRun(
            job.board, board_of(job.board), plan, job.seed, folder, exact=job.kind == SAMPLE_EXACT, told=told
        )
        result = going.go()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        why = f"the run fell: {type(error).__name__}: {error} ({last.name}, line {last.lineno})"
        result = fallen(job, plan, why)
        (folder / "error.txt").write_text(traceback.format_exc())
    finally:
        if keep is not None:
            name = "-".join(filter(None, (job.board, job.kind, str(job.seed), job.fault.replace("/", "-"))))
            keep_folder(folder, keep, name)
        shutil.rmtree(folder, ignore_errors=True)
    result.kind, result.wanted, result.days = job.kind, job.fault, job.days
    return result


def fallen(job: Job, plan: plans.Plan, why: str) -> Result:
    """The result of a run that came to no end."""
    return Result(
        board=job.board, kind=job.kind, seed=job.seed, days=job.days, wanted=job.fault, spans=[], problems=[why], windows=0,
        delivered=0, causes={}, pending=0, before_spans=0, boots=0, task_restarts=0, health_records=0, heap=[],
        heap_growth_bytes=0, hours=plan.length_s / 3600,
    )  # fmt: skip


def job_of(result: Result) -> Job:
    return Job(result.board, result.kind, result.seed, result.days, result.wanted)


def load_results(path: Path) -> list[Result]:
    """What earlier calls left, the last of each job."""
    return list({job_of(result): result for result in results_in(path, Result)}.values())
