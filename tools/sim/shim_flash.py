"""The flash of a board under the CPython shims: a folder beside the flash file, which then holds only a note."""

from __future__ import annotations

import shutil
from pathlib import Path

from boards import Board as Description
from tools import firmware_build
from tools.errors import UsageError
from tools.sim.flash import BLOCK, Flash
from tools.sim.image import SLOT

NOTE = b"steiger: flash of a simulated board under CPython shims; its files lie in the folder beside this file\n"


class ShimFlash(Flash):
    """`folder` is the board's file system. Counts, faults and time charges do not exist here."""

    def __init__(self, path: Path, description: Description) -> None:
        self.folder = path.with_name(path.name + ".files")
        try:
            self._make(path, description)
        except OSError as error:
            raise UsageError(
                f"the flash file cannot be made: {error.strerror}",
                where=str(path),
                next_step="Name a file in a folder of yours",
            ) from None
        super().__init__(path)
        self.new = False

    def _make(self, path: Path, description: Description) -> None:
        if path.exists() and path.read_bytes()[: len(NOTE)] != NOTE:
            raise UsageError(
                "this flash file belongs to MicroPython, and there is none here",
                where=str(path),
                next_step="Install MicroPython's unix port, or name another file",
            )
        if not path.exists():
            path.write_bytes(NOTE.ljust(BLOCK, b"\xff"))
            if self.folder.exists():
                shutil.rmtree(self.folder)
            files = {
                f"{SLOT}/{name}": text
                for name, text in firmware_build.source_files(description, "sim", host=True).items()
            }
            files |= firmware_build.root_files(description, simulated=True)
            for name, content in files.items():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
