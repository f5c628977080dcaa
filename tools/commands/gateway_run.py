"""`steiger gateway run`: the gateway's process. No typer and no rich here: it runs for years on a small machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

DEFAULT_CONFIG = Path("/etc/steiger/gateway.toml")
THREADS_TIMEOUT_S = 2.0  # a connection attempt in a thread must not hold the end of the process


def main(args: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; GatewayError when it cannot begin."""
    parser = argparse.ArgumentParser(prog="steiger gateway run", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args(list(args))

    from gateway.app import run
    from gateway.config import load
    from gateway.environment import check_files

    config = load(options.config)
    problems = check_files(config)
    if problems:
        raise problems[0].as_error(config.path)
    set_up_log(options.log_level or config.gateway.log_level)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(run(config))
    except ExceptionGroup as group:
        raise _first(group) from None
    finally:
        _end(loop)
    return 0


def set_up_log(level: str) -> None:
    """Lines on stderr, `who: what, value, reason`; the journal adds the time itself."""
    times = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    logging.basicConfig(level=level.upper(), format=f"{times}%(levelname)s %(message)s", stream=sys.stderr)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The cause: of several tasks that fell, the first one took the others along."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop; everything that matters is on disk. Threads that still wait for a dead broker die with us."""
    sys.stdout.flush()
    sys.stderr.flush()
    closer = threading.Thread(target=_shut_down_executor, args=(loop,), daemon=True)
    closer.start()
    closer.join(THREADS_TIMEOUT_S)
    if closer.is_alive() and sys.exc_info()[0] is None:
        os._exit(0)
    if not closer.is_alive():
        loop.close()


def _shut_down_executor(loop: asyncio.AbstractEventLoop) -> None:
    executor = getattr(loop, "_default_executor", None)
    if executor is not None:
        executor.shutdown(wait=True)
