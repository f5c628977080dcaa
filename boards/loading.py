"""Reading a board.toml: every problem at once, each with file, line and key path."""

from __future__ import annotations

import re
import threading
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from boards.model import Board
from boards.relations import relation_problems
from boards.toml_lines import Path as KeyPath
from boards.toml_lines import find_line

FOLDER = Path(__file__).resolve().parent
MAX_BYTES = 65_536  # a board.toml is 2 kB; anything far larger is not one

# msgspec learns a type the first time it meets it, and two threads at that bring the process down (0.22: a segmentation fault).
_ONE_AT_A_TIME = threading.Lock()

_SECRET = re.compile(r"(^|_)(key|keys|password|passwd|passphrase|secret|token|psk)$")


class BoardError(Exception):
    """The description cannot be used. `problems`: one line each, `file:line: key path: what`."""

    def __init__(self, board: str, problems: list[str]) -> None:
        super().__init__(f"board {board}: " + "; ".join(problems))
        self.board = board
        self.problems = problems


class Problems:
    """Collects what is wrong, in the order of the file; one problem a key: the first is the cause."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._found: dict[KeyPath, tuple[int, str]] = {}

    def add(self, path: KeyPath, what: str) -> None:
        """Note a problem at a key path such as ("sensors", 0, "bus")."""
        if path not in self._found:
            line = find_line(self._text, path)
            self._found[path] = (line, f"{self._file}:{line}: {dotted(path)}: {what}")

    def lines(self) -> list[str]:
        """The problems, sorted by line."""
        return [text for _, text in sorted(self._found.values(), key=lambda found: found[0])]


def dotted(path: KeyPath) -> str:
    """`sensors[0].bus`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(file)"


def board_names() -> list[str]:
    """The boards that come with Steiger, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("*/board.toml"))


def load_board(name_or_path: str | Path) -> Board:
    """The board of a name (a folder in `boards/`) or of a path to a board.toml or its folder; BoardError."""
    name = str(name_or_path)
    file = _find(name)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BoardError(name, [f"{file}: is no board.toml (larger than {MAX_BYTES // 1024} KiB)"])
        text = file.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except OSError as error:
        raise BoardError(name, [f"{file}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise BoardError(name, [f"{file}: is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise BoardError(name, [_syntax_problem(file, error)]) from None
    problems = Problems(str(file), text)
    _refuse_secrets(tree, (), problems)
    with _ONE_AT_A_TIME:
        examine(Board, tree, (), problems)
        if problems.lines():
            raise BoardError(name, problems.lines())
        board = msgspec.convert(tree, Board)
    for path, what in relation_problems(board):
        problems.add(path, what)
    if problems.lines():
        raise BoardError(name, problems.lines())
    return board


def _find(name: str) -> Path:
    path = Path(name)
    if re.fullmatch(r"[a-z0-9-]+", name) and (FOLDER / name / "board.toml").is_file():
        return FOLDER / name / "board.toml"
    if path.is_dir():
        path = path / "board.toml"
    if path.is_file():
        return path
    raise BoardError(name, [f"there is no such board; known are {', '.join(board_names())}, or name a board.toml"])


def _syntax_problem(file: Path, error: tomllib.TOMLDecodeError) -> str:
    where = re.search(r"\(at line (\d+)", str(error))
    what = re.sub(r"\s*\(at .*\)$", "", str(error))
    return f"{file}:{where.group(1) if where else 'end'}: no valid TOML: {what}"


def _refuse_secrets(value: Any, path: KeyPath, problems: Problems) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if _SECRET.search(key.lower()):
                problems.add(
                    (*path, key),
                    "a secret has no place in a board description; keys are made by `steiger node provision`",
                )
            _refuse_secrets(item, (*path, key), problems)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_secrets(item, (*path, index), problems)


def examine(kind: Any, value: Any, path: KeyPath, problems: Problems) -> None:
    """Report what of `value` is not a `kind`, going down key by key so that each problem has its own place."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    origin = typing.get_origin(inner)
    members = typing.get_args(inner)
    if origin is types.UnionType and isinstance(value, dict):
        inner = _member(members, value, path, problems)
    if origin is list and isinstance(value, list) and value:
        for at, item in enumerate(value):
            examine(members[0], item, (*path, at), problems)
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            examine(members[1], item, (*path, key), problems)
    elif isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
        _examine_table(inner, value, path, problems)
    elif inner is not None:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            problems.add(path, _sentence(str(error)))


def _member(members: tuple[Any, ...], value: dict[str, Any], path: KeyPath, problems: Problems) -> Any:
    """The table type of a union that the tag in `value` names; None after reporting that there is none."""
    tables = [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]
    if len(tables) == 1:
        return tables[0]
    field = str(tables[0].__struct_config__.tag_field)
    known = {member.__struct_config__.tag: member for member in tables}
    if field not in value:
        problems.add(path, f"'{field}' is missing; it is one of {', '.join(map(str, known))}")
    elif not isinstance(value[field], str) or value[field] not in known:
        problems.add((*path, field), f"{value[field]!r} is not known; it is one of {', '.join(map(str, known))}")
    else:
        return known[value[field]]
    return None


def _examine_table(kind: type[msgspec.Struct], value: dict[str, Any], path: KeyPath, problems: Problems) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    for key, item in value.items():
        if key in fields:
            examine(_types(kind)[key], item, (*path, key), problems)
        elif key != tag:
            problems.add((*path, key), f"unknown key; known are {', '.join(fields)}")
        elif item != kind.__struct_config__.tag:
            problems.add((*path, key), f"must be {kind.__struct_config__.tag!r}")
    for field in fields.values():
        if field.required and field.name not in value:
            problems.add(path, f"'{field.name}' is missing")
    if tag and tag not in value:
        problems.add(path, f"'{tag}' is missing")


def _types(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _sentence(message: str) -> str:
    """msgspec's message without its own path, which ours replaces."""
    message = re.sub(r" - at `.*`$", "", message)
    return message[:1].lower() + message[1:]
