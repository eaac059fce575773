ALTER TABLE lease ADD COLUMN generation INTEGER;
CREATE TABLE origin (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  birth      TEXT,
  generation INTEGER NOT NULL,
  since_ns   INTEGER,
  boot_id    TEXT,
  takeover   TEXT
) STRICT;
INSERT INTO origin VALUES (1, NULL, 0, NULL, NULL, NULL);
