"""What the firmware uses of MicroPython's own module."""

import builtins


def const(value):
    return value


def _same(function):
    return function


native = viper = _same

# viper's views of a buffer are words of the language there, so nobody imports them.
builtins.ptr8 = memoryview
builtins.ptr16 = lambda buffer: memoryview(buffer).cast("B").cast("H")
builtins.ptr32 = lambda buffer: memoryview(buffer).cast("B").cast("I")


def kbd_intr(character):
    pass


def mem_info(verbose=0):
    pass
