"""What tests of the technician's commands share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "{tmp_path / "data"}"\nkeys = "{tmp_path / "keys.json"}"\n'
        f'[[serial]]\nport = "{tmp_path / "tty"}"\n'
    )
    return str(path)
