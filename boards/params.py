"""Parameters of the drivers, with the consequence of each value beside it."""

from typing import Annotated, Literal

from msgspec import Meta

from boards.buses import Instance, Table

StuckReads = Annotated[
    int, Meta(ge=0, le=86_400, description="So many readings equal bit for bit are refused as stuck; 0: never.")
]


class Sps30Params(Table, frozen=True):
    """Sensirion SPS30."""

    mode: Annotated[
        Literal["float", "uint16"], Meta(description="uint16 gives whole ug/m3; needs chip firmware 2.0.")
    ] = "float"
    warmup_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Readings this soon after start are not valid; clean air needs 30 s.")
    ] = 30_000
    clean_interval_s: Annotated[
        int, Meta(ge=0, le=4_294_967_295, description="The fan cleans itself so often; 0: never. A week by the maker.")
    ] = 604_800
    clean_at_start: Annotated[
        bool, Meta(description="Clean during warm-up: a power cut makes the chip forget when it last did.")
    ] = True
    stuck_reads: StuckReads = 120


class Sds011Params(Table, frozen=True):
    """Nova SDS011."""

    mode: Annotated[
        Literal["active", "query"],
        Meta(description="active: a report each second; query: asked every sample_ms. The chip keeps it in flash."),
    ] = "active"
    working_period_min: Annotated[
        int,
        Meta(
            ge=0,
            le=30,
            description="0: always on, the laser lives 8000 h; n: the chip works 30 s in n minutes and reports once.",
        ),
    ] = 0
    warmup_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Readings this soon after start are not valid: 15 to 30 s.")
    ] = 30_000
    stuck_reads: StuckReads = 300


class Pms5003Params(Table, frozen=True):
    """Plantower PMS5003 or PMSA003."""

    mode: Annotated[
        Literal["active", "passive"],
        Meta(description="active: a frame each 2.3 s or sooner; passive: asked every sample_ms."),
    ] = "active"
    columns: Annotated[
        Literal["atmospheric", "cf1"],
        Meta(
            description="Which of the chip's two sets of masses: atmospheric outdoors, cf1 (standard particle) indoors."
        ),
    ] = "atmospheric"
    warmup_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Readings this soon after wake-up are not valid: 30 s by the maker.")
    ] = 30_000
    stuck_reads: StuckReads = 300


Microvolts = Annotated[int, Meta(ge=0, le=2_000_000, description="uV; the card prints mV.")]


class Ads1115No2Params(Table, frozen=True):
    """TI ADS1115 with an electrochemical NO2 cell. Zeros and sensitivity stand on the cell's card."""

    address: Annotated[
        Literal[72, 73, 74, 75], Meta(description="72 (0x48): ADDR to GND; 73: to supply; 74: to SDA; 75: to SCL.")
    ] = 72
    we_input: Annotated[int, Meta(ge=0, le=2, description="Input A0..A2 with the working electrode (OP1).")] = 0
    ae_input: Annotated[
        int,
        Meta(ge=1, le=3, description="Input with the auxiliary electrode (OP2); the chip compares 0-1, 0-3, 1-3, 2-3."),
    ] = 1
    full_scale_mv: Annotated[
        Literal[6144, 4096, 2048, 1024], Meta(description="Range of the converter; 2048 holds some 5000 ppb.")
    ] = 2048
    cell: Annotated[
        Literal["no2-b43f", "no2-a43f"], Meta(description="Which table of the temperature's influence.")
    ] = "no2-b43f"
    we_zero_uv: Microvolts = 225_000
    ae_zero_uv: Microvolts = 228_000
    sensitivity_uv_ppb: Annotated[
        int,
        Meta(
            ge=-2000,
            le=2000,
            description="uV per ppb with the card's sign (0.309 mV/ppb is 309); 0: no card, only the voltages are given.",
        ),
    ] = 0
    temperature: Annotated[
        Literal["sensor", "fixed"],
        Meta(description="sensor: of the board, no2 is suspect without it; fixed: temperature_cdeg, for a heated box."),
    ] = "sensor"
    temperature_instance: Instance = 0
    temperature_cdeg: Annotated[
        int, Meta(ge=-3000, le=5000, description="0.01 Cel, used when fixed or while no sensor tells it.")
    ] = 2000
    warmup_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Readings this soon after power-up are not valid.")
    ] = 30_000
    settle_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=172_800_000,
            description="no2 is suspect so long after power-up: a cell settles for hours, even days.",
        ),
    ] = 7_200_000
    stuck_reads: StuckReads = 120


class Bme280Params(Table, frozen=True):
    """Bosch BME280."""

    address: Annotated[Literal[118, 119], Meta(description="118 (0x76): SDO to GND; 119 (0x77): SDO to supply.")] = 118
    stuck_reads: StuckReads = 120


class Ld2451Params(Table, frozen=True):
    """Hi-Link HLK-LD2451."""

    max_distance_m: Annotated[int, Meta(ge=10, le=100)] = 100
    min_speed_kmh: Annotated[
        int, Meta(ge=0, le=120, description="Slower targets are not reported; cyclists need 5 or less.")
    ] = 5
    snr_threshold: Annotated[
        int, Meta(ge=0, le=8, description="0: the maker's 4; 3 to 8: larger is less sensitive.")
    ] = 0
    flip: Annotated[bool, Meta(description="Swap approach and depart: the maker's papers contradict each other.")] = (
        False
    )
    dead_ms: Annotated[
        int, Meta(ge=2_000, le=600_000, description="Silent for so long, the radar is asked whether it lives.")
    ] = 60_000


class I2sMicParams(Table, frozen=True):
    """An I2S microphone."""

    model: Annotated[
        Literal["ics43434", "inmp441", "sph0645"],
        Meta(description="Its response, own noise and bits. Another one than is fitted shows in the self test."),
    ] = "ics43434"
    slot: Annotated[
        Literal["left", "right"], Meta(description="By its L/R (SEL) pin: GND is left, supply is right.")
    ] = "left"
    offset_cdb: Annotated[
        int, Meta(ge=-3000, le=3000, description="Added to every level, 0.01 dB: what a calibrator shows.")
    ] = 0
    floor_cdb: Annotated[
        int, Meta(ge=0, le=6000, description="Levels below are flagged, 0.01 dB; 0: below the model's own noise.")
    ] = 0
    settle_ms: Annotated[int, Meta(ge=100, le=60_000, description="Thrown away after start: power-up and filters.")] = (
        1000
    )
    third_octaves: Annotated[
        bool,
        Meta(description="Give lzeq_25 to lzeq_16000, too: takes three times the work and 10 KB more of the heap."),
    ] = False


class DnmsParams(Table, frozen=True):
    """DNMS module."""

    microphone: Annotated[
        Literal["as set", "ics43434", "im72d128"],
        Meta(description="What is fitted; as set: not told to the module. A wrong one shifts all levels by 10 dB."),
    ] = "as set"
    offset_cdb: Annotated[
        int, Meta(ge=-3000, le=3000, description="Added to every level, 0.01 dB: what a calibrator shows.")
    ] = 0
    floor_cdb: Annotated[
        int, Meta(ge=0, le=6000, description="Levels below are flagged: the microphone's own noise, 0.01 dB.")
    ] = 2900
    warmup_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="Levels this soon after start are not used; nor is the one after.")
    ] = 2_000
    stuck_reads: StuckReads = 30
    third_octaves: Annotated[
        bool, Meta(description="One-third octave bands 25 Hz to 16 kHz as well, unweighted; needs module firmware 5.")
    ] = False


CleanInterval = Annotated[
    int, Meta(ge=0, le=31_536_000, description="The fan is cleaned so often; 0: never. A week by the maker.")
]
CleanAtStart = Annotated[
    bool,
    Meta(description="Clean when the board starts: a power cut makes everyone forget."),
]
Learning = Annotated[
    int,
    Meta(ge=0, le=172_800, description="For so long after a start VOC and NOx index are flagged suspect: they learn."),
]
Altitude = Annotated[int, Meta(ge=0, le=3000, description="Of the place; CO2 reads 1 % low for about 85 m left out.")]
SelfCalibration = Annotated[
    bool,
    Meta(
        description="The lowest CO2 of a week is taken for fresh air (400 ppm): false where none comes, as in a tunnel."
    ),
]
AirWarmup = Annotated[
    int, Meta(ge=0, le=600_000, description="Readings this soon after start are not valid; clean air needs 30 s.")
]


class Sen5xParams(Table, frozen=True):
    """Sensirion SEN54, SEN55."""

    warmup_ms: AirWarmup = 30_000
    clean_interval_s: CleanInterval = 604_800
    clean_at_start: CleanAtStart = True
    learning_s: Learning = 3600
    stuck_reads: StuckReads = 120


class Sen66Params(Table, frozen=True):
    """Sensirion SEN66."""

    warmup_ms: AirWarmup = 30_000
    clean_interval_s: CleanInterval = 604_800
    clean_at_start: CleanAtStart = True
    learning_s: Learning = 3600
    stuck_reads: StuckReads = 120
    altitude_m: Altitude = 0
    self_calibration: SelfCalibration = True


class Scd41Params(Table, frozen=True):
    """Sensirion SCD40, SCD41, SCD43."""

    mode: Annotated[
        Literal["periodic", "low_power"], Meta(description="A reading every 5 s at 15 mA, or every 30 s at 3 mA.")
    ] = "periodic"
    warmup_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Readings this soon after start are not valid: the first is discarded.")
    ] = 10_000
    self_calibration: SelfCalibration = True
    altitude_m: Altitude = 0
    offset_cdeg: Annotated[
        int, Meta(ge=0, le=2000, description="Self-heating that the chip takes off temperature and humidity, 0.01 K.")
    ] = 400
    stuck_reads: StuckReads = 24


class Sht4xParams(Table, frozen=True):
    """Sensirion SHT40, SHT41, SHT43, SHT45."""

    address: Annotated[Literal[68, 69, 70], Meta(description="By type: 68 (0x44) A, 69 (0x45) B, 70 (0x46) C.")] = 68
    stuck_reads: StuckReads = 120


class Ops243aParams(Table, frozen=True):
    """OmniPreSense OPS243-A."""

    min_speed_kmh: Annotated[
        int, Meta(ge=2, le=120, description="Slower targets are left out; rain and people walking are below 8.")
    ] = 8
    min_strength: Annotated[
        int, Meta(ge=0, le=10_000, description="Weaker signals are left out, in the radar's own measure.")
    ] = 0
    targets: Annotated[int, Meta(ge=1, le=9, description="Speeds in one line; more take longer on the line.")] = 4
    flip: Annotated[bool, Meta(description="Swap approach and depart.")] = False
    ask_ms: Annotated[
        int, Meta(ge=5_000, le=600_000, description="So often it is asked whether it lives and has its settings.")
    ] = 15_000


class TFLunaParams(Table, frozen=True):
    """Benewake TF-Luna, a beam as a gate."""

    mount: Annotated[
        Literal["overhead", "side"], Meta(description="side: the beam lies across the lane and tells no heights.")
    ] = "overhead"
    lane: Annotated[
        Literal["approach", "depart"],
        Meta(description="Which way its vehicles go, as the board's radar would call it."),
    ] = "approach"
    rate_hz: Annotated[
        Literal[50, 100, 250], Meta(description="Frames a second. 250: short vehicles above 100 km/h; more work.")
    ] = 100
    high_cm: Annotated[
        int, Meta(ge=100, le=400, description="Vehicles of this height and more above the surface are high ones.")
    ] = 210
    learn_s: Annotated[
        int, Meta(ge=2, le=600, description="So long it learns where the beam ends; a busy lane needs more.")
    ] = 10
    blocked_s: Annotated[
        int, Meta(ge=10, le=3600, description="Longer in the beam is no traffic: longer than a red light.")
    ] = 180
