//! The store: each verb is one script per slot, all of them pipelined.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed, StoreError,
    StoreErrorKind, StoreInfo, Term, WakeStream, check_batch, check_ttl,
};
use tokio::time::{Instant, timeout_at};

use crate::batch;
use crate::config::RedisConfig;
use crate::dial::Dial;
use crate::failure::Failure;
use crate::link::{Link, Sent, text};
use crate::names;
use crate::plain::Plain;
use crate::topology::Topology;
use crate::verbs::{Acquire, LastTerm, List, Release, Remove, Renew, RenewPlain, Resign, millis};
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
    plain: Plain,
    watches: Watches,
}

/// How long opening may take at least, whatever the time for a call is.
const OPENING: Duration = Duration::from_secs(3);

/// How long the other nodes of a cluster have to answer after one has.
const OTHERS: Duration = Duration::from_millis(250);

/// How long a list may take altogether, however many keys there are to look through.
const LISTING: Duration = Duration::from_secs(60);

/// How many names a server looks through at a time: everybody else waits meanwhile.
const SCANNED: usize = 1_000;

static INFO: StoreInfo = StoreInfo::new("redis").watch(true).shared(true).overlap_faults(&[
    "a replica is promoted that had not yet received the lease (replication is asynchronous)",
    "a cluster's master fails over while a slot is being moved from it: its replica may know of no move",
    "a slot is moved from a node that has been up for less than the longest ttl or --hold-for",
    "leases are deleted or evicted while they are held (FLUSHALL, DEL, an eviction policy)",
    "the server's wall clock is set forward, or differs between a master and the replica that replaces it",
    "the server restarts without what it had acknowledged, and candidates of one key have different ttls or --hold-for",
]);

static INFO_DURABLE: StoreInfo = StoreInfo::new("redis").watch(true).shared(true).durable(true).overlap_faults(&[
    "a replica is promoted that had not yet received the lease (replication is asynchronous)",
    "a cluster's master fails over while a slot is being moved from it: its replica may know of no move",
    "a slot is moved from a node that has been up for less than the longest ttl or --hold-for",
    "leases are deleted or evicted while they are held (FLUSHALL, DEL, an eviction policy)",
    "the server's wall clock is set forward, or differs between a master and the replica that replaces it",
    "the server restarts without what it had acknowledged, although durable=true says that it never does",
]);

impl RedisStore {
    /// Connects, and refuses servers on which leases would not be safe or would not work: replicas, versions before 6.2
    /// (in a cluster 7.0), servers that may evict leases. Bounded by 3 s, or the time for a call where that is longer.
    /// Each later connection looks again: on a server that is not fit any more nothing is granted, with the same error,
    /// until it is; leases that are held there are renewed and released all the same.
    ///
    /// A cluster opens when one of its nodes answers; the others have a quarter of a second more to do so.
    pub async fn open(config: RedisConfig) -> Result<RedisStore, StoreError> {
        let dial = Dial::new(config.tls.as_ref(), &config.credentials, config.database, config.timeout)?;
        let topology = Arc::new(Topology::new(&config, &dial)?);
        let deadline = Instant::now() + config.timeout.max(OPENING);
        let masters = topology.masters(deadline).await?;
        let mut checks: FuturesUnordered<_> =
            masters.iter().map(async |link| (link, check(link, deadline).await)).collect();
        let (mut until, mut fit, mut failed) = (deadline + OTHERS, 0, 0);
        while let Ok(Some((link, checked))) = timeout_at(until, checks.next()).await {
            match checked {
                Ok(()) => {
                    fit += 1;
                    until = deadline.min(Instant::now() + OTHERS);
                }
                Err(failure) if topology.is_cluster() && failure.kind == StoreErrorKind::Unavailable => {
                    failed += 1;
                    tracing::warn!(node = %link.address(), %failure.message, "a node of the cluster does not answer");
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        drop(checks);
        if fit == 0 {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "redis cluster: no node answers"));
        }
        let silent = masters.len() - fit - failed;
        if silent > 0 {
            tracing::warn!(silent, of = masters.len(), "nodes of the cluster do not answer yet");
        }
        let info = if config.durable { INFO_DURABLE.clone() } else { INFO.clone() };
        let channel = names::channel(config.database);
        let watches = Watches::new(Arc::clone(&topology), dial, &config);
        Ok(RedisStore { config, info, topology, channel, plain: Plain::default(), watches })
    }

    /// How many hints were replaced by ones that name no key, because a watcher did not read them in time.
    pub fn overflowed_wakes(&self) -> u64 {
        self.watches.overflowed()
    }

    fn deadline(&self, items: usize) -> Instant {
        Instant::now() + self.config.patience(items)
    }

    /// Does `act` for the items that pass `check`, and puts the refusals of the others in their places.
    async fn checked<'a, I, T, F: Future<Output = Vec<Result<T, Failure>>>>(
        &self,
        items: &'a [I],
        check: impl Fn(&I) -> Result<(), StoreError>,
        act: impl FnOnce(Vec<&'a I>) -> F,
    ) -> Result<Answers<T>, StoreError> {
        let checked: Vec<Result<(), StoreError>> = items.iter().map(check).collect();
        let good: Vec<&I> =
            items.iter().zip(&checked).filter(|(_, check)| check.is_ok()).map(|(item, _)| item).collect();
        if good.is_empty() {
            return Ok(checked.into_iter().filter_map(Result::err).map(Err).collect());
        }
        let all_good = good.len() == items.len();
        let answers = batch::settled(act(good).await);
        if all_good {
            return answers;
        }
        let mut answers = answers?.into_iter();
        let missing = || Err(StoreError::new(StoreErrorKind::TimedOut, "redis: an answer is missing"));
        Ok(checked
            .into_iter()
            .map(|check| check.map_or_else(Err, |()| answers.next().unwrap_or_else(missing)))
            .collect())
    }

    /// Renews. Of a large batch, what only has to be extended is sent apart: that takes half of the server's time.
    async fn renew_all(&self, held: Vec<&Held>) -> Vec<Result<Renewed, Failure>> {
        let deadline = self.deadline(held.len());
        let (plain, full) = self.plain.choose(&held);
        let plain = plain.iter().map(|(shape, items)| self.renew_plainly(&held, items, *shape, deadline));
        let (plain, full) = tokio::join!(join_all(plain), self.renew_in_full(&held, full, deadline));
        let mut answers: Vec<Option<Result<Renewed, Failure>>> = held.iter().map(|_| None).collect();
        let mut others = full;
        for (extended, more) in plain.into_iter().flatten() {
            for item in extended {
                answers[item] = Some(Ok(Renewed::Extended { resign_requested: false }));
            }
            others.extend(more);
        }
        for (item, answer) in others {
            answers[item] = Some(answer);
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(batch::missing()))).collect()
    }

    /// Answers for each script which of its items were extended, and what became of the others: what turns out to need more
    /// is renewed in full, as soon as its own server has said so.
    async fn renew_plainly(
        &self,
        held: &[&Held],
        items: &[usize],
        (ttl, width): (u64, usize),
        deadline: Instant,
    ) -> Vec<(Vec<usize>, Vec<(usize, Result<Renewed, Failure>)>)> {
        let renew = RenewPlain { held: items.iter().map(|item| held[*item]).collect(), ttl, width };
        let each = batch::each(&self.topology, &renew, deadline).map(|script| async move {
            let (some, answers) = script.await;
            let (mut extended, mut left, mut failed) = (Vec::with_capacity(some.len()), Vec::new(), Vec::new());
            for (at, answer) in some.into_iter().zip(answers) {
                match answer {
                    Ok(true) => extended.push(items[at]),
                    Ok(false) => left.push(items[at]),
                    Err(failure) => failed.push((items[at], Err(failure))),
                }
            }
            failed.extend(self.renew_in_full(held, left, deadline).await);
            (extended, failed)
        });
        join_all(each).await
    }

    async fn renew_in_full(
        &self,
        held: &[&Held],
        items: Vec<usize>,
        deadline: Instant,
    ) -> Vec<(usize, Result<Renewed, Failure>)> {
        if items.is_empty() {
            return Vec::new();
        }
        let renew = Renew { held: items.iter().map(|item| held[*item]).collect() };
        let done = batch::run(&self.topology, &renew, deadline).await;
        let extended = items.iter().zip(&done).filter(|(_, done)| matches!(done, Ok(Renewed::Extended { .. })));
        self.plain.written(extended.map(|(item, _)| held[*item]));
        items.into_iter().zip(done).collect()
    }

    /// The keys that have a term record on this server, under a prefix.
    async fn scan(&self, link: &Arc<Link>, prefix: &KeyPrefix, until: Instant) -> Result<Vec<LeaseKey>, Failure> {
        let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
        let pattern = names::record_pattern(prefix);
        loop {
            let deadline = until.min(self.deadline(SCANNED));
            let live = link.live(deadline).await?;
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED);
            let words = match live.send(&command, deadline).await {
                Sent::Answered(Value::Array(words)) => words,
                Sent::Answered(_) => return Err(Failure::unavailable("redis: SCAN answered what it never does")),
                Sent::Refused(reply) => return Err(reply.failure(live.place()).of_question()),
                Sent::Failed(failure) => {
                    self.topology.doubt(link.address());
                    return Err(failure.of_question());
                }
            };
            if let Some(Value::Array(names)) = words.get(1) {
                keys.extend(names.iter().filter_map(text).filter_map(|name| names::key_of_record(&name)));
            }
            cursor = words.first().and_then(text).unwrap_or_default();
            if cursor == "0" || cursor.is_empty() {
                return Ok(keys);
            }
        }
    }
}

async fn check(link: &Arc<Link>, deadline: Instant) -> Result<(), Failure> {
    let live = link.live(deadline).await?;
    live.unfit().map_or(Ok(()), |unfit| Err(unfit.clone()))
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
        let durable = self.config.durable;
        let acquire = async |claims: Vec<&Claim>| {
            let deadline = self.deadline(claims.len());
            claims.iter().for_each(|claim| self.plain.claimed(&claim.key, millis(claim.ttl)));
            batch::run(&self.topology, &Acquire { claims, durable, channel: &self.channel }, deadline).await
        };
        self.checked(claims, |claim| check_ttl(&self.info, &claim.key, claim.ttl), acquire).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&self.info, held.iter().map(|held| &held.key))?;
        self.checked(held, |held| check_ttl(&self.info, &held.key, held.ttl), |held| self.renew_all(held)).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&self.info, held.iter().map(|held| &held.key))?;
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let release = Release { held, channel: &self.channel };
        batch::settled(batch::run(&self.topology, &release, self.deadline(held.len())).await)
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        only(batch::run(&self.topology, &Resign { key }, self.deadline(1)).await)
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        only(batch::run(&self.topology, &Remove { key, channel: &self.channel }, self.deadline(1)).await)
    }

    /// Keys that were never claimed through this project are listed only where they are asked for by their whole name:
    /// other programs' keys in the same database are none of its business.
    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let until = Instant::now() + LISTING;
        let masters = self.topology.masters(self.deadline(0)).await?;
        let found = try_join_all(masters.iter().map(|link| self.scan(link, prefix, until))).await;
        let found = found.map_err(|failure| match self.topology.is_cluster() {
            true => failure.and("; a list needs every node of the cluster, the lease of one key only its own"),
            false => failure,
        })?;
        // Sorted, and each key once: a scan may show one twice.
        let mut keys: BTreeSet<LeaseKey> = found.into_iter().flatten().collect();
        keys.extend(LeaseKey::new(prefix.as_str()));
        let keys: Vec<LeaseKey> = keys.into_iter().collect();
        let mut records = Vec::new();
        for keys in keys.chunks(INFO.batch_limit) {
            let list = List { keys: keys.to_vec() };
            for record in batch::run(&self.topology, &list, self.deadline(keys.len())).await {
                records.extend(record?);
            }
        }
        Ok(records)
    }

    /// Without the look through all names of the server that a list takes.
    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        only(batch::run(&self.topology, &List { keys: vec![key.clone()] }, self.deadline(1)).await)
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        only(batch::run(&self.topology, &LastTerm { key }, self.deadline(1)).await)
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watches.start(prefix, self.deadline(0)).await
    }
}

fn only<T>(mut answers: Vec<Result<T, Failure>>) -> Result<T, StoreError> {
    Ok(answers.pop().unwrap_or_else(|| Err(batch::missing()))?)
}
