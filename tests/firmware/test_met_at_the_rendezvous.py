"""A node that is met at the rendezvous goes where it is sent, also if that is where it was before."""

from __future__ import annotations

from firmware.links.lora_rate import Rate
from wire import messages

SETTINGS = {"lora_sf": 7, "lora_power_dbm": 14, "lora_channels": 1, "lora_rendezvous_sf": 10}


def test_the_rate_that_it_had_is_taken_again() -> None:
    rate = Rate(SETTINGS.__getitem__, lambda count: bytes(count))
    while not rate.elsewhere():
        rate.miss()
    rate.calls = True
    assert rate.present()[0] == 10
    rate.command(messages.Rate(7, 14, 1, 0), 5_000)  # in the window of the call
    rate.answered()
    rate.calls = False
    assert rate.present()[0] == 10  # where it was answered, until the command is due
    rate.look(5_000)
    assert rate.present() == (7, 14, 1)
    assert rate.unproven()
