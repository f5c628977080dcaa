"""The seam to the port: the one module of this folder that lies on the board is taken."""

try:
    from firmware.hal.esp32 import *  # noqa: F403  # the port's whole surface, by design
except ImportError:
    from firmware.hal.sim import *  # type: ignore[assignment]  # noqa: F403
