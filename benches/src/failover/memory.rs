//! The store in memory: two elections of one process, for its table ends with that. So no process is killed and no network is
//! cut; in place of a host that is lost somebody claims the lease by hand and renews it no more.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use tenure::{Election, LeaseKey, LeaseStore};
use tenure_store::{Claim, Claimed, Held, HolderId, Nonce};

use super::options::Store;
use super::release::phase;
use super::table::{Cell, Row};
use super::ttl::TTL;
use crate::clock::shared_ns;
use crate::latency::Took;
use std::sync::Arc;

/// How long the other election waits before each release.
const SETTLE: Duration = Duration::from_millis(20);

/// The row of this store.
pub(super) fn measure(rounds: u32) -> Result<Row> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = tenure_open::open("memory:bench").await?;
        let mut row = Row::new(Store::Memory.name(), "Tenure");
        row.how = "two elections in one process";
        row.round_trip = Some(Took::of(round_trips(&store, rounds).await?));
        row.release = Cell::Took(Took::of(releases(&store, rounds).await?));
        row.killed = Cell::DoesNotApply("its table ends with the process".to_owned());
        row.lost = Cell::Took(Took::of(try_join_all((0..rounds).map(|round| loss(&store, round))).await?));
        row.cut = Cell::DoesNotApply("no network".to_owned());
        Ok(row)
    })
}

async fn releases(store: &Arc<dyn LeaseStore>, rounds: u32) -> Result<Vec<f64>> {
    let start = || Election::builder(Arc::clone(store), "bench-release").ttl(TTL).start();
    let (mut holder, mut other) = (start()?, start()?);
    let mut leadership = holder.campaign().await?;
    let mut took = Vec::new();
    for _ in 0..=rounds {
        let waits = tokio::spawn(async move {
            let elected = other.campaign().await;
            (shared_ns(), elected, other)
        });
        tokio::time::sleep(SETTLE).await;
        let released = shared_ns();
        leadership.resign().await?;
        let (at, elected, next) = waits.await?;
        leadership = elected?;
        other = std::mem::replace(&mut holder, next);
        took.push(at.saturating_sub(released) as f64 / 1e6);
    }
    Ok(took.split_off(1))
}

async fn loss(store: &Arc<dyn LeaseStore>, round: u32) -> Result<f64> {
    let name = format!("bench-host-{round}");
    let claim = claim(&name)?;
    let held = granted(store, &claim).await?;
    let other = Election::builder(Arc::clone(store), &name).ttl(TTL).start()?;
    let waits = tokio::spawn(async move { other.campaign().await.map(|_| shared_ns()) });
    for _ in 0..2 {
        tokio::time::sleep(TTL / 3).await;
        store.renew(std::slice::from_ref(&held)).await?;
    }
    tokio::time::sleep(phase(round)).await;
    let at = shared_ns();
    Ok(waits.await??.saturating_sub(at) as f64 / 1e6)
}

/// A renewal: one step of the table.
async fn round_trips(store: &Arc<dyn LeaseStore>, rounds: u32) -> Result<Vec<f64>> {
    let held = granted(store, &claim("bench-round-trip")?).await?;
    let mut took = Vec::new();
    for _ in 0..=rounds {
        let from = shared_ns();
        store.renew(std::slice::from_ref(&held)).await?;
        took.push((shared_ns() - from) as f64 / 1e6);
    }
    Ok(took.split_off(1))
}

fn claim(name: &str) -> Result<Claim> {
    Ok(Claim::new(LeaseKey::new(name)?, HolderId::new("by-hand")?, Nonce { process: 1, campaign: 1 }, TTL))
}

async fn granted(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Result<Held> {
    match store.acquire(std::slice::from_ref(claim)).await?.remove(0)? {
        Claimed::Granted { term, .. } => {
            Ok(Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() })
        }
        _ => None.context("the lease is not granted"),
    }
}
