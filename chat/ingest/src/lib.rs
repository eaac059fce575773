//! tenure-ingest
