"""Frames in a byte stream that they share with text: HDLC-like framing after RFC 1662.

    0x7E | frame and FCS-16 (low byte first), escaped | 0x7E

Escaped as 0x7D, byte ^ 0x20 are 0x7E, 0x7D and 0x00-0x04, both ways: a received 0x03 interrupts a board whose REPL
shares the port, and 0x01, 0x02 and 0x04 are how mpremote breaks in. Between frames the port carries text logs. A frame
begins with a byte above 0x7F and text does not, so that a damaged frame is never shown as text.
"""

FLAG = 0x7E
ESCAPE = 0x7D
_FLAG = b"\x7e"
_ESCAPE = b"\x7d"
TEXT_MAX = 512  # a log line is shorter; what is longer is delivered in pieces
FRAME_MAX = 535  # wire.frame.FRAME_MAX

try:
    from wire.stream_host import fcs16
except ImportError:  # on a board: no such module, and no translate() or crc_hqx() to make it of
    _FCS = (
        0x0000, 0x1081, 0x2102, 0x3183, 0x4204, 0x5285, 0x6306, 0x7387,
        0x8408, 0x9489, 0xA50A, 0xB58B, 0xC60C, 0xD68D, 0xE70E, 0xF78F,
    )  # fmt: skip

    def fcs16(data: bytes | bytearray) -> int:
        """FCS-16 (RFC 1662, appendix C): reflected polynomial 0x8408, start 0xFFFF, inverted; four bits a step."""
        table = _FCS
        fcs = 0xFFFF
        for byte in data:
            fcs = fcs >> 4 ^ table[(fcs ^ byte) & 15]
            fcs = fcs >> 4 ^ table[(fcs ^ byte >> 4) & 15]
        return fcs ^ 0xFFFF


def encode(frame: bytes | bytearray) -> bytearray:
    """The bytes that carry a frame: never one of 0x00-0x04."""
    fcs = fcs16(frame)
    tail = (fcs & 255, fcs >> 8)
    size = len(frame) + 4
    for part in (frame, tail):
        for byte in part:
            if byte < 5 or byte == 0x7D or byte == 0x7E:  # numbers, not names: this is the node's busiest loop
                size += 1
    out = bytearray(size)  # one allocation of the right size: the node's heap must not fragment
    out[0] = out[size - 1] = FLAG
    at = 1
    for part in (frame, tail):
        for byte in part:
            if byte < 5 or byte == 0x7D or byte == 0x7E:
                out[at] = ESCAPE
                at += 1
                byte ^= 32
            out[at] = byte
            at += 1
    return out


def is_text(data: bytes) -> bool:
    """Whether these bytes are a piece of a log: UTF-8 without control characters but tab, line ends and escape."""
    for byte in data:
        if byte < 32 and byte not in b"\t\n\r\x1b" or byte == 127:
            return False
    try:
        str(data, "utf-8")
    except UnicodeError:
        return False
    return True


class Parser:
    """Takes the stream in pieces of any size; never raises, never holds more than its cap.

    `feed` returns what was completed, in order: ("frame", bytes) whose check sequence is right, and ("text", bytes),
    whole lines where possible. What is neither is counted in `dropped` by reason.
    """

    def __init__(self, max_frame: int = FRAME_MAX) -> None:
        self._max_raw = 2 * (max_frame + 2)  # each byte may be escaped
        self._max_frame = max_frame
        self._held = b""  # since the last flag, or, in text, since the last line end
        self._skip = False  # over-long: wait for the next flag
        self.dropped: dict[str, int] = {}
        self.frames = 0

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def feed(self, chunk: bytes | bytearray) -> "list[tuple[str, bytes]]":
        """What this piece of the stream completed."""
        out: list[tuple[str, bytes]] = []
        parts = bytes(chunk).split(_FLAG)
        last = len(parts) - 1
        for i in range(last):
            if self._skip:
                self._skip = False
            else:
                segment = self._held + parts[i]
                if segment:
                    self._end(segment, out)
            self._held = b""
        if not self._skip:
            self._hold(self._held + parts[last], out)
        return out

    def _hold(self, data: bytes, out: "list[tuple[str, bytes]]") -> None:
        """Keep what no flag has ended yet; pass complete lines on."""
        while data and data[0] < 0x80:
            end = data.rfind(b"\n") + 1
            if not end:
                if len(data) < TEXT_MAX:
                    break
                end = len(data)
            self._text(data[:end], out)
            data = data[end:]
        if len(data) > self._max_raw and data[0] >= 0x80:
            self._drop("long")
            self._skip = True
            data = b""
        self._held = data

    def _text(self, data: bytes, out: "list[tuple[str, bytes]]") -> None:
        if is_text(data):
            out.append(("text", data))
        else:
            self._drop("noise")

    def _end(self, segment: bytes, out: "list[tuple[str, bytes]]") -> None:
        """A flag ended this segment."""
        if segment[0] < 0x80:
            self._text(segment, out)
            return
        if _ESCAPE in segment:
            parts = segment.split(_ESCAPE)
            segment = parts[0]
            joined = bytearray(segment)
            for i in range(1, len(parts)):
                part = parts[i]
                if not part:
                    self._drop("escape")
                    return
                joined.append(part[0] ^ 32)
                joined.extend(part[1:])
            segment = bytes(joined)
        size = len(segment) - 2
        if size < 1:
            self._drop("short")
        elif size > self._max_frame:
            self._drop("long")
        elif fcs16(segment[:size]) != segment[size] | segment[size + 1] << 8:
            if is_text(segment):  # a log that begins with a letter beyond ASCII
                out.append(("text", segment))
            else:
                self._drop("fcs")
        else:
            self.frames += 1
            out.append(("frame", segment[:size]))
