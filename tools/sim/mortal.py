"""Programs that the kernel ends together with the process that started them, however it ends (Linux)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Asks the kernel for SIGKILL at the parent's end (prctl 1, PR_SET_PDEATHSIG); the parent may have ended before it asked.
PRELUDE = """
import sys
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
    import os
    if os.getppid() != parent:
        os._exit(1)
"""
_BECOME = PRELUDE + "import os\nos.execv(sys.argv[1], sys.argv[1:])\n"


def launcher(code: str) -> list[str]:
    """A Python that runs `code`, which begins with PRELUDE; its arguments follow."""
    return [sys.executable, "-I", "-S", "-c", code, str(os.getpid())]


def mortal(command: Sequence[str]) -> list[str]:
    """`command` (a path and its arguments) with the same process id and an end of its own before ours."""
    return [*launcher(_BECOME), *command]
