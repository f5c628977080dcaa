"""What a power cut leaves of one operation of the flash chip.

A program that is cut short has cleared some of its bits: none, those of its first or last bytes, or any. An erase that is
cut short leaves its block as it was, erased in part, or as garbage. Nothing of what follows happens.
"""

from __future__ import annotations

import os
from random import Random

from tools.sim.conductor import VirtualNode
from tools.sim.flash import BLOCK, Operation, PowerCut

PROG = ("nothing", "prefix", "suffix", "bits")
ERASE = ("nothing", "prefix", "suffix", "garbage")


def whole(image: bytearray, operation: Operation) -> None:
    """Carry the operation out."""
    at, end = operation.address, operation.address + operation.length
    if operation.kind == "erase":
        image[at:end] = b"\xff" * operation.length
    else:
        image[at:end] = _and(image[at:end], operation.data)


def torn(image: bytes | bytearray, operation: Operation, variant: str, chance: Random) -> bytes:
    """The bytes at the operation's place afterwards; `variant` is one of PROG or ERASE."""
    at = operation.address
    old = bytes(image[at : at + operation.length])
    new = b"\xff" * BLOCK if operation.kind == "erase" else _and(old, operation.data)
    if variant == "nothing":
        return old
    if variant == "garbage":
        return chance.randbytes(operation.length)
    if variant == "bits":
        return bytes(n | (o & r) for o, n, r in zip(old, new, chance.randbytes(len(old)), strict=True))
    cut = chance.randrange(1, operation.length)
    return new[:cut] + old[cut:] if variant == "prefix" else old[:cut] + new[cut:]


def variant_of(operation: Operation, seed: int, name: str) -> str:
    """Which one is this operation's turn: seeds 0 to 3 give it all four of them, whatever `name` draws."""
    variants = ERASE if operation.kind == "erase" else PROG
    return variants[(Random(name).randrange(len(variants)) + seed) % len(variants)]


def variant_for(operation: Operation, chance: Random) -> str:
    return chance.choice(ERASE if operation.kind == "erase" else PROG)


def arm(node: VirtualNode, operations: int, chance: Random) -> None:
    """Let the power go during the so-many-th operation from now, which is torn."""
    left = operations

    def watch(operation: Operation) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        fd = os.open(node.flash.path, os.O_RDWR)
        try:
            place = bytearray(operation.address) + os.pread(fd, operation.length, operation.address)
            os.pwrite(fd, torn(place, operation, variant_for(operation, chance), chance), operation.address)
        finally:
            os.close(fd)
        node.flash.watch = None
        raise PowerCut

    node.flash.watch = watch


def _and(old: bytes | bytearray, new: bytes) -> bytes:
    count = len(new)
    return (int.from_bytes(old, "big") & int.from_bytes(new, "big")).to_bytes(count, "big")
