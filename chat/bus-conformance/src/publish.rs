//! Publishing: one answer per message, in order, whatever the messages hold.

use tenure_bus::{Batch, BusErrorKind};

use crate::harness::{CheckResult, Fresh, Harness, Need, ensure, messages, next, publish, stored, with_body};
use crate::harness::{SUBJECT, message};

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    harness.check("answers_come_in_order", &[], answers_come_in_order).await;
    harness.check("batches_of_none_one_and_the_limit", &[], batches_of_none_one_and_the_limit).await;
    harness.check("batch_over_the_limit_is_invalid", &[], batch_over_the_limit_is_invalid).await;
    harness.check("big_bodies_are_taken", &[], big_bodies_are_taken).await;
    harness.check("bodies_come_back_byte_for_byte", &[Need::Follow], bodies_come_back_byte_for_byte).await;
}

/// Positions of new messages grow within a batch and from batch to batch.
async fn answers_come_in_order(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let mut positions = stored(&publish(&*bus, &messages(0..50)).await?)?;
    positions.extend(stored(&publish(&*bus, &messages(50..60)).await?)?);
    ensure!(positions.is_sorted_by(|a, b| a < b), "positions do not grow: {positions:?}");
    Ok(())
}

/// An empty batch has no answers and does nothing; a batch of one and one of the most that is allowed are stored.
async fn batches_of_none_one_and_the_limit(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let limit = bus.info().batch_limit as u64;
    ensure!(limit > 0, "a batch limit of nothing");
    publish(&*bus, &[]).await?;
    stored(&publish(&*bus, &[message(0)]).await?)?;
    stored(&publish(&*bus, &messages(1..=limit)).await?)?;
    Ok(())
}

/// One more than the limit is a clear error, and nothing of it was done.
async fn batch_over_the_limit_is_invalid(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let limit = bus.info().batch_limit as u64;
    let many = messages(0..=limit);
    match bus.publish(&Batch { subject: SUBJECT, fence: None, valid_until: None, messages: &many }).await {
        Ok(_) => Err("was taken".to_owned()),
        Err(error) if error.kind() != BusErrorKind::Invalid => Err(format!("not Invalid: {error}")),
        Err(_) => stored(&publish(&*bus, &many[..1]).await?).map(|_| ()),
    }
}

/// Bodies of 64 KiB and more are taken.
async fn big_bodies_are_taken(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let batch: Vec<_> = big_bodies().into_iter().zip(0..).map(|(body, number)| with_body(number, body)).collect();
    stored(&publish(&*bus, &batch).await?)?;
    Ok(())
}

/// What is followed is what was published: every byte, id and term, however odd.
async fn bodies_come_back_byte_for_byte(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let mut bodies = big_bodies();
    bodies.push(String::new());
    bodies.push("{\"a\":\"\\u0000 \\\" '; DROP TABLE envelopes; -- ?1 $a :b\"}".to_owned());
    bodies.push("😀 e\u{301} \u{e0000}\u{202e}\u{2028}\u{feff}\u{10ffff} \u{7f}".to_owned());
    let mut batch: Vec<_> = bodies.into_iter().zip(0..).map(|(body, number)| with_body(number, body)).collect();
    batch[0].channel = "'ünïcode' 😀".into();
    let positions = stored(&publish(&*bus, &batch).await?)?;
    let mut stream = follow_all(&*bus).await?;
    for ((followed, sent), pos) in next(&mut stream, batch.len()).await?.iter().zip(&batch).zip(positions) {
        ensure!(followed.pos == pos, "position {} instead of {pos}", followed.pos);
        ensure!(followed.id == sent.id, "id {} instead of {}", followed.id, sent.id);
        ensure!(followed.body == sent.body, "another body at {pos}, {} bytes", followed.body.len());
    }
    Ok(())
}

async fn follow_all(bus: &dyn tenure_bus::Bus) -> Result<tenure_bus::FollowStream, String> {
    bus.follow(SUBJECT, tenure_bus::FollowFrom::Start).await.map_err(|error| format!("cannot be followed: {error}"))
}

fn big_bodies() -> Vec<String> {
    [64 * 1024, 64 * 1024 + 1, 300_000].map(|length| format!("{{\"big\":\"{}\"}}", "é".repeat(length / 2))).into()
}
