"""A broker's front that confirms a message and loses it: stands between a publisher and a real broker. MQTT, QoS 1."""

from __future__ import annotations

import socket
import threading

PUBLISH, PUBACK = 3, 4


class ForgetfulBroker:
    """Set `forget` to a number: so many of the next messages get their PUBACK and go no further."""

    def __init__(self, broker_port: int) -> None:
        self.forget = 0
        self.forgotten: list[bytes] = []
        self._broker_port = broker_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._broker_port))
            threading.Thread(target=self._upward, args=(client, broker), daemon=True).start()
            threading.Thread(target=self._downward, args=(broker, client), daemon=True).start()

    def _upward(self, client: socket.socket, broker: socket.socket) -> None:
        """Packet by packet, to the broker."""
        try:
            with client.makefile("rb") as stream:
                while head := stream.read(1):
                    length = shift = 0
                    raw = bytearray(head)
                    while True:
                        byte = stream.read(1)
                        raw += byte
                        length |= (byte[0] & 0x7F) << shift
                        shift += 7
                        if byte[0] < 0x80:
                            break
                    body = stream.read(length)
                    if head[0] >> 4 == PUBLISH and self.forget > 0:
                        self.forget -= 1
                        topic = int.from_bytes(body[:2], "big")
                        self.forgotten.append(body[4 + topic :])
                        client.sendall(bytes((PUBACK << 4, 2)) + body[2 + topic : 4 + topic])
                        continue
                    broker.sendall(raw + body)
        except (OSError, IndexError):
            pass
        finally:
            broker.close()

    @staticmethod
    def _downward(broker: socket.socket, client: socket.socket) -> None:
        try:
            while data := broker.recv(4096):
                client.sendall(data)
        except OSError:
            pass
        finally:
            client.close()
