"""The demo's table: values as people read them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.store.reader import profile_info
from tools.demo.screen import value_groups
from wire.channels import id_of
from wire.profiles import Profile
from wire.totals import total


def test_a_total_is_shown_as_its_events_also_of_a_second_sensor() -> None:
    names = ("vehicles", "vehicles_total", "vehicles_total_depart", "speed_mean")
    profile = profile_info(1, Profile(tuple((id_of(name), at % 2) for at, name in enumerate(names)), 60))
    record: Any = SimpleNamespace(profile=profile, values=(2, total(5, 1234), total(63, 7), 503))
    counted, speed = value_groups(record)
    assert counted == "vehicles 2 · vehicles_total_1 1234 · vehicles_total_depart 7"
    assert speed.startswith("speed_mean_1 50.3 ")
