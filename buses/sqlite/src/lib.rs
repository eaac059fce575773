//! tenure-bus-sqlite
