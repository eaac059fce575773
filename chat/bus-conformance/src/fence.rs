//! A lower term is refused, an equal one admitted, a higher one remembered.

use tenure_bus::{Bus, FollowFrom, Published, Refusal};

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure, message, messages};
use crate::harness::{next, publish, publish_as, silent, stored, term};

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    harness.check("lower_term_is_refused", &[Need::Fence], lower_term_is_refused).await;
    harness.check("equal_and_higher_terms_are_admitted", &[Need::Fence], equal_and_higher).await;
    harness.check("fences_are_apart_by_key", &[Need::Fence], fences_are_apart_by_key).await;
    harness.check("refused_is_never_seen", &[Need::Fence, Need::Follow], refused_is_never_seen).await;
    harness.check("fence_comes_before_dedupe", &[Need::Fence, Need::Dedupe], fence_comes_before_dedupe).await;
}

/// After a term was admitted, every message under a lower one is refused with the one seen, by every client.
async fn lower_term_is_refused(fresh: Fresh<'_>) -> CheckResult {
    let (new, old) = (fresh.client().await?, fresh.client().await?);
    stored(&publish_as(&*old, SUBJECT, Some(("lease", term(7)?)), &[message(0)]).await?)?;
    stored(&publish_as(&*new, SUBJECT, Some(("lease", term(9)?)), &[message(1)]).await?)?;
    for bus in [&old, &new, &fresh.client().await?] {
        refused(&**bus, 8, 9).await?;
    }
    Ok(())
}

/// A publisher goes on under its own term; a newer one takes over at once; without a fence nothing is asked.
async fn equal_and_higher(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let greatest = tenure_core::Term::LIMIT - 1;
    for (number, at) in [1, 1, 2, 2, 1_764_000_000_000_000, greatest, greatest].into_iter().zip(0..) {
        stored(&publish_as(&*bus, SUBJECT, Some(("lease", term(number)?)), &[message(at)]).await?)?;
    }
    stored(&publish(&*bus, &[message(99)]).await?)?;
    refused(&*bus, greatest - 1, greatest).await
}

/// The term of one lease says nothing about another.
async fn fences_are_apart_by_key(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    stored(&publish_as(&*bus, SUBJECT, Some(("one", term(9)?)), &[message(1)]).await?)?;
    stored(&publish_as(&*bus, SUBJECT, Some(("other", term(3)?)), &[message(2)]).await?)?;
    stored(&publish_as(&*bus, SUBJECT, Some(("", term(1)?)), &[message(3)]).await?)?;
    Ok(())
}

/// Nothing of a refused batch reaches the bus, and its ids are free; terms are seen where the bus keeps them.
async fn refused_is_never_seen(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let mut stream = bus.follow(SUBJECT, FollowFrom::Start).await.map_err(|error| error.to_string())?;
    stored(&publish_as(&*bus, SUBJECT, Some(("lease", term(9)?)), &[message(0)]).await?)?;
    refused(&*bus, 8, 9).await?;
    stored(&publish_as(&*bus, SUBJECT, Some(("lease", term(10)?)), &messages(100..105)).await?)?;
    let followed = next(&mut stream, 6).await?;
    ensure!(followed[0].term.is_none_or(|seen| seen.get() == 9), "term {:?} instead of 9", followed[0].term);
    ensure!(followed[5].term.is_none_or(|seen| seen.get() == 10), "term {:?} instead of 10", followed[5].term);
    silent(&mut stream).await
}

/// A stale publisher learns that it is stale, also about messages that are there already.
async fn fence_comes_before_dedupe(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let first = messages(100..105);
    stored(&publish_as(&*bus, SUBJECT, Some(("lease", term(9)?)), &first).await?)?;
    refused(&*bus, 8, 9).await?;
    let again = publish_as(&*bus, SUBJECT, Some(("lease", term(9)?)), &first).await?;
    ensure!(again.iter().all(|answer| matches!(answer, Ok(Published::Duplicate(_)))), "{again:?}");
    Ok(())
}

/// Five messages under `lower` are all refused because of `seen`.
async fn refused(bus: &dyn Bus, lower: u64, seen: u64) -> CheckResult {
    let answers = publish_as(bus, SUBJECT, Some(("lease", term(lower)?)), &messages(100..105)).await?;
    let expected = Refusal::Fenced { seen: term(seen)? };
    ensure!(answers.iter().all(|answer| answer == &Err(expected.clone())), "{answers:?} instead of {expected:?}");
    Ok(())
}
