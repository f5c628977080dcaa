"""What the documents promise is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from gateway import config
from gateway.config import load
from gateway.export import COLUMNS
from gateway.forward.payload import RecordJson, decode
from gateway.ledger import SINK_CAUSES
from gateway.store.sinks import DROPPED
from wire import names
from wire.regions import UPLINKS_HZ
from wire.settings import by_name

DOCS = Path(__file__).parents[2] / "docs"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_message_in_the_document_is_valid_and_names_every_field() -> None:
    (block,) = blocks("mqtt.md", "json")
    payload = decode(json.dumps(json.loads(block)).encode())
    assert [record.kind for record in payload.records] == ["record", "gap"]
    table = (DOCS / "mqtt.md").read_text(encoding="utf-8")
    for field in RecordJson.__struct_fields__:
        assert f"`{field}`" in table
    for record in payload.records:
        assert record.id == f"{record.node}-{record.life}-{record.seq}"


def test_causes_and_events_are_numbered_as_on_the_wire() -> None:
    text = " ".join((DOCS / "mqtt.md").read_text(encoding="utf-8").split())
    for table in (names.CAUSES, names.EVENTS):
        for number, name in enumerate(table, 1):
            assert f"{number} {name}" in text


def test_the_configuration_of_the_document_is_accepted(tmp_path: Path) -> None:
    (block,) = blocks("operations.md", "toml")
    path = tmp_path / "gateway.toml"
    path.write_text(block)
    found = load(path)
    assert found.gateway.id == "gw-bochum-1"
    assert found.calibration.required == ["pm2_5", "pm10", "no2", "laeq"], (
        "who copies it is told of what nobody compared"
    )
    assert json.dumps(found.calibration.required) in (DOCS / "calibration.md").read_text(encoding="utf-8")


def test_the_tables_of_ears_are_accepted_and_channels_are_numbered_as_nodes_count_them(tmp_path: Path) -> None:
    found = blocks("lora-gateway.md", "toml")
    path = tmp_path / "gateway.toml"
    path.write_text(blocks("operations.md", "toml")[0] + "".join(found))
    config = load(path)
    assert len(found) == 3 and (len(config.bridge), len(config.hat), len(config.forwarder)) == (1, 1, 1)
    lines = (DOCS / "lora-gateway.md").read_text(encoding="utf-8").splitlines()
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in lines
        if line.startswith(("| channel,", "| `lora_"))
    }
    masks = {float(mhz): int(mask) for mhz, mask in zip(rows["channel, MHz"], rows["`lora_channels`"], strict=True)}
    assert masks == {hz / 1e6: 1 << bit for bit, hz in enumerate(UPLINKS_HZ)}
    assert "868.1 MHz and SF9 unless" in " ".join(lines)
    assert [by_name(name).default for name in ("lora_channels", "lora_sf")] == [1, 9]


def test_every_key_is_documented_with_its_default() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    tables = {"gateway": config.Gateway, "serial[]": config.Serial, "spool": config.Spool, "mqtt": config.Mqtt}
    lora = {"bridge[]": config.Bridge, "hat[]": config.Hat, "forwarder[]": config.Forwarder, "lora": config.Lora}
    for table, kind in (tables | lora | {"metrics": config.Metrics}).items():
        for field in msgspec.structs.fields(kind):
            line = next((line for line in text.splitlines() if f"`{table}.{field.name}`" in line), "")
            assert line, f"{table}.{field.name}"
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert f" {field.default} " in line


def test_export_columns_and_causes_are_documented() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"`{column}`" in text
    assert f"`{SINK_CAUSES[DROPPED]}`" in text
