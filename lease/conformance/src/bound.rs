//! Bound leases, which last as long as a member's tenure, and claims that displace them once that tenure is over.
//!
//! A store does not look for the member: who proves that its tenure is over names the member and the bound term, and is let
//! through. So the members of these cases hold nothing at all.

use std::sync::Arc;
use std::time::Duration;

use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, Held, KeyPrefix, LeaseRecord, LeaseStore, RecordFormat, Released, Renewed, Term,
    WakeChange,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faults::perform;
use crate::kit::*;
use crate::races::settle;
use crate::restarts;
use crate::watch::{quiet, woken};

/// How many candidates want the key of one that is gone.
const DISPLACERS: usize = 16;

/// How many rounds of that are run at least.
const ROUNDS: usize = 10;

/// However old a bound lease is, it counts as held, for everybody who has seen it from the beginning and for a newcomer. Its
/// release frees the key.
pub(crate) async fn a_bound_lease_outlives_its_ttl(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.short(&one, &kit.key("k")) };
    let term = granted(&one, &claim).await?;
    let rival = kit.claim(&claim.key);
    let begun = Instant::now();
    while begun.elapsed() < claim.ttl * 3 {
        held_bound(&two, &rival, &claim, term).await?;
        tokio::time::sleep(claim.ttl / 10).await;
    }
    let newcomer = kit.client().await?;
    held_bound(&newcomer, &rival, &claim, term).await?;
    shown(&newcomer, &claim, term).await?;
    freed(&one, &held(&claim, term)).await?;
    granted(&two, &rival).await?;
    passed(format!("ttl {} ms, held for {} ms", claim.ttl.as_millis(), begun.elapsed().as_millis()))
}

/// A bound claim that comes again meets its own tenure and gets the unchanged term, from any client and however late.
pub(crate) async fn a_repeat_gets_the_unchanged_term(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), note: note("n"), ..kit.short(&one, &kit.key("k")) };
    let term = granted(&one, &claim).await?;
    for pause in [Duration::ZERO, claim.ttl * 3 / 2] {
        tokio::time::sleep(pause).await;
        for store in [&one, &two] {
            let again = granted(store, &claim).await?;
            demand!(again == term, "the unchanged term {term}, got {again}");
        }
    }
    // The same nonce, bound to another tenure or to none, is another claim.
    for bound in [None, bound_to(kit, 8, Some(term))] {
        held_bound(&two, &Claim { bound, ..claim.clone() }, &claim, term).await?;
    }
    shown(&two, &claim, term).await
}

/// A bound claim is granted where the last term that it names is the key's, and is told that term where it is not.
pub(crate) async fn a_bound_claim_needs_the_last_term(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let key = kit.key("k");
    stale(&store, &Claim { bound: bound_to(kit, 7, Term::new(1)), ..kit.claim(&key) }, None).await?;
    let first = kit.claim(&key);
    let term = granted(&store, &first).await?;
    freed(&store, &held(&first, term)).await?;
    let one_more = Term::new(term.get() + 1);
    for named in [None, Term::new(term.get() - 1), one_more] {
        stale(&store, &Claim { bound: bound_to(kit, 7, named), ..kit.claim(&key) }, Some(term)).await?;
    }
    let claim = Claim { bound: bound_to(kit, 7, Some(term)), ..kit.claim(&key) };
    let next = granted(&store, &claim).await?;
    demand!(next > term, "a term above {term}, got {next}");
    shown(&store, &claim, next).await
}

/// A copy of a bound claim that arrives after the release of what it was granted takes nothing, whoever was there meanwhile.
pub(crate) async fn a_copy_after_the_release_is_refused(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("k")) };
    let term = granted(&one, &claim).await?;
    freed(&one, &held(&claim, term)).await?;
    for store in [&one, &two] {
        stale(store, &claim, Some(term)).await?;
    }
    let next = kit.claim(&claim.key);
    let later = granted(&two, &next).await?;
    refused(&one, &claim, &next.holder).await?;
    freed(&two, &held(&next, later)).await?;
    stale(&one, &claim, Some(later)).await?;
    let listed = list(&two, &kit.prefix("")).await?;
    demand!(listed.is_empty(), "nobody to hold the key, got {listed:?}");
    PASSED
}

/// A release that arrives late, after its sender has claimed the key again under the same nonce, frees nothing.
pub(crate) async fn a_delayed_release_frees_no_later_tenure(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("k")) };
    let first = held(&claim, granted(&one, &claim).await?);
    freed(&one, &first).await?;
    let again = Claim { bound: bound_to(kit, 7, Some(first.term)), ..claim.clone() };
    let second = held(&again, granted(&one, &again).await?);
    demand!(second.term > first.term, "a term above {}, got {}", first.term, second.term);
    for store in [&one, &two] {
        let answer = release(store, &first).await?;
        demand!(answer == Released::NotHeld, "the delayed release to be NotHeld, got {answer:?}");
    }
    shown(&two, &again, second.term).await?;
    freed(&two, &second).await?;
    PASSED
}

/// A bound lease gives way to a claim that names its member and the term that it is bound to, or a higher one, and to no lower
/// one. Who was displaced has lost the key for good.
pub(crate) async fn displacement_goes_by_the_bound_term(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    for (name, over, passes) in [("lower", 6, false), ("equal", 7, true), ("higher", 8, true)] {
        let claim = Claim { bound: bound_to(kit, 7, None), note: note("left"), ..kit.claim(&kit.key(name)) };
        let term = granted(&one, &claim).await?;
        let next =
            Claim { displaces: member(kit, "m", over), bound: bound_to(kit, 9, Some(term)), ..kit.claim(&claim.key) };
        if !passes {
            held_bound(&two, &next, &claim, term).await?;
            shown(&two, &claim, term).await?;
            continue;
        }
        let (later, last) = granted_with_note(&two, &next).await?;
        demand!(later > term, "a term above {term}, got {later}");
        demand!(last == Some(note("left")), "the note of who was displaced, got {last:?}");
        shown(&one, &next, later).await?;
        let answer = release(&one, &held(&claim, term)).await?;
        demand!(answer == Released::NotHeld, "the release of who was displaced to be NotHeld, got {answer:?}");
        held_bound(&one, &claim, &next, later).await?;
        // A copy of the claim that has displaced gets what it got, and takes nothing once that was given back.
        let again = granted(&two, &next).await?;
        demand!(again == later, "the unchanged term {later}, got {again}");
        freed(&two, &held(&next, later)).await?;
        stale(&one, &next, Some(later)).await?;
    }
    PASSED
}

/// Nobody is displaced but the member that is named: not another one under whatever term, and not a tenure with a ttl.
pub(crate) async fn only_the_named_member_is_displaced(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("bound")) };
    let term = granted(&store, &claim).await?;
    // Names that only begin alike are another's, too.
    for name in ["other", "m2", ""] {
        let rival = Claim { displaces: member(kit, name, 1_000), ..kit.claim(&claim.key) };
        held_bound(&store, &rival, &claim, term).await?;
    }
    shown(&store, &claim, term).await?;
    let own = kit.claim(&kit.key("with a ttl"));
    let term = granted(&store, &own).await?;
    for bound in [None, bound_to(kit, 9, Some(term))] {
        let rival = Claim { displaces: member(kit, "m", 1_000), bound, ..kit.claim(&own.key) };
        refused(&store, &rival, &own.holder).await?;
    }
    extended(&store, &held(&own, term)).await?;
    PASSED
}

/// A claim with a ttl displaces as well, and its lease ends with its ttl; where nobody is to be displaced it is a claim like
/// any other.
pub(crate) async fn a_claim_with_a_ttl_displaces(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("k")) };
    let term = granted(&one, &claim).await?;
    let next = Claim { displaces: member(kit, "m", 7), ..kit.short(&two, &claim.key) };
    let own = held(&next, granted(&two, &next).await?);
    demand!(own.term > term, "a term above {term}, got {}", own.term);
    extended(&two, &own).await?;
    let again = granted(&two, &next).await?;
    demand!(again == own.term, "the unchanged term {}, got {again}", own.term);
    kit.until_granted(&one, &kit.claim(&claim.key), next.ttl).await?;
    granted(&two, &Claim { displaces: member(kit, "m", 7), ..kit.claim(&kit.key("free")) }).await?;
    PASSED
}

/// A bound lease is not renewed: whoever tries is told that he has lost, and the lease stays as it is.
pub(crate) async fn a_bound_lease_is_not_renewed(kit: &Kit<'_>) -> CaseVerdict {
    let store = kit.client().await?;
    let claims: Vec<Claim> = (0..20)
        .map(|n| Claim { bound: bound_to(kit, 7, None), ..kit.short(&store, &kit.key(&format!("{n}"))) })
        .collect();
    let mut own = Vec::new();
    for claim in &claims {
        own.push(Held { note: note("new"), ..held(claim, granted(&store, claim).await?) });
    }
    let answers = store.renew(&own).await.map_err(|error| failed("batch", error))?;
    for (answer, claim) in answers.iter().zip(&claims) {
        let lost = Renewed::Lost { to: Some(claim.holder.clone()) };
        demand!(answer.as_ref().is_ok_and(|answer| *answer == lost), "a renewal to be {lost:?}, got {answer:?}");
    }
    tokio::time::sleep(claims[0].ttl * 3 / 2).await;
    for (claim, own) in claims.iter().zip(&own) {
        shown(&store, claim, own.term).await?;
    }
    PASSED
}

/// Who looks is told that the holder of a bound lease was asked to resign; a removal says to which member it was bound, and
/// frees the key.
pub(crate) async fn requests_and_removals_work(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("k")) };
    let own = held(&claim, granted(&one, &claim).await?);
    let asked = two.request_resign(&claim.key).await.map_err(|error| failed("request to resign", error))?;
    demand!(asked, "a holder who can be asked, got none");
    let look = async || one.record(&claim.key).await.map_err(|error| failed("look at one key", error));
    for record in [look().await?, list(&one, &kit.prefix("")).await?.pop()] {
        demand!(record.as_ref().is_some_and(|record| record.resign_requested), "a request to be shown, got {record:?}");
    }
    held_bound(&two, &kit.claim(&claim.key), &claim, own.term).await?;
    let again = granted(&one, &claim).await?;
    demand!(again == own.term, "the unchanged term {}, got {again}", own.term);
    let stood = two.remove(&claim.key).await.map_err(|error| failed("removal", error))?;
    let expected = Some(LeaseRecord { resign_requested: true, ..record_of(&claim, own.term) });
    demand!(without_format(stood.clone()) == expected, "{expected:?} to be removed, got {stood:?}");
    let answer = release(&one, &own).await?;
    demand!(answer == Released::NotHeld, "a release after the removal to be NotHeld, got {answer:?}");
    stale(&one, &claim, Some(own.term)).await?;
    granted(&two, &kit.claim(&claim.key)).await?;
    let record = look().await?;
    let is_new = record.as_ref().is_some_and(|record| !record.resign_requested && record.bound.is_none());
    demand!(is_new, "nothing of the old lease in the next one, got {record:?}");
    PASSED
}

/// Lists, looks at one key and refusals tell what a lease is bound to, also where the member's key needs care; beside leases
/// with a ttl, which are bound to nothing.
pub(crate) async fn lists_and_refusals_tell_the_member(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let members = ["plain", "a b", "p:q", "%20", "{x}", "é/ü", "@1:x", "'\"\\"];
    for (at, name) in members.iter().enumerate() {
        let to = Bound { member: kit.key(name), term: named(Term::new(Term::LIMIT - 1 - at as u64).ok_or(())) };
        let bound = Some(BoundClaim { to, last_term: None });
        let claim = Claim { bound, note: note(" n @1:x "), ..kit.claim(&kit.key(&format!("bound/{at}"))) };
        let term = granted(&one, &claim).await?;
        held_bound(&two, &kit.claim(&claim.key), &claim, term).await?;
        shown(&two, &claim, term).await?;
    }
    let own = kit.claim(&kit.key("bound/with a ttl"));
    granted(&one, &own).await?;
    let listed = list(&two, &kit.prefix("bound/")).await?;
    let unbound: Vec<_> = listed.iter().filter(|record| record.bound.is_none()).collect();
    demand!(listed.len() == members.len() + 1, "{} leases, got {listed:?}", members.len() + 1);
    demand!(
        matches!(unbound[..], [record] if record.key == own.key && record.ttl == Some(own.ttl)),
        "the lease with a ttl alone to be bound to nothing, got {unbound:?}"
    );
    PASSED
}

/// One batch claims with a ttl, bound, and displacing, of keys that are free, held and to be displaced; each on its own.
pub(crate) async fn batches_mix_what_is_bound_and_what_is_not(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    let size = one.info().batch_limit.min(300);
    let key = |n: usize| kit.key(&format!("{n:03}"));
    let bound = |n: usize, claim: Claim| {
        if n.is_multiple_of(2) { Claim { bound: bound_to(kit, 7, None), ..claim } } else { claim }
    };
    let first: Vec<Claim> = (0..size).map(|n| bound(n, kit.claim(&key(n)))).collect();
    let answers = one.acquire(&first).await.map_err(|error| failed("batch", error))?;
    let mut terms = Vec::new();
    for (claim, answer) in first.iter().zip(answers) {
        match answer {
            Ok(Claimed::Granted { term, .. }) => terms.push(term),
            other => return Err(format!("expected {:?} to be granted, got {other:?}", claim.key)),
        }
    }
    // Of six keys in turn: bound and displaced; with a ttl; bound and displaced too low; with a ttl, released; bound to
    // another member than is named; with a ttl, released, and wanted under a wrong last term.
    let released: Vec<Held> =
        (0..size).filter(|n| n % 6 == 3 || n % 6 == 5).map(|n| held(&first[n], terms[n])).collect();
    let answers = one.release(&released).await.map_err(|error| failed("batch", error))?;
    demand!(answers.iter().all(|answer| matches!(answer, Ok(Released::Freed))), "all to be freed, got {answers:?}");
    let second: Vec<Claim> = (0..size)
        .map(|n| {
            let (displaces, named) = match n % 6 {
                2 => (member(kit, "m", 6), Some(terms[n])),
                4 => (member(kit, "other", 7), Some(terms[n])),
                5 => (None, Term::new(1)),
                _ => (member(kit, "m", 7), Some(terms[n])),
            };
            Claim { displaces, bound: bound_to(kit, 9, named), ..kit.claim(&key(n)) }
        })
        .collect();
    let answers = two.acquire(&second).await.map_err(|error| failed("batch", error))?;
    demand!(answers.len() == size, "{size} answers, got {}", answers.len());
    for (n, answer) in answers.iter().enumerate() {
        let right = match answer {
            Ok(Claimed::Granted { term, .. }) => matches!(n % 6, 0 | 3) && *term > terms[n],
            Ok(Claimed::Held { by, bound, term, .. }) => {
                let to = first[n].bound.as_ref().map(|bound| &bound.to);
                matches!(n % 6, 1 | 2 | 4) && *by == first[n].holder && bound.as_ref() == to && *term == Some(terms[n])
            }
            Ok(Claimed::Stale { last_term }) => n % 6 == 5 && *last_term == Some(terms[n]),
            Err(_) => false,
        };
        demand!(right, "answer {n} to be that of its own key, got {answer:?}");
    }
    passed(format!("batches of {size}"))
}

/// A release of a bound lease, and a claim that displaces one, wake watchers as others do.
pub(crate) async fn watchers_are_woken(kit: &Kit<'_>) -> CaseVerdict {
    let [one, two] = kit.clients().await?;
    if !one.info().watch {
        return skipped("the store has no watch");
    }
    let claim = Claim { bound: bound_to(kit, 7, None), ..kit.claim(&kit.key("k")) };
    let term = granted(&one, &claim).await?;
    let mut wakes = two.watch(&kit.prefix("k")).await.map_err(|error| failed("watch", error))?;
    quiet(&mut wakes).await;
    let next = Claim { displaces: member(kit, "m", 7), bound: bound_to(kit, 9, Some(term)), ..kit.claim(&claim.key) };
    let own = held(&next, granted(&one, &next).await?);
    woken(kit, &mut wakes, &claim.key, WakeChange::Taken).await?;
    quiet(&mut wakes).await;
    freed(&one, &own).await?;
    woken(kit, &mut wakes, &claim.key, WakeChange::Freed).await?;
    PASSED
}

/// Of many who have the proof and displace at once one is granted, round after round, and each time only its copies are granted
/// again.
pub(crate) async fn one_of_many_displacers_is_granted(kit: &Kit<'_>) -> CaseVerdict {
    let clients: [_; 4] = kit.clients().await?;
    let key = kit.key("k");
    let claim = Claim { bound: bound_to(kit, 1, None), ..kit.claim(&key) };
    let (mut last, mut rounds, mut failures) = (granted(&clients[0], &claim).await?, 0, 0);
    let begun = Instant::now();
    while rounds < ROUNDS || begun.elapsed() < kit.options.race_time / 4 {
        let over = rounds as u64 + 1;
        let mut tasks = JoinSet::new();
        let start = Arc::new(tokio::sync::Barrier::new(DISPLACERS));
        for task in 0..DISPLACERS {
            // Each is a member of its own, and the next round's displacers name the winner's.
            let bound = Some(BoundClaim { to: named(member(kit, "m", over + 1).ok_or(())), last_term: Some(last) });
            let claim = Claim { bound, displaces: member(kit, "m", over), ..kit.claim(&key) };
            let (store, start) = (Arc::clone(&clients[task % clients.len()]), Arc::clone(&start));
            tasks.spawn(async move {
                start.wait().await;
                let (answer, failed) = settle(&store, &claim).await?;
                Ok::<_, String>((claim, answer, failed))
            });
        }
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (claim, answer, failed) = done.map_err(|error| format!("expected the task to end, got {error}"))??;
            failures += failed;
            match answer {
                Claimed::Granted { term, .. } => winners.push((claim, term)),
                Claimed::Held { by, term, .. } => losers.push((by, term)),
                stale @ Claimed::Stale { .. } => {
                    return Err(format!("expected a holder in round {rounds}, got {stale:?}"));
                }
            }
        }
        demand!(winners.len() == 1, "one of {DISPLACERS} to be granted in round {rounds}, got {}", winners.len());
        let (winner, term) = winners.remove(0);
        demand!(term > last, "a term above {last} in round {rounds}, got {term}");
        let right = losers.iter().all(|(by, seen)| *by == winner.holder && *seen == Some(term));
        demand!(right, "all others to be told of {} under {term}, got {losers:?}", winner.holder);
        shown(&clients[rounds % clients.len()], &winner, term).await?;
        last = term;
        rounds += 1;
    }
    passed(format!("{rounds} rounds of {DISPLACERS} tasks, {failures} calls repeated"))
}

/// An older state that comes back ends no bound lease that it shows. One that it does not show may be somebody's, for as long
/// as the next claim says: nobody is granted its key before, bound or not, displacing or not.
pub(crate) async fn an_older_state_ends_no_bound_lease(kit: &Kit<'_>) -> CaseVerdict {
    let Some(store) = kit.builder.rewindable() else {
        return skipped("the builder cannot bring its store back with an older state");
    };
    // Longer than a restart takes.
    for hold in [4, 8, 16].map(Duration::from_secs) {
        let [one, two] = restarts::clients(store).await?;
        let of = |name: &str| {
            let key = kit.key(&format!("{name}, {}", hold.as_millis()));
            Claim { bound: bound_to(kit, 7, None), hold, ..kit.short(&one, &key) }
        };
        let [kept, over, forgotten] = ["kept", "displaced", "forgotten"].map(of);
        let kept_term = kit.until_granted(&one, &kept, hold).await?.0;
        let over_term = kit.until_granted(&one, &over, hold).await?.0;
        perform(store.save(), "the state to be kept").await?;
        let sent = Instant::now();
        let next = Claim { bound: bound_to(kit, 9, Some(over_term)), displaces: member(kit, "m", 7), ..over.clone() };
        let over_next = granted(&two, &Claim { nonce: kit.claim(&over.key).nonce, ..next.clone() }).await?;
        let lost = granted(&two, &forgotten).await?;
        perform(store.rewind(), "the store to come back with the older state").await?;
        restarts::answers(kit, &[&one, &two], &kept.key).await?;
        held_bound(&two, &kit.claim(&kept.key), &kept, kept_term).await?;
        let again = granted(&one, &kept).await?;
        demand!(again == kept_term, "the unchanged term {kept_term}, got {again}");
        if sent.elapsed() >= hold {
            continue;
        }
        let claims = [
            Claim { above: Some(over_next), nonce: kit.claim(&over.key).nonce, ..next },
            Claim { above: Some(lost), nonce: kit.claim(&over.key).nonce, ..forgotten },
        ];
        let granted =
            tokio::join!(kit.until_granted(&one, &claims[0], hold), kit.until_granted(&two, &claims[1], hold));
        for (claim, (term, at)) in claims.iter().zip([granted.0?, granted.1?]) {
            let lasted = at - sent;
            demand!(lasted + TOLERANCE >= hold, "{:?} to be waited for {hold:?}, got {lasted:?}", claim.key);
            demand!(Some(term) > claim.above, "a term above {:?}, got {term}", claim.above);
        }
        return passed(format!("waited {} ms", hold.as_millis()));
    }
    Err("expected the store to answer again within 16 s of a restart".to_owned())
}

// ---- what the cases are made of ----------------------------------------------------------------------------------

/// The tenure of one of the case's members.
fn member(kit: &Kit<'_>, name: &str, term: u64) -> Option<Bound> {
    Some(Bound { member: kit.key(&format!("members/{name}")), term: Term::new(term)? })
}

/// Bound to this term of the member `m`, where the key's last term is this one.
fn bound_to(kit: &Kit<'_>, term: u64, last_term: Option<Term>) -> Option<BoundClaim> {
    Some(BoundClaim { to: member(kit, "m", term)?, last_term })
}

/// Expects that a claim is refused because of this bound one, and told all that is known of it.
async fn held_bound(store: &Arc<dyn LeaseStore>, rival: &Claim, by: &Claim, term: Term) -> Result<(), String> {
    let to = by.bound.as_ref().map(|bound| bound.to.clone());
    let expected = Claimed::Held { by: by.holder.clone(), term: Some(term), remaining: None, bound: to };
    let answer = acquire(store, rival).await?;
    demand!(answer == expected, "a claim of {:?} to be answered {expected:?}, got {answer:?}", rival.key);
    Ok(())
}

/// Expects that a bound claim is refused because this is the key's last term.
async fn stale(store: &Arc<dyn LeaseStore>, claim: &Claim, last_term: Option<Term>) -> Result<(), String> {
    let (answer, expected) = (acquire(store, claim).await?, Claimed::Stale { last_term });
    demand!(answer == expected, "a claim of {:?} to be answered {expected:?}, got {answer:?}", claim.key);
    Ok(())
}

/// Expects that the key is held by this bound claim, as looks and lists show.
async fn shown(store: &Arc<dyn LeaseStore>, claim: &Claim, term: Term) -> CaseVerdict {
    let looked = store.record(&claim.key).await.map_err(|error| failed("look at one key", error))?;
    let listed = list(store, &KeyPrefix::from(&claim.key)).await?;
    let listed = listed.into_iter().find(|record| record.key == claim.key);
    let expected = Some(record_of(claim, term));
    for seen in [looked, listed] {
        demand!(without_format(seen.clone()) == expected, "the record {expected:?}, got {seen:?}");
    }
    PASSED
}

fn record_of(claim: &Claim, term: Term) -> LeaseRecord {
    LeaseRecord {
        nonce: Some(claim.nonce),
        term: Some(term),
        bound: claim.bound.as_ref().map(|bound| bound.to.clone()),
        note: claim.note.clone(),
        ..LeaseRecord::new(claim.key.clone(), claim.holder.clone(), FORMAT)
    }
}

/// Which version of this program's format it is differs between stores.
const FORMAT: RecordFormat = RecordFormat::Tenure(0);

fn without_format(record: Option<LeaseRecord>) -> Option<LeaseRecord> {
    record.map(|record| match record.format {
        RecordFormat::Tenure(_) => LeaseRecord { format: FORMAT, ..record },
        RecordFormat::Foreign => record,
    })
}
