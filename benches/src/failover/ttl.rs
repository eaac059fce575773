//! The ttl under which everything here is measured.

use std::time::Duration;

/// How long every lease lasts, but for a peer that cannot be told.
pub(super) const TTL: Duration = Duration::from_secs(3);
/// The same in the form that the command line takes.
pub(super) const TTL_ARGUMENT: &str = "3s";
