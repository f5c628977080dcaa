-- Schema 3: who heard a record over LoRa, and how well. MessagePack: an array of [ear, frequency in Hz, spreading factor,
-- RSSI in dBm, SNR in quarters of a dB], the best one first; NULL for what came over a wire.

ALTER TABLE records ADD COLUMN receptions BLOB;
ALTER TABLE undecoded ADD COLUMN receptions BLOB;
ALTER TABLE unresolved ADD COLUMN receptions BLOB;
