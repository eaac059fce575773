//! The ttl under which takeovers are measured.

/// As the command line takes it.
pub(super) const TTL: &str = "15s";
