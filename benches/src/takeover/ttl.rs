//! The ttl under which takeovers are measured.

/// The ttl in the form that the command line takes.
pub(super) const TTL: &str = "15s";
