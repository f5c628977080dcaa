"""The program's version: one number of 24 bits on the wire."""

MAJOR = 0
MINOR = 1
PATCH = 0
NUMBER = MAJOR << 16 | MINOR << 8 | PATCH
