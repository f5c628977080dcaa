"""The fault laboratory: the whole path under seeded, overlapping faults, and a judge who counts by himself."""
