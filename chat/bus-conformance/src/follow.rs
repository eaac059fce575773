//! Following: everything from a position on, in order, then what is new.

use tenure_bus::{Bus, FollowFrom, FollowStream};

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure};
use crate::harness::{message, messages, next, publish, publish_as, silent, stored, term};

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    let needs = &[Need::Follow];
    harness.check("follow_from_start_end_and_after", needs, from_start_end_and_after).await;
    harness.check("follow_sees_what_is_published_meanwhile", needs, sees_what_is_published_meanwhile).await;
    harness.check("following_ids_sees_the_same", needs, following_ids_sees_the_same).await;
    harness.check("follow_sees_its_own_subject_only", needs, sees_its_own_subject_only).await;
    harness.check("slow_follower_misses_nothing", needs, slow_follower_misses_nothing).await;
    harness.check("reopening_keeps_everything", &[Need::Follow, Need::Kept], reopening_keeps_everything).await;
}

/// The start is the oldest message, the end is what comes next, and a position is itself not seen again.
async fn from_start_end_and_after(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let positions = stored(&publish(&*bus, &messages(0..10)).await?)?;
    let mut start = follow(&*bus, FollowFrom::Start).await?;
    let mut end = follow(&*bus, FollowFrom::End).await?;
    let mut after = follow(&*bus, FollowFrom::After(positions[6])).await?;
    let mut last = follow(&*bus, FollowFrom::After(positions[9])).await?;
    let new = stored(&publish(&*bus, &[message(10)]).await?)?[0];
    let all: Vec<_> = positions.iter().copied().chain([new]).collect();
    for (name, stream, expected) in [
        ("start", &mut start, &all[..]),
        ("end", &mut end, &[new][..]),
        ("after", &mut after, &all[7..]),
        ("after the last", &mut last, &[new][..]),
    ] {
        let seen: Vec<_> = next(stream, expected.len()).await?.iter().map(|followed| followed.pos).collect();
        ensure!(seen == expected, "from {name}: {seen:?} instead of {expected:?}");
        silent(stream).await?;
    }
    Ok(())
}

/// A follower sees every message once, in the order of positions, while another client publishes.
async fn sees_what_is_published_meanwhile(fresh: Fresh<'_>) -> CheckResult {
    let (reader, writer) = (fresh.client().await?, fresh.client().await?);
    let mut stream = follow(&*reader, FollowFrom::Start).await?;
    let write = async {
        let mut positions = Vec::new();
        for round in 0..40 {
            positions.extend(stored(&publish(&*writer, &messages(round * 25..round * 25 + 25)).await?)?);
        }
        Ok::<_, String>(positions)
    };
    let (seen, positions) = tokio::join!(next(&mut stream, 1000), write);
    let seen: Vec<_> = seen?.iter().map(|followed| followed.pos).collect();
    ensure!(seen == positions?, "seen in another order than positions grow");
    silent(&mut stream).await
}

/// Who follows ids alone sees the same positions, ids and terms as who follows messages, from wherever, and what is new.
async fn following_ids_sees_the_same(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let fence = Some(("conformance/leader", term(7)?));
    let positions = stored(&publish_as(&*bus, SUBJECT, fence, &messages(0..10)).await?)?;
    // Each round adds one message, and sees those of the rounds before.
    for (from, count) in [(FollowFrom::Start, 11), (FollowFrom::After(positions[6]), 5), (FollowFrom::End, 1)] {
        let ids = bus.follow_ids(SUBJECT, from).await;
        let mut ids = ids.map_err(|error| format!("the ids cannot be followed: {error}"))?;
        let mut whole = follow(&*bus, from).await?;
        stored(&publish_as(&*bus, SUBJECT, fence, &[message(100 + count)]).await?)?;
        let (seen, expected) = (next(&mut ids, count as usize).await?, next(&mut whole, count as usize).await?);
        for (id, message) in seen.iter().zip(&expected) {
            let same = (id.pos, id.id, id.term) == (message.pos, message.id, message.term);
            ensure!(same && !message.body.is_empty(), "from {from:?}: {id:?} instead of {message:?}");
        }
        silent(&mut ids).await?;
    }
    Ok(())
}

/// What is published under another subject is not seen, and does not stop what is.
async fn sees_its_own_subject_only(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let mut stream = follow(&*bus, FollowFrom::Start).await?;
    for number in 0..20 {
        let subject = if number % 2 == 0 { SUBJECT } else { "conformance.finalize.v1" };
        publish_as(&*bus, subject, None, &[message(number)]).await?;
    }
    let seen: Vec<_> = next(&mut stream, 10).await?.into_iter().map(|followed| followed.id).collect();
    let expected: Vec<_> = (0..10).map(|number| message(number * 2).id).collect();
    ensure!(seen == expected, "{seen:?} instead of {expected:?}");
    silent(&mut stream).await
}

/// A follower that does not read holds nobody up, and finds everything later.
async fn slow_follower_misses_nothing(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let mut stream = follow(&*bus, FollowFrom::Start).await?;
    let abandoned = follow(&*bus, FollowFrom::Start).await?;
    let limit = (bus.info().batch_limit as u64).min(500);
    for round in 0..4 {
        stored(&publish(&*bus, &messages(round * limit..(round + 1) * limit)).await?)?;
    }
    drop(abandoned);
    let seen: Vec<_> = next(&mut stream, 4 * limit as usize).await?.into_iter().map(|followed| followed.id).collect();
    ensure!(seen.iter().zip(0..).all(|(id, number)| *id == message(number).id), "not all, or not in order");
    silent(&mut stream).await
}

/// A client that comes after all others have gone finds every message, and goes on behind the last.
async fn reopening_keeps_everything(fresh: Fresh<'_>) -> CheckResult {
    let first = fresh.client().await?;
    let positions = stored(&publish(&*first, &messages(0..100)).await?)?;
    drop(first);
    let second = fresh.client().await?;
    let mut stream = follow(&*second, FollowFrom::Start).await?;
    let seen: Vec<_> = next(&mut stream, 100).await?.iter().map(|followed| followed.pos).collect();
    ensure!(seen == positions, "{seen:?} instead of {positions:?}");
    let new = stored(&publish(&*second, &[message(100)]).await?)?[0];
    ensure!(positions.iter().all(|pos| *pos < new), "position {new} was given out twice");
    Ok(())
}

async fn follow(bus: &dyn Bus, from: FollowFrom) -> Result<FollowStream, String> {
    bus.follow(SUBJECT, from).await.map_err(|error| format!("cannot be followed: {error}"))
}
