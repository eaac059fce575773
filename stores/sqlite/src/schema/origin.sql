CREATE TABLE IF NOT EXISTS origin (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  birth      TEXT,
  generation INTEGER NOT NULL,
  since_ns   INTEGER,
  boot_id    TEXT,
  takeover   TEXT
) STRICT;
INSERT OR IGNORE INTO origin SELECT 1, NULL, coalesce(max(generation), 0), NULL, NULL, NULL FROM lease;
