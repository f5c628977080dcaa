"""The one table of what a simulated board asks its host for, imported by both ends.

A request is a header of four little-endian i64 (operation, handle, argument, length of the payload) and the payload; a reply is four i64 (value,
flags, uptime in ms, length of the payload) and the payload. One request is outstanding at most. A negative value is
an errno. Requests fit in one atomic pipe write (`REQUEST_MAX`).
"""

REQUEST_HEADER = 32
REQUEST_MAX = 2048  # payload; header and payload stay below PIPE_BUF (4096)
SYNC_BYTE = 0xA5  # after SYNC the host sends SYNC_RUN of these and one SYNC_END
SYNC_RUN = 64
SYNC_END = 0x5A

FLAG_INTERRUPT = 1  # raise KeyboardInterrupt
FLAG_HEAP = 2  # collect, print micropython.mem_info() and the modules' names, and say so by HEAP
FLAG_FREE_SHIFT = 8  # upper bits: how often the uptime of this reply may be used again without asking

# Life of the board
HELLO = 1  # -> value: START_* bits; payload: heap and identity are asked for separately
STATE = 2  # handle: STATE_*
TIME = 3
WAIT = 4  # handle: mask of handles; argument: uptime in ms of the deadline -> mask of what is ready
SLEEP = 5  # argument: us; the whole program stands still
RESET = 6  # handle: SOFT, or 0 for a hard one
DEEPSLEEP = 7  # argument: ms
SYNC = 8  # throw away what is outstanding (a KeyboardInterrupt cut a request short)
INTERRUPT_LATER = 9  # a KeyboardInterrupt came where it must not be raised: give it again at the next request
KBD_INTR = 10  # argument: character
WATCHDOG = 11  # argument: timeout in ms
FEED = 12
RESET_CAUSE = 13
UNIQUE_ID = 14
RANDOM = 15  # argument: count
SUPPLY = 16  # -> mV, -1: none
TEMPERATURE = 17  # -> hundredths of a degree
RTC_READ = 18
RTC_WRITE = 19
CLOCK = 20  # -> seconds of the calendar clock since 2000-01-01; counts from power-on until set
CLOCK_SET = 21
CLOCK_US = 24  # -> uptime in us
CLOCK_MS = 25  # -> milliseconds of the calendar clock
HEAP = 26  # what was printed since the reply with FLAG_HEAP is what the heap holds
NUMBER = 27  # payload: a name of this table -> what it stands for
SCRIPT = 22  # tool mode; argument: offset -> payload: part of the snippet
FILE = 23  # tool mode; handle: number; argument: offset, -1 for the name -> payload

# Flash; argument: byte address (ERASE: number of the block)
FLASH_BLOCKS = 30
FLASH_READ = 31  # handle: how many bytes
FLASH_PROG = 32
FLASH_ERASE = 33

# Buses; handle as below
I2C_OPEN = 40  # argument: Hz
I2C_WRITE = 41  # argument: address
I2C_READ = 42  # argument: address << 16 | count
I2C_RECOVER = 43
UART_OPEN = 44  # argument: baudrate << 20 | rxbuf
READ = 46  # argument: how many bytes at most -> payload
CLOSE = 47
I2S_OPEN = 48  # argument: rate << 24 | both slots << 20 | ibuf
WRITE = 49
CONSOLE_OPEN = 50
WANT = 51  # I2S; argument: frames that make the input ready

# A radio; handle: id of its SPI bus
SPI_OPEN = 52  # argument: Hz
SPI_TRANSFER = 53  # payload out -> as many bytes in
PIN_GET = 54  # argument: PIN_* -> level
PIN_SET = 55  # argument: PIN_* << 1 | level
IRQ_US = 56  # -> uptime in us of the interrupt's last rising edge, as the program noticed it
PIN_BUSY = 0
PIN_IRQ = 1
PIN_RESET = 2
PIN_RXEN = 3

# Handles of what can be waited for
CONSOLE = 0
UART = 1  # + id 0..3
I2S = 8  # + id 0..3
RADIO = 12  # + id 0..3
HANDLES = 16

# STATE
STATE_BOOT = 0
STATE_MAIN = 1
STATE_REPL = 2
STATE_DONE = 3  # tool mode: the snippet is over

# HELLO
START_RAW_REPL = 1  # the REPL is in raw mode: boot.py runs, main.py does not
START_TOOL = 2  # run a snippet of the host instead of the board's program
START_FORMAT = 4  # make a new file system first

# Reset causes (MicroPython's numbers of the ESP32)
PWRON = 1
HARD = 2
WDT = 3
DEEPSLEEP_CAUSE = 4
SOFT = 5

TICKS_HALF = 1 << 29  # ticks wrap at twice that
TICKS_BEFORE_WRAP_MS = 60000  # the ticks of a board start so that they wrap a minute after the start
EPOCH_2000 = 946684800
