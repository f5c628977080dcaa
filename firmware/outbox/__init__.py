"""The outbox: a log in flash of what the gateway has not acknowledged yet. Formats: firmware/outbox/entries.py."""
