"""What every table of the configuration is made of."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]  # goes into MQTT topics (FACTS 1.2)
KeyPath = tuple[str | int, ...]


class Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table of the file; unknown keys are errors."""
