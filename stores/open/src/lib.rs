//! tenure-open
