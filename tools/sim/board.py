"""A simulated board: an interpreter whose every wait, bus transfer and flash operation is asked of this host.

The host owns time, flash, chips and faults; the interpreter cannot tell virtual time from real time. A board is off,
booting, or runs one process of the interpreter; the process is either computing (the host waits for its next request) or
waiting for a reply.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct

from tools.sim.console import CTRL_C, REBOOT_TEXT, Console
from tools.sim.devices import Attached
from tools.sim.flash import READ_US, Flash, PowerCut
from tools.sim.interpreter import Interpreter, Process
from tools.sim.periphery import Answer, Carry, Periphery
from tools.sim.registers import Registers
from tools.sim.stub import ops
from tools.sim.timers import Time, Timer
from tools.sim.watchdog import Watchdog

HEADER = Struct("<qqqq")
BOOT_US = 300_000  # ROM, bootloader and start of MicroPython
SOFT_BOOT_US = 30_000
SLEEP_DRIFT = 50  # the oscillator that times deep sleep is so many times worse than the crystal
SPIN_US = 100  # what asking for the time costs in virtual time: a program that polls in a loop must get on
LOOK_US = 5  # the same of microseconds, where a program waits for an instant
FREE_USES = 64  # how often a program may use a known time again in virtual time
# A program that asks nothing for so long is interrupted by a signal: the last resort, since this port raises at once, be
# it in the middle of a collection. Counted on this machine's clock.
INTERRUPT_S = 1
_WAITING = frozenset((ops.READ, ops.WAIT, ops.SLEEP, ops.TIME))
# Requests whose reply never raises KeyboardInterrupt: the flash driver of a real port is C and cannot be interrupted.
_WHOLE = frozenset(
    (ops.FLASH_BLOCKS, ops.FLASH_READ, ops.FLASH_PROG, ops.FLASH_ERASE, ops.SYNC, ops.INTERRUPT_LATER, ops.HELLO)
)


class Board:
    """One board. `hosted` is told when a process starts and ends, so that its pipes are watched.

    `stats` counts: boots, resets by cause, watchdog bites, interrupts, requests.
    """

    def __init__(
        self,
        time: Time,
        flash: Flash,
        interpreter: Interpreter,
        *,
        uid: bytes,
        world_start_s: int,
        seed: int = 0,
        chips: Sequence[Attached] = (),
        drift_ppb: int = 0,
        baudrate: int = 115_200,
        deliver: Callable[[bytes], None] = lambda data: None,
        said: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.time = time
        self.flash = flash
        self.interpreter = interpreter
        self.uid = uid
        self.chips = list(chips)
        self.drift_ppb = drift_ppb
        self.stats: Counter[str] = Counter()
        self.stalled = False
        self.powered = False
        self.process: Process | None = None
        self.on_start: Callable[[Process], None] = lambda process: None
        self.on_end: Callable[[Process], None] = lambda process: None
        self.files: Sequence[tuple[str, bytes]] = ()  # tool mode: what the snippet may fetch
        self.script: str | None = None
        self.format = False
        self.script_result: int | None = None
        self.script_output = b""
        self.root_folder: Path | None = None  # under the shims: the folder that is the flash
        self._world_start_us = world_start_s * 1_000_000
        self._said = said
        self._boots_timer: Timer | None = None
        self._boot_us = 0
        self.registers = Registers(time, uid, seed)
        self._watchdog = Watchdog(time, self._bitten)
        self._interrupt = False
        self._interrupt_timer: Timer | None = None
        self._heap_asked: Callable[[str], None] | None = None
        self._op = 0  # outstanding request, 0: the program computes
        self._wait_mask = 0
        self._answer: Answer = (0, b"")
        self._reply_timer: Timer | None = None
        self.console = Console(time, deliver, baudrate=baudrate)
        self.periphery = Periphery(self, self.chips)
        self.i2c, self.uarts, self.i2s = self.periphery.i2c, self.periphery.uarts, self.periphery.i2s
        self._requests = self._table() | self.periphery.requests() | self.registers.requests()

    # --- Time ------------------------------------------------------------------------------------------------------

    def world_us(self) -> int:
        return self._world_start_us + self.time.now_us

    def uptime_us(self) -> int:
        """By the board's own crystal."""
        passed = self.time.now_us - self._boot_us
        return passed + passed * self.drift_ppb // 1_000_000_000

    def _when_us(self, uptime_us: int) -> int:
        """When the board's crystal shows `uptime_us`, rounded up."""
        billion = 1_000_000_000
        return self._boot_us - (-uptime_us * billion // (billion + self.drift_ppb))

    # --- Power and reset -------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        if self.powered:
            return
        self.powered = True
        self.registers.power_on()
        for entry in self.chips:
            entry.chip.power_on(self.world_us())
        self._begin(ops.PWRON, BOOT_US)

    def power_off(self) -> None:
        """A power cut at this instant."""
        self._stop()
        self.powered = False
        self.stats["power cuts"] += 1
        for entry in self.chips:
            entry.chip.power_off()

    def reset(self, cause: int = ops.HARD) -> None:
        """As by EN, machine.reset() or the watchdog: RAM is lost, RTC memory stays."""
        if self.powered:
            self._stop()
            self._begin(cause, BOOT_US)

    def _begin(self, cause: int, after_us: int) -> None:
        self.registers.cause = cause
        if cause != ops.SOFT:
            self._watchdog.clear()
        self.console.restart(keep_raw=cause == ops.SOFT)
        self.stats[f"start {cause}"] += 1
        self._boots_timer = self.time.call_at(self.time.now_us + after_us, self._start)

    def _stop(self) -> None:
        for timer in (self._boots_timer, self._reply_timer, self._interrupt_timer):
            if timer is not None:
                timer.cancel()
        self._boots_timer = self._reply_timer = self._interrupt_timer = None
        process, self.process = self.process, None
        if process is not None:
            self.on_end(process)
            process.kill()
        self._op = 0
        self._interrupt = False
        self.stalled = False
        self.console.fifo.clear()
        self.periphery.stop()

    def _start(self) -> None:
        self._boots_timer = None
        if self.registers.cause != ops.SOFT:
            self._boot_us = self.time.now_us
        self.process = Process(self.interpreter, self.root_folder, self.flash.image_fd)
        self._op = 0
        self.on_start(self.process)

    def ended(self) -> None:
        """The process ended by itself: Ctrl-D at the REPL, sys.exit(), or a crash."""
        process = self.process
        if process is None:
            return
        self.take_output()
        self.process = None
        self.on_end(process)
        code = process.wait()
        if self.script is not None:
            self.script_result = 1 if self.script_result is None else self.script_result
            self.powered = False
            return
        if code < 0:
            self._stop()
            self._said(f"the interpreter crashed (signal {-code}): reset")
            self.stats["crashes"] += 1
            self._begin(ops.HARD, BOOT_US)
            return
        self._reboot_softly()

    def _reboot_softly(self) -> None:
        self._stop()
        self.console.out.send(REBOOT_TEXT)
        self._begin(ops.SOFT, SOFT_BOOT_US)

    # --- Requests --------------------------------------------------------------------------------------------------

    @property
    def computing(self) -> bool:
        """Whether the program runs towards its next request (and not at the REPL's prompt)."""
        return self.process is not None and self._op == 0 and not self.console.repl

    def carry_out(self, op: int, how: Carry) -> None:
        """One more request that the program may make: what a laboratory put beside the firmware asks for."""
        self._requests[op] = how

    def take_output(self) -> None:
        if self.process is not None and (text := self.process.take_output()):
            if self.script is not None:
                if self.script_result is None:  # afterwards comes the prompt
                    self.script_output += text
            else:
                self.console.printed(text)

    def serve(self, request: bytes) -> None:
        """Carry out one request of the program."""
        op, handle, argument, length = HEADER.unpack_from(request)
        if op == ops.HEAP:
            self._heap_told()
        self.take_output()
        self._op = op
        self.stats["requests"] += 1
        carry_out = self._requests.get(op)
        if self._interrupt and op in _WAITING:  # what came behind the 0x03 is not this program's any more
            self._reply((0, b""))
            return
        if carry_out is None:
            self._reply((-errno.EINVAL, b""))
            return
        try:
            answer = carry_out(handle, argument, request[HEADER.size : HEADER.size + length])
        except PowerCut:
            self._said(f"power cut at flash operation {self.flash.counts['progs'] + self.flash.counts['erases'] + 1}")
            self.power_off()
            return
        if answer is not None:
            self._reply(answer)

    def _reply(self, answer: Answer) -> None:
        op, self._op = self._op, 0
        flags = FREE_USES << ops.FLAG_FREE_SHIFT if self.time.virtual else 0
        if self._interrupt and op not in _WHOLE and op:
            self._interrupt = False
            if self._interrupt_timer is not None:
                self._interrupt_timer.cancel()
                self._interrupt_timer = None
            self.stats["interrupts"] += 1
            self.console.fifo.serve()
            flags |= ops.FLAG_INTERRUPT
        if op == ops.WAIT and self._heap_asked is not None:
            flags |= ops.FLAG_HEAP
        value, payload = answer
        if self.process is not None:
            self.process.reply(HEADER.pack(value, flags, self.uptime_us() // 1000, len(payload)) + payload)

    def ask_heap(self, tell: Callable[[str], None]) -> None:
        """When the program's next wait is over, `tell` gets what micropython.mem_info() prints after a collection, and then
        the names of the modules that are loaded, one a line."""
        self._heap_asked = tell

    def _heap_told(self) -> None:
        tell, self._heap_asked = self._heap_asked, None
        if tell is not None and self.process is not None:
            tell(self.process.take_output().decode())

    def after(self, charge_us: int, answer: Answer, *, stall: bool = False) -> Answer | None:
        """Answer when `charge_us` have passed; with `stall` interrupts are off meanwhile."""
        if self.time.skip(charge_us):
            return answer
        self.stalled = stall
        self._answer = answer
        self._reply_timer = self.time.call_at(self.time.now_us + charge_us, self._reply_now)
        return None

    def _reply_now(self) -> None:
        self._reply_timer = None
        if self.stalled:
            self.stalled = False
            self.periphery.serve_fifos()
        self._wait_mask = 0
        self._reply(self._answer)

    def notify(self, handle: int) -> None:
        """Something can be read now."""
        if self._op == ops.WAIT and self._wait_mask >> handle & 1:
            self._end_wait(1 << handle)

    def _end_wait(self, ready: int) -> None:
        if self._reply_timer is not None:
            self._reply_timer.cancel()
            self._reply_timer = None
        self._wait_mask = 0
        self._reply((ready, b""))

    # --- Keyboard interrupt and console ------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes arrive on the serial line. 0x03 interrupts a program that runs."""
        if not self.powered:
            return
        if self.process is None:  # booting: the hardware's FIFO keeps a little
            self.console.fifo.put(data, True)
            return
        start = 0
        while (place := data.find(CTRL_C, start)) >= 0:
            if self.console.interrupt_char == CTRL_C and self._executes():
                self._pass_on(data[start:place])
                self._interrupt_program()
                start = place + 1
            else:
                self._pass_on(data[start : place + 1])
                start = place + 1
        self._pass_on(data[start:])

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        console = self.console
        if console.repl and not console.opened:
            if not self.time.virtual:  # a person's matter; virtual time does not wait for a prompt
                console.type(data)
                self.type_on()
            return
        console.fifo.put(data, self.stalled)
        if console.opened and len(console.fifo):
            self.notify(ops.CONSOLE)

    def type_on(self) -> None:
        """Hand typed bytes to the REPL; what does not fit follows."""
        if self.process is not None and not self.console.feed(self.process.type):
            self.time.call_at(self.time.now_us + 5_000, self.type_on)

    def _executes(self) -> bool:
        if self._op or not self.console.repl or self.console.opened:
            return True
        return not self.time.virtual and self.process is not None and self.process.catches_interrupt()

    def _interrupt_program(self) -> None:
        self.console.fifo.clear()  # what came before the 0x03 was for the program
        self._interrupt = True
        if self._op == ops.WAIT:
            self._end_wait(0)
        elif self._op == ops.SLEEP:
            if self._reply_timer is not None:
                self._reply_timer.cancel()
            self._reply_now()
        else:
            self._arm_signal()

    def _arm_signal(self) -> None:
        """In virtual time a program is interrupted at its next request alone: a signal's instant is this machine's."""
        if not self.time.virtual and self._interrupt_timer is None:
            self._interrupt_timer = self.time.call_at(
                self.time.now_us + INTERRUPT_S * 1_000_000 * self.time.speed, self._signal
            )

    def _signal(self) -> None:
        """The program computes without asking anything: only a signal reaches it."""
        self._interrupt_timer = None
        if self._interrupt and self.process is not None:
            if self._op == 0 and self.process.catches_interrupt():
                self._interrupt = False
                self.stats["interrupts"] += 1
                self.process.interrupt()
            elif self._op:
                self._arm_signal()
            else:
                self._interrupt = False  # it came to the prompt meanwhile

    def _bitten(self) -> None:
        if self.powered:
            self._said("the watchdog was not fed: reset")
            self.stats["watchdog"] += 1
            self.reset(ops.WDT)

    # --- The table of requests ---------------------------------------------------------------------------------------

    def _table(self) -> dict[int, Carry]:
        return {
            ops.HELLO: self._hello, ops.STATE: self._state, ops.TIME: self._tell_time, ops.CLOCK_US: self._tell_uptime,
            ops.WAIT: self._wait, ops.SLEEP: self._sleep, ops.RESET: self._reset, ops.DEEPSLEEP: self._deepsleep,
            ops.SYNC: self._sync, ops.INTERRUPT_LATER: self._interrupt_later, ops.KBD_INTR: self._kbd_intr,
            ops.WATCHDOG: self._start_watchdog, ops.FEED: self._feed,
            ops.HEAP: lambda h, a, d: (0, b""),
            ops.NUMBER: lambda h, a, d: (getattr(ops, d.decode()), b""),
            ops.SCRIPT: self._script, ops.FILE: self._file,
            ops.FLASH_BLOCKS: lambda h, a, d: (self.flash.blocks, b""),
            ops.FLASH_READ: self._flash_read, ops.FLASH_PROG: self._flash_prog, ops.FLASH_ERASE: self._flash_erase,
        }  # fmt: skip

    def _hello(self, handle: int, argument: int, data: bytes) -> Answer:
        if self.script is not None:
            return ops.START_TOOL | (ops.START_FORMAT if self.format else 0), b""
        return (ops.START_RAW_REPL if self.console.raw else 0) | (ops.START_FORMAT if self.flash.new else 0), b""

    def _state(self, handle: int, argument: int, data: bytes) -> Answer | None:
        if handle == ops.STATE_DONE:
            self.script_result = argument
        elif handle == ops.STATE_BOOT:
            self.flash.new = False
            self.stats["boots"] += 1
            self.console.fifo.serve()
        elif handle == ops.STATE_REPL:
            self._interrupt = False
            answer = (0, b"")
            self._reply(answer)
            self.console.enter_repl()
            self.type_on()
            return None
        return 0, b""

    def _tell_time(self, handle: int, argument: int, data: bytes) -> Answer | None:
        return self.after(SPIN_US, (0, b"")) if self.time.virtual else (0, b"")

    def _tell_uptime(self, handle: int, argument: int, data: bytes) -> Answer | None:
        answer = (self.uptime_us(), b"")
        return self.after(LOOK_US, answer) if self.time.virtual else answer

    def _wait(self, mask: int, deadline_ms: int, data: bytes) -> Answer | None:
        ready = self.periphery.ready_mask() & mask
        if ready or self._interrupt:
            return ready, b""
        if 0 <= deadline_ms <= self.uptime_us() // 1000:
            return self.after(SPIN_US, (0, b"")) if self.time.virtual else (0, b"")
        self._answer = (0, b"")
        self._wait_mask = mask
        if deadline_ms >= 0:
            due_us = self._when_us(deadline_ms * 1000)
            if self.time.skip(due_us - self.time.now_us):
                return self._answer
            self._reply_timer = self.time.call_at(due_us, self._reply_now)
        return None

    def _sleep(self, handle: int, duration_us: int, data: bytes) -> Answer | None:
        return self.after(duration_us, (0, b""))

    def _reset(self, handle: int, argument: int, data: bytes) -> None:
        if handle == ops.SOFT:
            self._reboot_softly()
        else:
            self.reset(ops.HARD)

    def _deepsleep(self, handle: int, duration_ms: int, data: bytes) -> None:
        self._stop()
        late_us = duration_ms * self.drift_ppb * SLEEP_DRIFT // 1_000_000
        self.registers.overslept(late_us)
        self._begin(ops.DEEPSLEEP_CAUSE, BOOT_US + max(0, duration_ms * 1000 + late_us))

    def _sync(self, handle: int, argument: int, data: bytes) -> None:
        if self._reply_timer is not None:
            self._reply_timer.cancel()
            self._reply_timer = None
        self.stalled = False
        self._op = 0
        if self.process is not None:
            self.process.reply(bytes((ops.SYNC_BYTE,)) * ops.SYNC_RUN + bytes((ops.SYNC_END,)))

    def _interrupt_later(self, handle: int, argument: int, data: bytes) -> Answer:
        self._interrupt = True
        self._arm_signal()
        return 0, b""

    def _kbd_intr(self, handle: int, argument: int, data: bytes) -> Answer:
        self.console.interrupt_char = argument
        return 0, b""

    def _start_watchdog(self, handle: int, timeout_ms: int, data: bytes) -> Answer:
        self._watchdog.start(timeout_ms)
        return 0, b""

    def _feed(self, handle: int, argument: int, data: bytes) -> Answer:
        self._watchdog.feed()
        return 0, b""

    def _script(self, handle: int, offset: int, data: bytes) -> Answer:
        part = (self.script or "").encode()[offset : offset + 1024]
        return len(part), part

    def _file(self, number: int, offset: int, data: bytes) -> Answer:
        if number >= len(self.files):
            return -errno.ENOENT, b""
        name, content = self.files[number]
        part = name.encode() if offset < 0 else content[offset : offset + 1024]
        return len(part), part

    def _flash_read(self, count: int, address: int, data: bytes) -> Answer | None:
        answer = (0, self.flash.read(address, count))
        return self.after(READ_US, answer) if self.time.virtual and self.script is None else answer

    def _flash_prog(self, handle: int, address: int, data: bytes) -> Answer | None:
        return self._flash_busy(self.flash.prog(address, data))

    def _flash_erase(self, handle: int, block: int, data: bytes) -> Answer | None:
        if not 0 <= block < self.flash.blocks:
            return -errno.EINVAL, b""
        return self._flash_busy(self.flash.erase(block))

    def _flash_busy(self, charge_us: int) -> Answer | None:
        if self.script is not None:
            return 0, b""
        self.stats["flash busy us"] += charge_us
        return self.after(charge_us, (0, b""), stall=True)
