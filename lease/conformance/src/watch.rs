//! Watching: hints that come in time.

use futures_util::StreamExt;
use tenure_store::{LeaseKey, StoreErrorKind, WakeChange, WakeStream};
use tokio::time::Instant;

use crate::kit::*;

/// A release by another client wakes a watcher within the bound; a store without watch says so.
pub(crate) async fn a_release_wakes_within_a_deadline(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let started = two.watch(&kit.prefix("")).await;
    if !one.info().watch {
        let kind = started.err().map(|error| error.kind());
        demand!(kind == Some(StoreErrorKind::Unsupported), "watching to be Unsupported as info() says, got {kind:?}");
        return skipped("the store has no watch");
    }
    drop(started.map_err(|error| failed("watch", error))?);
    let claim = kit.claim(&key);
    let own = held(&claim, granted(&one, &claim).await?);
    let mut wakes = two.watch(&kit.prefix("")).await.map_err(|error| failed("watch", error))?;
    quiet(&mut wakes).await;
    let sent = Instant::now();
    freed(&one, &own).await?;
    woken(kit, &mut wakes, &key, WakeChange::Freed).await?;
    passed(format!("after {} ms", sent.elapsed().as_millis()))
}

/// Every watcher whose prefix matches is woken, of the same client and of others.
pub(crate) async fn every_watcher_is_woken(kit: &Kit<'_>) -> CaseVerdict {
    let stores: [_; 2] = kit.clients().await?;
    if !stores[0].info().watch {
        return skipped("the store has no watch");
    }
    let key = kit.key("a/k");
    let claim = kit.claim(&key);
    let own = held(&claim, granted(&stores[0], &claim).await?);
    let mut watchers = Vec::new();
    for store in [&stores[0], &stores[1], &stores[1]] {
        for prefix in ["", "a/", "a/k"] {
            let mut wakes = store.watch(&kit.prefix(prefix)).await.map_err(|error| failed("watch", error))?;
            quiet(&mut wakes).await;
            watchers.push(wakes);
        }
    }
    freed(&stores[0], &own).await?;
    for wakes in &mut watchers {
        woken(kit, wakes, &key, WakeChange::Freed).await?;
    }
    passed(format!("{} watchers", watchers.len()))
}

/// A lease that is deleted by force wakes a watcher within the bound, and so does another program's record.
pub(crate) async fn a_deleted_lease_wakes(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    if !store.info().watch {
        return skipped("the store has no watch");
    }
    let key = kit.key("k");
    granted(&store, &kit.claim(&key)).await?;
    let mut wakes = store.watch(&kit.prefix("")).await.map_err(|error| failed("watch", error))?;
    quiet(&mut wakes).await;
    let operator = kit.client().await?;
    operator.remove(&key).await.map_err(|error| failed("removal", error))?;
    woken(kit, &mut wakes, &key, WakeChange::Freed).await?;
    let (other, holder) = (kit.key("other"), kit.claim(&key).holder);
    if let Some(planting) = kit.builder.records().and_then(|records| records.plant(&other, &holder)) {
        planting.await.map_err(|error| format!("expected a foreign record to be written, got {error}"))?;
        quiet(&mut wakes).await;
        operator.remove(&other).await.map_err(|error| failed("removal", error))?;
        woken(kit, &mut wakes, &other, WakeChange::Freed).await?;
    }
    PASSED
}

/// A claim by another client that begins a tenure wakes a watcher within the bound, of a free key and of one whose lease ran
/// out.
pub(crate) async fn a_new_tenure_wakes(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    if !one.info().watch {
        return skipped("the store has no watch");
    }
    let key = kit.key("k");
    let mut wakes = two.watch(&kit.prefix("")).await.map_err(|error| failed("watch", error))?;
    quiet(&mut wakes).await;
    let short = kit.short(&one, &key);
    granted(&one, &short).await?;
    woken(kit, &mut wakes, &key, WakeChange::Taken).await?;
    tokio::time::sleep(short.ttl).await;
    quiet(&mut wakes).await;
    kit.until_granted(&one, &kit.claim(&key), short.ttl).await?;
    woken(kit, &mut wakes, &key, WakeChange::Taken).await?;
    PASSED
}

/// Drains the hints that a watch sends at its start: hints may be wrong or late, so a hint before the change proves
/// nothing.
pub(crate) async fn quiet(wakes: &mut WakeStream) {
    let moment = std::time::Duration::from_millis(100);
    while let Ok(Some(_)) = tokio::time::timeout(moment, wakes.next()).await {}
}

/// Waits for a hint about `key` or without a key, which says this change or that the change is unknown.
pub(crate) async fn woken(
    kit: &Kit<'_>,
    wakes: &mut WakeStream,
    key: &LeaseKey,
    change: WakeChange,
) -> Result<(), String> {
    let says = |said: WakeChange| said == change || said == WakeChange::Unknown;
    let deadline = Instant::now() + kit.options.wake_bound;
    loop {
        match tokio::time::timeout_at(deadline, wakes.next()).await {
            Ok(Some(wake)) if says(wake.change) && wake.key.as_ref().is_none_or(|woken| woken == key) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => return Err("expected a wake-up, got the end of the watch".to_owned()),
            Err(_) => {
                let bound = kit.options.wake_bound;
                return Err(format!("expected a wake-up that says {change:?} within {bound:?}, got none"));
            }
        }
    }
}
