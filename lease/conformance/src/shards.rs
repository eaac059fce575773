//! Shards: a store of several servers, each with keys of its own, where the failure of one affects its own keys alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tenure_store::{Claimed, Held, LeaseKey, LeaseStore, Released, WakeChange, WakeStream};
use tokio::time::Instant;

use crate::builder::{ShardFault, Shards};
use crate::kit::*;

/// While a server is dead, the keys of every other one are claimed, renewed, released and handed on as ever.
pub(crate) async fn a_dead_one_touches_its_own_keys_alone(kit: &Kit<'_>) -> CaseVerdict {
    own_keys_alone(kit, ShardFault::Killed).await
}

/// While a server is stopped, so that it answers nobody and its connections stay open, the same holds.
pub(crate) async fn a_stopped_one_touches_its_own_keys_alone(kit: &Kit<'_>) -> CaseVerdict {
    own_keys_alone(kit, ShardFault::Stopped).await
}

/// How often a key is handed on under each fault, and how far apart, so that rare behaviour of a store is met too.
const HANDOFFS: (u32, Duration) = (30, Duration::from_millis(100));

/// A delay that proves nothing: shorter than any time-out.
const INSIGNIFICANT_DELAY: Duration = Duration::from_millis(200);

/// Each server in turn fails, while a key of another one is handed on again and again.
async fn own_keys_alone(kit: &Kit<'_>, fault: ShardFault) -> CaseVerdict {
    let Some(shards) = kit.builder.shards() else {
        return skipped("the builder's store does not keep its keys on several servers");
    };
    let keys = one_of_each(kit, shards);
    demand!(keys.len() > 1, "keys of several servers, got all on one");
    let mut slowest = Duration::ZERO;
    for (at, lost) in keys.iter().enumerate() {
        let near = &keys[(at + 1) % keys.len()];
        slowest = slowest.max(one_fails(kit, shards, fault, near, lost).await?);
    }
    passed(format!("{} servers, slowest handoff after {} ms", keys.len(), slowest.as_millis()))
}

async fn one_fails(
    kit: &Kit<'_>,
    shards: &dyn Shards,
    fault: ShardFault,
    near: &LeaseKey,
    lost: &LeaseKey,
) -> Result<Duration, String> {
    let [one, two] = kit.clients().await?;
    let mut wakes = match one.info().watch {
        true => Some(two.watch(&kit.prefix("")).await.map_err(|error| failed("watch", error))?),
        false => None,
    };
    let kept = kit.claim(&beside(kit, shards, lost));
    let kept = held(&kept, granted(&one, &kept).await?);
    let first = kit.claim(near);
    let mut own = held(&first, granted(&one, &first).await?);
    let mut usual = Vec::new();
    for _ in 0..HANDOFFS.0 / 3 {
        let begun = Instant::now();
        own = handed_on(kit, &one, &two, &mut wakes, own).await?;
        usual.push(begun.elapsed());
    }
    usual.sort();
    shards.fail(lost, fault).await.map_err(|error| format!("expected the server of {lost:?} to fail, got {error}"))?;

    let mut times = Vec::new();
    for _ in 0..HANDOFFS.0 {
        let begun = Instant::now();
        own = handed_on(kit, &one, &two, &mut wakes, own).await?;
        times.push(begun.elapsed());
        tokio::time::sleep(HANDOFFS.1).await;
    }
    // As fast as before, apart from pauses of the machine itself.
    let median = usual[usual.len() / 2];
    let slow = times.iter().filter(|time| **time > median * 20 + INSIGNIFICANT_DELAY).count();
    demand!(slow * 10 <= times.len(), "handoffs that take no longer than before ({median:?}), got {times:?}");

    mixed_batches(kit, shards, &one, near, lost).await?;
    let new = tokio::time::timeout(kit.options.call_bound, kit.client()).await;
    let new = new.map_err(|_| "expected a client to open while one server is down".to_owned())??;
    own = handed_on(kit, &new, &two, &mut wakes, own).await?;
    let term = new.last_term(near).await.map_err(|error| failed("last term", error))?;
    demand!(term == Some(own.term), "the last term {}, got {term:?}", own.term);
    let record = new.record(near).await.map_err(|error| failed("record", error))?;
    demand!(record.is_some_and(|record| record.term == Some(own.term)), "the record of {near:?}");
    // A list that is not complete is none.
    match tokio::time::timeout(kit.options.call_bound, new.list(&kit.prefix(""))).await {
        Ok(Ok(list)) => {
            let whole = list.iter().any(|record| record.key == kept.key);
            demand!(whole, "a list with {:?} in it, or none, got {} others", kept.key, list.len());
        }
        Ok(Err(error)) => demand!(error.is_retryable(), "a list that fails to be retryable, got {error}"),
        Err(_) => {}
    }

    shards.mend().await.map_err(|error| format!("expected the server of {lost:?} to come back, got {error}"))?;
    let deadline = Instant::now() + kit.options.call_bound * 2;
    loop {
        match renew(&one, &kept).await {
            Ok(_) => break,
            Err(words) => demand!(Instant::now() < deadline, "{lost:?} to be served again, got: {words}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if one.info().durable {
        extended(&one, &kept).await?;
    }
    freed(&one, &own).await?;
    Ok(times.into_iter().max().unwrap_or_default())
}

/// One client releases; the other gets the hint and claims.
async fn handed_on(
    kit: &Kit<'_>,
    from: &Arc<dyn LeaseStore>,
    to: &Arc<dyn LeaseStore>,
    wakes: &mut Option<WakeStream>,
    own: Held,
) -> Result<Held, String> {
    extended(from, &own).await?;
    match release(from, &own).await? {
        Released::Freed => {}
        Released::NotHeld => return Err(format!("expected a release of {:?} to free it, got NotHeld", own.key)),
    }
    if let Some(wakes) = wakes {
        told(kit, wakes, &own.key).await?;
    }
    let claim = kit.claim(&own.key);
    let term = granted(to, &claim).await?;
    demand!(term > own.term, "a term above {}, got {term}", own.term);
    Ok(held(&claim, term))
}

async fn told(kit: &Kit<'_>, wakes: &mut WakeStream, key: &LeaseKey) -> Result<(), String> {
    let deadline = Instant::now() + kit.options.wake_bound;
    loop {
        match tokio::time::timeout_at(deadline, wakes.next()).await {
            Ok(Some(wake)) if wake.key.is_none() => return Ok(()),
            Ok(Some(wake)) if wake.change == WakeChange::Freed && wake.key.as_ref() == Some(key) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => return Err("expected a hint, got the end of the watch".to_owned()),
            Err(_) => {
                let bound = kit.options.wake_bound;
                return Err(format!("expected a hint that {key:?} came free within {bound:?}, got none"));
            }
        }
    }
}

/// In a batch that touches the dead server, the items of that server fail with a retryable error, and the others are
/// done.
async fn mixed_batches(
    kit: &Kit<'_>,
    shards: &dyn Shards,
    store: &Arc<dyn LeaseStore>,
    near: &LeaseKey,
    lost: &LeaseKey,
) -> Result<(), String> {
    if store.info().batch_limit < 3 {
        return Ok(());
    }
    for _ in 0..3 {
        let claims = [near, lost, near].map(|key| kit.claim(&beside(kit, shards, key)));
        let answers = store.acquire(&claims).await.map_err(|error| failed("batch over several servers", error))?;
        let granted = |answer: &Result<Claimed, _>| matches!(answer, Ok(Claimed::Granted { .. }));
        demand!(granted(&answers[0]) && granted(&answers[2]), "the others' claims to be granted, got {answers:?}");
        let retryable = answers[1].as_ref().is_err_and(tenure_store::StoreError::is_retryable);
        demand!(retryable, "the dead server's claim to fail as retryable, got {:?}", answers[1]);
    }
    Ok(())
}

/// One key of each server, for as many servers as are found.
fn one_of_each(kit: &Kit<'_>, shards: &dyn Shards) -> Vec<LeaseKey> {
    let mut keys: Vec<LeaseKey> = Vec::new();
    for n in 0..200 {
        let key = kit.key(&format!("k{n}"));
        if !keys.iter().any(|known| shards.together(known, &key)) {
            keys.push(key);
        }
    }
    keys
}

/// A new key that the same server keeps.
fn beside(kit: &Kit<'_>, shards: &dyn Shards, key: &LeaseKey) -> LeaseKey {
    let mut others = (0..10_000).map(|_| kit.new_key());
    others.find(|other| shards.together(key, other)).unwrap_or_else(|| key.clone())
}
