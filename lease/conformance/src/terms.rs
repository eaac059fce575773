//! Terms: the term of each tenure exceeds all before it, whatever happened to the record, and is constant during the
//! tenure.

use std::time::Duration;

use futures_util::FutureExt;
use tenure_store::{Claim, LeaseKey, StoreErrorKind, Term};

use crate::builder::BuildError;
use crate::kit::*;

/// Each tenure after a release has a higher term.
pub(crate) async fn grow_over_releases(kit: &Kit<'_>) -> CaseVerdict {
    let stores: [_; 2] = kit.clients().await?;
    let key = kit.key("k");
    let mut last = None;
    for round in 0..10 {
        let store = &stores[round % 2];
        let claim = kit.claim(&key);
        let term = granted(store, &claim).await?;
        demand!(last.is_none_or(|last| term > last), "a term above {last:?}, got {term}");
        demand!(term.get() < Term::LIMIT, "a term below 2^52, got {term}");
        freed(store, &held(&claim, term)).await?;
        last = Some(term);
    }
    PASSED
}

/// The tenure after an expired one has a higher term.
pub(crate) async fn grow_over_expiry(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let first = kit.short(&one, &key);
    let old = granted(&one, &first).await?;
    let (new, _) = kit.until_granted(&two, &kit.claim(&key), first.ttl).await?;
    demand!(new > old, "a term above {old}, got {new}");
    PASSED
}

/// The tenure after a forced deletion has a higher term, and the deleted one is lost.
pub(crate) async fn grow_over_deletion(kit: &Kit<'_>) -> CaseVerdict {
    let (operator, key) = (kit.client().await?, kit.key("k"));
    over(kit, &key, || Some(async { operator.remove(&key).await.map(drop).map_err(BuildError::from) }.boxed())).await
}

/// The tenure after a lost record has a higher term all the same, because a clock seeds it.
pub(crate) async fn grow_over_the_loss_of_the_record(kit: &Kit<'_>) -> CaseVerdict {
    let Some(records) = kit.builder.records() else {
        return skipped("the builder cannot delete records");
    };
    let key = kit.key("k");
    match records.forget(&key) {
        None => skipped("the builder cannot make the store forget"),
        Some(nothing) => {
            drop(nothing);
            over(kit, &key, || records.forget(&key)).await
        }
    }
}

/// The granted term exceeds the highest one that the candidate has seen, and what follows exceeds that.
pub(crate) async fn exceed_above(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    // Far ahead of any clock that seeds terms.
    let above = named(Term::new(Term::LIMIT / 2 + 17).ok_or(()));
    let first = Claim { above: Some(above), ..kit.claim(&key) };
    let term = granted(&store, &first).await?;
    demand!(term > above, "a term above {above}, got {term}");
    freed(&store, &held(&first, term)).await?;
    let second = Claim { above: Term::new(1), ..kit.claim(&key) };
    let next = granted(&store, &second).await?;
    demand!(next > term, "a term above {term} though `above` is lower, got {next}");
    PASSED
}

/// Renewals leave the term as it is.
pub(crate) async fn stay_the_same_over_renewals(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = kit.claim(&kit.key("k"));
    let term = granted(&store, &claim).await?;
    for _ in 0..3 {
        extended(&store, &held(&claim, term)).await?;
        let listed = list(&store, &kit.prefix("")).await?;
        let seen = listed.first().and_then(|record| record.term);
        demand!(seen == Some(term), "the term {term} to stay, got {seen:?}");
    }
    PASSED
}

/// A claim above which no term is left fails by itself, rather than repeat a term, and leaves the key free.
pub(crate) async fn exhausted_terms_are_refused(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    let claim = Claim { above: Term::new(Term::LIMIT - 1), ..kit.claim(&key) };
    match one(store.acquire(&[claim]).await, "claim") {
        Err(error) if error.kind() == StoreErrorKind::Invalid => {}
        other => return Err(format!("expected the claim to be refused as Invalid, got {other:?}")),
    }
    granted(&store, &kit.claim(&key)).await?;
    PASSED
}

/// The highest term of a key is told while it is held and after every kind of end, for that key alone.
pub(crate) async fn the_last_one_is_told_after_its_end(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let (key, other) = (kit.key("k"), kit.key("k2"));
    let told = async |expected: Option<Term>, when: &str| {
        for store in [&one, &two] {
            let last = store.last_term(&key).await.map_err(|error| failed("look at the last term", error))?;
            demand!(last == expected, "the last term to be {expected:?} {when}, got {last:?}");
        }
        Ok(())
    };
    told(None, "before any tenure").await?;
    let above = Term::new(Term::LIMIT / 2);
    granted(&one, &Claim { above, ..kit.claim(&other) }).await?;
    told(None, "where only another key had one").await?;
    let released = kit.claim(&key);
    let first = granted(&one, &released).await?;
    told(Some(first), "while it is held").await?;
    freed(&one, &held(&released, first)).await?;
    told(Some(first), "after a release").await?;
    let short = kit.short(&one, &key);
    let second = granted(&one, &short).await?;
    told(Some(second), "of the second tenure").await?;
    tokio::time::sleep(short.ttl + TOLERANCE).await;
    told(Some(second), "after its expiry").await?;
    let (third, _) = kit.until_granted(&two, &kit.claim(&key), short.ttl).await?;
    one.remove(&key).await.map_err(|error| failed("removal", error))?;
    told(Some(third), "after a removal by force").await?;
    PASSED
}

type RecordChange<'a> = Option<futures_util::future::BoxFuture<'a, Result<(), BuildError>>>;

async fn over<'a>(kit: &Kit<'_>, key: &LeaseKey, change: impl Fn() -> RecordChange<'a>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let first = kit.claim(key);
    let old = held(&first, granted(&one, &first).await?);
    if let Some(change) = change() {
        change.await.map_err(|error| format!("expected the record to go, got {error}"))?;
    }
    let answer = renew(&one, &old).await?;
    demand!(
        answer == tenure_store::Renewed::Lost { to: None },
        "the holder's renewal to be Lost to nobody, got {answer:?}"
    );
    // A clock that seeds in microseconds must have advanced; the claims above took longer than that.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let new = granted(&two, &kit.claim(key)).await?;
    demand!(new > old.term, "a term above {}, got {new}", old.term);
    PASSED
}
