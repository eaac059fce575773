//! The face of the library: what each call of an election and its leadership promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod by_hand;
mod campaigns;
mod deadlines;
mod endings;
mod run_until;
mod semaphore;
mod store;

use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// The future's output, or a failure of the test that names what did not happen.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}
