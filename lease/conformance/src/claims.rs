//! Claims: who gets a key, and what the other candidates are told.

use tenure_store::{Claimed, Held, HolderId, LeaseKey, RecordFormat, Released, Renewed, Term};

use crate::kit::*;

/// Of two claimers the first is granted, and the second learns who holds, and under which term.
pub(crate) async fn two_claimers(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let (first, second) = (kit.claim(&key), kit.claim(&key));
    let term = granted(&one, &first).await?;
    match acquire(&two, &second).await? {
        Claimed::Held { by, term: seen, remaining, .. } => {
            demand!(by == first.holder, "the holder to be {}, got {by}", first.holder);
            demand!(seen == Some(term), "the holder's term {term}, got {seen:?}");
            demand!(
                remaining.is_none_or(|left| left <= first.ttl),
                "at most {:?} to remain, got {remaining:?}",
                first.ttl
            );
        }
        other => return Err(format!("expected the second claim to be refused, got {other:?}")),
    }
    let listed = list(&two, &kit.prefix("")).await?;
    demand!(listed.len() == 1, "one lease to be listed, got {listed:?}");
    let record = &listed[0];
    demand!(record.key == key && record.holder == first.holder, "the holder's record, got {record:?}");
    demand!(record.nonce == Some(first.nonce) && record.term == Some(term), "nonce and term in it, got {record:?}");
    demand!(record.ttl == Some(first.ttl), "a ttl of {:?} in it, got {:?}", first.ttl, record.ttl);
    demand!(matches!(record.format, RecordFormat::Tenure(_)), "this project's format, got {:?}", record.format);
    PASSED
}

/// A released key is free at once, for everybody.
pub(crate) async fn a_free_key_is_granted_after_release(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let (first, second) = (kit.claim(&key), kit.claim(&key));
    let term = granted(&one, &first).await?;
    refused(&two, &second, &first.holder).await?;
    freed(&one, &held(&first, term)).await?;
    granted(&two, &second).await?;
    refused(&one, &kit.claim(&key), &second.holder).await?;
    PASSED
}

/// A claim whose answer was lost is repeated, by any client, and gets the term it was granted.
pub(crate) async fn a_repeated_nonce_gets_the_unchanged_term(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = kit.claim(&kit.key("k"));
    let term = granted(&one, &claim).await?;
    for store in [&one, &two, &one] {
        let again = granted(store, &claim).await?;
        demand!(again == term, "the unchanged term {term}, got {again}");
    }
    extended(&two, &held(&claim, term)).await?;
    PASSED
}

/// Renewals and releases under another nonce or another term are refused and change nothing.
pub(crate) async fn foreign_renewals_and_releases_are_refused(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let (mine, other) = (kit.claim(&key), kit.claim(&key));
    let term = granted(&one, &mine).await?;
    let wrong = [term.get() - 1, term.get() + 1].map(|n| held(&mine, Term::new(n).unwrap_or(term)));
    for held in [held(&other, term), wrong[0].clone(), wrong[1].clone()] {
        let answer = renew(&two, &held).await?;
        let to = Some(mine.holder.clone());
        demand!(answer == Renewed::Lost { to: to.clone() }, "a foreign renewal to be Lost to {to:?}, got {answer:?}");
        let answer = release(&two, &held).await?;
        demand!(answer == Released::NotHeld, "a foreign release to be NotHeld, got {answer:?}");
    }
    let never = held(&kit.claim(&kit.key("never held")), term);
    let answer = renew(&one, &never).await?;
    demand!(answer == Renewed::Lost { to: None }, "a renewal of a key without record to be Lost, got {answer:?}");
    let answer = release(&one, &never).await?;
    demand!(answer == Released::NotHeld, "a release of a key without record to be NotHeld, got {answer:?}");
    extended(&one, &held(&mine, term)).await?;
    PASSED
}

/// A second release does nothing, and a late one leaves the next holder alone.
pub(crate) async fn a_second_release_does_nothing(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let key = kit.key("k");
    let (first, second) = (kit.claim(&key), kit.claim(&key));
    let old = held(&first, granted(&one, &first).await?);
    freed(&one, &old).await?;
    let answer = release(&one, &old).await?;
    demand!(answer == Released::NotHeld, "a second release to be NotHeld, got {answer:?}");
    let term = granted(&two, &second).await?;
    let answer = release(&one, &old).await?;
    demand!(answer == Released::NotHeld, "a late release to be NotHeld, got {answer:?}");
    extended(&two, &held(&second, term)).await?;
    PASSED
}

/// A released lease is lost to its holder, even if nobody took it.
pub(crate) async fn a_released_lease_cannot_be_renewed(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = kit.claim(&kit.key("k"));
    let old = held(&claim, granted(&store, &claim).await?);
    freed(&store, &old).await?;
    let answer = renew(&store, &old).await?;
    demand!(answer == Renewed::Lost { to: None }, "a renewal after the release to be Lost, got {answer:?}");
    PASSED
}

/// A record that another program wrote counts as held, and neither claims nor renewals nor releases touch it.
pub(crate) async fn a_foreign_record_counts_as_held(kit: &Kit<'_>) -> CaseVerdict {
    let Some(records) = kit.builder.records() else {
        return skipped("the builder cannot write records");
    };
    let store = kit.client().await?;
    let (key, other) = (kit.key("k"), named(HolderId::new("another program")));
    let Some(planting) = records.plant(&key, &other) else {
        return skipped("the builder cannot plant foreign records");
    };
    planting.await.map_err(|error| format!("expected a foreign record to be planted, got {error}"))?;
    let claim = kit.claim(&key);
    match acquire(&store, &claim).await? {
        Claimed::Held { term: None, .. } => {}
        other => return Err(format!("expected Held without a term, got {other:?}")),
    }
    let own = held(&claim, named(Term::new(1).ok_or(())));
    let answer = renew(&store, &own).await?;
    demand!(matches!(answer, Renewed::Lost { .. }), "a renewal to be Lost, got {answer:?}");
    let answer = release(&store, &own).await?;
    demand!(answer == Released::NotHeld, "a release to be NotHeld, got {answer:?}");
    let listed = list(&store, &kit.prefix("")).await?;
    demand!(listed.len() == 1 && listed[0].term.is_none(), "the record to be listed without a term, got {listed:?}");
    PASSED
}

/// A request to resign reaches the holder with its next renewal and does not outlive the tenure.
pub(crate) async fn a_request_to_resign_reaches_the_holder(kit: &Kit<'_>) -> CaseVerdict {
    let [store, operator] = kit.clients().await?;
    let key = kit.key("k");
    let asked = operator.request_resign(&key).await.map_err(|error| failed("request", error))?;
    demand!(!asked, "nobody to be asked while nobody holds");
    let first = kit.claim(&key);
    let own = held(&first, granted(&store, &first).await?);
    let asked = operator.request_resign(&key).await.map_err(|error| failed("request", error))?;
    demand!(asked, "the holder to be asked");
    let listed = list(&operator, &kit.prefix("")).await?;
    demand!(
        listed.len() == 1 && listed[0].nonce == Some(first.nonce) && listed[0].note == first.note,
        "a request to change nothing that is listed, got {listed:?}"
    );
    let answer = renew(&store, &own).await?;
    demand!(
        answer == Renewed::Extended { resign_requested: true },
        "the renewal to tell of the request, got {answer:?}"
    );
    for text in ["another note", "another note", ""] {
        let answer = renew(&store, &Held { note: note(text), ..own.clone() }).await?;
        demand!(
            answer == Renewed::Extended { resign_requested: true },
            "each renewal to tell of the request, whatever it writes, got {answer:?}"
        );
    }
    freed(&store, &own).await?;
    let second = kit.claim(&key);
    let next = held(&second, granted(&store, &second).await?);
    let answer = renew(&store, &next).await?;
    demand!(
        answer == Renewed::Extended { resign_requested: false },
        "the next tenure to be left alone, got {answer:?}"
    );
    PASSED
}

/// Removal by force answers what stood there, works on another program's record too, and tells the holder that it lost.
pub(crate) async fn a_removed_lease_is_lost(kit: &Kit<'_>) -> CaseVerdict {
    let [store, operator] = kit.clients().await?;
    let remove = async |key: &LeaseKey| operator.remove(key).await.map_err(|error| failed("removal", error));
    let key = kit.key("k");
    let nothing = remove(&key).await?;
    demand!(nothing.is_none(), "nothing to be removed from a key that was never held, got {nothing:?}");
    let first = kit.claim(&key);
    let own = held(&first, granted(&store, &first).await?);
    let stood = remove(&key).await?;
    demand!(
        stood.as_ref().is_some_and(|record| record.term == Some(own.term) && record.nonce == Some(first.nonce)),
        "the removed record, got {stood:?}"
    );
    let answer = renew(&store, &own).await?;
    demand!(answer == Renewed::Lost { to: None }, "a renewal to be Lost to nobody, got {answer:?}");
    let again = remove(&key).await?;
    demand!(again.is_none(), "a second removal to find nothing, got {again:?}");
    let other = kit.key("other");
    if let Some(planting) = kit.builder.records().and_then(|records| records.plant(&other, &first.holder)) {
        planting.await.map_err(|error| format!("expected a foreign record to be written, got {error}"))?;
        let stood = remove(&other).await?;
        demand!(stood.is_some(), "another program's record to be removed, got nothing");
        granted(&store, &kit.claim(&other)).await?;
    }
    PASSED
}

/// A removal ends a tenure that has run out too: its own late release changes nothing any more.
pub(crate) async fn a_removal_ends_what_has_run_out(kit: &Kit<'_>) -> CaseVerdict {
    let [store, operator] = kit.clients().await?;
    let claim = kit.short(&store, &kit.key("k"));
    let own = held(&claim, granted(&store, &claim).await?);
    tokio::time::sleep(claim.ttl + TOLERANCE).await;
    operator.remove(&claim.key).await.map_err(|error| failed("removal", error))?;
    let answer = release(&store, &own).await?;
    demand!(answer == Released::NotHeld, "a release after the removal to be NotHeld, got {answer:?}");
    PASSED
}
