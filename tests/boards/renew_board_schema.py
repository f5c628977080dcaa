"""Writes boards/board.schema.json from the types in boards/model.py (run it after changing them)."""

import json
from pathlib import Path

import msgspec

from boards.model import Board

FILE = Path(__file__).parents[2] / "boards" / "board.schema.json"


def text() -> str:
    """The JSON schema of a board.toml."""
    schema = msgspec.json.schema(Board)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Steiger board description (board.toml)",
        **schema,
    }
    return json.dumps(schema, indent=2, sort_keys=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
