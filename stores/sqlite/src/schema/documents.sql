CREATE TABLE IF NOT EXISTS tenure_documents (key TEXT PRIMARY KEY NOT NULL, version TEXT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tenure_document_changes (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO tenure_document_changes VALUES (1, abs(random() % 1000000000000));
UPDATE tenure_document_changes SET count = count + 1;
CREATE TRIGGER IF NOT EXISTS tenure_document_written AFTER INSERT ON tenure_documents BEGIN UPDATE tenure_document_changes SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS tenure_document_swapped AFTER UPDATE ON tenure_documents BEGIN UPDATE tenure_document_changes SET count = count + 1; END;
CREATE TRIGGER IF NOT EXISTS tenure_document_deleted AFTER DELETE ON tenure_documents BEGIN UPDATE tenure_document_changes SET count = count + 1; END;
