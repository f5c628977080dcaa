"""The `steiger` command and the host side of the simulator."""
