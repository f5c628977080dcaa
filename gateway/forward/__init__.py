"""Sinks: one module a sink, each with its own cursor in the store."""
