//! Several publish the same at once: each message is there once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tenure_bus::{Bus, FollowFrom, Published};

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure};
use crate::harness::{messages, next, publish, publish_as, silent, term};

/// How many publish at once.
const PUBLISHERS: u64 = 4;
/// How many messages each of them has.
const MESSAGES: u64 = 400;

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    harness.check("racing_publishers_store_each_id_once", &[Need::Dedupe], store_each_id_once).await;
    harness.check("racing_terms_never_go_back", &[Need::Fence, Need::Follow], terms_never_go_back).await;
}

/// Clients with the same messages, cut into batches differently: every id is stored by exactly one of them.
async fn store_each_id_once(fresh: Fresh<'_>) -> CheckResult {
    let mut clients = Vec::new();
    for number in 0..PUBLISHERS {
        clients.push((fresh.client().await?, 7 + number as usize * 6));
    }
    let publish_all = async |(bus, size): &(Arc<dyn Bus>, usize)| {
        let mut positions = Vec::new();
        for batch in messages(0..MESSAGES).chunks(*size) {
            for (answer, sent) in publish(&**bus, batch).await?.into_iter().zip(batch) {
                match answer {
                    Ok(Published::Stored(pos)) => positions.push((sent.id, pos)),
                    Ok(Published::Duplicate(_)) => {}
                    Err(refusal) => return Err(format!("{refusal:?}")),
                }
            }
        }
        Ok(positions)
    };
    let mut stored = Vec::new();
    for positions in join_all(clients.iter().map(publish_all)).await {
        stored.extend(positions?);
    }
    let ids: BTreeSet<_> = stored.iter().map(|(id, _)| *id).collect();
    let positions: BTreeSet<_> = stored.iter().map(|(_, pos)| *pos).collect();
    ensure!(stored.len() as u64 == MESSAGES, "{} stored of {MESSAGES}", stored.len());
    ensure!(ids.len() == stored.len() && positions.len() == stored.len(), "an id or a position came twice");
    Ok(())
}

/// Two tenures that publish at the same time: along the bus the terms only grow.
async fn terms_never_go_back(fresh: Fresh<'_>) -> CheckResult {
    let (old, new, reader) = (fresh.client().await?, fresh.client().await?, fresh.client().await?);
    let mut stream = reader.follow(SUBJECT, FollowFrom::Start).await.map_err(|error| error.to_string())?;
    let tenure = async |bus: Arc<dyn Bus>, number: u64, from: u64| {
        let mut admitted = 0;
        for at in from..from + 100 {
            let answers = publish_as(&*bus, SUBJECT, Some(("lease", term(number)?)), &messages([at])).await?;
            admitted += answers.iter().filter(|answer| answer.is_ok()).count();
        }
        Ok::<_, String>(admitted)
    };
    let (lower, higher) = tokio::join!(tenure(old, 5, 0), tenure(new, 6, 1000));
    let (lower, higher) = (lower?, higher?);
    ensure!(higher == 100, "the newer term was refused {} times", 100 - higher);
    let seen = next(&mut stream, lower + higher).await?;
    let terms: Vec<_> = seen.iter().filter_map(|followed| followed.term).collect();
    ensure!(terms.is_sorted(), "a lower term after a higher one");
    silent(&mut stream).await
}
