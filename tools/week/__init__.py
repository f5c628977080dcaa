"""A week of a board in virtual time: every fault of its chips in turn, and whether flags, ledger and heap say what they must."""
