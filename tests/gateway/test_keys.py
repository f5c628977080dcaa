"""The key file: private, whole at every instant, one open life an address, never printed."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.keys import KeyFileError, KeyFileMissing, Life, add_life, end_life, load_keys, withdraw_life

REPO = Path(__file__).parents[2]


def life(address: int, seed: int, provisioned_s: int = 1_800_000_000) -> Life:
    return Life(address=address, key=bytes([seed]) * 16, board="air-v1", name="a", provisioned_s=provisioned_s)


def test_a_life_is_found_again_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    assert load_keys(path) == [life(7, 1)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_new_life_ends_the_open_one_of_its_address_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1, 1000))
    add_life(path, life(8, 2, 1000))
    add_life(path, life(7, 3, 5000))
    assert [(entry.address, entry.provisioned_s, entry.until_s) for entry in load_keys(path)] == [
        (7, 1000, 5000),
        (7, 5000, 0),
        (8, 1000, 0),
    ]


def test_entering_the_same_life_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    before = path.read_bytes()
    add_life(path, life(7, 1))
    assert path.read_bytes() == before


def test_two_nodes_never_share_a_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    with pytest.raises(KeyFileError, match="already that of node 7"):
        add_life(path, life(8, 1))


def test_a_life_that_no_board_took_is_withdrawn_and_the_one_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for one in (life(8, 2, 1000), life(7, 1, 1000), life(7, 3, 5000), life(7, 4, 9000)):
        add_life(path, one)
    assert withdraw_life(path, life(7, 4).life)
    assert not withdraw_life(path, life(7, 4).life)
    lives = load_keys(path)
    assert [(entry.address, entry.provisioned_s, entry.until_s) for entry in lives] == [
        (7, 1000, 5000),
        (7, 5000, 0),
        (7, 9000, 9000),
        (8, 1000, 0),
    ]
    assert [entry.void for entry in lives] == [False, False, True, False]
    assert lives[2].key == life(7, 4).key, "a key is never lost"
    add_life(path, life(7, 4, 9500))  # with the same key on purpose: it begins now
    assert [(e.provisioned_s, e.until_s) for e in load_keys(path)] == [(1000, 5000), (5000, 9500), (9500, 0), (1000, 0)]


def test_withdrawing_opens_nothing_beside_an_open_life(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for one in (life(7, 1, 1000), life(7, 3, 5000), life(7, 4, 9000)):
        add_life(path, one)
    assert withdraw_life(path, life(7, 3).life)
    assert [(e.provisioned_s, e.until_s) for e in load_keys(path)] == [(1000, 5000), (5000, 5000), (9000, 0)]
    assert not withdraw_life(path, 12345)


def test_end_life(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1, 1000))
    assert end_life(path, 7, 2000)
    assert not end_life(path, 7, 3000)
    assert load_keys(path)[0].until_s == 2000


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_readable_by_others_is_refused_with_the_line_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        load_keys(path)


# Everything is imported before the user changes: nobody may not look into root's Python.
UNPRIVILEGED = """
import os, pwd, sys
sys.path.insert(0, sys.argv[1])
from gateway.keys import KeyFileError, load_keys
from pathlib import Path
nobody = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(nobody.pw_gid); os.setuid(nobody.pw_uid)
try:
    print(load_keys(sys.argv[2]))
except KeyFileError as error:
    print(error, file=sys.stderr)
"""


def load_as_nobody(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", UNPRIVILEGED, str(REPO), str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_unprivileged_user(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    result = load_as_nobody(path)
    assert "user nobody may not read the key file" in result.stderr
    assert "sudo -u root" in result.stderr
    path.chmod(0o644)
    result = load_as_nobody(path)
    assert f"chmod 600 {path}" in result.stderr
    assert result.stdout == ""
    nobody = pwd.getpwnam("nobody")
    os.chown(path, nobody.pw_uid, nobody.pw_gid)
    path.chmod(0o600)
    result = load_as_nobody(path)
    assert "address=7" in result.stdout, result.stderr
    assert "01" * 16 not in result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))
    os.chown(path, 65534, 65534)
    add_life(path, life(8, 2))
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def entry(**changes: object) -> dict[str, object]:
    one = life(7, 1)
    content: dict[str, object] = {
        "address": 7,
        "life": f"{one.life:08x}",
        "key": one.key.hex(),
        "provisioned_s": 1000,
        "until_s": 0,
    }
    return content | changes


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "no valid JSON"),
        ('{"version": 2, "lives": []}', "version 2"),
        ('{"version": 1}', "lives"),
        ({"version": 1, "lives": [entry(key="zz")]}, r"lives\[0\]\.key|regex"),
        ({"version": 1, "lives": [entry(life="00000001")]}, "does not belong to the key"),
        ({"version": 1, "lives": [entry(address=0)]}, "address"),
        ({"version": 1, "lives": [entry(extra=1)]}, "extra"),
        ({"version": 1, "lives": [entry(until_s=10)]}, "until_s lies before"),
        ({"version": 1, "lives": [entry(provisioned_s=1 << 63)]}, r"<= 4102444800.*provisioned_s"),
        ({"version": 1, "lives": [entry(until_s=1 << 63)]}, r"<= 4102444800.*until_s"),
        ({"version": 1, "lives": [entry(), entry()]}, "same key"),
        (
            {
                "version": 1,
                "lives": [entry(), entry(key="02" * 16, life=f"{life(7, 2).life:08x}")],
            },
            "duplicate address 7",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: object, expected: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=expected) as caught:
        load_keys(path)
    assert "01" * 16 not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_has_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(KeyFileMissing, match="node provision"):
        load_keys(tmp_path / "keys.json")


def test_keys_are_redacted_wherever_python_prints() -> None:
    one = life(7, 1)
    for text in (repr(one), str(one), f"{[one]}", f"{one!a}"):
        assert "0101" not in text
        assert "\\x01" not in text
        assert "redacted" in text


def test_writers_do_not_lose_each_others_entries(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=add_life, args=(path, life(n, n))) for n in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [entry.address for entry in load_keys(path)] == list(range(1, 17))


def test_a_cut_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    add_life(path, life(7, 1))

    def cut(*_: object) -> None:
        raise OSError(5, "power cut")

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(KeyFileError, match="cannot be written"):
        add_life(path, life(8, 2))
    monkeypatch.undo()
    assert [entry.address for entry in load_keys(path)] == [7]
    add_life(path, life(8, 2))  # the left-over file is in nobody's way
    assert [entry.address for entry in load_keys(path)] == [7, 8]
