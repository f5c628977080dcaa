# Runs under MicroPython: the duty ledger on a real littlefs whose flash counts, and whose power can be cut before any write.
#
#     run_duty_on_flash.py ROOT cuts STEP    one line a failure, then "cuts N of M failed F"
#     run_duty_on_flash.py ROOT day          one line a kind of day: "name writes programs erases most"
# Started by test_duty_on_littlefs.py and bench/lora_duty.py.
import sys

import vfs
from cut_flash import Cut, Flash, mount

BLOCKS = 32
M_HZ = 868100000
L_HZ = 867500000


class Clock:
    """firmware.clock.Clock as far as the ledger asks it."""

    slack_ms = 0

    def __init__(self):
        self.now_ms = 0

    def uptime_ms(self):
        return self.now_ms

    def utc_s(self):
        return 1800000000 + self.now_ms // 1000

    def set_since(self, uptime_ms):
        return True


def begin():
    """A formatted flash with the files of a provisioned board: leases, settings and the ledger."""
    from firmware import settings
    from firmware.leases import Leases

    flash = Flash(BLOCKS)
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    Leases.create("/flash/lease")
    settings.provision('{"address": 7, "key": "%s", "provisioned_s": 1800000000}' % ("0a" * 16), b"uid", "/flash")
    return flash


def day(name, frames):
    """`frames`: yields (pause in ms, airtime in us), for one day."""
    from firmware.links.duty import DutyLedger

    flash = begin()
    clock = Clock()
    ledger = DutyLedger("/flash/duty", clock)
    flash.forget()
    first = ledger._number
    for pause_ms, airtime_us in frames:
        clock.now_ms += pause_ms
        wait = ledger.wait_ms(M_HZ, airtime_us)
        while wait:
            clock.now_ms += min(wait, 60000)
            wait = ledger.wait_ms(M_HZ, airtime_us)
        if clock.now_ms >= 86400000:
            break
        ledger.take(M_HZ, airtime_us)
    print(name, ledger._number - first, flash.programs, sum(flash.erases), max(flash.erases))
    vfs.umount("/flash")


def usual():
    """A record every five minutes at SF9."""
    for _ in range(288):
        yield 300000, 205824


def slow():
    """The same at SF11."""
    for _ in range(288):
        yield 300000, 823296


def all_there_is():
    while True:
        yield 1000, 390144


def script(clock, sent):
    from firmware.links.duty import DutyLedger

    ledger = DutyLedger("/flash/duty", clock)
    for i in range(60):
        freq = L_HZ if i % 5 == 4 else M_HZ
        if ledger.wait_ms(freq, 700000):
            break
        ledger.take(freq, 700000)
        sent[freq] = sent.get(freq, 0) + 700000
        clock.now_ms += 20000


def verify(sent):
    """A boot takes for used what was sent, and less than two blocks more."""
    from firmware.links.duty import DutyLedger
    from wire.regions import band_of

    ledger = DutyLedger("/flash/duty", Clock())
    for freq in (M_HZ, L_HZ):
        used = 35990000 - ledger._spent.free_us(band_of(freq), 0)
        if not sent.get(freq, 0) <= used <= sent.get(freq, 0) + 2 * 3600000:
            return f"{sent.get(freq, 0)} us sent at {freq} Hz, {used} taken for used"
    return ""


def cuts(step):
    flash = begin()
    vfs.umount("/flash")
    start = bytes(flash.data)
    mount(flash)
    flash.forget()
    script(Clock(), {})
    total = flash.count()
    vfs.umount("/flash")
    done = failed = 0
    for cut in range(0, total, step):
        flash.data[:] = start
        flash.kept = None
        mount(flash)
        flash.left = cut
        sent = {}
        try:
            script(Clock(), sent)
        except Cut:
            pass
        vfs.umount("/flash")
        flash.data[:] = flash.kept
        mount(flash)
        reason = verify(sent)
        vfs.umount("/flash")
        done += 1
        if reason:
            failed += 1
            print("cut", cut, "of", total, reason)
    print("cuts", done, "of", total, "failed", failed)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    if sys.argv[2] == "cuts":
        cuts(int(sys.argv[3]))
    else:
        day("usual", usual())
        day("slow", slow())
        day("full", all_there_is())
