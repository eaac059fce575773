//! The store: each verb is one script per slot, all of them pipelined.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tenure_store::{
    Answers, Claim, Claimed, Diagnosis, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed,
    StoreError, StoreErrorKind, StoreInfo, Term, WakeStream, check_batch, check_ttl,
};
use tokio::time::{Instant, timeout_at};

use crate::batch;
use crate::config::RedisConfig;
use crate::connection::Connector;
use crate::diagnosis;
use crate::error::unavailable;
use crate::extend_only::ExtendOnly;
use crate::names;
use crate::scan;
use crate::server::Server;
use crate::topology::Topology;
use crate::verb::{Verb, in_order, missing};
use crate::verbs;
use crate::watch::Watches;

/// Leases in Redis, shared by whoever reaches the same servers.
///
/// Each call has an end: what could not be sent in time fails as unavailable with nothing done, what was sent and not
/// answered in time with the outcome unknown. A connection that was lost is made anew by the next call, to the new
/// master where there is one. Dropping the store closes its connections.
pub struct RedisStore {
    config: RedisConfig,
    info: StoreInfo,
    topology: Arc<Topology>,
    channel: String,
    extend_only: ExtendOnly,
    watches: Arc<Watches>,
}

/// Opening may take this long, or the time for a call where that is longer.
pub(crate) const OPENING: Duration = Duration::from_secs(3);

/// How long the other nodes of a cluster have to answer after one has.
const OTHERS: Duration = Duration::from_millis(250);

/// The faults under which two may hold one key; `forgets` is what a restart has to do with it.
const fn overlap_faults(forgets: &'static str) -> [&'static str; 7] {
    [
        "a replica is promoted that had not yet received the lease (replication is asynchronous)",
        "a cluster's master fails over while a slot is being moved from it: its replica may know of no move",
        "a slot is moved from a node that has been up for less than the longest ttl or hold",
        "leases are deleted or evicted while they are held (FLUSHALL, DEL, an eviction policy)",
        "the server's wall clock is set forward, or differs between a master and the replica that replaces it",
        "the server's wall clock was ahead and is set back, and then an older state is put in place: two tenures may have one term",
        forgets,
    ]
}

static FAULTS: [&str; 7] = overlap_faults(
    "the server restarts without what it had acknowledged, and candidates of one key have different ttls or holds",
);
static FAULTS_DURABLE: [&str; 7] = overlap_faults(
    "the server restarts without what it had acknowledged, although durable=true says that it never does",
);

pub(crate) fn info(durable: bool) -> StoreInfo {
    let faults = if durable { &FAULTS_DURABLE } else { &FAULTS };
    StoreInfo::new("redis").watch(true).shared(true).durable(durable).overlap_faults(faults)
}

impl RedisStore {
    /// Connects, and refuses servers on which leases would not be safe or would not work: replicas, versions before 6.2
    /// (in a cluster 7.0), servers that may evict leases. Bounded by 3 s, or the time for a call where that is longer.
    /// Each later connection looks again: on a server that is not fit any more nothing is granted, with the same error,
    /// until it is; leases that are held there are renewed and released all the same.
    ///
    /// A cluster opens when one of its nodes answers; the others have a quarter of a second more to do so.
    pub async fn open(config: RedisConfig) -> Result<RedisStore, StoreError> {
        let connector = Connector::new(config.tls.as_ref(), &config.credentials, config.database, config.timeout)?;
        let topology = Arc::new(Topology::new(&config, &connector)?);
        check_masters(&topology, Instant::now() + config.timeout.max(OPENING)).await?;
        let info = info(config.durable);
        let channel = names::channel(config.database);
        let (watches, channel) = Watches::new(Arc::clone(&topology), connector, channel);
        Ok(RedisStore { config, info, topology, channel, extend_only: ExtendOnly::default(), watches })
    }

    /// Reads the files of certificates that are named, and asks no server: what is wrong with one of them stays wrong.
    pub fn check_files(config: &RedisConfig) -> Result<(), StoreError> {
        Connector::new(config.tls.as_ref(), &config.credentials, config.database, config.timeout).map(drop)
    }

    /// How many hints were replaced by ones that name no key, because a watcher did not read them in time.
    pub fn overflowed_wakes(&self) -> u64 {
        self.watches.overflowed()
    }

    fn deadline(&self, items: usize) -> Instant {
        Instant::now() + self.config.time_for(items)
    }

    /// Does a verb that has one item.
    async fn run_one<T>(&self, verb: &Verb<'_, T>) -> Result<T, StoreError> {
        batch::run(&self.topology, verb, self.deadline(1)).await.pop().unwrap_or_else(|| Err(missing()))
    }

    /// Does `act` for the items whose ttl the store honours, and answers with a refusal for each of the others.
    async fn with_honoured_ttls<'a, I, T, F: Future<Output = Vec<Result<T, StoreError>>>>(
        &self,
        items: &'a [I],
        ttl: impl Fn(&I) -> (&LeaseKey, Duration),
        act: impl FnOnce(Vec<&'a I>) -> F,
    ) -> Result<Answers<T>, StoreError> {
        let (mut honoured, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let (key, ttl) = ttl(item);
            match check_ttl(&self.info, key, ttl) {
                Ok(()) => honoured.push(item),
                Err(error) => refused.push((at, error)),
            }
        }
        let mut answers = batch::as_store_answers(act(honoured).await)?;
        // In ascending order, so that each comes to stand at its own place.
        refused.into_iter().for_each(|(at, error)| answers.insert(at, Err(error)));
        Ok(answers)
    }

    /// Renews. Of a large batch, the items that only have to be extended go in scripts of their own, which take half of the
    /// server's time.
    async fn renew_all(&self, held: Vec<&Held>) -> Vec<Result<Renewed, StoreError>> {
        let deadline = self.deadline(held.len());
        let (extend, full) = self.extend_only.choose(&held);
        let extend = extend.into_iter().map(|(shape, items)| self.extend(&held, items, shape, deadline));
        let (extended, full) = tokio::join!(join_all(extend), self.renew_in_full(&held, full, deadline));
        in_order(held.len(), extended.into_iter().flatten().flatten().chain(full))
    }

    /// Extends these items. Those whose leases do not stand as expected are renewed in full, as soon as their own server has
    /// said so.
    async fn extend(
        &self,
        held: &[&Held],
        items: Vec<usize>,
        (ttl, width): (u64, usize),
        deadline: Instant,
    ) -> Vec<Vec<(usize, Result<Renewed, StoreError>)>> {
        let chosen: Vec<&Held> = items.iter().map(|item| held[*item]).collect();
        let (verb, items) = (verbs::extend(&chosen, ttl, width), &items);
        let scripts = batch::scripts(&self.topology, &verb, deadline).map(|script| async move {
            let script = script.await;
            let (mut answers, mut others) = (Vec::with_capacity(script.len()), Vec::new());
            for (at, answer) in script {
                match answer.transpose() {
                    Some(answer) => answers.push((items[at], answer)),
                    None => others.push(items[at]),
                }
            }
            answers.extend(self.renew_in_full(held, others, deadline).await);
            answers
        });
        join_all(scripts).await
    }

    async fn renew_in_full(
        &self,
        held: &[&Held],
        items: Vec<usize>,
        deadline: Instant,
    ) -> Vec<(usize, Result<Renewed, StoreError>)> {
        if items.is_empty() {
            return Vec::new();
        }
        let chosen: Vec<&Held> = items.iter().map(|item| held[*item]).collect();
        let answers = batch::run(&self.topology, &verbs::renew(&chosen), deadline).await;
        let extended = chosen.iter().zip(&answers).filter(|(_, done)| matches!(done, Ok(Renewed::Extended { .. })));
        self.extend_only.written(extended.map(|(held, _)| *held));
        items.into_iter().zip(answers).collect()
    }
}

/// Connects to every master, and refuses those that are not fit. Of a cluster's nodes some may be down.
pub(crate) async fn check_masters(topology: &Topology, deadline: Instant) -> Result<(), StoreError> {
    let masters = topology.masters(deadline).await?;
    let mut checks: FuturesUnordered<_> =
        masters.iter().map(async |server| (server, check_fit(server, deadline).await)).collect();
    let (mut until, mut fit, mut failed) = (deadline + OTHERS, 0, 0);
    while let Ok(Some((server, checked))) = timeout_at(until, checks.next()).await {
        match checked {
            Ok(()) => {
                fit += 1;
                until = deadline.min(Instant::now() + OTHERS);
            }
            Err(error) if topology.is_cluster() && error.kind() == StoreErrorKind::Unavailable => {
                failed += 1;
                tracing::warn!(node = %server.address(), %error, "a node of the cluster does not answer");
            }
            Err(error) => return Err(error),
        }
    }
    if fit == 0 {
        return Err(unavailable("redis cluster: no node answers"));
    }
    let silent = masters.len() - fit - failed;
    if silent > 0 {
        tracing::warn!(silent, of = masters.len(), "nodes of the cluster do not answer yet");
    }
    Ok(())
}

async fn check_fit(server: &Arc<Server>, deadline: Instant) -> Result<(), StoreError> {
    server.session(deadline).await?.unfit().map_or(Ok(()), |unfit| Err(unfit.clone()))
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("servers", &self.config.servers).finish_non_exhaustive()
    }
}

#[async_trait]
impl LeaseStore for RedisStore {
    fn info(&self) -> StoreInfo {
        self.info.clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        check_batch(&self.info, claims.iter().map(|claim| &claim.key))?;
        let acquire = async |claims: Vec<&Claim>| {
            let deadline = self.deadline(claims.len());
            // A bound lease is not renewed.
            let unbound = claims.iter().filter(|claim| claim.bound.is_none());
            unbound.for_each(|claim| self.extend_only.claimed(&claim.key, verbs::millis(claim.ttl)));
            let verb = verbs::acquire(&claims, self.config.durable, &self.channel);
            batch::run(&self.topology, &verb, deadline).await
        };
        self.with_honoured_ttls(claims, |claim| (&claim.key, claim.ttl), acquire).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&self.info, held.iter().map(|held| &held.key))?;
        self.with_honoured_ttls(held, |held| (&held.key, held.ttl), |held| self.renew_all(held)).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&self.info, held.iter().map(|held| &held.key))?;
        let held: Vec<&Held> = held.iter().collect();
        let verb = verbs::release(&held, &self.channel);
        batch::as_store_answers(batch::run(&self.topology, &verb, self.deadline(held.len())).await)
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.run_one(&verbs::request_resign(key)).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.run_one(&verbs::remove(key, &self.channel)).await
    }

    /// Keys that were never claimed through this project are listed only where they are asked for by their whole name:
    /// other programs' keys in the same database are none of its business.
    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let pattern = names::record_pattern(prefix);
        let mut keys = scan::keys(&self.topology, &self.config, &pattern, names::key_of_record).await?;
        keys.extend(LeaseKey::new(prefix.as_str()));
        let keys: Vec<LeaseKey> = keys.into_iter().collect();
        let mut records = Vec::new();
        for keys in keys.chunks(self.info.batch_limit) {
            for record in batch::run(&self.topology, &verbs::list(keys), self.deadline(keys.len())).await {
                records.extend(record?);
            }
        }
        Ok(records)
    }

    /// Without the scan of all names on the server that a list takes.
    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.run_one(&verbs::list(std::slice::from_ref(key))).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.run_one(&verbs::last_term(key)).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watches.start(prefix, self.deadline(0)).await
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        diagnosis::diagnose(&self.topology, &self.config).await
    }
}
