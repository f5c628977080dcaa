"""The command table: fast, complete, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import typer

from gateway.errors import GatewayError
from tools import cli
from tools.errors import NoConnection, SteigerError, UsageError

REPO = Path(__file__).parents[2]


@pytest.fixture
def noun(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A noun `test` with the verbs that a test adds."""
    app = typer.Typer(add_completion=False)
    app.callback()(lambda: None)
    module = types.ModuleType("tools.commands.test_noun")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "test", (module.__name__, "for tests"))
    return app


def test_help_names_every_noun_and_loads_none() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPO)!r}); from tools.cli import run; run(['--help']); "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('typer', 'click', 'rich', 'gateway', 'wire', 'boards', 'msgspec', 'cryptography', 'asyncio')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    for noun in cli.COMMANDS:
        assert f"\n  {noun} " in result.stdout
    assert result.stdout.endswith("[]\n")


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_ways_to_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(args) == 0
    assert "Usage: steiger COMMAND" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("steiger ")


def test_an_unknown_noun_is_usage_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gatway"]) == 2
    assert capsys.readouterr().err == (
        "error: there is no command 'gatway', did you mean 'gateway'? steiger --help lists the commands\n"
    )


def test_an_absent_module_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "gone", ("tools.commands.gone_for_good", "x"))
    assert cli.run(["gone"]) == 1
    assert "no command 'gone'" in capsys.readouterr().err
    assert cli.run(["--help"]) == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SteigerError("the board is silent", where="/dev/ttyUSB0", next_step="Press EN"), 1, ""),
        (UsageError("no such board", where="air-v9", next_step="Known are air-v1"), 2, ""),
        (NoConnection("the port is gone", where="/dev/ttyUSB0"), 3, ""),
        (GatewayError("port is used", where="/dev/x", next_step="End it", exit_code=3), 3, ""),
        (SteigerError("x", exit_code=5), 5, "error: x\n"),
    ],
)
def test_our_errors_are_one_line_with_place_and_next_step(
    noun: typer.Typer, error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @noun.command()
    def fail() -> None:
        raise error

    assert cli.run(["test", "fail"]) == code
    printed = capsys.readouterr()
    assert printed.err == (line or f"error: {error}\n")
    assert printed.out == ""


def test_the_shape_of_an_error() -> None:
    error = SteigerError("the board is silent", where="/dev/ttyUSB0", next_step="Press EN")
    assert str(error) == "the board is silent — /dev/ttyUSB0. Press EN"
    assert str(SteigerError("what now?", next_step="Press EN")) == "what now? Press EN"


def test_the_unforeseen_is_one_line_and_a_private_file(
    noun: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    @noun.command()
    def fail() -> None:
        raise ZeroDivisionError("division\nby zero")

    assert cli.run(["test", "fail"]) == 1
    err = capsys.readouterr().err
    (log,) = (tmp_path / "steiger").iterdir()
    assert err == f"error: unexpected ZeroDivisionError: division. Details: {log}; please report it with this file\n"
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("STEIGER_DEBUG", "1")
    cli.run(["test", "fail"])
    assert "Traceback" in capsys.readouterr().err


def test_usage_errors_of_a_verb(noun: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    @noun.command()
    def count(number: int, as_json: bool = False) -> int:
        return number

    assert cli.run(["test", "count", "7"]) == 7  # what a verb returns is the exit code
    for args in (["count"], ["count", "x"], ["count", "1", "--no-such"], ["nothing"]):
        assert cli.run(["test", *args]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.endswith("--help shows the usage\n")
        assert err.count("\n") == 1
    assert cli.run(["test", "count", "--help"]) == 0
    assert "count" in capsys.readouterr().out


def test_ctrl_c_is_orderly(noun: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    @noun.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert cli.run(["test", "wait"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_is_no_error() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPO)!r}); from tools import cli\n"
        "import types, typer\n"
        "m = types.ModuleType('m'); m.app = typer.Typer(add_completion=False); sys.modules['m'] = m\n"
        "cli.COMMANDS['many'] = ('m', '')\n"
        "@m.app.command()\ndef many():\n    for n in range(100000): print(n)\n"
        "sys.exit(cli.run(['many']))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_sigint_to_the_real_command_ends_without_traceback(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\nid = "g"\nnumber = 1\ndata_dir = "{tmp_path / "data"}"\n')
    code = f"import sys; sys.path.insert(0, {str(REPO)!r}); from tools.cli import main; main()"
    command = [sys.executable, "-c", code, "gateway", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"JOURNAL_STREAM": "1"}) as run:
        assert run.stderr is not None
        lines = [run.stderr.readline()]
        while "gateway: g, 0 lives" not in lines[-1]:
            assert lines[-1], lines
            lines.append(run.stderr.readline())
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
        assert run.wait(30) == 0, rest
    assert "Traceback" not in rest
