//! How long a lease lasts: never shorter than a holder may believe, and not much longer.

use std::time::Duration;

use tenure_store::{Claim, Claimed, Held, Released, Renewed};
use tokio::time::Instant;

use crate::kit::*;

/// A lease lasts at least its ttl from the moment the claim was sent, and then ends without anybody's help.
pub(crate) async fn a_lease_lasts_its_ttl_and_no_more(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let first = kit.short(&one, &key);
    let sent = Instant::now();
    granted(&one, &first).await?;
    let (_, at) = kit.until_granted(&two, &kit.claim(&key), first.ttl).await?;
    lasted(sent, first.ttl, at)
}

/// A holder that counts its deadline from the retry of a claim is not later than the store.
pub(crate) async fn a_retried_claim_lasts_its_ttl_from_the_retry(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let claim = kit.short(&one, &key);
    let term = granted(&one, &claim).await?;
    // The answer above counts as lost; the retry comes when half of the ttl has passed.
    tokio::time::sleep(claim.ttl / 2).await;
    let sent = Instant::now();
    let again = granted(&one, &claim).await?;
    demand!(again == term, "the unchanged term {term}, got {again}");
    let (_, at) = kit.until_granted(&two, &kit.claim(&key), claim.ttl).await?;
    lasted(sent, claim.ttl, at)
}

/// A renewal lasts at least its ttl from the moment it was sent.
pub(crate) async fn a_renewal_lasts_its_ttl_from_the_renewal(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let claim = kit.short(&one, &key);
    let own = held(&claim, granted(&one, &claim).await?);
    tokio::time::sleep(claim.ttl / 2).await;
    let sent = Instant::now();
    extended(&one, &own).await?;
    let (_, at) = kit.until_granted(&two, &kit.claim(&key), claim.ttl).await?;
    lasted(sent, claim.ttl, at)
}

/// What a lease was last extended for is what its record tells: by a repeated claim the longer ttl, by a renewal its own.
pub(crate) async fn a_longer_ttl_is_told(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = kit.claim(&kit.key("k"));
    let told = async |ttl: Duration| {
        let record = two.record(&claim.key).await.map_err(|error| failed("record", error))?;
        let told = record.as_ref().and_then(|record| record.ttl);
        demand!(told == Some(ttl), "a ttl of {ttl:?} to be told, got {told:?}");
        Ok(())
    };
    let term = granted(&one, &claim).await?;
    told(claim.ttl).await?;
    let again = granted(&one, &Claim { ttl: claim.ttl * 2, ..claim.clone() }).await?;
    demand!(again == term, "the unchanged term {term}, got {again}");
    told(claim.ttl * 2).await?;
    granted(&one, &claim).await?;
    told(claim.ttl * 2).await?;
    extended(&one, &Held { ttl: claim.ttl / 2, ..held(&claim, term) }).await?;
    told(claim.ttl / 2).await?;
    PASSED
}

/// A lease whose holder is asked to resign, and is dead, ends like any other. The request may count as one more renewal.
pub(crate) async fn a_request_to_resign_keeps_nothing(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = kit.short(&one, &kit.key("k"));
    granted(&one, &claim).await?;
    let sent = Instant::now();
    for _ in 0..2 {
        let asked = two.request_resign(&claim.key).await.map_err(|error| failed("request", error))?;
        demand!(asked, "the holder to be asked");
    }
    let (_, at) = kit.until_granted(&two, &kit.claim(&claim.key), claim.ttl * 2).await?;
    passed(format!("after {} ms", (at - sent).as_millis()))
}

/// Renewing an expired lease is Lost, even if nobody took it; releasing it frees nothing that is somebody else's.
pub(crate) async fn renewing_an_expired_lease_is_lost(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = kit.short(&store, &kit.key("k"));
    let own = held(&claim, granted(&store, &claim).await?);
    gone(kit, &store, claim.ttl).await?;
    let answer = renew(&store, &own).await?;
    demand!(answer == Renewed::Lost { to: None }, "a renewal after the expiry to be Lost, got {answer:?}");
    let asked = store.request_resign(&claim.key).await.map_err(|error| failed("request", error))?;
    demand!(!asked, "nobody to be asked to resign after the expiry");
    // Whether the record is still there to be freed is up to the store.
    release(&store, &own).await?;
    granted(&store, &kit.claim(&claim.key)).await?;
    let answer = release(&store, &own).await?;
    demand!(answer == Released::NotHeld, "a release of the next holder's lease to be NotHeld, got {answer:?}");
    PASSED
}

/// A claim that meets its own nonce in an expired record begins a new tenure, under a new term.
pub(crate) async fn an_expired_nonce_gets_a_new_term(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = kit.short(&store, &kit.key("k"));
    let term = granted(&store, &claim).await?;
    gone(kit, &store, claim.ttl).await?;
    let again = granted(&store, &claim).await?;
    demand!(again > term, "a term above {term}, got {again}");
    let answer = renew(&store, &held(&claim, term)).await?;
    demand!(matches!(answer, Renewed::Lost { .. }), "a renewal under the old term to be Lost, got {answer:?}");
    PASSED
}

/// The remaining time that a record states is a lower bound, and falls as time passes.
pub(crate) async fn remaining_is_a_lower_bound_and_falls(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let first = kit.short(&one, &key);
    granted(&one, &first).await?;
    let rival = kit.claim(&key);
    let sent = Instant::now();
    let told = match acquire(&two, &rival).await? {
        Claimed::Held { remaining: Some(remaining), .. } => remaining,
        Claimed::Held { remaining: None, .. } => return skipped("the store does not know what remains"),
        other => return Err(format!("expected the second claim to be refused, got {other:?}")),
    };
    demand!(told <= first.ttl, "at most the ttl {:?} to remain, got {told:?}", first.ttl);
    let mut last = told;
    loop {
        match acquire(&two, &rival).await? {
            Claimed::Held { remaining, .. } => {
                let remaining = remaining.unwrap_or_default();
                demand!(remaining <= last, "what remains not to grow from {last:?}, got {remaining:?}");
                last = remaining;
            }
            Claimed::Granted { .. } => break,
            stale @ Claimed::Stale { .. } => {
                return Err(format!("expected a claim without a last term to pass, got {stale:?}"));
            }
        }
        demand!(sent.elapsed() < first.ttl + kit.options.expiry_slack, "the lease to end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    demand!(last < told, "what remains to fall below {told:?}, got {last:?} at last");
    let lasted = sent.elapsed();
    demand!(lasted + TOLERANCE >= told, "the lease to last the {told:?} that were told, got {lasted:?}");
    PASSED
}

/// A holder that goes silent is replaced under a higher term, and learns by whom when it speaks again.
pub(crate) async fn a_silent_holder_is_replaced(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let first = kit.short(&one, &key);
    let old = held(&first, granted(&one, &first).await?);
    let second = kit.claim(&key);
    let (term, _) = kit.until_granted(&two, &second, first.ttl).await?;
    demand!(term > old.term, "a term above {}, got {term}", old.term);
    let answer = renew(&one, &old).await?;
    let to = Some(second.holder.clone());
    demand!(
        answer == Renewed::Lost { to: to.clone() },
        "the old holder's renewal to be Lost to {to:?}, got {answer:?}"
    );
    let answer = release(&one, &old).await?;
    demand!(answer == Released::NotHeld, "the old holder's release to be NotHeld, got {answer:?}");
    extended(&two, &held(&second, term)).await?;
    PASSED
}

/// Waits until the case's lease is no longer listed.
async fn gone(
    kit: &Kit<'_>,
    store: &std::sync::Arc<dyn tenure_store::LeaseStore>,
    ttl: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + ttl + kit.options.expiry_slack;
    while !list(store, &kit.prefix("")).await?.is_empty() {
        demand!(Instant::now() < deadline, "the lease to leave the list within {ttl:?} and the slack");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn lasted(sent: Instant, ttl: Duration, granted: Instant) -> CaseVerdict {
    let lasted = granted - sent;
    demand!(lasted + TOLERANCE >= ttl, "the lease to last {ttl:?} from its sending, got {lasted:?}");
    passed(format!("ttl {} ms, free after {} ms", ttl.as_millis(), lasted.as_millis()))
}
