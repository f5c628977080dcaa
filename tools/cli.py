"""The `steiger` command: a table of nouns, each imported only when it is used.

Exit codes: 0 done, 1 failure, 2 wrong usage or configuration, 3 no connection, 130 interrupted. Never a traceback:
what nobody foresaw is one line and a file that holds the rest (`STEIGER_DEBUG=1` shows it at once).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tools.errors import EXIT_FAILURE, EXIT_USAGE, SteigerError, UsageError

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # what a shell reports for SIGPIPE: `steiger … | head` is no failure of ours

# noun -> (module with `app`, one line of help); nothing here is imported to print the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("tools.commands.demo", "Run the main job here: simulated boards, real firmware, gateway, loss ledger"),
    "sim": ("tools.commands.sim", "Simulated boards on a port of their own; stock mpremote works on them"),
    "gateway": ("tools.commands.gateway", "Run and check the gateway; its status, ports, loss ledger and export"),
    "node": ("tools.commands.node", "Put firmware, settings and a fresh key onto a board"),
    "calibrate": ("tools.commands.calibrate", "Fit a sensor to a reference; look up what a calibration stands for"),
    "monitor": ("tools.commands.monitor", "Watch a port live: frames, values with units, bad frames, text logs"),
    "plan": ("tools.commands.plan", "Plan a LoRa deployment before a board hangs"),
    "range-test": ("tools.commands.range_test", "Carry a LoRa node about; find where it is heard best"),
    "wire": ("tools.commands.wire", "Decode frames of the wire protocol"),
}

# Verbs that run without typer and rich: the gateway is a long-lived process on a small machine.
PLAIN_VERBS: dict[tuple[str, str], str] = {("gateway", "run"): "tools.commands.gateway_run"}


def main() -> None:
    """Console entry point."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been printed."""
    try:
        code = _dispatch(list(args))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except SystemExit as stop:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # typer met the broken pipe first
            return EXIT_BROKEN_PIPE
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return EXIT_FAILURE
        return stop.code or 0
    except Exception as error:
        return _report(error, as_json="--json" in args, german=_asks_for_german(args))


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("--help", "-h", "help"):
        print(_help())
        return 0
    if args[0] in ("--version", "-V"):
        print(f"steiger {_version()}")
        return 0
    noun, rest = args[0], args[1:]
    if noun not in COMMANDS:
        raise UsageError(_unknown(noun), next_step="steiger --help lists the commands")
    if rest and (noun, rest[0]) in PLAIN_VERBS and not {"--help", "-h"} & set(rest):
        module = _load(noun, PLAIN_VERBS[noun, rest[0]])
        code = module.main(rest[1:])
        return code if isinstance(code, int) else 0
    return _run_typer(_load(noun, COMMANDS[noun][0]).app, f"steiger {noun}", rest)


def _load(noun: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise SteigerError(
                f"this installation has no command '{noun}'", next_step="Install the complete package: make setup"
            ) from None
        raise SteigerError(
            f"the Python package '{error.name}' is missing",
            where=f"steiger {noun}",
            next_step="Run make setup, or pip install 'steiger[parquet,technician]' in its environment",
        ) from None


def _run_typer(app: Any, name: str, args: list[str]) -> int:
    import typer

    # BadParameter < UsageError < ClickException, whichever click this typer carries inside.
    click_exception: type[Exception] = typer.BadParameter.__mro__[2]
    try:
        result = typer.main.get_command(app).main(args=args, prog_name=name, standalone_mode=False)
    except typer.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        print("aborted", file=sys.stderr)
        return EXIT_FAILURE
    except click_exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            # A noun without a verb: newer versions have printed the help by now, older ones carry it.
            message = str(getattr(error, "message", "") or "")
            if message:
                print(message)
            return EXIT_USAGE
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context is not None else name
        text: Any = error
        raise UsageError(str(text.format_message()).rstrip("."), next_step=f"{path} --help shows the usage") from None
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _asks_for_german(args: Sequence[str]) -> bool:
    return "--lang=de" in args or ("--lang", "de") in pairwise(args)


def _report(error: Exception, as_json: bool, german: bool = False) -> int:
    """Print one line for `error` and return the exit code; a script that asked for JSON gets an object on stdout too."""
    if os.environ.get("STEIGER_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    # The gateway's own errors have the same shape; its package is only looked at where it was already imported.
    gateway_errors = sys.modules.get("gateway.errors")
    if isinstance(error, SteigerError) or (
        gateway_errors is not None and isinstance(error, gateway_errors.GatewayError)
    ):
        facts: Any = error
        what, where, step, code = facts.what, facts.where, facts.next_step, int(facts.exit_code)
        if not german or as_json:  # a script reads one language
            return _say(what, where, step, str(error), code, as_json)
        from tools.german import german as translate
        from tools.german import german_place

        told = SteigerError(translate(what), where=german_place(where), next_step=translate(step))
        return _say(what, where, step, str(told), code, as_json, head="Fehler")
    place = _save_traceback(error)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    text = f"unexpected {what}. Details: {place}; please report it with this file"
    return _say(f"unexpected {what}", place, "Report it with this file", text, EXIT_FAILURE, as_json)


def _say(what: str, where: str, next_step: str, text: str, exit_code: int, as_json: bool, head: str = "error") -> int:
    print(f"{head}: {text}", file=sys.stderr)
    if as_json:
        import json

        facts = {"what": what, "where": where, "next_step": next_step, "exit_code": exit_code}
        try:
            print(json.dumps({"error": facts}), flush=True)
        except BrokenPipeError:
            _silence_stdout()
    return exit_code


def _save_traceback(error: Exception) -> str:
    """Write the traceback to a file of this user alone; return where it lies."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for folder in (os.path.join(state, "steiger"), tempfile.gettempdir()):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor, path = tempfile.mkstemp(prefix="steiger-error-", suffix=".log", dir=folder)  # 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"steiger {_version()}, Python {sys.version.split()[0]}, {sys.platform}\n{text}")
            return path
        except OSError:
            continue
    return "STEIGER_DEBUG=1 shows them (no folder could be written)"


def _silence_stdout() -> None:
    """The reader is gone: keep the interpreter from complaining about it while it ends."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                os.dup2(devnull, stream.fileno())
            except (OSError, ValueError):
                pass


def _unknown(noun: str) -> str:
    import difflib

    near = difflib.get_close_matches(noun, COMMANDS, n=1)
    return f"there is no command '{noun}'" + (f", did you mean '{near[0]}'?" if near else "")


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("steiger")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _help() -> str:
    width = max(len(noun) for noun in COMMANDS)
    rows = "\n".join(f"  {noun:<{width}}  {text}" for noun, (_, text) in COMMANDS.items())
    return (
        "Steiger: measure a city.\n\n"
        "Usage: steiger COMMAND [OPTIONS] …\n\n"
        f"Commands (steiger COMMAND --help says more):\n{rows}\n\n"
        "Options:\n  --version  Show the version\n  --help     Show this page\n\n"
        "Start with: steiger demo\n"
        'With --json an error is an object as well: {"error": {"what", "where", "next_step", "exit_code"}}.\n'
        "Exit codes: 0 done, 1 failure, 2 wrong usage or configuration, 3 no connection, 130 interrupted."
    )
