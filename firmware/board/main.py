# Steiger main.py: starts the program of the slot that boot.py picked. Written once at provisioning, never updated.
import gc
import os
import sys
import time

SAFE_AFTER = 5  # starts that died early in a row; then safe mode: link and REPL alone
GC_BYTES = 8192  # collect after so much: garbage left among modules that are being loaded would tear the heap to pieces
REPL_AFTER = 8  # not even safe mode lives: stay at the REPL
BACKOFF_MAX_S = 60


def read_attempts(root: str) -> int:
    try:
        with open(root + "/attempts") as f:
            return int(f.read())
    except (OSError, ValueError):
        return 0


def write_attempts(root: str, count: int) -> None:
    with open(root + "/attempts", "w") as f:
        f.write("%d" % count)


def counts(root: str) -> bool:
    """Whether this start counts as one more that has to prove itself. A wake from deep sleep never does: the program
    itself went to sleep. Switching on does only for a slot that is new; all other ends speak against the program."""
    try:
        import machine

        cause = machine.reset_cause()
        if cause == machine.DEEPSLEEP_RESET:
            return False
        return cause != machine.PWRON_RESET or new_slot(root)
    except (ImportError, AttributeError):
        return True


def new_slot(root: str) -> bool:
    """Whether the running slot has still to prove itself: then every start counts."""
    try:
        with open(root + "/slot.a") as f:
            return f.read().split(" ")[1] == "0"
    except (OSError, IndexError):
        return False


def run() -> None:
    root = os.getcwd().rstrip("/")
    attempts = read_attempts(root)
    if counts(root):
        attempts += 1
        write_attempts(root, attempts)
    if attempts > REPL_AFTER:
        print("steiger: %d starts died early; REPL only" % attempts)
        return
    gc.collect()  # what compiling this file left behind must not lie among the modules
    gc.threshold(GC_BYTES)
    try:
        from firmware import app

        app.main(root, safe=attempts > SAFE_AFTER)
    except KeyboardInterrupt:
        write_attempts(root, 0)
        print("steiger: stopped by the keyboard; machine.reset() starts it again")
        return
    except Exception as error:
        print("steiger: crash, restart in %d s" % min(1 << attempts, BACKOFF_MAX_S))
        sys.print_exception(error)
        time.sleep(min(1 << attempts, BACKOFF_MAX_S))
    import machine

    machine.reset()


if __name__ == "__main__":
    run()
