"""What the firmware uses of MicroPython's own module."""


def const(value):
    return value


def _same(function):
    return function


native = viper = _same


def kbd_intr(character):
    pass


def mem_info(verbose=0):
    pass
