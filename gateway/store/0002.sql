-- Schema 2: what a sink confirmed is counted in rows (the audit compares it with the cursor), health knows when that was,
-- and written bytes are kept by day, because they are what an SD card dies of.

ALTER TABLE sinks ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sinks ADD COLUMN confirmed_ms INTEGER NOT NULL DEFAULT 0;
UPDATE sinks SET confirmed = cut - refused - dropped - (SELECT coalesce(sum(n), 0) FROM batches WHERE batches.sink = sinks.id);

CREATE TABLE days (
  day INTEGER PRIMARY KEY,      -- days since 1970 UTC
  records INTEGER NOT NULL DEFAULT 0,
  written INTEGER NOT NULL DEFAULT 0   -- bytes
);
