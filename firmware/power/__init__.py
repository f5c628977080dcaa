"""Boards that save power: `buffered` (the link rests between exchanges) and `sleep` (the board does). Loaded on such
boards alone."""
