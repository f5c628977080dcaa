"""One module of what a board keeps: the program does what it did, and what others may name keeps its name."""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from boards import board_names, load_board
from tests.fakes.street import STREET
from tests.sim.renew_micropython_names import TABLE, table
from tools import firmware_build
from tools.errors import SteigerError
from tools.firmware_bundle import Linked, link

FORGET = (
    "import sys\n"
    "def forget(*names):\n    for name in names:\n        sys.modules.pop(name, None)\n        LOADED.append(name)\n"
    "LOADED = []\n"
)
DRIVERS = (
    "from firmware import forget\n"
    'DRIVERS = {"chip": ("firmware.drivers.chip", "Chip")}\n'
    "def seldom(module, name):\n"
    "    found = getattr(__import__(module, None, None, (name,)), name)\n    forget(module)\n    return found\n"
    "def load(name):\n    return seldom(*DRIVERS[name])\n"
)
CHIP = (
    "import struct\n"
    "from firmware import counts as numbers\n"
    "from firmware.counts import Base, Reading as Row\n"
    "class Chip(Base):\n"
    "    limit = numbers.LOW\n"
    "    def __init__(self, start, *, step=2):  # seldom\n"
    '        """Text."""\n'
    "        self.total = start\n        self.step_by = step\n        self.hidden = 0\n"
    "    def read(self):\n        self.grow()\n        return Row(self.total, self.limit)\n"
    "    def clean(self):\n        return 'cleaned', self.total\n"
    "    async def rare(self, wanted):  # seldom\n        return struct.pack('<H', wanted + self.total)\n"
    "    def nobody(self):\n        return 'never called'\n"
    "    async def forever(self):\n        return [self.total, 'for ever', self.limit]\n"
    "    def handed_on(self):\n        return [self.total, 'handed on', self.limit]\n"
)
COUNTS = (
    "from collections import namedtuple\n"
    'Reading = namedtuple("Reading", "amount lowest")\n'
    "LOW = bytes((1, 2))\n"
    "_count = 0\n"
    "class TooMuch(Exception):\n    pass\n"
    "class Base:\n"
    "    def grow(self):\n        self.total += self.step_by\n        bump()\n"
    "    def only_later(self, first, second=5):\n"
    "        return [first + each + self.total for each in range(second)], {first: second}\n"
    "def bump():\n    global _count\n    _count += 1\n"
    "def count():\n    return _count\n"
    "def helper(value):\n    return value * FACTORS[1]\n"
    "FACTORS = (3, 4)\n"
    "def unused():\n    return 'nobody asks'\n"
)
APP = (
    "from firmware import counts, forget\n"
    "from firmware.counts import TooMuch\n"
    "from firmware import drivers\n"
    "from firmware.drivers import load\n"
    "WISHES = ('clean',)\n"
    "def main(start, safe=False):\n"
    "    chip = load('chip')(start, step=3)\n"
    "    reading = chip.read()\n"
    "    from firmware import later\n"
    "    told = later.use(chip, reading)\n"
    "    forget('firmware.later')\n"
    "    try:\n        fail(safe)\n    except TooMuch as error:\n        told += (type(error).__name__, str(error))\n"
    "    chip.public = 4\n"
    "    return told + (counts.count(), ask(chip, WISHES[0]), f'{reading.amount} {chip.limit}', chip.public)\n"
    "def ask(driver, wish):\n    return getattr(driver, wish)() if hasattr(driver, wish) else None\n"
    "def fail(safe):\n    raise TooMuch('much' if not safe else 'less')\n"
)
LATER = (
    "from firmware.counts import helper\n"
    "def use(chip, reading):\n"
    "    try:\n        chip.rare(1).send(None)\n    except StopIteration as end:\n        packed = end.value\n"
    "    told = chip.handed_on\n"
    "    try:\n        chip.forever().send(None)\n    except StopIteration as end:\n        told = end.value, told()\n"
    "    return helper(reading.amount), chip.only_later(1), packed, told\n"
)
SOURCES = {
    "firmware/__init__.py": FORGET, "firmware/drivers/__init__.py": DRIVERS, "firmware/drivers/chip.py": CHIP,
    "firmware/counts.py": COUNTS, "firmware/app.py": APP, "firmware/later.py": LATER,
}  # fmt: skip


def linked(**changes: str) -> Linked:
    """The little program, with other texts for some of its modules ("app": …)."""
    sources = SOURCES | {f"firmware/{name}.py": text for name, text in changes.items()}
    files = {name: text.encode() for name, text in sources.items()}
    return link(files, ["firmware.drivers.chip"], [b"from firmware import app\napp.main('', safe=True)"], "sim")


class _Modules:
    """Imports `firmware.…` from texts, as a board does from its slot."""

    def __init__(self, sources: dict[str, Any]) -> None:
        self.texts = {n.removesuffix(".py").removesuffix("/__init__").replace("/", "."): t for n, t in sources.items()}

    def find_spec(self, name: str, *_: object) -> Any:
        from importlib.machinery import ModuleSpec

        if name.split(".")[0] != "firmware":
            return None
        known = name in self.texts or any(each.startswith(name + ".") for each in self.texts)
        return ModuleSpec(name, self, is_package=True) if known else None  # type: ignore[arg-type]

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self.texts.get(module.__name__, ""), module.__dict__)


def run(sources: dict[str, Any], safe: bool = False) -> Any:
    """What `firmware.app.main(10)` gives, in a world of modules of its own."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "firmware"}
    finder = _Modules(sources)
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        return __import__("firmware.app", None, None, ("main",)).main(10, safe=safe)
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
        for name in [name for name in sys.modules if name.split(".")[0] == "firmware"]:
            del sys.modules[name]
        sys.modules.update(ours)


def test_the_program_does_what_it_did() -> None:
    made = linked().sources
    for safe in (False, True):
        plain = run(SOURCES, safe)
        assert plain[:2] == (52, ([14, 15, 16, 17, 18], {1: 5}))
        assert run(made, safe) == plain


def test_what_is_kept_is_one_module_with_short_names() -> None:
    made = linked().sources
    text = made["firmware/app.py"].decode()
    for gone in ("counts", "step_by", "lowest", "LOW", "grow", "bump", "nobody asks", "never called", "Text"):
        assert gone not in text, gone
    # main.py calls it; a text asks for it; the log tells it; passed by name
    for kept in ("def main(", "def clean(", "class TooMuch", "safe", "step"):
        assert kept in text, kept
    assert set(made) == {
        "firmware/app.py",
        "firmware/drivers/chip.py",
        "firmware/later.py",
        "firmware/s1.py",
        "firmware/s2.py",
    }
    assert "import" in made["firmware/drivers/chip.py"].decode()


def test_what_is_seldom_needed_is_elsewhere() -> None:
    made = linked().sources
    app, apart = made["firmware/app.py"].decode(), b"".join(made[f"firmware/s{n}.py"] for n in (1, 2)).decode()
    assert "pack" in apart and "pack" not in app  # marked
    assert "range" in apart and "range" not in app  # only code on demand calls it
    assert "(3, 4)" in made["firmware/later.py"].decode() and "(3, 4)" not in app  # only code on demand refers to it


def test_what_somebody_may_hold_on_to_stays() -> None:
    """A coroutine may run for ever, and a method that is handed on be called each second, though code on demand speaks of it."""
    app = linked().sources["firmware/app.py"].decode()
    assert "for ever" in app and "handed on" in app


def test_a_driver_is_found_in_the_one_module() -> None:
    made = linked().sources
    assert b"firmware.drivers.chip" not in made["firmware/app.py"] + made["firmware/s1.py"] + made["firmware/s2.py"]
    assert made["firmware/drivers/chip.py"], "for whoever asks by its name"


def test_parts_are_kept_too() -> None:
    files = {name: text.encode() for name, text in SOURCES.items()}
    files["firmware/later.py"] = files["firmware/later.py"].replace(b"forget", b"")
    app = files["firmware/app.py"].replace(b"    forget('firmware.later')\n", b"")
    callers = [b"from firmware import app\napp.main('', safe=True)"]
    made = link(
        files | {"firmware/app.py": app}, ["firmware.drivers.chip"], callers, "sim", parts=["firmware.later"]
    ).sources
    assert "firmware/later.py" not in made
    assert run(made) == run(SOURCES)


def test_a_traceback_tells_where_it_was_written() -> None:
    origins = linked().origins
    assert any(place.startswith("firmware/counts.py:") for places in origins.values() for place in places)
    (name,) = [name for name, places in origins.items() if places == ["firmware/counts.py:13 bump"]]
    assert name.startswith("firmware.app ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"app": APP + "def show():\n    return counts\n"}, "counts is used as an object"),
        ({"app": "from firmware import later\n" + APP}, "loaded on demand, at its top"),
        ({"app": APP.replace("forget('firmware.later')", "forget('firmware.counts')")}, "loaded on demand, at its top"),
        ({"app": APP.replace("getattr(driver, wish)()", "getattr(driver, 'cl' + wish)()")}, "put together"),
        ({"app": "import wonders\n" + APP}, "whose names the build does not know"),
        ({"counts": COUNTS.replace("def bump():", "def bump():  # seldom")}, "cannot be loaded on demand"),
        ({"counts": "from firmware.app import main\n" + COUNTS}, "import each other"),
        ({"counts": COUNTS + "def bare():\n    from firmware.drivers import load\n    load = 1\n"}, "bound otherwise"),
    ],
)
def test_what_cannot_be_is_refused_or_does_what_it_did(change: dict[str, str], words: str) -> None:
    if words:
        with pytest.raises(SteigerError, match=words):
            linked(**change)
    else:
        assert run(linked(**change).sources) == run(SOURCES)


def test_a_text_that_comes_from_anywhere_keeps_all_names() -> None:
    change = APP.replace("hasattr(driver, wish)", "hasattr(driver, driver.wish)") + "NAMES = {'x': 'step_by'}\n"
    text = linked(app=change).sources["firmware/app.py"].decode()
    assert "step_by" in text and "grow" not in text


def test_what_a_module_takes_from_another_and_lets_go() -> None:
    """Rows that one module adds to a table, as wire/settings.py does."""
    rows = {"firmware/rows.py": "ROWS = ((5, 6), (7, 8))\n"}
    counts = COUNTS + (
        "try:\n    from firmware.rows import ROWS\nexcept ImportError:\n    pass\n"
        "else:\n    FACTORS += tuple([row[0] * 2 for row in ROWS])\n    del ROWS\n"
    )
    later = LATER.replace("return helper(", "row = 1\n    return row, helper(")
    for more in ({}, rows):
        sources = SOURCES | more | {"firmware/counts.py": counts, "firmware/later.py": later}
        files = {name: text.encode() for name, text in sources.items()}
        made = link(
            files, ["firmware.drivers.chip"], [b"from firmware import app\napp.main('', safe=True)"], "sim"
        ).sources
        assert run(made) == run(sources)


def test_micropythons_names_are_those_of_the_stubs() -> None:
    assert TABLE.read_text() == table(), "run tests/sim/renew_micropython_names.py"


def _looked_up(space: symtable.SymbolTable) -> Iterator[str]:
    """Names that are looked up at the top of the module."""
    for symbol in space.get_symbols():
        at_top = space.get_type() == "module" or symbol.is_global() or not (symbol.is_local() or symbol.is_free())
        if symbol.is_referenced() and at_top:
            yield symbol.get_name()
    for inner in space.get_children():
        yield from _looked_up(inner)


@pytest.mark.parametrize("board", [STREET, pytest.param("", marks=pytest.mark.slow)])
def test_every_name_of_a_board_is_there(board: str) -> None:
    """In each file all that is looked up is defined; what is imported from the app is there."""
    for name in [board] if board else board_names():
        sources = firmware_build.linked_sources(load_board(name), "xtensawin", "esp32")
        tops = {
            symbol.get_name() for symbol in symtable.symtable(sources["firmware/app.py"].decode(), "app", "exec").get_symbols()
        }  # fmt: skip
        for file, text in sources.items():
            tree = ast.parse(text)
            if file == "firmware/app.py":
                tree.body = tree.body[1:]  # the names that are told first, never run
            whole = symtable.symtable(ast.unparse(tree), file, "exec")
            here = {s.get_name() for s in whole.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
            known = here | set(dir(builtins)) | {"const", "ptr8", "ptr16", "ptr32", "uint", "__name__"}
            assert set(_looked_up(whole)) <= known, (name, file)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "firmware.app":
                    assert {alias.name for alias in node.names} <= tops, (name, file)
