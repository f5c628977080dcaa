"""`steiger node`: boards, one at a time: provision, calibrate, command, setting, retire, list. German with `--lang de`."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.commands.node_bridge import provision_bridge, refuse_what_a_bridge_has_not
from tools.commands.node_calibrate import calibrate
from tools.commands.node_command import command
from tools.commands.node_setting import setting as node_setting
from tools.commands.node_traceback import traceback
from tools.errors import NoConnection, SteigerError, UsageError
from tools.language import check_lang

app = typer.Typer(help="Boards, one at a time.", no_args_is_help=True, add_completion=False)
app.command()(calibrate)
app.command()(command)
app.command("setting")(node_setting)
app.command()(traceback)

LEND_S = 900.0  # copying all files at 115200 baud takes two minutes; if we die, the gateway takes the port back
RETIRE_IN_S = 30  # beyond the wait for its answer, so that the end lies ahead when the node hears of it
ANSWER_TIMEOUT_S = 15.0  # boot, self tests and the first hello take about 3 s

_WORDS = {
    "en": {
        "done": "node {address} ({board}) on {port}: provisioned, life {life:08x}, {answer}",
        "answers": "board answers",
        "returned": "port handed back to the gateway",
        "silent": "no hello yet",
        "next": "next: steiger monitor {port} --keys {keys}",
    },
    "de": {
        "done": "Knoten {address} ({board}) an {port}: eingerichtet, Leben {life:08x}, {answer}",
        "answers": "die Platine antwortet",
        "returned": "Anschluss an das Gateway zurückgegeben",
        "silent": "noch kein Lebenszeichen",
        "next": "weiter: steiger monitor {port} --keys {keys}",
    },
}


def _read_key(key_file: Path | None, key_stdin: bool) -> bytes | None:
    if key_file is not None and key_stdin:
        raise UsageError("--key-file and --key-stdin exclude each other")
    if key_stdin:
        text = sys.stdin.buffer.readline()
        where = "standard input"
    elif key_file is not None:
        try:
            mode = stat.S_IMODE(os.stat(key_file).st_mode)
            if mode & 0o077:
                raise UsageError(
                    f"the key may be read by others (mode {mode:04o})",
                    where=str(key_file),
                    next_step=f"Run: chmod 600 {key_file}, and make a fresh key",
                )
            text = key_file.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the key: {error.strerror}", where=str(key_file)) from None
        where = str(key_file)
    else:
        return None
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:  # no text at all, too: an error of its own would repeat a byte of it
        key = b""
    if len(key) != 16:
        raise UsageError("a key is 32 hexadecimal digits", where=where)  # never repeats what was given
    return key


def _values(pairs: list[str]) -> dict[str, int]:
    from wire.settings import by_name, permits

    values: dict[str, int] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        base, _, instance = name.partition(".")
        try:
            setting = by_name(base)
            value = int(text)
            number = int(instance or 0)
        except (KeyError, ValueError):
            raise UsageError(f"--set {pair} is not NAME=NUMBER", next_step="docs/wire-protocol.md lists them") from None
        if not permits(setting.id, number, value):
            raise UsageError(f"--set {pair}: allowed are {setting.low} to {setting.high} {setting.unit}")
        values[f"{base}.{number}" if setting.instances > 1 else base] = value
    return values


@app.command()
def provision(
    port: Annotated[str, typer.Argument(help="Serial port of the board, or the link of a simulated one")],
    board: Annotated[str, typer.Option(help="Board: a name of boards/ or a board.toml")],
    address: Annotated[
        int | None, typer.Option(help="Address of the node, 1..65535; a bridge has none", min=1, max=65535)
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Key file of the gateway (default: that of --config, or keys.json)")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="gateway.toml: its key file is used, its gateway lends the port")
    ] = None,
    name: Annotated[str, typer.Option(help="Where it hangs, for lists")] = "",
    key_file: Annotated[
        Path | None, typer.Option(help="File of mode 0600 with the key (default: a fresh random one)")
    ] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the key from standard input")] = False,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Setting NAME=NUMBER, e.g. window_s.0=60")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the board's first hello")] = True,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Put firmware, settings and a fresh key onto a board, and enter it into the key file. A bridge gets firmware alone."""
    from boards import BoardError as BoardDescriptionError
    from boards import load_board
    from gateway.calibration import FOLDER, make_set, write_set
    from gateway.config import load
    from gateway.keys import load_keys
    from tools import listen
    from tools import provision as job
    from tools.german import teller

    check_lang(lang)
    try:
        description = load_board(board)
    except BoardDescriptionError as error:
        step = (
            f"Correct {board}; docs/boards.md has the keys" if Path(board).is_file() else "Or name your own board.toml"
        )
        raise UsageError(str(error), next_step=step) from None
    bridge = job.is_bridge(description)
    if bridge:
        refuse_what_a_bridge_has_not(
            address=address, keys=keys, name=name, key_file=key_file, key_stdin=key_stdin, set=setting
        )
    elif address is None:
        raise UsageError("--address is missing", next_step="Give the node an address of its own: --address 1..65535")
    values = _values(setting or [])
    key = _read_key(key_file, key_stdin)
    data_dir: Path | None = None
    # Without --config: the gateway that holds the port lends it, and gets the key.
    settings = load(config) if config is not None else listen.config_of_port(port)
    if settings is not None:
        keys = keys or Path(settings.gateway.keys)
        data_dir = Path(settings.gateway.data_dir)
        if (unsigned := make_set(values, ())).settings:
            write_set(data_dir / FOLDER, unsigned)  # else nobody could say what its values went through
    keys = keys or Path("keys.json")
    if not bridge and keys.exists():
        load_keys(keys)  # a key file that cannot be used is said before the board is touched
    if not os.path.exists(port):
        raise NoConnection("there is no such port", where=port, next_step="Plug the board in; see: ls /dev/tty*")

    tell = teller(lang, as_json)

    bar = _Bar(quiet=as_json, files="Dateien" if lang == "de" else "files")
    if bridge:
        provision_bridge(
            port, description, data_dir=data_dir, lent=lambda: borrow(data_dir, port, tell),
            hand_back=lambda: hand_back(data_dir, port), said=tell, progress=bar.show, wait=wait, lang=lang, as_json=as_json,
        )  # fmt: skip
        return
    assert address is not None
    lent = borrow(data_dir, port, tell)
    try:
        done = job.provision(
            port,
            description,
            address,
            keys=keys,
            now_s=lambda: int(time.time()),
            key=key,
            name=name,
            values=values,
            said=tell,
            progress=bar.show,
        )
    finally:
        if lent:
            hand_back(data_dir, port)
    words = _WORDS[lang]
    answered = False
    if wait and lent and data_dir is not None:
        answered = listen.gateway_hears(data_dir, address, done.life, ANSWER_TIMEOUT_S)
    elif wait:
        answered = listen.hears_hello(port, keys, address, ANSWER_TIMEOUT_S)
    answer = words["answers" if answered else "silent"] + (f", {words['returned']}" if lent else "")
    if as_json:
        result: dict[str, Any] = {
            "port": port,
            "node": address,
            "board": done.board,
            "life": f"{done.life:08x}",
            "provisioned_s": done.provisioned_s,
            "slot": done.slot,
            "files_copied": done.copied,
            "answers": answered,
            "handed_back": lent,
            "beyond_delivery": {f"{life:08x}": size for life, size in done.beyond.items()},
        }
        print(json.dumps(result))
    else:
        print(words["done"].format(address=address, board=done.board, port=port, life=done.life, answer=answer))
        print(words["next"].format(port=port, keys=keys))
    if wait and not answered:
        raise NoConnection(
            f"node {address} took its settings but sent no hello within {ANSWER_TIMEOUT_S:.0f} s",
            where=port,
            next_step=f"Look at its log: steiger monitor {port}",
        )


@app.command()
def retire(
    address: Annotated[int, typer.Argument(help="Address of the node", min=1, max=65535)],
    config: Annotated[Path, typer.Option(help="gateway.toml")],
    until: Annotated[
        int | None,
        typer.Option(help="Unix time of its last window's end (default: in a minute or so; with --lost: now)"),
    ] = None,
    lost: Annotated[
        bool,
        typer.Option("--lost", help="The node is dead or gone: end it without asking it, book the rest as node off"),
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", help="How many seconds to wait for the node", min=1, max=3600)
    ] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """End a node's grid: its last window closes, nothing is scheduled after it.

    The node is told, so it must be on. One that will never be heard again is ended with --lost: what it had not yet
    delivered is booked as "node off", and nothing stays pending.
    """
    from gateway import control, keys
    from gateway.config import load
    from gateway.control import NotRunning

    settings = load(config)
    key_path, data_dir = Path(settings.gateway.keys), Path(settings.gateway.data_dir)
    mine = [life for life in keys.load_keys(key_path) if life.address == address]
    if all(life.lost for life in mine) if lost else all(life.until_s for life in mine):
        what = "has ended already" if mine else "is not in the key file"
        raise UsageError(
            f"node {address} {what}", where=str(key_path), next_step=f"steiger node list --keys {key_path}"
        )
    until_s = until or int(time.time()) + (0 if lost else RETIRE_IN_S + int(wait_s))
    if until_s < mine[-1].provisioned_s:
        raise UsageError(f"--until {until_s} lies before the node was provisioned", where=f"node {address}")
    if not lost:
        _tell_end(data_dir, address, until_s, config, wait_s, quiet=as_json)
    keys.end_life(key_path, address, until_s, lost=lost)
    try:
        control.call(data_dir, "reload-keys")
    except NotRunning:
        pass  # it reads the key file when it starts
    if as_json:
        print(json.dumps({"node": address, "until_s": until_s, "lost": lost}))
    else:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(until_s))
        rest = "; what it still held is booked as node off" if lost else ""
        print(f"node {address}: ends at {when} UTC{rest}")


def _tell_end(data_dir: Path, address: int, until_s: int, config: Path, wait_s: float, *, quiet: bool) -> None:
    """Set the end of the node's grid on the node itself; NoConnection says what to do about one that is silent."""
    from tools.ask_node import ask

    if not quiet:
        print(f"node {address}: asking it, for at most {wait_s:g} s", file=sys.stderr)
    silent = NoConnection(
        f"node {address} is silent: no answer within {wait_s:g} s",
        where=str(config),
        next_step="Look at its supply and cable and try again; one that is lost for good is ended without it: "
        f"steiger node retire {address} --config {config} --lost",
    )
    answer = ask(
        data_dir, "set-setting", wait_s, silent, node=address, name="grid_until_s", instance=0, value=until_s
    )  # fmt: skip
    if not answer["ok"]:
        raise SteigerError(
            f"node {address} refuses to end at {until_s}",
            where=str(config),
            next_step="It has no time yet, or --until lies in its past: try again in a minute, without --until",
        )


@app.command("list")
def list_(
    keys: Annotated[Path, typer.Option(help="Key file")] = Path("keys.json"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """The nodes of a key file, without their keys."""
    from gateway.keys import load_keys

    for life in load_keys(keys):
        row = {
            "node": life.address,
            "life": f"{life.life:08x}",
            "board": life.board,
            "name": life.name,
            "provisioned_s": life.provisioned_s,
            "until_s": life.until_s,
            "lost": life.lost,
        }
        if as_json:
            print(json.dumps(row))
            continue
        begun = time.strftime("%Y-%m-%d %H:%M", time.gmtime(life.provisioned_s))
        state = (
            "never ran"
            if life.void
            else "open"
            if not life.until_s
            else ("lost " if life.lost else "ended ") + time.strftime("%Y-%m-%d %H:%M", time.gmtime(life.until_s))
        )
        print(
            f"node {life.address:5}  life {life.life:08x}  {life.board:12} {begun} UTC  {state}  {life.name}".rstrip()
        )


def borrow(data_dir: Path | None, port: str, tell: Any) -> bool:
    """Ask a running gateway for the port; True if it lent it."""
    if data_dir is None:
        return False
    from gateway import control
    from gateway.errors import GatewayError

    try:
        control.call(data_dir, "release", port=port, for_s=LEND_S)
    except GatewayError:
        return False  # no gateway runs, or it does not hold this port: the port is opened as it is
    tell(f"{port}: lent by the gateway")
    return True


def hand_back(data_dir: Path | None, port: str) -> None:
    from gateway import control
    from gateway.errors import GatewayError

    if data_dir is None:
        return
    try:
        control.call(data_dir, "reload-keys")
        control.call(data_dir, "resume", port=port)
    except GatewayError as error:
        raise SteigerError(
            f"the gateway did not take the port back: {error}", where=port, next_step="Restart the gateway"
        ) from None


class _Bar:
    """One line that grows, on a terminal only."""

    def __init__(self, quiet: bool, files: str) -> None:
        self._files = files
        self._on = not quiet and sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        if self._on:
            full = 30 * done // max(total, 1)
            end = "\n" if done >= total else ""
            print(
                f"\r  [{'#' * full}{'.' * (30 - full)}] {done}/{total} {self._files}",
                end=end,
                file=sys.stderr,
                flush=True,
            )
