//! A server that leads the bus and is cut off from its peers, but not from its clients: nothing is lost, nothing doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use tenure_bus::{Batch, Bus, FollowFrom, Message, Published};
use tenure_envelope::EnvelopeId;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::harness::{CheckResult, Fresh, Harness, Need, SUBJECT, ensure, messages, publish, stored};

/// How many clients publish. A builder that knows several servers connects them to different ones.
const CLIENTS: u64 = 3;
/// How many messages each of them has.
const MESSAGES: u64 = 1600;
/// How many go together: few, as from a chat.
const BATCH: usize = 25;
/// How long the publishers go on before the cut, and after it if it holds nobody up.
const AROUND: Duration = Duration::from_secs(1);
/// How long after the cut all has to be on the bus, and seen by whoever follows it.
const RECOVERY: Duration = Duration::from_secs(40);
/// After so long of nothing more everything was read.
const SILENCE: Duration = Duration::from_secs(3);

pub(crate) async fn checks(harness: &mut Harness<'_>) {
    let needs = &[Need::Cut, Need::Dedupe, Need::Follow, Need::Kept];
    harness.check("cut_off_leader_loses_nothing", needs, cut_off_leader_loses_nothing).await;
}

/// Each id that was answered is on the bus once, at the position that the answer named, and whoever followed saw it:
/// whatever server a client is connected to, and however often it repeats itself.
async fn cut_off_leader_loses_nothing(fresh: Fresh<'_>) -> CheckResult {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(fresh.client().await?);
    }
    // Whatever is made with the first message is there.
    stored(&publish(&*clients[0], &messages([u64::MAX])).await?)?;
    let lasts = fresh.builder.cut_lasts();
    let began = Instant::now();
    let writers =
        clients.iter().zip(0..).map(|(bus, number)| write(Arc::clone(bus), number, began, lasts + AROUND * 2));
    let readers = clients.iter().map(|bus| read_all(Arc::clone(bus), began + lasts + AROUND + RECOVERY));
    let cutting = async {
        sleep(AROUND).await;
        let cut = fresh.builder.cut(fresh.name).await;
        sleep_until(began + AROUND + lasts).await;
        drop(cut);
        Ok(())
    };
    let (answers, seen, _) = tokio::try_join!(try_join_all(writers), try_join_all(readers), cutting)?;
    let all = CLIENTS * MESSAGES + 1;
    let there = read_until_silent(&*fresh.client().await?).await?;
    let places: BTreeMap<EnvelopeId, u64> = there.iter().map(|(pos, id)| (*id, *pos)).collect();
    let lost: Vec<_> = answers.iter().flatten().filter(|(id, _)| !places.contains_key(id)).collect();
    ensure!(
        lost.is_empty(),
        "{} of {all} were answered and are not there, such as {:?}",
        lost.len(),
        &lost[..lost.len().min(3)]
    );
    ensure!(
        places.len() as u64 == all && there.len() as u64 == all,
        "{} ids at {} positions",
        places.len(),
        there.len()
    );
    let elsewhere: Vec<_> = answers.iter().flatten().filter(|(id, pos)| places[id] != *pos).collect();
    ensure!(elsewhere.is_empty(), "{} are not where the answer said, such as {:?}", elsewhere.len(), &elsewhere[..1]);
    for (seen, number) in seen.iter().zip(0..) {
        let missed = places.keys().filter(|id| !seen.contains_key(id)).count();
        ensure!(missed == 0, "follower {number} has missed {missed} of {all}");
    }
    Ok(())
}

/// Publishes one client's messages, evenly over this time where nothing holds it up: each batch until the bus has taken
/// it, and then once more. Gives the last position that was named for each message.
async fn write(
    bus: Arc<dyn Bus>,
    client: u64,
    began: Instant,
    over: Duration,
) -> Result<Vec<(EnvelopeId, u64)>, String> {
    let all = messages(client * MESSAGES..(client + 1) * MESSAGES);
    let batches = all.chunks(BATCH);
    let count = batches.len() as u32;
    let (mut answered, mut longest) = (Vec::new(), Duration::ZERO);
    for (batch, number) in batches.zip(0..) {
        sleep_until(began + over * number / count).await;
        for _ in 0..2 {
            let asked = Instant::now();
            answered.extend(until_taken(&*bus, batch, began + over + RECOVERY).await?);
            longest = longest.max(asked.elapsed());
        }
    }
    println!("cut_off_leader_loses_nothing: client {client} was held up for {longest:?} at most");
    Ok(answered)
}

async fn until_taken(bus: &dyn Bus, batch: &[Message], deadline: Instant) -> Result<Vec<(EnvelopeId, u64)>, String> {
    let call = Batch { subject: SUBJECT, fence: None, valid_until: None, messages: batch };
    loop {
        let answers = match timeout_at(deadline, bus.publish(&call)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) if Instant::now() >= deadline => return Err(format!("is not taken any more: {error}")),
            Ok(Err(_)) => {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(_) => return Err("is neither taken nor refused any more".to_owned()),
        };
        ensure!(answers.len() == batch.len(), "{} answers to {} messages", answers.len(), batch.len());
        let place = |(answer, message): (_, &Message)| match answer {
            Ok(Published::Stored(pos) | Published::Duplicate(pos)) => Ok((message.id, pos)),
            Err(refusal) => Err(format!("{refusal:?}")),
        };
        return answers.into_iter().zip(batch).map(place).collect();
    }
}

/// What is on the bus, by position.
async fn read_until_silent(bus: &dyn Bus) -> Result<BTreeMap<u64, EnvelopeId>, String> {
    let mut stream =
        bus.follow(SUBJECT, FollowFrom::Start).await.map_err(|error| format!("cannot be followed: {error}"))?;
    let mut there = BTreeMap::new();
    while let Ok(Some(item)) = timeout(SILENCE, stream.next()).await {
        let followed = item.map_err(|error| format!("following failed: {error}"))?;
        ensure!(there.insert(followed.pos, followed.id).is_none(), "position {} came twice", followed.pos);
    }
    Ok(there)
}

/// Follows from the start, and again from the last position where that ends, until each message was seen or time is up.
async fn read_all(bus: Arc<dyn Bus>, deadline: Instant) -> Result<BTreeMap<EnvelopeId, u64>, String> {
    let (mut seen, mut from) = (BTreeMap::new(), FollowFrom::Start);
    while (seen.len() as u64) < CLIENTS * MESSAGES + 1 && Instant::now() < deadline {
        let Ok(mut stream) = bus.follow(SUBJECT, from).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        while let Ok(Some(Ok(followed))) = timeout(deadline - Instant::now(), stream.next()).await {
            from = FollowFrom::After(followed.pos);
            seen.insert(followed.id, followed.pos);
            if seen.len() as u64 > CLIENTS * MESSAGES {
                break;
            }
        }
    }
    Ok(seen)
}
