//! Wake-ups for a candidate's keys: hints from the store, subscribed again whenever they end.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tenure_core::{KeyPrefix, SlotKeys};
use tenure_store::{LeaseKey, LeaseStore, Wake, WakeChange, WakeStream};

/// The hints that say more of one of `keys` than that somebody was granted it, and one whenever a watch begins, at first and
/// again; silent where the store has none, and it never ends.
///
/// The stream itself holds whatever it is waiting for, a subscription or the `pause` after one that ended: a driver that
/// looks elsewhere meanwhile neither begins it anew nor shortens it.
pub(crate) fn wakes(store: Arc<dyn LeaseStore>, keys: &SlotKeys, pause: Duration) -> BoxStream<'static, ()> {
    if !store.info().watch {
        return stream::pending().boxed();
    }
    let own = keys.all().iter().cloned().collect();
    let watching = Watching { store, prefix: keys.prefix().clone(), own, pause, stream: None };
    stream::unfold(watching, |mut watching| async move {
        watching.next().await;
        Some(((), watching))
    })
    .boxed()
}

struct Watching {
    store: Arc<dyn LeaseStore>,
    prefix: KeyPrefix,
    own: HashSet<LeaseKey>,
    pause: Duration,
    stream: Option<WakeStream>,
}

impl Watching {
    async fn next(&mut self) {
        loop {
            match &mut self.stream {
                Some(stream) => match patiently(stream).await {
                    Some(wake) => {
                        // That somebody else was granted the key says when to claim no better than the timer does.
                        if wake.change != WakeChange::Taken && wake.key.is_none_or(|key| self.own.contains(&key)) {
                            return;
                        }
                    }
                    None => {
                        self.stream = None;
                        tokio::time::sleep(self.pause).await;
                    }
                },
                None => match self.store.watch(&self.prefix).await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        // What happened before is told to nobody, and a claim may have been refused before that.
                        return;
                    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tenure_store::{
        Answers, Claim, Claimed, Held, HolderId, LeaseRecord, Released, Renewed, StoreError, StoreInfo, Term,
    };
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::{Election, MemoryStore};

    /// A key that somebody else holds, whoever claims it; claims are counted, and hints come as the test says.
    #[derive(Debug)]
    struct Taken {
        info: StoreInfo,
        claims: mpsc::UnboundedSender<()>,
        /// Each watch begins after one claim more.
        asked: Semaphore,
        /// What each watch is told, the last first.
        wakes: Mutex<Vec<mpsc::UnboundedReceiver<Wake>>>,
    }

    #[async_trait]
    impl LeaseStore for Taken {
        fn info(&self) -> StoreInfo {
            self.info.clone()
        }

        async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
            self.claims.send(()).unwrap();
            self.asked.add_permits(1);
            let by = HolderId::new("somebody else").unwrap();
            let held = Claimed::Held { by, term: None, remaining: Some(Duration::from_secs(600)), bound: None };
            Ok(claims.iter().map(|_| Ok(held.clone())).collect())
        }

        async fn renew(&self, _: &[Held]) -> Result<Answers<Renewed>, StoreError> {
            unreachable!("nothing is held")
        }

        async fn release(&self, _: &[Held]) -> Result<Answers<Released>, StoreError> {
            unreachable!("nothing is held")
        }

        async fn request_resign(&self, _: &LeaseKey) -> Result<bool, StoreError> {
            unreachable!("nobody asks")
        }

        async fn remove(&self, _: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
            unreachable!("nobody asks")
        }

        async fn list(&self, _: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
            unreachable!("nobody asks")
        }

        async fn last_term(&self, _: &LeaseKey) -> Result<Option<Term>, StoreError> {
            unreachable!("nobody asks")
        }

        async fn watch(&self, _: &KeyPrefix) -> Result<WakeStream, StoreError> {
            self.asked.acquire().await.unwrap().forget();
            let wakes = self.wakes.lock().unwrap().pop().expect("a watch that the test knows of");
            Ok(stream::unfold(wakes, |mut wakes| async { Some((wakes.recv().await?, wakes)) }).boxed())
        }
    }

    /// A candidate claims when it begins and when the key may be free, and not because somebody else was granted it.
    #[tokio::test]
    async fn a_candidate_does_not_claim_because_somebody_else_won() {
        let (claims, mut claimed) = mpsc::unbounded_channel();
        let (hints, wakes) = mpsc::unbounded_channel();
        let asked = Semaphore::new(0);
        let store = Taken { info: MemoryStore::new().info(), claims, asked, wakes: Mutex::new(vec![wakes]) };
        let election = Election::builder(Arc::new(store), "k").start().unwrap();
        let _campaign = tokio::spawn(async move { election.campaign().await.map(drop) });
        // The second follows from the beginning of the watch.
        for _ in 0..2 {
            claimed.recv().await.unwrap();
        }
        let key = || LeaseKey::new("k").unwrap();
        for _ in 0..3 {
            hints.send(Wake::taken(key())).unwrap();
        }
        // The timer brings a claim in ten minutes; one that follows from a hint comes at once.
        let claim = tokio::time::timeout(Duration::from_millis(500), claimed.recv()).await;
        assert!(claim.is_err(), "a claim followed from somebody else's");
        for wake in [Wake::freed(key()), Wake::unknown()] {
            hints.send(wake).unwrap();
            tokio::time::timeout(Duration::from_secs(10), claimed.recv()).await.expect("a claim").unwrap();
        }
    }

    /// Once a watch that ended goes on a candidate claims: a release meanwhile was told to nobody.
    #[tokio::test]
    async fn a_candidate_claims_when_it_watches_again() {
        let (claims, mut claimed) = mpsc::unbounded_channel();
        let [(first, one), (_second, two)] = [mpsc::unbounded_channel(), mpsc::unbounded_channel()];
        let asked = Semaphore::new(0);
        let store = Taken { info: MemoryStore::new().info(), claims, asked, wakes: Mutex::new(vec![two, one]) };
        let ttl = Duration::from_secs(1);
        let election = Election::builder(Arc::new(store), "k").ttl(ttl).start().unwrap();
        let _campaign = tokio::spawn(async move { election.campaign().await.map(drop) });
        for _ in 0..2 {
            claimed.recv().await.unwrap();
        }
        drop(first);
        tokio::time::timeout(Duration::from_secs(10), claimed.recv()).await.expect("a claim").unwrap();
    }

    /// On a store without hints a candidate asks at every retry interval, though the lease that it is told of lasts ten minutes.
    #[tokio::test]
    async fn without_hints_the_retry_interval_counts() {
        let (claims, mut claimed) = mpsc::unbounded_channel();
        let asked = Semaphore::new(0);
        let store = Taken { info: MemoryStore::new().info().watch(false), claims, asked, wakes: Mutex::default() };
        let election = Election::builder(Arc::new(store), "k").ttl(Duration::from_secs(1)).start().unwrap();
        let _campaign = tokio::spawn(async move { election.campaign().await.map(drop) });
        for _ in 0..3 {
            tokio::time::timeout(Duration::from_secs(10), claimed.recv()).await.expect("a claim").unwrap();
        }
    }
}
