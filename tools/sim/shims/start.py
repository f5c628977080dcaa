"""A board without MicroPython: the same firmware sources under CPython, on the same bus (the folder is its flash)."""

import asyncio
import gc
import os
import sys
import time
import traceback

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
if sys.platform == "linux":
    import ctypes

    ctypes.CDLL(None).prctl(1, 9)  # die with the host
    if os.getppid() != int(os.environ["STEIGER_PARENT"]):
        os._exit(1)
sys.path[:] = [os.path.join(os.path.dirname(_HERE), "stub"), *[p for p in sys.path if p]]
sys.path.insert(0, _HERE)

import ops  # noqa: E402
import simbus  # noqa: E402

sys.modules["simbus"] = simbus
import simboard  # noqa: E402

_run_code = exec
BLOCKS = 512  # of 4096 bytes: an ESP32's 2 MiB


def _used(folder):
    blocks = 2
    for entry in os.scandir(folder):
        blocks += 1 + (_used(entry.path) if entry.is_dir() else entry.stat().st_size // 4096)
    return blocks


def _patch():
    for name in ("ticks_ms", "ticks_us", "ticks_diff", "ticks_add", "sleep", "sleep_ms"):
        setattr(time, name, getattr(simboard.time, name))
    time.sleep_us = simbus.sleep_us
    simboard.install()
    sys.modules["time"] = time
    simbus.patch_asyncio()
    sys.print_exception = lambda error: traceback.print_exception(error, file=sys.stdout)
    gc.mem_free = lambda: 100000
    gc.mem_alloc = lambda: 100000
    gc.threshold = lambda count=-1: count
    root = os.getcwd()
    os.statvfs = lambda path: (4096, 4096, BLOCKS, *[max(0, BLOCKS - _used(root))] * 2, 0, 0, 0, 0, 255)
    os.ilistdir = lambda path=".": [
        (e.name, 0x4000 if e.is_dir() else 0x8000, 0, e.stat().st_size) for e in os.scandir(path)
    ]


def _run_file(name, space):
    """True if there is no such file or it ended well; an error is printed, SystemExit is a soft reset."""
    try:
        with open(name) as f:
            text = f.read()
    except OSError:
        return True
    try:
        _run_code(compile(text, name, "exec"), space)
        return True
    except SystemExit:
        sys.stdout.flush()
        simbus.call(ops.RESET, ops.SOFT)
    except (Exception, KeyboardInterrupt) as error:
        sys.print_exception(error)
        return False


def _state(state, argument=0):
    while True:
        try:
            return simbus.call(ops.STATE, state, argument)
        except KeyboardInterrupt:
            pass


def _tool():
    text = b""
    part = bytearray(1024)
    while count := simbus.call(ops.SCRIPT, 0, len(text), None, part):
        text += part[:count]
    space = {"__name__": "__main__", "simbus": simbus, "ops": ops}
    failed = 0
    try:
        import boot

        sys.path.insert(0, os.path.join(os.getcwd(), boot.pick_slot(os.getcwd())))
        _run_code(compile(text, "snippet", "exec"), space)
    except Exception as error:
        sys.print_exception(error)
        failed = 1
    sys.stdout.flush()
    simbus.call(ops.STATE, ops.STATE_DONE, failed)


def main():
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(os.environ["STEIGER_ROOT"])
    sys.path.insert(0, os.getcwd())
    flags = simbus.call(ops.HELLO)
    _patch()
    if flags & ops.START_TOOL:
        _tool()
        return
    space = {"__name__": "__main__"}
    _state(ops.STATE_BOOT)
    if _run_file("boot.py", space) and not flags & ops.START_RAW_REPL:
        _state(ops.STATE_MAIN)
        _run_file("main.py", space)
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("no REPL here: this board runs under CPython shims. mpremote needs MicroPython. Ctrl-D starts it again.")
    sys.stdout.flush()
    _state(ops.STATE_REPL)
    while (typed := os.read(0, 64)) and b"\x04" not in typed:
        pass


assert asyncio  # imported before time is patched
main()
