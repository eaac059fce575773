CREATE TABLE IF NOT EXISTS lease (
  key              TEXT PRIMARY KEY NOT NULL,
  format           INTEGER NOT NULL,
  holder           TEXT,
  nonce            TEXT,
  term             INTEGER NOT NULL,
  ttl_ns           INTEGER,
  expires_ns       INTEGER,
  boot_id          TEXT,
  note             TEXT NOT NULL,
  previous_note    TEXT,
  resign_requested INTEGER NOT NULL DEFAULT 0,
  touched_micros   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (one INTEGER PRIMARY KEY CHECK (one = 1), hands INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO change VALUES (1, unixepoch());
CREATE TRIGGER IF NOT EXISTS lease_begun AFTER INSERT ON lease BEGIN UPDATE change SET hands = hands + 1; END;
CREATE TRIGGER IF NOT EXISTS lease_moved AFTER UPDATE OF nonce ON lease BEGIN UPDATE change SET hands = hands + 1; END;
CREATE TRIGGER IF NOT EXISTS lease_gone AFTER DELETE ON lease BEGIN UPDATE change SET hands = hands + 1; END;
PRAGMA application_id = 0x54656e75;
PRAGMA user_version = 1;
