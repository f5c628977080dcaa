"""A flash chip that has bad days."""

from __future__ import annotations

from tools.sim.flash import Flash


class StallingFlash(Flash):
    """`stall_us`: what each erase takes longer while it is set."""

    stall_us = 0
    stalled = 0

    def erase(self, block: int) -> int:
        charge_us = super().erase(block)
        if self.stall_us:
            self.stalled += 1
        return charge_us + self.stall_us
