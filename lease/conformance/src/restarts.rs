//! Restarts that bring an older state back: whoever was granted a key in the meantime may rely on it until its time is
//! over, and nobody else may be granted the key before.

use std::sync::Arc;
use std::time::Duration;

use tenure_store::{Claim, Held, LeaseKey, LeaseStore, Renewed};
use tokio::time::Instant;

use crate::builder::Rewindable;
use crate::faults::perform;
use crate::kit::*;

/// The ttl is longer than the restart itself takes, because a restart that outlasts it shows nothing. If it is too
/// short, the case is tried again with twice the ttl, up to four times it.
const TTL: Duration = Duration::from_secs(4);
const TRIES: u32 = 3;

const TOO_SLOW: &str = "expected the store to answer again within 16 s of a restart";

/// A lease that was given back and comes back with an older state is given back again, or removed by an operator: either
/// way the key is not free before the tenure has run out that the store has forgotten.
pub(crate) async fn an_older_state_frees_no_key_early(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.rewindable() else {
        return skipped("the builder cannot bring its store back with an older state");
    };
    for attempt in 0..TRIES {
        if let Some(shown) = older_state(kit, store, TTL * 2_u32.pow(attempt)).await? {
            return passed(shown);
        }
    }
    Err(TOO_SLOW.to_owned())
}

/// Returns `None` if the lease had run out already when the store answered again.
async fn older_state(kit: &Kit<'_>, store: &dyn Rewindable, ttl: Duration) -> Result<Option<String>, String> {
    let [first, second, third] = clients(store).await?;
    let ttl = first.info().min_ttl.max(ttl);
    let claim = |name: &str| Claim { ttl, ..kit.claim(&kit.key(&format!("{name}, {}", ttl.as_millis()))) };
    let mut old = Vec::new();
    for name in ["given back", "removed"] {
        let claim = claim(name);
        let (term, _) = kit.until_granted(&first, &claim, ttl).await?;
        old.push(held(&claim, term));
    }
    perform(store.save(), "the state to be kept").await?;
    let (mut new, mut sent) = (Vec::new(), Instant::now());
    for (name, old) in ["given back", "removed"].into_iter().zip(&old) {
        freed(&first, old).await?;
        let claim = claim(name);
        sent = Instant::now();
        new.push(held(&claim, granted(&second, &claim).await?));
    }
    perform(store.rewind(), "the store to come back with the older state").await?;
    answers(kit, &[&first, &second, &third], &old[0].key).await?;
    // Not at once: a store whose clock counts whole seconds must be seen to write in a later one than it started in.
    tokio::time::sleep_until(sent + ttl / 2).await;
    // The old lease may have run out meanwhile, so the answer says nothing.
    release(&first, &old[0]).await?;
    third.remove(&old[1].key).await.map_err(|error| failed("removal", error))?;
    if sent.elapsed() >= ttl {
        return Ok(None);
    }
    let claims = [claim("given back"), claim("removed")];
    let again = tokio::join!(kit.until_granted(&first, &claims[0], ttl), kit.until_granted(&third, &claims[1], ttl));
    let slowest = sent.elapsed();
    for ((term, at), forgotten) in [again.0?, again.1?].into_iter().zip(&new) {
        let lasted = at - sent;
        demand!(lasted + TOLERANCE >= ttl, "the forgotten tenure to be waited out for {ttl:?}, got {lasted:?}");
        demand!(term > forgotten.term, "a term above the forgotten {}, got {term}", forgotten.term);
        let answer = renew(&second, forgotten).await?;
        demand!(matches!(answer, Renewed::Lost { .. }), "the forgotten tenure to be Lost, got {answer:?}");
    }
    Ok(Some(format!("ttl {} ms, free after {} ms", ttl.as_millis(), slowest.as_millis())))
}

/// A lease that was extended beyond its ttl is not granted before that time is over, although the store knows nothing of it
/// any more: the next claim says for how long it may have been promised.
pub(crate) async fn what_was_promised_outlasts_a_restart(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.rewindable() else {
        return skipped("the builder cannot bring its store back with an older state");
    };
    for attempt in 0..TRIES {
        if let Some(shown) = promised(kit, store, TTL / 4 * 2_u32.pow(attempt)).await? {
            return passed(shown);
        }
    }
    Err(TOO_SLOW.to_owned())
}

/// Returns `None` if the lease had run out already when the store answered again.
async fn promised(kit: &Kit<'_>, store: &dyn Rewindable, ttl: Duration) -> Result<Option<String>, String> {
    let [one, two] = clients(store).await?;
    let ttl = one.info().min_ttl.max(ttl);
    let hold = ttl * 4;
    let claim = || Claim { ttl, hold, ..kit.claim(&kit.key(&format!("k, {}", ttl.as_millis()))) };
    let first = claim();
    let (term, _) = kit.until_granted(&one, &first, hold).await?;
    perform(store.save(), "the state to be kept").await?;
    let kept = Held { ttl: hold, ..held(&first, term) };
    let sent = Instant::now();
    extended(&one, &kept).await?;
    perform(store.rewind(), "the store to come back with the older state").await?;
    answers(kit, &[&one, &two], &kept.key).await?;
    if sent.elapsed() >= hold {
        return Ok(None);
    }
    let (next, at) = kit.until_granted(&two, &claim(), hold).await?;
    let lasted = at - sent;
    demand!(lasted + TOLERANCE >= hold, "what was promised to last {hold:?}, got {lasted:?}");
    demand!(next > term, "a term above {term}, got {next}");
    Ok(Some(format!("promised for {} ms, free after {} ms", hold.as_millis(), lasted.as_millis())))
}

/// A tenure of which nothing came back is waited out for the ttl of whoever claims, and one that was renewed since the state was
/// kept for the ttl that the record names, which whoever claims need not share.
pub(crate) async fn what_is_forgotten_is_waited_out(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.rewindable() else {
        return skipped("the builder cannot bring its store back with an older state");
    };
    for attempt in 0..TRIES {
        if let Some(shown) = forgotten(kit, store, TTL * 2_u32.pow(attempt)).await? {
            return passed(shown);
        }
    }
    Err(TOO_SLOW.to_owned())
}

/// Returns `None` if a lease had run out already when the store answered again.
async fn forgotten(kit: &Kit<'_>, store: &dyn Rewindable, ttl: Duration) -> Result<Option<String>, String> {
    let [one, two] = clients(store).await?;
    let min = one.info().min_ttl;
    let ttl = min.max(ttl);
    let short = min.max(ttl / 4);
    let of = |name: &str, lasts| Claim { ttl: lasts, ..kit.claim(&kit.key(&format!("{name}, {}", ttl.as_millis()))) };
    let claim = of("renewed", short);
    let (term, _) = kit.until_granted(&one, &claim, ttl).await?;
    let renewed = Held { ttl, ..held(&claim, term) };
    extended(&one, &renewed).await?;
    perform(store.save(), "the state to be kept").await?;
    // So that what comes back runs out well before what was promised.
    tokio::time::sleep(ttl / 4).await;
    let sent = Instant::now();
    extended(&one, &renewed).await?;
    // Waits, where the store still waits for what an earlier case has made it forget.
    let new = of("new", ttl);
    kit.until_granted(&one, &new, ttl).await?;
    let granted_by = Instant::now();
    perform(store.rewind(), "the store to come back with the older state").await?;
    answers(kit, &[&one, &two], &new.key).await?;
    if sent.elapsed() >= ttl {
        return Ok(None);
    }
    let (next, again) = (of("renewed", short), of("new", ttl));
    let claims = tokio::join!(kit.until_granted(&two, &next, ttl), kit.until_granted(&two, &again, ttl));
    let mut shown = Vec::new();
    for (name, since, at) in [("a renewed", sent, claims.0?.1), ("a new", granted_by, claims.1?.1)] {
        let lasted = at - since;
        demand!(lasted + TOLERANCE >= ttl, "{name} lease to be waited out for {ttl:?}, got {lasted:?}");
        shown.push(format!("{name} one after {} ms", lasted.as_millis()));
    }
    Ok(Some(format!("ttl {} ms, {}", ttl.as_millis(), shown.join(", "))))
}

pub(crate) async fn clients<const N: usize>(store: &dyn Rewindable) -> Result<[Arc<dyn LeaseStore>; N], String> {
    let mut clients = Vec::with_capacity(N);
    for _ in 0..N {
        clients.push(store.open().await.map_err(|error| format!("expected a client that opens, got {error}"))?);
    }
    clients.try_into().map_err(|_| "expected as many clients as were asked for".to_owned())
}

/// Waits until each of these clients gets answers again.
pub(crate) async fn answers(kit: &Kit<'_>, clients: &[&Arc<dyn LeaseStore>], key: &LeaseKey) -> Result<(), String> {
    let deadline = Instant::now() + kit.options.call_bound * 2;
    for client in clients {
        while let Err(error) = client.record(key).await {
            demand!(Instant::now() < deadline, "the store to answer again, got {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
