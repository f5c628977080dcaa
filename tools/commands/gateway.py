"""`steiger gateway`: run and check the gateway, look inside it, lend a port, print the ledger, export the archive."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.commands.gateway_run import DEFAULT_CONFIG
from tools.errors import EXIT_FAILURE, NoConnection, SteigerError, UsageError

app = typer.Typer(
    help="Run and check the gateway; its status, ports, loss ledger and export.",
    no_args_is_help=True,
    add_completion=False,
)

PROGRESS_AFTER_S = 2.0
ANSWERS = "it answers its nodes; any other gateway that hears them needs answer = false in [lora]"
LISTENS = "it only listens ([lora] answer = false); another gateway must answer the same nodes"
SUFFIXES = {"d": 86_400, "h": 3_600, "min": 60}


class Format(StrEnum):
    csv = "csv"
    parquet = "parquet"


ConfigOption = Annotated[Path, typer.Option("--config", help="The gateway's TOML file", show_default=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error")] = None,
) -> int:
    """Run the gateway in the foreground until Ctrl-C or SIGTERM."""
    from tools.commands.gateway_run import main

    return main(["--config", str(config)] + (["--log-level", log_level] if log_level else []))


@app.command()
def check(
    config: ConfigOption = DEFAULT_CONFIG,
    broker: Annotated[bool, typer.Option("--broker", help="Also log in at the MQTT broker")] = False,
    as_json: JsonOption = False,
) -> int:
    """Check the configuration, its files and its ports without starting anything."""
    from gateway import environment
    from gateway.config import ConfigError, load
    from gateway.keys import KeyFileMissing, load_keys

    try:
        settings = load(config)
    except ConfigError as error:
        if not as_json:
            raise
        told = [_config_problem(line, error.next_step) for line in error.problems]
        print(json.dumps({"ok": False, "running": False, "problems": told}))
        return error.exit_code
    problems = environment.check_files(settings)
    running = _is_running(settings.gateway.data_dir)
    if not running:
        problems += environment.check_ports(settings)
    if broker and settings.mqtt is not None and not problems:
        problems += _check_broker(settings)
    try:
        lives = load_keys(settings.gateway.keys)
        nodes = f"{sum(1 for life in lives if not life.until_s)} nodes in the key file"
    except KeyFileMissing:
        nodes = "no key file yet: steiger node provision enters the first node"
    except Exception:
        nodes = ""  # told as a problem
    code = max((problem.exit_code for problem in problems), default=0)
    if as_json:
        told = [p._asdict() for p in problems]
        print(json.dumps({"ok": not problems, "running": running, "answers": settings.lora.answer, "problems": told}))
        return code
    for problem in problems:
        print(f"error: {problem.as_error(settings.path)}", file=sys.stderr)
    if not problems:
        held = ", its ports are held by the running gateway" if running else ""
        ports = len(settings.serial) + len(settings.bridge)
        ears = len(settings.bridge) + len(settings.hat) + len(settings.forwarder)
        counted = f"{ports} ports, {ears} ears" if ears else f"{ports} ports"
        print(f"ok: {settings.path}: gateway {settings.gateway.id}, {counted}{held}; {nodes}")
        if ears:
            print(f"LoRa: {ANSWERS if settings.lora.answer else LISTENS}")
    return code


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> int:
    """What the running gateway says of its sinks, ports, nodes and spool; exit code 1 if anything needs a person."""
    answer = _call(config, "status")
    if as_json:
        print(json.dumps(answer))
    else:
        for line in _status_lines(answer):
            print(line)
    return EXIT_FAILURE if answer.get("problems") else 0


@app.command()
def release(
    port: Annotated[str, typer.Argument(help="A port of the running gateway")],
    config: ConfigOption = DEFAULT_CONFIG,
    minutes: Annotated[float, typer.Option(help="The gateway takes it back after this time", min=0.1)] = 15.0,
    as_json: JsonOption = False,
) -> None:
    """Lend a port to another program; `resume` gives it back."""
    _lend("release", port, config, as_json, for_s=minutes * 60)


@app.command()
def resume(
    port: Annotated[str, typer.Argument(help="A port that was released")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a released port back to the gateway."""
    _lend("resume", port, config, as_json)


@app.command()
def ledger(
    config: ConfigOption = DEFAULT_CONFIG,
    node: Annotated[int | None, typer.Option(help="One address alone")] = None,
    sink: Annotated[str | None, typer.Option(help="archive, mqtt …; default: all")] = None,
    hours: Annotated[bool, typer.Option("--hours", help="One line an hour")] = False,
    as_json: JsonOption = False,
) -> int:
    """The loss ledger: scheduled = delivered + causes + pending; exit code 1 if it does not close."""
    import msgspec

    from gateway.ledger import build
    from gateway.ledger import summary as summary_of

    settings = _load(config)
    with _reader(settings) as reader:
        reader.conn.execute("BEGIN")  # one instant, while the gateway goes on
        report = build(reader.conn, time.time_ns() // 1_000_000, node=node)
    if node is not None and not report.lives:
        raise UsageError(
            f"there is no node {node}",
            where=str(settings.path),
            next_step="steiger gateway ledger without --node lists all",
        )
    if sink is not None and sink not in report.sinks:
        raise UsageError(f"there is no sink '{sink}'", next_step=f"There are: {', '.join(report.sinks)}")
    if as_json:
        print(json.dumps(msgspec.to_builtins(report) | {"summary": summary_of(report, sink)}))
    else:
        for line in _ledger_lines(msgspec.to_builtins(report), sink, hours):
            print(line)
    return 0 if report.closed else EXIT_FAILURE


@app.command()
def export(
    form: Annotated[Format, typer.Option("--format", help="csv or parquet")] = Format.csv,
    config: ConfigOption = DEFAULT_CONFIG,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: standard output")] = None,
    since: Annotated[str | None, typer.Option(help="2026-11-23, 2026-11-23T10:00Z (UTC unless said), 24h, 7d")] = None,
    until: Annotated[str | None, typer.Option(help="As --since; not included")] = None,
    node: Annotated[list[int] | None, typer.Option(help="Address; may be repeated")] = None,
    as_json: JsonOption = False,
) -> None:
    """The archive as CSV or Parquet, one observation a row; --json prints a summary on stderr."""
    from gateway.export import Selection
    from gateway.export import export as write

    settings = _load(config)
    now_s = time.time()
    selection = Selection(
        None if since is None else moment_ms(since, now_s, "--since"),
        None if until is None else moment_ms(until, now_s, "--until"),
        set(node) if node else None,
    )
    began_s = time.monotonic()
    with _reader(settings) as reader, _progress(began_s) as progress:
        summary = write(reader, form.value, output, settings.gateway.id, selection, progress)
    if as_json:
        facts = {"records": summary.records, "observations": summary.observations, "output": str(output or "-")}
        print(json.dumps(facts), file=sys.stderr)
    elif output is not None:
        print(f"{output}: {summary.observations} observations of {summary.records} records", file=sys.stderr)


def moment_ms(text: str, now_s: float, option: str) -> int:
    """A date, a time (UTC unless it carries an offset) or an age such as 90min, 24h, 7d, as unix milliseconds."""
    age = re.fullmatch(r"(\d+)(d|h|min)", text)
    if age:
        return int((now_s - int(age.group(1)) * SUFFIXES[age.group(2)]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text} is no time", next_step="Examples: 2026-11-23, 2026-11-23T10:00+01:00, 24h, 7d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _config_problem(line: str, next_step: str) -> dict[str, Any]:
    """`file:line: key path: what` as the fields that the other problems have."""
    where, _, rest = line.partition(": ")
    key, colon, what = rest.partition(": ")
    return {"key": key if colon else "", "what": what or rest, "where": where, "next_step": next_step, "exit_code": 2}


def _load(config: Path) -> Any:
    from gateway.config import load

    return load(config)


@contextmanager
def _reader(settings: Any) -> Iterator[Any]:
    """The archive, read-only; a database error becomes one line."""
    import sqlite3

    from gateway.owner import as_owner
    from gateway.store import Reader

    path = settings.gateway.data_dir / "spool.db"
    try:
        with Reader(path) as reader:
            yield reader
    except sqlite3.Error as error:
        step = "Check the disk" if os.access(path, os.R_OK | os.W_OK) else as_owner(path)
        raise SteigerError(f"the archive cannot be read: {error}", where=str(path), next_step=step) from None


@contextmanager
def _progress(began_s: float) -> Iterator[Any]:
    """Counts on stderr once it takes longer than two seconds and somebody may be looking."""
    shown = False

    def show(records: int) -> None:
        nonlocal shown
        if time.monotonic() - began_s > PROGRESS_AFTER_S and sys.stderr.isatty():
            shown = True
            print(f"\r{records} records …", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print(file=sys.stderr)


def _is_running(data_dir: Path) -> bool:
    from gateway.control import call
    from gateway.errors import GatewayError

    try:
        call(data_dir, "status")
    except GatewayError:
        return False
    return True


def _check_broker(settings: Any) -> list[Any]:
    import asyncio

    from gateway.environment import Problem
    from gateway.forward.mqtt import probe

    problems = []
    for target, state, detail, step in asyncio.run(probe(settings.mqtt, settings.gateway.id)):
        if state != "connected":
            problems.append(Problem("mqtt.url", detail, target, step, NoConnection.exit_code))
    return problems


def _lend(verb: str, port: str, config: Path, as_json: bool, **fields: Any) -> None:
    answer = _call(config, verb, port=port, timeout_s=30.0, **fields)
    if as_json:
        print(json.dumps(answer))
    elif verb == "release":
        back = f"steiger gateway resume {port} --config {config}"
        print(f"{answer['port']} is free for {fields['for_s'] / 60:g} min; give it back: {back}")
    else:
        print(f"{answer['port']} is the gateway's again")


def _call(config: Path, verb: str, **fields: Any) -> Any:
    """Ask the running gateway; the next step of an error names the configuration at hand."""
    from gateway.control import NotRunning, call

    try:
        return call(_load(config).gateway.data_dir, verb, **fields)
    except NotRunning as error:
        raise NoConnection(
            error.what, where=error.where, next_step=f"Start it: steiger gateway run --config {config}"
        ) from None


def _status_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Plain lines: a person reads them, also over a slow line; machines take --json."""
    spool = answer.get("spool", {})
    yield f"gateway {answer.get('gateway', '?')}, {answer.get('data_dir', '')}"
    left = spool.get("days_left")
    yield (
        f"spool    {_number(spool.get('used_mb'))} of {_number(spool.get('budget_mb'))} MB, "
        f"{'days left unknown yet' if left is None else f'{left:g} days left'}, "
        f"{_number(spool.get('written_mb_per_day'))} MB written a day"
        + (f", FAILING: {spool['failing']}" if spool.get("failing") else "")
    )
    for sink in answer.get("sinks", []):
        confirmed = sink.get("confirmed_age_s")
        age = "nothing confirmed yet" if confirmed is None else f"last confirmed {_age(confirmed)} ago"
        detail = f", {sink['detail']}" if sink.get("detail") else ""
        step = f". {sink['next_step']}" if sink.get("next_step") else ""
        yield (
            f"sink     {sink.get('name')}: {age}, {sink.get('state')} {sink.get('target', '')}, "
            f"backlog {sink.get('backlog', '?')}{detail}{step}"
        )
    for link in answer.get("links", []):
        bad = sum(link.get("bad", {}).values())
        yield f"port     {link.get('port')}: {link.get('state')}, {link.get('frames', 0)} frames, {bad} bad"
    yield from _ear_lines(answer.get("lora", {}))
    for node in answer.get("nodes", []):
        age_s = node.get("age_s")
        seen = "never seen" if age_s is None else f"seen {_age(age_s)} ago"
        name = f" {node['name']}" if node.get("name") else ""
        until = ", ended" if node.get("until_s") else ""
        missing = f", {node['missing_seqs']} seqs missing" if node.get("missing_seqs") else ""
        yield f"node     {node.get('node')}{name} ({node.get('board', '?')}): {seen}{until}{missing}"
    for problem in answer.get("problems", []):
        yield f"PROBLEM  {problem}"
    if not answer.get("problems"):
        yield "all is well"


def _ear_lines(lora: dict[str, Any]) -> Iterator[str]:
    for ear in lora.get("ears", []):
        downlinks = ear.get("downlinks", {})
        unsent = sum(n for result, n in downlinks.items() if result != "sent")
        where = ", ".join(f"{mhz:g}" for mhz in ear.get("channels_mhz", []))
        sfs = ", ".join(f"SF{sf}" for sf in ear.get("sfs", []))
        airtime = ", ".join(f"{seconds:g} s in {band}" for band, seconds in ear.get("airtime_s", {}).items())
        yield (
            f"ear      {ear.get('name')}: {ear.get('state')}, {where} MHz {sfs}, {ear.get('frames', 0)} frames, "
            f"{downlinks.get('sent', 0)} answers, {unsent} failed{f', airtime {airtime}' if airtime else ''}"
        )
    for rate in lora.get("rates", {}).get("nodes", []):
        margin = rate.get("margin_db")
        yield (
            f"rate     {rate['node']}: SF{rate.get('sf')}, {rate.get('power_dbm')} dBm, SNR {rate.get('snr_db')} dB, "
            f"{'margin unknown yet' if margin is None else f'margin {margin:g} dB'}"
        )
    for gone in lora.get("rendezvous", {}).get("missing", []):
        yield f"missing  {gone['node']}: looked for at SF{lora['rendezvous']['sf']}"


def _ledger_lines(report: dict[str, Any], wanted: str | None, hours: bool) -> Iterator[str]:
    heads = ("node", "life", "sink", "scheduled", "delivered", "pending", "missing", "causes")
    yield "{:>5} {:8} {:8} {:>9} {:>9} {:>8} {:>8}  {}".format(*heads)
    for life in report["lives"]:
        for sink, tally in life["sinks"].items():
            if wanted in (None, sink):
                yield _ledger_line(life, sink, tally, "")
        if hours:
            for line in life["lines"]:
                if wanted in (None, line["sink"]):
                    hour = datetime.fromtimestamp(line["hour_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
                    yield _ledger_line(life, line["sink"], line, f"  {hour}, windows of {line['window_s']} s")
    for finding in report["findings"]:
        yield f"LOST at {finding['hop']}: {finding['count']} ({finding['what']}), node {finding['node']}"
    yield "the ledger closes" if report["closed"] else "the ledger does NOT close"


def _ledger_line(life: dict[str, Any], sink: str, tally: dict[str, Any], more: str) -> str:
    causes = ", ".join(f"{name} {n}" for name, n in tally["causes"].items() if n)
    if tally.get("after_end"):
        more = f"  (after_end {tally['after_end']}){more}"
    pending = sum(tally["pending"].values())
    return (
        f"{life['node']:>5} {life['life']:8} {sink:8} {tally['scheduled']:>9} {tally['delivered']:>9} "
        f"{pending:>8} {tally['missing']:>8}  {causes or '-'}{more}"
    )


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "?"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
