//! A bus that does not answer fails the whole batch, and takes it later.

use std::time::Duration;

use tenure_bus::{Batch, BusErrorKind, Published};
use tokio::time::timeout;

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure, message, messages, publish, stored};

/// The longest that a bus may keep a caller waiting before it says that it does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    harness.check("locked_bus_is_unavailable_then_recovers", &[Need::Lock], locked_then_recovers).await;
    harness.check("abandoned_call_harms_nobody", &[Need::Dedupe], abandoned_call_harms_nobody).await;
}

/// While the bus cannot answer, the error is `Unavailable`; afterwards the same client stores the same batch.
async fn locked_then_recovers(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    stored(&publish(&*bus, &[message(0)]).await?)?;
    let lock = fresh.builder.lock(fresh.name).await;
    let batch = messages(1..20);
    let call = Batch { subject: SUBJECT, fence: None, valid_until: None, messages: &batch };
    match timeout(LONGEST_WAIT, bus.publish(&call)).await {
        Err(_) => return Err(format!("has not answered within {LONGEST_WAIT:?}")),
        Ok(Ok(answers)) => return Err(format!("was answered while locked: {answers:?}")),
        Ok(Err(error)) => ensure!(error.kind() == BusErrorKind::Unavailable, "not Unavailable: {error}"),
    }
    drop(lock);
    let answers = publish(&*bus, &batch).await?;
    let there = |answer: &_| matches!(answer, Ok(Published::Stored(_) | Published::Duplicate(_)));
    ensure!(answers.iter().all(there), "{answers:?}");
    if bus.info().dedupe.is_some() {
        let again = publish(&*bus, &batch).await?;
        ensure!(again.iter().all(|answer| matches!(answer, Ok(Published::Duplicate(_)))), "{again:?}");
    }
    Ok(())
}

/// A caller that gives up leaves its batch stored or not, and the bus answers the next one.
async fn abandoned_call_harms_nobody(fresh: Fresh<'_>) -> CheckResult {
    let bus = fresh.client().await?;
    let batch = messages(0..50);
    for _ in 0..20 {
        let call = Batch { subject: SUBJECT, fence: None, valid_until: None, messages: &batch };
        let _ = timeout(Duration::ZERO, bus.publish(&call)).await;
    }
    publish(&*bus, &batch).await?;
    let again = publish(&*bus, &batch).await?;
    ensure!(again.iter().all(|answer| matches!(answer, Ok(Published::Duplicate(_)))), "{again:?}");
    Ok(())
}
