//! Faults: clients and stores that stop, die and come back, and what closed clients leave behind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tenure_store::{Claimed, LeaseStore, Renewed, StoreError};
use tokio::time::Instant;

use crate::builder::BuildError;
use crate::kit::*;

/// A client that is stopped beyond its ttl finds its lease lost, and what it sent meanwhile harms nobody.
pub(crate) async fn a_stopped_client_loses(kit: &Kit<'_>) -> CaseVerdict {
    let Some(opening) = kit.builder.stoppable_client() else {
        return skipped("the builder has no client that can be stopped");
    };
    let stopped = opening.await.map_err(|error| format!("expected a client that opens, got {error}"))?;
    let (one, two) = (stopped.store(), kit.client().await?);
    let key = kit.key("k");
    let first = kit.short(&one, &key);
    let old = held(&first, granted(&one, &first).await?);
    perform(stopped.stop(), "the client to be stopped").await?;
    let late = tokio::spawn({
        let (one, old) = (Arc::clone(&one), old.clone());
        async move { one.renew(&[old]).await }
    });
    let second = kit.claim(&key);
    let (term, _) = kit.until_granted(&two, &second, first.ttl).await?;
    perform(stopped.resume(), "the client to go on").await?;
    let late = tokio::time::timeout(kit.options.call_bound, late).await;
    demand!(late.is_ok(), "the stopped client's call to end within {:?}", kit.options.call_bound);
    if let Ok(Ok(Ok(answers))) = late {
        let lost = answers.iter().all(|answer| !matches!(answer, Ok(Renewed::Extended { .. })));
        demand!(lost, "the renewal of a stopped client not to be extended, got {answers:?}");
    }
    let answer = renew(&one, &old).await?;
    demand!(matches!(answer, Renewed::Lost { .. }), "the stopped client's lease to be Lost, got {answer:?}");
    extended(&two, &held(&second, term)).await?;
    PASSED
}

/// While a store does not answer, every call fails within the bound and may be retried; afterwards leases stand.
pub(crate) async fn a_store_that_stops_and_goes_on(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.stoppable() else {
        return skipped("the builder cannot stop its store");
    };
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let claim = kit.claim(&key);
    let own = held(&claim, granted(&one, &claim).await?);
    perform(store.stop(), "the store to be stopped").await?;
    let failures = all_fail(kit, &one, &two).await;
    perform(store.resume(), "the store to go on").await?;
    let slowest = failures?;
    recovered(kit, &one, &two).await?;
    extended(&one, &own).await?;
    refused(&two, &kit.claim(&key), &claim.holder).await?;
    passed(format!("slowest failure after {} ms", slowest.as_millis()))
}

/// While a store is dead, every call fails within the bound; back again it has kept leases and terms if it is durable.
pub(crate) async fn a_store_that_dies_and_comes_back(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.killable() else {
        return skipped("the builder cannot kill its store");
    };
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let claim = kit.claim(&key);
    let own = held(&claim, granted(&one, &claim).await?);
    perform(store.kill(), "the store to be killed").await?;
    let failures = all_fail(kit, &one, &two).await;
    perform(store.start(), "the store to come back").await?;
    let slowest = failures?;
    recovered(kit, &one, &two).await?;
    if one.info().durable {
        extended(&one, &own).await?;
        refused(&two, &kit.claim(&key), &claim.holder).await?;
        freed(&one, &own).await?;
    } else {
        let answer = renew(&one, &own).await?;
        demand!(answer == Renewed::Lost { to: None }, "a lease that was not kept to be Lost, got {answer:?}");
    }
    let next = granted(&two, &kit.claim(&key)).await?;
    demand!(next > own.term, "a term above {}, got {next}", own.term);
    passed(format!("slowest failure after {} ms", slowest.as_millis()))
}

/// Clients that are dropped, with their watches, leave no thread and no file behind.
pub(crate) async fn clients_close_cleanly(kit: &Kit<'_>) -> CaseVerdict {
    use futures_util::StreamExt;

    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).map(Iterator::count).ok();
    let use_some = async || -> Result<(), String> {
        let mut open = Vec::new();
        for n in 0..8 {
            let store = kit.client().await?;
            granted(&store, &kit.claim(&kit.key(&format!("{n}/{:?}", Instant::now())))).await?;
            let watch = match store.info().watch {
                true => Some(store.watch(&kit.prefix("")).await.map_err(|error| failed("watch", error))?.take(1)),
                false => None,
            };
            open.push((store, watch));
        }
        Ok(())
    };
    // Runs once to warm up, because resources that are created once for all do not count.
    use_some().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (Some(threads), Some(files)) = (count("task"), count("fd")) else {
        return skipped("threads and open files cannot be counted without /proc");
    };
    for _ in 0..3 {
        use_some().await?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = (count("task").unwrap_or(0), count("fd").unwrap_or(0));
        if now.0 <= threads && now.1 <= files {
            return passed(format!("{threads} threads and {files} files before and after"));
        }
        demand!(Instant::now() < deadline, "{threads} threads and {files} files to be left, got {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn perform(act: BoxFuture<'_, Result<(), BuildError>>, what: &str) -> Result<(), String> {
    act.await.map_err(|error| format!("expected {what}, got {error}"))
}

/// Checks that every writing verb fails within the bound, with a retryable error; returns the time of the slowest one.
async fn all_fail(kit: &Kit<'_>, one: &Arc<dyn LeaseStore>, two: &Arc<dyn LeaseStore>) -> Result<Duration, String> {
    let claim = kit.claim(&kit.key("down"));
    let own = held(&claim, tenure_store::Term::new(1).ok_or("expected 1 to be a term")?);
    let begun = Instant::now();
    let bound = kit.options.call_bound;
    let acquire = async { one_error(one.acquire(std::slice::from_ref(&claim)).await) };
    let renew = async { one_error(two.renew(std::slice::from_ref(&own)).await) };
    let release = async { one_error(one.release(std::slice::from_ref(&own)).await) };
    let all = async { tokio::join!(acquire, renew, release) };
    let Ok((acquired, renewed, released)) = tokio::time::timeout(bound, all).await else {
        return Err(format!("expected every call to end within {bound:?} while the store does not answer"));
    };
    for (verb, error) in [("acquire", acquired), ("renew", renewed), ("release", released)] {
        match error {
            Some(error) => {
                demand!(error.is_retryable(), "{verb} to fail as retryable, got {:?}: {error}", error.kind())
            }
            None => return Err(format!("expected {verb} to fail while the store does not answer, got an answer")),
        }
    }
    // A list may be answered from elsewhere, but must end too.
    let listing = tokio::time::timeout(bound, two.list(&kit.prefix(""))).await;
    demand!(listing.is_ok(), "a list to end within {bound:?} while the store does not answer");
    Ok(begun.elapsed())
}

fn one_error<T>(answers: Result<Vec<Result<T, StoreError>>, StoreError>) -> Option<StoreError> {
    match answers {
        Err(error) => Some(error),
        Ok(answers) => answers.into_iter().find_map(Result::err),
    }
}

/// Checks that both clients get answers again.
async fn recovered(kit: &Kit<'_>, one: &Arc<dyn LeaseStore>, two: &Arc<dyn LeaseStore>) -> Result<(), String> {
    let deadline = Instant::now() + kit.options.call_bound * 2;
    for store in [one, two] {
        loop {
            let claim = kit.claim(&kit.key(&format!("recovered/{:?}", Instant::now())));
            match acquire(store, &claim).await {
                Ok(Claimed::Granted { .. }) => break,
                other => demand!(Instant::now() < deadline, "the store to answer again, got {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
