"""Code on a board's flash that needs modules of its program by name, which a linked slot has not."""

from __future__ import annotations

from pathlib import Path

from boards import load_board
from tools import firmware_build
from tools.sim import image
from tools.sim.flash import Flash
from tools.sim.interpreter import Interpreter

_BEFORE = 'import sys\nsys.path.insert(0, "/apart")\n'
_AFTER = """
def remove(path):
    for name, kind, *_ in os.ilistdir(path):
        if kind == 0x4000:
            remove(path + "/" + name)
        else:
            os.remove(path + "/" + name)
    os.rmdir(path)
remove("/apart")
"""


def execute_apart(flash: Flash, board: str | Path, code: str, *, interpreter: Interpreter, uid: bytes) -> str:
    """`image.execute` with the modules of `board` lying on the flash by themselves meanwhile; what `code` prints."""
    modules = firmware_build.slot_files(load_board(board), interpreter.arch, "sim", linked=False)
    return image.execute(
        flash, image._INSTALL + _BEFORE + code + _AFTER, interpreter=interpreter, uid=uid,
        files={f"/apart/{name}": content for name, content in modules.items()},
    )  # fmt: skip
