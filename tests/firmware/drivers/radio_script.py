"""A radio's port that answers as it is told, for vectors of the radios' drivers. Any interpreter; nothing waits."""


class Clock:
    """Time passes when somebody waits."""

    def __init__(self):
        self.now_ms = 1000

    def ticks_ms(self):
        return self.now_ms

    def ticks_diff(self, a, b):
        return a - b

    async def sleep_ms(self, duration_ms):
        self.now_ms += duration_ms


class Port:
    """`replies`: command in hex, or its begin -> answers to it in hex, one after the other, the last one again and again.

    All else is answered by `idle`. `sent`: all commands in hex. BUSY is low and the interrupt comes at once.
    """

    def __init__(self, clock, replies, idle):
        self.clock = clock
        self.replies = {command: list(answers) for command, answers in replies.items()}
        self.idle = idle
        self.sent = []

    def _answer(self, command):
        for length in range(len(command), 1, -2):
            answers = self.replies.get(command[:length])
            if answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return ""

    def transfer(self, buf):
        command = bytes(buf).hex()
        self.sent.append(command)
        answer = bytes.fromhex(self._answer(command))
        for at in range(len(buf)):
            buf[at] = answer[at] if at < len(answer) else self.idle

    def busy(self):
        return 0

    def reset(self, level):
        pass

    def rx_path(self, level):
        pass

    def irq(self):
        return 1

    async def wait_irq(self, timeout_ms):
        self.clock.now_ms += timeout_ms
        return True

    def irq_us(self):
        return self.clock.now_ms * 1000

    def now_us(self):
        return self.clock.now_ms * 1000

    def us_diff(self, a, b):
        return a - b

    def us_add(self, a, by_us):
        return a + by_us


def finished(coroutine):
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def plain(value):
    """A frame that was heard, without its time; other results as they are."""
    if isinstance(value, tuple):
        return [value[0].hex()] + list(value[1:5])
    return value


def run(kind, idle, proof, options, calls, replies):
    """[commands after the constructor's, results of `calls`, words of the error or None] of a driver's class."""
    clock = Clock()
    answers = dict(proof)
    answers.update(replies)
    port = Port(clock, answers, idle)
    results = []
    radio = None
    try:
        radio = kind(port, clock, options)
        port.sent = []
        for name, *arguments in calls:
            arguments = [bytes.fromhex(item) if isinstance(item, str) else item for item in arguments]
            result = getattr(radio, name)(*arguments)
            result = finished(result) if hasattr(result, "send") else result
            results.append("sent" if name == "transmit" else plain(result))
    except OSError as error:
        return [port.sent if radio else [], results, error.args[1]]
    return [port.sent, results, None]


# What a chip answers to a driver's proof that it is there.
PROOF_SX1262 = {"1d0740": ["303030305aa5", "303030301424"], "1d0736": ["303030300d"]}
PROOF_SX1276 = {"42": ["0012"]}
