"""A broker of a hundred lines that can do what a real one does only on its worst days. MQTT 3.1.1 and 5, QoS 1."""

from __future__ import annotations

import asyncio
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 12, 13, 14


class FakeBroker:
    """Knobs: `connack` code, `silent` (accepts, says nothing), `hang_up` (closes instead of CONNACK), `puback` code of
    MQTT 5, `withhold` PUBACKs, `drop_after` messages closes the line without confirming the last one."""

    def __init__(self) -> None:
        self.connack = 0
        self.silent = False
        self.hang_up = False
        self.puback = 0
        self.withhold = False
        self.drop_after = 0
        self.messages: list[tuple[str, bytes]] = []
        self.connects = 0
        self.pings = 0
        self.outstanding = 0  # published and not confirmed on this connection
        self.most_outstanding = 0
        self.passwords: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> FakeBroker:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.outstanding = 0
        version = 4
        try:
            while True:
                kind, body = await _packet(reader)
                if kind >> 4 == CONNECT:
                    self.connects += 1
                    version = body[6]
                    if self.silent:
                        continue
                    if self.hang_up:
                        return
                    writer.write(
                        bytes([CONNACK << 4, 3, 0, self.connack, 0] if version == 5 else [32, 2, 0, self.connack])
                    )
                elif kind >> 4 == PUBLISH:
                    self._published(kind, body, version, writer)
                    if self.drop_after and len(self.messages) >= self.drop_after:
                        self.drop_after = 0
                        return
                elif kind >> 4 == PINGREQ:
                    self.pings += 1
                    if not self.withhold:
                        writer.write(bytes([PINGRESP << 4, 0]))
                elif kind >> 4 == DISCONNECT:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _published(self, kind: int, body: bytes, version: int, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack_from(">H", body)[0]
        topic = body[2 : 2 + length].decode()
        at = 2 + length
        mid = body[at : at + 2]
        at += 2
        if version == 5:
            at += 1 + body[at]  # properties shorter than 128 bytes
        self.messages.append((topic, body[at:]))
        self.outstanding += 1
        self.most_outstanding = max(self.most_outstanding, self.outstanding)
        if self.withhold or (self.drop_after and len(self.messages) >= self.drop_after):
            return
        self.outstanding -= 1
        writer.write(bytes([PUBACK << 4, 3]) + mid + bytes([self.puback]) if version == 5 else b"\x40\x02" + mid)


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 128:
            break
    return kind, await reader.readexactly(length)
