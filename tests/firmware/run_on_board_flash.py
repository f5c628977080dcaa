# Runs under MicroPython: leases, settings and outbox on a real littlefs whose power can be cut before any write or
# erase.
# Prints one line a check; the last line is "done". Started by test_on_littlefs.py.
import os
import sys

import vfs
from cut_flash import Cut, Flash, mount

BLOCKS = 64

opened = []


def life(root):
    """What a boot opens: (leases, outbox)."""
    from firmware.leases import Leases
    from firmware.outbox.log import Outbox

    leases = Leases(root + "/lease")

    def free(path):
        facts = os.statvfs(path)
        return facts[3], facts[2]

    outbox = Outbox(root + "/outbox", 0xC0FFEE, leases, 48 * 1024, free)
    opened.append(outbox)
    return leases, outbox


def close_all():
    while opened:
        opened.pop().close()


def script(root, given, sent, counters):
    """A life in short: records, acknowledgements, settings, until the fuse blows or it ends."""
    from firmware.grid import grid_body
    from firmware.outbox import entries
    from wire import UTC

    leases, outbox = life(root)
    if 5 not in outbox.state.grids:
        outbox.put([(entries.GRID, grid_body(5, 60, 30000000, 0))])
    for i in range(240):
        seq = outbox.state.next_seq
        body = entries.record_body(seq, 5, (UTC, (30000001 + len(given)) * 60), 100, tuple(range(0, 4000, 100)), None)
        given.append(seq)
        outbox.put([(entries.RECORD, body)])
        sent.append(seq)
        counter = leases.next_counter()
        counters.append(counter)
        if i % 40 == 39:
            outbox.acknowledge(seq - 20, 0, 0)


def verify(root, sent, counters, acked):
    from firmware.outbox import entries

    leases, outbox = life(root)
    held = set()
    for number, _, _ in outbox.segments:
        for kind, body, _, _ in outbox.entries(number):
            if kind > 0:
                first, end = entries.span(kind, body)
                held.update(range(first, end))
    missing = [seq for seq in sent if seq not in held and not outbox.state.acked.has(seq, seq + 1) and seq >= acked]
    if missing:
        return f"lost {missing}"
    if sent and outbox.state.next_seq <= max(sent):
        return f"seq {outbox.state.next_seq} comes again"
    if counters and leases.counter <= max(counters):
        return f"counter {leases.counter} comes again"
    return ""


def main(step):
    from firmware import settings
    from firmware.leases import Leases

    flash = Flash(BLOCKS)
    vfs.VfsLfs2.mkfs(flash)
    mount(flash)
    Leases.create("/flash/lease")
    text = '{"address": 7, "key": "%s", "provisioned_s": 1800000000}' % ("0a" * 16)
    print(settings.provision(text, b"uid", "/flash"))
    settings.load("/flash", b"uid").put("health_s", 0, 600)
    vfs.umount("/flash")
    start = bytes(flash.data)
    flash.forget()
    mount(flash)
    given, sent, counters = [], [], []
    script("/flash", given, sent, counters)
    total = flash.count()
    close_all()
    vfs.umount("/flash")
    failed = 0
    cuts = 0
    for cut in range(0, total, step):
        flash.data[:] = start
        flash.kept = None
        mount(flash)
        flash.left = cut
        given, sent, counters = [], [], []
        try:
            script("/flash", given, sent, counters)
        except Cut:
            pass
        except OSError as error:
            print("cut", cut, "OSError", error)
            failed += 1
        close_all()
        vfs.umount("/flash")
        flash.data[:] = flash.kept
        mount(flash)
        acked = max([0] + [seq - 20 for seq in given if seq % 40 == 39])
        reason = verify("/flash", sent, counters, acked)
        if not reason and settings.load("/flash", b"uid").get("health_s") != 600:
            reason = "settings"
        if reason:
            failed += 1
            print("cut", cut, "of", total, reason)
        close_all()
        vfs.umount("/flash")
        cuts += 1
    print("cuts", cuts, "of", total, "failed", failed)
    print("done")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main(int(sys.argv[2]))
