"""docs/wire-protocol.md says what wire/ does."""

import pytest

from tools import docs_wire
from wire import channels


def test_the_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs_wire.main(["--check"]) == 0, capsys.readouterr().out + "run: make docs"


def test_a_change_of_a_table_makes_it_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = channels.Channel(*channels.CHANNELS[0])._replace(unit="mg/m3")
    monkeypatch.setattr(channels, "CHANNELS", (one, *channels.CHANNELS[1:]))
    assert docs_wire.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().out


def test_every_table_is_on_the_page() -> None:
    page = docs_wire.TARGET.read_text()
    for channel in channels.CHANNELS:
        assert f"| {channel.name} |" in page
    assert "{{" not in page
