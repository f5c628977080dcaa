"""Settings: two copies, one chip, lives that follow each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware import settings
from firmware.leases import Leases
from firmware.settings import NeedsProvisioning
from tests.fakes.lying_flash import DAMAGES, lie_about

UID = b"\x01\x02\x03\x04\x05\x06"
KEY = "00112233445566778899aabbccddeeff"


def provision(root: Path, key: str = KEY, at_s: int = 1_800_000_000, **values: int) -> str:
    text = json.dumps({"address": 7, "key": key, "provisioned_s": at_s, "values": values})
    return settings.provision(text, UID, str(root))


def test_what_was_provisioned_is_there_after_a_boot(tmp_path: Path) -> None:
    said = provision(tmp_path, health_s=600)
    assert KEY not in said and "address 7" in said
    found = settings.load(str(tmp_path), UID)
    assert found.get("health_s") == 600
    assert found.get("window_s", 0) == 60
    assert not found.repaired


def test_a_changed_value_survives_the_loss_of_either_copy(tmp_path: Path) -> None:
    for copy in settings.COPIES:
        provision(tmp_path, key=f"{len(list(tmp_path.iterdir())):032x}")
        found = settings.load(str(tmp_path), UID)
        assert found.put("window_s", 1, 300)
        (tmp_path / copy[1:]).write_bytes(b"SSt1 torn")
        again = settings.load(str(tmp_path), UID)
        assert again.get("window_s", 1) == 300 and again.repaired
        assert not settings.load(str(tmp_path), UID).repaired


def test_both_copies_hold_what_was_put(tmp_path: Path) -> None:
    provision(tmp_path)
    before = settings.load(str(tmp_path), UID).version
    assert settings.load(str(tmp_path), UID).put("health_s", 0, 77)
    assert all((tmp_path / copy[1:]).exists() for copy in settings.COPIES)
    found = [settings.decode((tmp_path / copy[1:]).read_bytes()) for copy in settings.COPIES]
    assert found[0] == found[1]
    assert found[0] is not None
    assert (found[0][0], found[0][1]["values"]["health_s"]) == (before + 1, 77)


def test_a_cut_between_the_copies_leaves_the_newer_one_in_force(tmp_path: Path) -> None:
    provision(tmp_path)
    old = (tmp_path / "settings.b").read_bytes()
    settings.load(str(tmp_path), UID).put("health_s", 0, 77)
    (tmp_path / "settings.b").write_bytes(old)
    assert settings.load(str(tmp_path), UID).get("health_s") == 77


@pytest.mark.parametrize(("name", "instance", "value"), [("window_s", 0, 0), ("window_s", 4, 60), ("outbox_kb", 0, 64)])
def test_what_the_table_forbids_is_refused(tmp_path: Path, name: str, instance: int, value: int) -> None:
    provision(tmp_path)
    assert not settings.load(str(tmp_path), UID).put(name, instance, value)


def test_another_chip_or_no_settings_need_provisioning(tmp_path: Path) -> None:
    with pytest.raises(NeedsProvisioning, match="no settings"):
        settings.load(str(tmp_path), UID)
    provision(tmp_path)
    with pytest.raises(NeedsProvisioning, match="another chip"):
        settings.load(str(tmp_path), b"\x09" * 6)
    for copy in settings.COPIES:
        (tmp_path / copy[1:]).write_bytes(b"")
    with pytest.raises(NeedsProvisioning, match="both copies"):
        settings.load(str(tmp_path), UID)


def use(root: Path) -> None:
    """A frame is sent under the present life."""
    key = settings.load(str(root), UID).payload["key"]
    Leases(settings.stem(str(root), "lease", settings.life_of(bytes.fromhex(key)))).next_counter()


def test_lives_follow_each_other_and_a_fifth_must_wait(tmp_path: Path) -> None:
    for i in range(4):
        provision(tmp_path, key=f"{i:032x}", at_s=1_800_000_000 + i)
        use(tmp_path)
    payload = settings.load(str(tmp_path), UID).payload
    assert [life["until_s"] - 1_800_000_000 for life in payload["previous"]] == [1, 2, 3]
    with pytest.raises(ValueError, match="earlier lives"):
        provision(tmp_path, key="ff" * 16)
    assert settings.load(str(tmp_path), UID).payload == payload


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"address": 70000, "key": KEY, "provisioned_s": 1}),
        json.dumps({"address": 7, "key": "aabb", "provisioned_s": 1}),
        json.dumps({"address": 7, "key": KEY, "provisioned_s": 1, "values": {"window_s.0": 0}}),
    ],
)
def test_bad_provisioning_changes_nothing(tmp_path: Path, text: str) -> None:
    provision(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError):
        settings.provision(text, UID, str(tmp_path))
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_life_that_never_ran_takes_no_place(tmp_path: Path) -> None:
    """Tries whose end nobody saw must not use up the places for earlier lives: they could never be drained."""
    provision(tmp_path)
    use(tmp_path)
    for i in range(9):
        provision(tmp_path, key=f"{i:032x}", at_s=1_800_000_100 + i)
        previous = settings.load(str(tmp_path), UID).payload["previous"]
        assert [(life["key"], life["until_s"]) for life in previous] == [(KEY, 1_800_000_100)]


def test_the_same_provisioning_again_changes_nothing(tmp_path: Path) -> None:
    said = provision(tmp_path)
    use(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert provision(tmp_path) == said
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_before_it_runs_the_same_life_may_get_other_values(tmp_path: Path) -> None:
    provision(tmp_path, health_s=600)
    provision(tmp_path, health_s=700)
    found = settings.load(str(tmp_path), UID)
    assert (found.get("health_s"), found.payload["previous"]) == (700, [])
    use(tmp_path)
    provision(tmp_path, health_s=800)
    assert settings.load(str(tmp_path), UID).get("health_s") == 700


def test_a_key_is_never_a_second_life(tmp_path: Path) -> None:
    provision(tmp_path)
    use(tmp_path)
    with pytest.raises(ValueError, match="in use"):
        provision(tmp_path, at_s=1_800_000_001)
    provision(tmp_path, key="ff" * 16, at_s=1_800_000_001)
    with pytest.raises(ValueError, match="in use"):
        provision(tmp_path, at_s=1_800_000_002)


@pytest.mark.parametrize("copy", settings.COPIES)
@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_settings_that_flash_does_not_keep_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: str, damage: str
) -> None:
    provision(tmp_path)
    found = settings.load(str(tmp_path), UID)
    lie_about(monkeypatch, settings, copy, damage)
    with pytest.raises(OSError, match="5"):
        found.put("health_s", 0, 77)
    monkeypatch.undo()
    assert settings.load(str(tmp_path), UID).get("health_s") in (3600, 77)


def test_provisioning_into_a_flash_that_keeps_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lie_about(monkeypatch, settings, "settings.a", "flipped")
    with pytest.raises(OSError, match="5"):
        provision(tmp_path)


def test_a_flipped_bit_is_never_accepted(tmp_path: Path) -> None:
    provision(tmp_path)
    data = (tmp_path / "settings.a").read_bytes()
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert settings.decode(bytes(flipped)) is None
