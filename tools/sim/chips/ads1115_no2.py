"""TI ADS1115 converter on I2C with an electrochemical NO2 cell on its inputs (data sheet; AAN 803; facts in own words).

The cell's board gives two voltages: working electrode at input A0, auxiliary electrode at A1. The gas moves the first,
temperature moves both, the first n(T) times as much.
"""

from bisect import bisect
from collections.abc import Iterable

from tools.sim.chance import gauss, uniform, wave
from tools.sim.chips.base import Chip, Nack
from tools.sim.world import World

_SECOND_US = 1_000_000
_RESET_CONFIG = 0x8583
_FULL_SCALE_V = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)
_RATES_HZ = (8, 16, 32, 64, 128, 250, 475, 860)
# What the multiplexer connects: positive and negative input; None is ground.
_INPUTS: tuple[tuple[int, int | None], ...] = (
    (0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None),
)  # fmt: skip
_FLOATING_V = 0.57  # where an open input drifts to
_PULL = 0.85  # how far the converter's resistance between two inputs pulls an open one to the other
_RAIL_V = 3.3

# Degrees and how much more the working electrode moves with temperature than the auxiliary one.
CELLS = {
    "b43f": ((-30, 1.3), (-20, 1.3), (-10, 1.3), (0, 1.3), (10, 1.0), (20, 0.6), (30, 0.4), (40, 0.2), (50, -1.5)),
    "a43f": ((-30, 0.8), (-20, 0.8), (-10, 1.0), (0, 1.2), (10, 1.6), (20, 1.8), (30, 1.9), (40, 2.5), (50, 3.6)),
}


def between(points: tuple[tuple[int, float], ...], degc: float) -> float:
    """The value at a temperature, straight between the points and level beyond them."""
    place = bisect([point[0] for point in points], degc)
    if place == 0 or place == len(points):
        return points[max(0, place - 1)][1]
    (left, low), (right, high) = points[place - 1], points[place]
    return low + (high - low) * (degc - left) / (right - left)


class ADS1115NO2(Chip):
    """An ADS1115 with a cell. Parameters: address, cell (of CELLS), its card (zeros in mV, sensitivity in mV/ppb), and
    degc (the cell's own temperature instead of the air's).
    """

    FAULTS = {
        "silence": "nothing is acknowledged (cable off, no supply)",
        "stuck": "the voltages stay what they are, without any noise",
        "dead_converter": "the result register stays what it is",
        "byte_shift": "each answer lacks its first byte and ends in FF",
        "late_answer": "a conversion takes twenty times as long",
        "not_started": "a conversion that is asked for is not begun",
        "config_lost": "what is written is forgotten at once (supply breaks down)",
        "open_we": "the working electrode's wire is off",
        "open_ae": "the auxiliary electrode's wire is off",
        "saturated": "the working electrode's amplifier stands at its supply",
        "unpowered": "the cell's board has no supply: both voltages are zero",
        "wrong_chip": "another chip answers: the thresholds read 0",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        address: int = 0x48,
        cell: str = "b43f",
        we_zero_mv: float = 225.0,
        ae_zero_mv: float = 228.0,
        mv_per_ppb: float = 0.309,
        degc: float | None = None,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.address = address
        self.cell = CELLS[cell]
        self.we_zero_mv = we_zero_mv
        self.ae_zero_mv = ae_zero_mv
        self.mv_per_ppb = mv_per_ppb
        self.degc = degc
        self.fixed: tuple[float, float] | None = None  # (WE, AE) in volts instead of the world's; for trials
        self.power_on(world.start_s * _SECOND_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._registers = {0: 0, 1: _RESET_CONFIG, 2: 0x8000, 3: 0x7FFF}
        self._pointer = 0
        self._ends_us: int | None = None
        self._moved_us = now_us  # when the voltages were last what they are

    # --- Bus ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, now_us: int) -> None:
        """Pointer, and two bytes of a register."""
        self._listen(now_us)
        if not data or len(data) > 3 or data[0] > 3:
            raise Nack("not a register")
        self._pointer = data[0]
        if len(data) == 3 and self._pointer:
            value = int.from_bytes(data[1:], "big")
            if self._pointer != 1:
                self._registers[self._pointer] = value
            elif "config_lost" not in self.faults:
                self._configure(value, now_us)

    def read(self, n: int, now_us: int) -> bytes:
        """The register that the pointer names; the bus floats high behind it."""
        self._listen(now_us)
        value = self._registers[self._pointer]
        if self._pointer == 1:
            value = value & 0x7FFF | (self._ends_us is None) << 15
        elif self._pointer > 1 and "wrong_chip" in self.faults:
            value = 0
        answer = value.to_bytes(2, "big")
        if "byte_shift" in self.faults:
            answer = answer[1:]
        return (answer + b"\xff" * n)[:n]

    def _listen(self, now_us: int) -> None:
        if not self.powered:
            raise Nack("no supply")
        if "silence" in self.faults:
            raise Nack("fault: silence")
        if self._ends_us is not None and now_us >= self._ends_us:
            self._convert(self._ends_us)

    # --- Converting --------------------------------------------------------------------------------------------

    def _configure(self, value: int, now_us: int) -> None:
        self._registers[1] = value
        single = bool(value & 0x0100)
        if (single and not value & 0x8000) or "not_started" in self.faults:
            return
        rate_hz = _RATES_HZ[value >> 5 & 7] * (0.92 + 0.16 * uniform(self.seed, 70))  # +-10 % by the data sheet
        late = 20 if "late_answer" in self.faults else 1
        self._ends_us = now_us + round(1e6 / rate_hz * late)

    def _convert(self, ended_us: int) -> None:
        config = self._registers[1]
        single = bool(config & 0x0100)
        self._ends_us = None if single else ended_us + round(1e6 / _RATES_HZ[config >> 5 & 7])
        if "dead_converter" in self.faults:
            return
        full_scale_v = _FULL_SCALE_V[config >> 9 & 7]
        positive, negative = _INPUTS[config >> 12 & 7]
        volts = self._between_inputs(positive, negative, ended_us)
        noise = 0.0 if "stuck" in self.faults else 0.4 * gauss(self.seed, ended_us, 71)
        code = round(volts / full_scale_v * 32768 + noise)
        self._registers[0] = min(32767, max(-32768, code)) & 0xFFFF

    def _between_inputs(self, positive: int, negative: int | None, now_us: int) -> float:
        plus = self._at_input(positive, now_us)
        if negative is None:
            return _FLOATING_V if plus is None else plus
        minus = self._at_input(negative, now_us)
        if plus is None and minus is None:
            return 0.0
        if plus is None or minus is None:
            driven_v = plus if plus is not None else minus or 0.0
            apart_v = (1.0 - _PULL) * (_FLOATING_V - driven_v)
            return apart_v if plus is None else -apart_v
        return plus - minus

    def _at_input(self, number: int, now_us: int) -> float | None:
        """Volts that something drives an input with; None: nothing does."""
        if number > 1 or ("open_we", "open_ae")[number] in self.faults:
            return None
        if "unpowered" in self.faults:
            return 0.0005
        if "saturated" in self.faults and number == 0:
            return _RAIL_V
        return self.electrodes_v(now_us)[number]

    def electrodes_v(self, now_us: int) -> tuple[float, float]:
        """What the cell's board gives at an instant: working and auxiliary electrode."""
        if self.fixed is not None:
            return self.fixed
        if "stuck" not in self.faults:
            self._moved_us = now_us
        now_us = self._moved_us
        time_s = now_us / 1e6
        degc = self.world.air(time_s, self.site).temperature_degc if self.degc is None else self.degc
        drift_mv = 3.0 + 0.5 * (degc - 20.0) + 0.8 * wave(time_s, 1800.0, self.seed, 72)
        gas_mv = self.mv_per_ppb * self.world.no2_ppb(time_s, self.site)
        noise_mv = 0.3 * gauss(self.seed, now_us // 50_000, 73)
        we_mv = self.we_zero_mv + between(self.cell, degc) * drift_mv + gas_mv + noise_mv
        return we_mv / 1000.0, (self.ae_zero_mv + drift_mv + 0.1 * noise_mv) / 1000.0
