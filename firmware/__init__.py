"""The board's program: runs under MicroPython 1.29 on the board and, for unit tests, under CPython."""
