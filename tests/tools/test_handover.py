"""The key file and the board agree, whatever is lost between them: provisioning on a real littlefs, by real MicroPython."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boards import load_board
from gateway.keys import Life, load_keys
from tests.fakes.apart import execute_apart
from tests.fakes.image_link import ImageLink
from tools import provision
from tools.errors import EXIT_NO_CONNECTION, NoConnection, UsageError
from tools.sim import image
from tools.sim.flash import Flash
from tools.sim.interpreter import find

pytestmark = [pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"), pytest.mark.slow]
UID = bytes.fromhex("0badcafe0001")
START_S = 1_800_000_000
USE = """
from firmware import settings
from firmware.leases import Leases
payload = settings.newest("")[1]
stem = settings.stem("", "lease", settings.life_of(bytes.fromhex(payload["key"])))
Leases(stem).next_counter()
"""


class Bench:
    """A board that is off, a key file, and the tool."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys.json"
        self.folder = folder
        path = folder / "board.flash"
        image.make(path, load_board("air-v1"), find())
        self.flash = Flash(path)
        self.link = ImageLink(self.flash, UID)
        self.now_s = START_S
        self.said: list[str] = []

    def provision(self, board: str = "air-v1", address: int = 7, **more: Any) -> provision.Provisioned:
        self.now_s += 600
        return provision.provision(
            self.link.port, load_board(board), address, keys=self.keys, now_s=lambda: self.now_s,
            said=self.said.append, **more,
        )  # fmt: skip

    def on_board(self, code: str) -> str:
        """Run on the board, its program on the path."""
        return image.execute(self.flash, f"import sys\nsys.path.insert(0, '/a')\n{code}", uid=UID)

    def use(self, code: str = "") -> None:
        """The board lives a little, and `code` after it. Its modules lie there by themselves meanwhile: in the linked
        program they have no names."""
        execute_apart(self.flash, "air-v1", USE + code, interpreter=find(), uid=UID)

    def payload(self) -> dict[str, Any]:
        """The board's settings."""
        text = self.on_board("import json\nfrom firmware import settings\nprint(json.dumps(settings.newest('')[1]))")
        return json.loads(text)  # type: ignore[no-any-return]

    def lives(self) -> list[Life]:
        return load_keys(self.keys) if self.keys.exists() else []

    def open_life(self) -> Life:
        (life,) = [life for life in self.lives() if not life.until_s]
        return life

    def agree(self) -> None:
        """The board's key is that of the open life, and no key that it holds is missing in the file."""
        payload = self.payload()
        life = self.open_life()
        assert (life.key.hex(), life.address, life.provisioned_s) == (
            payload["key"], payload["address"], payload["provisioned_s"],
        )  # fmt: skip
        known = {life.key.hex(): life.until_s for life in self.lives()}
        for stored in payload["previous"]:
            assert known[stored["key"]] == stored["until_s"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setattr(provision, "BoardLink", made.link)
    yield made
    made.flash.close()


def switches(code: str) -> bool:
    return "provisioning.switch(" in code


def test_an_answer_that_is_lost_with_the_connection_keeps_the_key(bench: Bench) -> None:
    bench.link.lose_after = switches
    with pytest.raises(NoConnection) as told:
        bench.provision()
    assert told.value.exit_code == EXIT_NO_CONNECTION
    life = bench.open_life()
    assert f"{life.life:08x} stays in {bench.keys}" in str(told.value)
    assert "run the same command again" in str(told.value) and "steiger monitor" in str(told.value)
    bench.agree()
    assert life.key.hex() not in str(told.value)
    # The same command again: nothing has run meanwhile, so it is the same life.
    bench.link.plug_in()
    done = bench.provision()
    assert (done.life, done.provisioned_s) == (life.life, life.provisioned_s)
    assert [entry.life for entry in bench.lives()] == [life.life]
    bench.agree()


def test_an_answer_that_is_lost_alone_is_no_failure(bench: Bench) -> None:
    lost: list[str] = []

    def once(code: str) -> bool:
        if switches(code) and not lost:
            lost.append(code)
            raise NoConnection("the board did not answer within 60 s")
        return False

    bench.link.lose_after = once
    done = bench.provision()
    assert lost and done.life == bench.open_life().life
    assert bench.link.resets == 1
    bench.agree()


@pytest.mark.parametrize("where", [switches, lambda code: "provisioning.announce(" in code])
def test_a_try_that_did_not_reach_the_board_is_withdrawn_by_the_next(
    bench: Bench, where: Callable[[str], bool]
) -> None:
    first = bench.provision()
    bench.use()
    bench.link.lose_before = where
    with pytest.raises(NoConnection):
        bench.provision()
    bench.link.plug_in()
    assert bench.payload()["key"] == next(e for e in bench.lives() if e.life == first.life).key.hex()
    done = bench.provision()
    assert [(life.life, life.until_s) for life in bench.lives() if not life.void] == [
        (first.life, done.provisioned_s),
        (done.life, 0),
    ]
    assert [life.void for life in bench.lives()].count(True) == (where is switches)
    bench.agree()


def test_a_try_on_another_board_of_that_address_withdraws_nothing(bench: Bench) -> None:
    """The life of a board that is elsewhere goes on being awaited: only its own board can tell that it has it not."""
    first = bench.provision()
    bench.use()
    for copy in "ab":
        bench.on_board(f"import os\nos.remove('settings.{copy}')")
    done = bench.provision()
    assert [(life.life, life.until_s) for life in bench.lives()] == [
        (first.life, done.provisioned_s),
        (done.life, 0),
    ]


def test_lost_tries_do_not_use_up_the_places_of_earlier_lives(bench: Bench) -> None:
    first = bench.provision()
    bench.use()
    for number in range(5):
        bench.link.lose_after = switches
        with pytest.raises(NoConnection):
            bench.provision(name=f"place {number}")  # not the same command: a fresh life each time
        bench.link.plug_in()
    done = bench.provision(name="at last")
    assert [bytes.fromhex(stored["key"]) for stored in bench.payload()["previous"]] == [bench.lives()[0].key]
    assert bench.lives()[0].life == first.life
    ran = [life for life in bench.lives() if not life.void]
    assert [life.life for life in ran] == [first.life, done.life]
    assert len(bench.lives()) == 7
    assert bench.open_life().name == "at last"


def test_a_refusal_takes_the_life_back_and_says_whose_records_wait(bench: Bench) -> None:
    for _ in range(4):
        bench.provision()
        bench.use()
    before = bench.lives()
    with pytest.raises(UsageError, match=r"earlier lives still hold records") as told:
        bench.provision()
    assert [life for life in bench.lives() if not life.void] == before
    assert "another gateway" not in str(told.value)
    bench.agree()
    bench.keys.rename(bench.folder / "elsewhere.json")
    with pytest.raises(UsageError, match="another gateway has their keys") as told:
        bench.provision()
    assert all(f"{life.life:08x}" in str(told.value) for life in before)
    assert all(life.void for life in bench.lives())


def test_another_board_type_is_switched_as_one(bench: Bench) -> None:
    """board.json and settings change together, or not at all when the settings are refused."""
    for _ in range(4):
        bench.provision()
        bench.use()
    read = "import json\nprint(json.load(open('/board.json'))['board'])"
    with pytest.raises(UsageError):
        bench.provision("traffic-v1")
    assert bench.on_board(read).strip() == "air-v1"
    assert bench.payload()["key"] == bench.open_life().key.hex()


def test_undelivered_records_whose_key_is_lost_are_told(bench: Bench) -> None:
    first = bench.provision()
    bench.use("os.mkdir('/outbox-%08x' % settings.life_of(bytes.fromhex(payload['key'])))\n")
    bench.on_board(f"with open('/outbox-{first.life:08x}/0.seg', 'wb') as f:\n    f.write(bytes(777))\n")
    for copy in "ab":
        bench.on_board(f"with open('/settings.{copy}', 'wb') as f:\n    f.write(b'torn')\n")
    done = bench.provision()
    assert done.beyond == {first.life: 777}
    (line,) = [line for line in bench.said if "beyond delivery" in line]
    assert "777 bytes" in line and f"{first.life:08x}" in line and "unreadable" in line
    assert bench.provision().beyond == {}


def test_a_board_whose_settings_are_unreadable_proves_nothing(bench: Bench) -> None:
    bench.provision()
    bench.link.lose_before = switches
    with pytest.raises(NoConnection):
        bench.provision()
    lost = bench.open_life()
    bench.link.plug_in()
    for copy in "ab":
        bench.on_board(f"with open('/settings.{copy}', 'wb') as f:\n    f.write(b'torn')\n")
    done = bench.provision()
    (kept,) = [life for life in bench.lives() if life.life == lost.life]
    assert (kept.void, kept.until_s) == (False, done.provisioned_s)
