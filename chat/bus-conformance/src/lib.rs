//! tenure-bus-conformance
