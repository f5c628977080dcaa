"""What a bridge board and its gateway say to each other, each message one HDLC frame (wire/stream.py) on the USB port.

First byte: as that of a LoRa frame, with the types 15 (to the gateway) and 31 (to the bridge), which no node uses, so that
whoever listens to the port can tell them apart. Second byte: the kind. Then the fields of `TABLE`, big endian, and for
`Heard` and `Transmit` the LoRa frame to the end. No secret is in it and nothing is authenticated: LoRa frames are authentic
from end to end, and who can touch the port could as well hold an antenna to the board.

All `_us` are the bridge's clock: 32 bits of microseconds that wrap.
"""

from collections import namedtuple

from wire import WireError
from wire.frame import first_byte
from wire.messages import put, take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
TO_GATEWAY = 15
TO_BRIDGE = 31
UP = first_byte(VERSION, TO_GATEWAY)
DOWN = first_byte(VERSION, TO_BRIDGE)
LORA_MAX = 255  # bytes of a LoRa frame

_U8 = (1, 0, 0xFF)
_FLAG = (1, 0, 1)
_U16 = (2, 0, 0xFFFF)
_U32 = (4, 0, 0xFFFFFFFF)
_HZ = (4, 137_000_000, 1_020_000_000)  # what the chips can be tuned to
_SF = (1, 7, 12)
_DBM = (2, -200, 100)
_ERROR_HZ = (3, -8_388_607, 8_388_607, 1)

# To the gateway. `end_us`: end of the frame on air; `handed_us`: when this message was given to the port. `snr_qdb` is in
# quarters of a dB; `signal_dbm` is the strength of the signal alone, which lies below `rssi_dbm` when the noise is stronger.
Heard = namedtuple("Heard", "end_us handed_us freq_hz sf rssi_dbm snr_qdb signal_dbm freq_error_hz frame")
# What became of the `Transmit` with this number; `end_us`: end of the frame on air, or when it was given up.
Sent = namedtuple("Sent", "number result end_us")
# Every 10 s, when it is asked for, and after each `Tune`; the counters are those of this start.
Status = namedtuple(
    "Status", "now_us uptime_s firmware chip radio freq_hz sf heard crc_errors sent failed radio_restarts busy_permille"
)
# To the bridge. `number` comes back in `Sent`. `inverted`: 1, what nodes listen to.
Transmit = namedtuple("Transmit", "number at_us freq_hz sf power_dbm inverted frame")
Tune = namedtuple("Tune", "freq_hz sf")
AskStatus = namedtuple("AskStatus", "")

HEARD = 1
SENT = 2
STATUS = 3
TRANSMIT = 1
TUNE = 2
ASK_STATUS = 3

# `result` of Sent.
DONE = 0
LATE = 1  # its time was over, or so far away that the clock must be another one
BUSY = 2  # another one is to be sent at that time
RADIO = 3  # the radio failed
REFUSED = 4  # the radio cannot do that

# `radio` of Status.
RADIO_DEAD = 0
RADIO_LISTENS = 1
RADIO_STARTS = 2
CHIPS = ("", "sx1262", "sx1276")  # by `chip` of Status

_PLAIN, _WITH_FRAME = 0, 1
# (first byte, kind, class, 1 if a LoRa frame follows, fields)
TABLE: "tuple[tuple[int, int, Any, int, tuple[Any, ...]], ...]" = (
    (UP, HEARD, Heard, _WITH_FRAME, (_U32, _U32, _HZ, _SF, _DBM, (1, -128, 127), _DBM, _ERROR_HZ)),
    (UP, SENT, Sent, _PLAIN, (_U16, _U8, _U32)),
    (UP, STATUS, Status, _PLAIN, (_U32, _U32, (3, 0, 0xFFFFFF), _U8, _U8, (4, 0, 1_020_000_000), (1, 0, 12), _U32, _U32, _U32)
     + (_U32, _U32, (2, 0, 1000))),
    (DOWN, TRANSMIT, Transmit, _WITH_FRAME, (_U16, _U32, _HZ, _SF, (1, -9, 22), _FLAG)),
    (DOWN, TUNE, Tune, _PLAIN, (_HZ, _SF)),
    (DOWN, ASK_STATUS, AskStatus, _PLAIN, ()),
)  # fmt: skip


def encode(message: "tuple[Any, ...]") -> bytearray:
    """The frame for wire/stream.py; ValueError if a field is out of its range."""
    for row in TABLE:
        if isinstance(message, row[2]):
            break
    else:
        raise ValueError("type")
    first, kind, _, with_frame, fields = row
    out = bytearray((first, kind))
    for i in range(len(fields)):
        put(out, fields[i], message[i])
    if with_frame:
        if not 0 < len(message[-1]) <= LORA_MAX:
            raise ValueError("frame")
        out.extend(message[-1])
    return out


def decode(data: "bytes | bytearray", first: int) -> "Any":
    """The message that begins with `first` (`UP` or `DOWN`); WireError `version`, `type`, `short`, `long` or `range`."""
    if len(data) < 2:
        raise WireError("short")
    if data[0] != first:
        raise WireError("type" if data[0] & 0xE0 == first & 0xE0 else "version")
    for row in TABLE:
        if row[0] == first and row[1] == data[1]:
            break
    else:
        raise WireError("type")
    _, _, cls, with_frame, fields = row
    data = bytes(data)
    values: "list[Any]" = []
    at = 2
    for spec in fields:
        values.append(take(data, at, spec))
        at += spec[0]
    if with_frame:
        if at == len(data):
            raise WireError("short")
        if len(data) - at > LORA_MAX:
            raise WireError("long")
        values.append(data[at:])
    elif at != len(data):
        raise WireError("long")
    return cls(*values)
