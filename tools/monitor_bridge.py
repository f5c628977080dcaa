"""What a monitor shows of a bridge's port: each LoRa frame as its radio heard it, what it was ordered to send, how it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.keys import Life
from tools.decode import Decoder
from tools.monitor_text import frame_lines
from tools.monitor_words import WORDS
from wire import WireError, bridge
from wire.frame import DOWNLINK, LORA
from wire.frame_gateway import UplinkHeader, parse_uplink_header

_RESULTS = {
    bridge.DONE: "sent", bridge.LATE: "late", bridge.BUSY: "busy", bridge.RADIO: "radio", bridge.REFUSED: "refused",
}  # fmt: skip
_RADIO = {bridge.RADIO_DEAD: "dead", bridge.RADIO_LISTENS: "listens", bridge.RADIO_STARTS: "starts"}


def is_bridge(frame: bytes) -> bool:
    """Whether a frame of the port is the bridge's own, not a node's."""
    return len(frame) > 1 and frame[0] in (bridge.UP, bridge.DOWN)


class BridgeDecoder:
    """Opens what it has keys for; `decode` never raises."""

    def __init__(self, lives: Iterable[Life]) -> None:
        self._inner = Decoder(lives, (LORA,))
        self.learn = self._inner.learn

    def decode(self, frame: bytes) -> dict[str, Any]:
        """{"bridge": "heard" | "transmit" | …, "ok", …}; of a LoRa frame also what a listener on a wire would show."""
        try:
            message = bridge.decode(frame, frame[0])
        except WireError as error:
            return {"ok": False, "reason": error.reason, "bytes": len(frame)}
        if isinstance(message, bridge.Heard):
            signal = {
                "bridge": "heard", "mhz": message.freq_hz / 1e6, "sf": message.sf, "rssi_dbm": message.rssi_dbm,
                "snr_db": message.snr_qdb / 4, "signal_dbm": message.signal_dbm, "freq_error_hz": message.freq_error_hz,
            }  # fmt: skip
            return signal | _clear(message.frame) | self._inner.decode(message.frame)
        if isinstance(message, bridge.Transmit):
            order = {
                "bridge": "transmit", "mhz": message.freq_hz / 1e6, "sf": message.sf, "power_dbm": message.power_dbm,
                "number": message.number,
            }  # fmt: skip
            return order | self._inner.decode(message.frame)
        fields = dict(message._asdict())
        if isinstance(message, bridge.Sent):
            fields["result"] = _RESULTS.get(message.result, str(message.result))
        elif isinstance(message, bridge.Status):
            fields["radio"] = _RADIO.get(message.radio, str(message.radio))
            fields["chip"] = bridge.CHIPS[message.chip] if message.chip < len(bridge.CHIPS) else str(message.chip)
        return {"bridge": _kind(message), "ok": True, **fields}


def _kind(message: Any) -> str:
    return {"AskStatus": "ask_status"}.get(type(message).__name__, type(message).__name__.lower())


def _clear(frame: bytes) -> dict[str, Any]:
    """The counter as it stands in the clear: its low 16 bits, but for a hello."""
    header = parse_uplink_header(frame)
    if isinstance(header, UplinkHeader):
        return {"counter": header.counter}
    if frame[0] & 0x80 and frame[0] & 31 >= DOWNLINK:
        return {}
    return {"foreign": True}  # another protocol on the same channel


def bridge_lines(item: dict[str, Any], lang: str = "en") -> Iterator[str]:
    """Lines for what `decode` gave."""
    words = WORDS[lang]
    kind = item.get("bridge")
    if kind == "heard":
        signal = f"SF{item['sf']} {item['mhz']:g} MHz {item['rssi_dbm']:>4} dBm {item['snr_db']:>6g} dB"
        if item.get("foreign"):
            yield f"  {signal}  {words['foreign'].format(bytes=item['bytes'])}"
            return
        counter = f" #{item['counter']}" if "counter" in item else ""
        for line in frame_lines(item, lang):
            yield f"  {signal} {line}{counter}"
    elif kind == "transmit":
        for line in frame_lines(item, lang):
            yield f"{line}  SF{item['sf']} {item['mhz']:g} MHz {item['power_dbm']} dBm #{item['number']}"
    elif kind == "sent":
        result = words.get("answer_" + item["result"], item["result"])  # of a newer bridge, which knows more of them
        yield f"  {words['answer'].format(number=item['number'], result=result)}"
    elif kind == "status":
        yield "  " + words["bridge_status"].format(
            chip=item["chip"], radio=words.get("radio_" + item["radio"], item["radio"]), mhz=item["freq_hz"] / 1e6, sf=item["sf"],
            heard=item["heard"], crc=item["crc_errors"], sent=item["sent"], failed=item["failed"],
        )  # fmt: skip
    elif kind == "tune":
        yield f"→ {words['tune'].format(mhz=item['freq_hz'] / 1e6, sf=item['sf'])}"
    elif kind is None:
        yield from frame_lines(item, lang)
