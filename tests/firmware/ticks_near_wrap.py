"""Runs where integers have 31 bits: instants of the radio's clock right before its wrap, with the port's own functions."""

import time

from firmware.bridge import Bridge
from firmware.drivers.lora_chip import LoraChip
from firmware.links.lora import LoraLink
from wire import bridge

WRAP = 1 << 30


class Port:
    us_diff = staticmethod(time.ticks_diff)
    us_add = staticmethod(time.ticks_add)

    def __init__(self, now):
        self.now = now

    def now_us(self):
        return self.now

    def irq_us(self):
        return time.ticks_add(self.now, -100000)  # an old one: the line is open


class Clock:
    synced = False

    def uptime_ms(self):
        return 5000


class Radio:
    """Keeps how far ahead it was told to begin."""

    def __init__(self, port):
        self.port = port
        self.ahead_us = None

    def tune(self, *wanted):
        pass

    async def receive(self, timeout_ms, at_us=None):
        self.ahead_us = time.ticks_diff(at_us, self.port.now)

    async def transmit(self, frame, at_us=None):
        self.ahead_us = time.ticks_diff(at_us, self.port.now)
        return self.port.now


class Link(LoraLink):
    def __init__(self, radio):
        self._radio = radio
        self._clock = Clock()


class Ear(Bridge):
    def __init__(self, radio):
        self._radio = radio
        self._ticks = radio.port.now
        self._us = 0xFFFFFF00
        self._gain_cdbi = 215
        self._busy_us = self._sent = self._failed = 0

    def _say(self, message):
        pass


class Chip(LoraChip):
    def __init__(self, port):
        self.port = self._port = port
        self._sf = 9


def finished(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("waits")


def main(arguments):
    """Prints what is wrong, then how much was tried."""
    tried = 0
    for before_us in (1, 100, 50000, 500000, 939999, 2000000):
        port = Port(WRAP - before_us)
        radio = Radio(port)
        finished(Link(radio)._listen(9, 14, port.now))
        if radio.ahead_us != 940000:
            print("window", before_us, radio.ahead_us)
        radio = Radio(port)
        order = bridge.Transmit(1, (0xFFFFFF00 + 900000) & 0xFFFFFFFF, 869525000, 9, 14, 1, bytes(10))
        finished(Ear(radio)._transmit(order))
        if radio.ahead_us != 900000:
            print("answer", before_us, radio.ahead_us)
        late_us = time.ticks_diff(Chip(port)._ended(port.now, 20), port.now)
        if not 185344 <= late_us < 186000:
            print("end", before_us, late_us)
        tried += 3
    print(tried)
