-- Schema 4: what was counted between two totals (gateway/differences.py), with the entry that made it certain. MessagePack: an
-- array of [channel, instance, since_ms, until_ms, events, restarted, quality]; NULL where nothing is told.

ALTER TABLE records ADD COLUMN differences BLOB;
