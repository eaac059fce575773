//! tenure-benches
