"""Many runs, side by side: each in a process of the pool and a folder of its own; finished seeds are not run again."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection
from pathlib import Path

from tools.campaign import cpu_s, keep_folder, results_in
from tools.faults import plan, scenario
from tools.faults.disk import SmallDisk
from tools.faults.forked import PR_SET_PDEATHSIG
from tools.faults.verdict import Verdict

RUN_S = 1800  # a run that takes longer hangs
CLEAN_UP_S = 60
ENDED = 128 + signal.SIGTERM
TASKS_A_WORKER = 50  # then a fresh process: nothing adds up


class Hangs(Exception):
    """The run did not end."""


def run(where: str, seed: int, keep: Path | None = None) -> Verdict:
    """One run in this process. Whatever goes wrong with it becomes a problem of its verdict."""
    scene = scenario.load(where)
    planned = plan.make(scene, seed)
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    began_s, began_cpu_s = time.monotonic(), cpu_s()
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(RUN_S)
    try:
        if scene.time == "virtual":
            from tools.faults.virtual import VirtualRun

            result = VirtualRun(planned, folder, where).go()
        else:
            from tools.faults.street import StreetRun

            result = StreetRun(planned, folder, where).go()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        result = failed(where, seed, scene.time, f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})")
        result.planned = [item.fault for item in planned.faults]
        (folder / "error.txt").write_text(traceback.format_exc())
    finally:
        signal.alarm(0)
        if keep is not None:
            keep_folder(folder, keep, f"{scene.name}-{seed}")
        _leave(folder)
    result.wall_s = round(time.monotonic() - began_s, 1)
    result.cpu_s = round(cpu_s() - began_cpu_s, 1)
    return result


def _leave(folder: Path) -> None:
    SmallDisk.unmount(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


def failed(where: str, seed: int, time_kind: str, why: str) -> Verdict:
    """The verdict on a run that came to no end."""
    return Verdict(
        scenario=where, seed=seed, time=time_kind, problems=[why], fired={}, planned=[], overlap=0, node_s=0, scheduled=0,
        delivered=0, causes={}, pending=0, sealed=0, lost=0, duplicates=0, redelivered=0, redelivered_at_most=0, predicted={},
    )  # fmt: skip


def _hangs(*_: object) -> None:
    raise Hangs(f"the run did not end within {RUN_S} s")


def run_many(
    where: str, seeds: Iterable[int], jobs: int, done: Callable[[Verdict], None], keep: Path | None = None
) -> None:
    """`done` gets each verdict as it comes. Ctrl-C and SIGTERM end the runs under way, and so does any end of this process."""
    left = iter(seeds)
    if jobs == 1:
        before = signal.signal(signal.SIGTERM, _told_to_end)
        try:
            for seed in left:
                done(run(where, seed, keep))
        finally:
            signal.signal(signal.SIGTERM, before)
        return
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_the_laboratory,
        max_tasks_per_child=TASKS_A_WORKER,
    )
    under_way: dict[Future[Verdict], int] = {}
    try:
        while True:
            for seed in left:
                under_way[pool.submit(_run_in_pool, where, seed, keep)] = seed
                if len(under_way) >= 2 * jobs:
                    break
            if not under_way:
                break
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                seed = under_way.pop(future)
                error = future.exception()
                done(future.result() if error is None else failed(where, seed, "", f"the worker fell: {error}"))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _run_in_pool(where: str, seed: int, keep: Path | None) -> Verdict:
    try:
        return run(where, seed, keep)
    except SystemExit:
        os._exit(ENDED)  # the pool's loop would take it for a result and wait for the next run


def _end_with_the_laboratory() -> None:
    """In a worker of the pool: it cleans up and ends when the laboratory's own process has ended, by whatever."""
    signal.signal(signal.SIGTERM, _told_to_end)
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent.pid:
            os._exit(ENDED)
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="laboratory", daemon=True).start()


def _told_to_end(*_: object) -> None:
    """The run's own `finally` ends its boards, gateway and broker and removes its folder; a hanging one is killed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CLEAN_UP_S)
    raise SystemExit(ENDED)


def load_results(path: Path) -> list[Verdict]:
    """What earlier runs left."""
    return list(results_in(path, Verdict))
