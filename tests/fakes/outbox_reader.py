"""The independent reader of outboxes; it lives beside the fault laboratory, which needs it, too."""

from tools.faults.outbox_reader import Contents, read_entries, read_folder, read_segments

__all__ = ["Contents", "read_entries", "read_folder", "read_segments"]
