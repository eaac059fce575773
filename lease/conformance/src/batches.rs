//! Batches: one answer per item, in order; no item affects another.

use std::time::Duration;

use tenure_store::{Claim, Claimed, Held, Released, Renewed, StoreErrorKind};

use crate::kit::*;

/// An empty batch answers an empty list.
pub(crate) async fn an_empty_batch_answers_nothing(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claimed = store.acquire(&[]).await.map_err(|error| failed("empty batch of claims", error))?;
    let renewed = store.renew(&[]).await.map_err(|error| failed("empty batch of renewals", error))?;
    let released = store.release(&[]).await.map_err(|error| failed("empty batch of releases", error))?;
    demand!(claimed.is_empty() && renewed.is_empty() && released.is_empty(), "no answers to no items");
    PASSED
}

/// A batch of one gets one answer from every verb.
pub(crate) async fn a_batch_of_one(kit: &Kit<'_>) -> CaseVerdict {
    whole_life(kit, 1).await
}

/// A batch of a thousand, or of as many as the store takes, gets as many answers from every verb.
pub(crate) async fn a_batch_of_a_thousand(kit: &Kit<'_>) -> CaseVerdict {
    let limit = kit.client().await?.info().batch_limit;
    whole_life(kit, limit.min(1_000)).await
}

/// An item that cannot be done fails alone: those around it are done.
pub(crate) async fn one_bad_item_fails_alone(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    if store.info().batch_limit < 3 {
        return skipped("the store takes no batch of three");
    }
    let mut claims: Vec<Claim> = ["a", "bad", "z"].iter().map(|name| kit.claim(&kit.key(name))).collect();
    claims[1].ttl = Duration::ZERO;
    let answers = store.acquire(&claims).await.map_err(|error| failed("batch with a bad item", error))?;
    demand!(answers.len() == 3, "three answers, got {}", answers.len());
    let bad = answers[1].as_ref().map_err(tenure_store::StoreError::kind);
    demand!(bad == Err(StoreErrorKind::Invalid), "the claim with a ttl of zero to be Invalid, got {bad:?}");
    let mut own = Vec::new();
    for (claim, answer) in claims.iter().zip(&answers) {
        match answer {
            Ok(Claimed::Granted { term, .. }) => own.push(held(claim, *term)),
            Err(_) if claim.ttl.is_zero() => own.push(held(claim, own[0].term)),
            other => return Err(format!("expected the good claims to be granted, got {other:?}")),
        }
    }
    let answers = store.renew(&own).await.map_err(|error| failed("batch with a bad item", error))?;
    let good = |answer: &Result<Renewed, _>| matches!(answer, Ok(Renewed::Extended { .. }));
    demand!(good(&answers[0]) && good(&answers[2]), "the good renewals to be extended, got {answers:?}");
    demand!(answers[1].is_err(), "the renewal with a ttl of zero to fail, got {:?}", answers[1]);
    granted(&store, &kit.claim(&kit.key("bad"))).await?;
    PASSED
}

/// A batch that names a key twice is refused as a whole, and nothing of it is done.
pub(crate) async fn a_key_twice_is_refused(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let (twice, between) = (kit.key("twice"), kit.key("between"));
    let claims = [kit.claim(&twice), kit.claim(&between), kit.claim(&twice)];
    let refused = store.acquire(&claims).await.map_err(|error| error.kind());
    demand!(matches!(refused, Err(StoreErrorKind::Invalid)), "the batch to be refused as Invalid, got {refused:?}");
    demand!(list(&store, &kit.prefix("")).await?.is_empty(), "nothing of the refused batch to be done");
    let own = held(&claims[0], granted(&store, &claims[0]).await?);
    let twice = [own.clone(), own.clone()];
    let refused = store.renew(&twice).await.map_err(|error| error.kind());
    demand!(matches!(refused, Err(StoreErrorKind::Invalid)), "renewals to be refused as Invalid, got {refused:?}");
    let refused = store.release(&twice).await.map_err(|error| error.kind());
    demand!(matches!(refused, Err(StoreErrorKind::Invalid)), "releases to be refused as Invalid, got {refused:?}");
    extended(&store, &own).await?;
    PASSED
}

/// A batch above the store's own limit is refused as a whole, and nothing of it is done.
pub(crate) async fn too_large_a_batch_is_refused(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let limit = store.info().batch_limit;
    if limit > 200_000 {
        return skipped("the store's limit is too large to exceed here");
    }
    let claims: Vec<Claim> = (0..=limit).map(|n| kit.claim(&kit.key(&n.to_string()))).collect();
    let refused = store.acquire(&claims).await.map_err(|error| error.kind());
    demand!(
        matches!(refused, Err(StoreErrorKind::Invalid)),
        "a batch of {} to be refused as Invalid, got {} answers",
        claims.len(),
        refused.map_or(0, |answers| answers.len())
    );
    demand!(list(&store, &kit.prefix("")).await?.is_empty(), "nothing of the refused batch to be done");
    PASSED
}

/// Answers stand in the order of their items, whatever they are.
pub(crate) async fn answers_come_in_order(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    if one.info().batch_limit < 6 {
        return skipped("the store takes no batch of six");
    }
    // Keys whose order differs from the order in which they are sent; somebody else holds every second one.
    let names = ["m", "z", "a", "y", "b", "n"];
    let theirs: Vec<Claim> = names.iter().skip(1).step_by(2).map(|name| kit.claim(&kit.key(name))).collect();
    let answers = two.acquire(&theirs).await.map_err(|error| failed("batch", error))?;
    demand!(answers.iter().all(|answer| matches!(answer, Ok(Claimed::Granted { .. }))), "free keys, got {answers:?}");
    let mine: Vec<Claim> = names.iter().map(|name| kit.claim(&kit.key(name))).collect();
    let answers = one.acquire(&mine).await.map_err(|error| failed("batch", error))?;
    demand!(answers.len() == names.len(), "{} answers, got {}", names.len(), answers.len());
    for (at, answer) in answers.iter().enumerate() {
        let right = match answer {
            Ok(Claimed::Granted { .. }) => at % 2 == 0,
            Ok(Claimed::Held { by, .. }) => at % 2 == 1 && *by == theirs[at / 2].holder,
            Ok(Claimed::Stale { .. }) | Err(_) => false,
        };
        demand!(right, "answer {at} to belong to key {:?}, got {answer:?}", mine[at].key);
    }
    PASSED
}

async fn whole_life(kit: &Kit<'_>, count: usize) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claims: Vec<Claim> = (0..count).map(|n| kit.claim(&kit.key(&format!("{n:05}")))).collect();
    let answers = one.acquire(&claims).await.map_err(|error| failed("batch", error))?;
    demand!(answers.len() == count, "{count} answers, got {}", answers.len());
    let mut own: Vec<Held> = Vec::with_capacity(count);
    for (claim, answer) in claims.iter().zip(answers) {
        match answer {
            Ok(Claimed::Granted { term, .. }) => own.push(held(claim, term)),
            other => return Err(format!("expected {:?} to be granted, got {other:?}", claim.key)),
        }
    }
    let rivals: Vec<Claim> = claims.iter().map(|claim| kit.claim(&claim.key)).collect();
    let answers = two.acquire(&rivals).await.map_err(|error| failed("batch", error))?;
    for (claim, answer) in claims.iter().zip(&answers) {
        let right = matches!(answer, Ok(Claimed::Held { by, .. }) if *by == claim.holder);
        demand!(right, "{:?} to be held by {}, got {answer:?}", claim.key, claim.holder);
    }
    let answers = one.renew(&own).await.map_err(|error| failed("batch", error))?;
    let extended = answers.iter().filter(|answer| matches!(answer, Ok(Renewed::Extended { .. }))).count();
    demand!(extended == count, "{count} renewals to be extended, got {extended}");
    let listed = list(&two, &kit.prefix("")).await?.len();
    demand!(listed == count, "{count} leases to be listed, got {listed}");
    let answers = one.release(&own).await.map_err(|error| failed("batch", error))?;
    let freed = answers.iter().filter(|answer| matches!(answer, Ok(Released::Freed))).count();
    demand!(freed == count, "{count} leases to be freed, got {freed}");
    demand!(list(&two, &kit.prefix("")).await?.is_empty(), "an empty list after the release");
    passed(format!("{count} items"))
}
