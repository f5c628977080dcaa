"""The start of a board as the ESP32's main.c does it: mount, boot.py, main.py, REPL."""

import gc
import os
import sys

import ops
import simboard
import simbus
import vfs

_run_code = exec  # the snippets are the host's own


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
        simbus.call(ops.RESET, ops.SOFT)
    except (Exception, KeyboardInterrupt) as error:
        sys.print_exception(error)
        return False


def _state(state):
    while True:
        try:
            return simbus.call(ops.STATE, state)
        except KeyboardInterrupt:
            pass


def _tool(whole):
    """Run the host's snippet on the flash; its output is the answer. `whole`: ops, of which it may use anything."""
    part = bytearray(1024)
    text = bytearray()
    while True:
        count = simbus.call(ops.SCRIPT, 0, len(text), None, part)
        if not count:
            break
        text += part[:count]
    try:
        if "boot.py" in os.listdir("/"):
            import boot

            sys.path.insert(0, "/" + boot.pick_slot(""))
        _run_code(compile(text.decode(), "snippet", "exec"), {"__name__": "__main__", "simbus": simbus, "ops": whole})
        failed = 0
    except Exception as error:
        sys.print_exception(error)
        failed = 1
    os.umount("/")
    simbus.call(ops.STATE, ops.STATE_DONE, failed)


class _Ops:
    """The table for a program that was compiled with its names: the host is asked, the heap is the program's."""

    def __getattr__(self, name):
        value = simbus.call(ops.NUMBER, 0, 0, name.encode())
        setattr(self, name, value)
        return value


def run(space):
    flags = simbus.call(ops.HELLO)
    whole = __import__("ops") if flags & ops.START_TOOL else _Ops()
    sys.modules["ops"] = whole
    simbus.patch_asyncio()
    simboard.install()
    os.umount("/")
    flash = simbus.Flash()
    if flags & ops.START_FORMAT:
        vfs.VfsLfs2.mkfs(flash)
    vfs.mount(flash, "/")
    sys.path[:] = ["", ".frozen", "/lib"]
    for name in list(space):
        if name[0] != "_":
            del space[name]
    gc.collect()
    if flags & ops.START_TOOL:
        _tool(whole)
        return
    _state(ops.STATE_BOOT)
    if _run_file("boot.py", space) and not flags & ops.START_RAW_REPL:
        _state(ops.STATE_MAIN)
        _run_file("main.py", space)
    _state(ops.STATE_REPL)
