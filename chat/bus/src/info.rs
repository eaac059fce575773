//! The capabilities of a bus, as data.

use std::time::Duration;

/// The capabilities and limits of a bus.
#[derive(Clone, Debug)]
pub struct BusInfo {
    /// The scheme of its URL, without the colon.
    pub scheme: &'static str,
    /// For how long a second message with the same id is dropped; `None` where it never is. `Duration::MAX` means for
    /// as long as the first is kept.
    pub dedupe: Option<Duration>,
    /// Whether a batch under a lower term than the highest admitted one is refused.
    pub fence: bool,
    /// Whether [`crate::Bus::follow`] works.
    pub follow: bool,
    /// The most messages in one batch.
    pub batch_limit: usize,
}
