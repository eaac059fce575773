//! A candidate as simple as can be: claims, renews, and acts while its own deadline has not passed. What it does goes to
//! a sink that is fenced, and that sees when two of them act at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::Fence;
use tenure_redis::RedisStore;
use tenure_store::{Claim, Claimed, Held, Renewed, Term};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kit::{acquire, held, renew};

/// What the candidates did.
#[derive(Default)]
pub(crate) struct Sink {
    fence: Fence,
    /// The terms of the tenures that acted, in the order of their first admitted act.
    pub(crate) tenures: Vec<(u64, Term)>,
    /// How many acts were refused because a newer tenure had acted.
    pub(crate) stale: usize,
    /// How long, at most, two candidates at a time believed that they may act.
    pub(crate) overlap: Duration,
    overlapping_since: Option<Instant>,
    /// The last admitted act.
    pub(crate) acted: Option<Instant>,
}

/// What a candidate believes.
type Belief = Arc<Mutex<Option<(Term, Instant)>>>;

/// Candidates over one key and their common sink. Dropping it ends them.
pub(crate) struct Fleet {
    /// What they did.
    pub(crate) sink: Arc<Mutex<Sink>>,
    _tasks: JoinSet<()>,
}

impl Fleet {
    /// Starts a candidate for each claim, each with its own client.
    pub(crate) fn start(candidates: Vec<(RedisStore, Claim)>) -> Fleet {
        let sink = Arc::new(Mutex::new(Sink::default()));
        let mut tasks = JoinSet::new();
        let mut beliefs: Vec<(u64, Belief)> = Vec::new();
        for (store, claim) in candidates {
            let belief = Belief::default();
            beliefs.push((claim.nonce.process, Arc::clone(&belief)));
            tasks.spawn(campaign(store, claim, belief));
        }
        tasks.spawn(act(beliefs, Arc::clone(&sink)));
        Fleet { sink, _tasks: tasks }
    }

    /// Looks at what was done so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Sink) -> T) -> T {
        look(&self.sink.lock().unwrap())
    }
}

/// Holds the lease whenever it can, and believes so until a margin before the store would let it go.
async fn campaign(store: RedisStore, mut claim: Claim, belief: Belief) {
    let believed = claim.ttl - claim.ttl / 8;
    let pause = claim.ttl / 6;
    loop {
        claim.nonce.campaign += 1;
        let sent = Instant::now();
        match acquire(&store, &claim).await {
            Ok(Claimed::Granted { term, .. }) => {
                *belief.lock().unwrap() = Some((term, sent + believed));
                claim.above = Some(term);
                lead(&store, &held(&claim, term), &belief, believed).await;
                *belief.lock().unwrap() = None;
            }
            Ok(Claimed::Held { term, .. } | Claimed::Stale { last_term: term }) => claim.above = claim.above.max(term),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Renews until the lease is lost or its own deadline has passed.
async fn lead(store: &RedisStore, own: &Held, belief: &Belief, believed: Duration) {
    loop {
        tokio::time::sleep(own.ttl / 6).await;
        let sent = Instant::now();
        match renew(store, own).await {
            Ok(Renewed::Extended { .. }) => *belief.lock().unwrap() = Some((own.term, sent + believed)),
            Ok(Renewed::Lost { .. }) => return,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        if belief.lock().unwrap().is_none_or(|(_, deadline)| Instant::now() >= deadline) {
            return;
        }
    }
}

/// Acts for all of them, as often as the machine allows.
async fn act(beliefs: Vec<(u64, Belief)>, sink: Arc<Mutex<Sink>>) {
    loop {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = Instant::now();
        let mut sink = sink.lock().unwrap();
        let mut acting = 0;
        for (candidate, belief) in &beliefs {
            let Some((term, _)) = belief.lock().unwrap().filter(|(_, deadline)| now < *deadline) else { continue };
            acting += 1;
            match sink.fence.admit(term) {
                Ok(()) => {
                    sink.acted = Some(now);
                    if sink.tenures.last().is_none_or(|last| last.1 != term) {
                        sink.tenures.push((*candidate, term));
                    }
                }
                Err(_) => sink.stale += 1,
            }
        }
        match (acting > 1, sink.overlapping_since) {
            (true, Some(since)) => sink.overlap = sink.overlap.max(now - since),
            (true, None) => sink.overlapping_since = Some(now),
            (false, _) => sink.overlapping_since = None,
        }
    }
}
