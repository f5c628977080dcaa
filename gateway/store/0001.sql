-- Schema 1: spool, archive and session state in one file.
-- Times ending in _ms are milliseconds since 1970 UTC; hour = hours since 1970 UTC.

CREATE TABLE lives (            -- one row a (node, life); protocol state is written in the transaction of the records it belongs to
  id INTEGER PRIMARY KEY,
  node INTEGER NOT NULL,
  life INTEGER NOT NULL,
  board TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL DEFAULT '',
  provisioned_s INTEGER NOT NULL DEFAULT 0,
  until_s INTEGER NOT NULL DEFAULT 0,
  state BLOB,                   -- session: counter, replay window, seqs received, last claim of the node
  stored INTEGER NOT NULL DEFAULT 0,   -- seqs for which a row was inserted into records
  deleted INTEGER NOT NULL DEFAULT 0,  -- of these, seqs whose row the budget deleted
  UNIQUE (node, life)
);

CREATE TABLE profiles (
  id INTEGER PRIMARY KEY,
  life INTEGER NOT NULL REFERENCES lives (id),
  descriptor BLOB NOT NULL,
  first_window INTEGER NOT NULL,       -- index of its first window on the grid
  ended_window INTEGER NOT NULL DEFAULT 0,  -- index of the first window that is no longer scheduled; 0: goes on
  UNIQUE (life, descriptor, first_window)
);

CREATE TABLE records (          -- final rows only: profile and time known. The archive is this table, a sink's cursor a place in it.
  pos INTEGER PRIMARY KEY,
  life INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  span INTEGER NOT NULL,        -- seqs that the row stands for (gap: its count, else 1)
  kind INTEGER NOT NULL,        -- 0 record, 1 gap, 2 health, 3 event
  profile INTEGER NOT NULL,     -- profiles.id, 0: none
  hour INTEGER NOT NULL,        -- of the grid window
  end_ms INTEGER NOT NULL,
  length_ms INTEGER NOT NULL,
  bound_ms INTEGER NOT NULL,
  time_code INTEGER NOT NULL,   -- 0 node's clock, 1 anchor of the boot, 2 neighbours
  received_ms INTEGER NOT NULL,
  coverage INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE undecoded (        -- authenticated and acknowledged, awaiting its profile
  id INTEGER PRIMARY KEY,
  life INTEGER NOT NULL,
  profile_short INTEGER NOT NULL,
  seqs INTEGER NOT NULL,
  next_seq INTEGER NOT NULL,    -- what seq and window low bits are resolved against
  received_ms INTEGER NOT NULL,
  payload BLOB NOT NULL
);

CREATE TABLE unresolved (       -- decoded and acknowledged, time of observation not yet known
  id INTEGER PRIMARY KEY,
  life INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  span INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  profile INTEGER NOT NULL,
  boot INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,      -- milliseconds since that boot
  length_ms INTEGER NOT NULL,
  received_ms INTEGER NOT NULL,
  coverage INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE anchors (          -- uptime of a boot against UTC, first and last sight of it
  life INTEGER NOT NULL,
  boot INTEGER NOT NULL,
  first_up_ms INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_up_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  PRIMARY KEY (life, boot)
) WITHOUT ROWID;

CREATE TABLE counts (           -- the loss ledger's counters, in windows
  life INTEGER NOT NULL,
  profile INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  sink INTEGER NOT NULL,        -- sinks.id; 0: before any sink
  what INTEGER NOT NULL,        -- gateway/ledger.py names them
  n INTEGER NOT NULL,
  PRIMARY KEY (life, profile, hour, sink, what)
) WITHOUT ROWID;

CREATE TABLE sinks (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  cut INTEGER NOT NULL DEFAULT 0,         -- batches have been cut up to this pos
  next_batch INTEGER NOT NULL DEFAULT 1,
  refused INTEGER NOT NULL DEFAULT 0,     -- rows
  dropped INTEGER NOT NULL DEFAULT 0,
  redelivered INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE batches (          -- cut and not yet confirmed
  sink INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  first_pos INTEGER NOT NULL,
  last_pos INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (sink, batch)
) WITHOUT ROWID;

CREATE TABLE refusals (         -- records of an open batch that the sink will never take
  sink INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  life INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (sink, batch, life, seq)
) WITHOUT ROWID;
