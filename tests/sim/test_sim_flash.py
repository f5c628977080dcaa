"""The simulated flash chip alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.errors import UsageError
from tools.sim.flash import BLOCK, Flash, PowerCut

SIZE = 16 * BLOCK


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    return Flash(tmp_path / "image", SIZE)


def test_a_new_image_is_erased_and_survives(flash: Flash, tmp_path: Path) -> None:
    assert flash.new
    assert flash.blocks == 16
    flash.prog(5, b"abc")
    flash.close()
    again = Flash(tmp_path / "image", SIZE)
    assert not again.new
    assert again.read(4, 5) == b"\xffabc\xff"


def test_programming_only_clears_bits(flash: Flash) -> None:
    flash.prog(0, b"\xf0")
    flash.prog(0, b"\x3c")
    assert flash.read(0, 1) == b"\x30"
    assert flash.counts["rewrites"] == 1
    flash.erase(0)
    flash.prog(0, b"\x3c")
    assert flash.read(0, 1) == b"\x3c"
    assert flash.counts["rewrites"] == 1


@pytest.mark.parametrize(
    ("address", "length", "pages"), [(0, 1, 1), (0, 256, 1), (255, 2, 2), (0, 257, 2), (128, 512, 3)]
)
def test_a_page_takes_its_time(flash: Flash, address: int, length: int, pages: int) -> None:
    assert flash.prog(address, bytes(length)) == pages * 700


def test_every_two_hundredth_erase_is_slow(flash: Flash) -> None:
    charges = [flash.erase(n % 16) for n in range(400)]
    assert [n for n, charge in enumerate(charges, 1) if charge == 400_000] == [200, 400]
    assert set(charges) == {45_000, 400_000}


def test_a_cut_leaves_what_was_done(flash: Flash) -> None:
    flash.trace = []
    flash.cut_at, flash.torn = 2, 3
    flash.prog(0, b"whole")
    with pytest.raises(PowerCut):
        flash.prog(100, b"\x00\x01\x02\x03\x04")
    assert flash.read(0, 5) == b"whole"
    assert flash.read(100, 5) == b"\x00\x01\x02\xff\xff"
    assert [(op.number, op.kind, op.address) for op in flash.trace] == [(1, "prog", 0), (2, "prog", 100)]


def test_a_cut_erase_leaves_half_a_block(flash: Flash) -> None:
    flash.prog(0, bytes(BLOCK))
    flash.cut_at, flash.torn = 2, BLOCK // 2
    with pytest.raises(PowerCut):
        flash.erase(0)
    assert flash.read(0, BLOCK) == b"\xff" * (BLOCK // 2) + bytes(BLOCK // 2)


def test_one_process_at_a_time(flash: Flash, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"process \d+ uses this flash file"):
        Flash(tmp_path / "image")
    flash.close()
    Flash(tmp_path / "image").close()


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")
    with pytest.raises(UsageError, match="8 bytes"):
        Flash(tmp_path / "text")
    assert (tmp_path / "text").read_text() == "no image"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Flash(tmp_path / "none" / "image")
