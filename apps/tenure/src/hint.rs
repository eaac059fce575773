//! Waiting for a store's hint, which only ever makes a look come sooner.

use futures_util::StreamExt;
use tenure_store::WakeStream;
use tokio::time::Instant;

/// Waits for a hint, but no later than `until`. A stream that has ended is dropped.
pub(crate) async fn wait_for_hint(hints: &mut Option<WakeStream>, until: Instant) {
    let hint = async {
        match hints {
            Some(stream) => stream.next().await,
            None => std::future::pending().await,
        }
    };
    if let Ok(None) = tokio::time::timeout_at(until, hint).await {
        *hints = None;
        tokio::time::sleep_until(until).await;
    }
}
