//! Races: many claimants at once, round after round.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tenure_store::{Claim, Claimed, LeaseStore, Released, Term};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kit::*;

/// How many tasks race.
const TASKS: usize = 32;

/// How many rounds must be run, however long they take.
const ROUNDS: usize = 20;

/// Of 32 tasks on several clients exactly one is granted in each round, and the rounds' terms strictly grow.
pub(crate) async fn one_of_many_is_granted(kit: &Kit<'_>) -> CaseVerdict {
    let clients: [_; 8] = kit.clients().await?;
    let key = kit.key("k");
    let begun = Instant::now();
    let (mut rounds, mut last, mut failures) = (0, None::<Term>, 0);
    while rounds < ROUNDS || begun.elapsed() < kit.options.race_time {
        let mut tasks = JoinSet::new();
        let start = Arc::new(tokio::sync::Barrier::new(TASKS));
        for task in 0..TASKS {
            let (store, claim, start) = (Arc::clone(&clients[task % clients.len()]), kit.claim(&key), start.clone());
            tasks.spawn(async move {
                start.wait().await;
                let (answer, failures) = settle(&store, &claim).await?;
                Ok::<_, String>((claim, answer, failures))
            });
        }
        let mut winners = Vec::new();
        let mut seen = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (claim, answer, failed) = done.map_err(|error| format!("expected the task to end, got {error}"))??;
            failures += failed;
            match answer {
                Claimed::Granted { term, .. } => winners.push((claim, term)),
                Claimed::Held { by, term, .. } => seen.push((by, term)),
                stale @ Claimed::Stale { .. } => return Err(format!("expected grants and refusals, got {stale:?}")),
            }
        }
        demand!(winners.len() == 1, "one claim of {TASKS} to be granted in round {rounds}, got {}", winners.len());
        let (claim, term) = winners.remove(0);
        demand!(last.is_none_or(|last| term > last), "a term above {last:?} in round {rounds}, got {term}");
        let right = seen.iter().all(|(by, seen)| *by == claim.holder && *seen == Some(term));
        demand!(right, "all others to be told of {} under {term}, got {seen:?}", claim.holder);
        let mut tries = 0;
        while let Err(error) = one(clients[rounds % clients.len()].release(&[held(&claim, term)]).await, "release") {
            tries += 1;
            demand!(error.is_retryable() && tries < 20, "the release to be done at last, got {error}");
        }
        last = Some(term);
        rounds += 1;
    }
    passed(format!("{rounds} rounds of {TASKS} tasks, {failures} calls repeated"))
}

/// Batches over disjoint keys, all at once, are each granted whole.
pub(crate) async fn disjoint_batches_do_not_disturb_each_other(kit: &Kit<'_>) -> CaseVerdict {
    let clients: [_; 8] = kit.clients().await?;
    let size = clients[0].info().batch_limit.min(50);
    let batches = clients.iter().enumerate().map(|(at, store)| {
        let claims: Vec<Claim> = (0..size).map(|n| kit.claim(&kit.key(&format!("{at}/{n}")))).collect();
        async move {
            for claim in &claims {
                let (answer, _) = settle(store, claim).await?;
                demand!(matches!(answer, Claimed::Granted { .. }), "{:?} to be granted, got {answer:?}", claim.key);
            }
            // The same claims again as one batch: every nonce meets its own grant.
            let mut tries = 0;
            let answers = loop {
                match store.acquire(&claims).await {
                    Ok(answers) => break answers,
                    Err(error) if error.is_retryable() && tries < 20 => tries += 1,
                    Err(error) => return Err(failed("batch", error)),
                }
            };
            let own: Vec<_> = claims
                .iter()
                .zip(answers)
                .filter_map(|(claim, answer)| match answer {
                    Ok(Claimed::Granted { term, .. }) => Some(held(claim, term)),
                    _ => None,
                })
                .collect();
            demand!(own.len() == size, "all {size} of the batch to be granted, got {}", own.len());
            let answers = loop {
                match store.release(&own).await {
                    Ok(answers) => break answers,
                    Err(error) if error.is_retryable() && tries < 20 => tries += 1,
                    Err(error) => return Err(failed("batch", error)),
                }
            };
            demand!(
                answers.iter().all(|answer| matches!(answer, Ok(Released::Freed))),
                "all to be freed, got {answers:?}"
            );
            Ok(())
        }
    });
    try_join_all(batches).await?;
    passed(format!("8 batches of {size}"))
}

/// Repeats a claim whose call failed, as a candidate would, until it gets an answer.
pub(crate) async fn settle(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Result<(Claimed, usize), String> {
    let mut failures = 0;
    loop {
        match one(store.acquire(std::slice::from_ref(claim)).await, "claim") {
            Ok(answer) => return Ok((answer, failures)),
            Err(error) if error.is_retryable() && failures < 20 => failures += 1,
            Err(error) => return Err(failed("claim", error)),
        }
    }
}
