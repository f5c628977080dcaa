"""The demonstration: simulated boards with real firmware, a real gateway, and the sum at the end."""
