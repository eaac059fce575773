//! The second message with the same id is dropped.

use tenure_bus::{FollowFrom, Published};

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure};
use crate::harness::{message, messages, next, publish, silent, stored, with_body};

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    harness.check("doubles_within_a_batch_are_dropped", &[Need::Dedupe], within_a_batch).await;
    harness.check("doubles_across_batches_and_clients_are_dropped", &[Need::Dedupe], across_clients).await;
    harness.check("doubles_appear_once_to_a_follower", &[Need::Dedupe, Need::Follow], once_to_a_follower).await;
}

/// The first of two in one batch is stored, the second is a duplicate of that one, the others are untouched.
async fn within_a_batch(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let batch = [message(1), message(2), message(1), message(3), message(2)];
    let answers = publish(&*bus, &batch).await?;
    let first = stored(&[answers[0].clone(), answers[1].clone(), answers[3].clone()])?;
    for (at, original) in [(2, first[0]), (4, first[1])] {
        let right = matches!(answers[at], Ok(Published::Duplicate(pos)) if pos == original);
        ensure!(right, "message {at}: {:?} instead of a duplicate of {original}", answers[at]);
    }
    Ok(())
}

/// A repeated batch is all duplicates, whoever repeats it; a batch that is partly new is partly stored.
async fn across_clients(fresh: Fresh<'_>) -> CheckResult {
    let (one, other) = (fresh.client().await?, fresh.client().await?);
    let positions = stored(&publish(&*one, &messages(0..10)).await?)?;
    for bus in [&one, &other] {
        for (answer, stored) in publish(&**bus, &messages(0..10)).await?.into_iter().zip(&positions) {
            let right = matches!(answer, Ok(Published::Duplicate(pos)) if pos == *stored);
            ensure!(right, "{answer:?} instead of a duplicate of {stored}");
        }
    }
    let answers = publish(&*other, &messages(8..12)).await?;
    ensure!(answers[..2].iter().all(|answer| matches!(answer, Ok(Published::Duplicate(_)))), "{answers:?}");
    let new = stored(&answers[2..])?;
    ensure!(new[0] > positions[9], "{new:?} after {positions:?}");
    Ok(())
}

/// The first body is the one that stays, and it is seen once.
async fn once_to_a_follower(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    publish(&*bus, &[with_body(1, "first"), with_body(1, "second")]).await?;
    publish(&*bus, &[with_body(1, "third"), with_body(2, "last")]).await?;
    let mut stream = bus.follow(SUBJECT, FollowFrom::Start).await.map_err(|error| error.to_string())?;
    let bodies: Vec<_> = next(&mut stream, 2).await?.into_iter().map(|followed| followed.body).collect();
    ensure!(bodies == ["first", "last"], "{bodies:?}");
    silent(&mut stream).await
}
