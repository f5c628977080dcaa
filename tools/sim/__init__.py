"""Simulated boards: the city (world), chips that speak their data sheets' bytes, and the host of the interpreter."""
