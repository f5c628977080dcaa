import pytest

from firmware import drivers


@pytest.fixture
def stay_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a board unloads to save its heap would be compiled anew for every test."""
    monkeypatch.setattr(drivers, "forget", lambda *names: None)
