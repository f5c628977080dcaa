"""Whose a file is, and how to do as its owner what this user may not do."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def owner_of(path: Path) -> str:
    """The user to whom `path` belongs, or the nearest folder above it that this user may look at; "" if none has a name."""
    for place in (path, *path.absolute().parents):
        try:
            return pwd.getpwuid(os.stat(place).st_uid).pw_name
        except OSError:
            continue  # hidden, or not there
        except KeyError:
            return ""
    return ""


def as_owner(path: Path) -> str:
    """The next step for a person who may not use `path`."""
    owner = owner_of(path)
    step = f"It belongs to {owner}; run: sudo -u {owner} steiger …" if owner else "Check its owner and mode"
    return step
