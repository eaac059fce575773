//! Wake-ups for one key: hints from the store, subscribed again whenever they end.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tenure_core::KeyPrefix;
use tenure_store::{LeaseKey, LeaseStore, Wake, WakeStream};

/// The hints about `key`; silent where the store has none, and it never ends.
///
/// The stream itself holds whatever it is waiting for, a subscription or the `pause` after one that ended: a driver that
/// looks elsewhere meanwhile neither begins it anew nor shortens it.
pub(crate) fn wakes(store: Arc<dyn LeaseStore>, key: LeaseKey, pause: Duration) -> BoxStream<'static, ()> {
    if !store.info().watch {
        return stream::pending().boxed();
    }
    let watching = Watching { store, key, pause, stream: None };
    stream::unfold(watching, |mut watching| async move {
        watching.next().await;
        Some(((), watching))
    })
    .boxed()
}

struct Watching {
    store: Arc<dyn LeaseStore>,
    key: LeaseKey,
    pause: Duration,
    stream: Option<WakeStream>,
}

impl Watching {
    async fn next(&mut self) {
        loop {
            match &mut self.stream {
                Some(stream) => match patiently(stream).await {
                    Some(wake) => {
                        if wake.key.is_none_or(|key| key == self.key) {
                            return;
                        }
                    }
                    None => {
                        self.stream = None;
                        tokio::time::sleep(self.pause).await;
                    }
                },
                None => match self.store.watch(&KeyPrefix::from(&self.key)).await {
                    Ok(stream) => self.stream = Some(stream),
                    Err(error) => {
                        tracing::debug!(%error, "watching failed; the timer goes on");
                        tokio::time::sleep(self.pause).await;
                    }
                },
            }
        }
    }
}

/// The next hint. However many a store has, everything else gets its turn: one that was there already is not handed on
/// before; one that was waited for is, for then everything else has had it.
async fn patiently(stream: &mut WakeStream) -> Option<Wake> {
    let mut waited = false;
    let wake = poll_fn(|context| {
        let wake = stream.poll_next_unpin(context);
        waited |= wake.is_pending();
        wake
    });
    let wake = wake.await;
    if !waited {
        tokio::task::yield_now().await;
    }
    wake
}
